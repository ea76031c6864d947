"""The electric vehicle: what its charger asks for, and how its pack fills or is driven empty."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from wattswap_mqtt.core import draws
from wattswap_mqtt.core.arrays import Bools, Codes, Floats
from wattswap_mqtt.core.quantities import EV_MODES
from wattswap_mqtt.core.records import Plant
from wattswap_mqtt.core.sun import Site

FAST, SCHEDULED, SOLAR = (np.int8(EV_MODES.index(mode)) for mode in ("fast", "scheduled", "solar"))
TAPER_FROM = 0.8
TAPER_FLOOR = 0.05
CHARGING_EFFICIENCY = 0.9
DRIVEN_KWH = 6.8
"""On a day, in the mean: 34 km, as the cars of Germany (12,320 km in 2023, Kraftfahrt-Bundesamt), at 0.2 kWh each."""
OUT_FROM, OUT_UNTIL = 7, 19
"""Hours of the local clock in which the day's energy is driven, if the vehicle is not plugged in."""
_DRIVING_STREAM = 14
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


def driving_kw(time_s: float, plant: Plant, site: Site) -> Floats:
    """Return what vehicles consume that are away at unix time `time_s`: none has two days alike."""
    local = datetime.fromtimestamp(time_s, UTC).astimezone(ZoneInfo(site.tz))
    if not OUT_FROM <= local.hour < OUT_UNTIL:
        return np.zeros(len(plant.key))
    day = local.toordinal()
    first, second = (1.0 - draws.uniform(plant.key, _DRIVING_STREAM + row, day) for row in (0, 1))
    driven: Floats = -np.log(first * second) * (0.5 * DRIVEN_KWH / (OUT_UNTIL - OUT_FROM))  # an Erlang distribution
    return driven


def driven_kwh(stored_kwh: Floats, floor_kwh: Floats, driving_kw: Floats, hours: float) -> Floats:
    """Return the energy in the pack of a vehicle that is away: driven, but not below `floor_kwh`."""
    return np.maximum(stored_kwh - driving_kw * hours, np.minimum(stored_kwh, floor_kwh))
