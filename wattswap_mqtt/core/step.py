"""One sub-step of n homes: the energy balance.

pv + discharge + import + unserved = load + charge + export, in kW, at every step and for every home; `load` is what the
household and the EV ask for, `pv` what is left after curtailment.

The rules of dispatch (R1 to R5), strongest first:
R1 below the reserve and on grid the battery charges with at least 1 kW, sun first, then grid, and takes any surplus.
R2 it supplies a deficit of the house (the EV left out) down to the reserve; on grid up to its setpoint.
R3 a surplus is stored, then exported; with the market open it is sold first, and what cannot be sold is stored.
R4 on grid the battery never feeds the EV; islanded it may, after the house.
R5 a sell order is export on top of a supplied house; a buy order charges the battery, then serves the house.
"""

from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core import battery, ev, load, pv
from wattswap_mqtt.core.arrays import ZERO, Bools, Floats, constant
from wattswap_mqtt.core.homes import Homes
from wattswap_mqtt.core.market.delivery import Asks
from wattswap_mqtt.core.records import Appliance, Flow, State, Switches
from wattswap_mqtt.core.registers import increments
from wattswap_mqtt.core.setup import Setup
from wattswap_mqtt.core.sun import Weather
from wattswap_mqtt.core.surroundings import Surroundings

RECHARGE_KW = 1.0
"""R1: at least this much."""
INSTANT_S = 1.0
"""A step without duration (a switch was just set) looks this far ahead for the limits of energy stores."""
STATUS_MEAN_S = 60.0
"""The status line looks at a mean over about this time."""
_FULL_SUN = constant(pv.FULL_SUN_WPM2)


class Demand(NamedTuple):
    """What a sub-step has to serve, in kW: the house first, by the sun, then the EV."""

    appliances: Floats  # (5, n)
    house: Floats
    ev: Floats
    deficit: Floats  # of the house, the EV left out
    ev_deficit: Floats
    surplus: Floats  # of the sun, the EV served
    net: Floats  # house and EV less sun


class Limits(NamedTuple):
    """What the batteries may do in a sub-step: kW, and which of them are below their reserve on grid."""

    charge: Floats
    discharge: Floats
    below_reserve: Bools
    to_reserve: Floats | None  # what fills it up to the reserve; None if it is wanted nowhere


def step(homes: Homes, around: Surroundings, asks: Asks | None, time_s: float, dt_s: float) -> State:
    """Return the state after [time_s, time_s + dt_s], which must not cross a whole minute.

    `asks` is None while no order is being delivered.  With `dt_s` 0 only the powers are computed anew, for switches
    that were just set.
    """
    plant, switches, setup, state = homes
    hours, ahead_h = dt_s / 3600.0, max(dt_s, INSTANT_S) / 3600.0

    sun_level = _sun_level(state, setup, dt_s)
    irradiance = _irradiance(homes, around.weather, sun_level)
    potential = pv.ac_power_kw(plant.pv_dc_kw, plant.pv_ac_kw, irradiance, around.air_temp_c)
    if around.recorded is not None and around.recorded.pv is not None:
        recorded = around.recorded.pv * switches.sun_cloud_factor
        from_series = setup.follows_sun & ~np.isnan(recorded)
        potential = np.where(from_series, recorded, potential)
        seen = pv.irradiance_for_wpm2(recorded, plant.pv_dc_kw, around.air_temp_c)
        irradiance = np.where(from_series, seen, irradiance)
    demand = _demand(homes, around, potential, time_s, dt_s)
    limits = _limits(homes, ahead_h)
    charge, discharge = _dispatch(switches, setup, demand, limits)
    if asks is not None:
        charge, discharge = _serve_orders(switches, setup, asks, demand, limits, charge, discharge)
    flows = _flows(setup, potential, demand, charge, discharge)

    charge, ev_power = flows[Flow.CHARGE], flows[Flow.EV]
    counted = increments(flows, hours)
    metered = None if state.metered is state.registers else state.metered + counted
    registers = np.add(state.registers, counted, out=counted)
    return State(
        sun_level=sun_level,
        base_load_kw=state.base_load_kw,
        stored_kwh=battery.stored_after_kwh(
            state.stored_kwh, plant.battery_kwh, plant.one_way_efficiency, charge, discharge, hours
        ),
        ev_stored_kwh=_ev_stored_after_kwh(homes, around, ev_power, hours),
        ev_session_kwh=state.ev_session_kwh + ev_power * hours if setup.any_plugged else state.ev_session_kwh,
        irradiance_wpm2=irradiance,
        pv_potential_kw=potential,
        max_charge_kw=limits.charge,
        max_discharge_kw=limits.discharge,
        appliances=demand.appliances,
        ev_demand_kw=demand.ev,
        flows=flows,
        mean_flows=_mean_flows(state.mean_flows, flows, min(dt_s / STATUS_MEAN_S, 1.0)),
        registers=registers,
        metered=registers if metered is None else metered,
    )


