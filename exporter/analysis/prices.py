"""Price lists of providers, and the usage of a turn in the units that have a price."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from exporter.bounded_dict import BoundedDict
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
"""The kinds of usage of each component that have a price, and the number of units (tokens, characters, minutes) it is for."""
_STANDS_IN: Final = {
    "cached_input": "input",
    "cached_text_input": "text_input",
    "cached_audio_input": "audio_input",
    "cached_image_input": "image_input",
}
"""A kind without a price of its own → the kind whose price applies: cached input costs as much as input unless a price says less."""

_MOST_FOUND: Final = 10_000


@dataclass(frozen=True, slots=True)
class Price:
    """An entry of a price list. ``provider`` and ``model`` may contain ``*``. ``prices`` are in dollars, by kind of usage."""

    component: str
    provider: str
    model: str
    prices: Mapping[str, float]

    def per_unit(self, kind: str) -> float | None:
        """Dollars for one unit (token, character, minute) of a kind; ``None`` if it has no price."""
        price = self.prices.get(kind, self.prices.get(_STANDS_IN.get(kind, "")))
        return None if price is None else price / KINDS[self.component][kind]


class PriceList:
    """A list of prices. The first entry that matches a model applies."""

    def __init__(self, entries: tuple[Price, ...]) -> None:
        self._entries = entries
        self._found: BoundedDict[tuple[str, str, str], Price | None] = BoundedDict(_MOST_FOUND)

    def find(self, component: str, provider: str, model: str) -> Price | None:
        """The entry that applies to a model, if any. ``provider`` and ``model`` are label values: their number is bounded."""
        key = (component, provider, model)
        if key not in self._found:
            matching = (price for price in self._entries if price.component == component)
            matching = (price for price in matching if fnmatchcase(provider, price.provider) and fnmatchcase(model, price.model))
            self._found[key] = next(matching, None)
        return self._found[key]


class Used(NamedTuple):
    """The usage of one component in a turn, by the kinds of :data:`KINDS`."""

    component: str
    provider: str | None
    model: str | None
    amounts: dict[str, float]


def used_by(e: TurnMetrics) -> Iterator[Used]:
    """The usage of a turn, by component. Cached tokens, which the event counts as input too, are only in ``cached_input`` here."""
    cached = e.llm_cache_read_tokens or 0.0
    yield Used("llm", e.llm_provider, e.llm_model, _positive(
        input=(e.llm_prompt_tokens or 0.0) - cached, cached_input=cached, output=e.llm_completion_tokens,
    ))  # fmt: skip
    if e.tts_characters:
        yield Used("tts", e.tts_provider, e.tts_model, _positive(characters=e.tts_characters))
    else:
        yield Used("tts", e.tts_provider, e.tts_model, _positive(input=e.tts_input_tokens, output=e.tts_output_tokens))
    if e.stt_audio_duration_ms:
        yield Used("stt", e.stt_provider, e.stt_model, _positive(minutes=e.stt_audio_duration_ms / 60_000.0))
    else:
        yield Used("stt", e.stt_provider, e.stt_model, _positive(input=e.stt_input_tokens, output=e.stt_output_tokens))
    text, audio = e.realtime_cached_text_tokens or 0.0, e.realtime_cached_audio_tokens or 0.0
    image = e.realtime_cached_image_tokens or 0.0
    yield Used("realtime", e.realtime_provider, e.realtime_model, _positive(
        text_input=(e.realtime_input_text_tokens or 0.0) - text, audio_input=(e.realtime_input_audio_tokens or 0.0) - audio,
        image_input=(e.realtime_input_image_tokens or 0.0) - image,
        cached_text_input=text, cached_audio_input=audio, cached_image_input=image,
        text_output=e.realtime_output_text_tokens, audio_output=e.realtime_output_audio_tokens,
        image_output=e.realtime_output_image_tokens,
    ))  # fmt: skip


def _positive(**amounts: float | None) -> dict[str, float]:
    return {kind: amount for kind, amount in amounts.items() if amount is not None and amount > 0.0}
