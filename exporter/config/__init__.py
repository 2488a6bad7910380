"""Settings of the daemon: declared in :mod:`exporter.config.settings`, filled by :mod:`exporter.config.load`."""

from exporter.config.addresses import Address
from exporter.config.load import CONFIG_OPTION, OPTIONS, Loaded, SettingsCommand, load
from exporter.config.setting_types import LabelValue
from exporter.config.settings import SETTINGS, Settings
from exporter.config.sources import ConfigError

__all__ = [
    "CONFIG_OPTION",
    "OPTIONS",
    "SETTINGS",
    "Address",
    "ConfigError",
    "LabelValue",
    "Loaded",
    "Settings",
    "SettingsCommand",
    "load",
]
