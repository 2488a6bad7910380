"""Text of the wire → label values: normalised, masked and bounded in number."""

import pytest

from exporter.metrics.label_limits import MAX_LENGTH, OTHER, UNKNOWN, LabelLimiter, LabelLimits, normalise, pairs_of
from exporter.metrics.phone_numbers import MASKED

DAY = 86_400.0


class Watched:
    """A limiter that remembers what it evicted and what overflowed."""

    def __init__(self, limits: LabelLimits) -> None:
        self.evicted: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
        self.overflowed: list[str] = []
        self.masked: list[str] = []
        self.limiter = LabelLimiter(limits, lambda *what: self.evicted.append(what), self.overflowed.append, self.masked.append)


@pytest.mark.parametrize(
    "name",
    [
        "claude-3-5-sonnet-20241022",
        "gpt-4o-2024-08-06",
        "gemini-2.5-flash-native-audio-preview-12-2025",
        "llama-3.3-70b-versatile",
        "eleven_flash_v2_5",
        "accounts/fireworks/models/llama-v3p1-8b",
        "nova-3",
        "20241022",
        "2024-11-20",
        "2024.11.20",
        "1234",
        "123456",
        "agent-support",
        "550e8400-e29b-41d4-a716-446655440000",
        "agent_12345678-1234-1234-1234-123456789012",
        "日本語",
        "with spaces within",
        "507f1f77bcf86cd799439011",
        "a1b2c3d41234567890e5f607",
        "trace/4bf92f3577b34da61234567890120000a",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6",
        "arn:aws:iam::123456789012:role/agent",
        "0.1.20250101",
        "0.1.20250101123456",
        "v0.0.0-20250101123456-abcdef123456",
        "10.0.19045.3.1234567890",
        "2024-11-20-01",
        "task-550e8400-e29b-41d4-a716-446655440000",
        "4567890123456789012",
    ],
)
def test_a_name_is_kept(name: str) -> None:
    """Names of models and agents come through unchanged; ids, account numbers, versions and dates are no phone numbers."""
    for label in ("agent", "model", "tool"):
        assert normalise(name, label) == name


@pytest.mark.parametrize("name", ["1234567", "5550100", "14155550100", "9876543210", "agent_14155550100", "support 14155550100"])
def test_a_numeric_agent_id_is_kept(name: str) -> None:
    """Platforms name agents by bare digits; in any other label they look like a phone number."""
    assert normalise(name, "agent") == name
    assert MASKED in normalise(name, "tool")


@pytest.mark.parametrize(
    "name",
    [
        "ft:gpt-4o-mini-2024-07-18:acme:support:1234567890",
        "my-model-1712345678",
        "projects/123456789012/locations/us/endpoints/1234567890",
    ],
)
def test_a_suffix_of_a_model_is_kept(name: str) -> None:
    """Digits that continue a model's name are no phone number; without a name before them they look like one."""
    assert normalise(name, "model") == normalise(name, "provider") == name
    assert normalise("14155550100", "model") == MASKED
    assert normalise("call 14155550100", "model") == f"call {MASKED}"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("+14155550100", MASKED),
        ("14155550100", MASKED),
        ("5550100", MASKED),
        ("(415) 555-0100", MASKED),
        ("+1 415 555 0100", MASKED),
        ("415.555.0100", MASKED),
        ("+1-415-555-0100", MASKED),
        ("  +14155550100  ", MASKED),
        ("".join(chr(0xFF10 + int(digit)) for digit in "14155550100"), MASKED),
        ("sip:alice@example.com", MASKED),
        ("SIPS:+14155550100@example.com;transport=tls", MASKED),
        ("tel:5550100", MASKED),
        ("agent_14155550100", f"agent_{MASKED}"),
        ("call +1 (415) 555-0100 now", f"call {MASKED} now"),
        ("call 415-555-0100", f"call {MASKED}"),
        ("from +14155550100 to +14155550199", f"from {MASKED} to {MASKED}"),
        ("x" * 75 + " +14155550100", "x" * 75 + f" {MASKED}"[:5]),
        ("+1\u00a0415\u00a0555\u00a00100", MASKED),
        ("415\u200b555\u200b0100", MASKED),
        ("415\u2013555\u20130100", MASKED),
        ("030/1234567", MASKED),
        ("arn:aws:iam::123456789012:role/+14155550100", f"arn:aws:iam::123456789012:role/{MASKED}"),
    ],
)
def test_a_phone_number_is_masked(raw: str, value: str) -> None:
    """Whatever looks like a phone number or a telephone address is masked, also within a text and where the text is cut."""
    assert normalise(raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        ("   ", UNKNOWN),
        ("\n\t", "??"),
        ("a\x00b", "a?b"),
        ("a\nb", "a?b"),
        ("\u202eevil", "?evil"),
        ("a\u200bb", "a?b"),
        ("\ud800", "?"),
        ("cafe\u0301", "café"),
        (" padded ", "padded"),
        ("x" * 79 + " y", "x" * 79),
        ('quote " and \\', 'quote " and \\'),
    ],
)
def test_a_value_is_made_printable(raw: str | None, value: str) -> None:
    """Absent text is unknown, what cannot be printed becomes a question mark, and the rest is composed and trimmed."""
    assert normalise(raw) == value


