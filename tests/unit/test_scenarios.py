"""The seed's twelve scenarios in the core: every figure, the status line, with and without noise."""

import numpy as np
import pytest
from homes import SUNRISE_S, community, counted, home, market_order, powers, reading, soc_of, true_reading

from wattswap_mqtt.core.community import Community, default_switches
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.quantities import ROW
from wattswap_mqtt.core.records import Flow
from wattswap_mqtt.core.scenarios import SCENARIOS, scenario_named
from wattswap_mqtt.core.switches import SWITCHES

EACH = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
FIGURES = {
    "pv_kw": "pv.pv_power_kw",
    "battery_kw": "battery.battery_power_kw",
    "ev_kw": "ev.power_kw",
    "import_kw": "grid.grid_import_kw",
    "export_kw": "grid.grid_export_kw",
    "net_kw": "derived.net_power_kw",
}


def street_of_all_scenarios(noise: float) -> Community:
    """Return demo homes, alike to the last draw, each in a scenario of its own."""
    street = community(*(["demo_meter"] * len(SCENARIOS)), noise=noise)
    for meter, slug in enumerate(SCENARIOS):
        street.set_scenario(meter, slug)
    return street


@EACH
@pytest.mark.parametrize("after_s", [0, 1, 20, 60])
def test_each_documented_figure_holds_from_the_first_reading_on(scenario, after_s):
    set_up = community()
    set_up.set_scenario(0, scenario.slug)
    set_up.advance(after_s)
    read = reading(set_up)
    truth = true_reading(set_up) if scenario.slug == "sensor-bias" else read
    documented = {name: getattr(scenario.expected, name) for name in FIGURES}
    assert {name: truth[path] for name, path in FIGURES.items()} == pytest.approx(documented, abs=0.05)
    assert read["derived.system_status"] == scenario.status_line


@EACH
def test_the_switches_are_the_documented_ones_all_of_them(scenario):
    set_up = home(market_enabled=True, sun_cloud_factor=0.3, ev_mode="solar", time_acceleration=60.0, sun_mode="auto")
    set_up.set_scenario(0, scenario.slug)
    assert set_up.switch_values[0] == scenario.switches
    assert scenario.switches == {name: switch.default for name, switch in SWITCHES.items()} | dict(scenario.changed)
    assert set_up.scenarios == [scenario.slug]
    for name, value in scenario.switches.items():
        assert SWITCHES[name].parse(value) == value


def test_with_noise_the_mean_of_15_minutes_is_near_each_figure_and_no_status_flickers():
    street = street_of_all_scenarios(noise=1.0)
    street.set_switches(0, {"time_acceleration": 5.0})
    lines, flows = set(), []
    for _ in range(180):
        street.advance(5)
        flows.append(street.state.flows.copy())
        readings, _ = street.read()
        lines.add(tuple(readings.values[ROW["derived.system_status"]].tolist()))
    mean = np.mean(flows, axis=0)
    for meter, scenario in enumerate(SCENARIOS.values()):
        measured = {
            "pv_kw": mean[Flow.PV],
            "battery_kw": mean[Flow.DISCHARGE] - mean[Flow.CHARGE],
            "ev_kw": mean[Flow.EV],
            "import_kw": mean[Flow.GRID_IMPORT],
            "export_kw": mean[Flow.GRID_EXPORT],
            "net_kw": mean[Flow.GRID_EXPORT] - mean[Flow.GRID_IMPORT],
        }
        documented = {name: getattr(scenario.expected, name) for name in FIGURES}
        assert {name: kw[meter] for name, kw in measured.items()} == pytest.approx(documented, abs=0.5), scenario.slug
    assert len(lines) == 1


def test_the_twelve_are_in_the_seeds_order():
    assert [scenario.number for scenario in SCENARIOS.values()] == list(range(1, 13))


