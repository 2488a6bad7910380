"""What a call remembers: its registry, and the state that the stages keep in it."""
