"""A limit on how often something may happen."""


class TokenBucket:
    """Allows ``rate`` events a second, and a burst of one second's events. A rate of 0 allows all."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._capacity = self._tokens = max(rate, 1.0)
        self._filled_at = now

    def take(self, now: float) -> float:
        """Return 0 if an event is allowed ``now``, or the seconds until one is."""
        if not self._rate:
            return 0.0
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1.0:
            return max((1.0 - self._tokens) / self._rate, 0.001)
        self._tokens -= 1.0
        return 0.0
