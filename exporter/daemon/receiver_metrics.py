"""The reports of receivers, recorded in the exporter's own metrics and, for refusals, in the log."""

import logging
from collections.abc import Callable

from exporter.auth.peer import peer_name
from exporter.metrics.self_metrics import SelfMetrics
from exporter.receivers.observer_interfaces import ProxyObserver, RelayDropReason, TapObserver
from exporter.receivers.proxy.registry import LOOP

log = logging.getLogger(__name__)


class ReceiverMetrics(ProxyObserver, TapObserver):
    """The one observer of all receivers, and of the telemetry listener. ``now`` is unix seconds."""

    def __init__(self, metrics: SelfMetrics, now: float) -> None:
        self._metrics = metrics
        self._observe_delay = metrics.relay_delay.observer(now=now)

    def connected(self) -> None:
        """Count an accepted connection."""
        self._metrics.connections[0] += 1.0
        self._metrics.connections_active.add(1)

    def disconnected(self) -> None:
        """Count the end of an accepted connection."""
        self._metrics.connections_active.add(-1)

    def refused(self, reason: str, peer: object = None, *, status: int | None = None, problem: str = "") -> None:
        """Count and log a connection or request that was refused, or a connection closed by the exporter."""
        self._metrics.connections_refused.add(1, reason=reason)
        extra: dict[str, object] = {"reason": reason, "peer": peer_name(peer)}
        if status is not None:
            extra["status"] = status
        if problem:
            extra["problem"] = problem
        log.log(logging.ERROR if reason == LOOP.reason else logging.INFO, "connection refused", extra=extra)

    def tap_connected(self) -> None:
        """Count a connected tap."""
        self._metrics.taps_active.add(1)

    def tap_disconnected(self) -> None:
        """Count the end of a tap's connection."""
        self._metrics.taps_active.add(-1)

    def tap_dropped(self, reason: str, events: int) -> None:
        """Count the events that a tap reports as dropped."""
        self._metrics.tap_dropped.add(events, reason=reason)

    def tap_duplicate(self) -> None:
        """Count an event that a tap sent again."""
        self._metrics.tap_repeated[0] += 1.0

    def upstream_failed(self, reason: str) -> None:
        """Count a connection that the app did not get or refused."""
        self._metrics.upstream_failures.add(1, reason=reason)

    def upstream_connected(self, duration: float) -> None:
        """Record the seconds that connecting to the app took."""
        self._metrics.upstream_connect.observe(duration)

    @property
    def relay_delay(self) -> Callable[[float], None]:
        """Records the seconds that forwarding took."""
        return self._observe_delay

    def relay_dropped(self, reason: RelayDropReason) -> None:
        """Count a message that was forwarded but not measured."""
        self._metrics.relay_dropped.add(1, reason=reason)
