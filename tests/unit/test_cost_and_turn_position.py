"""What turns cost, which models change within a call, and how waits grow with its length."""

from pathlib import Path

import pytest

from exporter.analysis.prices import PriceList
from exporter.config.price_file import PriceFileError, read_prices
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import Connection, Core
from tests.support.house_rules import ROOT

COST = "agentstack_cost_usd_total"
UNPRICED = "agentstack_unpriced_usage_total"
CHANGES = "agentstack_model_changes_total"
LATENCY = "agentstack_user_perceived_latency_by_position_seconds"
COMPONENTS = "agentstack_turn_component_seconds_total"
PROMPT = "agentstack_llm_prompt_tokens_by_position"
IMAGE_KINDS = ("image_input", "cached_image_input", "image_output")
LLM = {"llm_provider": "openai", "llm_model": "gpt-4o"}


def at(second: int) -> str:
    """A moment as the wire has it."""
    return f"2026-05-04T09:00:{second:02d}.000Z"


def priced(prices: PriceList | None) -> Connection:
    """A call whose usage has these prices."""
    core = Core()
    core.pipeline = Pipeline(LabelLimits(), SessionTimeouts(), core, core.now, prices=prices)
    return core.call()


@pytest.fixture
def listed(tmp_path: Path) -> PriceList:
    """A list with a model of each component."""
    file = tmp_path / "prices.toml"
    file.write_text(
        """
price = [
  {component = "llm", provider = "openai", model = "gpt-4o-mini", input = 0.15, output = 0.6},
  {component = "llm", provider = "openai", model = "gpt-4o*", input = 2.5, cached_input = 1.25, output = 10},
  {component = "tts", provider = "*", characters = 50},
  {component = "stt", provider = "deepgram", minutes = 0.0077},
  {component = "realtime", model = "with-images", image_input = 5},
  {component = "realtime", model = "gpt-realtime", text_input = 4, audio_input = 32, cached_audio_input = 0.4, audio_output = 64},
]
""",
        encoding="utf-8",
    )
    return read_prices(file)


def test_cached_tokens_cost_their_own_price(listed: PriceList) -> None:
    """Cached tokens are a part of those that went in: each is paid once."""
    call = priced(listed)
    call.turn(1, **LLM, llm_prompt_tokens=3000, llm_cache_read_tokens=1000, llm_completion_tokens=100)
    expected = (2000 * 2.5 + 1000 * 1.25 + 100 * 10) / 1e6
    assert call._core.value(COST, component="llm", provider="openai", model="gpt-4o") == pytest.approx(expected, abs=1e-9)
    assert call._core.value(UNPRICED) == 0


def test_each_component_costs(listed: PriceList) -> None:
    """Characters, minutes of audio, and the text and audio tokens of speech-to-speech models."""
    call = priced(listed)
    call.turn(1, tts_provider="elevenlabs", tts_model="x", tts_characters=2000, tts_output_tokens=7)
    call.turn(2, stt_provider="deepgram", stt_model="nova-3", stt_audio_duration_ms=30_000)
    call.turn(
        3,
        realtime_provider="openai",
        realtime_model="gpt-realtime",
        realtime_input_text_tokens=100,
        realtime_input_audio_tokens=1000,
        realtime_cached_audio_tokens=400,
        realtime_output_audio_tokens=500,
    )
    assert call._core.value(COST, component="tts") == pytest.approx(0.1)
    assert call._core.value(COST, component="stt") == pytest.approx(0.00385)
    expected = (100 * 4 + 600 * 32 + 400 * 0.4 + 500 * 64) / 1e6
    assert call._core.value(COST, component="realtime") == pytest.approx(expected, abs=1e-6)
    assert call._core.value(UNPRICED) == 0


