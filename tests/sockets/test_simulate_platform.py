"""The simulated platform against a real WebSocket server."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from exporter.simulate.account import summarize
from exporter.simulate.call import SESSION_ENDS, Call, event_name, plan_call
from exporter.simulate.command import SimulateOptions, run_simulate, simulate
from exporter.simulate.fleet import FleetRun, RunConfig, Tally
from exporter.simulate.platform import Outcome, PlayConfig, Player
from exporter.simulate.profiles import FLEETS
from exporter.simulate.progress import progress_line
from exporter.simulate.truth import TruthWriter, nearest_rank, perceived_of, read_accounts, read_truth

STARTED_AT = 1_777_885_200.0
SUBSCRIPTION = {"metrics_events": True, "vad_events": True, "turn_events": True}


class App:
    """The customer's app: keeps what it receives by connection, and answers as told."""

    def __init__(self, answer: Callable[[ServerConnection, dict[str, Any]], Awaitable[None]] | None = None) -> None:
        self.connections: list[list[dict[str, Any]]] = []
        self.close_codes: list[int] = []
        self._answer = answer

    async def __call__(self, socket: ServerConnection) -> None:
        received: list[dict[str, Any]] = []
        self.connections.append(received)
        try:
            async for message in socket:
                assert isinstance(message, str), "the platform sends text frames"
                received.append(json.loads(message))
                if self._answer is not None:
                    await self._answer(socket, received[-1])
        except ConnectionClosed:
            pass
        await socket.wait_closed()
        assert socket.close_code is not None
        self.close_codes.append(socket.close_code)


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[str]:
    async with serve(app, "127.0.0.1", 0, compression=None) as server:
        yield url_of(server)


async def subscribe(socket: ServerConnection, event: dict[str, Any]) -> None:
    if event.get("type") == "session.started":
        await socket.send(json.dumps({"type": "agent_session.update", "events": SUBSCRIPTION}))


def script(call: Call) -> list[dict[str, Any]]:
    return [event for _, event in call.steps(STARTED_AT)]


def calls(profile: str, count: int = 300) -> Iterator[Call]:
    return (plan_call(7, number, FLEETS[profile], turns=3) for number in range(count))


def plain_call() -> Call:
    """A call that ends properly, on one connection, with nothing after its end."""
    return next(call for call in calls("typical") if event_name(script(call)[-1]) == "session.ended")


async def test_a_call_arrives_as_generated() -> None:
    """What the app receives is the script, then a normal close."""
    app, call = App(), plain_call()
    async with listening(app) as url:
        outcome = await Player(call, PlayConfig(url=url, speed=0)).play(STARTED_AT)
    assert app.connections == [script(call)]
    assert app.close_codes == [1000]
    assert (outcome.failure, outcome.events, outcome.connections) == (None, len(script(call)), 1)


async def test_a_fleet_is_recorded_exactly_as_received(tmp_path: Path) -> None:
    """The truth file holds every frame of every connection, drops and resumptions included, and nothing else."""
    app = App()
    async with listening(app) as url:
        options = SimulateOptions(url=url, seed=3, calls=60, speed=0, turns=3, profiles=("mixed", "messy"), quiet=True)
        with TruthWriter(tmp_path / "truth.jsonl") as truth:
            summary = await simulate(options, truth)
    records = list(read_truth(tmp_path / "truth.jsonl"))
    sent: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for record in records:
        sent.setdefault((record.call, record.connection), []).append(record.event)
    assert sorted(map(json.dumps, sent.values())) == sorted(map(json.dumps, app.connections))
    assert (summary["events"], summary["connections"], summary["failed"]) == (len(records), len(app.connections), 0)
    assert summary["connections"] > 60, "the messy part of the fleet resumes calls"
    perceived = perceived_of(records)
    assert summary["user_perceived_seconds"]["count"] == len(perceived)
    assert summary["user_perceived_seconds"]["p95"] == nearest_rank(perceived, 0.95)


