"""Marks on every board's time axis: alerts that fire, new versions of the exporter, and models that are new to an agent."""

from grafana_foundation_sdk.builders import dashboard as builders

from grafana.queries import FIRING, select
from grafana.variables import DATASOURCE

_BEFORE = "[3h] offset 5m"
"""What there was before. The offset is the width of a mark: it is longer than a step, so that none falls between two steps."""
_SETTLED = "[3h] offset 30m"
"""What there was for half an hour: in the first minutes of an agent everything would be new."""
_MODEL = "agent, provider, model"


def annotations() -> list[builders.AnnotationQuery]:
    """The marks, each with a switch above the board."""
    return [
        _mark("Firing alerts", FIRING, "red", "{{alertname}}", "{{severity}} {{agent}} {{instance}}"),
        _mark(
            "New exporter versions",
            _new("version", select("agentstack_exporter_build_info"), whole=""),
            "blue",
            "Exporter {{version}}",
            "The first exporter of this version was scraped.",
        ),
        _mark(
            "New models of agents",
            _new(_MODEL, select("agentstack_llm_time_to_first_token_seconds", "_count", model="!=unknown"), whole="agent"),
            "purple",
            "{{agent}}: {{provider}} {{model}}",
            "This agent's first turns with this model: a new version of the agent, or a fallback.",
        ),
    ]


def _new(labels: str, series: str, *, whole: str) -> str:
    """Combinations of labels that there were not, while others with the same ``whole`` were: a first start is no news."""
    before, settled = f"count_over_time({series}{_BEFORE})", f"count_over_time({series}{_SETTLED})"
    return f"count by ({labels}) ({series}) unless count by ({labels}) ({before}) and on ({whole}) count by ({whole}) ({settled})"


def _mark(name: str, expr: str, colour: str, title: str, text: str) -> builders.AnnotationQuery:
    mark = builders.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).hide(False).icon_color(colour)
    return mark.expr(expr).step("1m").title_format(title).text_format(text).tag_keys("severity")
