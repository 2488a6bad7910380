"""The exporter's metrics of itself, as they are before anything has happened."""

import pytest

from exporter.metrics.self_metrics import FROM_ZERO, SelfMetrics
from exporter.metrics.store import Store


@pytest.mark.parametrize("spec", FROM_ZERO, ids=lambda spec: spec.name)
def test_faults_are_shown_before_they_happen(spec: object) -> None:
    """PromQL's increase() sees only what rises while it is there: the first fault must find its series at 0."""
    store = Store(10_000)
    SelfMetrics(store, 0.0)
    (family,) = [family for family in store.snapshot(0.0).families if family.spec is spec]
    assert {series.labels[0]: series.value for series in family.series} == dict.fromkeys(FROM_ZERO[family.spec], 0.0)