@pytest.mark.parametrize("concurrency", [1, 20])
async def test_events_do_not_depend_on_concurrency(concurrency: int) -> None:
    """With a fixed start every call of a seed sends the same, however many run beside it."""
    app = App()
    async with listening(app) as url:
        config = RunConfig(
            play=PlayConfig(url=url, speed=0),
            seed=7,
            fleet=FLEETS["typical"],
            calls=20,
            concurrency=concurrency,
            turns=2,
            started_at=STARTED_AT,
        )
        await FleetRun(config).run()
    expected = [list(plan_call(7, n, FLEETS["typical"], turns=2).steps(STARTED_AT + n)) for n in range(20)]
    assert sorted(map(json.dumps, app.connections)) == sorted(json.dumps([event for _, event in steps]) for steps in expected)


async def test_opt_in_events_are_withheld_until_asked_for() -> None:
    """An app that never subscribes gets no turn.metrics, no VAD events and no turn events."""
    app, call = App(), plain_call()
    async with listening(app) as url:
        outcome = await Player(call, PlayConfig(url=url, speed=0, opt_in=True)).play(STARTED_AT)
    withheld = {"turn.metrics", "user.speech_started", "user.speech_stopped", "user.turn_completed", "turn.completed"}
    kept = [event for event in script(call) if event_name(event) not in withheld]
    assert app.connections == [kept]
    assert (outcome.subscribed, outcome.withheld) == (False, len(script(call)) - len(kept))


async def test_a_subscription_is_honoured() -> None:
    """An app that subscribes gets everything, and the outcome says that it did."""
    app, call = App(subscribe), plain_call()
    async with listening(app) as url:
        outcome = await Player(call, PlayConfig(url=url, speed=0, opt_in=True)).play(STARTED_AT)
    assert app.connections == [script(call)]
    assert (outcome.subscribed, outcome.withheld, outcome.commands) == (True, 0, Counter({"agent_session.update": 1}))


async def test_a_lost_line_has_no_goodbye() -> None:
    """A call that is cut off delivers all its events, and its connection ends without a close frame."""
    app = App()
    call = next(call for call in calls("messy") if not {event_name(event) for event in script(call)} & set(SESSION_ENDS))
    async with listening(app) as url:
        await Player(call, PlayConfig(url=url, speed=0)).play(STARTED_AT)
    assert list(chain.from_iterable(app.connections)) == script(call)
    assert app.close_codes[-1] == 1006


async def test_a_resumed_call_comes_back_on_another_connection() -> None:
    """The second connection begins with session.started of the same session."""
    app = App()
    call = next(call for call in calls("messy") if sum(event_name(event) == "session.started" for event in script(call)) == 2)
    async with listening(app) as url:
        await Player(call, PlayConfig(url=url, speed=0)).play(STARTED_AT)
    assert len(app.connections) == 2
    assert list(chain.from_iterable(app.connections)) == script(call)
    assert {received[0]["agent_session_id"] for received in app.connections} == {call.session_id}
    assert app.close_codes[0] == 1006


async def test_a_paced_call_takes_its_time() -> None:
    """At a thousandfold speed a call takes at least a thousandth of its length."""
    app, call = App(), plain_call()
    length = max(offset for offset, _ in call.steps(STARTED_AT))
    begun = asyncio.get_running_loop().time()
    async with listening(app) as url:
        await Player(call, PlayConfig(url=url, speed=1000)).play(STARTED_AT)
    assert asyncio.get_running_loop().time() - begun >= length / 1000 - 0.002
    assert app.connections == [script(call)]


async def test_an_app_may_close_once_the_session_is_over() -> None:
    """A close after session.ended is no failure, even with a report left to send."""

    async def close_at_end(socket: ServerConnection, event: dict[str, Any]) -> None:
        if event.get("type") == "session.ended":
            await socket.close()

    app = App(close_at_end)
    call = next(call for call in calls("typical") if event_name(script(call)[-1]) == "turn.metrics")
    async with listening(app) as url:
        outcome = await Player(call, PlayConfig(url=url, speed=1000)).play(STARTED_AT)
    assert outcome.failure is None


async def test_a_close_in_mid_call_is_a_failure() -> None:
    """The reason names the URL and the close code."""

    async def close_early(socket: ServerConnection, event: dict[str, Any]) -> None:
        await socket.close(1011)

    async with listening(App(close_early)) as url:
        outcome = await Player(plain_call(), PlayConfig(url=url, speed=200)).play(STARTED_AT)
    assert outcome.failure == f"{url} closed the connection in mid-call (code 1011)"


