"""The vocabulary in which every event field and every metric is declared, and what is derived from the declarations."""
