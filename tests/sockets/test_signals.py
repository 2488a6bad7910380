"""Signals of the running process: what SIGHUP reloads and says, which signals are ignored, and an exit although a disk hangs."""

import os
import signal
from pathlib import Path

import pytest

from tests.sockets.test_auth import NEXT_TOKEN, TOKEN, bearer, status
from tests.support.daemon import ServingProgram, call, daemon_process, send_all
from tests.support.house_rules import ROOT
from tests.support.pki import make_pki
from tests.support.waiting import eventually

EVENTS = "agentstack_exporter_frames_total"
PRICES = '[[price]]\ncomponent = "tts"\ncharacters = 1\n'


async def said(daemon: ServingProgram, text: str) -> None:
    """Wait until the log holds ``text``."""
    await eventually(lambda: text in daemon.log, because=f"the log to say {text!r}")


async def served(daemon: ServingProgram) -> None:
    """Check that a call is still served."""
    async with call(daemon.endpoints.ws) as socket:
        await send_all(socket, [{"type": "play.completed"}])
        await daemon.endpoints.reaches(EVENTS, 1)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGIO, signal.SIGRTMIN, signal.SIGHUP])
async def test_a_signal_does_not_end_calls(tmp_path: Path, number: signal.Signals) -> None:
    """A call goes on after the signal, and SIGTERM still closes it with 1001."""
    async with daemon_process(tmp_path) as daemon, call(daemon.endpoints.ws) as socket:
        daemon.signal(number)
        await send_all(socket, [{"type": "play.completed"}])
        await daemon.endpoints.reaches(EVENTS, 1)
        daemon.signal(signal.SIGTERM)
        await socket.wait_closed()
        assert socket.close_code == 1001
        assert await daemon.ended(8) == 0


async def test_a_reload_reads_files_and_settings_and_says_so(tmp_path: Path) -> None:
    """SIGHUP reads tokens and the log level again, and names the settings that need a restart."""
    config = tmp_path / "exporter.toml"
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    config.write_text('auth-token-file = "tokens"\n')
    async with daemon_process(tmp_path, "--config", str(config)) as daemon:
        before = (tmp_path / "tokens").stat()
        (tmp_path / "tokens").write_text(f"{NEXT_TOKEN}\n")
        os.utime(tmp_path / "tokens", ns=(before.st_atime_ns, before.st_mtime_ns))
        config.write_text('auth-token-file = "tokens"\nlog-level = "debug"\nmax-agents = 7\n')
        daemon.signal(signal.SIGHUP)
        await said(daemon, "reload finished reloaded=tokens restart_needed_for=--max-agents")
        assert await status(daemon.endpoints.ws, **bearer(NEXT_TOKEN)) == 101
        assert await status(daemon.endpoints.ws, **bearer(TOKEN)) == 401
        await said(daemon, " debug ")


async def test_tokens_in_the_settings_file_are_reloaded(tmp_path: Path) -> None:
    """SIGHUP exchanges the tokens of the settings file."""
    config = tmp_path / "exporter.toml"
    config.write_text(f'auth-tokens = ["{TOKEN}"]\n')
    async with daemon_process(tmp_path, "--config", str(config)) as daemon:
        config.write_text(f'auth-tokens = ["{NEXT_TOKEN}"]\n')
        daemon.signal(signal.SIGHUP)
        await said(daemon, "reload finished")
        assert await status(daemon.endpoints.ws, **bearer(NEXT_TOKEN)) == 101
        assert await status(daemon.endpoints.ws, **bearer(TOKEN)) == 401


async def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    """With wrong settings and prices SIGHUP keeps the previous values, and says where the fault is."""
    config, prices = tmp_path / "exporter.toml", tmp_path / "prices.toml"
    prices.write_text(PRICES)
    config.write_text("")
    async with daemon_process(tmp_path, "--config", str(config), "--prices", str(prices)) as daemon:
        config.write_text("max-agents = true\n")
        prices.write_text("[[price]]\n")
        daemon.signal(signal.SIGHUP)
        await said(daemon, "reload finished")
        assert "keeping the previous settings" in daemon.log
        assert "max-agents" in daemon.log
        assert "price 1: component" in daemon.log
        await served(daemon)


async def test_a_reload_reads_certificates_and_prices(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """SIGHUP names each file that was read again."""
    pki = make_pki(tmp_path_factory.mktemp("pki"))
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    args = ("--tls-cert", str(pki.certificate), "--tls-key", str(pki.key), "--prices", str(prices))
    async with daemon_process(tmp_path, *args) as daemon:
        daemon.signal(signal.SIGHUP)
        await said(daemon, "reload finished")
        [line] = [line for line in daemon.log.splitlines() if "reload finished" in line]
        assert str(prices) in line
        assert str(pki.certificate) in line


async def test_a_token_file_that_hangs_delays_nothing(tmp_path: Path) -> None:
    """A token file that has become a FIFO without a writer delays no call and no stop; a reload says that it failed."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    async with daemon_process(tmp_path, "--auth-token-file", str(tokens)) as daemon:
        tokens.unlink()
        os.mkfifo(tokens)
        daemon.signal(signal.SIGHUP)
        assert await status(daemon.endpoints.ws, **bearer(TOKEN)) == 101
        await eventually(lambda: "reload finished failed=" in daemon.log, within=15, because="the reload to give up")
        assert await status(daemon.endpoints.ws, **bearer(TOKEN)) == 101
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended(8) == 0


async def test_a_stop_whose_disk_hangs(tmp_path: Path) -> None:
    """A thread that waits for a disk for ever does not keep the process from ending with 0 within the promised time."""
    program_text = (
        "import os, sys, threading; from concurrent.futures import ThreadPoolExecutor\n"
        "os.mkfifo('disk'); pool = ThreadPoolExecutor(1); pool.submit(lambda: open('disk').read())\n"
        "from exporter.cli import main; main(sys.argv[1:])\n"
    )
    (tmp_path / "hanging.py").write_text(program_text)
    async with daemon_process(tmp_path, module="hanging", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}) as daemon:
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended(10) == 0
        assert "stopped" in daemon.log


async def test_the_unit_reloads_by_signal() -> None:
    """The systemd unit sends SIGHUP on reload."""
    unit = (ROOT / "deploy" / "systemd" / "agentstack-exporter.service").read_text()
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit
