"""What is kept of calls for /live is bounded, and the bound is fair."""

import json
import sys

import msgspec
import pytest

from exporter.sessions.kept_calls import CHUNK, EMPTY, MOST_ENDED
from tests.support.live import LiveCore

LITTLE = 256 * 1024


def test_many_calls_stay_within_the_bound() -> None:
    """Hundreds of calls with large turns count for no more than the bound."""
    core = LiveCore(memory=LITTLE, traced=False)
    calls = [core.call(f"as-{number}") for number in range(300)]
    for number in range(5):
        for call in calls[::7]:
            call.turn(number, llm_model="m" * 2000)
    assert core.kept_calls.used <= LITTLE
    assert core.kept_calls.used == sum(journal.granted for journal in core.kept_calls)


def test_weight_of_what_is_kept_is_accounted() -> None:
    """What a call counts for is never less than what its entries weigh."""
    core = LiveCore(memory=LITTLE)
    call = core.call()
    for number in range(100):
        call.turn(number, llm_ttft_ms=400, llm_model="x" * (number % 900), user_text="said " * number, agent_text="answered")
        call.send("session.error", code="e" * (number % 300))
    journal = core.journal()
    kept = [entry if isinstance(entry, bytes) else msgspec.json.encode(entry) for entry in journal.entries]
    assert sum(map(len, kept)) <= journal.granted - journal.room <= LITTLE
    journal.drop(LITTLE)
    assert journal.room == journal.granted - EMPTY


def test_one_call_may_use_a_share_only() -> None:
    """A call that sends forever forgets its beginning, and says so."""
    core = LiveCore(memory=LITTLE)
    call = core.call()
    for number in range(200):
        call.turn(number, user_perceived_ms=900, user_stopped_speaking_at="2026-05-04T09:00:06Z")
    detail = core.detail()
    assert core.journal().granted <= LITTLE // 32 + CHUNK
    assert core.row().turns == 200
    assert core.row().truncated
    assert detail.truncated.turns + len(detail.turns) == 200
    assert detail.turns[-1].number == 199


def test_a_long_text_is_kept_by_no_call() -> None:
    """An event that is larger than a call's share is dropped at once, and counted."""
    core = LiveCore(memory=LITTLE)
    call = core.call()
    call.send("session.error", code="x" * 60_000)
    assert core.journal().dropped == 2
    assert core.kept_calls.used <= LITTLE
    assert core.row().errors == 1


@pytest.mark.parametrize("text", ["😀" * 300, "x" * 600 + "😀"], ids=["wide", "widened"])
@pytest.mark.parametrize("escaped", [True, False])
def test_wide_characters_weigh_what_they_take(text: str, *, escaped: bool) -> None:
    """Texts of wide characters count for the memory that they take."""
    core = LiveCore()
    call = core.call()
    code = json.dumps(text, ensure_ascii=escaped)
    for frame in (f'{{"type":"session.error","code":{code}}}', f'{{"type":"turn.metrics","llm_model":{code}}}'):
        before = core.journal().granted - core.journal().room
        call.feed.consume(frame, core.now)
        kept = core.journal().entries[-1]
        held = [kept] if isinstance(kept, bytes) else [kept.event.code]
        assert core.journal().granted - core.journal().room - before >= sum(map(sys.getsizeof, held)) - 200


def test_ended_calls_make_room_first() -> None:
    """When memory is full, the call that ended first goes, and live calls stay whole."""
    core = LiveCore(memory=LITTLE)
    live = core.call("live")
    live.turn(1, llm_ttft_ms=400)
    for number in range(300):
        call = core.call(f"as-{number}")
        call.turn(1, llm_model="m" * 1500)
        call.send("session.ended", reason="user_hangup")
        call.close()
    found = {call.session for call in core.full().calls}
    assert "live" in found
    assert "as-299" in found
    assert "as-0" not in found
    assert not core.row("live").truncated


def test_a_new_call_gets_room_from_the_longest() -> None:
    """When live calls fill the memory, the longest of them forgets its beginning for a new one."""
    core = LiveCore(memory=LITTLE)
    talkers = [core.call(f"long-{number}") for number in range(40)]
    for number in range(5):
        for call in talkers:
            call.turn(number, llm_model="m" * 1500)
    late = core.call("late")
    for number in range(3):
        late.turn(number, llm_ttft_ms=400)
    assert len(core.detail("late").turns) == 3
    assert core.kept_calls.used <= LITTLE


def test_the_last_200_ended_calls_are_kept() -> None:
    """The 201st call that ends evicts the first."""
    core = LiveCore()
    for number in range(MOST_ENDED + 1):
        call = core.call(f"as-{number}")
        call.send("session.ended", reason="user_hangup")
        call.close()
    found = {call.session for call in core.full().calls}
    assert len(found) == MOST_ENDED
    assert "as-0" not in found


def test_calls_that_find_no_room_are_counted() -> None:
    """Where even empty journals fill the memory, further calls are left out, and that is visible."""
    core = LiveCore(memory=64 * 1024)
    for number in range(100):
        core.call(f"as-{number}")
    state = core.full()
    assert state.left_out == 100 - len(state.calls) > 0


def test_a_renamed_call_is_found_by_both_ids() -> None:
    """A call that gets its name late moves to another id, and the old one leads to it."""
    core = LiveCore()
    call = core.connect()
    call.turn(1, llm_ttft_ms=400)
    [before] = core.full().calls
    number = core.channel.number
    call.send("session.started", agent_session_id="as-1")
    change = core.change_since(number)
    assert [row.session for row in change.calls] == ["as-1"]
    assert change.gone == [before.id]
    assert core.kept_calls.find(before.id) is core.kept_calls.find(change.calls[0].id) is not None


def test_two_calls_with_one_id_have_their_own() -> None:
    """A second session with the id of an earlier one is another call."""
    core = LiveCore()
    first = core.call()
    first.send("session.ended", reason="user_hangup")
    first.close()
    core.call()
    ids = [call.id for call in core.full().calls]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("reason", ["disconnected", "shutdown"])
def test_why_a_call_ended_without_an_event_is_said(reason: str) -> None:
    """A call that the exporter ended has the exporter's reason."""
    core = LiveCore()
    call = core.call()
    if reason == "disconnected":
        call.close()
        core.let_pass(31.0)
    else:
        core.pipeline.close(core.now)
    assert core.row().end_reason == reason
    assert core.row().ended_at == core.now
