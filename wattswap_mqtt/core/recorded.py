"""Load and PV from recorded series instead of the models: exact means over any step, so that energy is conserved.

Outside its span a series repeats by whole weeks, at the same time of the local clock: weekdays stay weekdays, and a
year (52 weeks) keeps its seasons.  One that is shorter than a week repeats by whole days.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.moments import DAY_S, quarter_start

WEEK_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Series:
    """Mean powers by even intervals, which begin at `start_s`: values (intervals, columns) in kW."""

    start_s: float
    step_s: float
    kw: Floats
    column: Ints  # (n,): which column each home follows, -1 for none
    tz: str

    @property
    def end_s(self) -> float:
        """When the last interval ends."""
        return self.start_s + self.step_s * len(self.kw)

    @property
    def period_s(self) -> float:
        """After how long the series repeats."""
        span_s = self.end_s - self.start_s
        unit_s = WEEK_S if span_s >= WEEK_S else DAY_S
        return span_s // unit_s * unit_s

    def mean_kw(self, time_s: float, dt_s: float) -> Floats:
        """Return each home's mean over [time_s, time_s + dt_s], which lies in a quarter hour: (n,), NaN for none."""
        begin = (self._within(time_s) - self.start_s) / self.step_s
        end = begin + dt_s / self.step_s
        first, last = int(begin + 1e-9), int(np.ceil(end - 1e-9))
        if last - first <= 1:
            kw = self.kw[min(first, len(self.kw) - 1)]
        else:
            rows = np.arange(first, last)
            share = np.minimum(rows + 1, end) - np.maximum(rows, begin)
            kw = (share / share.sum()) @ self.kw.take(rows, axis=0, mode="clip")
        return np.where(self.column < 0, np.nan, kw[self.column])

    def _within(self, time_s: float) -> float:
        """Return the moment of the series that stands for `time_s`."""
        if self.start_s <= time_s < self.end_s:
            return time_s
        quarter_s = quarter_start(time_s)
        shift_s = (quarter_s - self.start_s) // self.period_s * self.period_s
        summer_s = self._offset_s(quarter_s) - self._offset_s(quarter_s - shift_s)
        moved_s = time_s - shift_s + summer_s
        return moved_s if self.start_s <= moved_s < self.end_s else moved_s - summer_s

    def _offset_s(self, time_s: float) -> float:
        offset = datetime.fromtimestamp(time_s, UTC).astimezone(ZoneInfo(self.tz)).utcoffset()
        return offset.total_seconds() if offset else 0.0


class Recorded(NamedTuple):
    """What is driven by recorded series."""

    load: Series | None = None
    pv: Series | None = None

    @property
    def homes(self) -> Ints:
        """Row numbers of the homes that follow a series."""
        follows = [series.column >= 0 for series in self if series is not None]
        return np.flatnonzero(np.any(follows, axis=0)) if follows else np.zeros(0, np.int64)

    def powers(self, time_s: float, dt_s: float) -> "Powers":
        """Return the means over a step."""
        return Powers(*(None if series is None else series.mean_kw(time_s, dt_s) for series in self))


class Powers(NamedTuple):
    """Recorded means over a step: (n,) kW, NaN for a home that has none."""

    load: Floats | None
    pv: Floats | None

    def of(self, homes: slice) -> Self:
        """Return those of some of the homes."""
        return self._replace(
            load=None if self.load is None else self.load[homes], pv=None if self.pv is None else self.pv[homes]
        )
