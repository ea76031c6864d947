"""One sub-step of n homes: the energy balance.

pv + discharge + import + unserved = load + charge + export, in kW, at every step and for every home; `load` is what the
household and the EV ask for, `pv` what is left after curtailment.

The rules of dispatch (R1 to R5), strongest first:
R1 below the reserve and on grid the battery charges with at least 1 kW, sun first, then grid, and takes any surplus.
R2 it supplies a deficit of the house (the EV left out) down to the reserve; on grid up to the self-consumption setpoint.
R3 a surplus is stored, then exported; with the market open it is sold first, and what cannot be sold is stored.
R4 on grid the battery never feeds the EV; islanded it may, after the house.
R5 a sell order is export on top of a supplied house; a buy order charges the battery, then serves the house.
"""

from dataclasses import dataclass

import numpy as np

from wattswap_mqtt.core import battery, ev, load, pv
from wattswap_mqtt.core.load import Quarter
from wattswap_mqtt.core.market.delivery import Asks
from wattswap_mqtt.core.records import Bools, Flow, Floats, Plant, State, Switches
from wattswap_mqtt.core.registers import increments
from wattswap_mqtt.core.setup import Setup
from wattswap_mqtt.core.sun import Weather

RECHARGE_KW = 1.0
"""R1: at least this much."""
INSTANT_S = 1.0
"""A step without duration (a switch was just set) looks this far ahead for the limits of energy stores."""
STATUS_MEAN_S = 60.0
"""The status line looks at a mean over about this time."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What comes from outside the homes for one sub-step, the same for all of them."""

    weather: Weather
    quarter: Quarter
    cheap_tariff: bool
    load_noise: float


def step(
    plant: Plant, state: State, switches: Switches, setup: Setup, around: Surroundings, asks: Asks | None, time_s: float, dt_s: float
) -> State:
    """Return the state after [time_s, time_s + dt_s], which must not cross a quarter hour.

    `asks` is None while no order is being delivered.  With `dt_s` 0 only the powers are computed anew, for switches that
    were just set.
    """
    hours = dt_s / 3600.0
    ahead_h = max(dt_s, INSTANT_S) / 3600.0

    sun_level = _sun_level(state, setup, dt_s)
    irradiance = _irradiance(plant, switches, setup, around.weather, sun_level)
    potential = pv.ac_power_kw(plant.pv_dc_kw, plant.pv_ac_kw, irradiance, around.weather.air_temp_c)
    appliances = _appliances(plant, state, switches, setup, around, time_s, dt_s)
    house = np.add.reduce(appliances)

    gap = house - potential
    deficit = np.maximum(gap, 0.0)
    sun_left = deficit - gap
    if setup.any_ev:
        ev_most = ev.max_charge_kw(state.ev_stored_kwh, plant.ev_kwh, plant.ev_kw, ahead_h)
        ev_demand = ev.demand_kw(switches.ev_mode, switches.ev_plug, ev_most, sun_left, cheap=around.cheap_tariff)
        surplus = np.maximum(sun_left - ev_demand, 0.0)
        ev_deficit = surplus - sun_left + ev_demand
        gap = gap + ev_demand
    else:
        ev_demand = ev_deficit = np.zeros_like(house)
        surplus = sun_left

    room = plant.battery_kwh - state.stored_kwh
    spare = state.stored_kwh - setup.reserve_kwh
    most_charge = battery.max_charge_kw(
        room, setup.taper_per_h, setup.taper_floor_kw, plant.battery_kw, plant.one_way_efficiency, ahead_h
    )
    most_discharge = battery.max_discharge_kw(spare, plant.battery_kw, plant.one_way_efficiency, ahead_h)
    below_reserve = spare < -1e-9

    wanted = np.minimum(deficit, setup.house_discharge_kw)  # R2
    if setup.any_islanded and setup.any_ev:
        wanted = wanted + ev_deficit * ~switches.grid_connected  # R4
    discharge = np.minimum(wanted, most_discharge)
    charge = np.maximum(surplus - setup.sell_first_kw, 0.0)  # R3
    if setup.any_islanded:
        below_reserve &= switches.grid_connected
    if below_reserve.any():
        to_reserve = -spare / (plant.one_way_efficiency * ahead_h)
        recharge = np.maximum(np.minimum(RECHARGE_KW, to_reserve), surplus)
        charge = np.where(below_reserve, recharge, charge)  # R1
    charge = np.minimum(charge, most_charge)
    if asks is not None:
        bids = _Bids(deficit, ev_deficit, surplus, most_charge, most_discharge, below_reserve)
        charge, discharge = _serve_orders(switches, setup, asks, bids, charge, discharge)  # R5

    need = gap + charge - discharge
    through = np.maximum(np.minimum(need, setup.grid_limit_kw), -setup.grid_limit_kw)
    beyond = need - through
    flows = np.empty_like(state.flows)
    if beyond.any():
        missing = np.maximum(beyond, 0.0)
        cut = np.minimum(charge, missing)
        charge = charge - cut
        unserved = missing - cut
        curtailed = missing - beyond
        flows[Flow.UNSERVED], flows[Flow.CURTAILED] = unserved, curtailed
        flows[Flow.PV] = potential - curtailed
        flows[Flow.EV] = np.maximum(ev_demand - unserved, 0.0)
    else:
        flows[Flow.UNSERVED] = flows[Flow.CURTAILED] = 0.0
        flows[Flow.PV] = potential
        flows[Flow.EV] = ev_demand
    imported = np.maximum(through, 0.0)
    flows[Flow.GRID_IMPORT] = imported
    flows[Flow.GRID_EXPORT] = imported - through
    flows[Flow.LOAD] = house + ev_demand
    flows[Flow.CHARGE] = charge
    flows[Flow.DISCHARGE] = discharge

    counted = increments(flows, hours)
    ev_power = flows[Flow.EV]
    return State(
        sun_level=sun_level,
        base_load_kw=state.base_load_kw,
        stored_kwh=battery.stored_after_kwh(state.stored_kwh, plant.battery_kwh, plant.one_way_efficiency, charge, discharge, hours),
        ev_stored_kwh=ev.stored_after_kwh(state.ev_stored_kwh, plant.ev_kwh, switches.ev_plug, ev_power, hours),
        ev_session_kwh=state.ev_session_kwh + ev_power * hours,
        irradiance_wpm2=irradiance,
        pv_potential_kw=potential,
        max_charge_kw=most_charge,
        max_discharge_kw=most_discharge,
        appliances=appliances,
        ev_demand_kw=ev_demand,
        flows=flows,
        mean_flows=state.mean_flows + (flows - state.mean_flows) * min(dt_s / STATUS_MEAN_S, 1.0),
        registers=state.registers + counted,
        metered=state.metered + counted,
    )


