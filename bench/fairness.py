"""How long the event loop is held while connections flood, and how long a quiet call waits meanwhile.

The gap is the greatest lateness of a task in the exporter that should run every millisecond. The quiet call sends an event with a
timestamp every 10 ms. How long it takes to be processed is read from the exporter's own histogram of event lag. The flood adds
nothing to that histogram, because its turns have no timestamp.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench import frames
from bench.contestants import Contestant, running
from bench.frames import Load, load
from bench.peers import Peers, peers
from bench.report import table
from bench.steady import frame_of, now_text

FLOODS = (0, 1, 10, 50)
"""How many connections flood."""
_EVERY = 0.01
_LAG = "agentstack_exporter_event_lag_seconds_bucket"


@contextmanager
def quiet_call(group: Peers) -> Iterator[list[int]]:
    """A call that sends slowly during the block; the list holds how many events it sent."""
    over, sent = threading.Event(), [0]
    frame = frame_of(next(frames.of_type("user.state_changed")))

    def talk() -> None:
        while not over.wait(_EVERY):
            group.sockets[0].sendall(frame.at(now_text()))
            sent[0] += 1

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        yield sent
    finally:
        over.set()
        talking.join()


def round_of(exporter: Contestant, floods: int, traffic: Load, seconds: float) -> tuple[float, float]:
    """One round: the longest gap, and the bucket bound below which 99 % of the quiet call's events lie, in seconds."""
    known, before = exporter.processed(), _lags(exporter)
    with peers(exporter.port, 1) as quiet, peers(exporter.port, floods) as flooding:
        exporter.settle(known + 1 + floods)
        exporter.longest_gap()
        begun, flooded = time.perf_counter(), 0
        with quiet_call(quiet) as sent:
            while time.perf_counter() - begun < seconds:
                if floods:
                    flooded += flooding.flood(traffic)
                else:
                    time.sleep(_EVERY)
        gap = exporter.longest_gap()
        exporter.settle(known + 1 + floods + flooded + sent[0])
    grown = {bound: count - before.get(bound, 0.0) for bound, count in _lags(exporter).items()}
    return gap, next(bound for bound, count in sorted(grown.items()) if count >= 0.99 * sent[0])


def _lags(exporter: Contestant) -> dict[float, float]:
    return {float(sample.labels["le"]): sample.value for sample in exporter.metrics() if sample.name == _LAG}


def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds, rounds = (0.3, 2) if quick else (2.0, 5)
    rows = []
    traffic = {
        "turn.metrics": load("", frames.turns(), 400),
        "user.transcription": load("", frames.of_type("user.transcription"), 2000),
    }
    with running("watched") as exporter:
        for name, flood in traffic.items():
            for floods in FLOODS:
                found = [round_of(exporter, floods, flood, seconds) for _ in range(rounds)]
                gaps = [gap for gap, _ in found]
                lag = max(bound for _, bound in found)
                rows.append((name, str(floods), f"{median(gaps) * 1e3:.1f} ms", f"{max(gaps) * 1e3:.1f} ms", f"≤ {lag * 1e3:g} ms"))
    table(("flood of", "connections", "longest gap, median", "worst", "p99 of a quiet call’s events"), rows)
