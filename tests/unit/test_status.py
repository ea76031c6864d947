"""Status line, badge and alarms."""

import pytest
from homes import SCENARIOS, community, home, market_order, powers, reading, set_home

from wattswap_mqtt.contract.scenario_tables import STATUS, first_figure
from wattswap_mqtt.core.quantities import ROW
from wattswap_mqtt.core.status import ALARMS, BADGES, RULES, STATUS_LINES, alarms_of

DAY, ISLAND, OPEN = {"daytime": True}, {"grid_connected": False}, {"market_enabled": True}
EV, RESERVE_50 = {"ev_plug": True, "ev_mode": "fast"}, {"battery_reserve_pct": 50.0}
FAULT, MANUAL = {"fault_inject": {"bias_pct": 10}}, {"manual_load_delta_kw": 0.5}
LINE = {scenario.number: first_figure(scenario, STATUS) for scenario in list(SCENARIOS.values())[:12]}


def line(homes) -> str:
    return reading(homes)["derived.system_status"]


def alarms(homes) -> set[str]:
    readings, _ = homes.read([0])
    return {alarm.code for alarm in alarms_of(int(readings.alarms[0]))}


def alarm_events(homes) -> list[tuple[str, str]]:
    return [
        (event.event_type, event.data["code"]) for event in homes.take_events() if event.event_type.startswith("alarm_")
    ]


@pytest.mark.parametrize(
    ("number", "setup"),
    [
        (12, FAULT | ISLAND | OPEN | EV | MANUAL),
        (9, ISLAND | OPEN | EV | MANUAL),
        (7, ISLAND | EV | MANUAL),
        (11, EV | MANUAL | DAY | OPEN),
        (10, MANUAL | DAY | OPEN | RESERVE_50 | {"soc": 30}),
        (8, DAY | OPEN | RESERVE_50 | {"soc": 30, "load": 0.5}),
        (3, DAY | RESERVE_50 | {"soc": 30, "load": 0.5}),
        (5, DAY | OPEN | {"load": 2.0}),
        (6, OPEN),
        (4, {}),
        (2, DAY | {"load": 2.0}),
        (2, DAY | {"load": 7.9}),
        (1, DAY | {"load": 8.1, "soc": 10}),
        (1, {"soc": 10}),
    ],
)
def test_the_first_rule_that_applies_wins(number, setup):
    seen = reading(home(**{"soc": 60, "load": 2.0} | setup))
    assert seen["derived.system_status"] == LINE[number]
    assert seen["derived.status_badge"] == BADGES[STATUS_LINES.index(LINE[number])]


def test_if_no_rule_applies_all_is_well():
    seen = reading(home(soc=60, load=0.0))
    assert (seen["derived.system_status"], seen["derived.status_badge"]) == ("All systems operational", "Online")


def test_every_scenarios_line_has_one_rule():
    assert sorted(rule.line for rule in RULES[:-1]) == sorted(LINE.values())
    assert len(set(BADGES)) == len(set(STATUS_LINES)) == len(RULES)
    assert {"Online", "Island Mode", "EV Charging Active", "High Load Detected", "Diagnostics Required"} <= set(BADGES)


def test_the_line_changes_at_once_after_a_command():
    changing = home(soc=60, load=2.0)
    assert line(changing) == LINE[4]
    for switches, number in (
        (ISLAND, 7),
        ({"grid_connected": True}, 4),
        (OPEN, 6),
        (EV, 11),
        ({"ev_plug": False}, 6),
        (RESERVE_50 | {"battery_reserve_pct": 90.0}, 8),
    ):
        changing.set_switches(0, switches)
        assert line(changing) == LINE[number]


def test_the_line_follows_the_sun_within_a_minute_of_the_switch():
    changing = home(soc=10, load=4.5)
    changing.set_switches(0, DAY)
    changing.advance(60)
    assert line(changing) == LINE[2]
    changing.set_switches(0, {"daytime": False})
    changing.advance(60)
    assert line(changing) == LINE[1]


