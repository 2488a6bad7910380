"""Base classes of all events: how an event is recognised on the wire, and where its declarations are."""

from typing import Annotated, Any, ClassVar

import msgspec

from exporter.catalogue.declarations import DrivesLogic, Feeds, Labels, OfSession, SpanEvent, labels
from exporter.catalogue.quantities import DateTime

AGENT = OfSession("agent")
ANSWERED_BY = OfSession("answered_by")
BY_AGENT: Labels = labels(agent=AGENT)

LAG = DrivesLogic(("agentstack.exporter.event_lag", "agentstack.exporter.clock_skew"), "receipt minus this time is the event's lag")


class Wire(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event as the platform sends it.

    Every field is optional: the platform may leave it out or send ``null``. An unknown field makes the strict decoder fail; the lenient
    reader of :mod:`exporter.protocol.decoder` then counts it by name.
    """

    metrics: ClassVar[tuple[Feeds, ...]] = ()
    """The metrics that the event as a whole feeds, once each time it comes."""
    earlier_names: ClassVar[tuple[str, ...]] = ()
    """The event's names in earlier generations of the protocol."""

    @property
    def name(self) -> str:
        """The event's name in the current generation of the protocol."""
        return event_name(type(self))


class Event(Wire, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="type"):
    """An event of a managed call, named by its ``type``."""


class StreamEvent(Wire, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="event"):
    """A message of raw audio streaming, named by its ``event``."""


class Stamped(Event, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event that says when it happened."""

    timestamp: Annotated[DateTime | None, LAG, SpanEvent("turn", "{event}")] = None


def event_name(event: type[Wire]) -> str:
    """The current wire name of an event type."""
    tag: Any = event.__struct_config__.tag
    return str(tag)
