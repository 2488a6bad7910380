"""A call of raw audio streaming. Its frames have the field ``event`` and nested objects, unlike the managed events."""

import base64
from collections.abc import Iterator
from random import Random

from exporter.simulate.moments import Moments, Timed

_FRAME_MS = 20
_CONTENT_TYPE = "audio/x-mulaw"
_RATE = 8000


def streaming_call(rng: Random, moments: Moments, stream_id: str, call_id: str, frames: int) -> Iterator[Timed]:
    """The events of the call: ``frames`` media frames (50 a second), then key presses and reports on what the app played."""
    media_format = {"type": _CONTENT_TYPE, "rate": _RATE}
    yield (
        0,
        {
            "event": "start",
            "streamId": stream_id,
            "start": {"streamId": stream_id, "callId": call_id, "mediaFormat": media_format},
        },
    )
    payload = base64.b64encode(rng.randbytes(_RATE * _FRAME_MS // 1000)).decode()
    for number in range(1, frames + 1):
        at = number * _FRAME_MS
        media = {"payload": payload, "contentType": _CONTENT_TYPE, "sampleRate": _RATE, "timestamp": moments.rfc3339(at)}
        yield at, {"event": "media", "streamId": stream_id, "media": media}
    at = frames * _FRAME_MS
    for checkpoint in range(1, rng.randint(2, 4)):
        at += rng.randint(400, 1500)
        yield at, {"event": "playedStream", "name": f"cp-{checkpoint}"}
    if rng.random() < 0.7:
        yield at + 200, {"event": "dtmf", "dtmf": {"digit": rng.choice("0123456789*#")}}
    if rng.random() < 0.5:
        yield at + 400, {"event": "clearedAudio"}
    yield at + 700, {"event": "stop"}
