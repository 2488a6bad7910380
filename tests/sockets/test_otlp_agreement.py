"""/metrics and OTLP show the same numbers, whichever form a collector asks for and whatever happened on the way."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from exporter.catalogue.names import Kind, scraped_label, scraped_name
from exporter.exporters.otlp.target import Protocol
from tests.support.daemon import LabelSet, Samples, samples_of
from tests.support.otlp_daemon import address_of, environment, exporting
from tests.support.otlp_receiver import HttpAnswer, Receiver, otlp_receiver
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import eventually

MOVING = (
    "agentstack_exporter_otlp_",
    "agentstack_exporter_scrape",
    "agentstack_exporter_render_",
    "agentstack_exporter_event_loop_",
    "process_",
    "python_",
)
"""What counts the exports and scrapes themselves, or is measured anew for each: no two views are of the same moment."""
_OTLP = "OTEL_EXPORTER_OTLP_METRICS_"
Points = dict[tuple[str, LabelSet], Any]


def kind_of(metric: Metric) -> Kind:
    found = metric.WhichOneof("data")
    kinds: dict[str, Kind] = {"gauge": "gauge", "sum": "counter"}
    return kinds.get(str(found), "histogram")


def points(requests: Iterable[Any]) -> Iterator[tuple[Metric, str, LabelSet, Any]]:
    """Every point of requests, with the name and labels that Prometheus would give it."""
    for message in requests:
        for metric in message.resource_metrics[0].scope_metrics[0].metrics:
            name = scraped_name(metric.name, metric.unit, kind_of(metric))
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                labels = frozenset((scraped_label(each.key), each.value.string_value) for each in point.attributes)
                yield metric, name, labels, point


def number(point: Any) -> float:
    return float(getattr(point, point.WhichOneof("value")))


def translated(message: Any) -> Samples:
    """A request as a scrape would show it; of exponential histograms count and sum."""
    found: Samples = {}
    for metric, name, labels, point in points([message]):
        if kind_of(metric) != "histogram":
            found[name, labels] = number(point)
            continue
        found[f"{name}_count", labels], found[f"{name}_sum", labels] = point.count, point.sum
        if metric.WhichOneof("data") == "histogram":
            counted = 0
            for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True):
                counted += count
                found[f"{name}_bucket", labels | {("le", repr(bound))}] = counted
    return found


def at_rest(samples: Samples, *, buckets: bool = True) -> Samples:
    """What does not move of itself, bounds written in one way."""
    return {
        (name, frozenset((key, repr(float(value)) if key == "le" else value) for key, value in labels)): value
        for (name, labels), value in samples.items()
        if not name.startswith(MOVING) and not name.endswith("_created") and (buckets or not name.endswith("_bucket"))
    }


def totals(receiver: Receiver) -> list[Any]:
    return [request.message for request in receiver.requests if request.signal == "metrics"]


def _attempted(receiver: Receiver, times: int) -> bool:
    return len(receiver.attempts) > times


@pytest.mark.parametrize("form", ["explicit_bucket_histogram", "base2_exponential_bucket_histogram"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_totals_are_those_of_a_scrape(tmp_path: Any, protocol: Protocol, form: str) -> None:
    """After a run every series of /metrics is in the last request, with the same value, and nothing else is."""
    async with otlp_receiver(protocol) as site:
        more = {f"{_OTLP}DEFAULT_HISTOGRAM_AGGREGATION": form, "OTEL_METRIC_EXPORT_INTERVAL": "100"}
        async with exporting(environment(address_of(site), protocol, **more), session_linger=0.0, session_resume=0.0) as running:
            await simulate(subdirectory(tmp_path, "calls"), running.endpoints, calls=20, profiles=["mixed", "messy", "s2s"], seed=3)
            await eventually(lambda: running.daemon.pipeline.sessions.active == 0)
            explicit = form.startswith("explicit")

            async def equal() -> bool:
                shown = at_rest(samples_of(await running.endpoints.text()), buckets=explicit)
                sent = at_rest(translated(totals(site.receiver)[-1]), buckets=explicit)
                assert sorted(shown.keys() ^ sent.keys()) == []
                assert {key: (shown[key], sent[key]) for key in shown if shown[key] != pytest.approx(sent[key], rel=1e-9)} == {}
                return len(shown) > 300

            await eventually(equal, within=20)  # to compare all once takes a second of the processor


async def test_differences_add_up_to_the_totals(tmp_path: Any) -> None:
    """With delta temporality the sum of all that was delivered is the total, although exports failed in between."""
    async with otlp_receiver("http/protobuf") as site:
        more = {f"{_OTLP}TEMPORALITY_PREFERENCE": "delta", "OTEL_METRIC_EXPORT_INTERVAL": "50", "OTEL_METRIC_EXPORT_TIMEOUT": "20"}
        async with exporting(environment(address_of(site), "http/protobuf", **more), session_linger=0.0, session_resume=0.0) as running:
            for number_of, status in enumerate((503, 200, 400)):
                site.receiver.answer = HttpAnswer(status) if status != 200 else None
                folder = subdirectory(tmp_path, f"calls-{number_of}")
                await simulate(folder, running.endpoints, calls=5, profiles=["mixed"], seed=number_of)
                await eventually(partial(_attempted, site.receiver, len(site.receiver.attempts) + 3), within=20)
            site.receiver.answer = None
            await eventually(lambda: running.daemon.pipeline.sessions.active == 0)
            text = await running.endpoints.text()
        shown = at_rest(samples_of(text), buckets=False)
    added: Samples = {}
    for metric, name, labels, point in points(totals(site.receiver)):
        if kind_of(metric) == "histogram":
            assert metric.histogram.aggregation_temporality == 1
            for part, value in (("count", point.count), ("sum", point.sum)):
                added[f"{name}_{part}", labels] = added.get((f"{name}_{part}", labels), 0.0) + value
        elif kind_of(metric) == "counter":
            added[name, labels] = added.get((name, labels), 0.0) + number(point)
    counted = {key: value for key, value in shown.items() if key[0].endswith(("_total", "_count", "_sum"))}
    assert {
        key: (value, added.get(key)) for key, value in counted.items() if added.get(key, 0.0) != pytest.approx(value, rel=1e-9)
    } == {}
    assert len(counted) > 300
