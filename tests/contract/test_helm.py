"""The Helm chart: what it makes of ten and more sets of values, what it refuses, and that it says the same as the other manifests."""

import json
import re
import shlex
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm.readme import documented
from deploy.helm.render import render
from deploy.helm.schema import BY_OTHER_VALUES
from exporter import __version__
from exporter.config.settings import SETTINGS
from tests.support.house_rules import ROOT
from tests.support.json_schema import validate_manifest
from tests.support.kubernetes import (
    CHART,
    NEWEST,
    OLDEST,
    VALUE_SETS,
    VALUES,
    Object,
    charted_objects,
    containers,
    exporter_in,
    helm,
    kustomized_objects,
    named,
    parsed,
    patched,
    pod_templates,
)
from tests.support.peers import require

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("charts")]  # what is rendered is kept, and both look at it

MOST_CONFIG_MAP = 256 * 1024
OF_HELM = {"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
"""Labels that charts have by convention and the kustomizations do not."""
OF_THE_OPERATOR = "monitoring.coreos.com/v1"
"""Kubernetes has no schema of its objects."""


@pytest.mark.parametrize("values", VALUE_SETS)
def test_lint_has_nothing_to_say(values: str) -> None:
    """Helm's linter finds neither errors nor warnings."""
    done = helm("lint", "--strict", str(CHART), f"--values={VALUES / values}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("values", VALUE_SETS)
def test_objects_are_what_kubernetes_wants(values: str, version: str) -> None:
    """Each object, and an app with the sidecar, passes the strict schema of the oldest and the newest version."""
    objects = charted_objects(values, version=version)
    assert objects
    patches = [patched(yaml.safe_load(each["data"]["patch.yaml"])) for each in objects if "patch.yaml" in each.get("data", ())]
    for each in [*objects, *patches]:
        if each["apiVersion"] != OF_THE_OPERATOR:
            validate_manifest(each, version, strict=True)


def test_an_older_kubernetes_is_refused() -> None:
    """A version without native sidecars is refused by name."""
    done = helm("template", str(CHART), "--kube-version=1.28.0")
    assert done.returncode != 0
    assert "kubeVersion: >=1.29.0-0" in done.stderr


@pytest.mark.parametrize("values", VALUE_SETS)
def test_pods_are_restricted(values: str) -> None:
    """Pods pass the restricted profile (kubernetes.io/docs/concepts/security/pod-security-standards), and have no token."""
    for template in pod_templates(charted_objects(values)):
        pod = template["spec"]
        of_pod = pod.get("securityContext", {})
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all({"configMap", "secret", "emptyDir", "projected"} & volume.keys() for volume in pod.get("volumes", ()))
        context = of_pod | exporter_in(pod)["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"]["type"] == "RuntimeDefault"
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert exporter_in(pod)["resources"]["limits"].keys() == {"memory"}
        assert not any("hostPort" in port for container in containers(pod) for port in container.get("ports", ()))
        if "automountServiceAccountToken" in pod:
            assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


@pytest.mark.parametrize(
    ("typo", "place"),
    [
        ("serviceMonitr.enabled=true", "at '': additional properties 'serviceMonitr' not allowed"),
        ("gateway.replica=3", "at '/gateway': additional properties 'replica' not allowed"),
        ("gateway.settings.lingr=true", "at '/gateway/settings': additional properties 'lingr' not allowed"),
        ("gateway.settings.auth-tokens={a}", "at '/gateway/settings': additional properties 'auth-tokens' not allowed"),
        ("gateway.settings.max-series=5", "at '/gateway/settings/max-series': minimum: got 5, want 1,000"),
        ("gateway.autoscaling.by=memory", "at '/gateway/autoscaling/by': value must be one of 'cpu', 'connections'"),
        ("gateway.auth.tokens={short}", "at '/gateway/auth/tokens/0': 'short' does not match pattern"),
        ("otel.OTEL_EXPORTER_OTPL_ENDPOINT=a", "at '/otel': additional properties 'OTEL_EXPORTER_OTPL_ENDPOINT' not allowed"),
        ("sidecar.upstream=http://127.0.0.1:9000", "at '/sidecar/upstream': 'http://127.0.0.1:9000' does not match pattern"),
    ],
)
def test_a_typo_is_refused_with_its_place(typo: str, place: str) -> None:
    """A value that the chart does not know, or that cannot be, is an error that says where it is."""
    done = helm("template", str(CHART), f"--set={typo}")
    assert done.returncode != 0
    assert place in done.stderr


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("gateway.auth.tokensKey=", "gateway.auth: set tokensKey, pathSecretsKey or plivoAuthTokensKey"),
        ("gateway.terminationGracePeriodSeconds=36", "with these settings the exporter needs 37 s to stop"),
        ("gateway.upstream=ws://app:9000,gateway.settings.linger-timeout=36", "the exporter needs 61 s to stop"),
        ("sidecar.enabled=true,sidecar.settings.drain-timeout=50", "sidecar.terminationGracePeriodSeconds"),
        ("tls.clientCaKey=ca.crt", "tls.clientCaKey: is a key of tls.existingSecret, which is not set"),
        ("telemetry.tls=true", "telemetry.tls: TLS is set up by the file in telemetry.webConfigSecret, which is not set"),
        ("gateway.auth.existingSecret=a,gateway.auth.tokens={a-token-of-some-length}", "set either existingSecret or tokens"),
    ],
)
def test_what_cannot_work_is_refused(values: str, reason: str) -> None:
    """Without authentication, with too little time to stop, or with half of what belongs together, nothing is rendered."""
    done = helm("template", str(CHART), f"--set={values}")
    assert done.returncode != 0
    assert reason in done.stderr


