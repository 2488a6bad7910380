"""Settings: their declaration, the four sources, and what is refused."""

import os
import re
import string
import tomllib
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import SETTINGS, Address, ConfigError, LabelValue, Loaded, Settings, SettingsCommand
from exporter.config.addresses import parse_address
from exporter.config.declare import Setting
from exporter.config.reference import explained, reference, toml
from exporter.config.setting_types import Whole
from exporter.config.sources import is_service_link

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AGENTSTACK_EXPORTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(*args: str) -> Loaded:
    """The settings that a command gets with ``args``."""
    context = SettingsCommand("serve").make_context("serve", list(args))
    loaded = context.params["loaded"]
    assert isinstance(loaded, Loaded)
    return loaded


def problems(*args: str) -> tuple[str, ...]:
    """The problems of a command line, as the messages that the user reads."""
    with pytest.raises(click.UsageError) as caught:
        load(*args)
    assert caught.value.exit_code == 2
    return caught.value.problems if isinstance(caught.value, ConfigError) else (caught.value.format_message(),)


def write(text: str) -> None:
    """Write the settings file of the test."""
    Path("exporter.toml").write_text(text, encoding="utf-8")


# Declaration and reference


def test_defaults_are_those_of_the_struct() -> None:
    """Without any source, the loaded settings equal Settings()."""
    assert load().settings == Settings()
    assert set(load().origins.values()) == {"default"}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_setting_is_documented(setting: Setting) -> None:
    """Every setting is in the reference with its flag, variable and default, and has help in whole sentences."""
    entry = reference().split(f"### `{setting.key}`\n")[1].split("\n#")[0]
    assert setting.help.endswith(".")
    assert f"`{setting.flag}`" in entry
    assert f"`{setting.env}`" in entry
    assert "- Default: " in entry
    assert setting.about.kind.expects


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_number_has_a_unit(setting: Setting) -> None:
    """A setting that is a number has a unit."""
    assert bool(setting.about.unit) == (type(setting.default) in (int, float))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_default_is_within_bounds(setting: Setting) -> None:
    """A default is a valid value."""
    if setting.default not in (None, ()):
        assert setting.about.kind.convert(setting.default, None, None) == setting.default


def test_no_setting_can_be_taken_for_a_service_link() -> None:
    """Kubernetes sets none of the variables of settings."""
    assert [s.env for s in SETTINGS if is_service_link(s.env, "tcp://10.0.0.1:80")] == []


def test_committed_reference_is_current() -> None:
    """docs/configuration.md matches the declarations."""
    assert DOCS.read_text(encoding="utf-8") == reference()


def test_file_in_the_reference_gives_the_defaults() -> None:
    """The example file of the reference loads and changes nothing."""
    write(reference().split("```toml\n")[1].split("```")[0])
    assert load("--config", "exporter.toml").settings == Settings()


# Sources


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags override the environment, the environment the file, and the file defaults; the origins are right."""
    write('log-level = "error"\nlog-format = "json"\ndrain-timeout = 7\n')
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LOG_LEVEL", "warning")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LOG_FORMAT", "text")
    loaded = load("--config", "exporter.toml", "--log-level", "debug")
    assert (loaded.settings.log_level, loaded.settings.log_format, loaded.settings.drain_timeout) == ("debug", "text", 7.0)
    assert loaded.origins["log_level"] == "flag --log-level"
    assert loaded.origins["log_format"] == "environment AGENTSTACK_EXPORTER_LOG_FORMAT"
    assert loaded.origins["drain_timeout"] == "file exporter.toml, line 3"
    assert loaded.origins["turn_wait"] == "default"
    assert loaded.file == "exporter.toml"


def test_file_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AGENTSTACK_EXPORTER_CONFIG is the file, unless --config is given."""
    write("max-agents = 3")
    Path("other.toml").write_text("max-agents = 4", encoding="utf-8")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_CONFIG", "exporter.toml")
    assert load().settings.max_agents == 3
    assert load("--config", "other.toml").settings.max_agents == 4


