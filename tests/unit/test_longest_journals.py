"""The longest of the live journals is found as by asking all of them."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.sessions.longest_journals import LongestJournals

_steps = st.lists(st.tuples(st.sampled_from(("grow", "shrink", "end")), st.integers(0, 9), st.integers(1, 1000)), max_size=300)


@given(_steps)
def test_the_longest_is_found(steps: list[tuple[str, int, int]]) -> None:
    """After any growing, shrinking and ending the longest is found."""
    live: dict[str, int] = {}
    journals = LongestJournals(live, lambda name: live.get(name, 0))
    for step, number, amount in steps:
        name = f"call-{number}"
        if step == "grow":
            live[name] = live.get(name, 0) + amount
            journals.add(name)
        elif step == "end":
            live.pop(name, None)
        elif name in live:
            live[name] = max(1, live[name] - amount)
        found = journals.longest()
        assert (live[found] if found else None) == max(live.values(), default=None)


def test_what_ended_is_not_held() -> None:
    """A million calls that come and go take the room of a few."""
    live: dict[int, int] = {}
    journals = LongestJournals(live, lambda number: live.get(number, 0))
    for number in range(10_000):
        live[number] = number
        journals.add(number)
        live.pop(number - 5, None)
    assert len(journals) < 100
    assert journals.longest() == 9_999
