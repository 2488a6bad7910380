"""The telemetry listener over real sockets, served by uvicorn."""

import asyncio
import base64
import gzip
import hashlib
import re
from itertools import count
from urllib.parse import urlsplit

import httpx
import pytest

from bench.synthetic import snapshot_of
from exporter.exporters.landing_page import Product, StatusLine
from exporter.exporters.prometheus.endpoint import MetricsEndpoint, Scrape
from exporter.exporters.prometheus.exposition import CHUNK_SAMPLES, Renderer, sample_count
from exporter.exporters.prometheus.negotiation import TEXT_FORMATS, Format
from exporter.exporters.telemetry_app import Readiness, telemetry_app
from exporter.metrics.snapshot import Snapshot
from tests.support.alongside import turns_of_others
from tests.support.asgi import call
from tests.support.http_server import http_server
from tests.support.prometheus_messages import decoded, expected
from tests.support.reference_exposition import reference_text
from tests.support.small_snapshot import SMALL
from tests.support.waiting import eventually

PRODUCT = Product("agentstack-exporter", "1.2.3", "Metrics of voice agents", "https://docs.example/<here>")
LARGE = snapshot_of(10_000)
PATHS = ("/", "/metrics", "/-/healthy", "/-/ready")
ACCEPT = {into: into.content_type for into in Format}
formats = pytest.mark.parametrize("into", TEXT_FORMATS)


def ready() -> Readiness:
    return Readiness(True)


def client() -> httpx.AsyncClient:
    # Proxies and certificates of the machine's environment must not matter.
    return httpx.AsyncClient(trust_env=False, headers={"accept-encoding": "identity"})


