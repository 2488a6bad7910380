"""What is shipped to deploy: image, compose, Kubernetes and systemd files, each taken by the program it is for."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.helm.schema import otel_variables
from exporter.config.otel import read_otel
from exporter.config.settings import SETTINGS
from exporter.metrics import inventory
from tests.support.compose import COMPOSE, Network
from tests.support.house_rules import ROOT
from tests.support.json_schema import validate_manifest
from tests.support.kubernetes import (
    KUBERNETES,
    NEWEST,
    OLDEST,
    WORKLOADS,
    Object,
    containers,
    exporter_in,
    kustomized_objects,
    pod_templates,
)

pytestmark = pytest.mark.external

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
MOST_CONFIG_MAP = 256 * 1024


def pods(name: str) -> list[Object]:
    """The specification of every pod of a kustomization."""
    return [template["spec"] for template in pod_templates(kustomized_objects(name))]


def test_the_dockerfile_is_clean() -> None:
    """hadolint has nothing to say."""
    done = subprocess.run([str(BIN / "hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_gets_what_it_needs_and_nothing_else() -> None:
    """The build sees the package and its lock; the base is pinned, the user a number."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    copied = {
        name
        for line in re.findall(r"^COPY (?!--)(.*) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
        for name in line.split()
    }
    assert copied == {name.removeprefix("!") for name in ignored if name.startswith("!")}
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE_IMAGE=\S+:\d+\.\d+\S*$", dockerfile, re.MULTILINE)
    assert re.search(r"^USER \d+:\d+$", dockerfile, re.MULTILINE)
    assert 'ENTRYPOINT ["agentstack-exporter"]' in dockerfile


