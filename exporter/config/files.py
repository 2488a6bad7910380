"""Checks of the files that settings name. ``check-config`` and ``serve`` make the same ones."""

from collections.abc import Iterator

from exporter.config.price_file import PriceFileError, read_prices
from exporter.config.settings import Settings
from exporter.config.token_file import TokenFileError, read_token_file
from exporter.config.web_config import WebConfig, WebConfigError, read_web_config


def file_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each setting whose file cannot be used, and why. Also the telemetry listener, if it would require no authentication."""
    web: WebConfig | None = WebConfig()
    if settings.auth_token_file is not None:
        try:
            read_token_file(settings.auth_token_file)
        except TokenFileError as error:
            yield "auth_token_file", str(error)
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
    if settings.prices is not None:
        try:
            read_prices(settings.prices)
        except PriceFileError as error:
            yield "prices", str(error)
    telemetry = settings.telemetry_listen
    if web is not None and not telemetry.is_loopback and not settings.insecure_telemetry and not web.authenticates:
        remedy = f"use a loopback address such as 127.0.0.1:{telemetry.port}, or allow it with --insecure-telemetry"
        problem = f"{telemetry} can be reached from other machines and requires no authentication"
        yield "telemetry_listen", f"{problem}; add users to --web-config, {remedy}"
