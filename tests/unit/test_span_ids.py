"""The ids of spans, which must stay as they are: exemplars and links of earlier days point at them."""

from hashlib import blake2b

from exporter.protocol.ids import trace_id, turn_span, turn_span_id


def test_the_ids_of_turns_stay() -> None:
    """A turn has the span id that it has always had, also one of a sub-agent, or of an id that is no Unicode."""
    trace = trace_id("as-1")
    assert trace == "28a62bc127d0957e2a35434a2bb29497"
    assert turn_span_id(trace, ("", 2)) == "67ed9486918a5fdc"
    for agent in ("ag-1", "ä" * 200, "\ud800"):
        text = f"{trace}/{agent}/3".encode("utf-8", "replace")
        assert turn_span(trace, (agent, 3)) == blake2b(text, digest_size=8, person=b"agentstack-turn").digest()