@pytest.mark.parametrize("values", ["gateway.terminationGracePeriodSeconds=37", "gateway.upstream=ws://app:9000"])
def test_just_enough_time_is_enough(values: str) -> None:
    """A pod that has as long as its settings need is rendered."""
    assert helm("template", str(CHART), f"--set={values}").returncode == 0


def test_no_credential_is_published() -> None:
    """The chart makes a Secret only of tokens that the user gives."""
    secrets = {values: [each for each in charted_objects(values) if each["kind"] == "Secret"] for values in VALUE_SETS}
    assert {values for values, found in secrets.items() if found} == {"placement"}
    assert secrets["placement"][0]["stringData"] == {"tokens": "a-token-of-some-length\nanother-token-of-some-length"}


def test_the_gateway_is_that_of_the_kustomization() -> None:
    """With default values each object is the kustomization's, except for labels by convention and what Helm does itself."""
    for name, values, options in [
        ("gateway", "defaults", ()),
        ("gateway-by-connections", "defaults", ("--set=gateway.autoscaling.by=connections",)),
    ]:
        theirs = {each["kind"]: comparable(each) for each in kustomized_objects(name)}
        ours = {each["kind"]: comparable(each) for each in charted_objects(values, *options)}
        # Helm creates the namespace (--create-namespace), without labels: the README says how to set them.
        del theirs["Namespace"]
        assert ours == theirs


def comparable(found: Object) -> Object:
    """An object without what may differ: the convention's labels, the namespace, and a default that the chart writes out."""
    found = without_labels(deepcopy(found))
    # The chart gives every object the label of the name; the kustomization gives it to those that are selected by it.
    found["metadata"].pop("labels", None)
    # Helm installs into the namespace that it is told.
    found["metadata"].pop("namespace", None)
    if found["kind"] == "Service" and found["spec"].get("type") == "ClusterIP":
        del found["spec"]["type"]
    return found


def without_labels(found: Any) -> Any:
    """The same without the labels of the convention, at any depth."""
    if isinstance(found, dict):
        return {key: without_labels(value) for key, value in found.items() if key not in OF_HELM}
    return [without_labels(each) for each in found] if isinstance(found, list) else found


