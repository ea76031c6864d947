"""What follows from nameplates and switches, worked out once when a switch changes instead of at every step."""

from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core.arrays import Bools, Floats
from wattswap_mqtt.core.battery import TAPER_FLOOR, TAPER_FROM
from wattswap_mqtt.core.ev import DRIVEN_DOWN_TO
from wattswap_mqtt.core.records import Plant, Switches
from wattswap_mqtt.core.switches import SUN_MODES

AUTO = np.int8(SUN_MODES.index("auto"))


class Setup(NamedTuple):
    """Constants of n homes until the next switch; shape (n,).  The flags let a step leave out what no home needs."""

    reserve_kwh: Floats
    grid_limit_kw: Floats  # 0 off grid
    most_export_kw: Floats  # the same, negative
    at_limit_kw: Floats  # more than this through the grid connection is all it can take
    house_discharge_kw: Floats  # R2: what the battery gives the house at most
    sell_first_kw: Floats  # R3: surplus up to this is sold before any is stored
    taper_h: Floats  # room in kWh per kW of charge power, once it tapers
    taper_floor_kw: Floats
    ev_floor_kwh: Floats  # down to which the vehicle is driven
    round_trip_efficiency: Floats
    follows_sun: Bools
    islanded: Bools
    manual_load: Bools
    target_sun_level: Floats
    any_follows_sun: bool
    any_manual_load: bool
    any_market_open: bool
    any_plugged: bool
    any_ev: bool
    any_islanded: bool


def setup_of(plant: Plant, switches: Switches) -> Setup:
    """Return the set-up of the homes of `plant` with these switches."""
    on_grid = switches.grid_connected
    follows_sun = switches.sun_mode == AUTO
    grid_limit = plant.grid_limit_kw * on_grid
    return Setup(
        reserve_kwh=plant.battery_kwh * switches.battery_reserve_pct * 0.01,
        grid_limit_kw=grid_limit,
        most_export_kw=-grid_limit,
        at_limit_kw=plant.grid_limit_kw - 1e-6,
        house_discharge_kw=np.where(on_grid, plant.self_consumption_kw, plant.battery_kw),
        sell_first_kw=grid_limit * switches.market_enabled,
        taper_h=(1.0 - TAPER_FROM) * plant.battery_kwh / plant.battery_kw,
        taper_floor_kw=TAPER_FLOOR * plant.battery_kw,
        ev_floor_kwh=plant.ev_kwh * DRIVEN_DOWN_TO,
        round_trip_efficiency=plant.one_way_efficiency * plant.one_way_efficiency,
        follows_sun=follows_sun,
        islanded=~on_grid,
        manual_load=switches.manual_load_delta_kw != 0.0,
        target_sun_level=switches.daytime.astype(np.float64),
        any_follows_sun=bool(follows_sun.any()),
        any_manual_load=bool(switches.manual_load_delta_kw.any()),
        any_market_open=bool(switches.market_enabled.any()),
        any_plugged=bool(switches.ev_plug.any()),
        any_ev=bool((switches.ev_plug & (switches.ev_mode != 0)).any()),
        any_islanded=not on_grid.all(),
    )