@pytest.mark.parametrize("name", ["daytime-pv", "2", " Daytime-PV ", "DAYTIME-PV"])
def test_a_scenario_is_found_by_slug_and_number(name):
    assert scenario_named(name).slug == "daytime-pv"


@pytest.mark.parametrize("name", ["", "0", "13", "-1", "2.0", "nighttime", "__class__", "é" * 500])
def test_an_unknown_scenario_is_refused_and_nothing_changes(name):
    set_up = home(soc=42)
    values, soc = dict(set_up.switch_values[0]), soc_of(set_up)
    with pytest.raises(CommandError, match="the scenarios are nighttime-baseline, ") as refused:
        set_up.set_scenario(0, name)
    assert refused.value.code == "unknown_scenario"
    assert (set_up.switch_values[0], soc_of(set_up)) == (values, soc)


def test_a_scenario_leaves_registers_and_clock_and_sets_the_state_of_charge():
    set_up = home(soc=90, load=2.0)
    before, clock_s = counted(set_up), set_up.clock_s
    set_up.set_scenario(0, "battery-management")
    assert counted(set_up) == before
    assert set_up.clock_s == clock_s
    assert soc_of(set_up) == 30.0


def test_a_scenario_cancels_the_open_orders_of_its_meter_only():
    two = community("demo_meter", "meter_00002")
    orders = [two.place(meter, market_order("buy", 1.0, 3600)) for meter in (0, 1)]
    two.set_scenario(0, "daytime-pv")
    assert [(order.status, order.reason) for order in orders] == [("cancelled", "scenario"), ("accepted", None)]


def test_going_off_grid_by_a_scenario_cancels_orders_as_any_scenario_does():
    trader = home(soc=60, daytime=True)
    order = trader.place(0, market_order("sell", 1.5, 900))
    trader.set_scenario(0, "island-mode")
    assert (order.status, order.reason) == ("cancelled", "scenario")


def test_a_scenario_sets_the_acceleration_of_the_whole_community():
    two = community("demo_meter", "meter_00002")
    two.set_switches(1, {"time_acceleration": 60.0})
    two.set_scenario(0, "daytime-pv")
    assert two.time_acceleration == 1.0
    assert [values["time_acceleration"] for values in two.switch_values] == [1.0, 1.0]


def test_none_gives_the_plain_home_back():
    for name in ("demo_meter", "meter_00002"):
        plain = community(name)
        plain.set_scenario(0, "ev-fast-charging")
        plain.advance(SUNRISE_S)
        plain.set_scenario(0, "none")
        assert plain.switch_values[0] == default_switches(name)
        assert plain.scenarios == ["none"]
        assert powers(plain)["ev"] == 0.0
        assert (powers(plain)["load"] == 2.0) is (name == "demo_meter")


def test_a_switch_set_by_hand_ends_the_scenario_and_one_set_to_what_it_is_does_not():
    set_up = community()
    set_up.set_scenario(0, "daytime-pv")
    set_up.set_switches(0, {"daytime": True})
    assert set_up.scenarios == ["daytime-pv"]
    set_up.set_switches(0, {"sun_cloud_factor": 0.5})
    assert set_up.scenarios == ["none"]


def test_the_baseline_and_the_backup_differ_in_the_state_of_charge_only():
    baseline, backup = (SCENARIOS[slug] for slug in ("nighttime-baseline", "battery-backup"))
    assert baseline.switches == backup.switches
    assert baseline.base_load_kw == backup.base_load_kw


def test_a_fresh_start_looks_like_the_backup_until_the_reserve_is_reached():
    fresh = community()
    assert reading(fresh)["derived.system_status"] == "Battery providing backup power"
    fresh.set_switches(0, {"time_acceleration": 3600.0})
    fresh.advance(3 * 3600)
    assert reading(fresh)["derived.system_status"] == "Grid-dependent consumption"
    assert powers(fresh)["grid_import"] == 2.0


# What the scenarios are meant to show over time.


