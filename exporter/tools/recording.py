"""Reads a recording: JSON lines or a JSON array, plain or compressed with gzip, with or without a byte order mark."""

import gzip
import zlib
from typing import BinaryIO, Final

import msgspec

from exporter.protocol.members import split

_GZIP: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_entries: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


class UnreadableRecordingError(Exception):
    """The file holds no events. The text says what it is instead."""


def read_recording(file: BinaryIO) -> list[bytes]:
    """The lines of a recording, or the entries of its array. Raises :class:`UnreadableRecordingError`."""
    data = _decompressed(file.read()).removeprefix(_BYTE_ORDER_MARK)
    entries = _array(data) if data.lstrip()[:1] == b"[" else None
    lines = [line.strip() for line in data.split(b"\n")] if entries is None else entries
    if any(lines) and not any(line[:1] == b"{" for line in lines):
        raise UnreadableRecordingError(f"{_kind(data)}; expected events as JSON lines or as a JSON array")
    return lines


def _decompressed(data: bytes) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise UnreadableRecordingError("the file is compressed with gzip, and damaged") from None


def _array(data: bytes) -> list[bytes] | None:
    """The entries of an array, or ``None`` if the file is not an array. A bad or incomplete event costs no other."""
    try:
        return [bytes(entry).strip() for entry in _entries.decode(data)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        entries = list(split(data))
    is_array = entries and entries[0][1].startswith(b"{") and not any(name for name, _ in entries)
    return [entry for _, entry in entries] if is_array else None


def _kind(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "the file is not text in UTF-8"
    return "the file is binary" if "\x00" in text else "the file is text without JSON objects"
