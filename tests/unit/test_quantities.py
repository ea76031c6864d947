"""The declarations of what a meter reports."""

import numpy as np
import pytest

from wattswap_mqtt.core.quantities import QUANTITIES, ROW, SECTIONS
from wattswap_mqtt.core.records import Appliance
from wattswap_mqtt.core.stacked import rounded

# Section 4 of the contract.
CONTRACT = {
    "measurements": """
        v_rms i_rms p_active q_reactive apparent_power frequency power_factor flow_dir thd_voltage_pct""",
    "pv": "pv_power_kw pv_irradiance_wpm2 pv_temp_c pv_status mppt_setpoint_kw",
    "battery": """
        soc_pct battery_power_kw battery_voltage_v battery_current_a available_charge_kwh available_discharge_kwh
        p_max_charge_kw p_max_discharge_kw bms_status efficiency_roundtrip""",
    "loads": """
        load_power_kw appliance.hvac_kw appliance.fridge_kw appliance.lighting_kw appliance.ev_charger_kw
        load_profile""",
    "ev": "plugged mode power_kw soc_pct session_energy_kwh",
    "grid": "grid_status grid_price_currency_per_kwh grid_available_capacity_kw grid_import_kw grid_export_kw",
    "derived": """
        net_power_kw self_consumption_pct self_sufficiency_pct autonomy_hours time_to_full_hours time_to_empty_hours
        energy_imported_kwh energy_exported_kwh pv_energy_kwh load_energy_kwh battery_charged_kwh
        battery_discharged_kwh ev_energy_kwh co2_emissions_kg co2_savings_kg co2_net_kg token_earnings_apt
        token_spending_apt token_balance_apt unserved_energy_kwh curtailed_energy_kwh system_status status_badge""",
    "market": "enabled pending_orders current_market_price",
}
UNITS = {
    "_kw": "kW", "_kwh": "kWh", "_pct": "%", "_v": "V", "_a": "A", "_c": "°C", "_hours": "h", "_kg": "kg",
    "_apt": "apt",
}  # fmt: skip
WORDS = {
    "measurements.flow_dir": {"import", "export", "idle"},
    "pv.pv_status": {"on", "standby", "fault"},
    "battery.bms_status": {"idle", "charging", "discharging", "fault"},
    "loads.load_profile": {"steady", "spiky", "thermostat_controlled"},
    "ev.mode": {"off", "fast", "scheduled", "solar"},
    "grid.grid_status": {"connected", "islanded"},
}


@pytest.mark.parametrize("section", CONTRACT)
def test_every_field_of_the_contract_is_declared(section):
    declared = {path.dotted.removeprefix(f"{section}.") for path in QUANTITIES if path.section == section}
    assert set(CONTRACT[section].split()) <= declared


def test_sections_are_the_contracts():
    assert list(SECTIONS) == list(CONTRACT)


def test_the_words_are_the_contracts():
    for name, words in WORDS.items():
        assert set(QUANTITIES[ROW[name]].quantity.options) == words


def test_names_are_unique():
    assert len(ROW) == len(QUANTITIES)
    assert len({f"{path.section}_{path.field}" for path in QUANTITIES}) == len(QUANTITIES)


def test_appliances_stand_in_the_order_in_which_they_are_simulated():
    names = [path.names[-1] for path in QUANTITIES if path.names[0] == "appliance"]
    assert [f"{appliance.name.lower()}_kw" for appliance in Appliance] == names[:-1]
    assert names[-1] == "ev_charger_kw"


def test_each_declaration_is_complete():
    for path in QUANTITIES:
        quantity = path.quantity
        assert quantity.title, path.dotted
        assert quantity.meaning, path.dotted
        assert quantity.title[0].isupper(), path.dotted
        assert (quantity.kind == "enum") == bool(quantity.options), path.dotted
        assert len(set(quantity.options)) == len(quantity.options), path.dotted
        assert quantity.deadband >= 0.0, path.dotted
        assert quantity.every_s >= 0.0, path.dotted


def test_names_say_the_unit():
    for path in QUANTITIES:
        for suffix, unit in UNITS.items():
            if path.names[-1].endswith(suffix) and not path.names[-1].endswith("_per_kwh"):
                assert path.quantity.unit == unit, path.dotted


def test_powers_are_to_the_watt_and_energies_to_the_milliwatt_hour():
    for path in QUANTITIES:
        if path.quantity.unit in {"kW", "kvar", "kVA"} or path.names[-1] == "soc_pct":
            assert path.quantity.decimals == 3, path.dotted
        if path.quantity.state_class in {"total", "total_increasing"}:
            assert path.quantity.decimals == 6, path.dotted


def test_what_only_goes_up_is_never_negative_or_undefined():
    for path in QUANTITIES:
        if path.quantity.state_class == "total_increasing":
            assert path.quantity.minimum == 0, path.dotted
            assert not path.quantity.nullable, path.dotted


def test_rounding_is_by_the_declaration_and_leaves_what_is_not_defined():
    values = np.full((len(QUANTITIES), 3), 1.23456789)
    values[:, 1], values[:, 2] = np.nan, -1e-12
    result = rounded(values)
    for row, path in enumerate(QUANTITIES):
        assert result[row, 0] == round(1.23456789, path.quantity.decimals)
    assert np.isnan(result[:, 1]).all()
    assert not np.signbit(result[:, 2]).any()
    assert values[0, 0] == 1.23456789


def test_rounding_of_many_meters_is_that_of_one():
    values = np.random.default_rng(1).uniform(-100, 100, (len(QUANTITIES), 5000))
    assert (rounded(values)[:, 4321:4322] == rounded(values[:, 4321:4322])).all()
