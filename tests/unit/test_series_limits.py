"""The bounds of the label set: what does not fit becomes _other and is counted, and what is idle gives way."""

import gc
import itertools
import sys

import msgspec
import pytest

from exporter.catalogue.declarations import MetricSpec
from exporter.metrics.label_limits import LabelLimiter, LabelLimits, LabelTable
from exporter.metrics.snapshot import Snapshot
from exporter.metrics.store import Store
from exporter.pipeline.pipeline import SWEEP_EVERY
from tests.support.core import Connection, Core

LATENCY = "agentstack_user_perceived_latency_seconds"
LLM = "agentstack_llm_time_to_first_token_seconds"
OVERFLOW = "agentstack_exporter_label_overflow_total"
DAY = 86_400


def labels_of(core: Core, name: str, label: str) -> set[str]:
    """The values ``label`` has in the series of a metric."""
    (family,) = [family for family in core.pipeline.snapshot(core.now).families if family.spec.name == name]
    place = family.spec.labels.index(label)
    return {series.labels[place] for series in family.series}


def hostile(call: Connection, number: int) -> None:
    """One event of each kind that carries text into labels, all of it new."""
    turn = {
        field: f"{field}-{number}-" + "x" * (number % 200)
        for field in ("pipeline", "turn_method", "llm_provider", "llm_model", "tts_provider", "tts_model", "stt_provider", "stt_model")
    }
    measured = {"user_perceived_ms": 900, "llm_ttft_ms": 400, "tts_ttfb_ms": 100, "stt_delay_ms": 200, "turn_decision_ms": 300}
    call.turn(number, **turn, **measured, error_source=f"e{number}")
    call.send("tool.executed", calls=[{"name": f"tool-{number}"}])
    call.send("session.error", code=f"code-{number}")
    call.send("user.state_changed", new_state=f"state-{number}")
    call.send(f"event-{number}", **{f"field-{number}": 1})
    call.send("play.completed", **{f"field-{number}": 1})


def test_a_hundred_thousand_hostile_labels() -> None:
    """New values in every label of every event stay within the bound on series, are counted, and cost no memory."""
    core = Core(LabelLimits(series=100_000))  # room for every label value that is let in
    counter = itertools.count()

    def calls(many: int) -> None:
        for _ in range(many):
            number = next(counter)
            call = core.call(f"as-{number}", f"agent-{number}")
            for _ in range(10):
                hostile(call, next(counter))
            call.send("session.ended", reason=f"reason-{number}")
            call.close()
            core.let_pass(0.1)

    calls(300)
    gc.collect()
    before = sys.getallocatedblocks()
    calls(400)
    gc.collect()
    assert sys.getallocatedblocks() - before < 2_000
    assert core.pipeline.store.series <= LabelLimits().series
    assert len(core.pipeline.sessions) == 0
    for label in ("agent", "model", "tool", "code", "pipeline", "method", "component", "reason", "event", "field"):
        assert core.value(OVERFLOW, label=label) > 300, label
    assert len(labels_of(core, LATENCY, "agent")) == LabelLimits().agents + 1
    assert len(labels_of(core, "agentstack_errors_total", "code")) == LabelLimits().values + 1
    assert core.value("agentstack_turns_total") == 7_000


def test_the_cap_on_series_is_never_exceeded() -> None:
    """A store that is full gives every metric one _other row within the bound, and counts what had to go there."""
    core = Core(LabelLimits(series=5_000, agents=1_000, pairs=1_000, values=1_000))
    for number in range(300):
        hostile(core.call(f"as-{number}", f"agent-{number}"), number)
        assert core.pipeline.store.series <= 5_000
    assert core.value(OVERFLOW, label="series") > 0
    assert core.observations(LATENCY, agent="_other", pipeline="_other", interrupted="_other") > 0
    assert core.observations(LATENCY) == core.value("agentstack_turns_total") == 300


def test_a_full_store_is_reported_once() -> None:
    """It says which metrics have most series: here the durations of sub-agents, and then new agents have no latency of their own."""
    core = Core(LabelLimits(series=8_000))
    for agent in range(20):
        call = core.call(f"as-{agent}", f"agent-{agent}")
        call.turn(1, user_perceived_ms=900)
        for tool in range(20):
            call.send("agent_tool.started", agent_tool_id=f"t-{tool}", agent_tool_type=f"kind-{tool}")
            call.send("agent_tool.completed", agent_tool_id=f"t-{tool}")
    core.let_pass(SWEEP_EVERY)
    core.let_pass(SWEEP_EVERY)
    ((limit, largest),) = core.full_stores
    assert limit == 8_000
    assert list(largest)[:2] == ["gen_ai_execute_tool_duration_seconds", "agentstack_agent_tool_duration_seconds"]
    assert list(largest.values()) == sorted(largest.values(), reverse=True)
    assert sum(largest.values()) < core.pipeline.store.series
    assert 1 < len(labels_of(core, LATENCY, "agent")) < 20
    assert "_other" in labels_of(core, LATENCY, "agent")


