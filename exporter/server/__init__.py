"""Listeners, their TLS, and the protocols that uvicorn runs on them."""
