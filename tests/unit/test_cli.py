"""The command line: its commands and their options, its errors, and check-config and healthcheck."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from exporter import __version__, compiled
from exporter.cli import main
from exporter.config import SETTINGS, Settings
from exporter.tools.healthcheck import failure

ROOT = Path(__file__).parents[2]
COMMANDS = ("catalogue", "check-config", "demo", "healthcheck", "replay", "serve", "simulate")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AGENTSTACK_EXPORTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*args: str) -> Result:
    """Call the command line."""
    return CliRunner().invoke(main, list(args), prog_name="agentstack-exporter")


def params(command: str, *args: str) -> dict[str, object]:
    """The arguments of a command's function."""
    parent = click.Context(main, info_name="agentstack-exporter", **main.context_settings)
    return main.commands[command].make_context(command, list(args), parent=parent).params


def test_commands() -> None:
    """All documented commands exist and have help."""
    assert tuple(sorted(main.commands)) == COMMANDS
    shown = run("--help").stdout
    assert all(f"  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """Each command explains itself on stdout, and every option of it."""
    result = run(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert run(command, "-h").stdout == result.stdout
    for param in main.commands[command].params:
        assert isinstance(param, click.Argument) or getattr(param, "help", None)


def test_serve_has_a_flag_for_every_setting() -> None:
    """No setting is left out of serve, demo or check-config."""
    for command in ("serve", "demo", "check-config"):
        flags = {flag for param in main.commands[command].params for flag in param.opts}
        assert {setting.flag for setting in SETTINGS} <= flags


def test_version() -> None:
    """--version names the versions of exporter and Python, whether it is compiled, and the platform, on one line of stdout."""
    result = run("--version")
    assert result.exit_code == 0
    runs = "compiled" if compiled.RecordWriter else "plain"
    assert result.stdout.startswith(f"agentstack-exporter {__version__} ({runs}), Python 3.")
    assert result.stdout.count("\n") == 1


REFUSED = [
    (["serv"], "No such command 'serv'. Did you mean 'serve'?"),
    (["check-confg"], "No such command 'check-confg'. Did you mean 'check-config'?"),
    (["nonsense"], "No such command 'nonsense'."),
    (["--verison"], "No such option '--verison'. Did you mean '--version'?"),
    (["serve", "--ready-fil", "x"], "No such option '--ready-fil'. Did you mean '--ready-file'?"),
    (["serve", "--no-such-thing-at-all-here"], "No such option '--no-such-thing-at-all-here'."),
    (["serve", "--listen"], "Option '--listen' requires an argument."),
    (["serve", "--linger=yes"], "Option '--linger' does not take a value."),
    (["serve", "extra"], "Got unexpected extra argument (extra)"),
    (["serve", "--listen", "8790"],
     "Invalid value for '--listen': '8790' is not an address of the form host:port; for this machine only write 127.0.0.1:8790"),
    (["check-config", "--config", "nope.toml"], "--config: nope.toml: cannot be read: No such file or directory"),
    (["healthcheck", "--config", "nope.toml"], "--config: nope.toml: cannot be read: No such file or directory"),
    (["healthcheck", "--url", "ftp://x/"], "Invalid value for '--url': 'ftp://x/' is not a URL that starts with http:// or https://"),
    (["healthcheck", "--url", "http://x/", "--ready"], "--url and --ready cannot be combined; --url is the complete URL."),
    (["healthcheck", "--telemetry-listen", "127.0.0.1:0"],
     "--telemetry-listen has port 0, which means any free port; use --url."),
    (["simulate", "--profile", "typcial"],
     ("Invalid value for '--profile': 'typcial' is not one of fast, typical, slow, s2s, outbound, "
     "streaming, messy, mixed, healthy, slow-llm, hasty, outage, silent; did you mean 'typical'?")),
    (["simulate", "--url", "http://x"], "Invalid value for '--url': 'http://x' is not a URL that starts with ws:// or wss://"),
    (["simulate", "--url", "ws://x:99999"],
     ("Invalid value for '--url': 'ws://x:99999' is not a URL that starts with ws:// or wss://; "
      "port 99999 is above 65535, the largest port")),
    (["simulate", "--calls", "0"], "Invalid value for '--calls': '0' is not a whole number from 1 to 10000000"),
    (["simulate", "--rate", "inf"], "Invalid value for '--rate': 'inf' is not a number from 0 to 1000000"),
    (["simulate", "--speed", "-1"], "Invalid value for '--speed': '-1' is not a number from 0 to 1000000"),
    (["simulate", "--truth"], "Option '--truth' requires an argument."),
    (["healthcheck", "--ready=1"], "Option '--ready' does not take a value."),
    (["--version=1"], "Option '--version' does not take a value."),
    (["serve", "--listen", "127.0.0.1:99999", "--max-agents", "x", "--linger"],
     ("2 problems: (1) Invalid value for '--listen': '127.0.0.1:99999' is not an address of the form host:port; "
      "port 99999 is above 65535, the largest port; "
      "(2) Invalid value for '--max-agents': 'x' is not a whole number from 1 to 10000")),
    (["simulate", "--speed", "fast", "--profile", "typical", "--calls", "0"],
     ("2 problems: (1) Invalid value for '--speed': 'fast' is not a number from 0 to 1000000; "
      "(2) Invalid value for '--calls': '0' is not a whole number from 1 to 10000000")),
    (["serve", "--config", "nope.toml", "--max-agents", "x"],
     ("2 problems with the settings: (1) --config: nope.toml: cannot be read: No such file or directory; "
      "(2) Invalid value for '--max-agents': 'x' is not a whole number from 1 to 10000")),
    (["replay", "--summary", "--traces", "-"], "--summary and --traces cannot be combined."),
    (["replay"], "Missing argument 'FILE'."),
    (["replay", "nope.jsonl"], "Invalid value for 'FILE': 'nope.jsonl': No such file or directory"),
    (["replay", "--format", "jsno", "-"],
     "Invalid value for '--format': 'jsno' is not one of text, json; did you mean 'json'?"),
    (["catalogue", "--format", "mardown"],
     "Invalid value for '--format': 'mardown' is not one of json, markdown; did you mean 'markdown'?"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "message"), REFUSED, ids=lambda value: None)
def test_wrong_command_line(args: list[str], message: str) -> None:
    """A wrong command line exits with 2, says why on stderr, and leaves stdout empty."""
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    usage, hint, empty, *lines = result.stderr.splitlines()
    assert usage.startswith("Usage: agentstack-exporter ")
    assert (hint.startswith("Try 'agentstack-exporter "), empty, lines) == (True, "", [f"Error: {message}"])


def test_no_command_is_a_wrong_command_line() -> None:
    """Without a command the help goes to stderr and the exit code is 2."""
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


# check-config


def test_check_config_prints_values_and_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    """check-config prints each setting with its value and its origin."""
    Path("exporter.toml").write_text("max-agents = 7\n", encoding="utf-8")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_TURN_WAIT", "3")
    result = run("check-config", "--config", "exporter.toml", "--log-level", "debug")
    assert (result.exit_code, result.stderr) == (0, "")
    *printed, traces, metrics = result.stdout.splitlines()
    assert (traces, metrics) == ("# OTLP traces: none", "# OTLP metrics: none")
    lines = {tuple(part.strip() for part in line.rsplit("  # ", 1)) for line in printed}
    assert ("max-agents = 7", "file exporter.toml, line 1") in lines
    assert ("turn-wait = 3.0", "environment AGENTSTACK_EXPORTER_TURN_WAIT") in lines
    assert ('log-level = "debug"', "flag --log-level") in lines
    assert ('listen = "127.0.0.1:8790"', "default") in lines
    assert len(lines) == len(SETTINGS)


FAULTS = [
    (
        ("--tls-cert", "junk.pem", "--tls-key", "junk.pem"),
        "--tls-cert: junk.pem: cannot be used as a certificate: the file holds no",
    ),
    (("--web-config", "no_cert.yml"), "no_cert.yml: tls_server_config.cert_file: is missing"),
    (("--web-config", "junk_cert.yml"), "--web-config: junk_cert.yml: tls_server_config.cert_file: junk.pem: cannot be used as a"),
    (("--otlp-queue-dir", "junk.pem"), "--otlp-queue-dir: junk.pem is a file; expected a directory"),
    (("--otlp-queue-dir", "junk.pem/queue"), "--otlp-queue-dir: junk.pem is a file; expected a directory"),
    (("--label-allow", "modl=a"), "--label-allow: no metric has the label 'modl'; did you mean 'model'?"),
    (("--upstream", "wss://a", "--upstream-ca", "junk.pem"), "--upstream-ca junk.pem cannot be used"),
    (("--ready-file", "nowhere/ready"), "--ready-file: nowhere: no such directory"),
]


def write_faulty_files(folder: Path) -> None:
    """Write the files that ``FAULTS`` names."""
    (folder / "junk.pem").write_text("junk", encoding="utf-8")
    (folder / "no_cert.yml").write_text("tls_server_config: {key_file: junk.pem}\n", encoding="utf-8")
    (folder / "junk_cert.yml").write_text("tls_server_config: {cert_file: junk.pem, key_file: junk.pem}\n", encoding="utf-8")


@pytest.mark.parametrize(("args", "message"), FAULTS)
def test_check_config_refuses_what_serve_refuses(args: tuple[str, ...], message: str) -> None:
    """check-config does what serve does short of listening, and so finds the same faults."""
    write_faulty_files(Path())
    result = run("check-config", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_check_config_prints_where_otlp_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """check-config prints the target of each signal without credentials, and the problems of the variables on stderr."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:hunter2@collector:4318/v1/traces")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_VERSION", "1")
    result = run("check-config")
    assert result.exit_code == 0
    assert "# OTLP traces: http/protobuf https://collector:4318\n# OTLP metrics: grpc localhost:4317\n" in result.stdout
    assert "hunter2" not in result.output
    assert "Warning: OTEL_BSP_SCHEDULE_DELAY" in result.stderr
    assert "Warning: AGENTSTACK_EXPORTER_VERSION: unknown environment variable" in result.stderr