def test_images_are_used_too(listed: PriceList) -> None:
    """Image tokens of a speech-to-speech model cost what they are priced at, cached ones as others, or are named as unpriced."""
    images = {"realtime_input_image_tokens": 300, "realtime_cached_image_tokens": 100, "realtime_output_image_tokens": 50}
    call = priced(listed)
    call.turn(1, realtime_provider="openai", realtime_model="with-images", **images)
    call.turn(2, realtime_provider="openai", realtime_model="gpt-realtime", **images)
    assert call._core.value(COST) == pytest.approx(300 * 5 / 1e6)
    unpriced = {kind: call._core.value(UNPRICED, component="realtime", model="gpt-realtime", kind=kind) for kind in IMAGE_KINDS}
    assert unpriced == {"image_input": 200, "cached_image_input": 100, "image_output": 50}
    assert call._core.value(UNPRICED, model="with-images") == 50


def test_the_first_entry_that_fits_holds(listed: PriceList) -> None:
    """A wildcard behind a name does not take its place; a missing cached price is that of what is not cached."""
    call = priced(listed)
    call.turn(1, llm_provider="openai", llm_model="gpt-4o-mini", llm_prompt_tokens=1_000_000, llm_cache_read_tokens=1_000_000)
    assert call._core.value(COST) == pytest.approx(0.15)


def test_what_has_no_price_is_counted_as_it_was_used(listed: PriceList) -> None:
    """An unknown model, and a kind that its entry does not price."""
    call = priced(listed)
    call.turn(1, llm_provider="acme", llm_model="m", llm_prompt_tokens=300, llm_completion_tokens=20)
    call.turn(2, realtime_provider="o", realtime_model="gpt-realtime", realtime_output_text_tokens=9)
    assert call._core.value(UNPRICED, component="llm", provider="acme", kind="input") == 300
    assert call._core.value(UNPRICED, component="llm", kind="output") == 20
    assert call._core.value(UNPRICED, component="realtime", kind="text_output") == 9
    assert call._core.value(COST) == 0


def test_duplicates_cost_once_and_nothing_costs_without_prices(listed: PriceList) -> None:
    """A repeated turn.metrics is not paid again; without a list there is neither cost nor unpriced usage."""
    call, free = priced(listed), priced(None)
    for _ in range(2):
        call.turn(1, **LLM, llm_completion_tokens=1_000_000)
        free.turn(1, **LLM, llm_completion_tokens=1_000_000)
    assert call._core.value(COST) == pytest.approx(10)
    assert free._core.value(COST) == free._core.value(UNPRICED) == 0


def test_the_example_has_prices() -> None:
    """The shipped list loads and knows the models it names."""
    prices = read_prices(ROOT / "deploy" / "prices" / "prices.toml")
    found = prices.find("llm", "openai", "gpt-4o-2024-11-20")
    assert found is not None
    assert found.per_unit("output") == 10 / 1e6
    assert prices.find("llm", "acme", "m") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected at least one table [[price]]"),
        ("x = 1", "unknown key 'x'; expected tables [[price]]"),
        ("[[price]]\ncomponent = 'llm'", "price 1: expected at least one of input, cached_input, output"),
        ("[[price]]\ncomponent = 'lmm'\ninput = 1", "price 1: component: 'lmm' is not one of llm, tts, stt, realtime"),
        ("[[price]]\ncomponent = 'llm'\ninputs = 1", "unknown key 'inputs'; did you mean 'input'?"),
        ("[[price]]\ncomponent = 'llm'\ninput = '1'", "input: '1' is not a number of dollars"),
        ("[[price]]\ncomponent = 'llm'\ninput = -1", "is not a number of dollars"),
        ("[[price]]\ncomponent = 'llm'\nprovider = 3\ninput = 1", "provider: 3 is not a name"),
        ("[[price", "is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file(tmp_path: Path, text: str, message: str) -> None:
    """A mistake is named with its place."""
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PriceFileError) as refusal:
        read_prices(file)
    assert message in str(refusal.value)


