"""The replay command: explains what changed, what was refused and why, for any recording."""

import gzip
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.protocol.reasons import RefusalReason, RejectionReason
from exporter.tools.explanation import WHY_REFUSED, WHY_REJECTED
from exporter.tools.replay import Replay, draw_replay, run_replay, summarise_replay
from tests.support.events import events
from tests.support.samples import CALL

SAMPLES = Path(__file__).parent.parent / "data" / "samples.jsonl"


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> "Replayed":
    return Replayed(capsys)


class Replayed:
    """Runs the command on lines and returns its output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self, *lines: bytes | str | dict[str, Any]) -> str:
        raw = [line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode() for line in lines]
        assert run_replay(io.BytesIO(b"\n".join(raw)), "text") == 0
        return self._capsys.readouterr().out

    def entries(self, *lines: bytes | str | dict[str, Any]) -> list[dict[str, Any]]:
        raw = [line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode() for line in lines]
        assert run_replay(io.BytesIO(b"\n".join(raw)), "json") == 0
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


def test_the_samples_are_explained(replay: Replayed) -> None:
    """Every line of the protocol's samples is processed, each one but a repeated turn changes a series, and bad values are refused."""
    lines = SAMPLES.read_text(encoding="utf-8").splitlines()
    *entries, end = replay.entries(*lines)
    assert [entry["line"] for entry in entries] == list(range(1, len(lines) + 1))
    assert {entry["outcome"] for entry in entries} == {"processed"}
    assert [entry["event"] for entry in entries if not entry["moved"] and not entry["notes"]] == ["turn.completed"]
    notes = {entry["line"]: entry["notes"] for entry in entries if entry["notes"]}
    bad = next(number for number, line in enumerate(lines, 1) if '"stt_delay_ms": 214000' in line)
    assert notes == {
        bad: [
            "llm_ttft_ms refused as sentinel: a stage reports -1 if it measured nothing",
            "stt_delay_ms refused as too_large: it is implausibly large, as from a stale clock anchor",
        ]
    }
    assert (end["line"], end["event"]) == (0, "end of recording")


def test_a_bare_event_is_explained(replay: Replayed) -> None:
    """A line may be a bare event, of a managed call or of audio streaming."""
    text = replay.text(
        {"type": "turn.metrics", "user_perceived_ms": 1240, "pipeline": "s2s"},
        {"event": "media", "media": {"payload": "QUJD"}},
    )
    assert text.startswith("line 1: turn.metrics processed\n")
    labels = 'agent="unknown",pipeline="s2s",interrupted="false",answered_by="unknown"'
    assert f"  agentstack_user_perceived_latency_seconds{{{labels}}} observed 1.24\n" in text
    assert 'line 2: media processed\n  agentstack_audio_stream_frames_total{agent="unknown"} +1\n' in text
    assert '  agentstack_audio_stream_received_bytes_total{agent="unknown"} +3\n' in text


def truth(call: int, sent_at: float, event: dict[str, Any]) -> dict[str, Any]:
    return {"call": call, "session": f"as-{call}", "connection": 0, "sent_at": sent_at, "event": event}


def test_calls_of_a_truth_file_are_told_apart(replay: Replayed) -> None:
    """Events that alternate between two calls belong to their own sessions, at the time they were sent."""
    at = 1_777_885_200.0
    entries = replay.entries(
        *(
            truth(call, at + call, {"type": "session.started", "agent_session_id": f"as-{call}", "agent_id": f"a{call}"})
            for call in (1, 2)
        ),
        *(truth(call, at + 60, {"type": "session.ended", "reason": "hangup"}) for call in (1, 2)),
    )
    for entry, agent, seconds in zip(entries[2:4], ("a1", "a2"), (59, 58), strict=True):
        assert entry["moved"][f'agentstack_sessions_ended_total{{agent="{agent}",reason="hangup"}}'] == "+1"
        assert entry["moved"][f'agentstack_session_duration_seconds{{agent="{agent}"}}'] == f"observed {seconds}"


