"""What a relay learns of the customer's app: commands, tools, and the customer's own LLM."""

import pytest

from exporter.analysis.app_latency import LONGEST
from exporter.protocol.commands import KINDS, OTHER, UNREADABLE, Command, read_command
from exporter.sessions.app_state import MOST_OPEN_CALLS
from tests.support.core import Connection, Core

COMMANDS = "agentstack_app_commands_total"
DURATION = "agentstack_tool_duration_seconds"
UNANSWERED = "agentstack_tool_calls_unanswered_total"
UNMATCHED = "agentstack_tool_answers_unmatched_total"
FIRST_TOKEN = "agentstack_app_llm_time_to_first_token_seconds"
LLM_DURATION = "agentstack_app_llm_duration_seconds"
LLM_ANSWERS = "agentstack_app_llm_answers_total"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A relayed call that has begun."""
    return core.call(relayed=True)


def ask(call: Connection) -> None:
    """The caller says something."""
    call.send("user.transcription", text="…", is_final=True)


def token(core: Core, call: Connection, after: float, *, last: bool = False) -> None:
    """The app's LLM says something so many seconds later."""
    core.now += after
    call.command("text", token="…", last=last)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_command_has_its_kind(core: Core, call: Connection, kind: str) -> None:
    """A command is counted by its name, whether that stands in type or in event, and is no event."""
    events = core.value("agentstack_exporter_frames_received_total")
    call.command(kind)
    call.feed.command(f'{{"event": "{kind}", "media": {{"payload": ""}}}}', core.now)
    assert core.value(COMMANDS, kind=kind, agent="support") == core.value(COMMANDS) == 2
    assert core.value("agentstack_exporter_frames_received_total") == events


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"type": "agent_session.dance"}', OTHER),
        ('{"type": "text", "last": 1}', UNREADABLE),
        ('{"token": "no name"}', UNREADABLE),
        ("[]", UNREADABLE),
        ("", UNREADABLE),
        (b'{"type": "\xff"}', UNREADABLE),
        ("[" * 100_000, UNREADABLE),
    ],
)
def test_what_is_no_known_command_has_a_kind_too(frame: str | bytes, kind: str) -> None:
    """Unknown names share a kind, and so do frames that are no command."""
    assert read_command(frame).kind == kind


@pytest.mark.parametrize("bad", ["NaN", r'"half \ud83d"', "[" * 30_000 + "]" * 30_000], ids=["NaN", "emoji", "depth"])
def test_a_bad_part_of_a_command(bad: str) -> None:
    """A command is known, and which call it answers, although its content cannot be read."""
    assert read_command(f'{{"type": "tool.result", "result": {bad}, "id": "tc-1"}}') == Command("tool.result", "tc-1")


@pytest.mark.parametrize(("answer", "outcome"), [("tool.result", "result"), ("tool.error", "error")])
def test_a_tool_takes_from_its_call_to_its_answer(core: Core, call: Connection, answer: str, outcome: str) -> None:
    """The time from tool.called to the app's answer is observed by tool and outcome."""
    call.send("tool.called", id="t1", name="lookup")
    core.now += 0.42
    call.command(answer, id="t1")
    assert core.value(DURATION, agent="support", tool="lookup", outcome=outcome) == 0.42
    assert core.observations(DURATION) == 1


def test_calls_are_matched_by_id(core: Core, call: Connection) -> None:
    """Answers come in any order, and each belongs to the call whose id it has, be it a text or a number."""
    call.send("tool.called", id="t1", name="slow")
    call.send("tool.called", id="7", name="quick")
    core.now += 1
    call.command("tool.result", id=7)
    core.now += 2
    call.command("tool.result", id="t1")
    assert core.value(DURATION, tool="quick") == 1
    assert core.value(DURATION, tool="slow") == 3


def test_answers_nobody_waits_for_are_counted_apart(core: Core, call: Connection) -> None:
    """An answer to no call, or a second one, is no measurement."""
    call.send("tool.called", id="t1", name="lookup")
    for answer in ({"id": "t1"}, {"id": "t1"}, {"id": "t2"}, {}):
        call.command("tool.result", **answer)
    assert core.value(UNMATCHED, agent="support") == 3
    assert core.observations(DURATION) == 1


def test_calls_without_answer_count_when_the_session_ends(core: Core, call: Connection) -> None:
    """A tool the app never answers is known at the end of the session, once."""
    call.send("tool.called", id="t1", name="lost")
    assert core.value(UNANSWERED) == 0
    call.send("session.ended", reason="completed")
    call.close()
    assert core.value(UNANSWERED, agent="support", tool="lost") == 1


