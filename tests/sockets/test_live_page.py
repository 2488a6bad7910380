"""/live in a real browser: calls as they happen, with the times of the spans that are sent."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.async_api import Browser, Locator, Page, expect

from exporter.config import Address
from exporter.protocol.ids import trace_id
from tests.support.browser import behind_path, chromium, visit
from tests.support.daemon import call, running_daemon, send_all
from tests.support.live_calls import answered, asked, ended, measured, started
from tests.support.otlp_daemon import Exporting, address_of, environment, exporting, kind_of, spans_of
from tests.support.otlp_receiver import Site, otlp_receiver
from tests.support.waiting import eventually, patience, seconds

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("browser"),  # one browser for all
    pytest.mark.timeout(180),
]
TRACES = "https://tempo.example/trace/{trace_id}"
WIDE, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=\"window.hit='it'\"><script>window.hit='it'</script>\u202egnp.exe\u2066\ufeff{{7*7}}${7*7}"
LONG = "W" * 64_000
BARS = """() => [...document.querySelectorAll('.waterfall li')].map((line) => {
  const [bar, track] = ['rect:not(.band)', '.track'].map((what) => line.querySelector(what).getBoundingClientRect());
  return [line.dataset.stage, bar.left - track.left, bar.width, track.width];
})"""

WIDEST = "Math.max(...[...document.querySelectorAll('html, .calls, .turn, #facts')].map((each) => each.scrollWidth))"
RECORD = """clock => {
  window.shown = [];
  new MutationObserver(() => shown.push([clock.textContent, ...clock.classList])).observe(clock, {childList: true});
}"""
POINT = """() => {
  window.moved = performance.now();
  performance.now = () => moved;
  document.querySelector('#table-calls tbody').dispatchEvent(new PointerEvent('pointermove'));
}"""
"""Move the pointer, and stop the page's clock there: on a busy machine the page may not run for a second."""
REST = "() => void (performance.now = () => moved + 1600)"
HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""
COUNT = """word => {
  const escaped = Object.assign(document.createElement('i'), {textContent: word}).innerHTML;
  const count = (nodes) => nodes.reduce((sum, node) => sum + node.outerHTML.split(escaped).length - 1, 0);
  return [count([...document.querySelectorAll('.turn')]), count([document.documentElement])];
}"""
"""How often a text is in the turns, and in the whole document with its attributes."""
MADE = "[document.images.length, document.scripts.length, document.querySelectorAll('[onerror]').length, typeof window.hit]"


