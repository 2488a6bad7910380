"""The simulated platform's accounts, added up by an operator's questions, with a price list for the tests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from exporter.simulate.account import Account, TurnAccount, Usage
from tests.support.answers import Answers

SLOW_MS = 1200
"""A longer wait is slow, in milliseconds."""
SILENT_MS = 3000
"""A longer wait without an answer is silence, in milliseconds."""
PRICES: dict[tuple[str, str, str], dict[str, float]] = {
    ("llm", "openai", "gpt-4o"): {"input": 2.5, "cached_input": 1.25, "output": 10.0},
    ("llm", "anthropic", "claude-haiku-4-5"): {"input": 1.0, "cached_input": 0.1, "output": 5.0},
    ("llm", "openai", "gpt-4o-mini"): {"output": 0.6},
    ("tts", "elevenlabs", "eleven_flash_v2_5"): {"characters": 50.0},
    ("tts", "cartesia", "sonic-2"): {"characters": 40.0},
    ("stt", "deepgram", "nova-3"): {"minutes": 0.0077},
    ("realtime", "openai_realtime", "gpt-realtime"): {
        "text_input": 4.0,
        "cached_text_input": 0.4,
        "text_output": 16.0,
        "audio_input": 32.0,
        "cached_audio_input": 0.5,
        "audio_output": 64.0,
        "image_input": 5.0,
    },
    ("realtime", "gemini_live", "gemini-2.5-flash-native-audio"): {"audio_output": 12.0},
}
"""Dollars by model and kind: per minute, or per million of anything else. Other usage has no price."""
FOR_NOTHING = ("output", "characters", "audio_output", "text_output")
"""Kinds of usage that are wasted if the work is cancelled."""

Answer = tuple[tuple[str, ...], float]
"""One of the :data:`~tests.support.answers.Answers`."""


def price_file(folder: Path) -> Path:
    """Write the prices as the exporter reads them."""
    lines = []
    for (component, provider, model), prices in PRICES.items():
        lines += ["[[price]]", f'component = "{component}"', f'provider = "{provider}"', f'model = "{model}"']
        lines += [f"{kind} = {dollars}" for kind, dollars in prices.items()]
    file = folder / "prices.toml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def known(accounts: Iterable[Account]) -> Answers:
    """The sum of the answers of all accounts."""
    return added(answer for account in accounts for answer in of_call(account))


def added(answers: Iterable[Answer]) -> Answers:
    """The sum of each kind of answer, without those that are 0."""
    sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for key, amount in answers:
        sums[key] += amount
    return {key: amount for key, amount in sums.items() if amount}


def of_call(account: Account) -> Iterator[Answer]:
    """The answers of one call."""
    agent = account.agent
    yield ("premature_ends", agent), account.premature_ends
    yield ("dead_air", agent), len(account.silences_ms)
    yield ("dead_air_seconds", agent), sum(account.silences_ms) / 1000
    yield ("barge_in_reactions", agent), len(account.reactions_ms)
    yield ("barge_in_seconds", agent), sum(account.reactions_ms) / 1000
    for change in account.model_changes:
        yield ("model_changes", agent, change.component, change.change), 1
    # When the line of a call went dead, the exporter is still waiting for it to come back.
    if account.ended and account.in_vain_ms > SILENT_MS:
        yield ("ended_after", agent, "silent"), 1
    elif account.ended and (account.in_vain_ms or account.last_wait_ms) > SLOW_MS:
        yield ("ended_after", agent, "slow"), 1
    for turn in account.turns:
        yield from of_turn(agent, turn)


def of_turn(agent: str, turn: TurnAccount) -> Iterator[Answer]:
    """The answers of one turn."""
    if turn.reported and not turn.by_agent:
        yield ("caller_turns", agent, "answered" if turn.answered else "unanswered"), 1
    if turn.bottleneck is not None and turn.waited_ms is not None and not turn.machine:
        for part, ms in turn.parts_ms.items():
            yield (("turn_component", agent, part) if ms > 0 else ("negative_rest", agent)), abs(ms) / 1000
        if turn.waited_ms > SLOW_MS:
            yield ("slow_turns", agent, turn.bottleneck), 1
    for used in turn.used:
        yield from of_usage(used)


def of_usage(used: Usage) -> Iterator[Answer]:
    """The answers of the usage of a model: dollars, unpriced usage, and waste."""
    labels = (used.component, used.provider, used.model)
    prices = PRICES.get(labels, {})
    for kind, amount in used.amounts.items():
        if kind in prices:
            yield ("cost_usd", *labels), amount * prices[kind] / (1 if kind == "minutes" else 1_000_000)
        else:
            yield ("unpriced", *labels, kind), amount
    if used.cancelled:
        yield ("wasted", *labels), sum(amount for kind, amount in used.amounts.items() if kind in FOR_NOTHING)
