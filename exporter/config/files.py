"""Checks of the files that settings name. ``check-config`` and ``serve`` make the same ones."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from exporter.config.price_file import PriceFileError, read_prices
from exporter.config.settings import Settings
from exporter.config.token_file import TokenFileError, read_token_file
from exporter.config.web_config import WebConfig, WebConfigError, read_web_config

_READERS: Final[Mapping[str, Callable[[Path], object]]] = {"auth_token_file": read_token_file, "prices": read_prices}


def file_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each setting whose file cannot be used, and why. Also the telemetry listener, if it would require no authentication."""
    web: WebConfig | None = WebConfig()
    for name, read in _READERS.items():
        path = getattr(settings, name)
        try:
            if path is not None:
                read(path)
        except (TokenFileError, PriceFileError) as error:
            yield name, str(error)
    if settings.web_config is not None:
        try:
            web = read_web_config(settings.web_config)
        except WebConfigError as error:
            web = None
            yield "web_config", str(error)
    for name in ("tls_cert", "tls_key", "tls_client_ca", "upstream_ca"):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            yield name, f"{path}: no such file"
    if settings.ready_file is not None:
        yield from _ready_file(settings.ready_file)
    if web is not None:
        yield from _open_telemetry(settings, web)


def _ready_file(file: Path) -> Iterator[tuple[str, str]]:
    if not file.parent.is_dir():
        yield "ready_file", f"{file.parent}: no such directory"
    elif file.is_dir():
        yield "ready_file", f"{file} is a directory; expected a file"


def _open_telemetry(settings: Settings, web: WebConfig) -> Iterator[tuple[str, str]]:
    telemetry = settings.telemetry_listen
    if not telemetry.is_loopback and not settings.insecure_telemetry and not web.authenticates:
        remedy = f"use a loopback address such as 127.0.0.1:{telemetry.port}, or allow it with --insecure-telemetry"
        problem = f"{telemetry} can be reached from other machines and requires no authentication"
        yield "telemetry_listen", f"{problem}; add users to --web-config, {remedy}"
    if settings.live_content and not web.authenticates:
        yield "live_content", "shows what was said; it requires a --web-config with users or client certificates"
