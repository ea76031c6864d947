"""How simulated time keeps up with the wall: what is due, and how far behind it is."""

import math
from collections import deque

RATE_WINDOW = 30
"""Ticks over which the rate is measured."""


class Pace:
    """Counts the publish intervals of wall time still to be simulated; times are those of a monotonic clock."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.behind = 0
        """Intervals that are due and not simulated yet."""
        self._next_s = math.inf
        self._ended: deque[float] = deque(maxlen=RATE_WINDOW)

    def begin(self, now_s: float) -> None:
        """Note that time begins to pass: the first interval is due when it is over."""
        self._next_s = now_s + self.interval_s

    def wait_s(self, now_s: float) -> float:
        """Return how long nothing is due."""
        return 0.0 if self.behind else max(self._next_s - now_s, 0.0)

    def is_due(self, now_s: float) -> bool:
        """Note what has become due; tell whether anything is."""
        if now_s >= self._next_s:
            passed = math.floor((now_s - self._next_s) / self.interval_s) + 1
            self.behind += passed
            self._next_s += passed * self.interval_s
        return self.behind > 0

    def done(self, intervals: int, now_s: float) -> None:
        """Note that some intervals were simulated and published."""
        self.behind -= intervals
        self._ended.append(now_s)

    @property
    def lag_s(self) -> float:
        """Wall time that is due and not simulated yet."""
        return self.behind * self.interval_s

    @property
    def tick_rate_hz(self) -> float:
        """Published ticks per second, measured."""
        if len(self._ended) < 2:
            return 0.0
        return (len(self._ended) - 1) / max(self._ended[-1] - self._ended[0], 1e-9)
