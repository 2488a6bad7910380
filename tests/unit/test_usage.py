"""Cumulative usage: what each report adds."""

from typing import Any

import pytest

from exporter.analysis.usage import MOST_USED_MODELS
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import Connection, Core

INPUT = "agentstack_usage_input_tokens_total"
AUDIO = "agentstack_usage_audio_duration_seconds_total"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


def usage(call: Connection, **fields: Any) -> None:
    """Send a session.usage of one LLM."""
    call.send("session.usage", models=[{"type": "llm_usage", "provider": "openai", "model": "gpt-4o", **fields}])


def test_usage_counts_what_it_grew_by(core: Core, call: Connection) -> None:
    """Cumulative reports add their growth, by component, provider and model."""
    for tokens in (100, 150, 150, 400):
        usage(call, input_tokens=tokens, input_cached_tokens=tokens / 2, output_tokens=10, session_duration=0.5)
    assert core.value(INPUT, component="llm", provider="openai", model="gpt-4o") == 400
    assert core.value("agentstack_usage_cached_input_tokens_total") == 200
    assert core.value("agentstack_usage_output_tokens_total") == 10
    assert core.value("agentstack_usage_session_duration_seconds_total") == 0.5


def test_usage_that_decreases_began_again(core: Core, call: Connection) -> None:
    """A report below the one before it starts from zero; one that is only rounded differently does not."""
    for tokens in (100, 30, 50):
        usage(call, input_tokens=tokens)
    assert core.value(INPUT) == 150
    for seconds in (4.3, 4.2999999, 5.3):
        call.send("session.usage", models=[{"type": "tts_usage", "audio_duration": seconds}])
    assert core.value(AUDIO) == 5.3


def test_usage_of_sessions_whose_start_was_not_seen(core: Core) -> None:
    """The first report of a session that was going on already is a baseline, also for a model it names later."""
    connection = core.connect()
    usage(connection, input_tokens=1_000)
    usage(connection, input_tokens=1_010)
    assert core.value(INPUT) == 10
    connection.send("session.usage", models=[{"type": "llm_usage", "provider": "groq", "input_tokens": 7}])
    assert core.value(INPUT) == 17


def test_usage_of_an_unfinished_session(core: Core, call: Connection) -> None:
    """Use that was counted before the connection was lost is not counted again when it comes back after the wait."""
    usage(call, input_tokens=1_000)
    call.close()
    core.let_pass(40)
    again = core.call()
    usage(again, input_tokens=1_100)
    usage(again, input_tokens=1_150)
    assert core.value(INPUT) == 1_050


def test_usage_of_a_session_that_comes_back(core: Core, call: Connection) -> None:
    """A session that comes back in time, or speaks again, goes on from its last report."""
    usage(call, input_tokens=1_000)
    call.close()
    core.let_pass(20)
    again = core.call()
    usage(again, input_tokens=1_100)
    assert core.value(INPUT) == 1_100
    silent = Core(waits=SessionTimeouts(idle=60))
    connection = silent.call()
    usage(connection, input_tokens=1_000)
    silent.let_pass(61)
    usage(connection, input_tokens=1_100)
    assert silent.value(INPUT) == 1_100


def test_audio_has_two_names(core: Core, call: Connection) -> None:
    """audio_duration and audio_duration_s are the same; where both come, one counts."""
    call.send("session.usage", models=[{"type": "stt_usage", "model": "nova-3", "audio_duration_s": 4.5}])
    call.send("session.usage", models=[{"type": "stt_usage", "model": "nova-3", "audio_duration": 6.0, "audio_duration_s": 6.0}])
    assert core.value(AUDIO, component="stt", provider="unknown", model="nova-3") == 6


def test_usage_of_unknown_types_is_kept_apart(core: Core, call: Connection) -> None:
    """Types that the protocol does not know are other; each goes on from its own last report."""
    for tokens in (100, 110):
        models = [{"type": f"{kind}_usage", "model": "m", "input_tokens": tokens * factor} for kind, factor in (("a", 1), ("b", 10))]
        call.send("session.usage", models=[*models, {"input_tokens": 1}])
    assert core.value(INPUT, component="other", model="m") == 1_210
    assert core.value(INPUT, component="other", model="unknown") == 1


def test_entries_of_one_model_are_one(core: Core, call: Connection) -> None:
    """Two entries of the same model in a report are added up before they are compared with the last."""
    for primary, fallback in ((100, 5), (120, 5)):
        entries = [{"type": "llm_usage", "model": "m", "input_tokens": tokens} for tokens in (primary, fallback)]
        call.send("session.usage", models=entries)
    assert core.value(INPUT) == 125


@pytest.mark.parametrize(("value", "reason"), [(-1, "negative"), (1e300, "too_large")])
def test_hostile_usage_is_refused(core: Core, call: Connection, value: float, reason: str) -> None:
    """A number that cannot be right is counted as refused and leaves the rest of the report alone."""
    usage(call, input_tokens=value, output_tokens=5)
    assert core.value(INPUT) == 0
    assert core.value("agentstack_usage_output_tokens_total") == 5
    assert core.value("agentstack_exporter_values_refused_total", field="models.input_tokens", reason=reason) == 1


def test_what_is_remembered_of_usage_is_bounded(core: Core, call: Connection) -> None:
    """A session remembers few models, by little each."""
    for number in range(2 * MOST_USED_MODELS):
        call.send("session.usage", models=[{"type": "x" * 9_000, "model": f"{number}" + "y" * 9_000, "input_tokens": 1}])
    held = call.session.usage or {}
    assert len(held) == MOST_USED_MODELS
    assert max(len(part) for key in held for part in key) < 200
    assert core.value(INPUT) == MOST_USED_MODELS
