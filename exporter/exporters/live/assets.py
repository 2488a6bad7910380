"""The files of the page, read once at the start."""

from hashlib import sha256
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

PAGE: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of the page: its own files and nothing else."""
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Assets:
    """Serves the files. A browser that has a file already gets 304."""

    def __init__(self) -> None:
        self._files = read_files()

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return self._answer(PAGE, request)

    async def file(self, request: Request) -> Response:
        """One of its files."""
        return self._answer(request.path_params["name"], request)

    async def redirect(self, _: Request) -> Response:
        """``/live/`` leads to ``/live``, wherever that is: the target is relative."""
        return Response(status_code=308, headers={**_HEADERS, "Location": "../live"})

    def _answer(self, name: str, request: Request) -> Response:
        found = self._files.get(name)
        if found is None:
            return PlainTextResponse("Not Found\n", 404, headers={"X-Content-Type-Options": "nosniff"})
        content, tag = found
        headers = {**_HEADERS, "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "Content-Type": _TYPES[PurePosixPath(name).suffix]})


def read_files() -> dict[str, tuple[bytes, str]]:
    """Each file's content and ETag, by name."""
    found = {}
    for file in files("exporter.exporters.live").joinpath("page").iterdir():
        if PurePosixPath(file.name).suffix in _TYPES:
            content = file.read_bytes()
            found[file.name] = content, f'"{sha256(content).hexdigest()[:20]}"'
    return found
