"""Whole outputs, compared with what was expected: the protocol's samples and a small simulated fleet."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.exporters.prometheus.exposition import Renderer
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from exporter.simulate.call import SESSION_STARTS, event_name, plan_call
from exporter.simulate.profiles import FLEETS
from exporter.tools.replay import draw_replay, run_replay
from tests.support.golden import Golden

SAMPLES = Path(__file__).parent.parent / "data" / "samples.jsonl"
STARTED_AT = 1_777_885_200.0
SEED = 7
FLEET = ("typical", "typical", "slow", "s2s", "outbound", "messy", "messy", "streaming")
NAMES = {Format.TEXT_0_0_4: "metrics.prom", Format.OPENMETRICS_1_0_0: "metrics.openmetrics"}

Sent = tuple[float, int, str]
"""When it is received, on which call, and the frame."""


class LoudDiagnostics(NoDiagnostics):
    def internal_error(self, error: Exception) -> None:
        raise error


def samples() -> Iterator[Sent]:
    """The protocol's samples, one each 100 ms, all on one connection."""
    for number, line in enumerate(SAMPLES.read_text(encoding="utf-8").splitlines()):
        yield STARTED_AT + number / 10, 0, json.dumps(json.loads(line)["event"])


def fleet() -> Iterator[Sent]:
    """Calls of several kinds that begin 3 s after each other, in the order of sending; a quarter of a second under way."""
    sent = [
        (STARTED_AT + call * 3 + at + 0.25, call, json.dumps(event))
        for call, profile in enumerate(FLEET)
        for at, event in plan_call(SEED, call, FLEETS[profile], turns=3).steps(STARTED_AT + call * 3)
    ]
    yield from sorted(sent, key=lambda each: each[0])


def fed(sent: Iterator[Sent]) -> Pipeline:
    """A pipeline to which all of it was fed, a tick each second; a start within a call comes on a connection of its own."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), LoudDiagnostics(), STARTED_AT)
    feeds: dict[int, CallFeed] = {}
    now = ticked = STARTED_AT
    for now, call, frame in sent:
        while ticked + 1 <= now:
            ticked += 1
            pipeline.tick(ticked)
        if call in feeds and event_name(json.loads(frame)) in SESSION_STARTS:
            feeds.pop(call).close(now)
        feed = feeds.get(call) or feeds.setdefault(call, CallFeed(pipeline))
        feed.consume(frame, now)
    for feed in feeds.values():
        feed.close(now)
    pipeline.tick(now + 60)
    return pipeline


@pytest.mark.parametrize("into", NAMES, ids=lambda into: into.name.lower())
@pytest.mark.parametrize("case", ["samples", "fleet"])
def test_metrics(golden: Golden, case: str, into: Format) -> None:
    """The whole of /metrics after the recorded and after the simulated calls is as expected, in both formats."""
    pipeline = fed(samples() if case == "samples" else fleet())
    snapshot = pipeline.snapshot(STARTED_AT + 1000)
    golden(f"{case}/{NAMES[into]}", b"".join(Renderer().chunks(snapshot, into)).decode())


def test_replay(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    """The explanation of the protocol's samples is as expected."""
    with SAMPLES.open("rb") as lines:
        run_replay(lines, "text")
    golden("samples/replay.txt", capsys.readouterr().out)


def test_traces(golden: Golden, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The recorded turns are drawn as waterfalls as expected."""
    monkeypatch.setenv("COLUMNS", "150")
    with SAMPLES.open("rb") as recording:
        assert draw_replay(recording) == 0
    golden("samples/traces.txt", "".join(line.rstrip() + "\n" for line in capsys.readouterr().out.splitlines()))
