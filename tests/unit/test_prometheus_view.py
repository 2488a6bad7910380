"""The text of a snapshot, its chunks, and the templates kept between scrapes."""

import os
import subprocess
from dataclasses import replace

import pytest

from bench.synthetic import snapshot_of
from exporter.exporters.prometheus.exposition import Renderer, go_float, sample_count
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics.snapshot import Family, HistogramPoint, Series, Snapshot
from tests.support.peers import require
from tests.support.small_snapshot import ACTIVE, LATENCY, SMALL, TURNS

TEXT = r"""# HELP agentstack_user_perceived_latency_seconds From the caller's last word to the agent's first.
# TYPE agentstack_user_perceived_latency_seconds histogram
agentstack_user_perceived_latency_seconds_bucket{agent="a\"1",le="0.5",pipeline="cascade"} 3.0
agentstack_user_perceived_latency_seconds_bucket{agent="a\"1",le="1.0",pipeline="cascade"} 5.0
agentstack_user_perceived_latency_seconds_bucket{agent="a\"1",le="+Inf",pipeline="cascade"} 5.0
agentstack_user_perceived_latency_seconds_count{agent="a\"1",pipeline="cascade"} 5.0
agentstack_user_perceived_latency_seconds_sum{agent="a\"1",pipeline="cascade"} 3.25
# HELP agentstack_turns_total Turns, "all" of them.
# TYPE agentstack_turns_total counter
agentstack_turns_total{agent="a\\1"} 1.234567e+06
agentstack_turns_total{agent="50 %d.0\n"} 2.0
# HELP agentstack_sessions_active Sessions open now.
# TYPE agentstack_sessions_active gauge
agentstack_sessions_active 2.0
# HELP agentstack_errors_total Errors.
# TYPE agentstack_errors_total counter
"""

OPENMETRICS = r"""# HELP agentstack_user_perceived_latency_seconds From the caller's last word to the agent's first.
# TYPE agentstack_user_perceived_latency_seconds histogram
# UNIT agentstack_user_perceived_latency_seconds seconds
agentstack_user_perceived_latency_seconds_bucket{agent="a\"1",le="0.5",pipeline="cascade"} 3.0
agentstack_user_perceived_latency_seconds_bucket{agent="a\"1",le="1.0",pipeline="cascade"} 5.0 # EXEMPLAR
agentstack_user_perceived_latency_seconds_bucket{agent="a\"1",le="+Inf",pipeline="cascade"} 5.0
agentstack_user_perceived_latency_seconds_count{agent="a\"1",pipeline="cascade"} 5.0
agentstack_user_perceived_latency_seconds_sum{agent="a\"1",pipeline="cascade"} 3.25
# HELP agentstack_turns Turns, \"all\" of them.
# TYPE agentstack_turns counter
agentstack_turns_total{agent="a\\1"} 1.234567e+06
agentstack_turns_total{agent="50 %d.0\n"} 2.0
# HELP agentstack_sessions_active Sessions open now.
# TYPE agentstack_sessions_active gauge
agentstack_sessions_active 2.0
# HELP agentstack_errors Errors.
# TYPE agentstack_errors counter
# EOF
""".replace("EXEMPLAR", '{span_id="00f067aa0ba902b7",trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.75 1767225600.5')


def rendered(snapshot: Snapshot, into: Format = Format.TEXT_0_0_4, renderer: Renderer | None = None) -> str:
    return b"".join((renderer or Renderer()).chunks(snapshot, into)).decode()


