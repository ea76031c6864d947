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
from wattswap_mqtt.core.records import Appliance, Flow, Plant, State, Switches
from wattswap_mqtt.core.setup import Setup
from wattswap_mqtt.core.status import FLOWING_KW, View, status_codes

_IDLE = np.int8(1)
IDLE_KW = 0.0005
"""Less than half a watt is nothing."""
NOMINAL_V, NOMINAL_HZ = 230.0, 50.0
_NOISE = np.array([[0.15], [0.003], [0.1]])
"""Standard deviations of what a meter reads: volts, hertz, % of distortion."""
_STREAM = 16
_VOLTAGE_STREAM, _FREQUENCY_STREAM = 17, 18
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
    imported, exported, pv, load, charge, discharge, ev, unserved, _ = state.flows
    imported_kwh, exported_kwh, pv_kwh, load_kwh, charged_kwh, discharged_kwh, *more = registers
    ev_kwh, unserved_kwh, curtailed_kwh, emitted_kg, saved_kg, avoided_kg = more
    on_grid = switches.grid_connected
    net = exported - imported
    battery_kw = discharge - charge
    noise_v, noise_hz, noise_pct = draws.normals(plant.key, _STREAM, mains.seq, len(_NOISE)) * _NOISE
    nothing = np.zeros(net.shape)

    # The mains: voltage rises with export, frequency is the whole grid's; islanded, the inverter makes both.
    volts = mains.voltage_v + 0.9 * net + noise_v
    hertz = mains.frequency_hz + noise_hz
    reactive = 0.12 * load + 0.03 * pv
    if setup.any_islanded:
        volts = np.where(on_grid, volts, NOMINAL_V + noise_v)
        hertz = np.where(on_grid, hertz, NOMINAL_HZ - 0.05 * battery_kw + noise_hz)
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
    wholes = np.array([pv, load, load, charge, discharge])
    wholes[wholes < IDLE_KW] = np.nan
    used_pv, met_load = np.maximum(pv - exported, 0.0), np.maximum(load - imported, 0.0)
    parts = np.array([used_pv * 100.0, met_load * 100.0, can_give, can_take, can_give])
    self_consumption, self_sufficiency, autonomy, to_full, to_empty = parts / wholes

    earned, spent = standing.earnings_utok.astype(np.float64), standing.spending_utok.astype(np.float64)
    hvac, fridge, cooking, lighting, other = state.appliances
    status = status_codes(view)
    flow_dir, bms_status = direction_codes(np.array([net, battery_kw]))
    return Snapshot(
        measurements=Measurements(
            v_rms=volts,
            i_rms=apparent * 1000.0 / volts,
            p_active=net,
            q_reactive=reactive,
            apparent_power=apparent,
            frequency=hertz,
            power_factor=(active + _TINY) / (apparent + _TINY),
            flow_dir=flow_dir,
            thd_voltage_pct=1.8 + 0.25 * pv / plant.pv_ac_kw + noise_pct,
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
            bms_status=bms_status,
            efficiency_roundtrip=efficiency * efficiency,
        ),
        loads=Loads(
            load_power_kw=load,
            unserved_power_kw=unserved,
            appliance=Appliances(hvac, fridge, cooking, lighting, other, state.ev_demand_kw),
            load_profile=_profile_codes(state.appliances, load),
        ),
        ev=Ev(
            plugged=switches.ev_plug,
            mode=switches.ev_mode,
            power_kw=ev,
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
            energy_imported_kwh=imported_kwh,
            energy_exported_kwh=exported_kwh,
            pv_energy_kwh=pv_kwh,
            load_energy_kwh=load_kwh,
            battery_charged_kwh=charged_kwh,
            battery_discharged_kwh=discharged_kwh,
            ev_energy_kwh=ev_kwh,
            co2_emissions_kg=emitted_kg,
            co2_savings_kg=saved_kg,
            co2_net_kg=emitted_kg - avoided_kg,
            token_earnings_apt=earned * _UTOK,
            token_spending_apt=spent * _UTOK,
            token_balance_apt=(earned - spent) * _UTOK,
            unserved_energy_kwh=unserved_kwh,
            curtailed_energy_kwh=curtailed_kwh,
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
    spare_kwh = state.stored_kwh - setup.reserve_kwh
    through = flows[Flow.GRID_IMPORT] + flows[Flow.GRID_EXPORT]
    return View(
        faulty=faulty,
        misread=misread,
        islanded=~switches.grid_connected,
        market_open=switches.market_enabled,
        manual_load=switches.manual_load_delta_kw != 0.0,
        spare_kwh=spare_kwh,
        storage_failed=storage_failed,
        flowing=flowing,
        recharging=flowing[Flow.CHARGE] & (spare_kwh < -1e-9),
        running_down=flowing[Flow.DISCHARGE] & ~flowing[Flow.PV],
        mostly_pv=flowing[Flow.PV] & (mean[Flow.PV] >= 0.5 * mean[Flow.LOAD]),
        at_grid_limit=switches.grid_connected & (through > plant.grid_limit_kw - 1e-6),
        unserved_kw=flows[Flow.UNSERVED],
        curtailed_kw=flows[Flow.CURTAILED],
    )


def direction_codes(power_kw: Floats) -> Codes:
    """Return 0 for negative (import, charging), 1 below half a watt (idle), 2 for positive (export, discharging)."""
    watts = power_kw * 1000.0
    return (watts > 0.5).view(np.int8) - (watts < -0.5).view(np.int8) + _IDLE


def _profile_codes(appliances: Floats, load_kw: Floats) -> Codes:
    """Return 1 (spiky) while cooking dominates, 2 (thermostat_controlled) while heating or cooling does, else 0."""
    codes: Codes = 2 * (appliances[Appliance.HVAC] > 0.45 * load_kw).view(np.int8)
    codes[appliances[Appliance.COOKING] > 0.25 * load_kw] = 1
    return codes
