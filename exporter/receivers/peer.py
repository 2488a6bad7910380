"""The peer of a connection, as log lines name it."""


def peer_name(address: object) -> str:
    """Host and port of a socket's address; ``unknown`` if the connection has none, as over a Unix socket."""
    if not isinstance(address, tuple | list) or len(address) < 2:
        return "unknown"
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
