"""Exporters, samplers and detectors of other packages: how they are found, and what becomes of those that cannot be used."""

import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource, ResourceDetector
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from exporter.config.otel import read_otel
from exporter.daemon.sdk_parts import exporter_classes, other_sampler, problems
from exporter.exporters.sdk import resource_detectors
from exporter.exporters.sdk.resource_detectors import detected

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Reader(InMemoryMetricReader):
    """What a package registers that is no exporter."""


class FlipFlop(Sampler):
    """A sampler that decides otherwise each time, and keeps what it was asked."""

    def __init__(self, argument: str | None) -> None:
        self.argument = argument
        self.asked: list[tuple[int, str]] = []

    def should_sample(self, parent_context: object, trace_id: int, name: str, *args: Any, **kwargs: Any) -> SamplingResult:
        self.asked.append((trace_id, name))
        if self.argument == "broken":
            raise RuntimeError("no decision")
        return SamplingResult(Decision.RECORD_AND_SAMPLE if len(self.asked) % 2 else Decision.DROP)

    def get_description(self) -> str:
        return "flip flop"


class Strange:
    """What a package registers that is no sampler."""

    def __init__(self, argument: str | None) -> None:
        pass


class Cloud(ResourceDetector):
    """A detector that finds something."""

    def detect(self) -> Resource:
        return Resource({"cloud.provider": "acme", "service.name": "from the cloud"})


class Broken(ResourceDetector):
    """A detector that fails."""

    def detect(self) -> Resource:
        raise OSError("no metadata server")


class Hanging(ResourceDetector):
    """A detector that waits for a server that is not there."""

    def detect(self) -> Resource:
        threading.Event().wait(60)
        return Resource({})


ENTRIES = {
    "opentelemetry_traces_exporter": {"mine": "ConsoleSpanExporter", "odd": "TRACE", "gone": "Nothing"},
    "opentelemetry_metrics_exporter": {"mine": "ConsoleMetricExporter", "reader": "Reader", "prometheus": "Reader"},
    "opentelemetry_traces_sampler": {"flip": "FlipFlop", "strange": "Strange"},
    "opentelemetry_resource_detector": {"cloud": "Cloud", "broken": "Broken", "hanging": "Hanging"},
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a package were installed that registers the classes of this module."""

    def entry_points(*, group: str, name: str | None = None) -> EntryPoints:
        found = EntryPoints(EntryPoint(key, f"{__name__}:{value}", group) for key, value in ENTRIES[group].items())
        return found if name is None else found.select(name=name)

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def _this_module() -> Any:
    module = type(sys)(__name__)
    module.__dict__.update(globals())
    return module


def warned(**variables: str) -> tuple[str, ...]:
    """What is said about variables."""
    settings, warnings = read_otel(variables)
    assert warnings == ()
    return problems(settings)


def test_exporters_are_found_by_name() -> None:
    """A list names exporters of both signals; otlp, none and prometheus are not looked for."""
    variables = {"OTEL_TRACES_EXPORTER": "otlp, mine,mine", "OTEL_METRICS_EXPORTER": "prometheus,mine,none"}
    settings, _ = read_otel(variables)
    assert settings.traces is not None
    assert settings.metrics is None
    assert list(exporter_classes(settings)) == [
        ("mine", "traces", ConsoleSpanExporter),
        ("mine", "metrics", ConsoleMetricExporter),
    ]
    assert problems(settings) == ()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "package has the exporter 'zipkin'; there are gone, mine, odd; nothing",
        ),
        ({"OTEL_TRACES_EXPORTER": "odd"}, "'odd' is no exporter of traces"),
        ({"OTEL_TRACES_EXPORTER": "gone"}, "'gone' cannot be imported: AttributeError"),
        ({"OTEL_METRICS_EXPORTER": "reader"}, "'reader' is a metric reader"),
        (
            {"OTEL_TRACES_SAMPLER": "nobody"},
            "package has the sampler 'nobody'; there are flip, strange; parentbased_",
        ),
        ({"OTEL_TRACES_SAMPLER": "strange"}, "'strange' is no sampler"),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "cloud,nobody,*"}, "no installed package has the detector 'nobody'"),
    ],
)
def test_what_cannot_be_used(variables: dict[str, str], said: str) -> None:
    """What is named and cannot be used is warned of with the reason, and left out."""
    (warning,) = warned(**variables)
    (name,) = variables
    assert warning.startswith(f"{name}: ")
    assert said in warning
    settings, _ = read_otel(variables)
    assert list(exporter_classes(settings)) == []
    assert other_sampler(settings) is None


def test_a_disabled_sdk_has_no_exporters() -> None:
    """OTEL_SDK_DISABLED turns exporters of other packages off too."""
    settings, _ = read_otel({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "mine", "OTEL_METRICS_EXPORTER": "mine"})
    assert list(exporter_classes(settings)) == []


class TestSamplers:
    def decide(self, argument: str) -> Callable[[str], bool]:
        settings, _ = read_otel({"OTEL_TRACES_SAMPLER": "flip", "OTEL_TRACES_SAMPLER_ARG": argument})
        found = other_sampler(settings)
        assert found is not None
        return found

    def test_asked_once_for_a_trace(self) -> None:
        """A sampler that would change its mind is asked once for each trace."""
        decide = self.decide("rate=5")
        assert [decide(TRACE), decide(TRACE), decide(TRACE[::-1]), decide(TRACE)] == [True, True, False, True]

    def test_a_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        """If the sampler fails, the trace is sampled, and the log says so."""
        assert self.decide("broken")(TRACE)
        assert "the sampler failed" in caplog.text


class TestDetectors:
    def test_merge(self) -> None:
        """What detectors find wins over the defaults, and the variables win over what they find."""
        found = detected({"a": 1, "service.name": "default"}, {"cloud.provider": "given"}, ["cloud"])
        assert found == {"a": 1, "service.name": "from the cloud", "cloud.provider": "given"}

    def test_order(self) -> None:
        """The detector otel puts the variables at its place."""
        assert detected({}, {"service.name": "given"}, ["otel", "cloud"])["service.name"] == "from the cloud"

    def test_failures(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """A detector that fails, is missing or hangs costs its own attributes only."""
        monkeypatch.setattr(resource_detectors, "TIMEOUT", 0.05)
        found = detected({"a": 1}, {"b": 2}, ["hanging", "broken", "nobody"])
        assert found == {"a": 1, "b": 2}
        assert [name for name in ("hanging", "broken", "nobody") if f"resource detector {name}" not in caplog.text] == []


@pytest.mark.external
def test_nothing_is_imported_unasked() -> None:
    """Without OTLP and without a named part, no SDK, protobuf, YAML and client library are imported; over gRPC, none for HTTP."""
    code = (
        "import asyncio, sys\n"
        "from exporter.config import Settings\n"
        "from exporter.daemon import serve\n"
        "from exporter.daemon.app import Daemon\n"
        "async def main(): Daemon(Settings())\n"
        "asyncio.run(main())\n"
        "names = ('opentelemetry.sdk', 'opentelemetry.trace', 'opentelemetry.proto', 'google.protobuf')\n"
        "heavy = (*names, 'aiohttp', 'grpc', 'requests', 'urllib3', 'yaml')\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
        "from exporter.exporters.otlp.sender import Target, create_transport\n"
        "create_transport(Target('traces', 'grpc', 'http://localhost:4317'))\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "\nopentelemetry.proto google.protobuf grpc\n"
    )
