"""OTel names and units → the names Prometheus stores them under, by the rules of its own translation."""

import pytest

from exporter.catalogue.names import Kind, scraped_name, unit_words


@pytest.mark.parametrize(
    ("otel_name", "unit", "kind", "expected"),
    [
        ("agentstack.user_perceived_latency", "s", "histogram", "agentstack_user_perceived_latency_seconds"),
        ("agentstack.turns", "{turn}", "counter", "agentstack_turns_total"),
        ("agentstack.sessions_active", "{session}", "gauge", "agentstack_sessions_active"),
        ("agentstack.audio_stream.received", "By", "counter", "agentstack_audio_stream_received_bytes_total"),
        ("agentstack.voicemail.beep_frequency", "Hz", "histogram", "agentstack_voicemail_beep_frequency_hertz"),
        # A count in braces adds nothing, a bare 1 on a gauge adds _ratio, on a histogram nothing.
        ("agentstack.sessions_active", "1", "gauge", "agentstack_sessions_active_ratio"),
        ("agentstack.load.ratio", "1", "gauge", "agentstack_load_ratio"),
        ("agentstack.ratio.load", "1", "gauge", "agentstack_load_ratio"),
        ("agentstack.stt.confidence", "1", "histogram", "agentstack_stt_confidence"),
        ("agentstack.llm.cache_hit_ratio", "1", "histogram", "agentstack_llm_cache_hit_ratio"),
        ("agentstack.hits", "1", "counter", "agentstack_hits_total"),
        ("agentstack.exporter.build_info", "", "gauge", "agentstack_exporter_build_info"),
        # Rates append what they are per.
        ("agentstack.llm.tokens", "{token}/s", "histogram", "agentstack_llm_tokens_per_second"),
        ("agentstack.llm.tokens_per_second", "{token}/s", "histogram", "agentstack_llm_tokens_per_second_per_second"),
        ("agentstack.speed", "By/s", "gauge", "agentstack_speed_bytes_per_second"),
        ("agentstack.speed", "m/h", "gauge", "agentstack_speed_meters_per_hour"),
        ("agentstack.speed", "m/{turn}", "gauge", "agentstack_speed_meters"),
        # Every total of a counter's name is dropped and one appended; of other kinds it stays.
        ("agentstack.llm.total_tokens", "{token}", "counter", "agentstack_llm_tokens_total"),
        ("agentstack.total.turns_total", "{turn}", "counter", "agentstack_turns_total"),
        ("agentstack.total_duration", "s", "histogram", "agentstack_total_duration_seconds"),
        # A unit that the name already holds anywhere is not appended again; one unknown appears as it is.
        ("agentstack.seconds.waited", "s", "histogram", "agentstack_seconds_waited"),
        ("agentstack.wait_seconds", "s", "counter", "agentstack_wait_seconds_total"),
        ("agentstack.cost", "USD", "counter", "agentstack_cost_USD_total"),
        ("agentstack.part", "%", "gauge", "agentstack_part_percent"),
        # Characters that a name may not have become one underscore.
        ("agentstack..a--b c", "", "gauge", "agentstack_a_b_c"),
        ("agentstack.é", "", "gauge", "agentstack"),
        ("agentstack:a", "", "gauge", "agentstack:a"),
    ],
)
def test_a_name_is_translated_as_prometheus_does(otel_name: str, unit: str, kind: Kind, expected: str) -> None:
    """Units, totals, ratios and rates end up in the name where Prometheus puts them."""
    assert scraped_name(otel_name, unit, kind) == expected


@pytest.mark.parametrize(
    ("unit", "words"),
    [("s", ("seconds", "")), ("{token}/s", ("", "per_second")), ("1", ("", "")), ("", ("", "")), ("By/{x}", ("bytes", ""))],
)
def test_a_unit_has_two_parts(unit: str, words: tuple[str, str]) -> None:
    """A unit gives the word for what is measured and the word for what it is per."""
    assert unit_words(unit) == words