def test_check_config_prints_headers_and_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """check-config prints the names of the headers and the proxy of each signal, and other exporters, but no secret."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=hunter2,team=voice")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp,console,nobody")
    monkeypatch.setenv("https_proxy", "http://user:hunter2@proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    result = run("check-config")
    assert result.stdout.splitlines()[-5:] == [
        "# OTLP traces: http/protobuf https://collector.example:4318 (proxy http://proxy.example:3128)",
        "# OTLP metrics: http/protobuf https://collector.example:4318 (proxy http://proxy.example:3128)",
        "# OTLP traces: headers api-key, team; proxy http://proxy.example:3128",
        "# OTLP metrics: headers none; proxy http://proxy.example:3128",
        "# traces: exporter console",
    ]
    assert "hunter2" not in result.output
    assert "Warning: OTEL_TRACES_EXPORTER: no installed package has the exporter 'nobody'" in result.stderr
    ignored = run("check-config", "--no-otlp-proxy")
    assert "# OTLP traces: headers api-key, team; proxy none" in ignored.stdout


def test_check_config_lists_every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several problems are one line, with a number each."""
    monkeypatch.setenv("AGENTSTACK_EXPORTER_LISEN", "x")
    monkeypatch.setenv("AGENTSTACK_EXPORTER_MAX_PAIRS", "x")
    result = run("check-config")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(
        "\nError: 2 problems with the settings: "
        "(1) AGENTSTACK_EXPORTER_LISEN: unknown environment variable; did you mean AGENTSTACK_EXPORTER_LISTEN?; "
        "(2) AGENTSTACK_EXPORTER_MAX_PAIRS: 'x' is not a whole number from 1 to 10000\n"
    )


