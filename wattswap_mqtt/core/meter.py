"""What a true meter reads: the state of n homes as a `Snapshot`.  How it can be wrong stands in `faulty.py`."""

from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core import draws
from wattswap_mqtt.core.arrays import Bools, Codes, Floats, Ints
from wattswap_mqtt.core.pv import cell_temperature_c
from wattswap_mqtt.core.quantities import (
    Appliances,
    Battery,
    Derived,
    Ev,
    Grid,
    Loads,
    Market,
    Measurements,
    Pv,
    Snapshot,
)
from wattswap_mqtt.core.records import Appliance, Flow, Plant, Register, State, Switches
from wattswap_mqtt.core.setup import Setup
from wattswap_mqtt.core.status import FLOWING_KW, View, status_codes

IDLE_KW = 0.0005
"""Less than half a watt is nothing."""
NOMINAL_V, NOMINAL_HZ = 230.0, 50.0
_STREAM = 16
_VOLTAGE_STREAM, _FREQUENCY_STREAM = 17, 18
_WHOLES = [Flow.PV, Flow.LOAD, Flow.LOAD, Flow.CHARGE, Flow.DISCHARGE]
_UTOK = 1e-6
_TINY = 1e-12


class Mains(NamedTuple):
    """What all meters of a community see alike at one moment, and the number of the message: the seed of its noise."""

    voltage_v: float
    frequency_hz: float
    air_temp_c: float
    seq: int


def mains_at(time_s: float, seed: int, air_temp_c: float, seq: int) -> Mains:
    """Return the mains at unix time `time_s`: voltage wanders by ±2 V in minutes, frequency by ±40 mHz in seconds."""
    voltage = NOMINAL_V + 4.0 * (draws.smooth(seed, _VOLTAGE_STREAM, time_s / 90) - 0.5)
    frequency = NOMINAL_HZ + 0.08 * (draws.smooth(seed, _FREQUENCY_STREAM, time_s / 20) - 0.5)
    return Mains(voltage, frequency, air_temp_c, seq)


class Standing(NamedTuple):
    """How the meters stand in the market: tokens in micro-tokens (n,), open orders (n,), prices per kWh."""

    earnings_utok: Ints
    spending_utok: Ints
    pending_orders: Ints
    market_price: float
    import_tariff: float


