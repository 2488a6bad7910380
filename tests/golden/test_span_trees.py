"""The spans of the sample calls, as trees that people can read."""

import pytest

from exporter.tracing.sampling import SpanOptions
from tests.support.golden import Golden
from tests.support.samples import CALL, events, noted
from tests.support.span_tree import tree
from tests.support.traced import Player

TURNS = {
    "greeting": "greeting turn: no user, no perceived latency",
    "cascade": "a whole cascade turn",
    "interrupted": "interrupted turn: LLM and TTS cancelled",
    "speech_to_speech": "speech to speech",
    "sentinels": "sentinels that must not be observed",
    "second_generation": "second generation of turn.metrics",
}


@pytest.mark.parametrize("name", TURNS)
def test_turn(name: str, golden: Golden) -> None:
    """A turn's spans, from its turn.metrics alone."""
    golden(f"spans/{name}.txt", tree(Player().play(noted(TURNS[name])).emitted))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("call", SpanOptions()),
        ("call_captured", SpanOptions(capture=True, proposals=True)),
        ("call_per_turn", SpanOptions(per_turn=True)),
    ],
)
def test_call(name: str, options: SpanOptions, golden: Golden) -> None:
    """All spans of the sample call, received as fast as they happened."""
    player = Player(options)
    for event, receipt in events(CALL):
        player.play(event, receipt=receipt)
    golden(f"spans/{name}.txt", tree(player.emitted))
