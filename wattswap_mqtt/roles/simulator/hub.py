"""The pace of `M/hub`: a value is told rounded, when it moved enough, not too often: databases stay small."""

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core.metering import Readings
from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.stacked import rounded

_DEADBAND = np.array([[path.quantity.deadband] for path in QUANTITIES])
_EVERY_S = np.array([[path.quantity.every_s] for path in QUANTITIES])


def some_of(readings: Readings, chosen: NDArray[np.bool_]) -> Readings:
    """Return the readings of some of the meters: `chosen` has shape (m,)."""
    return readings._replace(
        meters=readings.meters[chosen], values=readings.values[:, chosen], alarms=readings.alarms[chosen]
    )


class HubPace:
    """What hubs were told last, for n meters."""

    def __init__(self, n: int) -> None:
        self._told = np.full((len(QUANTITIES), n), np.nan)
        self._told_at_s = np.full((len(QUANTITIES), n), -np.inf)
        self._told_alarms = np.full(n, -1, np.int64)

    def due(self, readings: Readings, now_s: float, *, at_once: bool) -> Readings | None:
        """Return what hubs are to be told now, None if nothing; `at_once` tells them everything.

        A quantity that is not due keeps the value that was told last.
        """
        columns = slice(None) if len(readings.meters) == self._told.shape[1] else readings.meters
        told, told_at_s = self._told[:, columns], self._told_at_s[:, columns]
        if at_once:
            moved = np.ones_like(told, dtype=np.bool_)
        else:
            distance = np.abs(readings.values - told)
            moved = (distance >= _DEADBAND) & (distance > 0.0)
            moved |= np.isnan(readings.values) != np.isnan(told)
            moved &= now_s - told_at_s >= _EVERY_S
        due = moved.any(axis=0) | (self._told_alarms[columns] != readings.alarms)
        if not due.any():
            return None
        values = np.where(moved, rounded(readings.values, for_hubs=True), told)
        self._told[:, columns] = values
        self._told_at_s[:, columns] = np.where(moved, now_s, told_at_s)
        self._told_alarms[columns] = readings.alarms
        return some_of(readings._replace(values=values), due)
