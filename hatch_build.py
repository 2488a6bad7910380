"""Compiles the hot path when hatchling builds the wheel of ``agentstack-exporter`` (``[tool.hatch.build.targets.wheel.hooks.custom]``).

An editable install stays plain Python. So does a wheel that is built where compiling is not possible: one line says so and why. To
build a plain wheel on purpose, set ``HATCH_BUILD_NO_HOOKS=true``.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledWheel(BuildHookInterface[BuilderConfig]):
    """Puts the compiled modules beside their sources in the wheel, which is then for one Python and one kind of machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile a copy of the package, because Python would prefer compiled modules beside the files that somebody edits."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        package = Path(self._folder.name).resolve() / "exporter"
        shutil.copytree(Path(self.root, "exporter"), package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        command = [sys.executable, str(package / "compiled" / "build.py"), str(package)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            self.app.display_warning(f"agentstack-exporter: this wheel is plain Python, about half as fast: {reason}")
            return
        for made in map(Path, done.stdout.splitlines()):
            build_data["force_include"][str(made)] = made.relative_to(package.parent).as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - as hatchling calls it
        """Remove the copy."""
        if version != "editable":
            self._folder.cleanup()
