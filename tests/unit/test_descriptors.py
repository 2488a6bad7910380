"""How calls, handshakes and scrapes share the files that the process may open."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Settings
from exporter.daemon.descriptors import MAX_PENDING, MAX_TELEMETRY, Places, places, raise_limit, shortage
from tests.support.daemon import settings

LIMITS = tuple[int, int]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, LIMITS]:
    """The soft and hard limit that the system seems to have."""
    found = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: found["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: found.update(now=limits))
    return found


@given(limit=st.integers(16, 40_000), most=st.integers(1, 20_000), upstream=st.sampled_from([None, "ws://127.0.0.1:1"]))
def test_everything_fits(limit: int, most: int, upstream: str | None) -> None:
    """All connections that the listeners accept find a descriptor, with some left for files; a relayed call takes two."""
    given_settings: Settings = settings(max_connections=most, upstream=upstream)
    found = places(given_settings, limit)
    taken = found.calls * (2 if upstream else 1) + found.pending + found.telemetry
    assert min(found.calls, found.pending, found.telemetry) >= 1
    assert taken + min(64, limit // 2) <= limit + 4
    assert found.calls <= most


def test_enough() -> None:
    """With enough files nothing is less than the settings ask for."""
    assert places(settings(), 65_536) == Places(10_000, MAX_PENDING, MAX_TELEMETRY)


def test_the_limit_is_raised(limits: dict[str, LIMITS]) -> None:
    """The soft limit is raised as far as it has to be and may be, and never lowered."""
    raise_limit(settings())
    assert limits["now"] == (4096, 4096)
    limits["now"] = (1024, resource.RLIM_INFINITY)
    raise_limit(settings(max_connections=5000))
    assert limits["now"] == (5000 + 64 + MAX_TELEMETRY + MAX_PENDING, resource.RLIM_INFINITY)
    limits["now"] = (1 << 20, 1 << 20)
    raise_limit(settings())
    assert limits["now"] == (1 << 20, 1 << 20)


def test_a_shortage_is_told(limits: dict[str, LIMITS]) -> None:
    """A warning names the flag, how many calls there is room for, and the limit that is needed, unless there are enough files."""
    [warning] = shortage(settings())
    assert warning.startswith(f"--max-connections: at most {places(settings(), 4096).calls} instead of 10000 calls")
    assert "raise the limit to 14416" in warning
    limits["now"] = (1024, 1 << 20)
    assert shortage(settings()) == ()