def test_half_a_minute_of_something_else_does_not_change_the_line():
    passing = home(soc=60, load=2.0, daytime=True)
    passing.advance(120)
    assert line(passing) == LINE[2]
    passing.state.base_load_kw[0] = 9.0  # the kettle and the oven
    lines = set()
    for _ in range(20):
        passing.advance(1)
        lines.add(line(passing))
    passing.state.base_load_kw[0] = 2.0
    for _ in range(40):
        passing.advance(1)
        lines.add(line(passing))
    assert powers(passing)["load"] == 2.0
    assert lines == {LINE[2]}


def test_in_a_street_with_noise_lines_rarely_change():
    street = community(*(f"home_{number}" for number in range(50)), noise=1.0)
    changes, before = 0, None
    for _ in range(120):
        street.advance(5)
        codes = street.read()[0].values[ROW["derived.system_status"]]
        changes += 0 if before is None else int((codes != before).sum())
        before = codes
    assert changes < 50  # less than six changes an hour and home


@pytest.mark.parametrize(
    ("code", "level", "on", "off"),
    [
        ("grid_disconnected", "warning", ISLAND, {}),
        ("unserved_load", "error", ISLAND | {"load": 5.0}, ISLAND | {"load": 2.0}),
        ("unserved_load", "error", {"load": 14.0}, {"load": 11.0}),
        ("grid_limit", "warning", {"load": 12.5}, {"load": 11.5}),
        ("pv_curtailed", "info", ISLAND | DAY | {"load": 0.5}, ISLAND | DAY | {"load": 2.0}),
        ("battery_depleted", "warning", ISLAND | {"soc": 10}, {"soc": 10}),
        ("power_mismatch", "warning", FAULT, {"fault_inject": {"clock_skew_s": 5}}),
        ("power_mismatch", "warning", {"fault_inject": {"sigma_pct": 2}}, {"fault_inject": {"bias_pct": 0}}),
    ],
)
def test_when_each_alarm_is_raised(code, level, on, off):
    usual = {"soc": 60, "load": 2.0}
    assert code in alarms(home(**usual | on))
    assert code not in alarms(home(**usual | off))
    assert {alarm.level for alarm in ALARMS if alarm.code == code} == {level}


def test_a_quiet_home_has_no_alarms():
    assert alarms(home(soc=60, load=2.0)) == set()


def test_an_alarm_is_told_when_it_is_raised_and_when_it_is_cleared_and_not_between():
    told = home(soc=60, load=2.0)
    told.read()
    told.take_events()
    told.set_switches(0, ISLAND)
    told.read()
    assert alarm_events(told) == [("alarm_raised", "grid_disconnected")]
    for _ in range(3):
        told.advance(1)
        told.read()
    assert alarm_events(told) == []
    set_home(told, 0, load=5.0)
    told.read()
    assert alarm_events(told) == [("alarm_raised", "unserved_load")]
    set_home(told, 0, load=2.0, grid_connected=True)
    told.read()
    assert sorted(alarm_events(told)) == [("alarm_cleared", "grid_disconnected"), ("alarm_cleared", "unserved_load")]


def test_an_alarm_event_says_what_it_means():
    told = home(soc=60, load=2.0)
    told.set_switches(0, ISLAND)
    told.read([0])
    event = next(event for event in told.take_events() if event.event_type == "alarm_raised")
    assert event.data == {"code": "grid_disconnected", "level": "warning", "msg": ALARMS[0].msg}
    assert (event.meter, event.timestamp_s) == (0, told.clock_s)


def test_alarms_are_those_of_their_meter():
    two = community("demo_meter", "meter_00002", "meter_00003")
    two.set_switches(1, ISLAND)
    readings, _ = two.read()
    assert [len(alarms_of(bits)) for bits in readings.alarms.tolist()] == [0, 1, 0]


def test_a_store_that_fails_is_an_alarm_of_every_meter():
    two = community("demo_meter", "meter_00002")
    two.meters.storage_failed = True
    readings, _ = two.read()
    assert [[alarm.code for alarm in alarms_of(bits)] for bits in readings.alarms.tolist()] == [
        ["storage"],
        ["storage"],
    ]


def test_a_limited_sale_is_told():
    large = home(soc=100, load=0.0, daytime=True)
    large.plant = large.plant._replace(grid_limit_kw=large.plant.grid_limit_kw * 0.2)
    set_home(large, 0)
    large.place(0, market_order("sell", 1.0, 600))
    assert alarms(large) == {"grid_limit", "pv_curtailed"}
