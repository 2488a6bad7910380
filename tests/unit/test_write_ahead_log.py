"""The queue's directory: what is kept, what is removed, and what is found again."""

import os
import struct
import zlib
from pathlib import Path

import pytest

from exporter.exporters.otlp.sender import write_ahead_log
from exporter.exporters.otlp.sender.segment import HEADER_SIZE, QueueEntry, encode_record
from exporter.exporters.otlp.sender.write_ahead_log import Recovered, WriteAheadLog

PLENTY = 1 << 30
EARLIER = {
    "00000000000000000000.otlp": (
        "a96f746c000000000000000001000000050000003697c7c0616c706861a96f746c01000000000000000200000004000000d1eb16ac626574"
        "61a96f746c020000000000000003000000050000001bcafc5067616d6d61"
    ),
    "00000000000000000003.otlp": (
        "a96f746c03000000000000000400000005000000756155e064656c7461a96f746c04000000000000000500000007000000b96b124b657073696c6f6e"
    ),
    "delivered": "020000000000000014d80727",
}
"""A queue's directory as commit 65ceb85 wrote it, in hexadecimal: five records, of which two are delivered."""
RECORD = HEADER_SIZE + 3


def opened(folder: Path, size: int = PLENTY, segment: int = 1 << 20) -> tuple[WriteAheadLog, Recovered]:
    log = WriteAheadLog(folder, size, segment)
    return log, log.open()


def entries(*numbers: int) -> list[QueueEntry]:
    """One entry of three bytes and one item for each number of ``range(*numbers)``."""
    return [QueueEntry(b"%03d" % number, items=1) for number in range(*numbers)]


def read(log: WriteAheadLog, most: int = 10_000) -> list[int]:
    return [int(record.body) for record in log.read(most, PLENTY).records]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.otlp"))


def test_first_in_first_out(tmp_path: Path) -> None:
    """Records come back in order, within both limits, while more are written."""
    log, found = opened(tmp_path)
    assert found == Recovered(0, 0, 0, 0)
    assert log.append(0, entries(5))
    assert read(log, most=3) == [0, 1, 2]
    assert log.append(5, entries(5, 8))
    assert [int(record.body) for record in log.read(10, max_size=6).records] == [3, 4]
    assert read(log) == [5, 6, 7]
    assert read(log) == []
    log.close()


def test_one_at_least(tmp_path: Path) -> None:
    """A record over the limits is read alone."""
    log, _ = opened(tmp_path)
    log.append(0, [QueueEntry(b"x" * 100, items=9), QueueEntry(b"y", items=1)])
    assert [record.body for record in log.read(1, 1).records] == [b"x" * 100]
    assert [record.body for record in log.read(1, 1).records] == [b"y"]
    log.close()


def test_next_process(tmp_path: Path) -> None:
    """The next process finds what was not acknowledged, in order, and continues the numbering."""
    log, _ = opened(tmp_path, segment=10 * RECORD)
    log.append(0, entries(95))
    assert read(log, most=40) == list(range(40))
    log.ack(40)
    read(log, most=40)
    log.close()
    log, found = opened(tmp_path)
    assert found == Recovered(records=55, items=55, size=55 * 3, damaged=0)
    assert log.next_sequence == 95
    log.append(95, entries(95, 100))
    assert read(log) == list(range(40, 100))
    log.close()


def test_removed_once_delivered(tmp_path: Path) -> None:
    """A file is removed when all its records are delivered, the last one on close."""
    log, _ = opened(tmp_path, segment=10 * RECORD)
    log.append(0, entries(100))
    assert len(segments(tmp_path)) == 10
    read(log, most=55)
    log.ack(55)
    assert len(segments(tmp_path)) == 5
    read(log)
    log.ack(100)
    log.close()
    assert segments(tmp_path) == []
    assert opened(tmp_path)[0].next_sequence == 100


def test_bounded(tmp_path: Path) -> None:
    """The directory's limit holds to the byte, and a delivery makes room again."""
    log, _ = opened(tmp_path, size=40 * RECORD)
    assert not log.append(0, entries(50))
    assert log.next_sequence == 40
    assert sum(path.stat().st_size for path in segments(tmp_path)) == 40 * RECORD
    assert read(log, most=20) == list(range(20))
    log.ack(20)
    assert log.append(40, entries(40, 45))
    assert read(log) == list(range(20, 45))
    log.close()


def test_acknowledged_before_it_was_read(tmp_path: Path) -> None:
    """Records that were delivered from memory are not read again."""
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
    log.ack(4)
    assert read(log) == [4, 5, 6, 7, 8, 9]
    log.close()


