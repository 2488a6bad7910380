"""Measures what the exporter costs: ``python -m bench [NAME…]``; each benchmark prints Markdown."""

import argparse
from importlib import import_module

from bench import machine

BENCHMARKS = {
    "ingest": "processor time a frame, as a multiple of a bare sink",
    "fairness": "how long one loop turn takes when connections flood, and what others feel of it",
    "memory": "memory at the start and for each connection",
    "steady": "500 calls of 20 events a second for a minute: nothing lost, nothing growing",
    "growth": "cost of a turn with 5,000 sessions alive against 50, and after a million sessions",
    "soak": "10,000 events a second of calls that come and go for ten minutes (--long: an hour), everything on; only by name",
    "instructions": "where the instructions of an event go, by function, counted by valgrind; only by name",
    "cardinality": "a million hostile label combinations: series, overflow, memory",
    "delivered": "processor time a frame with every turn traced and delivered over OTLP",
    "post": "processor time of a request to a collector, against a bare connection and another client library",
    "live": "what keeping calls for /live costs, and five viewers of 500 calls",
    "relay": "what the relay adds to a round trip, against a direct connection and a proxy that observes nothing",
    "outage": "a collector that is away for five minutes at 200 spans a second",
    "scrape": "time and event loop stall of a scrape, alone and while events come in",
    "live_page": "/live in a browser with 500 calls: scripts and layout in a frame",
    "tap": "what a tap takes of an agent's event loop: in LiveKit Agents, Pipecat and plain apps",
    "otlp_metrics": "time and event loop stall of an OTLP export, against the SDK's encoder",
}

_ONLY_BY_NAME = ("instructions", "soak")


def main() -> None:
    """Run the chosen benchmarks, or all."""
    listing = "\n".join(f"  {name:13}{about}" for name, about in BENCHMARKS.items())
    arguments = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, epilog=f"benchmarks:\n{listing}", formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("names", metavar="NAME", nargs="*", help="a benchmark; the default is all")
    arguments.add_argument("--quick", action="store_true", help="a short smoke run; its numbers are not reliable")
    arguments.add_argument("--long", action="store_true", help="soak for an hour")
    chosen = arguments.parse_args()
    for name in chosen.names:
        if name not in BENCHMARKS:
            arguments.error(f"there is no benchmark {name!r}")
    machine.pin(0, machine.GENERATOR_CORE)
    print(f"{machine.about()}\n", flush=True)
    for name in chosen.names or [name for name in BENCHMARKS if name not in _ONLY_BY_NAME]:
        print(f"## {name}: {BENCHMARKS[name]}\n", flush=True)
        options = {"long": chosen.long} if name == "soak" else {}
        import_module(f"bench.{name}").run(quick=chosen.quick, **options)


if __name__ == "__main__":
    main()
