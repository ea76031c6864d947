"""The demo home's battery: 10 kWh, 3 kW each way, 0.92 round trip."""

import pytest
from homes import community, counted, home, powers, reading, set_home, soc_of

ISLAND = {"grid_connected": False}


def test_a_fresh_home_starts_at_60_percent():
    assert reading(community())["battery.soc_pct"] == 60.0


def test_a_kwh_into_the_cells_and_out_again_costs_8_percent():
    cycled = home(soc=50, load=1.0, daytime=True, time_acceleration=30.0)  # charges with 3 kW
    begin = counted(cycled)
    cycled.advance(1800)
    set_home(cycled, 0, daytime=False, load=2.0)
    while soc_of(cycled) > 50.0:
        cycled.advance(6)
    end = counted(cycled)
    charged, discharged = (end[name] - begin[name] for name in ("charged", "discharged"))
    assert charged == pytest.approx(1.5, abs=0.01)
    assert discharged / charged == pytest.approx(0.92, abs=0.001)


def test_the_state_of_charge_follows_the_energy_at_the_terminals():
    giving = home(soc=80, load=2.0, time_acceleration=60.0)
    giving.advance(3600)
    assert soc_of(giving) == pytest.approx(80 - 20 / 0.92**0.5, abs=0.01)


@pytest.mark.parametrize(
    ("soc", "most_kw"), [(0, 3.0), (60, 3.0), (90, 3.0), (95, 1.5), (99, 0.3), (99.9, 0.15), (100, 0.0)]
)
def test_charging_tapers_above_90_percent(soc, most_kw):
    filling = home(soc=soc, load=0.0, daytime=True, battery_reserve_pct=0.0)
    assert powers(filling)["charge"] == pytest.approx(most_kw, abs=2e-3)
    assert reading(filling)["battery.p_max_charge_kw"] == pytest.approx(most_kw, abs=2e-3)


def test_it_fills_up_to_100_percent_and_not_beyond():
    filling = home(soc=98, load=0.0, daytime=True, time_acceleration=60.0)
    filling.advance(3 * 3600)
    assert soc_of(filling) == 100.0
    assert powers(filling)["charge"] == 0.0


def test_it_empties_down_to_nothing_with_a_reserve_of_0():
    emptying = home(soc=1, load=2.0, battery_reserve_pct=0.0, time_acceleration=10.0, **ISLAND)
    emptying.advance(900)
    assert soc_of(emptying) == pytest.approx(0.0, abs=1e-9)
    assert powers(emptying)["unserved"] == 2.0


def test_a_reserve_of_100_percent_keeps_everything():
    kept = home(soc=100, load=2.0, battery_reserve_pct=100.0, time_acceleration=10.0)
    kept.advance(600)
    assert soc_of(kept) == 100.0
    assert powers(kept)["discharge"] == 0.0


@pytest.mark.parametrize(
    ("switches", "bms", "kw"),
    [
        ({"load": 2.0}, "discharging", 2.0),
        ({"load": 0.0}, "idle", 0.0),
        ({"load": 1.0, "daytime": True}, "charging", -3.0),
    ],
)
def test_what_its_management_reports(switches, bms, kw):
    read = reading(home(soc=60, **switches))
    assert read["battery.bms_status"] == bms
    assert read["battery.battery_power_kw"] == kw
    assert read["battery.battery_current_a"] * kw >= 0.0
    assert 44.0 < read["battery.battery_voltage_v"] < 58.0
    assert read["battery.efficiency_roundtrip"] == 0.92


def test_what_it_can_still_take_and_give():
    read = reading(home(soc=60, load=2.0))
    assert read["battery.available_charge_kwh"] == pytest.approx(4.0 / 0.92**0.5, abs=1e-3)
    assert read["battery.available_discharge_kwh"] == pytest.approx(5.0 * 0.92**0.5, abs=1e-3)
    assert read["derived.time_to_empty_hours"] == pytest.approx(5.0 * 0.92**0.5 / 2.0, abs=1e-3)
    assert read["derived.autonomy_hours"] == pytest.approx(5.0 * 0.92**0.5 / 2.0, abs=1e-3)


def test_below_the_reserve_there_is_nothing_to_give():
    read = reading(home(soc=5, load=2.0))
    assert read["battery.available_discharge_kwh"] == 0.0
    assert read["battery.p_max_discharge_kw"] == 0.0
