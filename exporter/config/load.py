"""Settings as click options, filled from flags, environment, file and defaults, in this order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from exporter.config.declare import SECTIONS, Setting
from exporter.config.files import file_faults
from exporter.config.setting_types import FileName
from exporter.config.settings import SETTINGS, Settings, contradictions
from exporter.config.sources import (
    CONFIG_ENV,
    ConfigError,
    SettingsFile,
    environment_problems,
    environment_warnings,
    file_problems,
    read_settings_file,
)
from exporter.config.usage_errors import Command

_FILE = "exporter.config.file"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and their origins: ``origins`` maps the name of a setting to ``flag --listen``, ``default``, ….

    ``file`` is the settings file that was read, if any. ``warnings`` are for the log. ``read_again`` reads the same sources once more.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: str | None = None
    warnings: tuple[str, ...] = ()
    read_again: Callable[[], "Loaded"] | None = None


class _SettingOption(click.Option):
    """An option whose errors name the source of the value only, not all possible sources."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        from_environment = ctx and self.name and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT
        return f"'{self.envvar if from_environment else self.opts[0]}'"


def _option(setting: Setting) -> click.Option:
    flag = f"{setting.flag}/--no-{setting.key}" if setting.is_switch else setting.flag
    return _SettingOption(
        [setting.name, flag],
        type=setting.about.kind,
        multiple=setting.about.repeatable,
        default=setting.default,
        show_default=_shown_default(setting),
        envvar=setting.env,
        show_envvar=True,
        help=setting.help,
    )


def _shown_default(setting: Setting) -> bool | str:
    return "none" if setting.default in (None, ()) else True


OPTIONS: Mapping[str, click.Option] = {setting.name: _option(setting) for setting in SETTINGS}


def _read_sources(ctx: click.Context, _param: click.Parameter, name: Path | None) -> None:
    """Check environment and file as a whole, and give the file's values to click before it fills any option."""
    if ctx.resilient_parsing:
        return
    problems, file = list(environment_problems(OPTIONS)), None
    if name is not None:
        try:
            file = read_settings_file(str(name))
            problems += file_problems(file, OPTIONS)
        except ConfigError as error:
            given = CONFIG_ENV if ctx.get_parameter_source("config") is ParameterSource.ENVIRONMENT else "--config"
            problems += [f"{given}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems, ctx)
    if file is not None:
        ctx.meta[_FILE] = file
        ctx.default_map = {key.replace("-", "_"): value for key, value in file.values.items()}


CONFIG_OPTION = _SettingOption(
    ["config", "--config"],
    type=FileName(),
    envvar=CONFIG_ENV,
    show_envvar=True,
    # Eager, so that the file is read before the other options get their values.
    is_eager=True,
    expose_value=False,
    callback=_read_sources,
    help="Settings file (TOML). A flag overrides the environment, and the environment overrides the file.",
)


def load(ctx: click.Context) -> Loaded:
    """The settings of a context whose command has all settings as options. Raises :class:`ConfigError` for contradictions."""
    file = ctx.meta.get(_FILE)
    values: dict[str, Any] = {setting.name: ctx.params[setting.name] for setting in SETTINGS}
    settings = Settings(**values)
    found = [*contradictions(settings), *file_faults(settings)]
    problems = [f"{_where(ctx, name, file)}: {problem}" for name, problem in found]
    if problems:
        raise ConfigError(problems, ctx)
    origins = {setting.name: _origin(ctx, setting, file) for setting in SETTINGS}
    return Loaded(settings, origins, file.name if file else None, tuple(environment_warnings()))


class SettingsCommand(Command):
    """A command with all settings as options. Its function gets them as the argument ``loaded``."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.own_params = tuple(self.params)
        self.params = [*self.own_params, CONFIG_OPTION, *OPTIONS.values()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, then replace the single settings by :class:`Loaded`."""
        given = tuple(args)
        try:
            rest = super().parse_args(ctx, args)
        except ConfigError as error:
            raise ConfigError([*error.problems, *self.wrong_values(ctx, list(given))], ctx) from None
        if not ctx.resilient_parsing:
            loaded = replace(load(ctx), read_again=lambda: self._read_again(ctx.info_name, given))
            ctx.params = {name: value for name, value in ctx.params.items() if name not in OPTIONS} | {"loaded": loaded}
        return rest

    def _read_again(self, name: str | None, args: Sequence[str]) -> Loaded:
        with self.make_context(name, list(args)) as ctx:
            loaded: Loaded = ctx.params["loaded"]
            return loaded

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, in the order of their declarations."""
        own = [param for param in self.get_params(ctx) if param.name not in OPTIONS]
        groups: dict[str, list[click.Parameter]] = {"Options": own}
        for section in SECTIONS:
            groups[section] = [OPTIONS[setting.name] for setting in SETTINGS if setting.about.section == section]
        for title, params in groups.items():
            with formatter.section(title):
                formatter.write_dl([record for param in params if (record := param.get_help_record(ctx))])


def _where(ctx: click.Context, name: str, file: SettingsFile | None) -> str:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    match ctx.get_parameter_source(name):
        case ParameterSource.ENVIRONMENT:
            return setting.env
        case ParameterSource.DEFAULT_MAP if file is not None:
            return f"{file.place(setting.key)}: {setting.key}"
        case _:
            return setting.flag


def _origin(ctx: click.Context, setting: Setting, file: SettingsFile | None) -> str:
    match ctx.get_parameter_source(setting.name):
        case ParameterSource.COMMANDLINE:
            return f"flag {setting.flag}"
        case ParameterSource.ENVIRONMENT:
            return f"environment {setting.env}"
        case ParameterSource.DEFAULT_MAP if file is not None:
            return f"file {file.place(setting.key)}"
        case _:
            return "default"
