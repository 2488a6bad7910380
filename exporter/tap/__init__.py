"""A tap in your own app: hands the events of its calls to the exporter, and never gets in their way.

    from exporter.tap import attach
    attach(app, "ws://127.0.0.1:8790/ws")

Needs the standard library and ``websockets``, nothing else of the exporter.
"""

from exporter.tap.client import Tap, TapStats
from exporter.tap.voice_app import attach

__all__ = ["Tap", "TapStats", "attach"]
