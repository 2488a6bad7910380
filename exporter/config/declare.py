"""How a setting is declared, and the names derived from its name."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from exporter.config.setting_types import Kind

ENV_PREFIX = "AGENTSTACK_EXPORTER_"

Section = Literal["Listening", "Access", "Relay", "Calls", "Live", "Limits", "Metrics", "Traces", "Stopping", "Logging"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True, slots=True)
class About:
    """What is declared of a setting besides its type and default. ``help`` is whole sentences."""

    kind: Kind[Any]
    section: Section
    help: str
    unit: str = ""
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A declared setting. ``name`` is the field of :class:`exporter.config.settings.Settings` that holds its value."""

    name: str
    default: object
    about: About

    @property
    def key(self) -> str:
        """The key in the settings file: ``drain-timeout``."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """The command line flag: ``--drain-timeout``."""
        return f"--{self.key}"

    @property
    def env(self) -> str:
        """The environment variable: ``AGENTSTACK_EXPORTER_DRAIN_TIMEOUT``."""
        return ENV_PREFIX + self.name.upper()

    @property
    def help(self) -> str:
        """What the setting does, in whole sentences."""
        return self.about.help + (" Can be given several times." if self.about.repeatable else "")

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off, and so also has a ``--no-`` flag."""
        return isinstance(self.default, bool)