# Options of the other commands


def test_simulate_defaults() -> None:
    """simulate connects to the default address of serve, with twenty calls."""
    given = params("simulate")
    defaults = Settings()
    assert given["url"] == f"ws://{defaults.listen}{defaults.path}"
    assert (given["calls"], given["concurrency"], given["seed"], given["profiles"]) == (20, None, None, ())


def test_simulate_options() -> None:
    """simulate uses its options, and accepts several profiles."""
    given = params("simulate", "--profile", "fast", "--profile", "S2S", "--truth", "t.json", "--rate", "2.5", "--seed", "7", "--quiet")
    assert given["profiles"] == ("fast", "s2s")
    assert (given["truth"], given["rate"], given["seed"], given["quiet"]) == (Path("t.json"), 2.5, 7, True)


def test_demo_takes_settings_and_its_own_options() -> None:
    """demo has the settings of serve and the options of its simulation."""
    given = params("demo", "--calls", "5", "--speed", "10", "--max-agents", "3")
    assert set(given) == {"loaded", "calls", "seed", "speed", "print_traces"}
    assert (given["calls"], given["speed"]) == (5, 10.0)


# healthcheck


class _Answers(BaseHTTPRequestHandler):
    """An exporter that is healthy but not ready."""

    def do_GET(self) -> None:
        well = self.path == "/-/healthy"
        self.send_response(200 if well else 503)
        self.end_headers()
        self.wfile.write(b"ok" if well else b"draining\nsince \x1b[31mnow")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the base class gave it
        """Say nothing on stderr."""


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of a server on loopback that answers like an exporter."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
@pytest.mark.external
def test_healthcheck_of_a_well_exporter(answering: int, host: str) -> None:
    """A healthy exporter gives exit code 0 and no output; one that listens on every interface is checked on loopback."""
    result = run("healthcheck", "--telemetry-listen", f"{host}:{answering}")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.external
