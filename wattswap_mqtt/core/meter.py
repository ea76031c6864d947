"""What a true meter reads: the state of n homes as a `Snapshot`.  How it can be wrong stands in `faulty.py`."""

from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core import draws
from wattswap_mqtt.core.arrays import ZERO, Bools, Codes, Floats, Ints, constant
from wattswap_mqtt.core.battery import SHORT_KWH
from wattswap_mqtt.core.homes import Homes
from wattswap_mqtt.core.pv import cell_temperature_c
from wattswap_mqtt.core.quantities import Snapshot
from wattswap_mqtt.core.records import Appliance, Flow
from wattswap_mqtt.core.status import View

IDLE_KW = constant(0.0005)
"""Less than half a watt is nothing."""
FLOWING_KW = constant(0.05)
"""To the status line less than this is nothing."""
NOMINAL_V, NOMINAL_HZ = 230.0, 50.0
RISE_V_PER_KW = constant(0.9)
"""Of the voltage at the connection, with what is exported."""
REACTIVE_OF_LOAD, REACTIVE_OF_PV = constant(0.12), constant(0.03)
EMPTY_V, FULL_RISE_V, RATED_SAG_V = constant(48.0), constant(5.6), constant(0.3)
"""The battery: empty at rest, how much higher when full, how much lower at its rated discharge."""
THD_PCT, THD_OF_FULL_PV_PCT = constant(1.8), constant(0.25)
SPIKY_SHARE, THERMOSTAT_SHARE = constant(0.25), constant(0.45)
"""Of the load, which cooking, or heating and cooling, has to exceed."""
_NOISE = np.array([[0.15], [0.003], [0.1]])
"""Standard deviations of what a meter reads: volts, hertz, % of distortion."""
_STREAM = 16
_VOLTAGE_STREAM, _FREQUENCY_STREAM = 17, 18
_UTOK, _LITTLE_KW, _ROUNDING_KWH, _TINY = constant(1e-6), constant(1e-6), constant(1e-9), constant(1e-12)
_PERCENT, _PER_KILO = constant(100.0), constant(1000.0)
_HALF, _MINUS_HALF = constant(0.5), constant(-0.5)
_THERMOSTAT = np.array(2, np.int8)


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


