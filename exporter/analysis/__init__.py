"""What one event alone does not say: turns, waits, who speaks, states, usage, cost."""
