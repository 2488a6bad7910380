"""The filters above every board, and the links between boards. Links keep the filters that the reader has chosen."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model

TAG = "agentstack-exporter"
DATASOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
DOCS = "https://github.com/plivo/agentstack-exporter/blob/main/docs"


def datasource() -> builders.DatasourceVariable:
    """The Prometheus that the board queries."""
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


def filters() -> list[builders.QueryVariable]:
    """Job, instance, agent and pipeline. Job and instance narrow what the others offer; all start with All."""
    targets = 'job=~"$job", instance=~"$instance"'
    return [
        _filter("job", "Job", "label_values(agentstack_exporter_build_info, job)", ".+"),
        _filter("instance", "Instance", 'label_values(agentstack_exporter_build_info{job=~"$job"}, instance)', ".+"),
        _filter("agent", "Agent", f"label_values(agentstack_sessions_total{{{targets}}}, agent)", ".*"),
        _filter("pipeline", "Pipeline", f"label_values(agentstack_turns_total{{{targets}}}, pipeline)", ".*"),
    ]


def _filter(name: str, label: str, query: str, everything: str) -> builders.QueryVariable:
    variable = builders.QueryVariable(name).label(label).datasource(DATASOURCE).definition(query)
    variable.query({"query": query, "refId": f"{name}-values", "qryType": 1})
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
    variable.multi(True).include_all(True).all_value(everything)
    return variable.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))


def board_links() -> list[builders.DashboardLink]:
    """Links in the row above the panels: to the other boards, with the same time and filters, and to the runbooks."""
    boards = builders.DashboardLink("AgentStack boards").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).icon("external link")
    alerts = _page("Alerts and runbooks", "alerts.md").icon("doc").tooltip("What each alert means, where to look and what to do")
    return [boards.as_dropdown(False).include_vars(True).keep_time(True).tooltip("").url(""), alerts]


def runbook(alert: str) -> builders.DashboardLink:
    """A link to an alert's runbook, for a panel that shows what the alert is about."""
    return _page(f"Runbook: {alert}", f"runbooks/{alert}.md")


def to_runbook() -> model.DashboardLink:
    """A link from a cell that holds the name of an alert to its runbook."""
    return builders.DashboardLink("Runbook").type(model.DashboardLinkType.LINK).url(f"{DOCS}/runbooks/${{__value.raw}}.md").build()


def _page(title: str, page: str) -> builders.DashboardLink:
    return builders.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"{DOCS}/{page}").target_blank(True)


def to_board(uid: str, title: str, **chosen: str) -> model.DashboardLink:
    """A link from a cell or a series to a board. It keeps the time and the filters; ``chosen`` sets filters instead."""
    kept = [f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance", "agent", "pipeline") if name not in chosen]
    parts = [*kept, *(f"var-{name}={value}" for name, value in chosen.items()), "${__url_time_range}"]
    link = builders.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"/d/{uid}?{'&'.join(parts)}")
    return link.build()
