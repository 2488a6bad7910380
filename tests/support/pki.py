"""Self-signed certificates for 127.0.0.1, each its own authority."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.peers import require


@dataclass(frozen=True)
class Pki:
    """Two pairs of a certificate and its key."""

    certificate: Path
    key: Path
    other: Path
    other_key: Path


def make_pki(folder: Path) -> Pki:
    """Write both pairs into ``folder``."""
    one, other = (_make(folder, name) for name in ("one", "other"))
    return Pki(*one, *other)


def _make(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([require("openssl"), *kind, *names, *files], check=True, capture_output=True)
    return certificate, key
