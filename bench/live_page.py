"""/live in a browser while 500 calls go on: what a frame costs the page's main thread.

The calls are those of ``steady``. All of them are in the table, so the page draws as much as it ever does. What runs within a frame is
read from Chromium's own trace, as processor time: the browser shares its core with the generator of the load. Frames in
which nothing runs are left out, since they would make the median look better than what viewers feel.
"""

import json
import shutil
import statistics
import threading
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

from bench.contestants import running
from bench.peers import peers
from bench.report import table
from bench.steady import CALLS, EVENTS_A_SECOND, scripts, send

FRAME: Final = 1 / 60
_SCRIPTS: Final = ("FunctionCall", "EvaluateScript")
_LAYOUT: Final = ("UpdateLayoutTree", "Layout", "PrePaint", "Paint")
_CHROMIUM: Final = shutil.which("chromium")


def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds = 4.0 if quick else 20.0
    with running("exporter") as exporter, peers(exporter.port, CALLS) as group, sync_playwright() as playwright:
        talks = scripts(round((seconds + 10) * EVENTS_A_SECOND) + 1)
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        load = threading.Thread(target=send, args=(group, talks, seconds + 8))
        load.start()
        page.goto(f"http://127.0.0.1:{exporter.telemetry}/live")
        _show_all(page)
        browser.start_tracing(page=page, categories=["devtools.timeline"])
        page.wait_for_timeout(seconds * 1000)
        events = json.loads(browser.stop_tracing())["traceEvents"]
        load.join()
        browser.close()
    print(f"{CALLS} calls, {CALLS * EVENTS_A_SECOND:,} events a second, {seconds:.0f} s, a frame being {FRAME * 1e3:.1f} ms.\n")
    _report(events)


def _show_all(page: Page) -> None:
    page.get_by_role("button", name="Show").click(timeout=60_000)
    page.wait_for_function(f"document.querySelectorAll('#table-calls tbody tr').length === {CALLS}", timeout=60_000)


def _report(events: list[dict[str, Any]]) -> None:
    thread = _main_thread(events)
    own = [event for event in events if (event["pid"], event["tid"]) == thread]
    begins = sorted(event["ts"] for event in own if event["name"] == "AnimationFrame::Render" and event["ph"] == "b")
    rows = []
    for title, names in (("scripts", _SCRIPTS), ("style, layout, paint", _LAYOUT)):
        found = list(_by_frame(own, begins, names))
        median, late = statistics.median(found), statistics.quantiles(found, n=100)[98]
        rows.append((title, f"{len(found)} of {len(begins)}", f"{median:.2f} ms", f"{late:.2f} ms", f"{median / 1e3 / FRAME:.2f}"))
    table(("", "frames with any", "median", "p99", "median as a share of a frame"), rows)


def _main_thread(events: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """The thread that ran most functions."""
    threads = [(event["pid"], event["tid"]) for event in events if event["name"] == "FunctionCall"]
    return max(set(threads), key=threads.count)


def _by_frame(events: list[dict[str, Any]], begins: list[int], names: tuple[str, ...]) -> Iterable[float]:
    """Milliseconds of processor time in each frame that has any. What runs within another event of these is part of it."""
    frames: dict[int, float] = {}
    end = 0
    for event in sorted((event for event in events if event["name"] in names and "tdur" in event), key=lambda event: event["ts"]):
        if event["ts"] >= end:
            end = event["ts"] + event["dur"]
            frame = bisect_right(begins, event["ts"])
            frames[frame] = frames.get(frame, 0.0) + event["tdur"] / 1e3
    return frames.values()
