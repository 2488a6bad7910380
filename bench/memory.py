"""Memory of the exporter: at its start, and for each connection with a silent call."""

import time

from bench.contestants import running
from bench.machine import resident_kib
from bench.peers import peers
from bench.report import table

FEW = 20
"""Connections that are open before counting begins, so that memory allocated once is not counted."""
PROMISED_KIB, PROMISED_START_MIB = 32, 80
_SETTLE = 1.0


def run(*, quick: bool) -> None:
    """Measure and print."""
    steps = (200,) if quick else (1000, 5000)
    rows = []
    with running("exporter") as exporter:
        pid = exporter.process.pid
        start = resident_kib(pid)
        with peers(exporter.port, FEW) as group:
            exporter.settle(FEW)
            first = resident_kib(pid)
            for wanted in steps:
                group.open(wanted - len(group.sockets))
                exporter.settle(wanted)
                time.sleep(_SETTLE)
                group.answer_pings()
                now = resident_kib(pid)
                rows.append((f"{wanted:,}", f"{now / 1024:.1f} MiB", f"**{(now - first) / (wanted - FEW):.1f} KiB**"))
    print(f"At the start {start / 1024:.1f} MiB are resident; with {FEW} connections {first / 1024:.1f} MiB.\n")
    table(("connections", "resident", "a connection"), rows)