def test_a_store_with_room_is_not_reported() -> None:
    """Labels of which one is full say so in their counter; the log says nothing."""
    core = Core(LabelLimits(agents=1))
    for agent in range(3):
        core.call(f"as-{agent}", f"agent-{agent}").turn(1, user_perceived_ms=900)
    core.let_pass(SWEEP_EVERY)
    assert core.value(OVERFLOW, label="agent") > 0
    assert core.full_stores == []


def test_a_full_store_counts_every_turn() -> None:
    """What finds no room counts with each turn, and not only with the first that has the same labels."""
    core = Core(LabelLimits(series=5_000, agents=1_000, pairs=1_000, values=1_000))
    for number in range(300):
        hostile(core.call(f"as-{number}", f"agent-{number}"), number)
    call = core.call("as-late", "agent-late")
    counted_before, found = core.value(OVERFLOW, label="series"), []
    for number in (2, 3, 4, 5):
        call.turn(number, pipeline="late", user_perceived_ms=900, llm_ttft_ms=400, llm_prompt_tokens=5)
        found.append(core.value(OVERFLOW, label="series") - counted_before)
        counted_before += found[-1]
    assert found[1] == found[2] == found[3] > 5


def test_series_are_counted_as_they_are_shown() -> None:
    """What the store says it has room taken for is at least what is scraped, also after series were dropped."""
    core = Core(LabelLimits(agents=5, values=5, pairs=5, idle=10))
    for number in range(40):
        call = core.call(f"as-{number}", f"agent-{number}")
        hostile(call, number)
        call.send("session.ended")
        call.close()
        core.let_pass(7)
    assert core.pipeline.store.series == counted(core.pipeline.store)
    assert shown(core.pipeline.snapshot(core.now)) <= core.pipeline.store.series


def counted(store: Store) -> int:
    return sum(len(layout.rows) * layout.series_per_row for layout in store._layouts)


def shown(snapshot: Snapshot) -> int:
    return sum(len(family.series) * (len(family.spec.bounds) + 3 if family.spec.bounds else 1) for family in snapshot.families)


def test_values_idle_for_a_day_give_way() -> None:
    """A label value not seen for a day loses its place and its series to a new one; those in use stay."""
    core = Core(LabelLimits(agents=2))
    for agent in ("used", "idle"):
        call = core.call(agent, agent)
        call.turn(1, user_perceived_ms=900)
        call.send("session.ended")
        call.close()
    for hour in range(25):
        core.let_pass(3_600)
        used = core.call(f"used-{hour}", "used")
        used.turn(1, user_perceived_ms=900)
        used.send("session.ended")
        used.close()
    new = core.call("new", "new")
    new.turn(1, user_perceived_ms=900)
    assert labels_of(core, LATENCY, "agent") == {"used", "new"}
    assert labels_of(core, "agentstack_sessions_total", "agent") == {"used", "new"}
    assert core.observations(LATENCY, agent="used") == 26
    assert core.value(OVERFLOW) == 0


def test_the_agent_of_an_open_session_is_in_use() -> None:
    """An agent whose one session says nothing for days but goes on keeps its place and its series."""
    core = Core(LabelLimits(agents=1))
    silent = core.call("as-1", "silent")
    for _ in range(50):
        core.let_pass(1_800)
        silent.send("play.completed")
    for _ in range(60):
        core.let_pass(60)
    core.call("as-2", "new")
    assert core.value("agentstack_sessions_active", agent="silent") == 1
    assert core.value("agentstack_sessions_active", agent="_other") == 1


def test_nothing_is_written_into_rows_that_were_dropped() -> None:
    """Sessions that hold a way to rows of a value that gave way find the new rows, also when their session is over."""
    core = Core(LabelLimits(pairs=1, idle=10))
    first, second = core.call("as-1"), core.call("as-1")
    first.send("voicemail.detected", result="human")
    first.turn(1, llm_provider="openai", llm_model="gpt-4o", llm_ttft_ms=400)
    first.send("session.ended")
    core.call("as-1").close()
    core.now += 20
    second.turn(2, llm_provider="groq", llm_model="llama", llm_ttft_ms=300)
    core.now += 20
    first.turn(3, llm_provider="openai", llm_model="gpt-4o", llm_ttft_ms=500)
    assert core.value(LLM, provider="openai", model="gpt-4o") == 0.5
    assert core.observations(LLM) == 1


def test_label_and_component_of_one_name() -> None:
    """The names of LLMs and the pairs of the LLM component have room of their own, and give way apart."""
    core = Core(LabelLimits(values=1, pairs=1, idle=10))
    call = core.call()
    call.send("llm.availability_changed", llm="openai/gpt-4o", available=True)
    call.turn(1, llm_provider="openai", llm_model="gpt-4o", llm_ttft_ms=400)
    core.now += 20
    call.send("llm.availability_changed", llm="groq/llama", available=True)
    assert labels_of(core, "agentstack_llm_available", "llm") == {"groq/llama"}
    assert core.observations(LLM, model="gpt-4o") == 1


