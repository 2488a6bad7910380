"""Whatever bytes come: each frame ends as one outcome, nothing is raised, and what is scraped next is well-formed."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import labels
from exporter.expose.negotiation import Format
from exporter.expose.prometheus import Renderer
from exporter.labels import Limits
from exporter.pipeline import Notices, Pipeline
from exporter.session import Waits
from exporter.wire import Reason
from tests.data.hostile_frames import LIMIT, REJECTED, TOLERATED, Frame
from tests.support.events import events

NOW = 1_777_885_200.0
NAMES = ("pipeline", "turn_method", "error_source", "llm_model", "llm_provider", "stt_model", "stt_provider", "tts_model")
HOSTILE = [*(frame for frame, _ in REJECTED.values()), *TOLERATED.values()]


class LoudNotices(Notices):
    def internal_error(self, error: Exception) -> None:
        raise AssertionError from error


def pipeline(limits: Limits | None = None) -> Pipeline:
    return Pipeline(limits or Limits(), Waits(), LoudNotices(), NOW, max_frame=LIMIT)


def outcomes(of: Pipeline) -> tuple[float, float, float, float]:
    """How many frames were received, processed, ignored and rejected."""
    metrics = of.metrics
    return metrics.frames_received[0], metrics.processed[0], metrics.ignored[0], metrics.rejected[0]


def assert_adds_up(of: Pipeline, frames: int) -> None:
    received, processed, ignored, rejected = outcomes(of)
    assert received == frames == processed + ignored + rejected
    assert sum(row[0] for row in of.metrics.rejected_by.values()) == rejected
    assert of.metrics.rejected_by["internal_error"][0] == 0


def assert_renders(of: Pipeline) -> None:
    snapshot = of.snapshot(NOW)
    for into in Format:
        text = b"".join(Renderer().chunks(snapshot, into)).decode()
        parse = parse_openmetrics if into is Format.OPENMETRICS_1_0_0 else parse_text
        assert len(list(parse(text))) == len(snapshot.families)


def spoiled(text: str, at: int, junk: str) -> str:
    """The text with something put in its middle."""
    place = at % (len(text) + 1)
    return text[:place] + junk + text[place + len(junk) :]


junk = st.sampled_from(("", '"', "\\", "{", "}", "[", "NaN", "\\ud800", "\ud800", "1e999", "\x00", "null", ",", ":", "9" * 30))
broken_events = st.builds(spoiled, events.map(json.dumps), st.integers(0, 10_000), junk)
any_frame: st.SearchStrategy[Frame] = (
    st.binary(max_size=200)
    | st.text(st.characters(), max_size=100)
    | st.sampled_from(HOSTILE)
    | events.map(json.dumps)
    | broken_events
    | broken_events.map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@given(frames=st.lists(any_frame, max_size=6))
def test_every_frame_ends_as_one_outcome(frames: list[Frame]) -> None:
    """Any frames on one connection are received, and processed, ignored or rejected for one reason each, and can be scraped."""
    of = pipeline()
    feed = of.feed()
    for frame in frames:
        feed.consume(frame, NOW)
    feed.close(NOW)
    of.tick(NOW + 100)
    assert_adds_up(of, len(frames))
    assert_renders(of)


@pytest.mark.parametrize("what", REJECTED)
def test_a_hostile_frame_is_rejected_for_its_reason(what: str) -> None:
    """A frame that is no event is rejected for the one reason that fits it and begins no session."""
    frame, reason = REJECTED[what]
    of = pipeline()
    feed = of.feed()
    assert feed.consume(frame, NOW) is False
    assert {name for name, row in of.metrics.rejected_by.items() if row[0]} == {reason}
    assert feed.session is None
    assert_adds_up(of, 1)


@pytest.mark.parametrize("what", TOLERATED)
def test_an_odd_frame_is_tolerated(what: str) -> None:
    """A frame that names an event is not rejected, however odd the rest of it is."""
    of = pipeline()
    of.feed().consume(TOLERATED[what], NOW)
    assert outcomes(of)[3] == 0
    assert_adds_up(of, 1)


def test_hostile_frames_leave_the_call_alone() -> None:
    """A call goes on through all of them together, and what is scraped afterwards is well-formed."""
    of = pipeline()
    feed = of.feed()
    feed.consume('{"type":"session.started","agent_session_id":"as-1","agent_id":"agent-support"}', NOW)
    for frame in HOSTILE:
        feed.consume(frame, NOW)
    feed.consume('{"type":"turn.metrics","turn_number":9,"user_perceived_ms":300}', NOW)
    assert_adds_up(of, len(HOSTILE) + 2)
    assert outcomes(of)[3] == len(REJECTED)
    assert_renders(of)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("field", ["arguments", "zzz", "id"])
def test_no_depth_is_an_error_of_ours(field: str, opening: str) -> None:
    """Around the depth at which decoding gives up there is none at which it half works."""
    of = pipeline()
    feed = of.feed()
    depths = range(sys.getrecursionlimit() - 150, sys.getrecursionlimit() + 20)
    for depth in depths:
        feed.consume(f'{{"type":"tool.called","{field}":{opening * depth}1{("]" if opening == "[" else "}") * depth}}}', NOW)
    assert_adds_up(of, len(depths))
    assert set(of.metrics.rejected_by) >= {Reason.TOO_DEEP}
    assert of.metrics.rejected_by[Reason.TOO_DEEP][0] > 0


def test_the_reasons_are_all_tried() -> None:
    """The corpus has a frame for every reason there is."""
    assert {reason for _, reason in REJECTED.values()} == set(Reason)


def test_unknown_names_stay_within_their_bound() -> None:
    """Thousands of unknown events and fields make no more series than there is room for, and the rest is counted as _other."""
    limits = Limits(values=30)
    of = pipeline(limits)
    feed = of.feed()
    for number in range(3_000):
        feed.consume(json.dumps({"type": f"unknown.{number}"}), NOW)
        feed.consume(json.dumps({"type": "user.dtmf", f"field-{number}": 1}), NOW)
    rows = {family.spec.name: family.series for family in of.snapshot(NOW).families}
    unknown = rows["agentstack_exporter_unknown_events_total"]
    assert len(unknown) == limits.values + 1
    assert sum(series.value for series in unknown if isinstance(series.value, float)) == 3_000
    assert len(rows["agentstack_exporter_unknown_fields_total"]) == limits.values + 1
    overflow = {series.labels: series.value for series in rows["agentstack_exporter_label_overflow_total"]}
    assert overflow.keys() == {("event",), ("field",)}


def test_a_million_combinations_stay_within_the_cap() -> None:
    """Label values of every kind, always new, cannot make more series than the cap and a few rows of _other."""
    of = pipeline(Limits(series=2_000))
    floor = of.store.series
    for number in range(400):
        feed = of.feed()
        feed.consume(json.dumps({"type": "session.started", "agent_id": f"agent-{number}"}), NOW)
        turn = {name: f"{name}-{number}" for name in NAMES}
        feed.consume(json.dumps({"type": "turn.metrics", "user_perceived_ms": 5, "llm_ttft_ms": 5, "stt_delay_ms": 5} | turn), NOW)
        feed.close(NOW)
    assert of.store.series <= max(2_000, floor) + 500


def test_long_texts_are_not_remembered() -> None:
    """Texts of 60 KiB that are always new, in every place where names are kept, do not stay in memory."""
    of = pipeline()
    feed = of.feed()
    for number in range(50):
        text = "x" * 60_000 + str(number)
        for document in (
            {"type": text},
            {"type": "user.dtmf", text: 1},
            {"type": "session.error", "code": text},
            {"type": "user.turn_completed", "trigger": text, "turn_method": text},
        ):
            feed.consume(json.dumps(document), NOW)
        of.feed().consume(json.dumps({"type": "session.started", "agent_id": text}), NOW)
    caches = [cache for held in of._recorder._cells.values() for cache in held.caches]
    keys = [part for cache in caches for key in cache for part in (key if isinstance(key, tuple) else (key,))]
    held = [key for key in of._recorder._cells if key[0]]
    assert max((len(part) for part in keys if isinstance(part, str)), default=0) <= labels.MAX_RAW
    assert all(len(agent or "") <= labels.MAX_RAW for agent, _ in held)
    assert of.snapshot(NOW).families
