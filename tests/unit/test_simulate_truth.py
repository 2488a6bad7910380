"""The truth file: read back as written, and exact percentiles of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulate.account import Account
from exporter.simulate.call import plan_call
from exporter.simulate.profiles import FLEETS
from exporter.simulate.truth import (
    Record,
    TruthWriter,
    linear,
    nearest_rank,
    perceived_of,
    perceived_seconds,
    read_accounts,
    read_truth,
)


def record(session: str = "as-1", **event: Any) -> Record:
    return Record(call=0, session=session, connection=0, sent_at=1.0, event={"type": "turn.metrics", **event})


def test_a_truth_file_reads_back_as_written(tmp_path: Path) -> None:
    """Every record comes back in order with the bytes of its event."""
    path = tmp_path / "truth.jsonl"
    with TruthWriter(path) as truth:
        truth.write(3, "as-1", 1, b'{"type":"play.completed"}')
        truth.write(4, "as-2", 0, b'{"event":"stop"}')
    first, second = read_truth(path)
    assert (first.call, first.session, first.connection, first.event) == (3, "as-1", 1, {"type": "play.completed"})
    assert (second.event, second.sent_at >= first.sent_at) == ({"event": "stop"}, True)


def test_accounts_read_back_apart_from_events(tmp_path: Path) -> None:
    """An account stands after the events of its call, and neither reader sees what the other is for."""
    path, accounts = tmp_path / "truth.jsonl", list[Account]()
    events = list(plan_call(7, 1, FLEETS["hasty"]).steps(0.0, accounts.append))
    with TruthWriter(path) as truth:
        for _, event in events:
            truth.write(3, "as-1", 0, msgspec.json.encode(event))
        truth.write_account(3, "as-1", accounts[0])
        truth.write(4, "as-2", 0, b'{"type":"x","account":{}}')
    assert [record.event for record in read_truth(path)] == [*(event for _, event in events), {"type": "x", "account": {}}]
    assert [(found.call, found.session, found.account) for found in read_accounts(path)] == [(3, "as-1", accounts[0])]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    """The error tells file and line."""
    path = tmp_path / "truth.jsonl"
    path.write_text('{"call":0,"session":"a","connection":0,"sent_at":1.0,"event":{}}\n{"call":')
    with pytest.raises(ValueError, match=r"truth\.jsonl, line 2"):
        list(read_truth(path))


@pytest.mark.parametrize("value", [None, True, "820", -1, 251_000])
def test_values_that_mean_nothing_are_no_latency(value: Any) -> None:
    """Sentinels, wrong types and absurd values are left out."""
    assert perceived_seconds({"user_perceived_ms": value}) is None


def test_a_turn_counts_once() -> None:
    """Doubled reports, greetings and turns without an answer add nothing; a sub-agent's turn 1 is another turn."""
    records = [
        record(turn_number=2, user_perceived_ms=900),
        record(turn_number=2, user_perceived_ms=900),
        record(turn_number=2, user_perceived_ms=700, agent_tool_id="at-1"),
        record("as-2", turn_number=2, user_perceived_ms=800.0),
        record(turn_number=1, user_perceived_ms=500, agent_first=True),
        record(turn_number=3, user_perceived_ms=None),
        Record(call=0, session="as-1", connection=0, sent_at=1.0, event={"type": "turn.completed", "turn_number": 9}),
    ]
    assert perceived_of(records) == [0.7, 0.8, 0.9]


def test_percentiles_of_a_known_list() -> None:
    """Twenty values: nearest rank picks the 19th for 0.95, interpolation goes a little beyond it."""
    values = [float(number) for number in range(1, 21)]
    assert (nearest_rank(values, 0.95), nearest_rank(values, 0.0), nearest_rank(values, 1.0)) == (19.0, 1.0, 20.0)
    assert linear(values, 0.95) == pytest.approx(19.05)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0, 1))
def test_percentiles_lie_within_the_values(values: list[float], quantile: float) -> None:
    """Both kinds stay between the smallest and the largest, and nearest rank is one of the values."""
    ordered = sorted(values)
    assert nearest_rank(ordered, quantile) in ordered
    assert ordered[0] <= linear(ordered, quantile) <= ordered[-1] + 1e-9


@pytest.mark.parametrize("percentile", [nearest_rank, linear])
def test_no_values_no_percentile(percentile: Any) -> None:
    """An empty list is an error, not zero."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
