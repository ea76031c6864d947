"""The pace of the hub topic."""

import numpy as np
import pytest
from homes import community

from wattswap_mqtt.core.metering import Readings
from wattswap_mqtt.core.quantities import QUANTITIES, ROW
from wattswap_mqtt.roles.simulator.hub import HubPace

POWER, SOC, STATUS, TIME_TO_FULL = (
    ROW[name]
    for name in ("derived.net_power_kw", "battery.soc_pct", "derived.system_status", "derived.time_to_full_hours")
)


def read(n: int = 1, *, alarms: int = 0, **values: float) -> Readings:
    """Return readings of n meters: zeros but for `values`, by row."""
    matrix = np.zeros((len(QUANTITIES), n))
    for row, value in values.items():
        matrix[int(row[1:])] = value
    return Readings(np.arange(n), 0.0, 1, matrix, np.full(n, alarms))


def at(row: int, value: float) -> dict[str, float]:
    return {f"r{row}": value}


@pytest.fixture
def pace() -> HubPace:
    """Return the pace of one meter that was told zeros at 0 s."""
    fresh = HubPace(1)
    assert fresh.due(read(), 0.0, at_once=False) is not None
    return fresh


def test_the_first_reading_is_told_whole():
    told = HubPace(3).due(read(3), 0.0, at_once=False)
    assert told.meters.tolist() == [0, 1, 2]
    assert not np.isnan(told.values).any()


def test_what_does_not_move_is_not_told(pace):
    assert pace.due(read(), 1000.0, at_once=False) is None


def test_what_moves_less_than_its_dead_band_is_not_told(pace):
    deadband = QUANTITIES[POWER].quantity.deadband
    assert pace.due(read(**at(POWER, deadband * 0.99)), 1000.0, at_once=False) is None
    assert pace.due(read(**at(POWER, deadband * 1.01)), 1000.0, at_once=False) is not None


def test_a_slow_drift_is_told_in_the_end(pace):
    deadband = QUANTITIES[SOC].quantity.deadband
    told = [pace.due(read(**at(SOC, step * deadband / 10)), 1000.0 * step, at_once=False) for step in range(1, 101)]
    assert sum(one is not None for one in told) == pytest.approx(10, abs=1)


def test_nothing_is_told_more_often_than_its_pace(pace):
    every_s = QUANTITIES[POWER].quantity.every_s
    told_at = [
        second for second in range(1, 121) if pace.due(read(**at(POWER, second * 1.0)), float(second), at_once=False)
    ]
    assert told_at[0] == every_s
    assert set(np.diff(told_at)) == {every_s}


def test_words_are_told_at_once(pace):
    told = pace.due(read(**at(STATUS, 3)), 0.1, at_once=False)
    assert told.values[STATUS, 0] == 3


def test_what_is_not_due_keeps_the_value_that_was_told(pace):
    told = pace.due(read(**at(STATUS, 3), **at(POWER, 5.0)), 0.1, at_once=False)
    assert told.values[STATUS, 0] == 3
    assert told.values[POWER, 0] == 0.0
    later = pace.due(read(**at(STATUS, 3), **at(POWER, 5.0)), 20.0, at_once=False)
    assert later.values[POWER, 0] == 5.0


def test_everything_is_told_at_once_after_a_command(pace):
    told = pace.due(read(**at(POWER, 0.001)), 0.1, at_once=True)
    assert told.values[POWER, 0] == 0.001
    assert pace.due(read(**at(POWER, 0.001)), 1000.0, at_once=False) is None


def test_becoming_undefined_and_defined_again_is_told(pace):
    told = pace.due(read(**at(TIME_TO_FULL, np.nan)), 100.0, at_once=False)
    assert np.isnan(told.values[TIME_TO_FULL, 0])
    assert pace.due(read(**at(TIME_TO_FULL, np.nan)), 200.0, at_once=False) is None
    told = pace.due(read(**at(TIME_TO_FULL, 2.0)), 300.0, at_once=False)
    assert told.values[TIME_TO_FULL, 0] == 2.0


def test_an_alarm_is_told_at_once(pace):
    assert pace.due(read(alarms=1), 0.1, at_once=False).alarms.tolist() == [1]
    assert pace.due(read(alarms=1), 0.2, at_once=False) is None
    assert pace.due(read(alarms=0), 0.3, at_once=False).alarms.tolist() == [0]


def test_only_the_meters_that_have_news_are_told():
    street = HubPace(3)
    street.due(read(3), 0.0, at_once=False)
    readings = read(3)
    readings.values[POWER, 1] = 2.0
    told = street.due(readings, 60.0, at_once=False)
    assert told.meters.tolist() == [1]
    assert told.values.shape == (len(QUANTITIES), 1)


def test_one_meter_of_many_is_paced_on_its_own():
    street = HubPace(3)
    street.due(read(3), 0.0, at_once=False)
    mine = read(1, **at(POWER, 2.0))._replace(meters=np.array([2]))
    assert street.due(mine, 1.0, at_once=True).meters.tolist() == [2]
    readings = read(3)
    readings.values[POWER] = 2.0
    assert street.due(readings, 60.0, at_once=False).meters.tolist() == [0, 1]


def test_five_minutes_of_a_noisy_home_are_a_fraction_of_its_readings():
    homes, pace, told = community(noise=1.0), HubPace(1), 0
    homes.set_switches(0, {"daytime": True, "sun_mode": "auto"})
    for second in range(300):
        homes.advance(1)
        told += pace.due(homes.read()[0], float(second), at_once=False) is not None
    assert told <= 80


def test_what_is_told_is_rounded_for_hubs(pace):
    told = pace.due(read(**at(SOC, 47.384)), 100.0, at_once=False)
    assert told.values[SOC, 0] == 47.4
    told = pace.due(read(**at(SOC, 47.446)), 101.0, at_once=True)
    assert told.values[SOC, 0] == 47.4


@pytest.mark.parametrize(("acceleration", "seconds"), [(1, 3600), (60, 600), (3600, 180)])
def test_a_noisy_home_is_at_most_twenty_thousand_values_an_hour(acceleration, seconds):
    homes, pace = community("demo_meter", "meter_00002", noise=1.0), HubPace(2)
    for home in range(2):
        homes.set_switches(home, {"daytime": True, "market_enabled": True, "ev_plug": True, "ev_mode": "solar"})
    homes.set_switches(0, {"time_acceleration": acceleration})
    last, changes = np.full((len(QUANTITIES), 2), np.nan), np.zeros(2)
    for second in range(seconds):
        homes.advance(acceleration)
        if (told := pace.due(homes.read()[0], float(second), at_once=False)) is not None:
            before = last[:, told.meters]
            changes[told.meters] += ((told.values != before) & ~(np.isnan(told.values) & np.isnan(before))).sum(axis=0)
            last[:, told.meters] = told.values
        homes.take_events()
    assert 500 < changes.min() * 3600 / seconds <= changes.max() * 3600 / seconds <= 20_000