def _sun_level(state: State, setup: Setup, dt_s: float) -> Floats:
    """Move the level of the daytime switch towards night or full sun."""
    if not setup.any_switched_sun:
        return state.sun_level
    moved = dt_s / pv.SUNRISE_S
    return np.maximum(np.minimum(setup.target_sun_level, state.sun_level + moved), state.sun_level - moved)


def _irradiance(plant: Plant, switches: Switches, setup: Setup, weather: Weather, sun_level: Floats) -> Floats:
    plane = pv.FULL_SUN_WPM2 * sun_level
    if setup.any_follows_sun:
        sky = pv.plane_irradiance_wpm2(plant.panel_normal, weather) if weather.global_wpm2 > 0.0 else 0.0
        plane = np.where(setup.follows_sun, sky, plane)
    return plane * switches.sun_cloud_factor


def _appliances(
    plant: Plant, state: State, switches: Switches, setup: Setup, around: Surroundings, time_s: float, dt_s: float
) -> Floats:
    mean_kw = state.base_load_kw
    if setup.any_follows_sun:
        mean_kw = np.where(setup.follows_sun, around.quarter.mean_kw(time_s + dt_s / 2), mean_kw)
    demand = load.appliances_kw(plant, mean_kw, around.quarter, time_s, max(dt_s, INSTANT_S), around.load_noise)
    return load.with_manual_delta(demand, switches.manual_load_delta_kw) if setup.any_manual_load else demand


@dataclass(frozen=True, slots=True)
class _Bids:
    """What stands behind the dispatch when orders are served: kW, and which batteries are below their reserve."""

    deficit: Floats
    ev_deficit: Floats
    surplus: Floats
    most_charge: Floats
    most_discharge: Floats
    below_reserve: Bools


def _serve_orders(
    switches: Switches, setup: Setup, asks: Asks, bids: _Bids, charge: Floats, discharge: Floats
) -> tuple[Floats, Floats]:
    """Return charge and discharge power with R5 on top; R1 beats it, and off grid there is no trade.

    A sell from the battery makes sense only where the house is supplied: while the house or the EV draws from the grid,
    more discharge would just replace import.
    """
    on_grid, surplus = switches.grid_connected, bids.surplus
    supplied = (surplus > 0.0) | ((bids.most_discharge > bids.deficit) & (bids.ev_deficit == 0.0))
    sells = on_grid & ~bids.below_reserve & (asks.sell_kw > 0.0) & supplied
    from_battery = np.maximum(np.minimum(asks.sell_kw, setup.grid_limit_kw) - surplus, 0.0)
    discharge = np.where(sells, np.minimum(bids.deficit + from_battery, bids.most_discharge), discharge)
    charge = np.where(sells, np.minimum(charge, np.maximum(surplus - asks.sell_kw, 0.0)), charge)

    buys = on_grid & (asks.buy_kw > 0.0)
    into_battery = np.minimum(surplus + asks.buy_kw, bids.most_charge)
    to_house = np.maximum(surplus + asks.buy_kw - into_battery, 0.0)
    charge = np.where(buys, np.maximum(charge, into_battery), charge)
    from_grid = np.where(into_battery > 0.0, 0.0, np.minimum(discharge, np.maximum(bids.deficit - to_house, 0.0)))
    return charge, np.where(buys, from_grid, discharge)
