"""The electric vehicle: what its charger asks for, and how its pack fills or is driven empty."""

import numpy as np

from wattswap_mqtt.core.arrays import Bools, Codes, Floats
from wattswap_mqtt.core.quantities import EV_MODES

FAST, SCHEDULED, SOLAR = (np.int8(EV_MODES.index(mode)) for mode in ("fast", "scheduled", "solar"))
TAPER_FROM = 0.8
TAPER_FLOOR = 0.05
CHARGING_EFFICIENCY = 0.9
DRIVING_KW = 0.35
"""Mean consumption while unplugged: about 8 kWh, 45 km, a day."""
DRIVEN_DOWN_TO = 0.2


def max_charge_kw(stored_kwh: Floats, capacity_kwh: Floats, rating_kw: Floats, hours: float) -> Floats:
    """Return the power (AC) the vehicle takes: its rating up to 80 %, then falling linearly, never past full."""
    headroom = np.maximum((1.0 - stored_kwh / capacity_kwh) / (1.0 - TAPER_FROM), TAPER_FLOOR)
    room_kw = (capacity_kwh - stored_kwh) * (1.0 / (CHARGING_EFFICIENCY * hours))
    return np.minimum(rating_kw * np.minimum(headroom, 1.0), room_kw)


def demand_kw(mode: Codes, plugged: Bools, most_kw: Floats, solar_kw: Floats, *, cheap: bool) -> Floats:
    """Return what the charger asks for: `most_kw` in its mode, in mode solar no more than `solar_kw`."""
    full = mode == FAST
    if cheap:
        full |= mode == SCHEDULED
    wanted = np.where(full, most_kw, np.where(mode == SOLAR, np.minimum(most_kw, solar_kw), 0.0))
    return wanted * plugged


def charged_kwh(stored_kwh: Floats, capacity_kwh: Floats, charge_kw: Floats, hours: float) -> Floats:
    """Return the energy in the pack of a vehicle that charges."""
    return np.minimum(stored_kwh + charge_kw * (CHARGING_EFFICIENCY * hours), capacity_kwh)


def driven_kwh(stored_kwh: Floats, floor_kwh: Floats, hours: float) -> Floats:
    """Return the energy in the pack of a vehicle that is away: driven, but not below `floor_kwh`."""
    return np.maximum(stored_kwh - DRIVING_KW * hours, np.minimum(stored_kwh, floor_kwh))
