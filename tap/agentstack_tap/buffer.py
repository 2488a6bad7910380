"""What a tap has to send: numbered messages, kept until the exporter has counted them. It also remembers the calls under way."""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Condition, Lock
from typing import Any, Final, Literal

from agentstack_tap.writing import Written

DropReason = Literal["overflow", "too_large", "unreadable"]
MOST_CALLS: Final = 2_000
"""Calls whose start is remembered. The exporter carries no more for one tap."""
LARGEST: Final = 524_288
"""Bytes of the largest event, until the exporter says otherwise."""
WRITTEN_AT_ONCE: Final = 64
"""What is written before the thread looks at anything else."""
_LONG_START: Final = 16_384
_LONG_TEXT: Final = 1_024
"""Characters of a call's first event above which it is not remembered in full, and of its texts that are left out then."""


@dataclass(frozen=True, slots=True)
class _Message:
    seq: int
    session: str | None
    text: str
    start: str | None
    ends: bool


@dataclass(slots=True)
class _Call:
    start: str | None = None
    state: str | None = None


Write = Callable[[Any], Iterable[Written]]
"""Writes what was put into a buffer."""
_Waiting = tuple[str, Write | None, Any, int]
log = logging.getLogger("agentstack_tap")


class Buffer:
    """A queue that is bounded in messages and in characters. All methods may be called from any thread.

    What finds no room is dropped and counted. New events are dropped rather than old ones: an old one may have been counted already.
    """

    def __init__(self, most_messages: int, most_characters: int) -> None:
        self._most_messages = most_messages
        self._most_characters = most_characters
        self._changed = Condition()
        self._entry, self._taking = Lock(), Lock()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_characters = 0
        self._unsent: deque[_Message] = deque()
        self._sent: deque[_Message] = deque()
        self._characters = 0
        self._seq = 0
        self._unreported: dict[DropReason, int] = {}
        self._calls: dict[str, _Call] = {}
        self.largest = LARGEST
        self.acknowledged = self.refused = 0
        self.dropped: dict[DropReason, int] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unsent) + len(self._sent)

    def put(self, session: str, write: Write | None, content: Any, characters: int) -> None:
        """Add what ``write`` makes of ``content`` in :meth:`take_in`, about so long. Without ``write``: the call's end."""
        with self._entry:
            fits = len(self) < self._most_messages and (
                self._characters + self._waiting_characters + characters <= self._most_characters
            )
            if fits:
                self._waiting.append((session, write, content, characters))
                self._waiting_characters += characters
        if not fits:
            self.drop("overflow")

    def take_in(self) -> bool:
        """Write what was put, or a part of it if it is much. Return whether there was anything. For the tap's thread."""
        with self._taking:
            for taken in range(WRITTEN_AT_ONCE):
                if not self._waiting:
                    return taken > 0
                self._write(*self._waiting[0])
        return True

    def event(self, session: str, event: str, *, starts: bool, size: int) -> None:
        """Add an event, as JSON; ``starts`` says that a call begins with it, ``size`` is the event's own size in bytes."""
        if size > self.largest:
            self.drop("too_large")
        else:
            self._add(session, f'"event":{event}', start=_outline(event) if starts else None)

    def end(self, session: str) -> None:
        """Add that the call's connection is gone."""
        self._add(session, '"end":true', ends=True)

    def drop(self, reason: DropReason) -> None:
        """Count an event that will not be sent."""
        with self._changed:
            self._drop(reason)

    def next(self) -> str | None:
        """The next message to send. A report of dropped events comes last."""
        with self._changed:
            if not self._unsent and self._unreported:
                self._seq += 1
                report = json.dumps({"seq": self._seq, "dropped": self._unreported})
                self._unreported = {}
                self._unsent.append(_Message(self._seq, None, report, None, ends=False))
                self._characters += len(report)
            if not self._unsent:
                return None
            message = self._unsent.popleft()
            self._sent.append(message)
            return message.text

    @property
    def waiting(self) -> bool:
        """Whether there is something for :meth:`take_in`."""
        return bool(self._waiting)

    @property
    def sent_all(self) -> bool:
        """Whether there is nothing for :meth:`next`."""
        return not self._unsent and not self._unreported

    def rewind(self) -> None:
        """Queue everything unacknowledged again, for the next connection."""
        with self._changed:
            self._unsent.extendleft(reversed(self._sent))
            self._sent.clear()

    def acked(self, seq: int) -> None:
        """Let go of everything up to ``seq``: the exporter has counted it."""
        with self._changed:
            for queue in (self._sent, self._unsent):
                while queue and queue[0].seq <= seq:
                    self._settle(queue.popleft())
            self._changed.notify_all()

    def keep(self, session: str, state: str) -> None:
        """Keep what a stopping exporter says of a call, for the next one."""
        with self._changed:
            if session in self._calls or len(self._calls) < MOST_CALLS:
                self._calls.setdefault(session, _Call()).state = state

    def resumptions(self) -> Iterator[str]:
        """The messages that tell an exporter of calls which were counted before."""
        with self._changed:
            calls = [(session, call.start, call.state) for session, call in self._calls.items()]
        for session, start, state in calls:
            parts = [f'"start":{start}'] if start else []
            parts += [f'"state":{json.dumps(state)}'] if state else []
            yield f'{{"session":{json.dumps(session)},"resume":{{{",".join(parts)}}}}}'

    def resumed(self) -> None:
        """Forget what an earlier exporter said of calls: this one knows them."""
        with self._changed:
            for session in [session for session, call in self._calls.items() if call.state]:
                self._calls[session].state = None
                if self._calls[session].start is None:
                    del self._calls[session]

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until everything is acknowledged. Return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not len(self) and not self._unreported, timeout)

    def _write(self, session: str, write: Write | None, content: Any, characters: int) -> None:
        """What waits counts until it is in the queue, so that it is in one of the two at any time."""
        try:
            if write is None:
                self.end(session)
            else:
                for event in write(content):
                    self.event(session, event.text, starts=event.starts, size=event.size)
        except Exception:  # nothing that the app passes may end the thread
            log.debug("an event could not be written", exc_info=True)
            self.drop("unreadable")
        with self._entry:
            self._waiting.popleft()
            self._waiting_characters -= characters

    def _add(self, session: str, content: str, *, start: str | None = None, ends: bool = False) -> None:
        with self._changed:
            text = f'{{"session":{json.dumps(session)},"seq":{self._seq + 1},{content}}}'
            if len(self._unsent) + len(self._sent) >= self._most_messages or self._characters + len(text) > self._most_characters:
                self._drop("overflow")
                return
            self._seq += 1
            self._characters += len(text)
            self._unsent.append(_Message(self._seq, session, text, start, ends))

    def _settle(self, message: _Message) -> None:
        self._characters -= len(message.text)
        self.acknowledged += 1
        if message.session is None:
            return
        if message.ends:
            self._calls.pop(message.session, None)
        elif message.start is not None and len(self._calls) < MOST_CALLS:
            self._calls.setdefault(message.session, _Call()).start = message.start

    def _drop(self, reason: DropReason) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._unreported[reason] = self._unreported.get(reason, 0) + 1


def _outline(event: str) -> str:
    """What is remembered of a call's first event: all of it unless it is long, else its numbers and short texts."""
    if len(event) <= _LONG_START:
        return event
    found = json.loads(event)
    fields = json.loads(found) if isinstance(found, str) else found
    return json.dumps(
        {
            name: value
            for name, value in fields.items()
            if isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= _LONG_TEXT)
        }
    )