@dataclass
class Shown:
    """What all tests share: a browser, and an exporter that sends to a receiver."""

    browser: Browser
    running: Exporting
    site: Site

    @property
    def ws(self) -> str:
        return self.running.endpoints.ws

    @asynccontextmanager
    async def look(self, view: str = "", *, at: str = "", **context: Any) -> AsyncIterator[Page]:
        """Look at a view. In the end no script has failed, and nothing was asked of anybody but the exporter."""
        url = at or self.running.endpoints.url("/live")
        async with visit(self.browser, f"{url}{view}", **{"viewport": WIDE, **context}) as seen:
            yield seen.page
            assert seen.errors == []
            assert seen.origins() == {url.removesuffix("/live")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown() -> AsyncIterator[Shown]:
    expect.set_options(timeout=patience(5) * 1000)
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(otlp_receiver("http/protobuf"))
        running = await stack.enter_async_context(
            exporting(environment(address_of(site), "http/protobuf"), session_linger=0.0, trace_url=TRACES)
        )
        yield Shown(await stack.enter_async_context(chromium()), running, site)


def row(page: Page, name: str) -> Locator:
    return page.locator("#table-calls tbody tr").filter(has_text=name)


@pytest.mark.alone
async def test_a_call_appears_within_a_second(shown: Shown) -> None:
    """A call is in the table within a second of its session.started."""
    async with shown.look() as page, call(shown.ws) as socket:
        await expect(page.locator("#connection")).to_have_text("Live")
        began = time.monotonic()
        await send_all(socket, [started("as-new")])
        await row(page, "as-new").wait_for()
        assert time.monotonic() - began < seconds(1)


async def test_the_clock_of_a_waiting_caller(shown: Shown) -> None:
    """It runs from the caller's last word to the agent's first, and says when that is too long."""
    async with shown.look() as page, call(shown.ws) as socket:
        await send_all(socket, [started("as-clock")])
        clock = row(page, "as-clock").locator(".clock")
        await expect(clock).to_have_text("")
        await clock.evaluate(RECORD)
        spoke = time.time()
        await send_all(socket, asked(spoke))
        await eventually(lambda: page.evaluate("shown.some(([text]) => text.endsWith('dead air'))"), within=10)
        await expect(page.locator("#numbers .dead")).to_contain_text("longest")
        await send_all(socket, answered(time.time()))
        await expect(clock).to_have_text("")
        texts = [(text.partition(" s"), classes) for text, *classes in await page.evaluate("shown") if text]
    recorded = [(float(number), label.strip(), *classes) for (number, _, label), classes in texts]
    waits = [waited for waited, *_ in recorded]
    assert waits == sorted(waits)
    assert len(waits) > 10
    assert waits[-1] < time.time() - spoke
    # Beside a bound, the text is rounded.
    assert {tuple(rest) for waited, *rest in recorded if waited < 1.5} <= {("", "clock")}
    assert {tuple(rest) for waited, *rest in recorded if 1.5 < waited < 3} <= {("slow", "clock", "slow")}
    assert {tuple(rest) for waited, *rest in recorded if waited > 3} <= {("dead air", "clock", "dead")}


def turn_of(shown: Shown, name: str) -> dict[str, Span]:
    """The spans of the call's first turn, by their kind."""
    spans = [span for span in spans_of(shown.site.receiver) if span.trace_id.hex() == trace_id(name)]
    turns = [span for span in spans if kind_of(span) == "invoke_agent"]
    assert len(turns) == 1
    [turn] = turns
    return {kind_of(span): span for span in spans if span.parent_span_id == turn.span_id} | {"turn": turn}


async def test_bars_are_the_spans(shown: Shown) -> None:
    """Each bar of a turn begins and ends where its span does, to the pixel; the open turn's bars grow until then."""
    now = time.time() - 4
    async with shown.look() as page, call(shown.ws) as socket:
        await send_all(socket, [started("as-bars"), *asked(now)])
        await row(page, "as-bars").get_by_role("link").click()
        growing = page.locator("[data-stage=response] .length")
        await growing.wait_for()
        before = await growing.inner_text()
        await expect(growing).not_to_have_text(before)

        await send_all(socket, [*answered(now + 1.24), measured(now)])
        await expect(page.locator(".turn h3")).to_contain_text("waited 1.24 s")
        spans = await eventually(lambda: turn_of(shown, "as-bars"))
        turn, drawn = spans.pop("turn"), await page.evaluate(BARS)
    assert {stage for stage, *_ in drawn} == spans.keys()
    assert len(drawn) == len(spans) == 6
    for stage, left, width, whole in drawn:
        scale = whole / (turn.end_time_unix_nano - turn.start_time_unix_nano)
        assert left == pytest.approx((spans[stage].start_time_unix_nano - turn.start_time_unix_nano) * scale, abs=1), stage
        assert width == pytest.approx((spans[stage].end_time_unix_nano - spans[stage].start_time_unix_nano) * scale, abs=1), stage


async def test_a_turn_opens_to_its_fields(shown: Shown) -> None:
    """An opened turn has all fields of its turn.metrics, in groups, with unit and metric, and stays open when it changes."""
    event = measured(time.time() - 5, waited=2.31, llm_prompt_tokens=842)
    async with shown.look(f"#call/{trace_id('as-fields')}") as page, call(shown.ws) as socket:
        await expect(page.locator("#call-note")).to_contain_text("does not have this call")
        await send_all(socket, [started("as-fields"), event])
        await page.reload()
        await expect(page.locator(".why")).to_contain_text("LLM")
        await page.get_by_text(f"All fields ({len(event) - 1})").click()
        line = page.locator(".fields tr").filter(has_text="llm_ttft_ms").first
        await expect(line).to_contain_text("1,790 ms")
        await expect(line).to_contain_text("agentstack_llm_time_to_first_token_seconds")
        assert await page.locator(".fields tbody tr").count() == len(event) - 1
        await page.get_by_role("button", name="Copy").click()
        assert await page.evaluate("getSelection().toString()") == trace_id("as-fields")
        link = page.get_by_role("link", name="Open the trace")
        assert await link.get_attribute("href") == TRACES.replace("{trace_id}", trace_id("as-fields"))


async def test_what_was_said(shown: Shown, tmp_path: Path) -> None:
    """With users and --live-content, the words of a turn are in that turn once and nowhere else; without, they are nowhere."""
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{a: {bcrypt.hashpw(b's3cret', bcrypt.gensalt(4)).decode()}}}\n")
    words: dict[str, Any] = {"user_text": "zebra <b>crossing", "agent_text": "quiet walrus"}
    async with running_daemon(web_config=web, live_content=True) as told:
        user: dict[str, Any] = {"http_credentials": {"username": "a", "password": "s3cret"}}
        for endpoints, context, times in ((told, user, 1), (shown.running.endpoints, {}, 0)):
            async with call(endpoints.ws) as socket, shown.look(at=endpoints.url("/live"), **context) as page:
                await send_all(socket, [started("as-words"), measured(time.time() - 5, waited=2.31, **words)])
                slow = page.locator("#slow li").filter(has=page.locator(f"[href*='{trace_id('as-words')}']"))
                await slow.wait_for()
                assert await page.evaluate(COUNT, "zebra") == await page.evaluate(COUNT, "walrus") == [0, 0]
                await page.goto(f"{endpoints.url('/live')}#call/{trace_id('as-words')}")
                await page.locator(".turn summary").click()
                await page.locator(".fields tr").first.wait_for()
                assert await page.evaluate(COUNT, "zebra <b>crossing") == await page.evaluate(COUNT, "quiet walrus") == [times, times]


