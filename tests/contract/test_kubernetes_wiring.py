"""Every variable, port, path, host and name in the Kubernetes manifests leads to something that reads or serves it."""

import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.helm.schema import otel_variables
from exporter.config.settings import SETTINGS
from exporter.config.sources import CONFIG_ENV
from tests.support.container import USER, container_process
from tests.support.daemon import Endpoints
from tests.support.kubernetes import VALUE_SETS, WORKLOADS, Object, charted_objects, exporter_in, kustomized_objects, pod_templates
from tests.support.waiting import patience

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("charts")]  # what is rendered is kept, and both look at it

RENDERS = [*(f"kustomize {name}" for name in WORKLOADS), *(f"helm {values}" for values in VALUE_SETS)]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
WITH_PODS = [name for name in RENDERS if name != "helm monitoring"]
GIVEN_BY_USERS = {"our-prices"}
"""ConfigMaps that a set of values names and the user creates."""


def rendered(name: str) -> list[Object]:
    """The objects of a render, and those of the monitoring beside it."""
    tool, _, what = name.partition(" ")
    return charted_objects(what) if tool == "helm" else [*kustomized_objects(what), *kustomized_objects("monitoring")]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def is_selected(labels: dict[str, str], selector: Object) -> bool:
    """Whether labels fit a selector with matchLabels, or a plain mapping as a Service has it."""
    wanted = selector.get("matchLabels", selector).items()
    excluded = [each for each in selector.get("matchExpressions", ()) if each["operator"] == "NotIn"]
    return wanted <= labels.items() and not any(labels.get(each["key"]) in each["values"] for each in excluded)


def ports(pod: Object) -> dict[str, int]:
    """The ports of the exporter's container, by name."""
    return {port["name"]: port["containerPort"] for port in exporter_in(pod)["ports"]}


def argument(container: Object, flag: str) -> str | None:
    """The value of a flag."""
    return next((each.partition("=")[2] for each in container["args"] if each.partition("=")[0] == flag), None)


@pytest.mark.parametrize("name", WITH_PODS)
def test_variables_are_read(name: str) -> None:
    """Each environment variable is a setting of the exporter, or one of OpenTelemetry's that it reads."""
    read = {CONFIG_ENV, *(setting.env for setting in SETTINGS), *otel_variables()}
    for template in pod_templates(rendered(name)):
        assert {variable["name"] for variable in exporter_in(template["spec"]).get("env", ())} <= read


def test_a_misspelled_variable_is_not_read() -> None:
    """What the exporter reads of OpenTelemetry's variables is known by name, those of single signals and of gRPC too."""
    read = otel_variables()
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_INSECURE"} <= read
    assert "OTEL_EXPORTER_OTLP_ENDPIONT" not in read


@pytest.mark.parametrize("name", WITH_PODS)
def test_ports_are_served(name: str) -> None:
    """Container ports are those on which the exporter listens; Services, policies and monitors name ports of what they select."""
    objects = rendered(name)
    for template in pod_templates(objects):
        pod = template["spec"]
        listening = {flag: argument(exporter_in(pod), flag) for flag in ("--listen", "--telemetry-listen")}
        assert listening == {"--listen": f"0.0.0.0:{ports(pod)['calls']}", "--telemetry-listen": f"0.0.0.0:{ports(pod)['telemetry']}"}
        assert {exporter_in(pod)[probe]["httpGet"]["port"] for probe in PROBES} == {"telemetry"}
        labels = template["metadata"]["labels"]
        used = [port for each in of_kind(objects, "Service", "NetworkPolicy", "PodMonitor") for port in used_ports(each, labels)]
        assert set(used) <= ports(pod).keys()


def used_ports(found: Object, labels: dict[str, str]) -> list[str]:
    """The ports that an object uses of pods with these labels."""
    spec = found["spec"]
    match found["kind"]:
        case "Service":
            return [port["targetPort"] for port in spec["ports"]] if is_selected(labels, spec["selector"]) else []
        case "NetworkPolicy":
            allowed = [port["port"] for rule in spec["ingress"] for port in rule["ports"]]
            return allowed if is_selected(labels, spec["podSelector"]) else []
        case _:
            return [each["port"] for each in spec["podMetricsEndpoints"]] if is_selected(labels, spec["selector"]) else []


