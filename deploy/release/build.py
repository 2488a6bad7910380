"""Builds what a release consists of into ``dist/``: ``python -m deploy.release.build``, or ``make release``.

That is an sdist and wheels of each distribution, the image's build context (``docker build - < FILE`` makes the image from it) and the
Helm chart. The versions are checked first. The same commit gives the same bytes, which ``helm package`` does not.

The exporter gets a compiled wheel for each supported Python of this machine, and each is tried. ``RELEASE_PYTHONS`` names fewer.
"""

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.release import versions
from deploy.release.pythons import SUPPORTED, UV, find_python

ROOT = Path(__file__).parents[2]
CHART = "deploy/helm/agentstack-exporter"


def main() -> None:
    """Check, then build. Ends the program with everything that is wrong."""
    try:
        release()
    except OSError as error:
        sys.exit(f"cannot release: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"cannot release: {error}\n{error.stderr.strip()}")


def release() -> None:
    """Do it. Raises ``OSError`` or ``subprocess.CalledProcessError`` where files, git or the build back end fail."""
    checkout = versions.read(ROOT)
    if faults := versions.faults(checkout):
        sys.exit("\n".join(["cannot release:", *faults]))
    for note in versions.notes(checkout):
        print(f"not a release yet: {note}", file=sys.stderr)
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    when = versions.git(ROOT, "log", "-1", "--format=%ct").strip()
    build_distribution(ROOT / "tap", dist, when)
    build_distribution(ROOT, dist, when, "--target", "sdist")
    build_wheels(next(dist.glob("agentstack_exporter-*.tar.gz")), dist, when)
    pack(dist / f"agentstack-exporter-{checkout.version}-image.tar.gz", context_files(), int(when))
    pack(dist / f"agentstack-exporter-{checkout.version}.tgz", chart_files(), int(when))
    print("\n".join(f"dist/{file.name}" for file in sorted(dist.iterdir())))


def build_distribution(source: Path, dist: Path, when: str, *options: str) -> None:
    """Build the sdist and the wheel of the distribution in a folder, dated ``when``, or the one that the options name."""
    run([sys.executable, "-m", "hatchling", "build", "--directory", str(dist), *options], when, cwd=source)


def build_wheels(sdist: Path, dist: Path, when: str) -> None:
    """Build the exporter's compiled wheel for each supported Python that is here, install it with the locked packages, and try it."""
    for version in os.environ.get("RELEASE_PYTHONS", " ".join(SUPPORTED)).split():
        python = find_python(version)
        if python is None:
            print(f"no wheel for Python {version}, which is not here", file=sys.stderr)
            continue
        with TemporaryDirectory() as folder:
            run([UV, "build", "--wheel", "--python", python, "--out-dir", folder, str(sdist)], when)
            wheel = next(Path(folder).glob("*.whl"))
            try_wheel([wheel, next(dist.glob("agentstack_tap-*.whl"))], python, Path(folder, "venv"), when)
            shutil.move(wheel, dist)


def try_wheel(wheels: list[Path], python: str, venv: Path, when: str) -> None:
    """Install wheels in an environment of their own, and run what says whether they work."""
    run([UV, "venv", "--python", python, str(venv)], when)
    install = [UV, "pip", "install", "--python", str(venv / "bin" / "python")]
    run([*install, "--require-hashes", "--requirement", str(ROOT / "requirements.lock")], when)
    run([*install, "--no-deps", "--no-index", *map(str, wheels)], when)
    run([str(venv / "bin" / "python"), str(ROOT / "deploy" / "release" / "try_wheel.py")], when)


def run(command: list[str], when: str, cwd: Path = ROOT) -> None:
    """Run a program that dates what it makes ``when``. Raises ``subprocess.CalledProcessError``."""
    subprocess.run(command, cwd=cwd, env={**os.environ, "SOURCE_DATE_EPOCH": when}, check=True, capture_output=True, text=True)


def context_files() -> dict[str, str]:
    """The committed files of the image's build context: what ``.dockerignore`` lets in, and what docker reads itself."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return {name: name for name in committed("Dockerfile", ".dockerignore", *let_in)}


def chart_files() -> dict[str, str]:
    """The committed files of the Helm chart, in a folder of its name as Helm packs it."""
    parent = CHART.rpartition("/")[0]
    return {name.removeprefix(f"{parent}/"): name for name in committed(CHART)}


def committed(*paths: str) -> list[str]:
    """The committed files at or below some paths."""
    return sorted(versions.git(ROOT, "ls-files", "-z", "--", *paths).split("\0")[:-1])


def pack(target: Path, files: dict[str, str], when: int) -> None:
    """Pack files by their names in the archive, dated ``when``, with nothing in it of the user or the machine."""
    with gzip.GzipFile("", "wb", fileobj=target.open("wb"), mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, source in files.items():
            entry = tar.gettarinfo(ROOT / source, name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = when
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            with (ROOT / source).open("rb") as file:
                tar.addfile(entry, file)


if __name__ == "__main__":
    main()
