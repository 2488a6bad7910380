"""Frames that are no good: what a broken, careless or hostile peer could send, with the reason under which each is rejected."""

from exporter.protocol.reasons import RejectionReason

Frame = str | bytes

LIMIT = 65_536
TURN = '{"type":"turn.metrics","turn_number":1,"llm_ttft_ms":%s}'
ERROR = '{"type":"session.error","message":"%s"}'
DTMF = '{"type":"user.dtmf",%s}'
MEDIA = '{"event":"media","media":{"sampleRate":%s}}'
BACKCHANNEL = '{"type":"user.backchannel","probabilities":[%s]}'
USAGE = '{"type":"session.usage","models":[{"type":"llm_usage","input_tokens":%s}]}'
AVAILABILITY = '{"type":"turn.metrics","llm_availability":{%s}}'
CALLED = '{"type":"tool.called","arguments":%s}'


def _padded(size: int) -> str:
    """A well-formed event of exactly so many bytes."""
    empty = ERROR % ""
    return ERROR % ("x" * (size - len(empty)))


REJECTED: dict[str, tuple[Frame, RejectionReason]] = {
    "nothing": ("", RejectionReason.EMPTY),
    "no bytes": (b"", RejectionReason.EMPTY),
    "white space": (" \r\n\t ", RejectionReason.EMPTY),
    "NUL": ("\x00", RejectionReason.NOT_JSON),
    "NUL at the end": ('{"type":"user.dtmf"}\x00', RejectionReason.NOT_JSON),
    "NUL in a string": ('{"type":"user.dtmf","digit":"\x00"}', RejectionReason.NOT_JSON),
    "byte order mark": ('\ufeff{"type":"user.dtmf"}', RejectionReason.NOT_JSON),
    "byte order mark in bytes": (b'\xef\xbb\xbf{"type":"user.dtmf"}', RejectionReason.NOT_JSON),
    "UTF-16": ('{"type":"user.dtmf"}'.encode("utf-16"), RejectionReason.NOT_UTF8),
    "binary": (bytes(range(256)), RejectionReason.NOT_UTF8),
    "bad UTF-8 in a value": (b'{"type":"user.dtmf","digit":"\xff"}', RejectionReason.NOT_UTF8),
    "bad UTF-8 in a key": (b'{"type":"user.dtmf","\xc3\x28":1}', RejectionReason.NOT_UTF8),
    "bad UTF-8 outside a string": (b'{"type":"user.dtmf"}\xff', RejectionReason.NOT_UTF8),
    "surrogate in UTF-8": (b'{"type":"user.dtmf","digit":"\xed\xa0\x80"}', RejectionReason.NOT_UTF8),
    "overlong UTF-8": (b'{"type":"user.dtmf","digit":"\xc0\xaf"}', RejectionReason.NOT_UTF8),
    "data after the event": ('{"type":"user.dtmf"}{"type":"user.dtmf"}', RejectionReason.NOT_JSON),
    "cut off": ('{"type":"turn.metrics","llm_ttft_ms":4', RejectionReason.NOT_JSON),
    "cut off after an emoji": (r'{"type":"session.error","message":"\ud83d\ude00"', RejectionReason.NOT_JSON),
    "cut off after the word NaN": ('{"type":"session.error","message":"NaN"', RejectionReason.NOT_JSON),
    "single quotes": ("{'type':'user.dtmf'}", RejectionReason.NOT_JSON),
    "comment": ('{"type":"user.dtmf"/* */}', RejectionReason.NOT_JSON),
    "comma at the end": ('{"type":"user.dtmf",}', RejectionReason.NOT_JSON),
    "NaN alone": ("NaN", RejectionReason.NOT_FINITE),
    "surrogate in the type": (r'{"type":"\ud800"}', RejectionReason.LONE_SURROGATE),
    "unescaped surrogate in the type": ('{"type":"\udfff"}', RejectionReason.LONE_SURROGATE),
    "a deep array": ("[" * 30_000 + "]" * 30_000, RejectionReason.TOO_DEEP),
    "a deep array that does not end": ("[" * 60_000, RejectionReason.TOO_DEEP),
    "a deep object": ('{"a":' * 10_000 + "1" + "}" * 10_000, RejectionReason.TOO_DEEP),
    "null": ("null", RejectionReason.NOT_OBJECT),
    "true": ("true", RejectionReason.NOT_OBJECT),
    "a number": ("5", RejectionReason.NOT_OBJECT),
    "a string": ('"user.dtmf"', RejectionReason.NOT_OBJECT),
    "an array": ('[{"type":"user.dtmf"}]', RejectionReason.NOT_OBJECT),
    "NaN as type": ('{"type":NaN}', RejectionReason.NOT_FINITE),
    "an empty object": ("{}", RejectionReason.NO_TYPE),
    "no type": ('{"digit":"1"}', RejectionReason.NO_TYPE),
    "an empty type": ('{"type":""}', RejectionReason.NO_TYPE),
    "a number as type": ('{"type":5}', RejectionReason.NO_TYPE),
    "an object as type": ('{"type":{"type":"user.dtmf"}}', RejectionReason.NO_TYPE),
    "the type twice, the last no text": ('{"type":"user.dtmf","type":5}', RejectionReason.NO_TYPE),
    "a list as type": ('{"type":["user.dtmf"],"event":null}', RejectionReason.NO_TYPE),
    "many spaces": (" " * (LIMIT + 1), RejectionReason.EMPTY),
    "half a megabyte": (b"\x00" * 500_000, RejectionReason.NOT_JSON),
    "a megabyte": (b"\x00" * 1_000_000, RejectionReason.TOO_LARGE),
    "a long event that is cut off": (_padded(LIMIT + 2)[:-1], RejectionReason.NOT_JSON),
    "a long event without a type": ('{"a":"%s"}' % ("x" * LIMIT), RejectionReason.NO_TYPE),
    "a long list": ("[1" + ",1" * LIMIT + "]", RejectionReason.NOT_OBJECT),
    "too many parts": (CALLED % ("[[[1]]]," * 600_000), RejectionReason.TOO_LARGE),
}
"""Frames that are no event, by what they are."""

