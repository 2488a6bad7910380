"""Events → spans, written as bytes of OTLP the moment they are complete."""
