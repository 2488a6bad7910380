"""The tap: one line in a customer's own app, and the exporter sees its calls.

This package runs inside that app. It imports the standard library and ``websockets`` only, sends from a thread of its own, and neither
raises into the app nor makes it wait. docs/tap.md has its guarantees and the protocol.
"""

from exporter.tap.client import Stats, Tap
from exporter.tap.voice_app import attach

__all__ = ["Stats", "Tap", "attach"]
