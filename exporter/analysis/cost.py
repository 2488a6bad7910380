"""What calls cost, turn by turn, according to the operator's price list.

Only turn.metrics count. session.usage reports the same usage again, as totals and without separate audio tokens. Usage that has no
price, and what a total has beyond its parts, is counted as usage, so that a cost that is too low can be seen.
"""

from exporter.analysis.prices import PriceList, used_by
from exporter.catalogue import operator_metrics
from exporter.events.turn_metrics import TurnMetrics
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Row, Store


class CostCounter:
    """Adds up dollars, and the usage that has no price."""

    def __init__(self, store: Store, limiter: LabelLimiter, prices: PriceList | None) -> None:
        self._limiter = limiter
        self._prices = prices
        self._cost = Instrument(store, operator_metrics.COST)
        self._unpriced = Instrument(store, operator_metrics.UNPRICED_USAGE)

    def replace_prices(self, prices: PriceList) -> None:
        """Use other prices from the next turn on."""
        self._prices = prices

    def add(self, event: TurnMetrics, now: float) -> float | None:
        """Add a turn that was not counted before. Returns its cost, or ``None`` if there are no prices."""
        if self._prices is None:
            return None
        total = 0.0
        for used in used_by(event):
            if not any(used.measures):
                continue
            component = used.component
            provider, model = self._limiter.pair(component, used.provider, used.model, now)
            price = self._prices.find(component, provider, model)
            cost: Row | None = None
            for kind, amount in used.measured(price).items():
                unit_price = None if price is None else price.per_unit(kind)
                if unit_price is None:
                    self._unpriced.add(amount, component=component, provider=provider, model=model, kind=kind, now=now)
                else:
                    cost = cost or self._cost.row(component=component, provider=provider, model=model, now=now)
                    cost[0] += unit_price * amount
                    total += unit_price * amount
        return total
