"""The services of compose.yaml as processes: with their commands, environment and files, and host names that lead to loopback."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.house_rules import ROOT

COMPOSE = ROOT / "deploy" / "compose"
_ANY_PORT = "127.0.0.1:0"


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services, by the name under which the others reach them."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


@dataclass(frozen=True)
class Network:
    """Where services listen here, by the ``host:port`` that the shipped files name, and the variables that the shell gives."""

    addresses: dict[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Shipped text with the addresses of this machine; what listens takes any port."""
        text = re.sub(r"0\.0\.0\.0:\d+", _ANY_PORT, text)
        return re.sub(rf"\b(?:{'|'.join(services())}):\d+\b", lambda found: self.addresses[found[0]], text)

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service, with those of the shell in ``${NAME:-default}``."""
        variables: Mapping[str, Any] = services()[service].get("environment", {})
        return {name: self.here(self._given(str(value))) for name, value in variables.items()}

    def _given(self, text: str) -> str:
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: self.given.get(found[1]) or found[2], text)

    def command(self, service: str, directory: Path, change: Callable[[str], str] = str) -> list[str]:
        """The arguments of a service, whose volumes become folders in ``directory``; ``change`` is applied to the files it reads."""
        arguments = [self.here(argument) for argument in services()[service]["command"]]
        for volume in services()[service].get("volumes", ()):
            source, target = volume.split(":")[:2]
            place = directory / f"{service}{target.replace('/', '-')}"
            if source.startswith("."):
                self._copy((COMPOSE / source).resolve(), place, change)
            else:
                place.mkdir()
            arguments = [re.sub(rf"={target}(?=/|$)", f"={place}", argument) for argument in arguments]
        return arguments

    def _copy(self, source: Path, place: Path, change: Callable[[str], str]) -> None:
        if source.is_dir():
            place.mkdir()
            for file in source.iterdir():
                self._copy(file, place / file.name, change)
        else:
            place.write_text(change(self.here(source.read_text(encoding="utf-8"))), encoding="utf-8")
