"""PromQL from the catalogue: a metric or label that the exporter does not have is an error when the boards are built."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.catalogue.declarations import MetricSpec
from exporter.metrics import inventory
from grafana.objective import OBJECTIVE, SLO_BOUND

METRICS: Mapping[str, MetricSpec] = inventory.metrics()
SCRAPE = frozenset({"up", "scrape_duration_seconds", "scrape_samples_scraped"})
"""Series that Prometheus itself writes for each target."""

RATE = "$__rate_interval"
STEP = "$__interval"
"""The time from one point to the next. Windows of this length do not overlap, so their counts add up; windows of RATE overlap."""
SMOOTH = "5m"
"""The window of lines over few events, such as requests by model. It slides, so that a line has a point every step."""
_OF_ALERTS = 'alertname=~"AgentStack.+", job=~"$job|", instance=~"$instance|", agent=~"$agent|"'
FIRING = f'ALERTS{{alertstate="firing", {_OF_ALERTS}}}'
"""Alerts that fire, as Prometheus itself records them. One without a job, an instance or an agent is of all of them."""
RULES_LOADED = "agentstack:threshold:caller_turns_10m"
"""A series of the shipped rules: without it nothing can fire."""
_TARGET = 'job=~"$job", instance=~"$instance"'
_FILTERS = ("agent", "pipeline")
_OPERATORS = ("!=", "=~", "!~")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and how a panel queries it.

    ``legend`` names its series. ``instant`` asks for the newest value only. ``exemplar`` draws the exemplars of what it reads, and
    ``dots`` draws nothing else.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    exemplar: bool = False
    dots: bool = False
    format: str = "time_series"


def now(expr: str, legend: str = "") -> Query:
    """The newest value of ``expr``."""
    return Query(expr, legend, instant=True)


def select(name: str, suffix: str = "", **matchers: str) -> str:
    """A selector with the board's filters: job and instance always, agent and pipeline if the metric has these labels.

    A matcher's value may begin with its operator (``answered_by="!=machine"``); without one it is ``=``. Raises ``KeyError`` for
    a metric, ``ValueError`` for a label that the catalogue does not have.
    """
    labels = () if name in SCRAPE else METRICS[name].labels
    allowed = {*labels, "le"} if suffix == "_bucket" else {*labels}
    if unknown := set(matchers) - allowed:
        raise ValueError(f"{name} has no label {', '.join(sorted(unknown))}; it has {', '.join(labels) or 'none'}")
    filters = [f'{label}=~"${label}"' for label in _FILTERS if label in labels and label not in matchers]
    return f"{name}{suffix}{{{', '.join([_TARGET, *filters, *(_matcher(*item) for item in matchers.items())])}}}"


def _matcher(label: str, value: str) -> str:
    operator = value[:2] if value[:2] in _OPERATORS else "="
    return f'{label}{operator}"{value.removeprefix(operator)}"'


def rate(name: str, *by: str, suffix: str = "", **matchers: str) -> str:
    """Per-second rate of a counter, summed by labels."""
    return f"{_sum(by)} (rate({select(name, suffix, **matchers)}[{RATE}]))"


def per_minute(name: str, *by: str, suffix: str = "", **matchers: str) -> str:
    """Rate of a counter in a minute, summed by labels: people count calls and words by the minute."""
    return f"60 * {rate(name, *by, suffix=suffix, **matchers)}"


def increase(name: str, *by: str, window: str = RATE, suffix: str = "", **matchers: str) -> str:
    """Increase of a counter in a window, summed by labels."""
    return f"{_sum(by)} (increase({select(name, suffix, **matchers)}[{window}]))"


def tally(name: str, *by: str, **matchers: str) -> str:
    """Increase of a counter from one point to the next, summed by labels; for bars."""
    return increase(name, *by, window=STEP, **matchers)


def total(name: str, *by: str, **matchers: str) -> str:
    """Sum of a gauge by labels."""
    return f"{_sum(by)} ({select(name, **matchers)})"


def quantile(q: float, name: str, *by: str, window: str = RATE, **matchers: str) -> str:
    """A quantile of a histogram by labels; no value (instead of NaN) if nothing was observed."""
    return f"histogram_quantile({q:g}, {increase(name, 'le', *by, window=window, suffix='_bucket', **matchers)}) >= 0"


def quantiles(name: str, *by: str, legend: str = "", **matchers: str) -> list[Query]:
    """p50, p95 and p99 over time."""
    prefix = f"{legend} " if legend else ""
    return [Query(quantile(q, name, *by, **matchers), f"{prefix}p{q * 100:g}") for q in (0.5, 0.95, 0.99)]


def slow_turns() -> Query:
    """Exemplars of turns beyond the objective's bound, and nothing else: those of all turns would bury the lines.

    An exemplar belongs to the bucket that its value falls into, so the buckets asked for choose the exemplars.
    """
    beyond = [str(bound) for bound in METRICS[PERCEIVED].bounds if bound > SLO_BOUND]
    return Query(quantile(0.5, PERCEIVED, le=f"=~{'|'.join([*beyond, '[+]Inf'])}", **CALLERS), "slow turns", exemplar=True, dots=True)


def mean(name: str, *by: str, window: str = RATE, **matchers: str) -> str:
    """Mean of a histogram by labels."""
    numbers = [increase(name, *by, window=window, suffix=suffix, **matchers) for suffix in ("_sum", "_count")]
    return ratio(*numbers)


def buckets(name: str, **matchers: str) -> Query:
    """Observations of each step by bucket, for a heatmap."""
    return Query(increase(name, "le", suffix="_bucket", **matchers), "{{le}}", format="heatmap", exemplar=True)


def firing_for() -> Query:
    """Seconds since each alert that fires became active, and a row that says so if Prometheus has no rules."""
    active = f"time() - ALERTS_FOR_STATE{{{_OF_ALERTS}}} and ignoring (alertstate) {FIRING}"
    of = f'label_join({active}, "of", " ", "agent", "component", "provider", "model", "llm", "tool", "instance")'
    missing = f'label_replace(absent({RULES_LOADED}) * 0, "severity", "the alert rules are not loaded", "", "")'
    return now(f"max by (alertname, severity, of) ({of} or {missing})")


def minutes(seconds: str) -> str:
    """Seconds as minutes: Grafana's ticks of an axis in seconds are whole seconds, such as 1.67 min."""
    return f"({seconds}) / 60"


