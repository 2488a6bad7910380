"""Who can read /live is known at the start."""

from pathlib import Path

import bcrypt
import click
import pytest

from exporter.config import Address, Loaded, Settings, SettingsCommand
from exporter.daemon.live import shown_to_anyone


@pytest.mark.parametrize(
    ("host", "authenticates", "live", "warned"),
    [
        ("127.0.0.1", False, True, False),
        ("0.0.0.0", False, True, True),
        ("0.0.0.0", True, True, False),
        ("0.0.0.0", False, False, False),
    ],
)
def test_what_anyone_can_read_is_warned_of(host: str, *, authenticates: bool, live: bool, warned: bool) -> None:
    """An address that others reach without users is worth a warning, unless /live is off."""
    settings = Settings(telemetry_listen=Address(host, 8791), live=live)
    assert shown_to_anyone(settings, authenticates=authenticates) == warned


def load(*args: str) -> Settings:
    """The settings that ``serve`` gets with ``args``."""
    loaded = SettingsCommand("serve").make_context("serve", list(args)).params["loaded"]
    assert isinstance(loaded, Loaded)
    return loaded.settings


def test_a_trace_url_names_the_trace() -> None:
    """A URL of a trace contains the placeholder behind its host, and is http or https."""
    url = "https://tempo.example.com/trace/{trace_id}?orgId=1"
    assert load("--trace-url", url).trace_url == url
    for wrong in ("https://tempo.example.com/", "https://{trace_id}/", "ftp://t.example/{trace_id}", "javascript:x/{trace_id}"):
        with pytest.raises(click.UsageError, match=r"contains \{trace_id\}"):
            load("--trace-url", wrong)


@pytest.mark.parametrize("users", [True, False])
def test_content_needs_users(tmp_path: Path, *, users: bool) -> None:
    """--live-content is refused if the telemetry listener requires neither users nor client certificates, and with --no-live."""
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{a: {bcrypt.hashpw(b's3cret', bcrypt.gensalt(4)).decode()}}}\n" if users else "{}\n")
    if users:
        assert load("--live-content", "--web-config", str(web)).live_content
    for args in ((), ("--no-live", "--web-config", str(web)), *(() if users else (("--web-config", str(web)),))):
        with pytest.raises(click.UsageError, match="live-content"):
            load("--live-content", *args)