def test_a_turn_without_metrics_counts_in_time(replay: Replayed) -> None:
    """The clock follows the recording, so a turn counts without metrics when they do not arrive in time."""
    at = 1_777_885_200.0
    entries = replay.entries(
        truth(1, at, {"type": "turn.completed", "turn_number": 1, "llm_ttft_s": 0.4}),
        truth(1, at + 30, {"type": "user.idle"}),
    )
    assert 'agentstack_turns_without_metrics_total{agent="unknown"}' in entries[1]["moved"]


def test_what_waits_is_settled_at_the_end(replay: Replayed) -> None:
    """After the last line sessions end as disconnected and pending turns are counted."""
    end = replay.entries({"type": "turn.completed", "turn_number": 1})[-1]
    assert end["moved"]['agentstack_sessions_ended_total{agent="unknown",reason="disconnected"}'] == "+1"
    assert end["moved"]['agentstack_turns_without_metrics_total{agent="unknown"}'] == "+1"


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (b"{", "rejected as not_json: the frame is not JSON"),
        (b"\xff\xfe", "rejected as not_utf8: the frame is not UTF-8"),
        (b"[]", "rejected as not_object: the frame is JSON, but not an object"),
        (b"{}", "rejected as no_type: the event has no name: expected type or event"),
        (b'{"event":5}', "rejected as no_type: the event has no name: expected type or event"),
        (b'{"type":NaN}', "rejected as not_finite: the event's name is NaN or Infinity"),
        (b'{"type":"turn.metrics","llm_ttft_ms":NaN}', "llm_ttft_ms refused as not_finite: JSON has no NaN or Infinity"),
        (b"[" * 60_000, "rejected as too_deep: the nesting is too deep"),
        (b'{"event":{"type":"user.dtmf","x":%d}}' % 2**70, "unknown field: x"),
        (b'{"type":"user.levitated"}', "unknown event: user.levitated"),
        (b'{"type":"user.dtmf","zzz":1}', "unknown field: zzz"),
        (b'{"type":"turn.metrics","agent_first":true,"user_perceived_ms":5}', "turns that the agent began have none"),
    ],
)
def test_a_bad_line_is_explained(replay: Replayed, line: bytes, note: str) -> None:
    """A line that is not a valid event is explained, and the replay goes on."""
    first, second, _ = replay.entries(line, {"type": "user.dtmf"})
    assert note in " ".join(first["notes"])
    assert second["outcome"] == "processed"


@pytest.mark.parametrize(
    "wrapper",
    [
        {"call": [], "session": {}, "connection": {"a": [1]}},
        {"sent_at": 10**400},
        {"sent_at": True},
        {"sent_at": "soon"},
        {"sent_at": -5},
        {"sent_at": 1e300},
        {"note": "\ud83d\ude00"},
    ],
)
def test_an_odd_wrapper_is_passed_over(replay: Replayed, wrapper: dict[str, Any]) -> None:
    """An event is read whatever the object around it contains."""
    entries = replay.entries({**wrapper, "event": {"type": "user.dtmf"}})
    assert [entry["outcome"] for entry in entries[:1]] == ["processed"]


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999-23:59", "never", 5])
def test_an_odd_time_is_passed_over(replay: Replayed, stamp: Any) -> None:
    """A timestamp without a zone, at the limits of time or of another type causes no error."""
    first = replay.entries({"type": "agent.speech_started", "timestamp": stamp}, {"type": "user.dtmf"})[0]
    assert first["outcome"] == "processed"


