"""The Kubernetes objects that are shipped, as kubectl and Helm make them."""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.house_rules import ROOT
from tests.support.peers import require
from tests.support.quick_yaml import load, load_all

KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "agentstack-exporter"
VALUES = ROOT / "tests" / "data" / "helm"
VALUE_SETS = sorted(file.stem for file in VALUES.glob("*.yaml"))
WORKLOADS = ("sidecar", "gateway", "gateway-by-connections")
OLDEST, NEWEST = "1.29", "1.37"
"""Native sidecars are from 1.29 on; the newest has the last schemas there are."""

Object = dict[str, Any]


@cache
def kustomized(name: str) -> str:
    """What `kubectl kustomize` makes of a directory, with its default load restrictor."""
    done = subprocess.run([require("kubectl"), "kustomize", str(KUBERNETES / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kustomized_objects(name: str) -> list[Object]:
    """The objects of a kustomization."""
    return parsed(kustomized(name))


def helm(command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Helm, which finds no cluster, whatever the user has configured."""
    environment = {"PATH": "", "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    return subprocess.run([require("helm"), command, *arguments], capture_output=True, text=True, check=False, env=environment)


@cache
def charted(values: str, *options: str, version: str = NEWEST, chart: Path = CHART) -> str:
    """What the chart makes of a set of values, as a release of the chart's name in the namespace agentstack."""
    arguments = ["agentstack-exporter", str(chart), "--namespace=agentstack", f"--values={VALUES / values}.yaml"]
    done = helm("template", *arguments, f"--kube-version={version}", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def charted_objects(values: str, *options: str, version: str = NEWEST) -> list[Object]:
    """The objects that the chart makes of a set of values."""
    return parsed(charted(values, *options, version=version))


def parsed(text: str) -> list[Object]:
    """The objects of a stream."""
    return [found for found in load_all(text) if found]


def named(objects: list[Object], kind: str) -> Object:
    """The only object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def pod_templates(objects: list[Object]) -> Iterator[Object]:
    """Every pod: those of Deployments, and those of apps into which a patch puts the sidecar."""
    for found in objects:
        if found["kind"] == "Deployment":
            yield found["spec"]["template"]
        elif found["kind"] == "ConfigMap" and "patch.yaml" in found["data"]:
            yield patched(load(found["data"]["patch.yaml"]))["spec"]["template"]


def patched(patch: Object) -> Object:
    """The Deployment of an app with nothing but its container, after the sidecar's patch."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    app = {"name": "app", "image": "app:1", "securityContext": restricted | {"runAsNonRoot": True}}
    labels, template = {"app": "app"}, patch["spec"]["template"]
    pod = {"metadata": {"labels": labels | template["metadata"]["labels"]}, "spec": {"containers": [app], **template["spec"]}}
    spec = {"selector": {"matchLabels": labels}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": spec}


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, those that only begin it too."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def exporter_in(pod: Object) -> Object:
    """The exporter's container of a pod."""
    [found] = [container for container in containers(pod) if container["name"] == "exporter"]
    return found
