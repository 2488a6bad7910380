"""The tap on an ``AgentSession`` of LiveKit Agents 1.2 or newer, in one line.

Nothing of LiveKit is imported: the session that is passed has all that is needed, and what it has is asked, not its version.
docs/livekit.md has the mapping of its numbers, field by field.
"""

from agentstack_tap.livekit.attachment import attach

__all__ = ["attach"]