def test_calls_that_wait_are_bounded(core: Core, call: Connection) -> None:
    """A flood of calls pushes out the oldest, which count as unanswered."""
    for number in range(MOST_OPEN_CALLS + 3):
        call.send("tool.called", id=f"t{number}", name="flood")
    assert core.value(UNANSWERED, tool="flood") == 3
    call.command("tool.result", id="t3")
    assert core.observations(DURATION) == 1


def test_nothing_is_unanswered_where_the_app_is_not_seen(core: Core) -> None:
    """Calls that do not come through a relay say nothing of the app."""
    call = core.call()
    call.send("tool.called", id="t1", name="lookup")
    ask(call)
    call.send("session.ended", reason="completed")
    assert core.value(UNANSWERED) == core.observations(DURATION) == core.value(LLM_ANSWERS) == 0


def test_an_answer_is_measured_from_the_last_final_transcription(core: Core, call: Connection) -> None:
    """Partial transcripts ask nothing, and of several final ones the last is the one that is answered."""
    ask(call)
    core.now += 2
    ask(call)
    core.now += 0.1
    call.send("user.transcription", text="…", is_final=False)
    token(core, call, 0.2)
    token(core, call, 0.5)
    token(core, call, 0.4, last=True)
    assert core.value(FIRST_TOKEN, agent="support") == 0.3
    assert core.value(LLM_DURATION, agent="support") == 1.2
    assert core.value(LLM_ANSWERS, outcome="completed") == 1


def test_an_answer_of_one_token_is_first_and_last(core: Core, call: Connection) -> None:
    """A whole answer may come in one frame."""
    ask(call)
    token(core, call, 0.7, last=True)
    assert core.value(FIRST_TOKEN) == core.value(LLM_DURATION) == 0.7


def test_what_nobody_asked_for_has_no_latency(core: Core, call: Connection) -> None:
    """A greeting, or a second answer to the same question, is counted and not measured."""
    token(core, call, 1, last=True)
    ask(call)
    token(core, call, 1, last=True)
    token(core, call, 1, last=True)
    assert core.value(LLM_ANSWERS, outcome="completed") == 3
    assert core.observations(FIRST_TOKEN) == core.observations(LLM_DURATION) == 1


def test_an_interrupted_answer_gives_way_to_the_next_question(core: Core, call: Connection) -> None:
    """After a barge-in the next final transcription ends an answer that never said which token was its last."""
    ask(call)
    token(core, call, 0.3)
    call.send("agent.speech_interrupted")
    token(core, call, 0.1)
    ask(call)
    token(core, call, 0.6)
    token(core, call, 0.6, last=True)
    assert core.value(LLM_ANSWERS, outcome="abandoned") == core.value(LLM_ANSWERS, outcome="completed") == 1
    assert core.value(FIRST_TOKEN) == 0.9
    assert core.value(LLM_DURATION) == 1.2


def test_a_backchannel_does_not_split_an_answer(core: Core, call: Connection) -> None:
    """What the caller says while the answer goes on uninterrupted makes no first token of its next one."""
    ask(call)
    token(core, call, 0.3)
    ask(call)
    token(core, call, 0.01)
    token(core, call, 0.01, last=True)
    assert core.observations(FIRST_TOKEN) == 1
    assert core.value(LLM_ANSWERS) == 1


def test_an_answer_cut_off_by_the_end_is_abandoned(core: Core, call: Connection) -> None:
    """The caller hangs up while the app still answers."""
    ask(call)
    token(core, call, 0.3)
    call.send("session.ended", reason="hangup")
    assert core.value(LLM_ANSWERS, outcome="abandoned") == 1
    assert core.observations(LLM_DURATION) == 0


def test_an_absurd_wait_is_not_observed(core: Core, call: Connection) -> None:
    """An answer minutes after the question answers something else."""
    ask(call)
    token(core, call, LONGEST + 1, last=True)
    assert core.observations(FIRST_TOKEN) == core.observations(LLM_DURATION) == 0
    assert core.value(LLM_ANSWERS) == 1


def test_commands_before_the_session_count_for_nobody(core: Core) -> None:
    """An app that speaks before the platform has said which call this is, is not counted under a guess."""
    connection = core.connect(relayed=True)
    connection.command("agent_session.speak")
    connection.feed.audio("agent", 100, core.now)
    assert core.value(COMMANDS) == core.value("agentstack_audio_frames_total") == 0
