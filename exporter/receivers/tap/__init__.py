"""The tap receiver: one connection of a tap in the customer's app carries many calls."""
