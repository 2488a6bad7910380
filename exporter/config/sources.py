"""The sources of settings besides flags: the environment and a TOML file. Both are checked as a whole before anything starts.

An unknown name is an error, as a bad value is. Otherwise a misspelt setting would be ignored silently. An environment variable whose
name resembles no setting is only a warning: people keep the version or image of a container in such variables.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from exporter.config.declare import ENV_PREFIX
from exporter.config.setting_types import nearest, shown
from exporter.config.settings import SETTINGS
from exporter.config.usage_errors import in_one_line

CONFIG_ENV = ENV_PREFIX + "CONFIG"
MAX_FILE_BYTES = 1 << 20

# Kubernetes sets such variables in every pod for every Service of its namespace whose name starts like the prefix.
_SERVICE_LINK = re.compile(
    ENV_PREFIX + r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)", re.DOTALL
)
_MISSPELT: Final = 0.7
"""The similarity from which on an unknown variable is a misspelt setting."""
_SIMILAR: Final = 0.6
"""The similarity from which on a message suggests the setting."""
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


class ConfigError(click.UsageError):
    """The configuration is wrong. The message names every problem with its place. Exit code 2."""

    def __init__(self, problems: list[str], ctx: click.Context | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__(in_one_line(problems, "problems with the settings"), ctx)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The content of a settings file: ``values`` by key, and the line of each key."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """The place of ``key`` in messages: ``exporter.toml, line 3``."""
        return f"{self.name}, line {self.lines[key]}" if key in self.lines else self.name


def read_settings_file(name: str) -> SettingsFile:
    """Read a TOML file. Raises :class:`ConfigError` if it cannot be read or is not TOML."""
    try:
        with Path(name).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{_printable(name)}: cannot be read: {error.strerror}"]) from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError([f"{_printable(name)}: is larger than {MAX_FILE_BYTES} bytes"])
    try:
        text = raw.decode("utf-8-sig")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError([f"{_printable(name)}: is not UTF-8 at byte {error.start}"]) from None
    # Deep nesting exhausts the parser's recursion.
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([f"{_printable(name)}: is not TOML: {error}"]) from None
    lines = {key: line for key in values if (line := _line_of(text, key))}
    return SettingsFile(_printable(name), values, lines)


def file_problems(file: SettingsFile, options: Mapping[str, click.Option]) -> Iterator[str]:
    """The problems of the file. ``options`` has the option of each setting by the setting's name."""
    known = {setting.key: setting for setting in SETTINGS}
    for key, value in file.values.items():
        if key not in known:
            yield f"{file.place(key)}: {_unknown_key(key, value, list(known))}"
            continue
        setting = known[key]
        try:
            if setting.about.repeatable and not isinstance(value, list):
                raise click.BadParameter(f"{shown(value)} is not a list of strings")
            for item in value if setting.about.repeatable else (value,):
                setting.about.kind.check_file_value(item)
            options[setting.name].type_cast_value(click.get_current_context(), value)
        except click.BadParameter as error:
            yield f"{file.place(key)}: {key}: {error.message}"


def environment_problems(options: Mapping[str, click.Option]) -> Iterator[str]:
    """The problems of the ``AGENTSTACK_EXPORTER_*`` variables. An empty variable counts as unset."""
    known = {setting.env: setting for setting in SETTINGS}
    for env, text in sorted(os.environ.items()):
        if not _is_meant(env, text):
            continue
        if env not in known:
            if _resembled(env, _MISSPELT):
                yield _unknown_variable(env)
            continue
        option = options[known[env].name]
        ctx = click.get_current_context()
        try:
            option.type_cast_value(ctx, option.value_from_envvar(ctx))
        except click.BadParameter as error:
            yield f"{env}: {error.message}"


def environment_warnings() -> Iterator[str]:
    """The ``AGENTSTACK_EXPORTER_*`` variables that are ignored because their names resemble no setting."""
    known = {setting.env for setting in SETTINGS}
    for env, text in sorted(os.environ.items()):
        if _is_meant(env, text) and env not in known and not _resembled(env, _MISSPELT):
            yield f"{_unknown_variable(env)}; it is ignored"


def _is_meant(env: str, text: str) -> bool:
    """Whether the variable has the prefix and a value, and Kubernetes has not set it."""
    return env.startswith(ENV_PREFIX) and bool(text) and env != CONFIG_ENV and not is_service_link(env, text)


def is_service_link(env: str, text: str) -> bool:
    """Whether Kubernetes has set the variable, for a Service whose name starts like the prefix."""
    if env.endswith("_PORT") and _SERVICE_URL.match(text):
        return True
    return _SERVICE_LINK.fullmatch(env) is not None


def _unknown_key(key: str, value: object, known: list[str]) -> str:
    near = nearest(key.replace("_", "-").lower(), known)
    hint = f"; did you mean {near!r}?" if near else ""
    if isinstance(value, dict):
        hint = "; settings belong at the top level of the file, not in tables"
    return f"unknown key {shown(key)}{hint}"


def _resembled(env: str, cutoff: float) -> str | None:
    """The most similar name of a setting, without the prefix, which would make all names look similar."""
    names = [setting.env.removeprefix(ENV_PREFIX) for setting in SETTINGS]
    matches = difflib.get_close_matches(env.removeprefix(ENV_PREFIX), [*names, CONFIG_ENV.removeprefix(ENV_PREFIX)], 1, cutoff)
    return matches[0] if matches else None


def _unknown_variable(env: str) -> str:
    near = _resembled(env, _SIMILAR)
    return f"{_printable(env)}: unknown environment variable" + (f"; did you mean {ENV_PREFIX}{near}?" if near else "")


def _line_of(text: str, key: str) -> int | None:
    found = re.search(rf"^[ \t\[]*[\"']?{re.escape(key)}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _printable(name: str) -> str:
    return name if name.isprintable() else shown(name)