def test_switch_can_be_turned_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A --no- flag overrides what the environment and the file turned on."""
    write("linger = true\nsubscribe = false")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LINGER", "on")
    assert load("--config", "exporter.toml").settings.linger is True
    assert load("--config", "exporter.toml").settings.subscribe is False
    assert load("--config", "exporter.toml", "--no-linger", "--subscribe").settings == Settings()


def test_repeatable_setting_in_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeatable setting is a repeated flag, a comma-separated variable or a list, and a source replaces the others' values."""
    write('label-allow = ["model=a", "agent=b c"]')
    assert load("--config", "exporter.toml").settings.label_allow == (LabelValue("model", "a"), LabelValue("agent", "b c"))
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LABEL_ALLOW", "model=x=1, agent=y ,")
    assert load("--config", "exporter.toml").settings.label_allow == (LabelValue("model", "x=1"), LabelValue("agent", "y"))
    assert load("--label-allow", "model=z", "--label-allow", "model=w").settings.label_allow == (
        LabelValue("model", "z"),
        LabelValue("model", "w"),
    )


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable without a value, known or not, changes nothing."""
    for name in ("LISTEN", "SUBSCRIBE", "LABEL_ALLOW", "CONFIG", "NO_SUCH_THING"):
        monkeypatch.setenv(f"AGENTSTACK_EXPORTER_{name}", "")
    assert load().settings == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SERVICE_HOST", "10.96.0.12"),
        ("SERVICE_PORT", "8790"),
        ("SERVICE_PORT_INGEST", "8790"),
        ("PORT", "tcp://10.96.0.12:8790"),
        ("PORT_8790_TCP", "tcp://10.96.0.12:8790"),
        ("PORT_8790_TCP_PROTO", "tcp"),
        ("PORT_8790_TCP_PORT", "8790"),
        ("PORT_8790_TCP_ADDR", "10.96.0.12"),
        ("TELEMETRY_SERVICE_HOST", "10.96.0.13"),
        ("TELEMETRY_PORT", "tcp://10.96.0.13:8791"),
        ("TELEMETRY_PORT_8791_UDP_ADDR", "10.96.0.13"),
    ],
)
def test_service_links_are_ignored(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Variables in which Kubernetes describes a Service named like the exporter are no settings and no errors."""
    monkeypatch.setenv(f"AGENTSTACK_EXPORTER_{name}", text)
    assert load().settings == Settings()


def test_what_check_config_prints_gives_the_same_settings() -> None:
    """The printed settings are a settings file that gives the same settings."""
    args = ["--listen", "[::]:1", "--insecure", "--path", "/a/b", "--max-series", "2000", "--turn-wait", "0.5"]
    args += [
        "--label-allow",
        'model=say "é"',
        "--label-allow",
        "agent=\\n",
        "--ready-file",
        "/run/ready file",
        "--log-level",
        "ERROR",
    ]
    first = load(*args)
    write(explained(first))
    again = load("--config", "exporter.toml")
    assert again.settings == first.settings
    assert "# flag --turn-wait" in explained(first)
    assert "file exporter.toml, line" in explained(again)


@given(st.text(st.characters(codec="utf-8")))
def test_text_survives_toml(text: str) -> None:
    """Any text is written as a TOML string that reads back the same."""
    assert tomllib.loads(f"x = {toml(text)}") == {"x": text}


# What is refused

