"""What /live shows has nothing personal in it, and takes no text for markup."""

import json
from typing import Any

import msgspec
import pytest

from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.events.audio_stream import Media
from exporter.protocol.decoder import SPECS
from exporter.sessions.kept_events import is_personal
from tests.support.live import LiveCore

CANARY = "canary-of-what-was-said"
NUMBER = "+14155550142"


def canary_event(spec: EventSpec) -> dict[str, Any] | None:
    """An event of the type with a canary in each personal field."""
    personal = [field for field in spec.fields if is_personal(field)]
    if spec.type is Media or not (personal or spec.name == "tool.executed"):
        return None
    event: dict[str, Any] = {str(spec.type.__struct_config__.tag_field): spec.name}
    for field in personal:
        *outer, name = field.path
        place = event
        for part in outer:
            place = place.setdefault(part, {})
        place[name] = value_for(field)
    if spec.name == "tool.executed":
        event["calls"] = [{"name": "t", "arguments": {"a": CANARY}, "output": CANARY, "is_error": False}]
    return event


def value_for(field: FieldSpec) -> Any:
    """A canary that fits the field."""
    if field.name in ("caller", "callee"):
        return NUMBER
    return f"{CANARY} {NUMBER}" if field.type is str else {"said": [CANARY, NUMBER]}


def everything(core: LiveCore, session: str) -> str:
    """All that is served of a call."""
    shown = [core.update().state().decode(), json.dumps(core.lines(session)), core.page(session)]
    return "\n".join([*shown, msgspec.json.encode(core.detail(session)).decode()])


@pytest.mark.parametrize("in_bytes", [True, False])
def test_no_canary_is_shown_or_kept(*, in_bytes: bool) -> None:
    """A canary in every personal field of every event appears neither in the page's data, nor in the files, nor in memory."""
    core = LiveCore()
    call = core.call(call_id="call-1", caller=NUMBER, callee="+442071838750")
    for spec in SPECS:
        event = canary_event(spec)
        if event is None or spec.name in ("session.ended", "start"):
            continue
        if spec.name == "turn.metrics":
            event |= {"turn_number": 1, "user_perceived_ms": 900}
        frame = msgspec.json.encode(event)
        call.feed.consume(frame if in_bytes else frame.decode(), core.now)
    core.let_pass(11)
    call.send("session.ended", reason="user_hangup", error=CANARY, transcript=[CANARY, NUMBER])
    served = everything(core, "as-1")
    kept = "\n".join(str(kept) if isinstance(kept, bytes) else msgspec.json.encode(kept).decode() for kept in core.journal().entries)
    for text in (served, kept):
        assert CANARY not in text
        assert "4155550142" not in text
        assert "2071838750" not in text
    assert '"turn.metrics"' in served


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"turn.metrics","turn_number":1,"user_text":"CANARY","user_text":"CANARY","agent_text":null}',
        '{"type":"turn.metrics","turn_number":1,"user_\\u0074ext":"CANARY"}',
        '{"type":"turn.metrics","turn_number":1,"pipeline":"user_text","user_text" : "CANARY \\" \\\\","agent_text":"CANARY\\\\"}',
        '{"agent_text":"\\"user_text\\":CANARY","user_text":"CANARY","type":"turn.metrics","turn_number":1}',
        '{"type":"turn.metrics","turn_number":1,"user_text":"CANARY \\ud83d\\ude00","caller":"CANARY","note":{"user_text":"CANARY"}}',
    ],
)
def test_peculiar_frames_show_no_text(frame: str) -> None:
    """A key that is escaped, comes twice or stands elsewhere brings nothing of what was said to light, and costs no turn."""
    core = LiveCore()
    core.call().feed.consume(frame, core.now)
    served = everything(core, "as-1")
    assert "CANARY" not in served
    assert core.row().turns == 1


def test_ids_and_models_that_hold_a_number_are_masked() -> None:
    """A session id, a model or a tool that contains a phone number is masked, and the caller's own number in any format."""
    core = LiveCore()
    call = core.call("as-1", caller="+14155550142")
    call.send("tool.called", name="call +44 20 7183 8750")
    call.turn(1, llm_model="gpt +1-415-555-0142", llm_request_id="tel:+442071838750")
    served = everything(core, "as-1")
    for digits in ("4155550142", "415-555-0142", "7183 8750", "442071838750"):
        assert digits not in served
    call.turn(2, agent_tool_id="+44 20 7183 8750", llm_ttft_ms=400)
    call.send("turn.completed", turn_id="+44 20 7183 8750")
    assert "7183 8750" not in everything(core, "as-1")
    other = core.call("c-14155550142-x", caller="+14155550142")
    other.turn(1, llm_ttft_ms=400)
    assert "4155550142" not in core.update().state().decode()


def test_with_content_turns_have_their_texts() -> None:
    """With --live-content the texts of turns are shown, and nothing else personal."""
    core = LiveCore(content=True)
    call = core.call(caller=NUMBER)
    call.turn(1, user_perceived_ms=900, user_text="where is my order", agent_text='it is "here"\n')
    call.send("tool.called", name="t", arguments={"a": CANARY})
    [turn] = core.detail().turns
    assert (turn.user_text, turn.agent_text) == ("where is my order", 'it is "here"\n')
    assert "where is my order" in core.page()
    assert core.lines()[1]["event"]["user_text"] == "where is my order"
    assert CANARY not in everything(core, "as-1")
    assert "4155550142" not in everything(core, "as-1")


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\u0000" + "w" * 300


def test_the_file_takes_no_text_for_markup() -> None:
    """Markup in every text from the wire is text in the HTML file, and long texts are cut."""
    core = LiveCore()
    call = core.call("as-1", agent=HOSTILE, call_id=HOSTILE)
    call.turn(1, user_perceived_ms=2000, llm_ttft_ms=1800, llm_model=HOSTILE, error_source=HOSTILE, llm_provider=HOSTILE)
    call.send("session.error", code=HOSTILE)
    call.send("tool.called", name=HOSTILE)
    call.send("session.ended", reason=HOSTILE)
    page = core.page("as-1")
    assert "<script" not in page
    assert "<img" not in page
    assert "w" * 250 not in page
    assert "default-src &#x27;none&#x27;" in page
