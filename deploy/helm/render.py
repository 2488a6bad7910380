"""Writes what is generated of the Helm chart: ``python -m deploy.helm.render DIRECTORY``, for ``make docs`` and ``make check``.

That is the table of values in its README, the settings in its schema, and copies of the files that its templates read: a chart can read
only files of its own.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Final

from deploy.helm.readme import with_values
from deploy.helm.schema import with_settings

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "agentstack-exporter"
COPIES: Final = {
    "rules": sorted((ROOT / "deploy" / "prometheus").glob("*.rules.yml")),
    "rules/native": sorted((ROOT / "deploy" / "prometheus" / "native").glob("*.rules.yml")),
    "dashboards": sorted((ROOT / "grafana" / "dashboards").glob("*.json")),
    ".": [ROOT / "deploy" / "prices" / "prices.toml"],
}
"""The files of the repository that the chart has copies of, by folder of ``files``."""


def render(target: Path) -> None:
    """Write the generated files of the chart into a folder."""
    readme = with_values(_text(CHART / "README.md"), _text(CHART / "values.yaml"))
    schema = with_settings(json.loads(_text(CHART / "values.schema.json")))
    target.mkdir(parents=True, exist_ok=True)
    (target / "README.md").write_text(readme, encoding="utf-8")
    (target / "values.schema.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(target / "files", ignore_errors=True)
    for folder, files in COPIES.items():
        (target / "files" / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, target / "files" / folder / file.name)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    render(Path(sys.argv[1]))