def test_names_are_printed_safely(replay: Replayed) -> None:
    """Control characters of a name from the wire never reach the terminal."""
    text = replay.text(rb'{"type":"\u001b[2Jzzz","\u0007field":1}', rb'{"type":"user.dtmf","\u0007":1}')
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(
    "bad",
    ["NaN", "-Infinity", r'"half \ud83d"', "1e999", "[" * 2_000 + "]" * 2_000],
    ids=["NaN", "infinity", "emoji", "1e999", "depth"],
)
def test_a_bad_value_costs_neither_wrapper_nor_event(replay: Replayed, bad: str) -> None:
    """A value that JSON does not have, within a wrapper or beside its event, costs that value only."""
    at = 1_777_885_200
    within = f'{{"type":"turn.metrics","turn_number":1,"user_perceived_ms":900,"llm_ttft_ms":{bad}}}'
    ended = '{"type":"session.ended","reason":"hangup"}'
    entries = replay.entries(
        *(truth(call, at, {"type": "session.started", "agent_session_id": f"as-{call}", "agent_id": f"a{call}"}) for call in (1, 2)),
        f'{{"call":2,"session":"as-2","connection":0,"sent_at":{at + 5},"event":{within}}}',
        f'{{"note":{bad},"call":1,"session":"as-1","connection":0,"sent_at":{at + 9},"event":{ended}}}',
    )
    assert [entry["outcome"] for entry in entries[:4]] == ["processed"] * 4
    assert entries[2]["event"] == "turn.metrics"
    assert any(note.startswith("llm_ttft_ms refused as ") for note in entries[2]["notes"])
    assert any(name.startswith('agentstack_user_perceived_latency_seconds{agent="a2"') for name in entries[2]["moved"])
    assert entries[3]["moved"]['agentstack_session_duration_seconds{agent="a1"}'] == "observed 9"


def test_accounts_of_a_truth_file_are_no_events(replay: Replayed) -> None:
    """The accounts that a truth file holds besides its events are passed over."""
    entries = replay.entries(
        {"call": 1, "session": "as-1", "account": {"agent": "a"}}, truth(1, 1_777_885_200.0, {"type": "user.dtmf"})
    )
    assert [(entry["line"], entry["outcome"]) for entry in entries] == [(2, "processed"), (0, "")]


def test_a_summary_explains_all_events_together(capsys: pytest.CaptureFixture[str]) -> None:
    """The summary has the number of events by type, each refusal with its number, and what the series gained in all."""
    lines = [{"type": "turn.metrics", "turn_number": number, "user_perceived_ms": 900, "llm_ttft_ms": -1} for number in (1, 2, 3)]
    recording = "\n".join(json.dumps(line) for line in [*lines, {"type": "user.dtmf"}, {"type": "user.levitated"}])
    assert summarise_replay(io.BytesIO(recording.encode()), "json") == 0
    output = capsys.readouterr()
    (summary,) = [json.loads(line) for line in output.out.splitlines()]
    assert summary["notes"] == [
        "turn.metrics processed 3 times",
        "user.dtmf processed",
        "unknown event: user.levitated",
        "llm_ttft_ms refused as sentinel 3 times: a stage reports -1 if it measured nothing",
    ]
    (perceived,) = [moved for name, moved in summary["moved"].items() if name.startswith("agentstack_user_perceived_latency_seconds")]
    assert perceived == "observed 3 values, 2.7 in all"
    assert output.err == "replay: 5 events: 4 processed, 1 ignored, 0 rejected\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_summary_is_cheap(monkeypatch: pytest.MonkeyPatch, form: Any) -> None:
    """However many events there are, the summary compares the series twice; an explanation compares them with each event."""
    made: list[Replay] = []
    settle = Replay.settle

    def noted(replay: Replay) -> None:
        made.append(replay)
        settle(replay)

    monkeypatch.setattr(Replay, "settle", noted)
    recording = b"\n".join([EVENT] * 500)
    assert (summarise_replay(io.BytesIO(recording), form), run_replay(io.BytesIO(recording), form)) == (0, 0)
    assert [replay.comparisons for replay in made] == [2, 502]


def test_an_unreadable_entry_costs_no_other(replay: Replayed) -> None:
    """In an array that a decoder refuses as a whole, or that ends too early, every other entry is read."""
    entries = replay.entries('[{"type":"user.dtmf","x":NaN},{"type":"user.idle"},\n{"type":"user.dt')
    assert [entry["outcome"] for entry in entries] == ["processed", "processed", "rejected", ""]


def test_empty_lines_are_passed_over(replay: Replayed) -> None:
    """Empty lines are counted and not explained."""
    assert [entry["line"] for entry in replay.entries("", {"type": "user.dtmf"}, "  ", {"type": "user.dtmf"}, "")] == [2, 4, 0]
    assert [entry["line"] for entry in replay.entries("")] == [0]


