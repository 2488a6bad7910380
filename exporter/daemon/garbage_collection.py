"""How often Python looks for garbage that holds itself. A collection holds up the event loop, and so every call.

Python counts objects that are made and not freed, and looks through the youngest after 700 of them. What a live call holds is not
garbage, but is looked through: with 5,000 calls a full collection took 0.17 s (400,000 objects). An ended call frees everything at
once, which a test holds. So collections only find what other requests and failures leave, and can be rare.
"""

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 20, 10)
"""Objects made and not freed until the youngest are looked through, such collections until an older generation is, and of those."""


def make_collections_rare() -> None:
    """Collect what the start has left, leave out for ever what is there, and set :data:`THRESHOLDS` for what will come."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