def test_models_that_change_within_a_call() -> None:
    """A change of provider is one, of the model alone another; a turn that says nothing of a component changes nothing."""
    core = Core()
    call = core.call()
    call.turn(1, **LLM, tts_provider="a", tts_model="v1")
    call.turn(2, **LLM, tts_provider="a", tts_model="v1")
    call.turn(3, user_perceived_ms=500)
    call.turn(4, llm_provider="groq", llm_model="gpt-4o", tts_provider="a", tts_model="v2")
    call.turn(5, **LLM)
    assert core.value(CHANGES, agent="support", component="llm", change="provider") == 2
    assert core.value(CHANGES, component="tts", change="model") == 1
    assert core.value(CHANGES) == 3
    core.call("as-2").turn(1, llm_provider="other", llm_model="x")
    assert core.value(CHANGES) == 3


def test_a_late_report_changes_no_model() -> None:
    """A report on a turn before the latest says what was, also when a sub-agent counted that turn; the call goes on as it did."""
    core = Core()
    call = core.call()
    call.turn(1, **LLM, user_started_speaking_at=at(0))
    call.turn(3, llm_provider="groq", llm_model="llama", user_started_speaking_at=at(20))
    call.turn(2, **LLM, user_started_speaking_at=at(10))
    call.turn(7, **LLM, agent_tool_id="sub", agent_started_speaking_at=at(12))
    call.turn(4, llm_provider="groq", llm_model="llama", user_started_speaking_at=at(30))
    assert core.value(CHANGES) == 1


def test_a_wrong_clock_hides_no_change() -> None:
    """After a turn that seems to lie far ahead, models still change."""
    core = Core()
    call = core.call()
    call.turn(1, **LLM, user_started_speaking_at="2100-01-01T00:00:00Z")
    call.turn(2, llm_provider="groq", llm_model="llama", user_started_speaking_at=at(10))
    assert core.value(CHANGES) == 1


@pytest.mark.parametrize(
    ("number", "position"), [(1, "1"), (2, "2-5"), (5, "2-5"), (6, "6-10"), (11, "11-20"), (20, "11-20"), (21, "21+"), (900, "21+")]
)
def test_positions(number: int, position: str) -> None:
    """Waits and prompts are kept apart by where in its call a turn is."""
    core = Core()
    core.call().turn(number, user_perceived_ms=800, llm_prompt_tokens=1500)
    assert core.value(LATENCY, position=position, agent="support") == core.value(LATENCY) == 0.8
    assert core.value(PROMPT, position=position) == 1500


def test_greetings_and_sub_agents_have_no_position() -> None:
    """Nobody waited for a greeting, and a sub-agent numbers its own turns."""
    core = Core()
    call = core.call()
    call.turn(1, agent_first=True, user_perceived_ms=800)
    call.turn(1, agent_tool_id="sub", user_perceived_ms=800)
    assert core.observations(LATENCY) == 0


def test_machines_do_not_wait() -> None:
    """What a machine that answered had to wait is left out, as it is where the time of turns is added up."""
    core = Core()
    call = core.call()
    call.send("voicemail.detected", result="machine")
    call.turn(1, user_perceived_ms=800, llm_prompt_tokens=100)
    assert core.observations(LATENCY) == core.value(COMPONENTS) == 0
    assert core.observations(PROMPT) == 1


def test_what_is_remembered_goes_with_the_series() -> None:
    """An agent that gives up its place takes its series along; one of the same name that comes later begins anew."""
    core = Core(LabelLimits(agents=1, idle=60.0), SessionTimeouts(resume=1.0))
    for agent, wait in (("a", 800), ("b", 300), ("a", 400)):
        call = core.call(f"as-{core.now}", agent)
        call.turn(1, user_perceived_ms=wait)
        assert core.value(LATENCY, agent=agent) == core.value(COMPONENTS, agent=agent) == wait / 1000
        call.close()
        core.let_pass(10.0)
        core.let_pass(100.0)