def test_compose_takes_its_file(tmp_path: Path) -> None:
    """It is valid with and without the demo; ports are on loopback, images pinned, and what is mounted is there."""
    for profile in ([], ["--profile", "demo"]):
        command = [str(BIN / "docker-compose"), "-f", str(COMPOSE / "compose.yaml"), *profile, "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 0, done.stderr
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert re.search(r":v?\d+\.\d+", service["image"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).resolve().exists(), f"{name}: {source}"


def test_the_collectors_pipelines_are_joined() -> None:
    """The example collector's pipelines name components that are configured."""
    config = yaml.safe_load((COMPOSE / "collector.yaml").read_text(encoding="utf-8"))
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= config[kind].keys()


@pytest.mark.parametrize("given", [{}, {"OTEL_METRICS_EXPORTER": "otlp"}], ids=["scraped", "pushed"])
def test_the_shells_variables_are_as_compose_reads_them(given: dict[str, str]) -> None:
    """The stack that the tests run has the exporter's variables of docker compose itself, whatever the shell says."""
    command = [str(BIN / "docker-compose"), "-f", str(COMPOSE / "compose.yaml"), "config", "--format=json"]
    shell = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | given
    read = json.loads(subprocess.run(command, capture_output=True, check=True, env=shell).stdout)
    here = {place: place for place in ("collector:4317", "prometheus:9090")}
    assert Network(here, given).environment("exporter") == read["services"]["exporter"]["environment"]


def test_the_exporter_sends_what_the_collector_takes() -> None:
    """The port of the collector to which compose sends spans is that of the protocol in which they are sent."""
    settings, warnings = read_otel(Network({place: place for place in ("collector:4317", "prometheus:9090")}).environment("exporter"))
    config = yaml.safe_load((COMPOSE / "collector.yaml").read_text(encoding="utf-8"))
    ports = {protocol: each["endpoint"].rpartition(":")[2] for protocol, each in config["receivers"]["otlp"]["protocols"].items()}
    assert warnings == ()
    assert settings.traces is not None
    assert settings.metrics is None
    host, port = urlsplit(f"//{settings.traces.endpoint}").netloc.split(":")
    assert host == "collector"
    assert port == ports[settings.traces.protocol.partition("/")[0]]


def test_variables_are_read() -> None:
    """Each environment variable that compose or systemd give the exporter is one that it reads."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    ours = [service for service in services.values() if service["image"].startswith("agentstack-exporter:")]
    composed = {name for service in ours for name in service.get("environment", ())}
    unit = (DEPLOY / "systemd" / "agentstack-exporter.service").read_text(encoding="utf-8")
    given = composed | set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE))
    assert {"OTEL_EXPORTER_OTLP_PROTOCOL", "AGENTSTACK_EXPORTER_AUTH_TOKEN_FILE"} <= given
    assert given <= {setting.env for setting in SETTINGS} | otel_variables()


def test_the_stack_is_what_was_tested() -> None:
    """The images of compose have the versions of the programs that the tests run."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    tested = {
        "prometheus": pinned("prometheus", "github.com/prometheus/prometheus").replace("v0.3", "v3.", 1),
        "alertmanager": pinned("alertmanager", "github.com/prometheus/alertmanager"),
        "collector": pinned("otelcol", "go.opentelemetry.io/collector/otelcol").removeprefix("v"),
    }
    assert {name: services[name]["image"].rpartition(":")[2] for name in tested} == tested


def pinned(program: str, module: str) -> str:
    """The version of a module that .ci/go builds."""
    [version] = re.findall(rf"{module} (v[\d.]+)", (ROOT / ".ci" / "go" / program / "go.mod").read_text(encoding="utf-8"))
    return str(version)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", WORKLOADS)
def test_manifests_are_what_kubernetes_wants(name: str, version: str) -> None:
    """Each object passes the strict schema of the oldest and the newest version."""
    assert kustomized_objects(name)
    for each in kustomized_objects(name):
        validate_manifest(each, version, strict=True)


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_are_restricted(name: str) -> None:
    """Pods pass the restricted profile (kubernetes.io/docs/concepts/security/pod-security-standards), and the namespace enforces it."""
    [namespace] = [found for found in kustomized_objects(name) if found["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all({"configMap", "secret", "emptyDir", "projected"} & volume.keys() for volume in pod.get("volumes", ()))
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", ()))


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_can_be_lived_with(name: str) -> None:
    """No service links or tokens, memory bounded, probes on the telemetry port, and time enough to stop."""
    for pod in pods(name):
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod):
            assert container["resources"]["limits"]["memory"]
            assert "cpu" not in container["resources"]["limits"]
        exporter = exporter_in(pod)
        assert {exporter[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {"telemetry"}
        drain = 25 if any("--upstream" in argument for argument in exporter["args"]) else 2
        linger = next((int(argument.split("=")[1]) for argument in exporter["args"] if argument.startswith("--linger-timeout")), 0)
        assert pod["terminationGracePeriodSeconds"] >= drain + max(12, linger)


def test_the_gateway_scales_on_what_it_says() -> None:
    """One overlay scales on processor time and the other on connections, by a gauge that the exporter has."""
    metrics = {}
    for name in WORKLOADS[1:]:
        [scaler] = [found for found in kustomized_objects(name) if found["kind"] == "HorizontalPodAutoscaler"]
        [metrics[name]] = scaler["spec"]["metrics"]
    assert metrics["gateway"]["resource"]["name"] == "cpu"
    assert metrics["gateway-by-connections"]["pods"]["metric"]["name"] in inventory.metrics()


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_credential_is_published(name: str) -> None:
    """The manifests bring no secret of their own, and each that a pod asks for has to be there before it starts."""
    assert [found for found in kustomized_objects(name) if found["kind"] == "Secret"] == []
    for pod in pods(name):
        mounted = [volume["secret"] for volume in pod.get("volumes", ()) if "secret" in volume]
        asked = [
            variable["valueFrom"]["secretKeyRef"]
            for each in containers(pod)
            for variable in each.get("env", ())
            if "valueFrom" in variable
        ]
        assert [*mounted, *asked]
        assert not any(reference.get("optional") for reference in [*mounted, *asked])


def test_the_sidecar_is_a_native_one() -> None:
    """It starts before the app and stops after it."""
    [pod] = pods("sidecar")
    [exporter] = pod["initContainers"]
    assert exporter["restartPolicy"] == "Always"


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_exporter_takes_its_arguments(name: str, tmp_path: Path) -> None:
    """check-config accepts what the manifests say, with the environment they give."""
    (tmp_path / "tokens").write_text("a-token-of-some-length\n", encoding="utf-8")
    for pod in pods(name):
        exporter = exporter_in(pod)
        arguments = [argument.replace("/etc/agentstack-exporter", str(tmp_path)) for argument in exporter["args"][1:]]
        names = [variable["name"] for variable in exporter.get("env", ()) if variable["name"].startswith("AGENTSTACK")]
        check_config(arguments, dict.fromkeys(names, "a-secret-of-some-length"))


def check_config(arguments: list[str], env: dict[str, str]) -> None:
    """Let the exporter itself judge."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTSTACK_")}
    command = [sys.executable, "-m", "exporter.cli", "check-config", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=kept | env)
    assert done.returncode == 0, done.stderr


def test_the_unit_and_its_settings(tmp_path: Path) -> None:
    """The settings file of the systemd example loads with the token file that the unit gives; the unit allows time to stop."""
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length\n", encoding="utf-8")
    check_config(["--config", str(DEPLOY / "systemd" / "exporter.toml")], {"AGENTSTACK_EXPORTER_AUTH_TOKEN_FILE": str(tokens)})
    unit = (DEPLOY / "systemd" / "agentstack-exporter.service").read_text(encoding="utf-8")
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) >= 25 + 12


def test_the_operators_rules_are_the_rules() -> None:
    """The PrometheusRule says what the rule files say."""
    place = KUBERNETES / "monitoring" / "render.py"
    spec = importlib.util.spec_from_file_location("render", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, native in (("prometheusrule.yaml", False), ("prometheusrule-native.yaml", True)):
        assert (place.parent / name).read_text(encoding="utf-8") == module.rendered(native=native), "run make docs"


def test_native_histograms_do_not_replace_classic_ones() -> None:
    """Where a shipped file has native histograms scraped, classic ones are scraped too: Prometheus would drop them."""
    shipped = [file for file in DEPLOY.rglob("*") if file.suffix in (".yml", ".yaml", ".tpl")]
    pairs = {"scrape_native_histograms": "always_scrape_classic_histograms", "scrapeNativeHistograms": "scrapeClassicHistograms"}
    found = []
    for file in shipped:
        text = file.read_text(encoding="utf-8")
        for names in pairs.items():
            counts = [len(re.findall(rf"^ *{name}: true", text, re.MULTILINE)) for name in names]
            found += [(file.name, *counts)] if any(counts) else []
    assert {name for name, _, _ in found} == {"prometheus.yml", "monitors.yaml"}
    assert [name for name, native, classic in found if native != classic] == []


def test_monitoring_builds_with_a_config_map_a_board() -> None:
    """Monitors, rules and one ConfigMap for each dashboard, each small enough to be applied."""
    found = kustomized_objects("monitoring")
    kinds = {each["kind"] for each in found}
    assert kinds == {"PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap"}
    boards = [each for each in found if each["kind"] == "ConfigMap"]
    assert len(boards) == len(list((ROOT / "grafana" / "dashboards").glob("*.json")))
    for board in boards:
        assert len(board["data"]) == 1
        assert len(yaml.safe_dump(board)) < MOST_CONFIG_MAP, board["metadata"]["name"]
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
