"""Records in a file survive any damage around them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exporters.otlp.sender.segment import HEADER_SIZE, Damage, QueueEntry, Record, decode_records, encode_record
from tests.support.waiting import seconds

BODIES = st.lists(st.binary(max_size=80) | st.just(encode_record(7, QueueEntry(b"looks like a record", 1))), min_size=1, max_size=12)


def written(bodies: list[bytes]) -> tuple[bytes, list[int]]:
    """A file of these records, and where each ends."""
    parts = [encode_record(number, QueueEntry(body, number % 3)) for number, body in enumerate(bodies)]
    return b"".join(parts), [sum(map(len, parts[: number + 1])) for number in range(len(parts))]


def found(content: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """The records read from a file, as number and body, and how many damaged places there were."""
    parts = list(decode_records(content))
    assert [part.end for part in parts] == sorted({part.end for part in parts})
    assert not parts or parts[-1].end == len(content)
    whole = [(part.sequence, part.body) for part in parts if isinstance(part, Record)]
    return whole, sum(isinstance(part, Damage) for part in parts)


@given(BODIES)
def test_what_is_written_is_read(bodies: list[bytes]) -> None:
    """An undamaged file gives every record with its number and count."""
    content, ends = written(bodies)
    assert list(decode_records(content)) == [Record(number, number % 3, body, ends[number]) for number, body in enumerate(bodies)]


@given(BODIES, st.data())
def test_truncation(bodies: list[bytes], data: st.DataObject) -> None:
    """A truncated file gives all records before the cut, and counts the one that was cut."""
    content, ends = written(bodies)
    cut = data.draw(st.integers(0, len(content)))
    whole = [(number, body) for number, body in enumerate(bodies) if ends[number] <= cut]
    assert found(content[:cut])[0][: len(whole)] == whole
    assert (found(content[:cut])[1] > 0) == (cut not in {0, *ends})


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=12), st.data())
def test_flipped_bit(bodies: list[bytes], data: st.DataObject) -> None:
    """With any bit flipped, a file gives all other records, and counts the damaged one."""
    content, ends = written(bodies)
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    hit = next(number for number, end in enumerate(ends) if bit // 8 < end)
    assert found(bytes(damaged)) == ([(number, body) for number, body in enumerate(bodies) if number != hit], 1)


@given(st.binary(max_size=2000))
def test_anything(content: bytes) -> None:
    """Whatever is in a file, decoding ends, and covers the whole file."""
    found(content)


@pytest.mark.parametrize("junk", [b"\xa9otl" * 50_000, b"\xa9" * 200_000, encode_record(1, QueueEntry(b"x" * 100, 1))[:-1] * 2000])
def test_hostile_damage_is_skipped_quickly(junk: bytes) -> None:
    """Damage that looks like many headers is skipped quickly, and the record after it is found."""
    parts = list(decode_records(junk + encode_record(1, QueueEntry(b"after", 1))))
    assert len(parts) == 2
    assert parts[-1] == Record(1, 1, b"after", len(junk) + HEADER_SIZE + 5)


def test_long_records_in_damage_are_bounded() -> None:
    """A file of headers that each claim a long body is given up as damaged, in a time that grows with its size only."""
    header = encode_record(1, QueueEntry(bytes(1 << 20), 1))[: HEADER_SIZE - 4] + b"\0\0\0\0"
    content = header * (4 * (1 << 20) // HEADER_SIZE)
    started = time.process_time()
    assert list(decode_records(content)) == [Damage(len(content))]
    assert time.process_time() - started < seconds(2)


@pytest.mark.parametrize(("sequence", "items"), [(1 << 63, 1), (1, 1000)])
def test_impossible_numbers_are_damage(sequence: int, items: int) -> None:
    """A record with a number that no exporter wrote is damage."""
    record = encode_record(sequence, QueueEntry(b"x", items))
    assert list(decode_records(record)) == [Damage(len(record))]