def measure(homes: Homes, registers: Floats, standing: Standing, mains: Mains, status: Codes) -> Snapshot:
    """Return what meters read that count `registers` (12, n): the state's `metered`, or its true `registers`."""
    plant, switches, setup, state = homes
    imported, exported, pv, load, charge, discharge, ev, unserved, _ = state.flows
    imported_kwh, exported_kwh, pv_kwh, load_kwh, charged_kwh, discharged_kwh, *more = registers
    ev_kwh, unserved_kwh, curtailed_kwh, emitted_kg, saved_kg, avoided_kg = more
    on_grid = switches.grid_connected
    net, through = exported - imported, exported + imported
    battery_kw = discharge - charge
    noise_v, noise_hz, noise_pct = draws.normals(plant.key, _STREAM, mains.seq, len(_NOISE)) * _NOISE
    nothing = np.zeros(net.shape)

    # The mains: voltage rises with export, frequency is the whole grid's; islanded, the inverter makes both.
    volts = mains.voltage_v + RISE_V_PER_KW * net + noise_v
    hertz = mains.frequency_hz + noise_hz
    reactive = REACTIVE_OF_LOAD * load + REACTIVE_OF_PV * pv
    if setup.any_islanded:
        volts = np.where(on_grid, volts, NOMINAL_V + noise_v)
        hertz = np.where(on_grid, hertz, NOMINAL_HZ - 0.05 * battery_kw + noise_hz)
        reactive *= on_grid
    apparent = np.sqrt(net * net + reactive * reactive)

    room, spare = plant.battery_kwh - state.stored_kwh, np.maximum(state.stored_kwh - setup.reserve_kwh, ZERO)
    efficiency = plant.one_way_efficiency
    can_take, can_give = room / efficiency, spare * efficiency
    soc = state.stored_kwh / plant.battery_kwh
    battery_v = EMPTY_V + FULL_RISE_V * soc - RATED_SAG_V * battery_kw / plant.battery_kw
    battery_dc_w = (discharge / efficiency - charge * efficiency) * _PER_KILO

    # NaN where nothing flows that a share or a time could be of.
    flowing = state.flows[Flow.PV : Flow.EV].copy()
    np.putmask(flowing, flowing < IDLE_KW, np.nan)
    some_pv, some_load, some_charge, some_discharge = flowing

    earned, spent = standing.earnings_utok.astype(np.float64), standing.spending_utok.astype(np.float64)
    hvac, fridge, cooking, lighting, other = state.appliances
    flow_dir, bms_status = direction_codes(np.array([net, battery_kw]))
    return {
        "measurements": {
            "v_rms": volts,
            "i_rms": apparent * _PER_KILO / volts,
            "p_active": net,
            "q_reactive": reactive,
            "apparent_power": apparent,
            "frequency": hertz,
            "power_factor": (through + _TINY) / (apparent + _TINY),
            "flow_dir": flow_dir,
            "thd_voltage_pct": THD_PCT + THD_OF_FULL_PV_PCT * pv / plant.pv_ac_kw + noise_pct,
        },
        "pv": {
            "pv_power_kw": pv,
            "pv_irradiance_wpm2": state.irradiance_wpm2,
            "pv_temp_c": cell_temperature_c(state.irradiance_wpm2, mains.air_temp_c),
            "pv_status": (state.pv_potential_kw <= IDLE_KW).view(np.int8),
            "mppt_setpoint_kw": state.pv_potential_kw,
        },
        "battery": {
            "soc_pct": _PERCENT * soc,
            "battery_power_kw": battery_kw,
            "battery_voltage_v": battery_v,
            "battery_current_a": battery_dc_w / battery_v,
            "available_charge_kwh": can_take,
            "available_discharge_kwh": can_give,
            "p_max_charge_kw": state.max_charge_kw,
            "p_max_discharge_kw": state.max_discharge_kw,
            "bms_status": bms_status,
            "efficiency_roundtrip": setup.round_trip_efficiency,
        },
        "loads": {
            "load_power_kw": load,
            "unserved_power_kw": unserved,
            "appliance": {
                "hvac_kw": hvac,
                "fridge_kw": fridge,
                "cooking_kw": cooking,
                "lighting_kw": lighting,
                "other_kw": other,
                "ev_charger_kw": state.ev_demand_kw,
            },
            "load_profile": _profile_codes(state.appliances, load),
        },
        "ev": {
            "plugged": switches.ev_plug,
            "mode": switches.ev_mode,
            "power_kw": ev,
            "soc_pct": _PERCENT * state.ev_stored_kwh / plant.ev_kwh,
            "session_energy_kwh": state.ev_session_kwh,
        },
        "grid": {
            "grid_status": setup.islanded.view(np.int8),
            "grid_price_currency_per_kwh": nothing + standing.import_tariff,
            "grid_available_capacity_kw": setup.grid_limit_kw - through,
            "grid_import_kw": imported,
            "grid_export_kw": exported,
        },
        "derived": {
            "net_power_kw": net,
            "self_consumption_pct": np.maximum(pv - exported, ZERO) * _PERCENT / some_pv,
            "self_sufficiency_pct": np.maximum(load - imported, ZERO) * _PERCENT / some_load,
            "autonomy_hours": can_give / some_load,
            "time_to_full_hours": can_take / some_charge,
            "time_to_empty_hours": can_give / some_discharge,
            "energy_imported_kwh": imported_kwh,
            "energy_exported_kwh": exported_kwh,
            "pv_energy_kwh": pv_kwh,
            "load_energy_kwh": load_kwh,
            "battery_charged_kwh": charged_kwh,
            "battery_discharged_kwh": discharged_kwh,
            "ev_energy_kwh": ev_kwh,
            "co2_emissions_kg": emitted_kg,
            "co2_savings_kg": saved_kg,
            "co2_net_kg": emitted_kg - avoided_kg,
            "token_earnings_apt": earned * _UTOK,
            "token_spending_apt": spent * _UTOK,
            "token_balance_apt": (earned - spent) * _UTOK,
            "unserved_energy_kwh": unserved_kwh,
            "curtailed_energy_kwh": curtailed_kwh,
            "system_status": status,
            "status_badge": status,
        },
        "market": {
            "enabled": switches.market_enabled,
            "pending_orders": standing.pending_orders,
            "current_market_price": nothing + standing.market_price,
        },
    }


def view_of(homes: Homes, faulty: Bools, misread: Bools, storage_failed: Bools) -> View:
    """Return what the rules of status and alarms look at."""
    _, switches, setup, state = homes
    imported, exported, _, _, _, _, _, unserved, curtailed = state.flows
    mean = state.mean_flows
    importing, exporting, sunny, _, charging, discharging, ev_charging, *_ = mean > FLOWING_KW
    spare_kwh = state.stored_kwh - setup.reserve_kwh
    return View(
        faulty=faulty,
        misread=misread,
        islanded=setup.islanded,
        market_open=switches.market_enabled,
        manual_load=setup.manual_load,
        storage_failed=storage_failed,
        importing=importing,
        exporting=exporting,
        ev_charging=ev_charging,
        recharging=charging & (spare_kwh < SHORT_KWH),
        running_down=discharging & ~sunny,
        mostly_pv=sunny & (mean[Flow.PV] >= _HALF * mean[Flow.LOAD]),
        depleted=spare_kwh <= _ROUNDING_KWH,
        at_grid_limit=imported + exported > setup.at_limit_kw,
        unserved=unserved > _LITTLE_KW,
        curtailed=curtailed > _LITTLE_KW,
    )


def direction_codes(power_kw: Floats) -> Codes:
    """Return 0 for negative (import, charging), 1 below half a watt (idle), 2 for positive (export, discharging)."""
    watts = power_kw * _PER_KILO
    return (watts >= _MINUS_HALF).view(np.int8) + (watts > _HALF).view(np.int8)


def _profile_codes(appliances: Floats, load_kw: Floats) -> Codes:
    """Return 1 (spiky) while cooking dominates, 2 (thermostat_controlled) while heating or cooling does, else 0."""
    spiky = appliances[Appliance.COOKING] > SPIKY_SHARE * load_kw
    thermostat = (appliances[Appliance.HVAC] > THERMOSTAT_SHARE * load_kw) & ~spiky
    codes: Codes = spiky.view(np.int8) + thermostat.view(np.int8) * _THERMOSTAT
    return codes