BAD_FLAGS = [
    ("--listen", "8790", "'8790' is not an address of the form host:port; for this machine only write 127.0.0.1:8790"),
    (
        "--listen",
        ":8790",
        "':8790' is not an address of the form host:port; for this machine only write 127.0.0.1:8790, for every interface 0.0.0.0:8790",
    ),
    ("--listen", "::1:8790", "'::1:8790' is not an address of the form host:port; write an IPv6 address in brackets, as in [::1]:8790"),
    ("--listen", "localhost", "'localhost' is not an address of the form host:port; the port is missing"),
    ("--listen", "localhost:", "'localhost:' is not an address of the form host:port; the port must be a number from 0 to 65535"),
    (
        "--listen",
        "127.0.0.1:65536",
        "'127.0.0.1:65536' is not an address of the form host:port; port 65536 is above 65535, the largest port",
    ),
    (
        "--upstream",
        "ws://a:70000/b",
        "'ws://a:70000/b' is not a URL that starts with ws:// or wss://; port 70000 is above 65535, the largest port",
    ),
    ("--listen", "127.0.0.1:٣", "'127.0.0.1:٣' is not an address of the form host:port; the port must be a number from 0 to 65535"),
    ("--listen", "http://127.0.0.1:1", "'http://127.0.0.1:1' is not an address of the form host:port; leave out the scheme"),
    ("--listen", "127.1:1", "'127.1:1' is not an address of the form host:port; the host is neither an IP address nor a host name"),
    ("--listen", "a b:1", "'a b:1' is not an address of the form host:port; the host is neither an IP address nor a host name"),
    ("--listen", "[localhost]:1", "'[localhost]:1' is not an address of the form host:port; brackets are for IPv6 addresses"),
    ("--listen", "", "'' is not an address of the form host:port; the port is missing"),
    ("--path", "ws", "'ws' is not a URL path such as /ws (letters, digits and . _ ~ - between slashes)"),
    ("--path", "/ws?a=1", "'/ws?a=1' is not a URL path such as /ws (letters, digits and . _ ~ - between slashes)"),
    ("--path", "/a/../b", "'/a/../b' is not a URL path such as /ws (letters, digits and . _ ~ - between slashes)"),
    ("--path", "/{x}", "'/{x}' is not a URL path such as /ws (letters, digits and . _ ~ - between slashes)"),
    ("--drain-timeout", "2s", "'2s' is not a number of seconds, without a unit, from 0 to 600"),
    ("--drain-timeout", "-1", "'-1' is not a number of seconds, without a unit, from 0 to 600"),
    ("--drain-timeout", "nan", "'nan' is not a number of seconds, without a unit, from 0 to 600"),
    ("--drain-timeout", "1e999", "'1e999' is not a number of seconds, without a unit, from 0 to 600"),
    ("--idle-timeout", "0", "'0' is not a number of seconds, without a unit, from 1 to 604800"),
    ("--max-agents", "0", "'0' is not a whole number from 1 to 10000"),
    ("--max-agents", "1_000", "'1_000' is not a whole number from 1 to 10000"),
    ("--max-agents", "many", "'many' is not a whole number from 1 to 10000"),
    ("--max-frame-bytes", "64K", "'64K' is not a whole number from 1024 to 16777216"),
    ("--label-allow", "model", "'model' is not a label and its value of the form label=value"),
    ("--label-allow", "Model=a", "'Model=a' is not a label and its value of the form label=value"),
    ("--label-allow", "model=", "'model=' is not a label and its value of the form label=value"),
    ("--ready-file", "", "'' is not a file name"),
    ("--ready-file", "a\x1b[2J", "'a\\x1b[2J' is not a file name"),
    ("--log-level", "inof", "'inof' is not one of debug, info, warning, error; did you mean 'info'?"),
    ("--log-format", "xml", "'xml' is not one of text, json"),
]


@pytest.mark.parametrize(("flag", "value", "message"), BAD_FLAGS, ids=lambda text: None)
def test_bad_flag(flag: str, value: str, message: str) -> None:
    """A bad flag is refused with the flag, what was given and what is expected."""
    assert problems(flag, value) == (f"Invalid value for '{flag}': {message}",)


