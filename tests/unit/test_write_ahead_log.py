"""The queue's directory: what is kept, what is removed, and what is found again."""

from pathlib import Path

import pytest

from exporter.exporters.otlp.sender.segment import HEADER_SIZE, Recovered
from exporter.exporters.otlp.sender.write_ahead_log import DiskLog

PLENTY = 1 << 30
RECORD = HEADER_SIZE + 3


def opened(folder: Path, size: int = PLENTY, segment: int = 1 << 20) -> tuple[DiskLog, Recovered]:
    log = DiskLog(folder, size, segment)
    return log, log.open()


def items(*numbers: int) -> list[tuple[bytes, int]]:
    """One item for each number of ``range(*numbers)``, of three bytes."""
    return [(b"%03d" % number, 1) for number in range(*numbers)]


def read(log: DiskLog, most: int = 10_000) -> list[int]:
    return [int(record.body) for record in log.read(most, PLENTY).records]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.otlp"))


def test_first_in_first_out(tmp_path: Path) -> None:
    """Records come back in order, within both limits, while more are written."""
    log, found = opened(tmp_path)
    assert found == Recovered(0, 0, 0, 0)
    assert log.append(0, items(5))
    assert read(log, most=3) == [0, 1, 2]
    assert log.append(5, items(5, 8))
    assert [int(record.body) for record in log.read(10, max_size=6).records] == [3, 4]
    assert read(log) == [5, 6, 7]
    assert read(log) == []
    log.close()


def test_one_at_least(tmp_path: Path) -> None:
    """A record over the limits is given alone."""
    log, _ = opened(tmp_path)
    log.append(0, [(b"x" * 100, 9), (b"y", 1)])
    assert [record.body for record in log.read(1, 1).records] == [b"x" * 100]
    assert [record.body for record in log.read(1, 1).records] == [b"y"]
    log.close()


def test_next_process(tmp_path: Path) -> None:
    """What was not acknowledged is found again, in order, and numbering goes on."""
    log, _ = opened(tmp_path, segment=10 * RECORD)
    log.append(0, items(95))
    assert read(log, most=40) == list(range(40))
    log.acknowledge(40)
    read(log, most=40)
    log.close()
    log, found = opened(tmp_path)
    assert found == Recovered(records=55, items=55, size=55 * 3, damaged=0)
    assert log.next == 95
    log.append(95, items(95, 100))
    assert read(log) == list(range(40, 100))
    log.close()


def test_removed_once_delivered(tmp_path: Path) -> None:
    """Files go as soon as all they hold is delivered, and the last with the close."""
    log, _ = opened(tmp_path, segment=10 * RECORD)
    log.append(0, items(100))
    assert len(segments(tmp_path)) == 10
    read(log, most=55)
    log.acknowledge(55)
    assert len(segments(tmp_path)) == 5
    read(log)
    log.acknowledge(100)
    log.close()
    assert segments(tmp_path) == []
    assert opened(tmp_path)[0].next == 100


def test_bounded(tmp_path: Path) -> None:
    """No more is written than the directory may hold, to the byte, and there is room again after delivery."""
    log, _ = opened(tmp_path, size=40 * RECORD)
    assert not log.append(0, items(50))
    assert log.next == 40
    assert sum(path.stat().st_size for path in segments(tmp_path)) == 40 * RECORD
    assert read(log, most=20) == list(range(20))
    log.acknowledge(20)
    assert log.append(40, items(40, 45))
    assert read(log) == list(range(20, 45))
    log.close()


def test_acknowledged_before_it_was_read(tmp_path: Path) -> None:
    """Records that were delivered from memory meanwhile are not given again."""
    log, _ = opened(tmp_path)
    log.append(0, items(10))
    log.acknowledge(4)
    assert read(log) == [4, 5, 6, 7, 8, 9]
    log.close()


def test_numbers_written_already_are_left_out(tmp_path: Path) -> None:
    """A write that is repeated because its end was not waited for changes nothing."""
    log, _ = opened(tmp_path)
    log.append(0, items(10))
    log.append(0, items(12))
    assert read(log) == list(range(12))
    log.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A directory in use is refused, and free after the close."""
    first, _ = opened(tmp_path)
    with pytest.raises(OSError, match="another process uses it"):
        opened(tmp_path)
    first.close()
    opened(tmp_path)[0].close()


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_damage_between_processes(tmp_path: Path, where: str) -> None:
    """A damaged record is counted once and skipped, wherever it stands; all others are given."""
    log, _ = opened(tmp_path)
    log.append(0, items(10))
    log.close()
    [path] = segments(tmp_path)
    content = bytearray(path.read_bytes())
    hit = {"first": 0, "middle": 5, "last": 9}[where]
    content[hit * RECORD + HEADER_SIZE] ^= 1
    path.write_bytes(content)
    log, found = opened(tmp_path)
    assert (found.items, found.damaged) == (9, 1)
    result = log.read(100, PLENTY)
    assert [int(record.body) for record in result.records] == [number for number in range(10) if number != hit]
    assert (result.lost, result.damaged) == (0, 0)
    log.append(10, items(10, 12))
    assert read(log) == [10, 11]
    log.close()


def test_damage_of_our_own(tmp_path: Path) -> None:
    """A record damaged under way is known to be lost, and how many items with it."""
    log, _ = opened(tmp_path)
    log.append(0, [(b"abc", 2), (b"def", 3), (b"ghi", 4)])
    [path] = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[RECORD + HEADER_SIZE] ^= 1
    path.write_bytes(content)
    result = log.read(100, PLENTY)
    assert ([record.body for record in result.records], result.lost, result.damaged) == ([b"abc", b"ghi"], 3, 1)
    log.close()


def test_removed_by_somebody(tmp_path: Path) -> None:
    """A file that somebody removed is known to be lost, and writing and reading go on."""
    log, _ = opened(tmp_path, segment=10 * RECORD)
    log.append(0, items(20))
    segments(tmp_path)[0].unlink()
    result = log.read(100, PLENTY)
    assert (len(result.records), result.lost, result.damaged) == (10, 10, 1)
    log.append(20, items(20, 30))
    assert read(log) == list(range(20, 30))
    log.close()


@pytest.mark.parametrize("content", [b"", b"short", bytes(12), b"\xff" * 12, b"\xff" * 100])
def test_damaged_cursor(tmp_path: Path, content: bytes) -> None:
    """Without a cursor that can be read, everything there is is sent again rather than lost."""
    log, _ = opened(tmp_path)
    log.append(0, items(10))
    read(log, most=5)
    log.acknowledge(5)
    log.close()
    (tmp_path / "delivered").write_bytes(content)
    log, found = opened(tmp_path)
    assert read(log) == list(range(10))
    assert found.damaged == (1 if content else 0)
    log.close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """What is not the queue's stays, and a folder with a segment's name does no harm."""
    (tmp_path / "notes.otlp").write_text("mine")
    (tmp_path / "0123.otlp").mkdir()
    log, found = opened(tmp_path)
    log.append(0, items(3))
    assert read(log) == [0, 1, 2]
    log.acknowledge(3)
    log.close()
    assert found.damaged == 1
    assert {path.name for path in tmp_path.iterdir()} == {"notes.otlp", "0123.otlp", "delivered", "lock"}


def test_only_for_us(tmp_path: Path) -> None:
    """Directory and files are for their owner only, since spans can hold what was said."""
    log, _ = opened(tmp_path / "new")
    log.append(0, items(1))
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new").iterdir())
    log.close()
