"""The battery: how much power it may take and give now, and what that leaves in its cells."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAPER_FROM = 0.9
"""State of charge above which the charge power falls linearly …"""
TAPER_FLOOR = 0.05
"""… to this share of the rating."""


def max_charge_kw(stored_kwh: Floats, capacity_kwh: Floats, rating_kw: Floats) -> Floats:
    """Return the charge power (AC) that the management system allows at this state of charge."""
    headroom = (1.0 - stored_kwh / capacity_kwh) / (1.0 - TAPER_FROM)
    return rating_kw * np.minimum(np.maximum(headroom, TAPER_FLOOR), 1.0)


def room_kwh(stored_kwh: Floats, capacity_kwh: Floats, efficiency: Floats) -> Floats:
    """Return the energy (AC) that fills it."""
    return np.maximum(capacity_kwh - stored_kwh, 0.0) / efficiency


def above_reserve_kwh(stored_kwh: Floats, reserve_kwh: Floats, efficiency: Floats) -> Floats:
    """Return the energy (AC) it can give before the reserve is reached."""
    return np.maximum(stored_kwh - reserve_kwh, 0.0) * efficiency


def stored_after_kwh(
    stored_kwh: Floats, capacity_kwh: Floats, efficiency: Floats, charge_kw: Floats, discharge_kw: Floats, hours: float
) -> Floats:
    """Return stored + (charge · η - discharge / η) · h, with η one way."""
    after = stored_kwh + (charge_kw * efficiency - discharge_kw / efficiency) * hours
    return np.minimum(np.maximum(after, 0.0), capacity_kwh)