@pytest.mark.parametrize("raw", ["x" * 81, "x" * 1_000_000, "é" * 500, "e\u0301" * 500])
def test_a_value_is_short(raw: str) -> None:
    """No value is longer than the longest there may be."""
    assert len(normalise(raw)) <= MAX_LENGTH


def test_the_longest_value_is_kept_whole() -> None:
    """A value of exactly the greatest length is not cut."""
    assert normalise("m" * MAX_LENGTH) == "m" * MAX_LENGTH


def test_what_does_not_fit_is_other() -> None:
    """When a label's room is taken new values become _other and are counted each time, and known ones stay."""
    watched = Watched(LabelLimits(values=2))
    admit = watched.limiter.value
    assert [admit("tool", raw, 0) for raw in ("a", "b", "c", "a", "c")] == ["a", "b", OTHER, "a", OTHER]
    assert watched.overflowed == ["tool", "tool"]


def test_each_label_has_its_own_room() -> None:
    """A full label takes no room from another, and agents have a room of their own size."""
    watched = Watched(LabelLimits(agents=2, values=1))
    admit = watched.limiter.value
    assert [admit("tool", "a", 0), admit("role", "b", 0), admit("agent", "c", 0), admit("agent", "d", 0)] == ["a", "b", "c", "d"]
    assert watched.overflowed == []


def test_unknown_needs_no_room() -> None:
    """An absent value is unknown even when the label is full."""
    admit = Watched(LabelLimits(values=0)).limiter.value
    assert (admit("tool", None, 0), admit("tool", "a", 0)) == (UNKNOWN, OTHER)


def test_values_are_compared_as_they_are_shown() -> None:
    """Texts that come to the same value share its place."""
    watched = Watched(LabelLimits(values=1))
    assert [watched.limiter.value("tool", raw, 0) for raw in ("a", " a ", "a ")] == ["a", "a", "a"]
    assert watched.overflowed == []


def test_a_pair_is_bounded_together() -> None:
    """Provider and model find room together or both become _other, a component apart from the others."""
    watched = Watched(LabelLimits(pairs=1))
    pair = watched.limiter.pair
    assert pair("llm", "openai", "gpt-4o", 0) == ("openai", "gpt-4o")
    assert pair("llm", "openai", "gpt-5", 0) == (OTHER, OTHER)
    assert pair("stt", "openai", "gpt-5", 0) == ("openai", "gpt-5")
    assert watched.overflowed == ["model"]


