"""The community: commands, time, events, and going on after a restart."""

import json
from datetime import datetime

import numpy as np
import pytest
from homes import (
    NOON_S,
    community,
    counted,
    encoded,
    home,
    market_order,
    named,
    powers,
    reading,
    restarted,
    set_home,
    soc_of,
)

from wattswap_mqtt.core import faults
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.records import Flow
from wattswap_mqtt.core.sun import Site
from wattswap_mqtt.core.switchboard import default_switches
from wattswap_mqtt.core.switches import SWITCHES

NAMES = ("demo_meter", *(f"meter_{number:05d}" for number in range(2, 51)))


def events(homes) -> list[str]:
    return [event.event_type for event in homes.take_events()]


# -- commands


def test_the_defaults_are_the_contracts():
    two = community("demo_meter", "meter_00002")
    assert two.switch_values[0] == {name: switch.default for name, switch in SWITCHES.items()}
    assert two.switch_values[1] == two.switch_values[0] | {"sun_mode": "auto"}
    assert default_switches("demo_meter")["sun_mode"] == "manual"
    assert reading(two)["battery.soc_pct"] == 60.0
    assert two.scenarios == ["none", "none"]


@pytest.mark.parametrize("daytime", [True, False])
def test_setting_daytime_returns_to_the_manual_sun(daytime):
    sunny = community("meter_00002")
    assert sunny.set_switches(0, {"daytime": daytime})
    assert sunny.switch_values[0]["sun_mode"] == "manual"


def test_daytime_and_sun_mode_together_mean_what_they_say():
    sunny = community("meter_00002")
    sunny.set_switches(0, {"daytime": True, "sun_mode": "auto"})
    assert (sunny.switch_values[0]["daytime"], sunny.switch_values[0]["sun_mode"]) == (True, "auto")


def test_a_switch_set_to_what_it_is_changes_nothing_and_tells_nobody():
    quiet = home(soc=60, load=2.0, noise=1.0)
    quiet.take_events()
    before = powers(quiet)
    assert quiet.set_switches(0, {"grid_connected": True, "daytime": False}) is False
    assert events(quiet) == []
    assert powers(quiet)["load"] == pytest.approx(before["load"])


def test_a_change_is_told_with_its_old_value():
    told = home()
    told.take_events()
    assert told.set_switches(0, {"battery_reserve_pct": 30.0, "ev_plug": False})
    (event,) = told.take_events()
    assert (event.event_type, event.meter, event.timestamp_s) == ("switch_changed", 0, told.clock_s)
    assert event.data == {"switch": "battery_reserve_pct", "value": 30.0, "previous": 10.0}


def test_the_grid_going_and_coming_are_events():
    told = home()
    told.take_events()
    told.set_switches(0, {"grid_connected": False})
    assert "grid_disconnect" in events(told)
    told.set_switches(0, {"grid_connected": True})
    assert "grid_reconnect" in events(told)


def test_a_scenario_is_told():
    told = home()
    told.take_events()
    told.set_scenario(0, named("grid-failure"))
    assert [e.data["scenario"] for e in told.take_events() if e.event_type == "scenario_set"] == ["grid-failure"]


def test_events_are_taken_once():
    told = home()
    told.set_switches(0, {"grid_connected": False})
    assert events(told)
    assert events(told) == []


def test_one_clock_for_all():
    three = community("demo_meter", "meter_00002", "meter_00003")
    three.set_switches(2, {"time_acceleration": 10.0})
    assert three.time_acceleration == 10.0
    assert [values["time_acceleration"] for values in three.switch_values] == [10.0] * 3


def test_an_order_acts_at_once_and_so_does_its_cancellation():
    seller = home(soc=60, load=2.0, daytime=True)
    order = seller.place(0, market_order("sell", 1.5, 900))
    assert powers(seller)["discharge"] == pytest.approx(3.0, abs=1e-3)
    seller.cancel(0, order.order_id)
    assert powers(seller)["discharge"] == 0.0
    with pytest.raises(CommandError) as refused:
        seller.cancel(0, order.order_id)
    assert refused.value.code == "order_ended"


