"""The scenarios in the core: every expectation, with and without noise, and what setting one does."""

import pytest
from homes import (
    NOON_S,
    SCENARIOS,
    SUNRISE_S,
    community,
    counted,
    home,
    market_order,
    named,
    powers,
    reading,
    soc_of,
    true_reading,
)

from wattswap_mqtt.contract.rehearsal import findings
from wattswap_mqtt.contract.scenario_tables import FIGURES, STATUS, first_figure
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.scenarios import scenario_named
from wattswap_mqtt.core.switchboard import default_switches
from wattswap_mqtt.core.switches import SWITCHES

EACH = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
SEEDS_TWELVE = pytest.mark.parametrize("scenario", list(SCENARIOS.values())[:12], ids=list(SCENARIOS)[:12])
LATE_S = NOON_S + 15 * 3600
"""Three in the morning: the cheap tariff is on."""


@EACH
@pytest.mark.parametrize("start_s", [NOON_S, LATE_S], ids=["noon", "night"])
@pytest.mark.parametrize("noise", [0.0, 1.0], ids=["quiet", "noisy"])
def test_every_expectation_holds(scenario, start_s, noise):
    found = findings(community(noise=noise, start_s=start_s), scenario)
    assert [f"{f.expectation.path}: {f.wanted}, not {f.measured}" for f in found if f.verdict != "holds"] == []


@SEEDS_TWELVE
@pytest.mark.parametrize("after_s", [0, 1, 20, 60])
def test_each_documented_figure_holds_from_the_first_reading_on(scenario, after_s):
    set_up = community()
    set_up.set_scenario(0, scenario)
    set_up.advance(after_s)
    read = reading(set_up)
    truth = true_reading(set_up) if scenario.slug == "sensor-bias" else read
    documented = {path: first_figure(scenario, path) for path in FIGURES.values()}
    known = {path: figure for path, figure in documented.items() if figure is not None}
    assert len(known) >= 4
    assert {path: truth[path] for path in known} == pytest.approx(known, abs=0.05)
    assert read[STATUS] == first_figure(scenario, STATUS)


@SEEDS_TWELVE
def test_every_line_of_the_seed_is_proved(scenario):
    """Each heading has an expectation that quotes it, but for what `further` explains."""
    for heading in ("power_flows", "energies", "tokens", "status", "co2"):
        said = scenario.documented[heading].lower()
        quoted = [e.says for e in scenario.expect if e.says and e.says.lower() in said]
        assert quoted, (heading, said)


@EACH
def test_the_switches_are_the_documented_ones_all_of_them(scenario):
    set_up = home(market_enabled=True, sun_cloud_factor=0.3, ev_mode="solar", time_acceleration=60.0, sun_mode="auto")
    set_up.set_scenario(0, scenario)
    assert set_up.switch_values[0] == scenario.switches
    assert scenario.switches == {name: switch.default for name, switch in SWITCHES.items()} | dict(scenario.changed)
    assert set_up.scenarios == [scenario.slug]
    for name, value in scenario.switches.items():
        assert SWITCHES[name].parse(value) == value


def test_they_are_in_the_seeds_order():
    assert [scenario.number for scenario in SCENARIOS.values()] == list(range(1, 18))


@pytest.mark.parametrize("name", ["daytime-pv", "2", " Daytime-PV ", "DAYTIME-PV"])
def test_a_scenario_is_found_by_slug_and_number(name):
    assert scenario_named(name, SCENARIOS).slug == "daytime-pv"


@pytest.mark.parametrize("name", ["", "0", "18", "-1", "2.0", "nighttime", "__class__", "é" * 500])
def test_an_unknown_scenario_is_refused(name):
    with pytest.raises(CommandError, match="the scenarios are nighttime-baseline, ") as refused:
        scenario_named(name, SCENARIOS)
    assert refused.value.code == "unknown_scenario"


def test_a_scenario_leaves_registers_and_clock_and_sets_the_state_of_charge():
    set_up = home(soc=90, load=2.0)
    before, clock_s = counted(set_up), set_up.clock_s
    set_up.set_scenario(0, named("battery-management"))
    assert counted(set_up) == before
    assert set_up.clock_s == clock_s
    assert soc_of(set_up) == 30.0


def test_a_scenario_cancels_the_open_orders_of_its_meter_only():
    two = community("demo_meter", "meter_00002")
    orders = [two.place(meter, market_order("buy", 1.0, 3600)) for meter in (0, 1)]
    two.set_scenario(0, named("daytime-pv"))
    assert [(order.status, order.reason) for order in orders] == [("cancelled", "scenario"), ("accepted", None)]


def test_going_off_grid_by_a_scenario_cancels_orders_as_any_scenario_does():
    trader = home(soc=60, daytime=True)
    order = trader.place(0, market_order("sell", 1.5, 900))
    trader.set_scenario(0, named("island-mode"))
    assert (order.status, order.reason) == ("cancelled", "scenario")


def test_a_scenario_sets_the_acceleration_of_the_whole_community():
    two = community("demo_meter", "meter_00002")
    two.set_switches(1, {"time_acceleration": 60.0})
    two.set_scenario(0, named("daytime-pv"))
    assert two.time_acceleration == 1.0
    assert [values["time_acceleration"] for values in two.switch_values] == [1.0, 1.0]


def test_none_gives_the_plain_home_back():
    for name in ("demo_meter", "meter_00002"):
        plain = community(name)
        plain.set_scenario(0, named("ev-fast-charging"))
        plain.advance(SUNRISE_S)
        plain.set_scenario(0, named("none"))
        assert plain.switch_values[0] == default_switches(name)
        assert plain.scenarios == ["none"]
        assert powers(plain)["ev"] == 0.0
        assert (powers(plain)["load"] == 2.0) is (name == "demo_meter")


def test_a_switch_set_by_hand_ends_the_scenario_and_one_set_to_what_it_is_does_not():
    set_up = community()
    set_up.set_scenario(0, named("daytime-pv"))
    set_up.set_switches(0, {"daytime": True})
    assert set_up.scenarios == ["daytime-pv"]
    set_up.set_switches(0, {"sun_cloud_factor": 0.5})
    assert set_up.scenarios == ["none"]


def test_the_baseline_and_the_backup_differ_in_the_state_of_charge_only():
    baseline, backup = (SCENARIOS[slug] for slug in ("nighttime-baseline", "battery-backup"))
    assert baseline.switches == backup.switches
    assert baseline.start.base_load_kw == backup.start.base_load_kw


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
    seller.set_scenario(0, named("market-selling"))
    seller.set_switches(0, {"time_acceleration": 10.0})
    seller.advance(600)
    read = reading(seller)
    assert read["derived.token_earnings_apt"] == pytest.approx(0.25 * 0.08, abs=1e-6)
    assert read["derived.token_spending_apt"] == 0.0
    assert read["derived.co2_net_kg"] == pytest.approx(-0.25 * 0.45, abs=1e-6)


def test_market_buying_charges_the_battery_and_spends_tokens():
    buyer = community()
    buyer.set_scenario(0, named("market-buying"))
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
    islanded.set_scenario(0, named(slug))
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