def ratio(part: str, whole: str) -> str:
    """``part / whole``; no value (instead of NaN) if ``whole`` is 0."""
    return f"{part} / ({whole} > 0)"


def part_of(each: str, whole: str) -> str:
    """Each of several series as a share of one whole."""
    return f"{each} / on () group_left () ({whole} > 0)"


def share(part: str, whole: str) -> str:
    """As :func:`ratio`, for two expressions with the same labels; a missing ``part`` counts as 0."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


CALLERS = {"answered_by": "!=machine"}
"""Matchers that leave out calls that a machine answered: nobody waits in them."""


def caller_turns(*by: str, window: str = RATE, **matchers: str) -> str:
    """Turns in which a caller waited for an answer, whether it came or not; machine-answered calls are left out."""
    return increase("agentstack_caller_turns_total", *by, window=window, **CALLERS, **matchers)


def good_turns(*by: str, window: str = RATE) -> str:
    """Caller turns answered within the objective's bound."""
    return increase(PERCEIVED, *by, window=window, suffix="_bucket", le=str(SLO_BOUND), **CALLERS)


def attainment(*by: str, window: str = RATE) -> str:
    """Share of caller turns answered within the bound; an unanswered turn is a miss.

    Prometheus extrapolates each of the two counters separately: after a start the part can seem larger than the whole.
    """
    return f"clamp_max({share(good_turns(*by, window=window), caller_turns(*by, window=window))}, 1)"


def burn(window: str) -> str:
    """The burn rate: how many times faster than planned the error budget is spent. At 1 exactly all of it is spent."""
    return f"(1 - {attainment(window=window)}) / {1 - OBJECTIVE:g}"


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)})" if by else "sum"


PERCEIVED = "agentstack_user_perceived_latency_seconds"
