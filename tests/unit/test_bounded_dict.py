"""The dictionary that evicts its oldest entry."""

from exporter.bounded_dict import BoundedDict


def test_the_oldest_entry_is_evicted() -> None:
    """An entry over the limit takes the place of the oldest, which is returned."""
    entries = BoundedDict[str, int](2)
    assert entries.add("a", 1) is None
    assert entries.add("b", 2) is None
    assert entries.add("c", 3) == ("a", 1)
    assert entries == {"b": 2, "c": 3}


def test_overwriting_keeps_the_age() -> None:
    """A key that is written again is evicted as early as before."""
    entries = BoundedDict[str, int](2, {"a": 1, "b": 2})
    entries["a"] = 3
    entries["c"] = 4
    assert entries == {"b": 2, "c": 4}


def test_renewing_makes_newest() -> None:
    """A renewed entry outlives those that were added after it."""
    entries = BoundedDict[str, int](2, {"a": 1, "b": 2})
    assert entries.renew("a", 3) is None
    assert entries.renew("c", 4) == ("b", 2)
    assert list(entries) == ["a", "c"]