def _sun_level(state: State, setup: Setup, dt_s: float) -> Floats:
    """Move the level of the daytime switch towards night or full sun."""
    if not np.count_nonzero(state.sun_level != setup.target_sun_level):
        return state.sun_level
    moved = dt_s / pv.SUNRISE_S
    return np.maximum(np.minimum(setup.target_sun_level, state.sun_level + moved), state.sun_level - moved)


def _irradiance(homes: Homes, weather: Weather | None, sun_level: Floats) -> Floats:
    plane = _FULL_SUN * sun_level
    if weather is not None:
        sky = pv.plane_irradiance_wpm2(homes.plant.panel_normal, weather) if weather.global_wpm2 > 0.0 else 0.0
        plane = np.where(homes.setup.follows_sun, sky, plane)
    return plane * homes.switches.sun_cloud_factor


def _demand(homes: Homes, around: Surroundings, potential: Floats, time_s: float, dt_s: float) -> Demand:
    plant, switches, setup, state = homes
    mean_kw = state.base_load_kw
    if setup.any_follows_sun:
        mean_kw = np.where(setup.follows_sun, around.minute.quarter.mean_kw(time_s + dt_s / 2), mean_kw)
    appliances = load.appliances_kw(plant, mean_kw, around.minute)
    if setup.any_follows_sun:
        np.copyto(appliances[Appliance.COOKING], around.minute.cooking_kw, where=setup.follows_sun)
    if around.recorded is not None and around.recorded.load is not None:
        from_series = setup.follows_sun & ~np.isnan(around.recorded.load)
        appliances = np.where(from_series, plant.appliance_share * around.recorded.load, appliances)
    if setup.any_manual_load:
        appliances = load.with_manual_delta(appliances, switches.manual_load_delta_kw)
    house: Floats = np.add.reduce(appliances)
    net = house - potential
    deficit = np.maximum(net, ZERO)
    sun_left = deficit - net
    if not setup.any_ev:
        nothing = np.zeros(house.shape)
        return Demand(appliances, house, nothing, deficit, nothing, sun_left, net)
    most = ev.max_charge_kw(state.ev_stored_kwh, plant.ev_kwh, plant.ev_kw, max(dt_s, INSTANT_S) / 3600.0)
    wanted = ev.demand_kw(switches.ev_mode, switches.ev_plug, most, sun_left, cheap=around.cheap_tariff)
    surplus = np.maximum(sun_left - wanted, 0.0)
    return Demand(appliances, house, wanted, deficit, np.maximum(wanted - sun_left, 0.0), surplus, net + wanted)


def _limits(homes: Homes, hours: float) -> Limits:
    plant, switches, setup, state = homes
    room, spare = plant.battery_kwh - state.stored_kwh, state.stored_kwh - setup.reserve_kwh
    stored_h = plant.one_way_efficiency * hours
    below_reserve = (spare < battery.SHORT_KWH) & switches.grid_connected
    return Limits(
        charge=battery.max_charge_kw(room, setup.taper_h, setup.taper_floor_kw, plant.battery_kw, stored_h),
        discharge=battery.max_discharge_kw(spare, plant.battery_kw, plant.one_way_efficiency, hours),
        below_reserve=below_reserve,
        to_reserve=-spare / stored_h if np.count_nonzero(below_reserve) else None,
    )


def _dispatch(switches: Switches, setup: Setup, demand: Demand, limits: Limits) -> tuple[Floats, Floats]:
    """Return charge and discharge power by R1 to R4."""
    wanted = np.minimum(demand.deficit, setup.house_discharge_kw)  # R2
    if setup.any_islanded and setup.any_ev:
        wanted = wanted + demand.ev_deficit * ~switches.grid_connected  # R4
    charge = np.maximum(demand.surplus - setup.sell_first_kw, 0.0) if setup.any_market_open else demand.surplus  # R3
    if limits.to_reserve is not None:
        recharge = np.minimum(np.maximum(demand.surplus, RECHARGE_KW), limits.to_reserve)
        charge = np.where(limits.below_reserve, np.maximum(recharge, charge), charge)  # R1
    return np.minimum(charge, limits.charge), np.minimum(wanted, limits.discharge)