def test_every_reason_is_explained() -> None:
    """Each reason to refuse a value or reject a frame has an explanation."""
    assert (set(WHY_REFUSED), set(WHY_REJECTED)) == (set(RefusalReason), set(RejectionReason))


json_lines = events.map(json.dumps).map(str.encode)
any_lines = st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b""))


EVENT = json.dumps({"type": "user.dtmf", "digit": "5"}).encode()


@pytest.mark.parametrize(
    "recording",
    [
        gzip.compress(EVENT + b"\n" + EVENT),
        b"\xef\xbb\xbf" + EVENT + b"\n" + EVENT,
        b"[" + EVENT + b",\n " + EVENT + b"]",
        gzip.compress(b"\xef\xbb\xbf[" + EVENT + b"," + EVENT + b"]"),
        EVENT + b"\r\n" + EVENT + b"\r\n",
    ],
    ids=["gzip", "byte order mark", "array", "all of them", "CRLF"],
)
def test_what_can_be_read_is_read(recording: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording may be compressed, an array, or begin with a byte order mark; a summary ends it."""
    assert run_replay(io.BytesIO(recording), "json") == 0
    output = capsys.readouterr()
    assert [json.loads(line)["outcome"] for line in output.out.splitlines()] == ["processed", "processed", ""]
    assert output.err == "replay: 2 events: 2 processed, 0 ignored, 0 rejected\n"


@pytest.mark.parametrize(
    ("recording", "problem"),
    [
        (b"time,type\n1,user.dtmf\n" * 50, "the file is text without JSON objects"),
        (bytes(range(128, 256)) * 50, "the file is not text in UTF-8"),
        (gzip.compress(EVENT)[:-9], "the file is compressed with gzip, and damaged"),
        (b"[1,2]", "the file is text without JSON objects"),
    ],
    ids=["CSV", "random bytes", "damaged gzip", "array of numbers"],
)
def test_what_is_no_recording_is_said_once(recording: bytes, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without events is named on stderr in one line, and the exit code is 1."""
    assert run_replay(io.BytesIO(recording), "text") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"replay: no events: {problem}")
    assert output.err.count("\n") == 1


def test_nothing_but_rejected_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of which none is an event are explained, and the exit code is 1."""
    for command in (partial(run_replay, form="json"), partial(summarise_replay, form="json"), draw_replay):
        assert command(io.BytesIO(b'{"a":1}\n{"b":2}')) == 1
        assert capsys.readouterr().err == "replay: 2 events: 0 processed, 0 ignored, 2 rejected\n"


@given(lines=st.lists(any_lines | json_lines, max_size=8))
def test_any_recording_is_explained(lines: list[bytes]) -> None:
    """The command ends normally, whatever the lines are."""
    assert run_replay(io.BytesIO(b"\n".join(lines)), "json") in (0, 1)
    assert summarise_replay(io.BytesIO(b"[" + b",".join(lines)), "text") in (0, 1)


def test_an_object_is_no_name(replay: Replayed) -> None:
    """An object under ``event`` within an event is no name, and no error."""
    first, second, _ = replay.entries('{"event": {"type": "\\ud800", "event": {"a": 1}}}', {"type": "user.dtmf"})
    assert (first["event"], second["event"]) == ("?", "user.dtmf")


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59Z", "2600-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_time_that_makes_no_sense_moves_no_other_event(stamp: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that claims to be of another age costs its own time only: all turns are drawn, at their times."""
    lines = [{"session": "as-7f3c", "sent_at": 1777885200.0 + number, "event": event} for number, event in enumerate(CALL)]
    assert draw_replay(io.BytesIO("\n".join(map(json.dumps, lines)).encode())) == 0
    expected = capsys.readouterr().out
    lines.insert(3, {"session": "as-other", "event": {"type": "agent.speech_started", "timestamp": stamp}})
    assert draw_replay(io.BytesIO("\n".join(map(json.dumps, lines)).encode())) == 0
    drawn = capsys.readouterr().out
    assert drawn.startswith(expected)
