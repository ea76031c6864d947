"""Timed events in the community: at exact times whatever the steps, over restarts, until a scenario ends."""

import math

import pytest
from homes import NOON_S, community, encoded, market_order, named, powers, reading, restarted

from wattswap_mqtt.core.scenarios import Cancelling, Ordering, Scenario, Switching, TimedEvent
from wattswap_mqtt.core.timeline import Timeline

PLAN = Scenario(
    "plan",
    "A plan",
    changed={"market_enabled": True},
    events=(
        TimedEvent(100.5, Switching({"daytime": True})),
        TimedEvent(200.0, Ordering("sale", market_order("sell", 0.5, 1800))),
        TimedEvent(200.0, Switching({"battery_reserve_pct": 30.0})),
        TimedEvent(777.7, Cancelling("sale")),
        TimedEvent(900.0, Switching({"grid_connected": False, "fault_inject": {"bias_pct": 10}})),
        TimedEvent(1000.0, Ordering("hopeless", market_order("buy", 0.5, 600))),
        TimedEvent(1100.0, Cancelling("hopeless")),
    ),
)


def played(homes) -> list[tuple[float, dict]]:
    events = [event for event in homes.take_events() if event.event_type == "scenario_event"]
    return [(event.timestamp_s - NOON_S, event.data) for event in events]


@pytest.mark.parametrize("step_s", [0.3, 7.0, 60.0, 1500.0])
@pytest.mark.parametrize("acceleration", [1.0, 3600.0])
def test_events_happen_at_their_times_whatever_the_steps(step_s, acceleration):
    homes = community()
    homes.set_scenario(0, PLAN)
    homes.set_switches(0, {"time_acceleration": acceleration})
    while homes.clock_s < NOON_S + 1500:
        homes.advance(step_s)
    told = played(homes)
    assert [at for at, _ in told] == pytest.approx([event.after_s for event in PLAN.events], abs=1e-6)
    assert [data["after_s"] for _, data in told] == [event.after_s for event in PLAN.events]
    sale = homes.exchange.get("demo_meter.1")
    assert (sale.status, sale.reason) == ("cancelled", "requested")
    assert sale.filled_mwh == pytest.approx(577.7 / 3600 * 1e6, rel=1e-3)
    assert told[1][1]["order_id"] == "demo_meter.1"
    assert (told[5][1]["code"], told[5][1]["order_id"]) == ("grid_disconnected", "demo_meter.2")
    assert told[6][1]["code"] == "unknown_order", "what was refused cannot be cancelled, and that stops nothing"
    assert homes.scenarios == ["plan"]
    assert homes.switch_values[0]["battery_reserve_pct"] == 30.0
    assert homes.meters.faulty.keys() == {0}
    assert homes.timeline.next_s == math.inf


@pytest.mark.parametrize("until_s", [0.0, 150.0, 200.0, 850.0, 950.0, 1200.0])
def test_a_restart_in_the_middle_changes_nothing(until_s):
    homes = community(noise=1.0)
    homes.set_scenario(0, PLAN)
    homes.advance(until_s)
    again = restarted(homes)
    homes.take_events()
    for both in (homes, again):
        both.advance(1500 - until_s)
    assert played(again) == played(homes)
    assert again.switch_values == homes.switch_values
    assert encoded(again)[-1].split(b'"measurements"')[0] == encoded(homes)[-1].split(b'"measurements"')[0]
    assert reading(again)["derived.energy_imported_kwh"] == reading(homes)["derived.energy_imported_kwh"]


@pytest.mark.parametrize("end", [{"battery_reserve_pct": 11.0}, "none", "island-mode"])
def test_a_change_by_hand_and_another_scenario_end_what_is_to_come(end):
    homes = community()
    homes.set_scenario(0, PLAN)
    homes.advance(150)
    if isinstance(end, dict):
        homes.set_switches(0, end)
    else:
        homes.set_scenario(0, named(end))
    homes.take_events()
    homes.advance(2000)
    assert played(homes) == []
    assert homes.timeline.dump(0) is None
    assert "timeline" not in homes.changed_meters().get("demo_meter", {})


def test_setting_a_switch_to_what_it_is_or_the_clocks_pace_ends_nothing():
    homes = community()
    homes.set_scenario(0, PLAN)
    homes.set_switches(0, {"market_enabled": True})
    homes.set_switches(0, {"time_acceleration": 60.0})
    homes.advance(2000)
    assert len(played(homes)) == len(PLAN.events)


def test_what_became_due_while_the_clock_was_moved_on_happens_at_once_in_order():
    homes = community()
    homes.set_scenario(0, PLAN)
    homes.skip_to(NOON_S + 950)
    homes.advance(1)
    told = played(homes)
    assert [data["after_s"] for _, data in told] == [100.5, 200.0, 200.0, 777.7, 900.0]
    assert {at for at, _ in told} == {950.0}
    assert powers(homes)["grid_import"] == 0.0


def test_each_meter_plays_its_own_and_tells_whose_switches_changed():
    two = community("demo_meter", "meter_00002")
    two.set_scenario(1, Scenario("late", "Late", events=(TimedEvent(50.0, Switching({"ev_plug": True})),)))
    two.set_scenario(0, PLAN)
    two.advance(60)
    assert two.take_played() == {1}
    two.advance(60)
    assert two.take_played() == {0}
    assert two.take_played() == set()


def test_a_change_of_the_clocks_pace_concerns_everybody():
    two = community("demo_meter", "meter_00002")
    fast = Scenario("fast", "Fast", events=(TimedEvent(10.0, Switching({"time_acceleration": 60.0})),))
    two.set_scenario(0, fast)
    two.advance(20)
    assert two.take_played() == {0, 1}
    assert [values["time_acceleration"] for values in two.switch_values] == [60.0, 60.0]


def test_the_earliest_of_all_comes_first():
    timeline = Timeline()
    for meter, after_s in ((3, 30.0), (1, 10.0), (2, 20.0)):
        timeline.begin(meter, Scenario("s", "S", events=(TimedEvent(after_s, Cancelling("x")),)), 0.0)
    assert timeline.take_due(9.0) is None
    assert [timeline.take_due(100.0).meter for _ in range(3)] == [1, 2, 3]
    assert timeline.take_due(100.0) is None
