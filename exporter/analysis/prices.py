"""What providers' usage costs: price lists, and what a turn has used of what they price."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from exporter.events.turn_metrics import TurnMetrics

MILLION: Final = 1e6
KINDS: Final[Mapping[str, Mapping[str, float]]] = {
    "llm": {"input": MILLION, "cached_input": MILLION, "output": MILLION},
    "tts": {"characters": MILLION, "input": MILLION, "output": MILLION},
    "stt": {"minutes": 1.0, "input": MILLION, "output": MILLION},
    "realtime": dict.fromkeys(
        (
            *("text_input", "audio_input", "image_input"),
            *("cached_text_input", "cached_audio_input", "cached_image_input"),
            *("text_output", "audio_output", "image_output"),
        ),
        MILLION,
    ),
}
"""What of each component has a price, and of how many (tokens, characters, minutes) it is the price."""
_STANDS_IN: Final = {
    "cached_input": "input",
    "cached_text_input": "text_input",
    "cached_audio_input": "audio_input",
    "cached_image_input": "image_input",
}
"""A price that is not given → the one that holds instead: what is not known to be cheaper is not."""


@dataclass(frozen=True, slots=True)
class Price:
    """An entry of the list. ``provider`` and ``model`` may hold ``*``; ``prices`` are in dollars, by kind."""

    component: str
    provider: str
    model: str
    prices: Mapping[str, float]

    def of_one(self, kind: str) -> float | None:
        """Dollars for one (token, character, minute) of a kind; ``None`` if it has no price."""
        price = self.prices.get(kind, self.prices.get(_STANDS_IN.get(kind, "")))
        return None if price is None else price / KINDS[self.component][kind]


class PriceList:
    """Entries of which the first that fits holds."""

    def __init__(self, entries: tuple[Price, ...]) -> None:
        self._entries = entries
        self._found: dict[tuple[str, str, str], Price | None] = {}

    def find(self, component: str, provider: str, model: str) -> Price | None:
        """The entry for a model; ``provider`` and ``model`` are label values, of which there is a bounded number."""
        key = (component, provider, model)
        if key not in self._found:
            fits = (price for price in self._entries if price.component == component)
            fits = (price for price in fits if fnmatchcase(provider, price.provider) and fnmatchcase(model, price.model))
            if len(self._found) > _MOST_FOUND:
                self._found.clear()
            self._found[key] = next(fits, None)
        return self._found[key]


_MOST_FOUND: Final = 10_000


class Used(NamedTuple):
    """What a turn has used of a component, by kind of :data:`KINDS`."""

    component: str
    provider: str | None
    model: str | None
    amounts: dict[str, float]


def used_by(e: TurnMetrics) -> Iterator[Used]:
    """What a turn has used. Cached tokens are a part of those that went in, and are counted apart here."""
    cached = e.llm_cache_read_tokens or 0.0
    yield Used("llm", e.llm_provider, e.llm_model, _some(
        input=(e.llm_prompt_tokens or 0.0) - cached, cached_input=cached, output=e.llm_completion_tokens,
    ))  # fmt: skip
    if e.tts_characters:
        yield Used("tts", e.tts_provider, e.tts_model, _some(characters=e.tts_characters))
    else:
        yield Used("tts", e.tts_provider, e.tts_model, _some(input=e.tts_input_tokens, output=e.tts_output_tokens))
    if e.stt_audio_duration_ms:
        yield Used("stt", e.stt_provider, e.stt_model, _some(minutes=e.stt_audio_duration_ms / 60_000.0))
    else:
        yield Used("stt", e.stt_provider, e.stt_model, _some(input=e.stt_input_tokens, output=e.stt_output_tokens))
    text, audio = e.realtime_cached_text_tokens or 0.0, e.realtime_cached_audio_tokens or 0.0
    image = e.realtime_cached_image_tokens or 0.0
    yield Used("realtime", e.realtime_provider, e.realtime_model, _some(
        text_input=(e.realtime_input_text_tokens or 0.0) - text, audio_input=(e.realtime_input_audio_tokens or 0.0) - audio,
        image_input=(e.realtime_input_image_tokens or 0.0) - image,
        cached_text_input=text, cached_audio_input=audio, cached_image_input=image,
        text_output=e.realtime_output_text_tokens, audio_output=e.realtime_output_audio_tokens,
        image_output=e.realtime_output_image_tokens,
    ))  # fmt: skip


def _some(**amounts: float | None) -> dict[str, float]:
    return {kind: amount for kind, amount in amounts.items() if amount is not None and amount > 0.0}
