"""The relay before the customer's app: bytes pass first, and a copy of them is observed."""