@pytest.mark.parametrize(("flag", "value", "message"), [case for case in BAD_FLAGS if case[1]], ids=lambda text: None)
def test_bad_variable(monkeypatch: pytest.MonkeyPatch, flag: str, value: str, message: str) -> None:
    """The same value in the environment is refused in the same words, with the variable's name."""
    env = "AGENTSTACK_EXPORTER_" + flag.removeprefix("--").replace("-", "_").upper()
    monkeypatch.setenv(env, value)
    assert problems() == (f"{env}: {message}",)


def test_bad_variable_is_an_error_even_when_a_flag_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is overridden is checked all the same."""
    monkeypatch.setenv("AGENTSTACK_EXPORTER_MAX_AGENTS", "x")
    assert problems("--max-agents", "5") == ("AGENTSTACK_EXPORTER_MAX_AGENTS: 'x' is not a whole number from 1 to 10000",)


BAD_LINES = [
    ("lisen = 'a'", "unknown key 'lisen'; did you mean 'listen'?"),
    ("drain_timeout = 1", "unknown key 'drain_timeout'; did you mean 'drain-timeout'?"),
    ("whatever = 1", "unknown key 'whatever'"),
    ("[exporter]", "unknown key 'exporter'; settings belong at the top level of the file, not in tables"),
    ("[serve]", "unknown key 'serve'; settings belong at the top level of the file, not in tables"),
    ("[listen]", "listen: {} is not an address of the form host:port"),
    ("listen = 8790", "listen: 8790 is not an address of the form host:port"),
    ("subscribe = 'no'", "subscribe: 'no' is not true or false"),
    ("subscribe = 0", "subscribe: 0 is not true or false"),
    ("max-agents = 1.5", "max-agents: 1.5 is not a whole number from 1 to 10000"),
    ("max-agents = true", "max-agents: true is not a whole number from 1 to 10000"),
    ("max-agents = '5'", "max-agents: '5' is not a whole number from 1 to 10000"),
    ("max-agents = 10001", "max-agents: 10001 is not a whole number from 1 to 10000"),
    ("drain-timeout = true", "drain-timeout: true is not a number of seconds, without a unit, from 0 to 600"),
    ("drain-timeout = nan", "drain-timeout: nan is not a number of seconds, without a unit, from 0 to 600"),
    ("label-allow = 'model=a'", "label-allow: 'model=a' is not a list of strings"),
    ("label-allow = [1]", "label-allow: 1 is not a label and its value of the form label=value"),
    ("label-allow = ['model']", "label-allow: 'model' is not a label and its value of the form label=value"),
    ("ready-file = 1", "ready-file: 1 is not a file name"),
    ("log-level = 'inof'", "log-level: 'inof' is not one of debug, info, warning, error; did you mean 'info'?"),
    ("log-level = 1", "log-level: 1 is not one of debug, info, warning, error"),
    ("turn-wait = 1979-05-27", "turn-wait: 1979-05-27 is not a number of seconds, without a unit, from 0 to 600"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=lambda text: None)
def test_bad_key_in_the_file(line: str, message: str) -> None:
    """A bad key or value in the file is refused with file, line and key."""
    write(f"# settings\n\n{line}\n")
    assert problems("--config", "exporter.toml") == (f"exporter.toml, line 3: {message}",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"listen = \n", "exporter.toml: is not TOML: Invalid value (at line 1, column 10)"),
        (b"linger = true\nlinger = true\n", "exporter.toml: is not TOML: Cannot overwrite a value (at line 2, column 14)"),
        (b"path = '\xff'", "exporter.toml: is not UTF-8 at byte 8"),
        (b"x=" + b"[" * 100_000, "exporter.toml: is not TOML: "),
        (b"#" * (1 << 20) + b"\n", "exporter.toml: is larger than 1048576 bytes"),
    ],
)
def test_file_that_cannot_be_read(content: bytes, message: str) -> None:
    """A file that is not a settings file is refused with the reason."""
    Path("exporter.toml").write_bytes(content)
    [problem] = problems("--config", "exporter.toml")
    assert problem.startswith(f"--config: {message}")


def test_missing_file_names_where_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing settings file is an error that names the flag or the variable."""
    assert problems("--config", "nope.toml") == ("--config: nope.toml: cannot be read: No such file or directory",)
    monkeypatch.setenv("AGENTSTACK_EXPORTER_CONFIG", ".")
    assert problems() == ("AGENTSTACK_EXPORTER_CONFIG: .: cannot be read: Is a directory",)


