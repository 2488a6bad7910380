"""Who may connect: one pure decision about an opening handshake, the same for every receiver."""

from exporter.auth.handshake import Handshake
from exporter.auth.policy import AccessRules, AuthPolicy, ConnectionLoad, Refusal
from exporter.auth.secrets import SecretSet
from exporter.auth.signatures import Signatures

__all__ = ["AccessRules", "AuthPolicy", "ConnectionLoad", "Handshake", "Refusal", "SecretSet", "Signatures"]
