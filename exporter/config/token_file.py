"""The file of bearer tokens, one per line."""

import re
from pathlib import Path
from typing import Final

from exporter.config.small_file import read_small_file

_TOKEN: Final = re.compile(r"[!-+\--~]{16,512}")


class TokenFileError(ValueError):
    """The file cannot be used. The message says what was expected and where, and shows no token."""


def read_token_file(path: Path) -> tuple[str, ...]:
    """The tokens in the file, at least one. Raises :class:`TokenFileError`."""
    try:
        text = read_small_file(path).decode("ascii")
    except OSError as error:
        raise TokenFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TokenFileError(f"{path}: expected tokens of visible ASCII characters") from None
    tokens = []
    for number, line in enumerate(text.splitlines(), 1):
        token = line.strip()
        if token and not token.startswith("#"):
            if not _TOKEN.fullmatch(token):
                raise TokenFileError(f"{path}, line {number}: expected a token of 16 to 512 visible ASCII characters without commas")
            tokens.append(token)
    if not tokens:
        raise TokenFileError(f"{path}: expected at least one token")
    return tuple(tokens)