def test_numbers_written_already_are_left_out(tmp_path: Path) -> None:
    """A write that is repeated after a cancellation changes nothing."""
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
    log.append(0, entries(12))
    assert read(log) == list(range(12))
    log.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A directory in use cannot be opened; after close it can."""
    first, _ = opened(tmp_path)
    with pytest.raises(OSError, match="another process uses it"):
        opened(tmp_path)
    first.close()
    opened(tmp_path)[0].close()


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_damage_between_processes(tmp_path: Path, where: str) -> None:
    """A damaged record is counted once and skipped, wherever it is; all others are read."""
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
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
    log.append(10, entries(10, 12))
    assert read(log) == [10, 11]
    log.close()


def test_damage_while_open(tmp_path: Path) -> None:
    """The items of a record that is damaged while the directory is open are counted as lost."""
    log, _ = opened(tmp_path)
    log.append(0, [QueueEntry(b"abc", 2), QueueEntry(b"def", 3), QueueEntry(b"ghi", 4)])
    [path] = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[RECORD + HEADER_SIZE] ^= 1
    path.write_bytes(content)
    result = log.read(100, PLENTY)
    assert ([record.body for record in result.records], result.lost, result.damaged) == ([b"abc", b"ghi"], 3, 1)
    log.close()


def test_removed_by_another_program(tmp_path: Path) -> None:
    """A file that another program removed is counted as lost, and writing and reading continue."""
    log, _ = opened(tmp_path, segment=10 * RECORD)
    log.append(0, entries(20))
    segments(tmp_path)[0].unlink()
    result = log.read(100, PLENTY)
    assert (len(result.records), result.lost, result.damaged) == (10, 10, 1)
    log.append(20, entries(20, 30))
    assert read(log) == list(range(20, 30))
    log.close()


@pytest.mark.parametrize("content", [b"", b"short", bytes(12), b"\xff" * 12, b"\xff" * 100])
def test_damaged_cursor(tmp_path: Path, content: bytes) -> None:
    """If the cursor cannot be read, all records are sent again, so that none is lost."""
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
    read(log, most=5)
    log.ack(5)
    log.close()
    (tmp_path / "delivered").write_bytes(content)
    log, found = opened(tmp_path)
    assert read(log) == list(range(10))
    assert found.damaged == (1 if content else 0)
    log.close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Files that are not the queue's are kept, and a folder with a segment's name does no harm."""
    (tmp_path / "notes.otlp").write_text("mine")
    (tmp_path / "0123.otlp").mkdir()
    log, found = opened(tmp_path)
    log.append(0, entries(3))
    assert read(log) == [0, 1, 2]
    log.ack(3)
    log.close()
    assert found.damaged == 1
    assert {path.name for path in tmp_path.iterdir()} == {"notes.otlp", "0123.otlp", "delivered", "lock"}


def test_permissions(tmp_path: Path) -> None:
    """Only the owner can read directory and files, because spans can contain what was said."""
    log, _ = opened(tmp_path / "new")
    log.append(0, entries(1))
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new").iterdir())
    log.close()


def test_a_directory_open_to_others(tmp_path: Path) -> None:
    """A directory of ours that others can write to is made private."""
    tmp_path.chmod(0o777)
    log, _ = opened(tmp_path)
    assert log.private
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    log.close()


@pytest.mark.parametrize("name", ["lock", "delivered"])
@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_links_are_not_followed(tmp_path: Path, name: str, link: str) -> None:
    """A link in place of the cursor or the lock is an error, and the file that it points to is unchanged."""
    victim, queue = tmp_path / "victim", tmp_path / "queue"
    queue.mkdir()
    victim.write_text("mine")
    (queue / name).symlink_to(victim) if link == "symbolic" else (queue / name).hardlink_to(victim)
    with pytest.raises(OSError, match=f"{name} is a symbolic link" if link == "symbolic" else f"{name} has another name too"):
        opened(queue)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_link_in_place_of_the_next_segment(tmp_path: Path, link: str) -> None:
    """A link that has the name of the next segment is replaced by the segment; the file that it points to is unchanged."""
    victim, queue = tmp_path / "victim", tmp_path / "queue"
    victim.write_text("mine")
    log, _ = opened(queue)
    place = queue / f"{0:020d}.otlp"
    place.symlink_to(victim) if link == "symbolic" else place.hardlink_to(victim)
    log.append(0, entries(3))
    assert read(log) == [0, 1, 2]
    log.close()
    assert victim.read_text() == "mine"


