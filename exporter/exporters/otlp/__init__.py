"""What is sent to a collector: metrics, spans, and the sender that loses none."""
