"""Bytes ↔ events: the decoder of frames, ids of calls, turns and spans, and the app's commands."""
