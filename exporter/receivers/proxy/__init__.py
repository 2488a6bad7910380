"""The relay: a receiver in front of the customer's app that forwards every byte and measures a copy."""