def test_bad_file_name_names_where_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """An impossible file name is refused with the flag or the variable."""
    assert problems("--config", "a\n") == ("Invalid value for '--config': 'a\\n' is not a file name",)
    monkeypatch.setenv("AGENTSTACK_EXPORTER_CONFIG", "a\n")
    assert problems() == ("Invalid value for 'AGENTSTACK_EXPORTER_CONFIG': 'a\\n' is not a file name",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LISEN", "unknown environment variable; did you mean AGENTSTACK_EXPORTER_LISTEN?"),
        ("CONFG", "unknown environment variable; did you mean AGENTSTACK_EXPORTER_CONFIG?"),
    ],
)
def test_misspelt_variable(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    """A variable with the prefix whose name resembles a setting is an error that suggests the setting."""
    monkeypatch.setenv(f"AGENTSTACK_EXPORTER_{name}", "9000")
    assert problems() == (f"AGENTSTACK_EXPORTER_{name}: {message}",)


@pytest.mark.parametrize("name", ["VERSION", "IMAGE", "IMAGE_TAG", "TAG", "PORT", "HOST", "REPLICAS", "DIGEST", "MEM_LIMIT", "SERVICE"])
def test_variable_that_resembles_no_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable with the prefix that people set beside a container is a warning, and the settings are loaded."""
    monkeypatch.setenv(f"AGENTSTACK_EXPORTER_{name}", "1.2.3")
    [warning] = load().warnings
    assert warning.startswith(f"AGENTSTACK_EXPORTER_{name}: unknown environment variable")
    assert warning.endswith("; it is ignored")


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of environment and file are reported together, environment first."""
    write("lisen = 1\nmax-agents = 0\n")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LINGER", "maybe")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LOGLEVEL", "x")
    assert problems("--config", "exporter.toml") == (
        "AGENTSTACK_EXPORTER_LINGER: 'maybe' is not true or false",
        "AGENTSTACK_EXPORTER_LOGLEVEL: unknown environment variable; did you mean AGENTSTACK_EXPORTER_LOG_LEVEL?",
        "exporter.toml, line 1: unknown key 'lisen'; did you mean 'listen'?",
        "exporter.toml, line 2: max-agents: 0 is not a whole number from 1 to 10000",
    )


# Listening beyond this machine


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_requires_no_authentication(host: str) -> None:
    """Addresses that only this machine can reach require no authentication."""
    settings = load("--listen", f"{host}:1", "--telemetry-listen", f"{host}:2").settings
    assert (str(settings.listen), str(settings.telemetry_listen)) == (f"{host}:1", f"{host}:2")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.5", "exporter.internal", "[::ffff:10.0.0.1]"])
def test_listening_beyond_loopback_is_refused(host: str) -> None:
    """Addresses that other machines can reach require authentication or a switch, for each listener."""
    reach = "can be reached from other machines and requires no authentication"
    listen, telemetry = problems("--listen", f"{host}:1", "--telemetry-listen", f"{host}:2")
    remedy = "set --auth-tokens, use a loopback address such as 127.0.0.1:1, or allow it with --insecure"
    assert listen == f"--listen: {host}:1 {reach}; {remedy}"
    remedy = "add users to --web-config, use a loopback address such as 127.0.0.1:2, or allow it with --insecure-telemetry"
    assert telemetry == f"--telemetry-listen: {host}:2 {reach}; {remedy}"
    asked = load("--listen", f"{host}:1", "--insecure", "--telemetry-listen", f"{host}:2", "--insecure-telemetry")
    assert str(asked.settings.listen) == f"{host}:1"


