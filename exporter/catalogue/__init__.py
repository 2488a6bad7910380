"""The catalogue: the vocabulary for declaring event fields and metrics, and what is derived from the declarations."""