def test_a_command_to_one_home_leaves_the_powers_of_the_others():
    street = community(*NAMES, noise=1.0)
    street.advance(7)
    before = street.state.flows.copy()
    street.set_switches(3, {"grid_connected": False, "manual_load_delta_kw": 4.0})
    street.set_scenario(5, named("ev-fast-charging"))
    others = [meter for meter in range(len(NAMES)) if meter not in (3, 5)]
    assert (street.state.flows[:, others] == before[:, others]).all()
    assert (street.state.flows[:, [3, 5]] != before[:, [3, 5]]).any()


# -- time


def test_the_clock_goes_on_by_what_was_simulated():
    for acceleration, seconds in ((1.0, 1.0), (0.3, 0.3), (3600.0, 3600.0), (60.0, 7.5)):
        going = community()
        going.set_switches(0, {"time_acceleration": acceleration})
        for _ in range(5):
            going.advance(seconds)
        assert going.clock_s == pytest.approx(NOON_S + 5 * seconds, abs=1e-5)


def test_a_start_between_two_seconds_is_no_problem():
    odd = community(start_s=NOON_S + 0.123456)
    odd.advance(2.5)
    assert odd.clock_s == pytest.approx(NOON_S + 2.623456, abs=1e-5)
    assert counted(odd)["load"] == pytest.approx(2.0 * 2.5 / 3600, rel=1e-6)


@pytest.mark.parametrize("year", ["1971-01-01", "2024-02-29", "2100-02-28", "2199-12-31"])
@pytest.mark.parametrize("latitude", [-90.0, 78.0, 0.0])
def test_any_date_and_any_place(year, latitude):
    start_s = datetime.fromisoformat(f"{year}T00:00:00+00:00").timestamp()
    odd = community(
        "demo_meter", "meter_00002", start_s=start_s, noise=1.0, site=Site(latitude, 180.0, "Pacific/Auckland")
    )
    odd.set_switches(0, {"time_acceleration": 3600.0, "sun_mode": "auto"})
    odd.advance(2 * 3600)
    for message in encoded(odd):
        assert json.loads(message)["loads"]["load_power_kw"] > 0.0


def test_a_day_of_the_real_sun_has_a_night_and_a_noon():
    street = community(*NAMES[1:11], start_s=NOON_S - 12 * 3600)
    street.set_switches(0, {"time_acceleration": 3600.0})
    pv = []
    for _ in range(24):
        street.advance(3600)
        pv.append(street.state.flows[Flow.PV].sum())
    assert pv[0] == pv[1] == pv[23] == 0.0
    assert max(pv) == max(pv[9:16])
    assert max(pv) > 10.0


# -- the same again


def script(homes) -> list[bytes]:
    """Let things happen to the first homes, and return all that was told of them."""
    told: list[bytes] = []

    def tick(seconds: float) -> None:
        homes.advance(seconds)
        told.extend(encoded(homes)[:2])

    tick(1)
    homes.set_switches(0, {"daytime": True})
    tick(3)
    homes.place(0, market_order("sell", 0.3, 120))
    homes.set_switches(1, {"market_enabled": True, "fault_inject": faults.parse({"noise_pct": 2, "spike_prob": 0.5})})
    tick(20)
    homes.set_switches(0, {"time_acceleration": 60.0})
    for _ in range(3):
        tick(60)
    homes.set_scenario(0, named("load-spike"))
    homes.set_switches(1, {"time_acceleration": 60.0})
    tick(900)
    homes.place(1, market_order("buy", 0.5, 300))
    tick(400)
    told.extend(str(event).encode() for event in homes.take_events())
    return told


def test_the_same_seed_and_commands_give_the_same_bytes():
    assert script(community(*NAMES[:3], noise=1.0)) == script(community(*NAMES[:3], noise=1.0))
    assert script(community(*NAMES[:3], noise=1.0, seed=2)) != script(community(*NAMES[:3], noise=1.0))


def test_a_meter_does_not_change_when_its_neighbours_are_more():
    assert script(community(*NAMES[:2], noise=1.0)) == script(community(*NAMES, noise=1.0))


