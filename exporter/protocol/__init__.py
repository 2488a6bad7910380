"""Bytes ↔ events: the decoder of frames, the ids of calls, turns and spans, the app's commands."""
