"""What a true meter reads: the state of n homes as a `Snapshot`.  How it can be wrong stands in `faults.py`."""

from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core import battery, draws
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
from wattswap_mqtt.core.records import Appliance, Bools, Codes, Flow, Floats, Plant, Register, State, Switches
from wattswap_mqtt.core.status import View, status_codes

IDLE_KW = 0.0005
"""Less than half a watt is nothing."""
NOMINAL_V, NOMINAL_HZ = 230.0, 50.0
_STREAM = 16
_VOLTAGE_STREAM, _FREQUENCY_STREAM = 17, 18
_UTOK = 1e-6


class Standing(NamedTuple):
    """How the meters stand in the market: tokens in micro-tokens (n,), open orders (n,), prices per kWh."""

    earnings_utok: Floats
    spending_utok: Floats
    pending_orders: np.ndarray[tuple[int], np.dtype[np.int64]]
    market_price: float
    import_tariff: float


def measure(
    plant: Plant, state: State, switches: Switches, registers: Floats, standing: Standing, seed: int, time_s: float, seq: int, view: View
) -> Snapshot:
    """Return what meters read that count `registers` (12, n): the state's `metered`, or its true `registers`."""
    flows = state.flows
    imported, exported, load = flows[Flow.GRID_IMPORT], flows[Flow.GRID_EXPORT], flows[Flow.LOAD]
    charge, discharge, pv = flows[Flow.CHARGE], flows[Flow.DISCHARGE], flows[Flow.PV]
    on_grid = switches.grid_connected
    net = exported - imported
    battery_kw = discharge - charge
    noise = draws.normals(plant.key, _STREAM, seq)

    # The mains: voltage rises with export, frequency is the whole grid's; islanded, the inverter makes both.
    mains_v = NOMINAL_V + 4.0 * (draws.smooth(seed, _VOLTAGE_STREAM, time_s / 90) - 0.5)
    mains_hz = NOMINAL_HZ + 0.08 * (draws.smooth(seed, _FREQUENCY_STREAM, time_s / 20) - 0.5)
    volts = np.where(on_grid, mains_v + 0.9 * net, NOMINAL_V) + 0.15 * noise[0]
    hertz = np.where(on_grid, mains_hz, NOMINAL_HZ - 0.05 * (discharge - charge)) + 0.003 * noise[1]
    reactive = (0.12 * load + 0.03 * pv) * on_grid
    apparent = np.hypot(net, reactive)
    active = np.abs(net)

    reserve = plant.battery_kwh * switches.battery_reserve_pct * 0.01
    efficiency = plant.one_way_efficiency
    room = battery.room_kwh(state.stored_kwh, plant.battery_kwh, efficiency)
    spare = battery.above_reserve_kwh(state.stored_kwh, reserve, efficiency)
    soc = state.stored_kwh / plant.battery_kwh
    battery_v = 48.0 + 5.6 * soc - 0.3 * battery_kw / plant.battery_kw
    battery_dc_kw = discharge / efficiency - charge * efficiency

    used_pv = np.maximum(pv - exported, 0.0)
    status = status_codes(view)
    return Snapshot(
        measurements=Measurements(
            v_rms=volts,
            i_rms=apparent * 1000.0 / volts,
            p_active=net,
            q_reactive=reactive,
            apparent_power=apparent,
            frequency=hertz,
            power_factor=np.where(apparent > 0.0, active / np.maximum(apparent, 1e-12), 1.0),
            flow_dir=flow_codes(net),
            thd_voltage_pct=1.8 + 0.25 * pv / plant.pv_ac_kw + 0.1 * noise[2],
        ),
        pv=Pv(
            pv_power_kw=pv,
            pv_irradiance_wpm2=state.irradiance_wpm2,
            pv_temp_c=state.cell_temp_c,
            pv_status=np.where(state.pv_potential_kw > IDLE_KW, 0, 1).astype(np.int8),
            mppt_setpoint_kw=state.pv_potential_kw,
        ),
        battery=Battery(
            soc_pct=100.0 * soc,
            battery_power_kw=battery_kw,
            battery_voltage_v=battery_v,
            battery_current_a=battery_dc_kw * 1000.0 / battery_v,
            available_charge_kwh=room,
            available_discharge_kwh=spare,
            p_max_charge_kw=np.where(room > 0.0, battery.max_charge_kw(state.stored_kwh, plant.battery_kwh, plant.battery_kw), 0.0),
            p_max_discharge_kw=np.where(spare > 0.0, plant.battery_kw, 0.0),
            bms_status=_bms_codes(battery_kw),
            efficiency_roundtrip=efficiency * efficiency,
        ),
        loads=Loads(
            load_power_kw=load,
            unserved_power_kw=flows[Flow.UNSERVED],
            appliance=Appliances(*state.appliances, ev_charger_kw=state.ev_demand_kw),
            load_profile=_profile_codes(plant, state),
        ),
        ev=Ev(
            plugged=switches.ev_plug,
            mode=switches.ev_mode,
            power_kw=flows[Flow.EV],
            soc_pct=100.0 * state.ev_stored_kwh / plant.ev_kwh,
            session_energy_kwh=state.ev_session_kwh,
        ),
        grid=Grid(
            grid_status=(~on_grid).astype(np.int8),
            grid_price_currency_per_kwh=np.full(net.shape, standing.import_tariff),
            grid_available_capacity_kw=(plant.grid_limit_kw - active) * on_grid,
            grid_import_kw=imported,
            grid_export_kw=exported,
        ),
        derived=Derived(
            net_power_kw=net,
            self_consumption_pct=_share_pct(used_pv, pv),
            self_sufficiency_pct=_share_pct(np.maximum(load - imported, 0.0), load),
            autonomy_hours=_ratio(spare, load),
            time_to_full_hours=_ratio(room, charge),
            time_to_empty_hours=_ratio(spare, discharge),
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
            token_earnings_apt=standing.earnings_utok * _UTOK,
            token_spending_apt=standing.spending_utok * _UTOK,
            token_balance_apt=(standing.earnings_utok - standing.spending_utok) * _UTOK,
            unserved_energy_kwh=registers[Register.UNSERVED],
            curtailed_energy_kwh=registers[Register.CURTAILED],
            system_status=status,
            status_badge=status,
        ),
        market=Market(
            enabled=switches.market_enabled,
            pending_orders=standing.pending_orders,
            current_market_price=np.full(net.shape, standing.market_price),
        ),
    )


