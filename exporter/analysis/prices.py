"""Price lists of providers, and the usage of a turn in the units that have a price."""

from collections.abc import Mapping
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
_ROUNDING: Final = 1e-9
"""A rest that is not above this is what rounding left of a difference."""


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
    """The usage of one component in a turn, by kind: the kinds of :data:`KINDS`, and those that never have a price.

    ``measures``: one usage, measured in one or more ways, for example in characters and in tokens. It is paid once.
    """

    component: str
    provider: str | None
    model: str | None
    measures: tuple[dict[str, float], ...]

    def measured(self, price: Price | None) -> dict[str, float]:
        """The first measure that has a price; if none has, the first. Empty if nothing was used."""
        for amounts in self.measures:
            if amounts and price is not None and any(price.per_unit(kind) is not None for kind in amounts):
                return amounts
        return next(filter(None, self.measures), {})


def used_by(e: TurnMetrics) -> tuple[Used, ...]:
    """The usage of a turn, by component. Cached tokens, which the event counts as input too, are only in the cached kinds here.

    What a total has and its parts do not becomes a kind without a price: ``total`` is neither input nor output, as far as is known,
    and a realtime ``input``, ``cached_input`` or ``output`` is of no known modality.
    """
    return (
        Used("llm", e.llm_provider, e.llm_model, (_llm(e),)),
        Used("tts", e.tts_provider, e.tts_model, (
            _positive(characters=e.tts_characters),
            _positive(input=e.tts_input_tokens, output=e.tts_output_tokens),
            _positive(minutes=_minutes(e.tts_audio_duration_ms)),
        )),
        Used("stt", e.stt_provider, e.stt_model, (
            _positive(minutes=_minutes(e.stt_audio_duration_ms)),
            _positive(input=e.stt_input_tokens, output=e.stt_output_tokens),
        )),
        Used("realtime", e.realtime_provider, e.realtime_model, (_realtime(e),)),
    )  # fmt: skip


def _llm(e: TurnMetrics) -> dict[str, float]:
    cached, output = e.llm_cache_read_tokens or 0.0, e.llm_completion_tokens or 0.0
    uncached = max((e.llm_prompt_tokens or 0.0) - cached, 0.0)
    total = (e.llm_total_tokens or 0.0) - (cached + uncached + output)
    return _positive(input=uncached, cached_input=cached, output=output, total=total)


def _realtime(e: TurnMetrics) -> dict[str, float]:
    text, audio = e.realtime_cached_text_tokens or 0.0, e.realtime_cached_audio_tokens or 0.0
    image = e.realtime_cached_image_tokens or 0.0
    parts = _positive(
        text_input=(e.realtime_input_text_tokens or 0.0) - text, audio_input=(e.realtime_input_audio_tokens or 0.0) - audio,
        image_input=(e.realtime_input_image_tokens or 0.0) - image,
        cached_text_input=text, cached_audio_input=audio, cached_image_input=image,
        text_output=e.realtime_output_text_tokens, audio_output=e.realtime_output_audio_tokens,
        image_output=e.realtime_output_image_tokens,
    )  # fmt: skip
    parts_out = sum(amount for kind, amount in parts.items() if kind.endswith("_output"))
    parts_in = sum(parts.values()) - parts_out
    cached = max(e.realtime_cached_tokens or 0.0, text + audio + image)
    all_in = max(e.realtime_input_tokens or 0.0, cached, parts_in)
    all_out = max(e.realtime_output_tokens or 0.0, parts_out)
    cached_rest = min(cached - (text + audio + image), all_in - parts_in)  # the parts of the input may contain the others
    return parts | _positive(
        cached_input=cached_rest,
        input=all_in - parts_in - cached_rest,
        output=all_out - parts_out,
        total=(e.realtime_total_tokens or 0.0) - all_in - all_out,
    )


def _minutes(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 60_000.0


def _positive(**amounts: float | None) -> dict[str, float]:
    return {kind: amount for kind, amount in amounts.items() if amount is not None and amount > _ROUNDING}