def test_market_selling_earns_tokens_and_avoids_emissions():
    seller = community()
    seller.set_scenario(0, "market-selling")
    seller.set_switches(0, {"time_acceleration": 10.0})
    seller.advance(600)
    read = reading(seller)
    assert read["derived.token_earnings_apt"] == pytest.approx(0.25 * 0.08, abs=1e-6)
    assert read["derived.token_spending_apt"] == 0.0
    assert read["derived.co2_net_kg"] == pytest.approx(-0.25 * 0.45, abs=1e-6)


def test_market_buying_charges_the_battery_and_spends_tokens():
    buyer = community()
    buyer.set_scenario(0, "market-buying")
    buyer.set_switches(0, {"time_acceleration": 5.0})
    buyer.place(0, market_order("buy", 0.5, 600))
    assert powers(buyer)["charge"] == pytest.approx(3.0)
    buyer.advance(600)
    read = reading(buyer)
    assert powers(buyer)["charge"] == pytest.approx(3.0)
    assert read["battery.soc_pct"] > 60.0
    assert read["derived.token_spending_apt"] == pytest.approx(0.5 * 0.3, abs=1e-6)
    buyer.advance(10)
    assert powers(buyer)["discharge"] == pytest.approx(2.0)


@pytest.mark.parametrize("slug", ["island-mode", "grid-failure"])
def test_off_grid_a_buy_order_fails_and_nothing_is_spent(slug):
    islanded = community()
    islanded.set_scenario(0, slug)
    with pytest.raises(CommandError) as refused:
        islanded.place(0, market_order("buy", 0.5, 600))
    assert refused.value.code == "grid_disconnected"
    assert islanded.exchange.get(refused.value.order_id).status == "failed"
    islanded.advance(60)
    assert reading(islanded)["derived.token_spending_apt"] == 0.0
    assert counted(islanded)["imported"] == counted(islanded)["exported"] == 0.0


def test_daytime_without_the_market_earns_nothing():
    sunny = home(soc=100, load=1.0, daytime=True, time_acceleration=10.0)
    sunny.advance(600)
    read = reading(sunny)
    assert read["derived.energy_exported_kwh"] > 0.4
    assert read["derived.token_earnings_apt"] == 0.0


def test_the_seeds_step_4_sells_what_battery_and_surplus_give():
    """1.5 kWh in 900 s ask for 6 kW: 2 kW of surplus and the battery's 3 kW deliver 5."""
    seller = home(daytime=True, time_acceleration=5.0)
    soc = soc_of(seller)
    order = seller.place(0, market_order("sell", 1.5, 900, min_fill_kwh=0.1))
    read = reading(seller)
    assert order.status == "accepted"
    assert read["grid.grid_export_kw"] == pytest.approx(5.0, abs=0.001)
    assert read["battery.battery_power_kw"] == pytest.approx(3.0, abs=0.001)
    seller.advance(450)
    assert soc_of(seller) < soc - 3.5
    assert order.status == "partially_filled"
    seller.advance(450)
    assert (order.status, order.reason) == ("expired", "delivered_short")
    assert order.to_dict()["filled_kwh"] == pytest.approx(1.25, abs=0.001)
    assert reading(seller)["derived.token_earnings_apt"] == pytest.approx(1.25 * 0.08, abs=1e-4)
    seller.advance(5)
    assert powers(seller)["charge"] == pytest.approx(2.0, abs=0.001)


def test_the_seeds_steps_6_and_7_fail_the_running_sale_and_the_purchase():
    seller = home(daytime=True)
    order = seller.place(0, market_order("sell", 1.5, 900))
    seller.advance(60)
    filled = order.filled_mwh
    seller.set_switches(0, {"grid_connected": False})
    assert (order.status, order.reason) == ("failed", "grid_disconnected")
    assert powers(seller)["grid_export"] == 0.0
    with pytest.raises(CommandError, match="grid"):
        seller.place(0, market_order("buy", 1.0, 900))
    assert order.filled_mwh == filled > 0
