"""Who is let in: one pure decision about an opening handshake, whichever way in it knocks at."""

from exporter.door.decision import Door, Load, Refusal, Rules
from exporter.door.handshake import Handshake
from exporter.door.secrets import SecretSet
from exporter.door.signatures import Signatures

__all__ = ["Door", "Handshake", "Load", "Refusal", "Rules", "SecretSet", "Signatures"]
