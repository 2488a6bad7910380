"""Posts requests over HTTP/1.1 with aiohttp: one connection, directly or through a proxy, and no more of an answer than is needed."""

import asyncio
import base64
import contextlib
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

import aiohttp
from yarl import URL

from exporter.exporters.otlp.sender.transport import USER_AGENT
from exporter.exporters.otlp.target import Proxy, Target

MAX_BODY: Final = 65_536
"""How much of a response's body is read, in bytes. An export response has a few hundred."""
MAX_HEAD: Final = 65_536
"""How long a header of a response may be, in bytes."""
_LONG: Final = 65_536
"""From how many bytes on a body is worth a write of its own."""
_KEEPS_HEAD_BACK: Final = hasattr(aiohttp.abc.AbstractStreamWriter, "send_headers")
"""Whether the library sends the head with the body. Its first supported versions do not."""
_KEPT: Final = 86_400.0
"""Seconds that an idle connection is kept: until the receiver closes it."""
_CLOSE_TIMEOUT: Final = 1.0
_UNQUOTED: Final = "/?:@!$&'()*+,;=~%"
"""What the path and query of a URL may contain besides letters and digits (RFC 3986, section 3.3)."""
_FIRST_FINAL_STATUS: Final = 200
_SETTINGS = re.compile(r"b['\"]\\x00\\x00.{1,4}\\x04")
"""How the message of an invalid response shows the frame with which an HTTP/2 server begins (RFC 9113, sections 3.4 and 6.5)."""
_SPEAKS_GRPC: Final = (
    "the receiver speaks HTTP/2, as for OTLP over gRPC, and not HTTP/1.1: "
    "set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use the receiver's HTTP port (mostly 4318)"
)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response, with the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ProxyError(Exception):
    """The proxy cannot be reached, or it opened no tunnel."""


class InvalidResponseError(Exception):
    """The peer sent something that is not an HTTP/1.1 response."""


class _Body(aiohttp.Payload):
    """A body that is handed to the connection whole. aiohttp cuts long ones into small pieces, at twice the cost.

    It also keeps the head back to send it with the body. On Python before 3.12.9 it copies the whole body for that.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text, which an error of aiohttp may show."""
        return str(self._value, encoding, errors)

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        """Write the body after its head."""
        if len(self._value) >= _LONG and _KEEPS_HEAD_BACK:
            writer.send_headers()
        await writer.write(self._value)