async def test_a_slow_turn_is_found(shown: Shown) -> None:
    """A slow turn is in the list, from where it is opened, and in the heat map, which the keyboard reads."""
    async with shown.look() as page, call(shown.ws) as socket:
        await send_all(socket, [started("as-slow", "agent-slow"), measured(time.time() - 5, waited=2.31)])
        await expect(page.locator("#heat")).to_have_attribute("aria-label", re.compile(r": [1-9]\d* turns"))
        await page.locator("#heat").press("ArrowLeft")
        await expect(page.locator("#heat-note")).to_contain_text("turns waited 0 s to 200 ms")
        await page.locator("#slow").get_by_role("link", name="agent-slow").click()
        await expect(page.locator(".turn h3")).to_be_focused()
        await expect(page.locator(".fields").first).to_be_visible()
        await expect(page.locator("#shares")).to_contain_text("LLM")


async def test_sorting_and_keyboard(shown: Shown) -> None:
    """A heading sorts both ways; arrows move through the filtered rows, Enter opens a call, Escape leads back."""
    async with shown.look() as page, AsyncExitStack() as stack:
        for name, waited in (("as-sort-b", 0.9), ("as-sort-a", 2.5), ("as-sort-c", 1.2)):
            socket = await stack.enter_async_context(call(shown.ws))
            await send_all(socket, [started(name, f"agent-{name[-1]}"), measured(time.time() - 5, waited=waited)])
        await page.get_by_role("searchbox", name="Filter the calls").fill("AS-sort llm")
        names = page.locator("#table-calls tbody tr bdi.soft")
        await expect(names).to_have_count(3)

        heading = page.get_by_role("columnheader", name="Worst wait")
        await heading.get_by_role("button").click()
        await expect(names).to_have_text(["as-sort-a", "as-sort-c", "as-sort-b"])
        assert await heading.get_attribute("aria-sort") == "descending"
        await heading.get_by_role("button").press("Enter")
        await expect(names).to_have_text(["as-sort-b", "as-sort-c", "as-sort-a"])
        assert await heading.get_attribute("aria-sort") == "ascending"

        await page.locator("#table-calls tbody a").first.focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
            await page.keyboard.press(key)
        assert await page.evaluate("document.activeElement.textContent") == "agent-c"
        assert await page.locator("#table-calls tbody a[tabindex='0']").all_inner_texts() == ["agent-c"]
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="agent-c")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(names).to_have_count(3)


