"""Events → spans, written as OTLP bytes the moment they are complete. There is no span object.

- ``processor`` takes the events: it buffers what small events contribute (``contributions``) and writes turns and sessions when due.
- One module a kind of span writes it: ``session_span``, ``turn_spans`` (with ``turn_encoder``), ``tool_spans``, ``chat_spans``.
- ``timeline`` works out when the stages of a turn happened; ``sampling`` decides which traces leave the process.
- ``attributes`` compiles the catalogue's declarations to functions that write attributes; ``turn_attributes`` does so for a whole turn.
- ``encoder`` knows the fields of an OTLP span; ``handlers`` has the types that the package shares with its callers.
"""