def test_the_sidecar_is_that_of_the_kustomization() -> None:
    """The container is the same, except that it says itself what the kustomization says of its pod."""
    [theirs] = [template["spec"] for template in pod_templates(kustomized_objects("sidecar"))]
    [ours] = [template["spec"] for template in pod_templates(charted_objects("sidecar", "--namespace=voice"))]
    expected = deepcopy(exporter_in(theirs))
    expected["securityContext"] |= theirs["securityContext"]
    assert exporter_in(ours) == expected
    assert ours["terminationGracePeriodSeconds"] == theirs["terminationGracePeriodSeconds"]


def test_native_histograms() -> None:
    """With native histograms each monitor scrapes both forms, and the rules are those that read the native one."""
    switches = "gateway.enabled=true,serviceMonitor.enabled=true,nativeHistograms.scrape=true,nativeHistograms.rules=true"
    objects = charted_objects("monitoring", f"--set={switches}")
    monitors = [each["spec"] for each in objects if each["kind"] in ("ServiceMonitor", "PodMonitor")]
    assert [(each["scrapeNativeHistograms"], each["scrapeClassicHistograms"]) for each in monitors] == [(True, True)] * 2
    [ours] = [each["spec"] for each in objects if each["kind"] == "PrometheusRule"]
    shipped = yaml.safe_load(
        (ROOT / "deploy" / "kubernetes" / "monitoring" / "prometheusrule-native.yaml").read_text(encoding="utf-8")
    )["spec"]
    assert ours == shipped


def test_what_is_monitored_is_that_of_the_kustomization() -> None:
    """Monitors, rules and dashboards are the same; a release's ServiceMonitor finds its own Service only."""
    theirs = kustomized_objects("monitoring")
    ours = charted_objects("monitoring", "--set=gateway.enabled=true,serviceMonitor.enabled=true")
    assert named(ours, "PrometheusRule")["spec"] == named(theirs, "PrometheusRule")["spec"]
    assert named(ours, "PodMonitor")["spec"] == named(theirs, "PodMonitor")["spec"]
    expected = deepcopy(named(theirs, "ServiceMonitor")["spec"])
    del expected["namespaceSelector"]
    assert without_labels(named(ours, "ServiceMonitor")["spec"]) == expected
    boards = [[each for each in objects if each["kind"] == "ConfigMap"] for objects in (theirs, ours)]
    assert texts(boards[1]) == texts(boards[0])
    for board in boards[1]:
        assert len(yaml.safe_dump(board)) < MOST_CONFIG_MAP
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert board["metadata"]["annotations"] == {"grafana_folder": "AgentStack"}


def texts(boards: list[Object]) -> dict[str, object]:
    """The dashboards by file."""
    return {name: json.loads(text) for board in boards for name, text in board["data"].items()}


def test_metrics_stay_in_the_cluster() -> None:
    """A Service that opens the calls to the outside does not open the metrics."""
    services = {each["spec"]["type"]: each for each in charted_objects("relay") if each["kind"] == "Service"}
    ports = {kind: [port["name"] for port in each["spec"]["ports"]] for kind, each in services.items()}
    assert ports == {"LoadBalancer": ["calls"], "ClusterIP": ["telemetry"]}


def test_thresholds_can_be_left_out() -> None:
    """Without the chart's thresholds all other rules are there."""
    all_of_them = named(charted_objects("monitoring"), "PrometheusRule")["spec"]["groups"]
    rest = named(charted_objects("placement"), "PrometheusRule")["spec"]["groups"]
    assert rest == [group for group in all_of_them if group["name"] != "agentstack-thresholds"]
    assert len(rest) == len(all_of_them) - 1


def test_an_image_is_pinned() -> None:
    """The image has the tag of the chart's version, and the digest beside it."""
    [pod] = pod_templates(charted_objects("placement"))
    name, _, digest = exporter_in(pod["spec"])["image"].partition("@")
    assert name == f"registry.example.com:5000/voice/agentstack-exporter:{__version__}"
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)


