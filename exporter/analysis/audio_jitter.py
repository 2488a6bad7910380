"""How evenly audio flows through a relay: messages, bytes, gaps and jitter, by direction. No message is parsed for it."""

from typing import Final

from exporter.catalogue import app_metrics
from exporter.metrics.store import Instrument, Store
from exporter.protocol.commands import Direction
from exporter.sessions.registry import Session

GAP: Final = 0.2
"""A pause between two messages, in seconds, that is more than unevenness: ten frames at the usual 20 ms."""
LONGEST_GAP: Final[dict[Direction, float]] = {"caller": float("inf"), "agent": 1.0}
"""A longer pause is none within speech: a caller's line never pauses, an agent does after each utterance."""


class AudioJitter:
    """Folds audio messages into metrics; each relayed session remembers the last one of each direction."""

    def __init__(self, store: Store) -> None:
        self._frames = Instrument(store, app_metrics.AUDIO_FRAMES)
        self._bytes = Instrument(store, app_metrics.AUDIO_TRANSFERRED)
        self._gaps = Instrument(store, app_metrics.AUDIO_GAPS)
        self._jitter = Instrument(store, app_metrics.AUDIO_JITTER)

    def message(self, session: Session, direction: Direction, size: int, now: float) -> None:
        """A message of ``size`` bytes passed at ``now`` (unix seconds)."""
        agent, state = session.agent_label, session.app
        if state is None:
            return
        self._frames.add(1, agent, direction, now=now)
        self._bytes.add(size, agent, direction, now=now)
        last_at, interval = state.audio.get(direction, (now, 0.0))
        passed = now - last_at
        if passed > GAP:
            if passed <= LONGEST_GAP[direction]:
                self._gaps.add(1, agent, direction, now=now)
            passed = 0.0
        elif passed > 0 and interval > 0:
            self._jitter.observe(abs(passed - interval), agent, direction, now=now)
        state.audio[direction] = (now, passed)