@pytest.mark.parametrize("name", RENDERS)
def test_names_lead_somewhere(name: str) -> None:
    """What an object selects or names is in the same render; Secrets are the user's."""
    objects = rendered(name)
    pods = list(pod_templates(objects))
    there = {(each["kind"], each["metadata"]["name"]) for each in objects} | {("ServiceAccount", "default")}
    for each in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        selector = each["spec"].get("podSelector") or each["spec"]["selector"]
        assert any(is_selected(pod["metadata"]["labels"], selector) for pod in pods), each["metadata"]
    for each in of_kind(objects, "HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in there
    for pod in pods:
        spec = pod["spec"]
        assert ("ServiceAccount", spec.get("serviceAccountName", "default")) in there
        maps = {volume["configMap"]["name"] for volume in spec.get("volumes", ()) if "configMap" in volume}
        assert {("ConfigMap", found) for found in maps - GIVEN_BY_USERS} <= there


@pytest.mark.parametrize("name", ["kustomize gateway", "helm connections", "helm web-config", "helm sidecar", "kustomize sidecar"])
def test_monitors_find_the_exporter_once(name: str) -> None:
    """Exactly one monitor selects it: a gateway by its Service, a sidecar by its pod, each at a port that is there."""
    objects = rendered(name)
    [pod] = pod_templates(objects)
    by_pod = [each for each in of_kind(objects, "PodMonitor") if is_selected(pod["metadata"]["labels"], each["spec"]["selector"])]
    behind = [each for each in of_kind(objects, "Service") if is_selected(pod["metadata"]["labels"], each["spec"]["selector"])]
    by_service = [
        (monitor, service)
        for monitor in of_kind(objects, "ServiceMonitor")
        for service in behind
        if is_selected(service["metadata"].get("labels", {}), monitor["spec"]["selector"])
    ]
    assert len(by_pod) + len(by_service) == 1
    for monitor, service in by_service:
        assert {each["port"] for each in monitor["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("name", WITH_PODS)
def test_hosts_are_there(name: str) -> None:
    """Hosts in arguments and variables are this pod or a Service of the same render, other than the public ones of users."""
    objects = rendered(name)
    services = {each["metadata"]["name"] for each in of_kind(objects, "Service")}
    for template in pod_templates(objects):
        container = exporter_in(template["spec"])
        texts = [*container["args"], *(variable.get("value", "") for variable in container.get("env", ()))]
        hosts = {urlsplit(url).hostname or "" for text in texts for url in re.findall(r"\w+://\S+", text)}
        assert {host for host in hosts if not host.endswith((".example", ".example.com"))} <= services | {"127.0.0.1"}


def test_the_sample_app_is_where_the_relay_forwards_to() -> None:
    """The app of the sidecar's manifests listens at the address of --upstream."""
    objects = kustomized_objects("sidecar")
    [template] = pod_templates(objects)
    upstream = urlsplit(argument(exporter_in(template["spec"]), "--upstream") or "")
    [app] = [each["data"]["app.py"] for each in of_kind(objects, "ConfigMap")]
    assert f'"{upstream.hostname}", {upstream.port}' in app


@pytest.mark.parametrize("name", WITH_PODS)
async def test_the_container_starts_and_answers(name: str, tmp_path: Path) -> None:
    """The exporter runs with the arguments, variables and files of its container, and answers its probes and monitors."""
    objects = rendered(name)
    [template] = pod_templates(objects)
    async with container_process(tmp_path, template["spec"], objects) as endpoints:
        for probe in PROBES:
            await answers(endpoints, exporter_in(template["spec"])[probe]["httpGet"])
        for monitor in of_kind(objects, "PodMonitor", "ServiceMonitor"):
            for each in monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]:
                await answers(endpoints, each)


async def answers(endpoints: Endpoints, asked: Object) -> None:
    """Ask for a path as a probe or a monitor does: neither checks certificates here, and a monitor may have a user."""
    auth = USER if "basicAuth" in asked else None
    async with httpx.AsyncClient(trust_env=False, verify=unchecked(), timeout=patience(10), auth=auth) as http:
        answer = await http.get(f"{asked.get('scheme', 'http').lower()}://{endpoints.telemetry}{asked['path']}")
    assert answer.status_code == 200, asked


def unchecked() -> ssl.SSLContext:
    """TLS with any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