def test_values_become_arguments() -> None:
    """Large numbers are written in full, lists as repeated flags, switches as they are turned, and removed defaults are gone."""
    [relay] = [exporter_in(template["spec"])["args"] for template in pod_templates(charted_objects("relay"))]
    assert [argument for argument in relay if "origin" in argument] == [
        "--allow-origin=https://a.example",
        "--allow-origin=https://b.example",
    ]
    [sidecar] = [exporter_in(template["spec"])["args"] for template in pod_templates(charted_objects("sidecar-with-all"))]
    assert "--max-series=2000000" in sidecar
    [fixed] = [exporter_in(template["spec"])["args"] for template in pod_templates(charted_objects("fixed"))]
    assert "--no-linger" in fixed
    assert not any("linger-timeout" in argument for argument in fixed)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("defaults", ["create secret generic agentstack-exporter --from-literal=tokens=", "ws://agentstack-exporter.agentstack:80/ws"]),
        ("sidecar", ["get configmap agentstack-exporter-sidecar", "--from-literal=path-secrets="]),
        ("connections", ["agentstack_exporter_connections_active by pod from custom.metrics.k8s.io"]),
        ("relay", ["wss://agentstack-exporter.agentstack:443/ws", "--from-literal=plivo="]),
        ("fixed", ["serviceMonitor.enabled", "prometheusRule.enabled"]),
    ],
)
def test_the_notes_say_what_to_do_next(values: str, told: list[str]) -> None:
    """After an installation the user is told which Secret to create, where to send events, and what is still missing."""
    arguments = ["agentstack-exporter", str(CHART), "--namespace=agentstack", "--dry-run=client", f"--values={VALUES / values}.yaml"]
    done = helm("install", *arguments)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("\nNOTES:\n")[2]
    assert [text for text in told if text not in notes] == []


def test_kubectl_patches_an_app(tmp_path: Path) -> None:
    """The patch adds the sidecar to a Deployment that has containers and volumes of its own, and a second time changes nothing."""
    [patch] = [each["data"]["patch.yaml"] for each in charted_objects("sidecar-with-all") if "patch.yaml" in each.get("data", ())]
    before = patched({"spec": {"template": {"metadata": {"labels": {}}, "spec": {}}}})
    pod = before["spec"]["template"]["spec"]
    pod |= {"initContainers": [{"name": "migrate", "image": "app:1"}], "volumes": [{"name": "data", "emptyDir": {}}]}
    once = kubectl_patch(tmp_path, before, patch)
    after = once["spec"]["template"]["spec"]
    assert {container["name"] for container in after["initContainers"]} == {"exporter", "migrate"}
    assert after["containers"] == pod["containers"]
    assert {"data", "exporter-tokens", "exporter-tls", "exporter-prices"} == {volume["name"] for volume in after["volumes"]}
    assert exporter_in(after) == exporter_in(yaml.safe_load(patch)["spec"]["template"]["spec"] | {"containers": []})
    assert kubectl_patch(tmp_path, once, patch) == once


