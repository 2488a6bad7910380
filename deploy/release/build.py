"""Builds what a release consists of into ``dist/``: ``python -m deploy.release.build``, or ``make release``.

That is an sdist and a wheel of each distribution, and the image's build context: ``docker build - < FILE`` makes the image from it. The
versions are checked first. The same commit gives the same bytes.
"""

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from deploy.release import versions

ROOT = Path(__file__).parents[2]


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
    for source in (ROOT, ROOT / "tap"):
        build_distribution(source, dist, when)
    pack_context(dist / f"agentstack-exporter-{checkout.version}-image.tar.gz", int(when))
    print("\n".join(f"dist/{file.name}" for file in sorted(dist.iterdir())))


def build_distribution(source: Path, dist: Path, when: str) -> None:
    """Build the sdist and the wheel of the distribution in a folder, dated ``when``."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(dist)]
    subprocess.run(command, cwd=source, env={**os.environ, "SOURCE_DATE_EPOCH": when}, check=True, capture_output=True, text=True)


def context_files() -> list[str]:
    """The committed files of the image's build context: what ``.dockerignore`` lets in, and what docker reads itself."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return sorted(versions.git(ROOT, "ls-files", "-z", "--", "Dockerfile", ".dockerignore", *let_in).split("\0")[:-1])


def pack_context(target: Path, when: int) -> None:
    """Pack the image's build context, dated ``when``, with nothing in it of the user or the machine."""
    with gzip.GzipFile("", "wb", fileobj=target.open("wb"), mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name in context_files():
            entry = tar.gettarinfo(ROOT / name, name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = when
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            with (ROOT / name).open("rb") as file:
                tar.addfile(entry, file)


if __name__ == "__main__":
    main()
