"""A call as one self-contained HTML file, to attach to a ticket. It has no script and loads nothing."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from exporter.exporters.live.fields import field_list
from exporter.exporters.live.messages import CallDetail, FieldInfo, LiveConfig, Mark, Stage, Tool, Turn

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #d9dfe7; --page: #fff; --bad: #b3261e;
  --user: #0d8494; --stt: #4583e0; --detection: #1d55b0; --llm: #c96500; --tts: #2f8a3c; --agent: #5b8700; --realtime: #d0434f;
  --tool: #5b58c9; --rest: #747c88 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf2; --soft: #9aa6b6; --line: #313a48; --page: #12161d; --bad: #ff8a80;
    --user: #3fc4d4; --stt: #8ab8ff; --detection: #5794f2; --llm: #ff9830; --tts: #73bf69; --agent: #b5dd5c; --realtime: #ff7383;
    --tool: #a3a1f7; --rest: #98a0ab } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem } .soft { color: var(--soft) } .bad { color: var(--bad) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem } dt { color: var(--soft) } dd { margin: 0 }
svg { width: 100%; height: auto; border: 1px solid var(--line) } text { fill: var(--ink); font: 11px system-ui, sans-serif }
table { border-collapse: collapse; width: 100%; font-size: .9rem } td, th { text-align: left; padding: .1rem .6rem .1rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top }
.user_speech { fill: var(--user) } .speech_to_text { fill: var(--stt) } .turn_detection { fill: var(--detection) }
.chat { fill: var(--llm) } .text_to_speech { fill: var(--tts) } .agent_speech { fill: var(--agent) }
.realtime_inference { fill: var(--realtime) } .response { fill: var(--rest) } .tool { fill: var(--tool) }
.failed { stroke: var(--bad); stroke-width: 2 }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CALL_PAGE_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""The content security policy of the file: its own style sheet and nothing else."""
_LABELS: Final = 150
_WIDTH: Final = 900
_BAR: Final = 18
_MARKS: Final = 50
"""Marks that a piece of the file has at most."""


def call_page(detail: CallDetail, config: LiveConfig) -> Iterator[str]:
    """The file, in pieces that each take less than a millisecond to make: none has more than one turn, or a few marks."""
    title = escape(f"Call {detail.call.session or detail.call.id}")
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(CALL_PAGE_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{_head(detail, config)}"
    )
    yield from map(_turn, detail.turns)
    yield from _marks(detail.marks)
    yield "</body></html>\n"


def _head(detail: CallDetail, config: LiveConfig) -> str:
    call, lost = detail.call, detail.truncated
    facts = {
        "Agent": call.agent,
        "Phone call": call.call,
        "Trace": call.trace_id,
        "Answered by": call.answered_by,
        "Began": _date(call.started_at),
        "Ended": None if call.ended_at is None else f"{_date(call.ended_at)} ({call.end_reason})",
        "Turns": f"{call.turns}, {call.slow_turns} slower than {config.slow_turn:g} s, {call.unanswered} unanswered",
        "Longest wait": None if call.worst_wait is None else f"{call.worst_wait:.2f} s ({call.worst_bottleneck})",
        "Interruptions": str(call.interruptions),
        "Errors": str(call.errors),
        "Cost": None if call.cost is None else f"{call.cost:.4f} USD",
        "No longer kept": f"{lost.turns} turns, {lost.events} events" if lost.events else None,
        "Written": f"{_date(detail.now)} by agentstack-exporter {config.version}",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value is not None)
    return f"<dl>{rows}</dl>"


def _turn(turn: Turn) -> str:
    number = turn.key if turn.number is None else turn.number
    notes = [turn.state, *(["the agent began it"] if turn.agent_first else []), *(["estimated times"] if turn.estimated else [])]
    notes += ["interrupted"] if turn.interrupted else []
    wait = "" if turn.wait is None else f" – the caller waited {turn.wait:.2f} s"
    why = f'<p class="bad">{escape(turn.why)}</p>' if turn.why else ""
    spoken = "".join(
        f"<p>{who}: {escape(text)}</p>" for who, text in (("Caller", turn.user_text), ("Agent", turn.agent_text)) if text is not None
    )
    return (
        f'<h2>Turn {escape(str(number))}{wait}</h2><div class="soft">{escape(", ".join(notes))}, {_date(turn.start)}</div>'
        f"{why}{spoken}{_waterfall(turn)}{_fields(turn.fields)}"
    )


def _waterfall(turn: Turn) -> str:
    bars: list[Stage | Tool] = [*turn.stages, *turn.tools]
    if not bars:
        return ""
    end = max(bar.end or bar.start for bar in bars)
    length = max(end - turn.start, 0.001)
    rows = "".join(_bar(place, bar, turn.start, length) for place, bar in enumerate(bars))
    height = len(bars) * (_BAR + 4) + 4
    return f'<svg viewBox="0 0 {_LABELS + _WIDTH} {height}" role="img" aria-label="Stages of the turn">{rows}</svg>'


def _bar(place: int, bar: Stage | Tool, start: float, length: float) -> str:
    scale = _WIDTH / length
    left = _LABELS + max(0.0, bar.start - start) * scale
    width = max(2.0, ((bar.end or bar.start) - bar.start) * scale)
    kind = bar.stage if isinstance(bar, Stage) else "tool"
    name = kind if isinstance(bar, Stage) else f"tool {bar.name or ''}"
    seconds = "" if bar.end is None else f"{bar.end - bar.start:.3f} s"
    label = f"{name}: {seconds} {bar.name or ''}" if isinstance(bar, Stage) else f"{name}: {seconds}"
    top = place * (_BAR + 4) + 4
    failed = " failed" if bar.failed else ""
    return (
        f'<text x="4" y="{top + 13}">{escape(name[:26])}</text>'
        f'<rect class="{kind}{failed}" x="{left:.2f}" y="{top}" width="{width:.2f}" height="{_BAR}">'
        f"<title>{escape(label)}</title></rect>"
    )


def _fields(values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    groups = "".join(
        f"<table><caption>{escape(group.name)}</caption>{rows}</table>"
        for group in field_list().groups
        if (rows := "".join(_rows(group.fields, values)))
    )
    return f"<details><summary>{len(values)} fields</summary>{groups}</details>"


def _rows(fields: list[FieldInfo], values: Mapping[str, Any]) -> Iterator[str]:
    for field in fields:
        if field.name in values:
            cells = (field.name, f"{values[field.name]} {field.unit or ''}", field.metric or "")
            yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _marks(marks: list[Mark]) -> Iterator[str]:
    if marks:
        yield "<h2>What happened besides</h2><table>"
        for begin in range(0, len(marks), _MARKS):
            yield "".join(map(_mark, marks[begin : begin + _MARKS]))
        yield "</table>"


def _mark(mark: Mark) -> str:
    return f"<tr><td>{_date(mark.at)}</td><td>{mark.kind}</td><td>{escape(mark.text or '')}</td></tr>"


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")