def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    """A link or a pipe with the name of a segment is counted and neither read nor waited for; the segments beside it are read."""
    other, _ = opened(tmp_path / "other")
    other.append(0, entries(2))
    other.close()
    queue = tmp_path / "queue"
    log, _ = opened(queue)
    log.append(5, entries(5, 8))
    log.close()
    (queue / f"{0:020d}.otlp").symlink_to(segments(tmp_path / "other")[0])
    os.mkfifo(queue / f"{1:020d}.otlp")
    log, found = opened(queue)
    assert (found.records, found.damaged) == (3, 2)
    assert read(log) == [5, 6, 7]
    log.close()


def cursor(acked: int) -> bytes:
    return struct.pack("<QI", acked, zlib.crc32(struct.pack("<Q", acked)))


@pytest.mark.parametrize("acked", [11, 1000, 1 << 62, (1 << 64) - 1])
def test_a_cursor_ahead(tmp_path: Path, acked: int) -> None:
    """A cursor beyond all records is damage: all records are sent again, and the numbering continues after them."""
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
    log.close()
    (tmp_path / "delivered").write_bytes(cursor(acked))
    log, found = opened(tmp_path)
    assert (found.records, found.damaged, log.next_sequence) == (10, 1, 10)
    assert read(log) == list(range(10))
    log.ack(10)
    log.close()
    log, found = opened(tmp_path)
    assert found == Recovered(0, 0, 0, 0)
    log.close()


def test_a_cursor_without_records(tmp_path: Path) -> None:
    """A cursor beyond what a sequence number can be is damage too, and writing goes on."""
    opened(tmp_path)[0].close()
    (tmp_path / "delivered").write_bytes(cursor((1 << 64) - 1))
    log, found = opened(tmp_path)
    assert found.damaged == 1
    log.append(0, entries(3))
    assert read(log) == [0, 1, 2]
    log.close()


def test_delivered_from_memory(tmp_path: Path) -> None:
    """After deliveries of what never was on disk, nothing on disk looks undelivered to the next process."""
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
    read(log)
    log.ack(10)
    log.ack(50)
    log, found = reopened(log, tmp_path)
    assert found == Recovered(0, 0, 0, 0)
    log.close()


def reopened(log: WriteAheadLog, folder: Path) -> tuple[WriteAheadLog, Recovered]:
    """The directory in the next process, after the first one was killed."""
    log._close_files()
    return opened(folder)


def test_records_out_of_order(tmp_path: Path) -> None:
    """Records whose numbers do not grow are counted as damage, in one file and between files; the others are read once each."""
    queue = tmp_path / "queue"
    queue.mkdir()
    parts = [encode_record(number, QueueEntry(b"%03d" % number, 1)) for number in (0, 2, 1, 2, 3)]
    (queue / f"{0:020d}.otlp").write_bytes(b"".join(parts))
    (queue / f"{9:020d}.otlp").write_bytes(encode_record(3, QueueEntry(b"003", 1)) + encode_record(4, QueueEntry(b"004", 1)))
    log, found = opened(queue)
    assert (found.records, found.damaged) == (4, 3)
    assert read(log) == [0, 2, 3, 4]
    log.close()


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file holds beyond the largest segment is counted as damage."""
    monkeypatch.setattr(write_ahead_log, "MAX_SEGMENT", 4 * RECORD)
    log, _ = opened(tmp_path)
    log.append(0, entries(10))
    log.close()
    log, found = opened(tmp_path)
    assert (found.records, found.damaged) == (4, 1)
    log.close()


def test_files_of_an_earlier_version(tmp_path: Path) -> None:
    """An update loses nothing: what an earlier version left on disk is read, and its cursor says where to start."""
    for name, content in EARLIER.items():
        (tmp_path / name).write_bytes(bytes.fromhex(content))
    log, found = opened(tmp_path)
    assert found == Recovered(records=3, items=12, size=17, damaged=0)
    assert [(record.sequence, record.body, record.items) for record in log.read(100, PLENTY).records] == [
        (2, b"gamma", 3),
        (3, b"delta", 4),
        (4, b"epsilon", 5),
    ]
    log.close()


def test_files_are_those_of_an_earlier_version(tmp_path: Path) -> None:
    """A downgrade loses nothing either: the same entries are the same bytes in files of the same names."""
    log, _ = opened(tmp_path, segment=60)
    log.append(0, [QueueEntry(b"alpha", 1), QueueEntry(b"beta", 2), QueueEntry(b"gamma", 3)])
    log.append(3, [QueueEntry(b"delta", 4), QueueEntry(b"epsilon", 5)])
    log.read(3, PLENTY)
    log.ack(2)
    log.close()
    assert {path.name: path.read_bytes().hex() for path in tmp_path.iterdir()} == {**EARLIER, "lock": ""}