async def test_a_refused_handshake_names_the_status() -> None:
    """An HTTP answer instead of a WebSocket is told with its status."""

    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(HTTPStatus.FORBIDDEN, "no\n")

    async with serve(App(), "127.0.0.1", 0, process_request=refuse) as server:
        url = url_of(server)
        outcome = await Player(plain_call(), PlayConfig(url=url + "?token=secret", speed=0)).play(STARTED_AT)
    assert outcome.refused
    assert outcome.failure == f"cannot connect to {url}: it answered with HTTP status 403"


async def test_nobody_at_the_url_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand calls to a dead port end with the first refusal, exit code 1 and a clear message."""
    async with serve(App(), "127.0.0.1", 0) as server:
        url = url_of(server)
    options = SimulateOptions(url=url, calls=1000, concurrency=1, speed=0, quiet=True)
    assert await asyncio.to_thread(run_simulate, options) == 1
    out, err = capsys.readouterr()
    assert err == f"error: cannot connect to {url}: connection refused (1 call)\n"
    assert json.loads(out)["failed"] == 1


async def test_the_command_prints_its_summary(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """stdout is one JSON document that agrees with the truth file."""
    app, path = App(), tmp_path / "truth.jsonl"
    async with listening(app) as url:
        options = SimulateOptions(url=url, seed=5, calls=10, speed=0, turns=2, truth=path, profiles=("fast",), quiet=True)
        assert await asyncio.to_thread(run_simulate, options) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["seed"], summary["calls"], summary["events"]) == (5, 10, len(list(read_truth(path))))
    assert summary["events"] == sum(map(len, app.connections))
    accounts = [record.account for record in read_accounts(path)]
    assert len(accounts) == 10
    assert Counter(summary["account"]) == sum(map(summarize, accounts), Counter[str]())
    assert summary["account"]["answered_turns"] > 10


async def test_an_unwritable_truth_file_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 2 and the path, before any call."""
    path = tmp_path / "missing" / "truth.jsonl"
    assert await asyncio.to_thread(run_simulate, SimulateOptions(url="ws://127.0.0.1:1/ws", truth=path)) == 2
    assert str(path) in capsys.readouterr().err


async def test_a_run_without_end_stops_at_its_duration(tmp_path: Path) -> None:
    """Calls still open are cut off, and what they had sent is in the truth file and has arrived."""
    app = App()
    async with listening(app) as url:
        options = SimulateOptions(url=url, seed=1, calls=None, concurrency=5, speed=20, duration=0.3, quiet=True)
        with TruthWriter(tmp_path / "truth.jsonl") as truth:
            summary = await simulate(options, truth)
    assert summary["cut_off"] > 0
    assert summary["events"] == len(list(read_truth(tmp_path / "truth.jsonl"))) == sum(map(len, app.connections))


def test_progress_counts_calls_that_are_still_open() -> None:
    """A run of long calls shows movement before the first of them is over."""
    tally = Tally(calls=2, events=100, turns=4)
    tally.open[2] = Outcome(number=2, session_id="as-2", events=11, turns={(None, 1), (None, 2)})
    assert progress_line(tally, 50).startswith("2/50 calls done, 1 open, 6 turns, ")
    tally.add(tally.open[2])
    assert (tally.so_far(), tally.open) == ((111, 6), {})


async def test_the_rate_spaces_the_calls_out() -> None:
    """Ten calls at a hundred a second take at least ninety milliseconds to begin."""
    async with listening(App()) as url:
        summary = await simulate(SimulateOptions(url=url, seed=1, calls=10, speed=0, turns=1, rate=100, quiet=True))
    assert summary["seconds"] >= 0.089


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"url": "http://127.0.0.1/"}, "url must be ws://"),
        ({"calls": 0}, "calls must be at least 1"),
        ({"speed": -1.0}, "speed must be at least 0"),
        ({"profiles": ("quick",)}, "unknown profile 'quick'"),
        ({"profiles": ()}, "profiles must name at least one"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any], complaint: str) -> None:
    """The error names the option."""
    with pytest.raises(ValueError, match=complaint):
        SimulateOptions(**{"url": "ws://127.0.0.1:1/ws", **changes})
