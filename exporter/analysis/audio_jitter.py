"""How evenly audio flows through a relay: messages, bytes, gaps and jitter, by direction. No message is parsed for it."""

from functools import partial
from typing import Final

from exporter.catalogue import app_metrics
from exporter.metrics.instrument import Instrument
from exporter.metrics.series_cache import AudioRows
from exporter.metrics.store import Observe, Store
from exporter.protocol.commands import Direction
from exporter.sessions.app_state import LastMessage
from exporter.sessions.session import Session

GAP: Final = 0.2
"""A pause between two messages longer than this, in seconds, is a gap and not jitter: ten frames at the usual 20 ms."""
LONGEST_GAP: Final[dict[Direction, float]] = {"caller": float("inf"), "agent": 1.0}
"""A longer pause, in seconds, is no gap within speech: a caller's line never pauses, an agent pauses after each utterance."""


class AudioJitterTracker:
    """Measures audio messages. Each relayed session remembers the latest message of each direction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._frames = Instrument(store, app_metrics.AUDIO_FRAMES)
        self._bytes = Instrument(store, app_metrics.AUDIO_TRANSFERRED)
        self._gaps = Instrument(store, app_metrics.AUDIO_GAPS)
        self._jitter = Instrument(store, app_metrics.AUDIO_JITTER)

    def message(self, session: Session, direction: Direction, size: int, now: float) -> None:
        """A message of ``size`` bytes passed at ``now`` (unix seconds)."""
        app, cache = session.app, session.series_cache
        if app is None:
            return
        rows = cache.audio.get(direction) or self._rows(session, direction, now)
        rows.frames[0] += 1.0
        rows.bytes[0] += size
        last = app.audio.get(direction)
        if last is None:
            app.audio[direction] = LastMessage(now, 0.0)
            return
        interval = now - last.at
        if interval > GAP:
            if interval <= LONGEST_GAP[direction]:
                self._gaps.add(1, agent=session.agent_label, direction=direction, now=now)
            interval = 0.0
        elif interval > 0 and last.interval > 0:
            observe = cache.audio_jitter.get(direction) or self._observer(session, direction, now)
            observe(round(abs(interval - last.interval), 9))
        last.at, last.interval = now, interval

    def _rows(self, session: Session, direction: Direction, now: float) -> AudioRows:
        return self._store.cached(session.series_cache.audio, direction, partial(self._find_rows, session.agent_label, direction, now))

    def _find_rows(self, agent: str, direction: Direction, now: float) -> AudioRows:
        frames = self._frames.row(agent=agent, direction=direction, now=now)
        return AudioRows(frames, self._bytes.row(agent=agent, direction=direction, now=now))

    def _observer(self, session: Session, direction: Direction, now: float) -> Observe:
        find = partial(self._jitter.observer, agent=session.agent_label, direction=direction, now=now)
        return self._store.cached(session.series_cache.audio_jitter, direction, find)
