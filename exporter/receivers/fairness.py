"""How much of one connection is processed before the others get their turn."""

from typing import Final

MESSAGES_PER_TURN: Final = 32
"""Short messages of one connection that are processed before other connections get their turn: about a quarter of a millisecond."""
BYTES_PER_MESSAGE: Final = 4096
"""A message counts once more for each of these bytes. Reading 64 KiB of hostile nesting takes some ten milliseconds."""
