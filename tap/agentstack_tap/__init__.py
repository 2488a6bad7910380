"""The tap: one line in a customer's own app, and the exporter sees its calls.

The package runs inside that app. It imports the standard library and ``websockets`` only, and sends from a thread of its own. It never
raises into the app and never makes it wait. docs/tap.md has its guarantees and the protocol.
"""

from agentstack_tap.client import Stats, Tap
from agentstack_tap.voice_app import attach

__version__ = "0.1.0"
__all__ = ["Stats", "Tap", "attach"]