TOLERATED: dict[str, Frame] = {
    "depth in a field that takes anything": CALLED % ("[" * 5_000 + "]" * 5_000),
    "depth in a field that takes numbers": TURN % ("[" * 5_000 + "]" * 5_000),
    "depth in an unknown field": '{"type":"user.dtmf","zzz":%s}' % ('{"a":' * 5_000 + "1" + "}" * 5_000),
    "depth in an unknown event": '{"type":"zzz","a":%s}' % ("[" * 5_000 + "]" * 5_000),
    "just small enough": _padded(LIMIT),
    "just small enough as bytes": _padded(LIMIT).encode(),
    "many bytes, just small enough": ERROR % ("語" * 21_800),
    "one byte more": _padded(LIMIT + 1),
    "one byte more as bytes": _padded(LIMIT + 1).encode(),
    "few characters and many bytes": ERROR % ("語" * 30_000),
    "NaN in a long event": '{"type":"turn.metrics","llm_ttft_ms":NaN,"text":"%s"}' % ("x" * LIMIT),
    "white space around": ' \n{ "type" : "user.dtmf" }\n ',
    "-0": TURN % "-0",
    "-0.0": TURN % "-0.0",
    "1e-999": TURN % "1e-999",
    "2**63 - 1": TURN % (2**63 - 1),
    "1e308": TURN % "1e308",
    "many digits behind the point": TURN % ("0." + "3" * 5_000),
    "NaN": TURN % "NaN",
    "Infinity": TURN % "Infinity",
    "minus Infinity": TURN % "-Infinity",
    "NaN in a list": CALLED % "[1, NaN]",
    "high surrogate": ERROR % r"\ud800",
    "low surrogate": ERROR % r"\udc00",
    "high surrogate and a letter": ERROR % r"\ud800a",
    "surrogates the wrong way round": ERROR % r"\ude00\ud83d",
    "high surrogate in capitals": ERROR % r"\uD8FF",
    "surrogate in a key": r'{"type":"user.dtmf","\ud800":1}',
    "unescaped high surrogate": ERROR % "\ud800",
    "unescaped low surrogate": ERROR % "\udc00",
    "1e999": TURN % "1e999",
    "-1e999": TURN % "-1e999",
    "1e999 in an unknown field": '{"type":"user.dtmf","zzz":{"a":[1e999]}}',
    "2**63": TURN % 2**63,
    "-2**63 - 1": TURN % (-(2**63) - 1),
    "2**70": TURN % 2**70,
    "10**400": TURN % f"1{'0' * 400}",
    "a number of 5000 digits": TURN % ("9" * 5000),
    "5000 digits in an unknown field": '{"type":"user.dtmf","zzz":%s}' % ("9" * 5000),
    "an exponent of 5000 digits": TURN % f"1e{'9' * 5000}",
    "2**70 in arguments": CALLED % 2**70,
    "10**300 in a nested field": MEDIA % f"1{'0' * 300}",
    "10**300 in a list of numbers": BACKCHANNEL % f"1{'0' * 300}",
    "10**300 in usage": USAGE % f"1{'0' * 300}",
    "the highest turn": '{"type":"turn.metrics","agent_tool_id":"a","turn_number":1e7}',
    "a surrogate pair": ERROR % r"\ud83d\ude00",
    "an escaped backslash before u": ERROR % r"\\ud800",
    "escaped NUL": ERROR % r"\u0000",
    "control characters in names": r'{"type":"\u0000\u001b[2J\n","a\u0007":1}',
    "control characters in a label": r'{"type":"session.error","code":"a\u0000\"\\\n{}=,"}',
    "the type twice": '{"type":"user.dtmf","type":"turn.metrics"}',
    "a field twice": '{"type":"turn.metrics","llm_ttft_ms":5,"llm_ttft_ms":"x"}',
    "both type and event": '{"type":"user.dtmf","event":"stop"}',
    "both event and type": '{"event":"stop","type":"user.dtmf"}',
    "type null and event": '{"type":null,"event":"clearedAudio"}',
    "event of another form": '{"type":"media","media":{"payload":"AAAA"}}',
    "unknown type": '{"type":"user.levitated"}',
    "unknown event": '{"event":"levitated"}',
    "a thousand unknown fields": DTMF % ",".join(f'"f{number}":1' for number in range(1000)),
    "an unknown field without a name": '{"type":"user.dtmf","":1}',
    "a huge key": '{"type":"user.dtmf","%s":1}' % ("k" * 60_000),
    "a huge type": '{"type":"%s"}' % ("t" * 60_000),
    "a huge label": '{"type":"session.error","code":"%s"}' % ("c" * 60_000),
    "a huge agent": '{"type":"session.started","agent_id":"%s"}' % ("a" * 60_000),
    "many models": AVAILABILITY % ",".join(f'"l{number}":true' for number in range(3000)),
    "depth that is just allowed": CALLED % ("[" * 200 + "]" * 200),
    "padding and nothing else": '{"event":"media","media":{"payload":"=="}}',
    "the first moment": '{"type":"user.state_changed","new_state":"away","timestamp":"0001-01-01T00:00:00+23:59"}',
    "the last moment": '{"type":"user.state_changed","new_state":"away","timestamp":"9999-12-31T23:59:59-23:59"}',
    "nested parts of wrong types": '{"event":"start","start":{"mediaFormat":7,"callId":[]}}',
    "everything null": '{"type":"turn.metrics","turn_number":null,"pipeline":null,"llm_availability":null}',
}
"""Frames that are odd but name an event: something of them is processed or ignored, nothing rejected."""
