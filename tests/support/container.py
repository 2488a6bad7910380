"""An exporter's container of a rendered pod as a process: its arguments, environment and files, on free ports of loopback."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import msgspec

from tests.support.daemon import Endpoints, program
from tests.support.house_rules import ROOT
from tests.support.kubernetes import Object, exporter_in
from tests.support.pki import make_pki
from tests.support.simulation import subdirectory
from tests.support.waiting import eventually

USER = ("prometheus", "a-password")
PRICES = ROOT / "deploy" / "prices" / "prices.toml"
SECRETS = {
    "tokens": "a-token-of-some-length\n",
    "path-secrets": "a-secret-of-some-length,another-secret-of-some-length",
    "plivo": "an-auth-token-of-some-length",
    "headers": "api-key=secret",
    "web.yml": "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n"
    f"basic_auth_users: {{{USER[0]}: {bcrypt.hashpw(USER[1].encode(), bcrypt.gensalt(4)).decode()}}}\n",
}
"""What users put into their Secrets, by key. The key of a certificate is that of Kubernetes."""


@asynccontextmanager
async def container_process(directory: Path, pod: Object, objects: list[Object]) -> AsyncIterator[Endpoints]:
    """Run the exporter of a pod as its container would, with the ConfigMaps of the same ``objects``. It is ready inside the block."""
    container = exporter_in(pod)
    folders = mounted(directory, pod, objects)
    ready = directory / "ready"
    arguments = [_here(argument, folders) for argument in container["args"]] + [f"--ready-file={ready}"]
    environment = {variable["name"]: _here(_value(variable), folders) for variable in container.get("env", ())}
    async with program(subdirectory(directory, "process"), *arguments, env=environment) as started:
        await eventually(lambda: ready.exists() or not started.running, within=20, because="the exporter")
        assert started.running, started.log
        found = msgspec.json.decode(ready.read_bytes(), type=dict[str, str])
        yield Endpoints(found["listen"], found["telemetry_listen"])
        assert "ERROR" not in started.log


def mounted(directory: Path, pod: Object, objects: list[Object]) -> dict[str, Path]:
    """Write the files of a pod's volumes, each volume into a folder; the folders by where the exporter's container has them."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    folders = {}
    for mount in exporter_in(pod).get("volumeMounts", ()):
        folder = folders[mount["mountPath"]] = subdirectory(directory, mount["name"])
        _fill(folder, volumes[mount["name"]], objects)
    return folders


def _fill(folder: Path, volume: Object, objects: list[Object]) -> None:
    if "configMap" in volume:
        of_the_name = [each["data"] for each in objects if each["metadata"]["name"] == volume["configMap"]["name"] and "data" in each]
        files = of_the_name[0] if of_the_name else {"prices.toml": PRICES.read_text(encoding="utf-8")}
    elif "secret" in volume:
        pki = make_pki(folder)
        certificates = {"tls.crt": pki.certificate, "tls.key": pki.key, "ca.crt": pki.other}
        files = SECRETS | {name: file.read_text(encoding="utf-8") for name, file in certificates.items()}
    else:
        files = {}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _value(variable: Object) -> str:
    return str(variable["value"] if "value" in variable else SECRETS[variable["valueFrom"]["secretKeyRef"]["key"]])


def _here(text: str, folders: dict[str, Path]) -> str:
    """An argument or a variable with folders and ports of this machine; nobody listens at port 9 of loopback."""
    for place, folder in folders.items():
        text = re.sub(rf"(?<![^=]){place}(?=/|$)", str(folder), text)
    text = re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", text)
    return re.sub(r"(https?|wss?)://[\w.-]+:\d+", r"\1://127.0.0.1:9", text)
