"""Whatever turns come, their components add up to what their callers waited."""

from math import isclose

from hypothesis import given
from hypothesis import strategies as st

from tests.support.core import Core

_ms = st.none() | st.integers(-1, 200_000) | st.floats(0, 5000)
_STAGES = ("stt_delay_ms", "turn_decision_ms", "turn_completed_callback_ms", "llm_ttft_ms", "tts_ttfb_ms", "realtime_ttft_ms")
_turns = st.fixed_dictionaries(
    {"user_perceived_ms": _ms, **dict.fromkeys(_STAGES, _ms)},
    optional={"agent_first": st.booleans(), "interrupted": st.booleans(), "turn_number": st.integers(1, 5)},
)


@given(st.lists(st.tuples(_turns, st.booleans()), max_size=8))
def test_components_add_up(turns: list[tuple[dict[str, object], bool]]) -> None:
    """Component seconds less the negative rest are the sum of user-perceived latency, late and repeated metrics included."""
    core = Core()
    call = core.call()
    for number, (fields, late) in enumerate(turns):
        if late:
            call.completed(number, llm_ttft_s=0.2)
            core.let_pass(11)
        call.send("turn.metrics", **{"turn_number": number, **fields})
    split = core.value("agentstack_turn_component_seconds_total") - core.value("agentstack_turn_component_negative_rest_seconds_total")
    assert isclose(split, core.value("agentstack_user_perceived_latency_seconds"), rel_tol=1e-9, abs_tol=1e-4)
    slow = core.value("agentstack_slow_turns_total")
    assert slow <= core.observations("agentstack_user_perceived_latency_seconds") <= core.value("agentstack_caller_turns_total") + slow