def test_one_meter_alone_is_the_row_of_fifty():
    alone, fifty = community(NAMES[0], noise=1.0), community(*NAMES, noise=1.0)
    for _ in range(20):
        for homes in (alone, fifty):
            homes.advance(1)
        assert encoded(alone)[0] == encoded(fifty)[0]


@pytest.mark.parametrize("some", [[3], [4, 1, 3], [4, 3, 2, 1, 0]])
def test_a_reading_of_some_meters_is_their_rows_in_the_reading_of_all(some):
    asked, all_ = community(*NAMES[:5], noise=1.0), community(*NAMES[:5], noise=1.0)
    for homes in (asked, all_):
        homes.set_switches(3, {"grid_connected": False, "fault_inject": {"bias_pct": 5}})
        homes.advance(5)
    mine, my_truth = asked.read(some)
    theirs, their_truth = all_.read()
    rows = sorted(some)
    assert mine.meters.tolist() == rows
    assert np.array_equal(mine.values, theirs.values[:, rows], equal_nan=True)
    assert np.array_equal(mine.alarms, theirs.alarms[rows])
    assert np.array_equal(my_truth.values, their_truth.values, equal_nan=True)


# -- restart


def busy_street():
    """Return homes with everything in progress: sun on its way, orders, EV, faults, scenario, acceleration."""
    street = community(*NAMES[:6], noise=1.0)
    street.set_switches(0, {"daytime": True})
    street.set_switches(1, {"ev_plug": True, "ev_mode": "fast", "market_enabled": True})
    street.set_switches(
        2,
        {"fault_inject": faults.parse({"bias_pct": 7, "drift_pct_per_hour": 30, "stuck": ["v_rms"]})},
    )
    street.set_switches(3, {"fault_inject": faults.parse({"noise_pct": 5, "spike_prob": 0.3, "ct_reversed": True})})
    street.set_scenario(4, named("ev-fast-charging"))
    street.set_switches(5, {"grid_connected": False, "battery_reserve_pct": 59.9})
    street.advance(2)
    street.place(0, market_order("sell", 1.0, 600))
    street.place(1, market_order("buy", 0.2, 300))
    street.advance(31)
    street.read()
    street.take_events()
    return street


def both_after_restart(seconds: float, acceleration: float = 1.0):
    street = busy_street()
    street.set_switches(0, {"time_acceleration": acceleration})
    street.advance(seconds)
    street.read()
    return street, restarted(street)


def without_status(messages: list[bytes]) -> list[dict]:
    """Return what was told less the status line, whose one-minute mean begins anew with a restart."""
    told = [json.loads(message) for message in messages]
    for message in told:
        del message["derived"]["system_status"], message["derived"]["status_badge"]
    return told


@pytest.mark.parametrize(("acceleration", "seconds"), [(1.0, 1.0), (1.0, 0.4), (60.0, 90.0), (3600.0, 3600.0)])
def test_after_a_restart_everything_goes_on_bit_by_bit(acceleration, seconds):
    street, again = both_after_restart(seconds, acceleration)
    for _ in range(5):
        for homes in (street, again):
            homes.advance(seconds)
        assert without_status(encoded(again)) == without_status(encoded(street))
    assert again.clock_s == street.clock_s
    assert (again.exchange.earnings_utok == street.exchange.earnings_utok).all()
    assert (again.state.registers == street.state.registers).all()


def test_the_first_reading_after_a_restart_shows_what_goes_on():
    street, again = both_after_restart(5)
    assert again.state.flows == pytest.approx(street.state.flows, abs=0.005)
    for meter in range(len(street.ids)):
        before, after = reading(street, meter), reading(again, meter)
        assert {name for name in before if isinstance(before[name], str) and before[name] != after[name]} == set()


