"""Every board has a picture in the documentation."""

import struct

import pytest

from grafana.boards import BOARDS
from tests.support.house_rules import ROOT

PICTURES = ROOT / "docs" / "boards"
LARGEST = 300_000


@pytest.mark.parametrize("name", [board.name for board in BOARDS])
def test_each_board_has_its_picture(name: str) -> None:
    """It is a PNG wide enough to be read, not too large for a page, and the page on boards shows or links it."""
    content = (PICTURES / f"{name}.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert min(width, height) >= 1000
    assert len(content) < LARGEST
    assert f"boards/{name}.png" in (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")


def test_no_picture_is_left_over() -> None:
    """None is of a board that is gone."""
    assert {file.stem for file in PICTURES.iterdir()} == {board.name for board in BOARDS}
