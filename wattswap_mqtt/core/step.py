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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core import battery, ev, load, pv
from wattswap_mqtt.core.load import Quarter
from wattswap_mqtt.core.records import Bools, Flow, Floats, Plant, State, Switches
from wattswap_mqtt.core.registers import increments
from wattswap_mqtt.core.sun import Weather

RECHARGE_KW = 1.0
"""R1: at least this much."""
INSTANT_S = 1.0
"""A step without duration (a switch was just set) looks this far ahead for the limits of energy stores."""
STATUS_MEAN_S = 60.0

AUTO = np.int8(1)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What comes from outside the homes for one sub-step, the same for all of them."""

    weather: Weather
    quarter: Quarter
    cheap_tariff: bool
    load_noise: float


class Asks(NamedTuple):
    """What orders ask of each home: kW to sell or to buy, never both at once."""

    sell_kw: Floats
    buy_kw: Floats


class Limits(NamedTuple):
    """What the battery may do in this sub-step: kW, and whether it is below its reserve."""

    charge_kw: Floats
    discharge_kw: Floats
    to_reserve_kw: Floats
    below_reserve: Bools


def step(plant: Plant, state: State, switches: Switches, around: Surroundings, asks: Asks | None, time_s: float, dt_s: float) -> State:
    """Return the state after [time_s, time_s + dt_s], which must not cross a quarter hour.

    With `dt_s` 0 only the powers are computed anew, for switches that were just set.
    """
    hours = dt_s / 3600.0
    ahead_h = max(dt_s, INSTANT_S) / 3600.0

    risen = dt_s / pv.SUNRISE_S
    sun_level = np.maximum(np.minimum(switches.daytime, state.sun_level + risen), state.sun_level - risen)
    auto = switches.sun_mode == AUTO
    plane = np.where(auto, pv.plane_irradiance_wpm2(plant.panel_normal, around.weather), pv.FULL_SUN_WPM2 * sun_level)
    irradiance = plane * switches.sun_cloud_factor
    cell_temp = pv.cell_temperature_c(irradiance, around.weather.air_temp_c)
    potential = pv.ac_power_kw(plant.pv_dc_kw, plant.pv_ac_kw, irradiance, cell_temp)

    mean_load = np.where(auto, _profile_kw(around.quarter, time_s + dt_s / 2), state.base_load_kw)
    appliances = load.appliances_kw(plant, mean_load, around.quarter, time_s, max(dt_s, INSTANT_S), around.load_noise)
    appliances = load.with_manual_delta(appliances, switches.manual_load_delta_kw)
    house = appliances.sum(axis=0)

    deficit = np.maximum(house - potential, 0.0)
    sun_left = np.maximum(potential - house, 0.0)
    ev_most = ev.max_charge_kw(state.ev_stored_kwh, plant.ev_kwh, plant.ev_kw, ahead_h)
    ev_demand = ev.demand_kw(switches.ev_mode, switches.ev_plug, ev_most, sun_left, cheap=around.cheap_tariff)
    ev_deficit = np.maximum(ev_demand - sun_left, 0.0)
    surplus = np.maximum(sun_left - ev_demand, 0.0)

    limits = _limits(plant, state, switches, ahead_h)
    charge, discharge = _dispatch(plant, switches, limits, deficit, ev_deficit, surplus)
    if asks is not None:
        charge, discharge = _serve_orders(plant, switches, limits, asks, charge, discharge, deficit, ev_deficit, surplus)

    grid_limit = plant.grid_limit_kw * switches.grid_connected
    need = house + ev_demand + charge - potential - discharge
    beyond = np.maximum(need - grid_limit, 0.0)
    cut = np.minimum(charge, beyond)
    charge = charge - cut
    unserved = beyond - cut
    curtailed = np.maximum(-need - grid_limit, 0.0)
    ev_power = np.maximum(ev_demand - unserved, 0.0)

    flows = np.empty_like(state.flows)
    flows[Flow.GRID_IMPORT] = np.maximum(need - beyond, 0.0)
    flows[Flow.GRID_EXPORT] = np.maximum(-need - curtailed, 0.0)
    flows[Flow.PV] = potential - curtailed
    flows[Flow.LOAD] = house + ev_demand
    flows[Flow.CHARGE] = charge
    flows[Flow.DISCHARGE] = discharge
    flows[Flow.EV] = ev_power
    flows[Flow.UNSERVED] = unserved
    flows[Flow.CURTAILED] = curtailed

    counted = increments(flows, hours)
    return State(
        sun_level=sun_level,
        base_load_kw=state.base_load_kw,
        stored_kwh=battery.stored_after_kwh(state.stored_kwh, plant.battery_kwh, plant.one_way_efficiency, charge, discharge, hours),
        ev_stored_kwh=ev.stored_after_kwh(state.ev_stored_kwh, plant.ev_kwh, switches.ev_plug, ev_power, hours),
        ev_session_kwh=state.ev_session_kwh + ev_power * hours,
        irradiance_wpm2=irradiance,
        cell_temp_c=cell_temp,
        pv_potential_kw=potential,
        appliances=appliances,
        ev_demand_kw=ev_demand,
        flows=flows,
        mean_flows=state.mean_flows + (flows - state.mean_flows) * min(dt_s / STATUS_MEAN_S, 1.0),
        registers=state.registers + counted,
        metered=state.metered + counted,
    )


def _profile_kw(quarter: Quarter, time_s: float) -> Floats:
    return quarter.from_kw + (quarter.to_kw - quarter.from_kw) * ((time_s - quarter.start_s) / load.QUARTER_S)


def _limits(plant: Plant, state: State, switches: Switches, hours: float) -> Limits:
    efficiency = plant.one_way_efficiency
    reserve = plant.battery_kwh * switches.battery_reserve_pct * 0.01
    room_kw = battery.room_kwh(state.stored_kwh, plant.battery_kwh, efficiency) / hours
    spare_kw = battery.above_reserve_kwh(state.stored_kwh, reserve, efficiency) / hours
    missing = reserve - state.stored_kwh
    return Limits(
        charge_kw=np.minimum(battery.max_charge_kw(state.stored_kwh, plant.battery_kwh, plant.battery_kw), room_kw),
        discharge_kw=np.minimum(plant.battery_kw, spare_kw),
        to_reserve_kw=missing / (efficiency * hours),
        below_reserve=(missing > 1e-9) & switches.grid_connected,
    )


def _dispatch(
    plant: Plant, switches: Switches, limits: Limits, deficit: Floats, ev_deficit: Floats, surplus: Floats
) -> tuple[Floats, Floats]:
    """Return charge and discharge power by R1 to R4, in kW."""
    on_grid = switches.grid_connected
    wanted = np.where(on_grid, np.minimum(deficit, plant.self_consumption_kw), deficit + ev_deficit)  # R2, R4
    discharge = np.minimum(wanted, limits.discharge_kw)
    stored = np.where(switches.market_enabled & on_grid, np.maximum(surplus - plant.grid_limit_kw, 0.0), surplus)  # R3
    recharge = np.maximum(np.minimum(RECHARGE_KW, limits.to_reserve_kw), surplus)  # R1
    charge = np.minimum(np.where(limits.below_reserve, recharge, stored), limits.charge_kw)
    return charge, discharge


def _serve_orders(
    plant: Plant, switches: Switches, limits: Limits, asks: Asks, charge: Floats, discharge: Floats,
    deficit: Floats, ev_deficit: Floats, surplus: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return charge and discharge power with R5 on top; R1 beats it, and off grid there is no trade."""
    free = switches.grid_connected & ~limits.below_reserve

    from_battery = np.maximum(np.minimum(asks.sell_kw, plant.grid_limit_kw) - surplus, 0.0)
    can_sell = free & (asks.sell_kw > 0.0) & (ev_deficit == 0.0) & ((surplus > 0.0) | (limits.discharge_kw > deficit))
    discharge = np.where(can_sell, np.minimum(deficit + from_battery, limits.discharge_kw), discharge)
    kept = np.minimum(charge, np.maximum(surplus - asks.sell_kw, 0.0))
    charge = np.where(can_sell, kept, charge)

    buys = switches.grid_connected & (asks.buy_kw > 0.0)
    bought = np.minimum(surplus + asks.buy_kw, limits.charge_kw)
    to_house = np.maximum(surplus + asks.buy_kw - bought, 0.0)
    charge = np.where(buys, np.maximum(charge, bought), charge)
    discharge = np.where(buys, np.where(bought > 0.0, 0.0, np.minimum(discharge, np.maximum(deficit - to_house, 0.0))), discharge)
    return charge, discharge