def test_after_a_restart_commands_do_the_same():
    street, again = both_after_restart(5)
    for homes in (street, again):
        homes.set_switches(2, {"fault_inject": {}})
        homes.set_scenario(4, named("none"))
        homes.set_switches(0, {"grid_connected": False})
        homes.place(1, market_order("sell", 0.1, 60))
        homes.advance(70)
    assert without_status(encoded(again)) == without_status(encoded(street))
    orders = [[order.to_dict() for order in homes.exchange.orders(0)] for homes in (street, again)]
    assert orders[0] == orders[1]


def test_after_a_restart_switches_and_scenarios_are_as_before():
    street, again = both_after_restart(5)
    assert again.switch_values == street.switch_values
    assert again.scenarios == street.scenarios
    assert again.meters.faulty.keys() == street.meters.faulty.keys()


def test_after_a_restart_registers_do_not_step_back_and_alarms_are_not_raised_again():
    street, again = both_after_restart(5)
    assert (again.state.metered >= street.state.metered).all()
    assert again.seq == street.seq
    again.read()
    assert [e for e in again.take_events() if e.event_type.startswith("alarm_")] == []


def test_only_what_changed_is_described_again():
    street = community(*NAMES[:4])
    assert street.changed_meters() == {}
    street.set_switches(1, {"ev_plug": True})
    street.set_switches(2, {"fault_inject": {"bias_pct": 1}})
    assert street.changed_meters().keys() == {NAMES[1], NAMES[2]}
    street.meters_saved()
    assert street.changed_meters().keys() <= {NAMES[2]}  # a fault's memory changes by itself
    street.set_scenario(3, named("daytime-pv"))
    described = street.changed_meters()[NAMES[3]]
    assert described["scenario"] == "daytime-pv"
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize("ids", [NAMES[:3], NAMES[:12], NAMES[5:0:-1]], ids=["fewer", "more", "in another order"])
def test_a_community_of_other_meters_goes_on_with_those_it_has(ids):
    street = busy_street()
    again = restarted(street, ids=ids)
    for row, name in enumerate(ids):
        if name in street.index:
            old = street.index[name]
            assert counted(again, row) == counted(street, old)
            assert soc_of(again, row) == soc_of(street, old)
            assert again.switch_values[row] == street.switch_values[old]
        else:
            assert counted(again, row)["load"] == 0.0
            assert soc_of(again, row) == pytest.approx(60.0)
            assert again.switch_values[row] == default_switches(name) | {"time_acceleration": 1.0}
    again.advance(60)
    assert len(encoded(again)) >= len(ids)


def test_saved_state_without_a_quantity_that_is_new_starts_it_fresh():
    street = busy_street()
    plain, arrays = street.dump()
    del arrays["ev_session_kwh"]
    again = community(*street.ids)
    again.restore(plain, street.changed_meters(), {0: (arrays, 0)}, [], [])
    assert counted(again) == counted(street)
    assert again.state.ev_session_kwh[0] == 0.0


def test_a_switch_of_a_version_to_come_is_left_alone():
    street = busy_street()
    plain, arrays = street.dump()
    saved = {NAMES[1]: {"switches": {"ev_plug": True, "heat_pump": True}, "scenario": "none"}}
    again = community(*NAMES[:2])
    again.restore(plain, saved, {1: (arrays, 1)}, [], [])
    assert again.switch_values[1] == default_switches(NAMES[1]) | {"ev_plug": True}


def test_a_street_stays_within_physics_for_a_day():
    street = community(*NAMES[:20], noise=1.0)
    for meter in range(20):
        set_home(street, meter, ev_plug=meter % 2 == 0, ev_mode="scheduled", market_enabled=meter % 3 == 0)
    street.set_switches(0, {"time_acceleration": 3600.0})
    before = street.state.metered.copy()
    for _ in range(24):
        street.advance(3600)
        assert (street.state.metered >= before).all()
        before = street.state.metered.copy()
        assert ((street.state.stored_kwh >= 0) & (street.state.stored_kwh <= street.plant.battery_kwh)).all()
    assert street.exchange.ledger_sum_utok == 0
    assert (street.exchange.earnings_utok[::3] > 0).any()
    assert (np.delete(street.exchange.earnings_utok, np.s_[::3]) == 0).all()
