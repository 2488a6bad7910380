"""The waterfall of spans in a terminal."""

import re

import pytest
from google.protobuf.message import DecodeError
from rich.console import Console

from exporter.tools.waterfall import draw
from tests.support.samples import CALL, events, noted
from tests.support.traced import Player


def drawn(spans: list[bytes], width: int = 150) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(draw(spans, width))
    return capture.get()


def test_a_turn_is_drawn_against_itself() -> None:
    """Every span has a line with its offset and length, and the turn's bar fills the width."""
    lines = drawn(Player().play(noted("a whole cascade turn")).raw).splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("invoke_agent agent-support")
    assert "━" * 48 in lines[0]
    assert "caller waited 1.240 s" in lines[0]
    (chat,) = [line for line in lines if "chat gpt-4o" in line]
    assert "+2720 ms" in chat
    assert " 980 ms" in chat
    assert "◆" in chat


def test_a_call_is_drawn_turn_by_turn() -> None:
    """A whole call shows its turns below the session, with failures and interruptions."""
    player = Player()
    for event, receipt in events(CALL):
        player.play(event, receipt=receipt)
    text = drawn(player.raw)
    assert text.startswith("session")
    assert text.count("  invoke_agent") == 5
    assert "interrupted" in text
    assert "times estimated" in text
    assert "error llm" in text


def test_names_cannot_steer_the_terminal() -> None:
    """Control characters and markup in a model's name are shown as text or not at all."""
    text = drawn(Player().play({"type": "turn.metrics", "llm_model": "\x1b[31mred[bold]", "llm_provider": "x"}).raw)
    assert "\x1b" not in text
    assert "[bold]" in text


def test_other_bytes_are_refused() -> None:
    """Bytes that are no span raise an error."""
    with pytest.raises(DecodeError):
        draw([b"\xff"])


def test_no_spans_are_no_lines() -> None:
    """Without spans nothing is drawn."""
    assert drawn([]).strip() == ""


@pytest.mark.parametrize("width", [80, 100, 120, 140])
def test_numbers_are_never_cut(width: int) -> None:
    """In a narrow terminal names and bars are shorter, and each line still has its times in full."""
    player = Player()
    for event, receipt in events(CALL):
        player.play(event, receipt=receipt)
    lines = drawn(player.raw, width).splitlines()
    with_times = [line for line in lines if re.search(r" \+\d+(\.\d+)? m?s +\d+(\.\d+)? m?s ", line)]
    assert len(with_times) == len(player.raw)
    assert max(map(len, lines)) <= width