def measure(
    plant: Plant,
    state: State,
    switches: Switches,
    setup: Setup,
    registers: Floats,
    standing: Standing,
    mains: Mains,
    view: View,
) -> Snapshot:
    """Return what meters read that count `registers` (12, n): the state's `metered`, or its true `registers`."""
    flows = state.flows
    imported, exported, load = flows[Flow.GRID_IMPORT], flows[Flow.GRID_EXPORT], flows[Flow.LOAD]
    charge, discharge, pv = flows[Flow.CHARGE], flows[Flow.DISCHARGE], flows[Flow.PV]
    on_grid = switches.grid_connected
    net = exported - imported
    battery_kw = discharge - charge
    noise = draws.normals(plant.key, _STREAM, mains.seq)
    nothing = np.zeros_like(net)

    # The mains: voltage rises with export, frequency is the whole grid's; islanded, the inverter makes both.
    volts = mains.voltage_v + 0.9 * net + 0.15 * noise[0]
    hertz = mains.frequency_hz + 0.003 * noise[1]
    reactive = 0.12 * load + 0.03 * pv
    if setup.any_islanded:
        volts = np.where(on_grid, volts, NOMINAL_V + 0.15 * noise[0])
        hertz = np.where(on_grid, hertz, NOMINAL_HZ - 0.05 * battery_kw + 0.003 * noise[1])
        reactive *= on_grid
    apparent = np.sqrt(net * net + reactive * reactive)
    active = imported + exported

    room, spare = plant.battery_kwh - state.stored_kwh, np.maximum(view.spare_kwh, 0.0)
    efficiency = plant.one_way_efficiency
    can_take, can_give = room / efficiency, spare * efficiency
    soc = state.stored_kwh / plant.battery_kwh
    battery_v = 48.0 + 5.6 * soc - 0.3 * battery_kw / plant.battery_kw
    battery_dc_w = (discharge / efficiency - charge * efficiency) * 1000.0

    # NaN where nothing flows that a share or a time could be of.
    wholes = flows[_WHOLES]
    wholes[wholes < IDLE_KW] = np.nan
    used_pv, met_load = np.maximum(pv - exported, 0.0), np.maximum(load - imported, 0.0)
    parts = np.array([used_pv * 100.0, met_load * 100.0, can_give, can_take, can_give])
    self_consumption, self_sufficiency, autonomy, to_full, to_empty = parts / wholes

    earned, spent = standing.earnings_utok.astype(np.float64), standing.spending_utok.astype(np.float64)
    hvac, fridge, cooking, lighting, other = state.appliances
    status = status_codes(view)
    return Snapshot(
        measurements=Measurements(
            v_rms=volts,
            i_rms=apparent * 1000.0 / volts,
            p_active=net,
            q_reactive=reactive,
            apparent_power=apparent,
            frequency=hertz,
            power_factor=(active + _TINY) / (apparent + _TINY),
            flow_dir=direction_codes(net),
            thd_voltage_pct=1.8 + 0.25 * pv / plant.pv_ac_kw + 0.1 * noise[2],
        ),
        pv=Pv(
            pv_power_kw=pv,
            pv_irradiance_wpm2=state.irradiance_wpm2,
            pv_temp_c=cell_temperature_c(state.irradiance_wpm2, mains.air_temp_c),
            pv_status=(state.pv_potential_kw <= IDLE_KW).view(np.int8),
            mppt_setpoint_kw=state.pv_potential_kw,
        ),
        battery=Battery(
            soc_pct=100.0 * soc,
            battery_power_kw=battery_kw,
            battery_voltage_v=battery_v,
            battery_current_a=battery_dc_w / battery_v,
            available_charge_kwh=can_take,
            available_discharge_kwh=can_give,
            p_max_charge_kw=state.max_charge_kw,
            p_max_discharge_kw=state.max_discharge_kw,
            bms_status=direction_codes(battery_kw),
            efficiency_roundtrip=efficiency * efficiency,
        ),
        loads=Loads(
            load_power_kw=load,
            unserved_power_kw=flows[Flow.UNSERVED],
            appliance=Appliances(hvac, fridge, cooking, lighting, other, state.ev_demand_kw),
            load_profile=_profile_codes(state.appliances, load),
        ),
        ev=Ev(
            plugged=switches.ev_plug,
            mode=switches.ev_mode,
            power_kw=flows[Flow.EV],
            soc_pct=100.0 * state.ev_stored_kwh / plant.ev_kwh,
            session_energy_kwh=state.ev_session_kwh,
        ),
        grid=Grid(
            grid_status=view.islanded.view(np.int8),
            grid_price_currency_per_kwh=nothing + standing.import_tariff,
            grid_available_capacity_kw=setup.grid_limit_kw - active,
            grid_import_kw=imported,
            grid_export_kw=exported,
        ),
        derived=Derived(
            net_power_kw=net,
            self_consumption_pct=self_consumption,
            self_sufficiency_pct=self_sufficiency,
            autonomy_hours=autonomy,
            time_to_full_hours=to_full,
            time_to_empty_hours=to_empty,
            energy_imported_kwh=registers[Register.IMPORTED],
            energy_exported_kwh=registers[Register.EXPORTED],
            pv_energy_kwh=registers[Register.PV],
            load_energy_kwh=registers[Register.LOAD],
            battery_charged_kwh=registers[Register.CHARGED],
            battery_discharged_kwh=registers[Register.DISCHARGED],
            ev_energy_kwh=registers[Register.EV],
            co2_emissions_kg=registers[Register.CO2_EMITTED],
            co2_savings_kg=registers[Register.CO2_SAVED],
            co2_net_kg=registers[Register.CO2_EMITTED] - registers[Register.CO2_AVOIDED],
            token_earnings_apt=earned * _UTOK,
            token_spending_apt=spent * _UTOK,
            token_balance_apt=(earned - spent) * _UTOK,
            unserved_energy_kwh=registers[Register.UNSERVED],
            curtailed_energy_kwh=registers[Register.CURTAILED],
            system_status=status,
            status_badge=status,
        ),
        market=Market(
            enabled=switches.market_enabled,
            pending_orders=standing.pending_orders,
            current_market_price=nothing + standing.market_price,
        ),
    )


def view_of(
    plant: Plant,
    state: State,
    switches: Switches,
    setup: Setup,
    faulty: Bools,
    misread: Bools,
    storage_failed: Bools,
) -> View:
    """Return what the rules of status and alarms look at."""
    mean, flows = state.mean_flows, state.flows
    flowing = mean > FLOWING_KW
    through = flows[Flow.GRID_IMPORT] + flows[Flow.GRID_EXPORT]
    return View(
        faulty=faulty,
        misread=misread,
        islanded=~switches.grid_connected,
        market_open=switches.market_enabled,
        manual_load=switches.manual_load_delta_kw != 0.0,
        spare_kwh=state.stored_kwh - setup.reserve_kwh,
        storage_failed=storage_failed,
        flowing=flowing,
        mostly_pv=flowing[Flow.PV] & (mean[Flow.PV] >= 0.5 * mean[Flow.LOAD]),
        at_grid_limit=switches.grid_connected & (through > plant.grid_limit_kw - 1e-6),
        unserved_kw=flows[Flow.UNSERVED],
        curtailed_kw=flows[Flow.CURTAILED],
    )


def direction_codes(power_kw: Floats) -> Codes:
    """Return 0 for negative (import, charging), 1 below half a watt (idle), 2 for positive (export, discharging)."""
    return (np.sign(np.rint(power_kw * 1000.0)) + 1.0).astype(np.int8)


def _profile_codes(appliances: Floats, load_kw: Floats) -> Codes:
    """Return 1 (spiky) while cooking dominates, 2 (thermostat_controlled) while heating or cooling does, else 0."""
    codes: Codes = 2 * (appliances[Appliance.HVAC] > 0.45 * load_kw).view(np.int8)
    codes[appliances[Appliance.COOKING] > 0.25 * load_kw] = 1
    return codes