async def test_rows_hold_still_under_a_pointer(shown: Shown) -> None:
    """While a pointer moves over the rows they change, and stay where they are; 1.6 seconds later they are put in order."""
    async with shown.look() as page, call(shown.ws) as first, call(shown.ws) as second:
        await send_all(first, [started("as-still-1"), measured(time.time() - 5, waited=0.8)])
        await send_all(second, [started("as-still-2"), measured(time.time() - 5, waited=0.7)])
        await page.get_by_role("searchbox", name="Filter the calls").fill("as-still")
        await page.get_by_role("button", name="Worst wait").click()
        names = page.locator("#table-calls tbody tr bdi.soft")
        await expect(names).to_have_text(["as-still-1", "as-still-2"])
        await page.evaluate(POINT)
        await send_all(second, [measured(time.time() - 1, 2, waited=0.9)])
        await expect(row(page, "as-still-2")).to_contain_text("900 ms")
        await expect(names).to_have_text(["as-still-1", "as-still-2"])
        await page.evaluate(REST)
        await expect(names).to_have_text(["as-still-2", "as-still-1"])


async def test_hostile_texts(shown: Shown) -> None:
    """Markup, scripts, right-to-left and 64 kB in every text are shown as text, in every view; nothing runs, and nothing overflows."""
    now = time.time() - 8
    named = ("llm_model", "llm_provider", "llm_label", "tts_model", "tts_provider", "pipeline", "error_source")
    texts: dict[str, Any] = {**dict.fromkeys(named, HOSTILE), HOSTILE: HOSTILE, "llm_request_id": LONG[:30_000]}
    async with call(shown.ws) as socket, call(shown.ws) as other:
        await send_all(
            socket,
            [
                started(HOSTILE, HOSTILE, call_id=HOSTILE),
                *asked(now),
                {"type": "agent_tool.started", "agent_tool_type": HOSTILE, "agent_tool_id": HOSTILE},
                {"type": "session.error", "code": HOSTILE, "message": HOSTILE},
                {"type": HOSTILE},
                measured(now, **texts),
            ],
        )
        long = measured(now, waited=3, error_source=LONG[:30_000])
        await send_all(other, [started("as-hostile", LONG[:60_000]), long, ended(HOSTILE)])
        async with shown.look(viewport=PHONE) as page:
            for view in (f"#call/{trace_id(HOSTILE)}", f"#call/{trace_id('as-hostile')}", "#debugging", "#ended", "#calls"):
                await page.goto(page.url.partition("#")[0] + view)
                await expect(page.locator("#connection")).to_have_text("Live")
                if view.startswith("#call/"):
                    await page.locator("summary").first.click()
                    await page.locator(".fields").first.wait_for()
                assert await page.evaluate(MADE) == [0, 1, 0, "undefined"], view
                assert await page.evaluate(WIDEST) <= PHONE["width"], view
                if view == "#debugging":
                    await expect(page.locator("#problems")).to_contain_text("onerror")
            await expect(row(page, "onerror").first).to_be_visible()