class TestMetrics:
    @formats
    async def test_get(self, into: Format) -> None:
        """A scrape gives the whole text in the format asked for, with its length."""
        async with http_server(telemetry_app(lambda: LARGE, ready, PRODUCT)) as url, client() as http:
            answer = await http.get(f"{url}/metrics", headers={"accept": ACCEPT[into]})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(f"{into.media_type}; version={into.version}; charset=utf-8")
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert "content-encoding" not in answer.headers
        assert answer.content == reference_text(LARGE, into)

    @formats
    async def test_gzip(self, into: Format) -> None:
        """A compressed scrape is one valid gzip stream of the same text, a fraction of its size."""
        headers = {"accept": ACCEPT[into], "accept-encoding": "gzip"}
        async with (
            http_server(telemetry_app(lambda: LARGE, ready, PRODUCT)) as url,
            client() as http,
            http.stream("GET", f"{url}/metrics", headers=headers) as answer,
        ):
            body = b"".join([piece async for piece in answer.aiter_raw()])
        text = reference_text(LARGE, into)
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(body) < len(text) / 5
        assert gzip.decompress(body) == text

    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    async def test_protobuf(self, coding: str) -> None:
        """A scrape for protobuf gets all families as messages, also compressed, with its length and the type that it asked for."""
        headers = {"accept": ACCEPT[Format.PROTOBUF], "accept-encoding": coding}
        async with http_server(telemetry_app(lambda: LARGE, ready, PRODUCT)) as url, client() as http:
            answer = await http.get(f"{url}/metrics", headers=headers)
        assert answer.headers["content-type"] == f"{Format.PROTOBUF.content_type}; escaping=underscores"
        assert answer.headers.get("content-encoding", "identity") == coding
        assert (int(answer.headers["content-length"]) == len(answer.content)) is (coding == "identity")
        assert decoded(answer.content) == expected(LARGE)

    async def test_head(self) -> None:
        """HEAD has the headers of GET and no body, renders nothing, and keeps the connection open."""
        scrapes: list[int] = []
        app = telemetry_app(lambda: SMALL, ready, PRODUCT, on_scrape=lambda scrape: scrapes.append(scrape.size))
        async with http_server(app) as url, client() as http:
            head = await http.head(f"{url}/metrics")
            assert (head.status_code, head.content, scrapes) == (200, b"", [])
            get = await http.get(f"{url}/metrics")
        assert head.headers["content-type"] == get.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert scrapes == [len(get.content)]

    async def test_concurrent_scrapes(self) -> None:
        """Scrapes at the same moment share one body a format: the first one's, and one for all that came while it was made."""
        snapshots = [snapshot_of(2_000, seed=seed) for seed in range(6)]
        numbers = count()
        app = telemetry_app(lambda: snapshots[next(numbers)], ready, PRODUCT)
        async with http_server(app) as url, client() as http:
            asked = [*TEXT_FORMATS, *TEXT_FORMATS]
            answers = await asyncio.gather(*(http.get(f"{url}/metrics", headers={"accept": ACCEPT[into]}) for into in asked))
        found = [
            [reference_text(one, into) for one in snapshots].index(answer.content) for into, answer in zip(asked, answers, strict=True)
        ]
        assert len(set(found)) == next(numbers) <= len(TEXT_FORMATS) + 1

    async def test_a_shared_body_is_never_older_than_the_request(self) -> None:
        """A scrape that comes while a body is rendered gets the next body, which all that wait share."""
        taken: list[Snapshot] = []

        def snapshot() -> Snapshot:
            taken.append(LARGE)
            return LARGE

        scrapes: list[Scrape] = []
        endpoint = MetricsEndpoint(snapshot, on_scrape=scrapes.append)
        first = asyncio.create_task(call(endpoint))
        await eventually(lambda: taken)
        later = [asyncio.create_task(call(endpoint)) for _ in range(10)]
        answers = await asyncio.gather(first, *later)
        assert len(taken) == 2
        assert len({answer.body for answer in answers}) == 1
        assert len(scrapes) == 11

    async def test_scraper_that_hangs_up(self) -> None:
        """A client that disconnects during the response does not affect others."""
        async with http_server(telemetry_app(lambda: LARGE, ready, PRODUCT)) as url, client() as http:
            reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readexactly(1_000)
            writer.transport.abort()
            answer = await http.get(f"{url}/metrics")
        assert answer.content == reference_text(LARGE, Format.TEXT_0_0_4)

    async def test_slow_scraper(self) -> None:
        """A slow client gets everything and does not delay others."""
        large = snapshot_of(40_000)
        text = b"".join(Renderer().chunks(large, Format.TEXT_0_0_4))
        async with http_server(telemetry_app(lambda: large, ready, PRODUCT)) as url, client() as http:
            reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port, limit=1_000)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            slow_headers = await reader.readuntil(b"\r\n\r\n")
            quick = await http.get(f"{url}/metrics")
            slow = await reader.read()
            writer.close()
        assert f"content-length: {len(text)}\r\n".encode() in slow_headers
        assert slow == quick.content == text

    async def test_reports_the_scrape(self) -> None:
        """The callback gets the duration, the samples and the size as sent."""
        scrapes: list[Scrape] = []
        app = telemetry_app(lambda: SMALL, ready, PRODUCT, on_scrape=scrapes.append)
        answer = await call(app, headers=[(b"accept-encoding", b"gzip")])
        [scrape] = scrapes
        assert scrape.duration > 0
        assert (scrape.samples, scrape.size) == (sample_count(SMALL), len(answer.body))

    @pytest.mark.parametrize("headers", [[], [(b"accept-encoding", b"gzip")]])
    async def test_the_loop_runs_between_chunks(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Other tasks run at least once for each chunk of a scrape."""
        async with turns_of_others() as turns:
            await call(MetricsEndpoint(lambda: LARGE), headers=headers)
        assert turns.taken >= sample_count(LARGE) / CHUNK_SAMPLES

    async def test_failing_snapshot(self) -> None:
        """A snapshot that raises is a 500, and the next scrape works."""
        faults = [LookupError("no store")]

        def snapshot() -> Snapshot:
            if faults:
                raise faults.pop()
            return SMALL

        async with http_server(telemetry_app(snapshot, ready, PRODUCT)) as url, client() as http:
            assert (await http.get(f"{url}/metrics")).status_code == 500
            assert (await http.get(f"{url}/metrics")).status_code == 200


class TestOtherPaths:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    @pytest.mark.parametrize("path", PATHS)
    async def test_other_methods(self, method: str, path: str) -> None:
        """Only GET and HEAD are allowed, and the response lists them."""
        async with http_server(telemetry_app(lambda: SMALL, ready, PRODUCT)) as url, client() as http:
            answer = await http.request(method, url + path)
        assert answer.status_code == 405
        assert {name.strip() for name in answer.headers["allow"].split(",")} == {"GET", "HEAD"}

    @pytest.mark.parametrize("path", PATHS)
    async def test_head(self, path: str) -> None:
        """HEAD works on every path, without a body."""
        async with http_server(telemetry_app(lambda: SMALL, ready, PRODUCT)) as url, client() as http:
            get, head = await http.get(url + path), await http.head(url + path)
        assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]

    @pytest.mark.parametrize("path", ["/nothing", "/healthz", "/metrics/", "/-/", "//", "/-/quit", "/metrics%00"])
    async def test_unknown_path(self, path: str) -> None:
        """Another path is 404 in plain text, with the paths that there are and without the one that was asked for, never a redirect."""
        async with http_server(telemetry_app(lambda: SMALL, ready, PRODUCT)) as url, client() as http:
            answer = await http.get(url + path)
        assert (answer.status_code, answer.text) == (404, "not found; there are /, /metrics, /-/healthy, /-/ready\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"

    async def test_healthy(self) -> None:
        """The process is healthy as long as it answers, ready or not."""
        answer = await call(telemetry_app(lambda: SMALL, lambda: Readiness(False, ("draining",)), PRODUCT), "/-/healthy")
        assert (answer.status, answer.text) == (200, "OK\n")

    @pytest.mark.parametrize(
        ("state", "status", "text"),
        [
            (Readiness(True), 200, '{"ready":true,"reasons":[]}'),
            (Readiness(False, ("draining", "no é")), 503, '{"ready":false,"reasons":["draining","no é"]}'),
        ],
    )
    async def test_ready(self, state: Readiness, status: int, text: str) -> None:
        """Readiness is a status code for probes and reasons for people."""
        answer = await call(telemetry_app(lambda: SMALL, lambda: state, PRODUCT), "/-/ready")
        assert (answer.status, answer.text) == (status, text)
        assert answer.headers["content-type"] == "application/json"


class TestLandingPage:
    async def test_page(self) -> None:
        """The page names the product and links to every other path and the documentation."""
        answer = await call(telemetry_app(lambda: SMALL, ready, PRODUCT), "/")
        assert "agentstack-exporter <small>1.2.3</small>" in answer.text
        links = re.findall(r'href="([^"]*)"', answer.text)
        assert links == ["/metrics", "/-/ready", "/-/healthy", "https://docs.example/&lt;here&gt;"]
        assert "<dl>" not in answer.text

    async def test_content_security_policy(self) -> None:
        """The policy allows the page's own style sheet by its hash, and no script, frame or other resource."""
        answer = await call(telemetry_app(lambda: SMALL, ready, PRODUCT), "/")
        [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script|<img|<link|style=|src=", answer.text)

    async def test_everything_is_escaped(self) -> None:
        """All text is escaped, and a link that is not http is left out."""
        hostile = "<script>alert('\"&')</script>"
        product = Product(hostile, hostile, hostile, "javascript:alert(1)")
        answer = await call(telemetry_app(lambda: SMALL, ready, product, status=lambda: [StatusLine(hostile, hostile)]), "/")
        assert "<script" not in answer.text
        assert answer.text.count("&lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)&lt;/script&gt;") == 6
        assert "javascript:" not in answer.text

    async def test_status_lines(self) -> None:
        """Status lines are new with each view."""
        views = count(1)
        app = telemetry_app(lambda: SMALL, ready, PRODUCT, status=lambda: [StatusLine("Active calls", str(next(views)))])
        texts = [(await call(app, "/")).text for _ in range(2)]
        assert [re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text) for text in texts] == [
            [("Active calls", "1")],
            [("Active calls", "2")],
        ]