def view_of(plant: Plant, state: State, switches: Switches, faulty: Bools, misread: Bools, *, storage_failed: bool) -> View:
    """Return what the rules of status and alarms look at."""
    mean = state.mean_flows
    reserve = plant.battery_kwh * switches.battery_reserve_pct * 0.01
    return View(
        faulty=faulty,
        misread=misread,
        on_grid=switches.grid_connected,
        market_open=switches.market_enabled,
        manual_load_kw=switches.manual_load_delta_kw,
        below_reserve=state.stored_kwh < reserve - 1e-9,
        empty=state.stored_kwh <= reserve + 1e-9,
        storage_failed=storage_failed,
        grid_limit_kw=plant.grid_limit_kw,
        import_kw=mean[Flow.GRID_IMPORT],
        export_kw=mean[Flow.GRID_EXPORT],
        pv_kw=mean[Flow.PV],
        load_kw=mean[Flow.LOAD],
        charge_kw=mean[Flow.CHARGE],
        discharge_kw=mean[Flow.DISCHARGE],
        ev_kw=mean[Flow.EV],
        unserved_kw=state.flows[Flow.UNSERVED],
        curtailed_kw=state.flows[Flow.CURTAILED],
    )


def flow_codes(net_kw: Floats) -> Codes:
    """Return the index into `FLOW_DIRS` for net power, + export."""
    return np.where(np.abs(net_kw) < IDLE_KW, 2, np.where(net_kw > 0.0, 1, 0)).astype(np.int8)


def _bms_codes(battery_kw: Floats) -> Codes:
    return np.where(np.abs(battery_kw) < IDLE_KW, 0, np.where(battery_kw > 0.0, 2, 1)).astype(np.int8)


def _profile_codes(plant: Plant, state: State) -> Codes:
    """Return spiky (1) while stove or washing machine run, thermostat_controlled (2) while heating or cooling does."""
    usual = plant.appliance_share * state.appliances.sum(axis=0)
    on = state.appliances > usual * 1.05
    return np.where(on[Appliance.COOKING], 1, np.where(on[Appliance.HVAC], 2, 0)).astype(np.int8)


def _ratio(energy_kwh: Floats, power_kw: Floats) -> Floats:
    """Return energy / power in hours, NaN where nothing flows."""
    return np.where(power_kw >= IDLE_KW, energy_kwh / np.maximum(power_kw, IDLE_KW), np.nan)


def _share_pct(part_kw: Floats, whole_kw: Floats) -> Floats:
    """Return 100 · part / whole, NaN where the whole is nothing."""
    return np.where(whole_kw >= IDLE_KW, 100.0 * part_kw / np.maximum(whole_kw, IDLE_KW), np.nan)