async def test_a_restart_is_survived(shown: Shown) -> None:
    """When the exporter goes, the page says so and keeps what it knows; it comes back by itself and says that there was a restart."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        endpoints = await first.enter_async_context(running_daemon())
        page = await stack.enter_async_context(visit_page(shown, endpoints.url("/live")))
        socket = await first.enter_async_context(call(endpoints.ws))
        await send_all(socket, [started("as-before")])
        await row(page, "as-before").wait_for()
        await first.aclose()
        await expect(page.locator("#connection")).to_contain_text("Reconnecting")
        await expect(row(page, "as-before")).to_be_visible()

        host, port = endpoints.telemetry.split(":")
        again = await stack.enter_async_context(running_daemon(telemetry_listen=Address(host, int(port))))
        await expect(page.locator("#restarted")).to_contain_text("was restarted")
        await expect(page.locator("#connection")).to_have_text("Live")
        socket = await stack.enter_async_context(call(again.ws))
        await send_all(socket, [started("as-after")])
        await row(page, "as-after").wait_for()


async def test_a_hidden_tab_holds_no_stream(shown: Shown) -> None:
    """A tab that nobody sees ends its streams, since a browser has few connections; seen again it goes on."""

    async def viewers(number: int) -> bool:
        return bool((await shown.running.endpoints.get("/api/v1/summary")).json()["summary"]["viewers"] == number)

    async with shown.look() as page:
        await eventually(lambda: viewers(1))
        await page.evaluate(HIDE, True)
        await eventually(lambda: viewers(0))
        async with call(shown.ws) as socket:
            await send_all(socket, [started("as-hidden")])
            await page.evaluate(HIDE, False)
            await row(page, "as-hidden").wait_for()


async def test_behind_a_path(shown: Shown) -> None:
    """Behind a proxy that serves the exporter below a path, the page, its files, streams and downloads are found there."""
    async with behind_path(shown.running.endpoints.telemetry, b"/deep/er") as address, call(shown.ws) as socket:
        await send_all(socket, [started("as-path"), measured(time.time() - 5)])
        async with visit_page(shown, f"http://{address}/deep/er/live#call/{trace_id('as-path')}") as page:
            await page.get_by_text("All fields").click()
            await expect(page.locator(".fields").first).to_be_visible()
            for link in await page.get_by_role("link", name=re.compile("JSON lines|HTML")).all():
                assert (await page.request.get(await link.evaluate("link => link.href"))).ok
            async with page.expect_download() as download:
                await page.get_by_role("link", name="JSON lines").click()
            assert (await download.value).suggested_filename.endswith(".jsonl")


@asynccontextmanager
async def visit_page(shown: Shown, url: str) -> AsyncIterator[Page]:
    """A page whose requests may fail."""
    async with visit(shown.browser, url, viewport=WIDE) as seen:
        yield seen.page


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", WIDE), ("light", PHONE)], ids=["light", "dark", "phone"])
async def test_looks(shown: Shown, scheme: str, size: dict[str, int], tmp_path: Path) -> None:
    """Both themes and a phone width are drawn, each view without anything beyond the edge; pictures are kept in the test's folder."""
    async with call(shown.ws) as socket:
        await send_all(socket, [started("as-looks"), measured(time.time() - 9, waited=2), *asked(time.time() - 1)])
        async with shown.look(viewport=size, color_scheme=scheme) as page:
            await row(page, "as-looks").wait_for()
            light = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] > 127")
            assert light == (scheme == "light")
            for view in ("calls", "ended", "debugging", f"call/{trace_id('as-looks')}"):
                await page.goto(page.url.partition("#")[0] + f"#{view}")
                await page.locator(f"#view-{view.partition('/')[0]}").wait_for()
                assert await page.evaluate(WIDEST) <= size["width"], view
                await page.screenshot(path=tmp_path / f"{view.partition('/')[0]}.png", full_page=True)
