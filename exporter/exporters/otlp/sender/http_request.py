"""The heads of the requests to an OTLP receiver over HTTP, and to a proxy in between."""

import base64
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from exporter.exporters.otlp.sender.http_connection import Tunnel
from exporter.exporters.otlp.sender.transport import USER_AGENT
from exporter.exporters.otlp.target import Proxy, Target, bracketed

_UNQUOTED: Final = "/?:@!$&'()*+,;=~%"
"""What the path and query of a URL may contain besides letters and digits (RFC 3986, section 3.3)."""


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What all requests to a target have in common: where to connect, and ``head``, the request up to its last fixed header."""

    host: str
    port: int
    head: bytes
    tunnel: Tunnel | None = None


def request_template(target: Target) -> RequestTemplate:
    """The template for a target. A proxy forwards requests over plain HTTP one by one, and opens a tunnel for TLS."""
    url = urlsplit(target.endpoint)
    host, port = url.hostname or "", url.port or (443 if target.tls else 80)
    path = quote(url._replace(scheme="", netloc="", fragment="").geturl() or "/", safe=_UNQUOTED)
    headers = _headers(target, url)
    proxy = target.proxy
    if proxy is None:
        return RequestTemplate(host, port, _head("POST", path, headers))
    if target.tls:
        return RequestTemplate(host, port, _head("POST", path, headers), _tunnel(proxy, host, port))
    absolute = f"http://{headers['host']}{path}"
    return RequestTemplate(proxy.host, proxy.port, _head("POST", absolute, headers | _authorization(proxy)))


def redirected(target: Target, location: str) -> Target | None:
    """The target that a redirect leads to; ``None`` if that is another server, which must not be sent any header."""
    try:
        url, old = urlsplit(urljoin(target.endpoint, location)), urlsplit(target.endpoint)
        if _origin(url) != _origin(old):
            return None
    except ValueError:
        return None
    return replace(target, endpoint=url._replace(netloc=old.netloc, fragment="").geturl())


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), ""]
    return "\r\n".join(lines).encode("latin-1")


def _tunnel(proxy: Proxy, host: str, port: int) -> Tunnel:
    authority = f"{bracketed(host)}:{port}"
    head = _head("CONNECT", authority, {"host": authority, "user-agent": USER_AGENT} | _authorization(proxy))
    return Tunnel(proxy.host, proxy.port, head + b"\r\n")


def _authorization(proxy: Proxy) -> dict[str, str]:
    return {"proxy-authorization": proxy.authorization} if proxy.authorization else {}


def _headers(target: Target, url: SplitResult) -> dict[str, str]:
    """The headers of the settings and those of OTLP, which win. A user and password in the URL become basic authentication."""
    user, _, host = url.netloc.rpartition("@")
    headers = dict(target.headers)
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        headers.setdefault("authorization", f"Basic {credentials}")
    content_type = "application/json" if target.protocol == "http/json" else "application/x-protobuf"
    headers |= {"host": host, "content-type": content_type, "user-agent": USER_AGENT}
    if target.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return headers
