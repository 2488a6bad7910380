"""What calls cost, turn by turn, where the operator has said what providers take.

The basis is turn.metrics and nothing else: session.usage says the same again, cumulatively and without the audio tokens apart. What has
no price is counted as it was used, so that a cost is never silently too low.
"""

from exporter.analysis.prices import PriceList, used_by
from exporter.catalogue import operator_metrics
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Instrument, Store


class Cost:
    """Adds up dollars, and what has no price."""

    def __init__(self, store: Store, limiter: LabelLimiter, prices: PriceList | None) -> None:
        self._limiter = limiter
        self._prices = prices
        self._cost = Instrument(store, operator_metrics.COST)
        self._unpriced = Instrument(store, operator_metrics.UNPRICED_USAGE)

    def turn(self, event: TurnMetrics, now: float) -> None:
        """A turn of which nothing was counted before."""
        if self._prices is None:
            return
        for used in used_by(event):
            if not used.amounts:
                continue
            labels = (used.component, *self._limiter.pair(used.component, used.provider, used.model, now))
            price = self._prices.find(*labels)
            for kind, amount in used.amounts.items():
                each = None if price is None else price.of_one(kind)
                if each is None:
                    self._unpriced.add(amount, *labels, kind, now=now)
                else:
                    self._cost.add(each * amount, *labels, now=now)