class HttpClient:
    """A client with one connection to a target. ``tls`` is used for the target and the proxy, if they ask for TLS."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None) -> None:
        self._proxy = target.proxy
        self._proxy_url = URL(target.proxy.address) if target.proxy else None
        self._login = _login(target.proxy)
        self._body_timeout = target.timeout / 2
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1,
                keepalive_timeout=_KEPT,
                ssl=tls or True,
                use_dns_cache=False,
                resolver=aiohttp.ThreadedResolver(),  # asks the system, also where aiodns is installed
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            auto_decompress=False,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Send a request and wait for its response.

        Raises ``OSError`` if the connection fails or ends first, ``ssl.SSLError``, :class:`InvalidResponseError` and
        :class:`ProxyError`.
        """
        try:
            async with self._session.post(
                URL(_quoted(url), encoded=True),
                data=_Body(body),
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy_url,
                proxy_headers=self._login,
            ) as response:
                if response.status < _FIRST_FINAL_STATUS:
                    response.close()
                    raise InvalidResponseError(f"the receiver answered {response.status}, as if to change the protocol")
                headers_found = {name.lower(): value for name, value in response.headers.items()}
                found = HttpResponse(response.status, headers_found, await _body(response, self._body_timeout))
                if not response.content.at_eof():
                    response.close()
                return found
        except (aiohttp.ClientError, ValueError) as error:
            raise self._proxy_failure(error) or _failure(error, tls=url.startswith("https:")) from error

    async def close(self) -> None:
        """Close the connection, with any request in progress, within a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._session.close()

    def _proxy_failure(self, error: aiohttp.ClientError | ValueError) -> ProxyError | None:
        """What failed on the way to a proxy; ``None`` if something else failed."""
        proxy = self._proxy
        match error:
            case aiohttp.ClientHttpProxyError():
                return ProxyError(f"the proxy answered {error.status}{_advice(error.status)}")
            case aiohttp.ClientProxyConnectionError():
                return ProxyError(f"the proxy failed: {_reason(error.os_error)}")
            case aiohttp.ClientConnectorCertificateError() if proxy and (error.host, error.port) == (proxy.host, proxy.port):
                return ProxyError(f"TLS: the proxy's certificate is not trusted: {_verify_message(error.certificate_error)}")
            case aiohttp.ClientConnectorSSLError() if proxy and (error.host, error.port) == (proxy.host, proxy.port):
                return ProxyError(f"TLS to the proxy failed: {error.os_error}")
            case _:
                return None


def redirected(target: Target, location: str) -> str:
    """The URL that a redirect leads to; an empty text if that is another server, which must not be sent any header."""
    try:
        url, old = urlsplit(urljoin(target.endpoint, location)), urlsplit(target.endpoint)
        if _origin(url) != _origin(old):
            return ""
    except ValueError:
        return ""
    return without_login(url._replace(fragment="").geturl())


def without_login(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def request_headers(target: Target) -> dict[str, str]:
    """The headers of the settings and those of OTLP, which win. A user and password in the URL become basic authentication."""
    user = urlsplit(target.endpoint).netloc.rpartition("@")[0]
    headers = dict(target.headers)
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        headers.setdefault("authorization", f"Basic {credentials}")
    content_type = "application/json" if target.protocol == "http/json" else "application/x-protobuf"
    headers |= {"content-type": content_type, "user-agent": USER_AGENT}
    headers.pop("host", None)
    if not target.tls:
        headers |= _login(target.proxy)  # a tunnel is asked for with headers of its own
    if target.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return headers


async def _body(response: aiohttp.ClientResponse, timeout: float) -> bytes:  # noqa: ASYNC109 - as wait_for has it
    """The beginning of the body, or of one without an end what has come within the timeout: the status alone decides."""
    body = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while len(body) < MAX_BODY and (part := await response.content.read(MAX_BODY - len(body))):
                body += part
    return body


def _login(proxy: Proxy | None) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy is not None and proxy.authorization else {}


def _advice(status: int) -> str:
    return ": it wants a user and a password, as in http://USER:PASSWORD@HOST:PORT" if status == 407 else ""


def _failure(error: aiohttp.ClientError | ValueError, *, tls: bool) -> Exception:
    """What an error of the library means, on the way to the receiver."""
    match error:
        case aiohttp.ClientResponseError():
            speaks_grpc = _SETTINGS.search(error.message) is not None
            return InvalidResponseError(_SPEAKS_GRPC if speaks_grpc else f"the receiver does not speak HTTP/1.1: {error.message}")
        case aiohttp.ClientConnectorCertificateError():
            certificate: Exception = error.certificate_error
            return certificate
        case aiohttp.ClientConnectorSSLError():
            handshake: OSError = error.os_error
            return handshake
        case aiohttp.ClientConnectorError() if tls and isinstance(error.os_error, ConnectionResetError):
            return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the receiver closed the connection during the handshake")
        case aiohttp.ClientConnectorError():
            return OSError(_reason(error.os_error))
        case UnicodeError():  # raised for a name with an empty or too long part
            return OSError(f"the host is not a valid host name: {error}")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return ConnectionResetError("the receiver closed the connection without a response")
        case _:
            return OSError(str(error) or type(error).__name__)


def _verify_message(error: Exception) -> str:
    return getattr(error, "verify_message", "") or str(error)


def _reason(error: OSError) -> str:
    """What failed, in the words of the system, for which asyncio has ``Connect call failed``. Errors of names have other numbers."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _quoted(url: str) -> str:
    parts = urlsplit(url)
    path = quote(parts._replace(scheme="", netloc="", fragment="").geturl() or "/", safe=_UNQUOTED, errors="surrogateescape")
    return f"{parts.scheme}://{parts.netloc}{path}"
