"""The files of tokens and prices as editors and scripts leave them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config.price_file import read_prices
from exporter.config.token_file import read_token_file

TOKENS = b"0123456789abcdef\nfedcba9876543210\n"
PRICES = b'[[price]]\ncomponent = "llm"\ninput = 0.1\n'
Read = Callable[[Path], object]
both_files = pytest.mark.parametrize(("read", "content"), [(read_token_file, TOKENS), (read_prices, PRICES)], ids=["tokens", "prices"])


@both_files
@pytest.mark.parametrize("form", ["byte order mark", "CRLF"])
def test_other_editors(read: Read, content: bytes, form: str, tmp_path: Path) -> None:
    """A byte order mark and Windows' line ends mean nothing."""
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.write_bytes(content)
    other.write_bytes(b"\xef\xbb\xbf" + content if form == "byte order mark" else content.replace(b"\n", b"\r\n"))
    found, expected = read(other), read(plain)
    assert (found if isinstance(found, tuple) else vars(found)) == (expected if isinstance(expected, tuple) else vars(expected))


@both_files
def test_too_large(read: Read, content: bytes, tmp_path: Path) -> None:
    """A file that is too large, or a device without an end, is refused and not read in part: its last entries would be missing."""
    large = tmp_path / "large"
    large.write_bytes(content + b"#" * (1 << 20) + b"\n" + content)
    for path in (large, Path("/dev/zero")):
        with pytest.raises(ValueError, match="cannot be read: larger than 1048576 bytes"):
            read(path)