def test_allowed_values_always_fit() -> None:
    """Values on the list of allowed ones are kept in a full table, a pair when both of it are allowed."""
    allow = {"agent": frozenset({"vip"}), "provider": frozenset({"openai"}), "model": frozenset({"gpt-4o"})}
    watched = Watched(LabelLimits(agents=0, pairs=0, allow=allow))
    assert watched.limiter.value("agent", "vip", 0) == "vip"
    assert watched.limiter.value("tool", "vip", 0) == "vip"
    assert watched.limiter.pair("llm", "openai", "gpt-4o", 0) == ("openai", "gpt-4o")
    assert watched.limiter.pair("llm", "openai", "gpt-5", 0) == (OTHER, OTHER)
    assert watched.overflowed == ["model"]


def test_allowed_values_are_not_masked() -> None:
    """The list of allowed values applies first, so that an id that looks like a phone number can have its series."""
    allow = {"tool": frozenset({"14155550100"}), "model": frozenset({"8005550100"})}
    watched = Watched(LabelLimits(values=1, pairs=1, allow=allow))
    limiter = watched.limiter
    limiter.note_numbers("+14155550100")
    assert limiter.value("tool", "14155550100", 0) == "14155550100"
    assert limiter.value("role", "14155550100", 0) == MASKED
    assert limiter.pair("llm", "x", "8005550100", 0) == ("x", "8005550100")
    assert watched.masked == ["role"]


def test_masking_is_counted_by_label() -> None:
    """Each use of a value that is masked counts, a pair under the label that had the number."""
    watched = Watched(LabelLimits())
    for _ in range(2):
        watched.limiter.value("tool", "call_14155550100", 0)
    watched.limiter.pair("llm", "openai", "+14155550100", 0)
    watched.limiter.agent("+14155550100", (), 0)
    watched.limiter.agent("14155550100", (), 0)
    assert watched.masked == ["tool", "tool", "model", "agent"]


def test_an_idle_value_gives_up_its_place() -> None:
    """After a day without use the value idle for longest makes room, and its table, labels and values are told."""
    watched = Watched(LabelLimits(values=2))
    admit = watched.limiter.value
    admit("tool", "a", 0)
    admit("tool", "b", 10)
    assert admit("tool", "c", DAY - 1) == OTHER
    assert admit("tool", "c", DAY) == "c"
    assert watched.evicted == [("tool", ("tool",), ("a",))]


def test_a_value_that_gave_up_its_place_is_not_remembered() -> None:
    """It was in use a moment ago and fitted; now that another has its place it does not."""
    watched = Watched(LabelLimits(values=1, idle=30.0))
    admit = watched.limiter.value
    assert [admit("tool", value, at) for value, at in (("a", 0), ("a", 1), ("b", 40), ("a", 41))] == ["a", "a", "b", OTHER]


def test_a_value_in_use_keeps_its_place() -> None:
    """Use, however it is shown, starts the day anew."""
    watched = Watched(LabelLimits(values=1))
    admit = watched.limiter.value
    admit("tool", "a", 0)
    admit("tool", "a", DAY - 1)
    assert admit("tool", "b", DAY + 1) == OTHER
    assert watched.evicted == []


def test_an_idle_pair_gives_up_its_place() -> None:
    """A pair is evicted from its component's table under both of its labels."""
    watched = Watched(LabelLimits(pairs=1))
    watched.limiter.pair("llm", "openai", "gpt-4o", 0)
    assert watched.limiter.pair("llm", "groq", None, DAY) == ("groq", UNKNOWN)
    assert watched.evicted == [(pairs_of("llm"), ("provider", "model"), ("openai", "gpt-4o"))]


def test_a_label_and_a_component_of_one_name_are_apart() -> None:
    """The label llm and the models of the component llm take no room from each other."""
    watched = Watched(LabelLimits(values=1, pairs=1))
    assert watched.limiter.value("llm", "openai/gpt-4o", 0) == "openai/gpt-4o"
    assert watched.limiter.pair("llm", "openai", "gpt-4o", 0) == ("openai", "gpt-4o")
    assert watched.overflowed == []
