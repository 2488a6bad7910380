"""The house rules that no linter knows. Each function takes a text and returns its faults, one line each."""

import ast
import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[2]
LONGEST_MODULE = 400

_SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}
_MACHINE_PATH = re.compile(r"(?<![\w.~:/$}-])/(?:home|root|work|Users)/[\w.]|\b[A-Z]:\\Users\\")
_LEFTOVERS = {"util", "utils"}


def files(*, below: str = ".", pattern: str = "*", root: Path = ROOT) -> Iterator[Path]:
    """Files of the project below the folder ``below``, without those that ``.gitignore`` names."""
    ignored = (root / ".gitignore").read_text(encoding="utf-8").split()
    ignored = [".git", *(entry.rstrip("/") for entry in ignored)]
    pending = [root / below]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            if any(fnmatch.fnmatch(path.name, entry) for entry in ignored):
                continue
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            elif path.is_file() and fnmatch.fnmatch(path.name, pattern):
                yield path


def text_of(file: Path) -> str:
    """The text of a file; empty if it is not text."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def tests_without_sentence(source: str) -> list[str]:
    """Test functions whose docstring is not one sentence."""
    return [
        f"line {node.lineno}: {node.name} states no fact in one sentence"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not _is_one_sentence(ast.get_docstring(node) or "")
    ]


def _is_one_sentence(text: str) -> bool:
    inner_end = re.search(r"[.!?]\s+[A-Z]", text)
    return text.endswith((".", "!", "?")) and "\n\n" not in text and inner_end is None


def sleeps(source: str) -> list[str]:
    """Calls that let time pass. ``asyncio.sleep(0)`` is allowed: it only lets other tasks run."""
    tree = ast.parse(source)
    full_names = _imported_names(tree)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, _, tail = ast.unparse(node.func).partition(".")
        name = ".".join(part for part in (full_names.get(head, head), tail) if part)
        if name in _SLEEPS and not (name != "time.sleep" and [ast.unparse(each) for each in node.args] == ["0"]):
            found.append(f"line {node.lineno}: {name} waits for time, not for a condition")
    return found


def _imported_names(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def too_long(source: str) -> list[str]:
    """A module with too many lines."""
    lines = len(source.splitlines())
    return [f"{lines} lines, more than {LONGEST_MODULE}"] if lines > LONGEST_MODULE else []


def unfinished(source: str) -> list[str]:
    """Notes of unfinished work."""
    return _lines_with(re.compile(r"\b(TODO|FIXME|XXX)\b"), source, "is unfinished")


def dead_links(page: str, place: Path) -> list[str]:
    """Links and pictures of a Markdown page in the folder ``place`` that lead to no file."""
    targets = re.findall(r"\]\(([^)\s#]+)", page)
    return [f"leads nowhere: {target}" for target in targets if "://" not in target and not (place / target).exists()]


def machine_paths(text: str) -> list[str]:
    """Paths that exist on one machine only."""
    return _lines_with(_MACHINE_PATH, text, "names a path of one machine")


def _lines_with(pattern: re.Pattern[str], text: str, complaint: str) -> list[str]:
    return [f"line {number} {complaint}" for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]


def lock_faults(lock: str) -> list[str]:
    """Addresses and options in a lock, and requirements that are not pinned to a version and a hash."""
    faults = [f"not only names, versions and hashes: {line}" for line in lock.splitlines() if "://" in line or line.startswith("-")]
    requirements = [entry for entry in lock.replace("\\\n", " ").splitlines() if entry.strip() and not entry.startswith(("#", "-"))]
    loose = [entry for entry in requirements if not re.match(r"[\w.-]+==[\w.!+]+[^#]* --hash=sha256:[0-9a-f]{64}", entry)]
    faults += [f"not pinned by hash: {entry.split('--hash')[0].strip()}" for entry in loose]
    return faults if requirements else ["locks nothing"]


def npm_lock_faults(lock: str) -> list[str]:
    """Like :func:`lock_faults`, for a lock of npm: requirements have exact versions, packages have versions and hashes."""
    packages = json.loads(lock)["packages"]
    required = packages.pop("").get("dependencies", {})
    faults = [f"not only names, versions and hashes: {line.strip()}" for line in lock.splitlines() if "://" in line]
    faults += [f"not pinned: {name} {version}" for name, version in required.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)]
    faults += [
        f"not pinned by hash: {name}" for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")
    ]
    return faults if required and packages else ["locks nothing"]


def newest_version(changelog: str) -> str:
    """The version of the topmost heading that has one."""
    heading = re.search(r"^## \[?v?(\d[^\]\s]*)", changelog, re.MULTILINE)
    return heading[1] if heading else ""


def left_over_names(path: PurePath) -> list[str]:
    """A module or folder named after nothing in particular."""
    parts = {PurePath(part).stem for part in path.parts}
    return [f"{path}: say what it is for"] if parts & _LEFTOVERS else []
