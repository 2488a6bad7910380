"""Who is let in: one pure decision about an opening handshake, whichever way in it knocks at."""

from exporter.auth.handshake import Handshake
from exporter.auth.policy import Door, Load, Refusal, Rules
from exporter.auth.secrets import SecretSet
from exporter.auth.signatures import Signatures

__all__ = ["Door", "Handshake", "Load", "Refusal", "Rules", "SecretSet", "Signatures"]
