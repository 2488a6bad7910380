"""Whether everything that states the version agrees: files, changelog and git tag."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = "exporter/__init__.py"
"""The file that decides."""
CHANGELOG: Final = "CHANGELOG.md"
_MODULE: Final = r'^__version__ = "(.+)"$'
_NEW_TAG: Final = r"^ *newTag: (\S+)$"
STATED: Final = {
    SOURCE: _MODULE,
    "tap/agentstack_tap/__init__.py": _MODULE,
    "Dockerfile": r"^ARG VERSION=(\S+)$",
    "deploy/compose/compose.yaml": r"^ *image: agentstack-exporter:(\S+)$",
    "deploy/helm/agentstack-exporter/Chart.yaml": r'^(?:version|appVersion): "?([^"\s]+)"?$',
    "deploy/kubernetes/gateway/kustomization.yaml": _NEW_TAG,
    "deploy/kubernetes/sidecar/kustomization.yaml": _NEW_TAG,
}
"""Each file that states the version, and where in it."""
_HEADING: Final = re.compile(r"^## \[?v?(\d[^\]\s]*)\]?(.*)$", re.MULTILINE)
_VERSION_TAG: Final = re.compile(r"v\d")


@dataclass(frozen=True)
class Checkout:
    """What a checkout states: versions by file, and what git knows of its commit."""

    stated: dict[str, set[str]]
    dated: bool
    """Whether the changelog's newest heading has a date."""
    tags: frozenset[str]
    """The tags of the commit."""
    changed: tuple[str, ...]
    """Files that are not as committed."""

    @property
    def version(self) -> str:
        """The version that is released."""
        return next(iter(self.stated[SOURCE]), "")

    @property
    def tag(self) -> str:
        """The tag that the release has to have."""
        return f"v{self.version}"

    @property
    def is_tagged(self) -> bool:
        """Whether the commit is that of some release. Otherwise this is a rehearsal."""
        return any(_VERSION_TAG.match(tag) for tag in self.tags)


def read(root: Path) -> Checkout:
    """Read a checkout. Raises ``OSError`` or ``subprocess.CalledProcessError`` where there is none."""
    stated = {file: set(re.findall(pattern, _text(root / file), re.MULTILINE)) for file, pattern in STATED.items()}
    heading = _HEADING.search(_text(root / CHANGELOG))
    stated[CHANGELOG] = {heading[1]} if heading else set()
    return Checkout(
        stated,
        dated=heading is not None and re.search(r"\d{4}-\d\d-\d\d", heading[2]) is not None,
        tags=frozenset(git(root, "tag", "--points-at", "HEAD").split()),
        changed=tuple(line[3:] for line in git(root, "status", "--porcelain").splitlines()),
    )


def faults(checkout: Checkout) -> list[str]:
    """Why this must not be released, a line each."""
    version = checkout.version
    found = [
        f"{file}: says {' and '.join(sorted(stated)) or 'no version'}, but {SOURCE} says {version or 'none'}"
        for file, stated in checkout.stated.items()
        if stated != {version}
    ]
    if not checkout.is_tagged:
        return found
    if checkout.tag not in checkout.tags:
        found.append(
            f"git: the commit is tagged {' '.join(sorted(checkout.tags))}, but {SOURCE} says {version}, which is {checkout.tag}"
        )
    return found + _not_ready(checkout)


def notes(checkout: Checkout) -> list[str]:
    """What is left to do before the release, where the commit is not tagged yet."""
    if checkout.is_tagged:
        return []
    return [*_not_ready(checkout), f"git: the commit has no version tag; to release it: git tag {checkout.tag}"]


def git(root: Path, *arguments: str) -> str:
    """What git answers."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def _not_ready(checkout: Checkout) -> list[str]:
    found = [] if checkout.dated else [f"{CHANGELOG}: the heading of {checkout.version} has no date"]
    if checkout.changed:
        found.append(f"git: not committed: {', '.join(checkout.changed)}")
    return found


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