def kubectl_patch(folder: Path, found: Object, patch: str) -> Object:
    """What `kubectl patch` makes of an object, without a cluster."""
    file = folder / "deployment.yaml"
    file.write_text(yaml.safe_dump(found), encoding="utf-8")
    command = [require("kubectl"), "patch", "--local", f"--filename={file}", f"--patch={patch}", "--output=yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: Object = yaml.safe_load(done.stdout)
    return result


@pytest.mark.parametrize("page", ["docs/install.md", "docs/kubernetes.md", "deploy/helm/agentstack-exporter/README.md"])
def test_the_commands_of_the_pages_work(page: str) -> None:
    """Each `helm install` and `helm upgrade` of a page, tried without a cluster, makes something with the values it sets."""
    text = (ROOT / page).read_text(encoding="utf-8").replace(" \\\n", " ")
    commands = [shlex.split(line) for line in text.splitlines() if re.match(r" {4}(helm (install|upgrade)|--set) ", line)]
    assert commands
    for command in commands:
        values = [command[at + 1] for at, word in enumerate(command) if word == "--set"]
        done = helm("template", "agentstack-exporter", str(CHART), *(f"--set={each}" for each in values))
        assert done.returncode == 0, done.stderr
        assert parsed(done.stdout)


def test_a_chart_includes_the_sidecar(tmp_path: Path) -> None:
    """A chart that has this one as a dependency puts the sidecar into its own pod by including two templates."""
    parent = tmp_path / "voice"
    (parent / "templates").mkdir(parents=True)
    shutil.copytree(CHART, parent / "charts" / "agentstack-exporter")
    dependency = {"name": "agentstack-exporter", "version": __version__}
    chart = {"apiVersion": "v2", "name": "voice", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")
    values = {"gateway": {"enabled": False}, "prices": {"enabled": True}, "sidecar": {"upstream": "ws://127.0.0.1:7000"}}
    (parent / "values.yaml").write_text(yaml.safe_dump({"agentstack-exporter": values}), encoding="utf-8")
    snippet = (CHART / "README.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    template = "apiVersion: v1\nkind: Pod\nmetadata: {name: voice}\nspec:\n  containers: [{name: app, image: app}]\n"
    indented = "".join(f"  {line}\n" for line in snippet.replace("nindent 2", "nindent 4").splitlines())
    (parent / "templates" / "pod.yaml").write_text(template + indented, encoding="utf-8")
    done = helm("template", "calls", str(parent))
    assert done.returncode == 0, done.stderr
    objects = parsed(done.stdout)
    pod = named(objects, "Pod")
    validate_manifest(pod, NEWEST, strict=True)
    assert "--upstream=ws://127.0.0.1:7000" in exporter_in(pod["spec"])["args"]
    [volume] = pod["spec"]["volumes"]
    assert volume["configMap"]["name"] == named(objects, "ConfigMap")["metadata"]["name"]


def test_what_is_generated_is_current(tmp_path: Path) -> None:
    """The copies, the schema's settings and the README's table are what `make docs` writes."""
    render(tmp_path)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert (CHART / file.relative_to(tmp_path)).read_bytes() == file.read_bytes(), f"{file.name}: run make docs"
    copies = [sorted(file.name for file in (folder / "files").rglob("*")) for folder in (tmp_path, CHART)]
    assert copies[0] == copies[1]


def test_every_value_is_in_the_schema_and_explained() -> None:
    """Each value has a comment, and the schema names each value and no other; each setting is a value or made of others."""
    values = [name for name, _, comment in documented((CHART / "values.yaml").read_text(encoding="utf-8")) if comment]
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for name in values:
        found = schema
        for part in name.split("."):
            assert found["additionalProperties"] is False
            found = found["properties"][part]
    assert set(leaves(schema, "")) - {"global"} == set(values)
    assert schema["$defs"]["settings"]["properties"].keys() == {each.key for each in SETTINGS if each.name not in BY_OTHER_VALUES}
    assert {each.name for each in SETTINGS} >= BY_OTHER_VALUES


def leaves(schema: Object, path: str) -> list[str]:
    """The values that a schema names; what values.yaml documents as one is one."""
    found = []
    for name, inner in schema["properties"].items():
        is_group = "properties" in inner and name != "scaleDown"
        found += leaves(inner, f"{path}{name}.") if is_group else [f"{path}{name}"]
    return found


def test_a_value_without_comment_is_found() -> None:
    """A value that nobody explained fails the generation of the README, by name."""
    with pytest.raises(ValueError, match=r"image\.tag has no comment"):
        list(documented('image:\n  # Where.\n  repository: a\n  tag: ""\n'))