def test_contradiction_names_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contradiction is reported at the source of the setting."""
    write("\ntelemetry-listen = '0.0.0.0:2'")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LISTEN", "0.0.0.0:1")
    first, second = problems("--config", "exporter.toml")
    assert first.startswith("AGENTSTACK_EXPORTER_LISTEN: 0.0.0.0:1 can be reached")
    assert second.startswith("exporter.toml, line 2: telemetry-listen: 0.0.0.0:2 can be reached")


@pytest.mark.parametrize("telemetry", ["127.0.0.1:8790", "0.0.0.0:8790"])
def test_listeners_do_not_share_an_address(telemetry: str) -> None:
    """Both listeners on one address are a contradiction; port 0 never is."""
    assert problems("--telemetry-listen", telemetry, "--insecure-telemetry") == (
        f"--telemetry-listen: {telemetry} is the address of --listen 127.0.0.1:8790; each listener needs its own address",
    )
    assert load("--listen", "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0").settings.listen.port == 0


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1:8790", "ws://127.0.0.1:8790"),
        ("127.0.0.1:8790", "ws://localhost:8790/ws"),
        ("127.0.0.1:8790", "ws://0.0.0.0:8790"),
        ("localhost:8790", "ws://127.0.0.1:8790"),
        ("0.0.0.0:8790", "ws://127.0.0.9:8790"),
        ("0.0.0.0:8790", "ws://localhost:8790"),
        ("[::]:8790", "ws://[::1]:8790"),
        ("relay.example:443", "wss://Relay.example"),
    ],
)
def test_upstream_is_not_the_exporter_itself(listen: str, upstream: str) -> None:
    """An --upstream that leads back to --listen is a contradiction."""
    assert problems("--listen", listen, "--upstream", upstream, "--insecure") == (
        f"--upstream: {upstream} is the address of --listen {listen}; the exporter would connect to itself",
    )


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1:8790", "ws://127.0.0.1:9000"),
        ("127.0.0.1:8790", "ws://127.0.0.2:8790"),
        ("127.0.0.1:8790", "ws://app:8790"),
        ("0.0.0.0:8790", "ws://10.0.0.1:8790"),
        ("10.0.0.1:8790", "ws://localhost:8790"),
        ("[::]:8790", "ws://127.0.0.1:8790"),
    ],
)
def test_upstream_on_the_same_port(listen: str, upstream: str) -> None:
    """An --upstream that may be another machine or another address is accepted."""
    assert load("--listen", listen, "--upstream", upstream, "--insecure").settings.upstream == upstream


@pytest.mark.parametrize(
    ("text", "reached"),
    [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1"), ("a.example:1", "a.example:1")],
)
def test_wildcard_is_reached_on_loopback(text: str, reached: str) -> None:
    """A client on this machine connects to loopback if the server listens on every interface."""
    assert str(parse_address(text).reachable()) == reached


@given(st.text(alphabet=string.printable + "é٣", max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """Every text is an address that reads back the same, or is refused."""
    kind = next(setting.about.kind for setting in SETTINGS if setting.name == "listen")
    try:
        address = kind.convert(text, None, None)
    except click.BadParameter as refusal:
        assert refusal.message.isprintable()  # noqa: PT017 - either outcome is right, each has its own rule
    else:
        assert parse_address(str(address)) == address == Address(address.host, address.port)


@given(st.integers() | st.text(alphabet="0123456789+-. e_x", max_size=25))
def test_whole_number_stays_within_bounds(value: int | str) -> None:
    """Whatever is given, a whole number is within its bounds or refused."""
    try:
        number = Whole(1, 100).convert(value, None, None)
    except click.BadParameter:
        return
    assert type(number) is int
    assert 1 <= number <= 100


def test_flags_named_in_help_exist() -> None:
    """Help mentions only flags that exist."""
    named = {flag for setting in SETTINGS for flag in re.findall(r"--[a-z][a-z-]*", setting.help)}
    assert named <= {setting.flag for setting in SETTINGS}