def test_values_of_the_allow_list_always_fit() -> None:
    """A value on the allow-list needs no place."""
    core = Core(LabelLimits(agents=1, allow={"agent": frozenset({"mine"})}))
    for number, agent in enumerate(["first", "second", "mine"]):
        core.call(f"as-{number}", agent)
    assert labels_of(core, "agentstack_sessions_active", "agent") == {"first", "_other", "mine"}


def test_what_says_nothing_needs_no_place() -> None:
    """unknown and _other take no place, even when the wire sends them."""
    core = Core(LabelLimits(agents=1))
    for number, agent in enumerate([None, "", "unknown", "_other", "real"]):
        core.connect().send("session.started", agent_session_id=f"as-{number}", agent_id=agent)
    assert core.value("agentstack_sessions_active", agent="real") == 1
    assert core.value(OVERFLOW) == 0


def test_looking_for_idle_values_costs_once() -> None:
    """A full table is looked through once until something in it can be idle, not for every value refused."""
    evicted: list[tuple[str, ...]] = []
    table = LabelTable(limit=1_000, idle=DAY, evict=evicted.append)
    for number in range(1_000):
        assert table.admit((f"v{number}",), now=float(number))
    looked = Looked(table.last_used)
    table.last_used = looked
    for number in range(5_000):
        assert not table.admit((f"w{number}",), now=2_000.0 + number)
    assert looked.times == 1
    assert not table.admit(("late",), now=DAY - 1.0)
    assert table.admit(("late",), now=DAY)
    assert evicted == [("v0",)]


class Looked(dict[tuple[str, ...], float]):
    """A dictionary that counts how often it is looked through."""

    times = 0

    def items(self):  # type: ignore[no-untyped-def]
        self.times += 1
        return super().items()


@pytest.mark.parametrize("used", [0, 5])
def test_a_value_in_use_moves_the_moment(used: int) -> None:
    """Values used in the meantime are not idle when the moment for the others comes."""
    evicted: list[tuple[str, ...]] = []
    table = LabelTable(limit=10, idle=100, evict=evicted.append)
    for number in range(10):
        table.admit((f"v{number}",), now=0)
    assert not table.admit(("new",), now=50)
    for number in range(used):
        table.mark_used((f"v{number}",), now=90)
    table.mark_used(("stranger",), now=90)
    assert table.admit(("new",), now=100)
    assert evicted == [(f"v{used}",)]


def test_texts_that_mean_the_same_are_not_remembered() -> None:
    """However many ways there are to write a value, only the one the label has is remembered."""
    core = Core()
    call = core.call()
    for number in range(100):
        call.turn(number, pipeline="s2s" + " " * number, user_perceived_ms=900)
        call.send("user.state_changed", new_state=f"odd-{number}")
        call.send("session.error", code="x" * 100 + str(number))
    assert core.value(LATENCY, pipeline="s2s") == 90
    assert sum(len(cache) for cache in call.session.series_cache.rows) < 20


def test_eviction_tells_which_table() -> None:
    """A value that gives way is named with its label; a pair with both of its labels."""
    evicted: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    limiter = LabelLimiter(LabelLimits(values=1, pairs=1, idle=10), lambda *gone: evicted.append(gone), lambda label: None)
    for moment in (0.0, 20.0):
        assert limiter.value("tool", f"tool-{moment:.0f}", moment) == f"tool-{moment:.0f}"
        assert limiter.pair("llm", "openai", f"m-{moment:.0f}", moment) == ("openai", f"m-{moment:.0f}")
    assert evicted == [("tool", ("tool",), ("tool-0",)), ("llm pairs", ("provider", "model"), ("openai", "m-0"))]


def test_a_store_without_room_for_anything() -> None:
    """Rows of last resort are made even in a store that is too small for them."""
    spec = MetricSpec(kind="counter", otel_name="agentstack.things", unit="{thing}", help="Things.", labels=("kind", "cut"))
    store = Store(max_series=0)
    layout = store.add_layout([spec])
    assert store.row(layout, ("a", "true"), 0.0) is store.row(layout, ("b", "false"), 0.0)
    assert list(layout.rows) == [("_other", "_other")]
    assert store.overflowed == 2


def test_a_map_of_availability_is_hostile_too() -> None:
    """The longest map of LLMs that fits into a frame is taken in without more series than there is room for."""
    core = Core()
    call = core.call()
    llms = {f"llm-{number}": True for number in range(3_000)}
    assert len(msgspec.json.encode(llms)) < 65_536
    call.turn(1, llm_availability=llms)
    assert len(core.series("agentstack_llm_available")) == LabelLimits().values
