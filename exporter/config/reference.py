"""Writes settings as the reference in ``docs/configuration.md``, and as a settings file.

``python -m exporter.config.reference`` prints the reference.
"""

import json
from collections.abc import Iterator

from exporter.config.declare import SECTIONS, Setting
from exporter.config.load import Loaded
from exporter.config.setting_types import Secret
from exporter.config.settings import SETTINGS
from exporter.config.sources import CONFIG_ENV

_INTRODUCTION = f"""\
# Configuration

Set each setting as a flag, as an environment variable or as a key in a settings file. A flag overrides the environment, the
environment overrides the file, and the file overrides the default.

The file is TOML. Name it with `--config FILE` or `{CONFIG_ENV}`. Its keys are at the top level, not in tables. Write each
value with its type: `drain-timeout = 2.5`, `subscribe = false`, `listen = "127.0.0.1:8790"`.

- Unknown flags, unknown environment variables that start with `AGENTSTACK_EXPORTER_`, unknown keys in the file and bad values are
  errors. `agentstack-exporter check-config` reports all of them. If there are none, it prints every setting and where it came from. A
  wrong configuration gives exit code 2.
- An environment variable that is set but empty counts as unset. The variables with which Kubernetes describes Services
  (`AGENTSTACK_EXPORTER_SERVICE_HOST`, `AGENTSTACK_EXPORTER_PORT=tcp://…`, …) are ignored.
- By default both listeners are reachable from this machine only. An address that other machines can reach requires authentication:
  `--listen` needs tokens, secrets, signatures or client certificates (or `--insecure`), `--telemetry-listen` needs a `--web-config`
  with users or client certificates (or `--insecure-telemetry`). An address without a host (`:8790`) is refused; use `0.0.0.0:8790`
  for every interface.
- Secrets are never printed. `check-config` shows `***` instead.
- Durations are plain numbers of seconds.
- If several sources set a setting that can be given several times, the source with precedence replaces all values of the others.
"""


def reference() -> str:
    """The reference of all settings as Markdown."""
    parts = [_INTRODUCTION]
    for section in SECTIONS:
        parts.append(f"## {section}\n")
        parts += [_entry(setting) for setting in SETTINGS if setting.about.section == section]
    parts.append("## A file with every default\n")
    parts.append("```toml\n" + "\n".join(_assignment(setting, setting.default) for setting in SETTINGS) + "\n```\n")
    return "\n".join(parts)


def explained(loaded: Loaded) -> str:
    """Every setting with its value, and its origin as a comment.

    The text is a settings file with the same values, except secrets: they are masked, and their lines are comments.
    """
    lines = [(_assignment(setting, getattr(loaded.settings, setting.name)), loaded.origins[setting.name]) for setting in SETTINGS]
    width = min(max(len(line) for line, _ in lines), 60)
    return "\n".join(f"{line:<{width}}  # {origin}" for line, origin in lines)


def _entry(setting: Setting) -> str:
    return f"### `{setting.key}`\n\n" + "\n".join(_facts(setting)) + "\n"


def _facts(setting: Setting) -> Iterator[str]:
    yield setting.help
    yield ""
    negative = f", `--no-{setting.key}`" if setting.is_switch else ""
    yield f"- Flag: `{setting.flag}`{negative}"
    yield f"- Environment: `{setting.env}`" + (", separated by commas" if setting.about.repeatable else "")
    yield f"- Value: {setting.about.kind.expects.replace(', without a unit,', '')}" + (
        " (in the file a list)" if setting.about.repeatable else ""
    )
    default = "none" if setting.default in (None, ()) else f"`{toml(setting.default)}`"
    yield f"- Default: {default}" + (f" {setting.about.unit}" if setting.about.unit else "")


def _assignment(setting: Setting, value: object) -> str:
    if value is None:
        return f"# {setting.key} is not set"
    hidden = "# " if isinstance(value, tuple) and any(isinstance(item, Secret) for item in value) else ""
    return f"{hidden}{setting.key} = {toml(value)}"


def toml(value: object) -> str:
    """A setting's value as TOML."""
    match value:
        case bool() | int() | float():
            return str(value).lower()
        # A label value is a tuple too, but is written as text.
        case tuple() if type(value) is tuple:
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            # A JSON string is a TOML string, except for this one character.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


if __name__ == "__main__":
    print(reference(), end="")
