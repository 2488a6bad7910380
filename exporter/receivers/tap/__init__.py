"""Connections of taps, which carry many calls at once."""
