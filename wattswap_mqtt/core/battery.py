"""The battery: how much power it may take and give, and what that leaves in its cells."""

import numpy as np

from wattswap_mqtt.core.arrays import ZERO, Floats, constant

TAPER_FROM = 0.9
"""State of charge above which the charge power falls linearly …"""
TAPER_FLOOR = 0.05
"""… to this share of the rating."""
SHORT_KWH = constant(-1e-9)
"""So much above the reserve is below it; anything nearer to nothing is rounding."""
_HALF = constant(0.5)


def max_charge_kw(
    room_kwh: Floats, taper_h: Floats, taper_floor_kw: Floats, rating_kw: Floats, stored_h: Floats
) -> Floats:
    """Return the charge power (AC) allowed with `room_kwh` left in the cells: tapered, never past full.

    `stored_h` is η · hours: what a kW of charge power leaves in the cells.

    Tapered it is P = room / taper_h, with the room that is left halfway: P = (room - P · stored_h / 2) / taper_h.
    """
    tapered = np.minimum(np.maximum(room_kwh / (taper_h + _HALF * stored_h), taper_floor_kw), rating_kw)
    return np.minimum(tapered, room_kwh / stored_h)


def max_discharge_kw(spare_kwh: Floats, rating_kw: Floats, efficiency: Floats, hours: float) -> Floats:
    """Return the discharge power (AC) allowed with `spare_kwh` above the reserve in the cells."""
    return np.minimum(rating_kw, np.maximum(spare_kwh, ZERO) * efficiency * (1.0 / hours))


def stored_after_kwh(
    stored_kwh: Floats, capacity_kwh: Floats, efficiency: Floats, charge_kw: Floats, discharge_kw: Floats, hours: float
) -> Floats:
    """Return stored + (charge · η - discharge / η) · h, with η one way."""
    after = stored_kwh + (charge_kw * efficiency - discharge_kw / efficiency) * hours
    return np.minimum(np.maximum(after, ZERO), capacity_kwh)