class TestText:
    @pytest.mark.parametrize("into", [Format.TEXT_0_0_4, Format.TEXT_1_0_0])
    def test_text(self, into: Format) -> None:
        """Both text versions have the same body: families with and without series, escaped labels, exponents."""
        assert rendered(SMALL, into) == TEXT

    def test_openmetrics(self) -> None:
        """OpenMetrics adds units, exemplars and the end mark, and names counter families without their suffix."""
        assert rendered(SMALL, Format.OPENMETRICS_1_0_0) == OPENMETRICS

    @pytest.mark.parametrize(("into", "text"), [(Format.TEXT_1_0_0, ""), (Format.OPENMETRICS_1_0_0, "# EOF\n")])
    def test_nothing(self, into: Format, text: str) -> None:
        """A snapshot without families is an empty, valid text."""
        assert rendered(Snapshot(0.0, ()), into) == text

    def test_count_of_a_million(self) -> None:
        """Within a histogram each count has an exponent only from a million on."""
        family = Family(LATENCY, (Series(("50 %d.0", "%s"), HistogramPoint((999_999, 1, 0), 0.5), 0.0),))
        assert rendered(Snapshot(0.0, (family,))).splitlines()[2:] == [
            'agentstack_user_perceived_latency_seconds_bucket{agent="%s",le="0.5",pipeline="50 %d.0"} 999999.0',
            'agentstack_user_perceived_latency_seconds_bucket{agent="%s",le="1.0",pipeline="50 %d.0"} 1e+06',
            'agentstack_user_perceived_latency_seconds_bucket{agent="%s",le="+Inf",pipeline="50 %d.0"} 1e+06',
            'agentstack_user_perceived_latency_seconds_count{agent="%s",pipeline="50 %d.0"} 1e+06',
            'agentstack_user_perceived_latency_seconds_sum{agent="%s",pipeline="50 %d.0"} 0.5',
        ]

    def test_lone_surrogate(self) -> None:
        """A lone surrogate, which UTF-8 cannot hold, is replaced and breaks neither its series nor the scrape."""
        snapshot = Snapshot(0.0, (Family(TURNS, (Series(("a\ud800b",), 1.0, 0.0),)), Family(ACTIVE, (Series((), 1.0, 0.0),))))
        assert rendered(snapshot).splitlines()[2::3] == [
            'agentstack_turns_total{agent="a?b"} 1.0',
            "agentstack_sessions_active 1.0",
        ]

    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0, "0.0"), (-0.0, "-0.0"), (999_999, "999999.0"), (1_000_000, "1e+06"), (1_234_567.5, "1.2345675e+06"),
            (-1_000_000, "-1000000.0"), (1e15, "1e+15"), (1e16, "1e+16"), (1.5e16, "1.5e+16"), (2.5e-7, "2.5e-07"),
            (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (float("nan"), "NaN"),
        ],
    )  # fmt: skip
    def test_numbers(self, number: float, text: str) -> None:
        """Numbers are written as Go writes them, with an exponent from a million on."""
        assert go_float(number) == text

    @pytest.mark.external
    def test_promtool_accepts_it(self) -> None:
        """Prometheus's own linter reports nothing."""
        promtool = require("promtool")
        environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run(
            [promtool, "check", "metrics"], input=rendered(SMALL), capture_output=True, text=True, check=False, env=environment
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestChunks:
    def test_sizes(self) -> None:
        """No chunk has more samples than the limit, however they are spread over families."""
        snapshot = snapshot_of(3_000)
        pieces = [piece.decode() for piece in Renderer(chunk_samples=100).chunks(snapshot, Format.TEXT_0_0_4)]
        samples = [sum(not line.startswith("#") for line in piece.splitlines()) for piece in pieces]
        assert max(samples) <= 100
        assert min(samples[:-1]) > 100 - 25
        assert sum(samples) == sample_count(snapshot) == 3_000

    def test_series_larger_than_a_chunk(self) -> None:
        """A series is never split, and a series over the limit is a chunk of its own."""
        pieces = list(Renderer(chunk_samples=1).chunks(SMALL, Format.OPENMETRICS_1_0_0))
        assert [piece.count(b"\n") for piece in pieces] == [8, 3, 1, 3, 3]
        assert b"".join(pieces).decode() == OPENMETRICS


class TestCache:
    def test_removed_series(self) -> None:
        """The template of a series that left the snapshot is discarded with the next scrape, even if its family left too."""
        renderer = Renderer()
        rendered(SMALL, renderer=renderer)
        assert renderer.cached_series == 4
        fewer = replace(SMALL.families[1], series=SMALL.families[1].series[:1])
        rendered(Snapshot(0.0, (fewer,)), renderer=renderer)
        assert renderer.cached_series == 1
        assert rendered(SMALL, renderer=renderer) == TEXT

    def test_changed_help(self) -> None:
        """A family with another declaration is another family, even under the same name."""
        renderer = Renderer()
        rendered(SMALL, renderer=renderer)
        changed = Family(replace(ACTIVE, help="Calls."), SMALL.families[2].series)
        assert rendered(Snapshot(0.0, (changed,)), renderer=renderer).startswith("# HELP agentstack_sessions_active Calls.\n")

    def test_cancelled_rendering(self) -> None:
        """A scrape that is cancelled does not change the renderer."""
        renderer = Renderer(chunk_samples=1)
        next(renderer.chunks(SMALL, Format.TEXT_0_0_4))
        assert renderer.cached_series == 0
        assert rendered(SMALL, renderer=renderer) == TEXT