def test_healthcheck_reads_the_settings(answering: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """healthcheck uses the address from environment or file."""
    monkeypatch.setenv("AGENTSTACK_EXPORTER_TELEMETRY_LISTEN", f"127.0.0.1:{answering}")
    assert run("healthcheck").exit_code == 0
    monkeypatch.delenv("AGENTSTACK_EXPORTER_TELEMETRY_LISTEN")
    Path("exporter.toml").write_text(f"telemetry-listen = '127.0.0.1:{answering}'", encoding="utf-8")
    assert run("healthcheck", "--config", "exporter.toml").exit_code == 0


@pytest.mark.external
def test_healthcheck_of_an_exporter_that_is_not_ready(answering: int) -> None:
    """An answer other than 200 gives exit code 1 and status and reason on one printable line of stderr."""
    result = run("healthcheck", "--ready", "--telemetry-listen", f"127.0.0.1:{answering}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"http://127.0.0.1:{answering}/-/ready: status 503, draining\\nsince \\x1b[31mnow\n"


@pytest.mark.external
def test_healthcheck_of_a_url(answering: int) -> None:
    """--url is the requested URL."""
    assert run("healthcheck", "--url", f"http://127.0.0.1:{answering}/-/healthy").exit_code == 0
    assert run("healthcheck", "--url", f"http://127.0.0.1:{answering}").exit_code == 1


@pytest.mark.external
def test_healthcheck_when_nothing_listens() -> None:
    """A refused connection gives exit code 1 and says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("healthcheck", "--telemetry-listen", address)
    assert (result.exit_code, result.stderr) == (1, f"http://{address}/-/healthy: Connection refused\n")


@pytest.mark.external
def test_healthcheck_of_a_silent_server() -> None:
    """A server that accepts and does not answer is unhealthy."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/-/healthy"
        assert failure(url, timeout=0.05) == f"{url}: no answer within 0.05 s"


@pytest.mark.external
def test_healthcheck_of_something_else() -> None:
    """A peer that does not speak HTTP is unhealthy, and its answer is shown safely."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0-\x1b[2J\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        reason = failure(url, timeout=5)
        thread.join()
    assert reason is not None
    assert reason.startswith(f"{url}: ")
    assert reason.isprintable()


# As a process


def process(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTSTACK_EXPORTER_")}
    return subprocess.run(
        [sys.executable, *args],
        env=inherited | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.external
def test_process_check_config() -> None:
    """In a process: data on stdout, exit code 0."""
    done = process(
        "-m", "exporter.cli", "check-config", AGENTSTACK_EXPORTER_PATH="/events", AGENTSTACK_EXPORTER_PORT="tcp://10.0.0.1:1"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'path = "/events"' in done.stdout


@pytest.mark.external
def test_process_wrong_setting() -> None:
    """In a process: a wrong setting gives exit code 2 and an error on stderr."""
    done = process("-m", "exporter.cli", "serve", AGENTSTACK_EXPORTER_PATH="events")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: AGENTSTACK_EXPORTER_PATH: 'events' is not a URL path" in done.stderr


@pytest.mark.external
def test_command_line_is_light() -> None:
    """Commands that need no server do not import one."""
    heavy = ("uvicorn", "starlette", "websockets", "rich")
    code = f"import sys, exporter.cli, exporter.tools.healthcheck; print([name for name in {heavy} if name in sys.modules])"
    assert process("-c", code).stdout == "[]\n"


@pytest.mark.external
@pytest.mark.parametrize("command", ["catalogue", "check-config", "--version"])
def test_an_output_that_cannot_be_written(command: str) -> None:
    """A full disk ends a command with one line and code 1."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "exporter.cli", command],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "Error: cannot write the output: No space left on device\n")