def _serve_orders(
    switches: Switches, setup: Setup, asks: Asks, demand: Demand, limits: Limits, charge: Floats, discharge: Floats
) -> tuple[Floats, Floats]:
    """Return charge and discharge power with R5 on top; R1 beats it, and off grid there is no trade.

    The battery is sold from only where the house is supplied: while house or EV draw from the grid, more discharge
    would just replace import.
    """
    asked = np.flatnonzero((asks.sell_kw > 0.0) | (asks.buy_kw > 0.0))  # few of the homes, as a rule
    on_grid, below_reserve = switches.grid_connected[asked], limits.below_reserve[asked]
    surplus, deficit, ev_deficit = demand.surplus[asked], demand.deficit[asked], demand.ev_deficit[asked]
    most_charge, most_discharge = limits.charge[asked], limits.discharge[asked]
    sell_kw, buy_kw = np.minimum(asks.sell_kw[asked], setup.grid_limit_kw[asked]), asks.buy_kw[asked]
    charging, discharging = charge[asked], discharge[asked]

    supplied = (surplus > 0.0) | ((most_discharge > deficit) & (ev_deficit == 0.0))
    sells = on_grid & ~below_reserve & (sell_kw > 0.0) & supplied
    from_battery = np.maximum(sell_kw - surplus, 0.0)
    discharging = np.where(sells, np.minimum(deficit + from_battery, most_discharge), discharging)
    charging = np.where(sells, np.minimum(charging, np.maximum(surplus - sell_kw, 0.0)), charging)

    buys = on_grid & (buy_kw > 0.0)
    into_battery = np.minimum(surplus + buy_kw, most_charge)
    to_house = np.maximum(surplus + buy_kw - into_battery, 0.0)
    charging = np.where(buys, np.maximum(charging, into_battery), charging)
    rest = np.where(into_battery > 0.0, 0.0, np.minimum(discharging, np.maximum(deficit - to_house, 0.0)))
    discharging = np.where(buys, rest, discharging)

    charge, discharge = charge.copy(), discharge.copy()
    charge[asked], discharge[asked] = charging, discharging
    return charge, discharge


def _flows(setup: Setup, potential: Floats, demand: Demand, charge: Floats, discharge: Floats) -> Floats:
    """Return the balance: what is left goes through the grid connection, and what does not fit through is cut.

    Beyond the limit of import (0 off grid) charging is cut first, then the load; beyond that of export, the PV.
    """
    net = demand.net + charge - discharge
    through = np.maximum(np.minimum(net, setup.grid_limit_kw), setup.most_export_kw)
    imported = np.maximum(through, ZERO)
    beyond = net - through
    pv, ev_power = potential, demand.ev
    unserved = curtailed = np.zeros(net.shape)
    if np.count_nonzero(beyond):
        missing = np.maximum(beyond, ZERO)
        cut = np.minimum(charge, missing)
        unserved, curtailed = missing - cut, np.minimum(missing - beyond, potential)
        charge = charge - cut
        pv = pv - curtailed
        ev_power = np.maximum(ev_power - unserved, ZERO)
    return np.array(  # in the order of Flow
        [imported, imported - through, pv, demand.house + demand.ev, charge, discharge, ev_power, unserved, curtailed]
    )


def _mean_flows(mean: Floats, flows: Floats, weight: float) -> Floats:
    """Return mean + (flows - mean) · weight."""
    moved = flows - mean
    moved *= weight
    moved += mean
    return moved


def _ev_stored_after_kwh(homes: Homes, around: Surroundings, charge_kw: Floats, hours: float) -> Floats:
    """Return the energy in the vehicles' packs: driven down while away, charged while plugged."""
    plant, switches, setup, state = homes
    driven = ev.driven_kwh(state.ev_stored_kwh, setup.ev_floor_kwh, around.minute.quarter.driving_kw, hours)
    if not setup.any_plugged:
        return driven
    return np.where(switches.ev_plug, ev.charged_kwh(state.ev_stored_kwh, plant.ev_kwh, charge_kw, hours), driven)
