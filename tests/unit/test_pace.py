"""How simulated time keeps up with the wall."""

import pytest

from wattswap_mqtt.roles.simulator.pace import RATE_WINDOW, Pace


@pytest.fixture
def pace() -> Pace:
    begun = Pace(1.0)
    begun.begin(100.0)
    return begun


def test_nothing_is_due_before_it_begins():
    waiting = Pace(1.0)
    assert not waiting.is_due(1e9)
    assert waiting.lag_s == 0.0


def test_the_first_interval_is_due_when_it_is_over(pace):
    assert pace.wait_s(100.0) == 1.0
    assert not pace.is_due(100.999)
    assert pace.wait_s(100.75) == 0.25
    assert pace.is_due(101.0)
    assert pace.wait_s(101.0) == 0.0


def test_intervals_do_not_drift(pace):
    for tick in range(1, 1001):
        now_s = 100.0 + tick + 0.3 * (tick % 3)  # each a little late
        assert pace.is_due(now_s)
        assert pace.behind == 1
        pace.done(1, now_s)
        assert not pace.is_due(now_s)
    assert pace.wait_s(1100.6) == pytest.approx(0.4)


def test_what_was_missed_is_due_later_and_none_is_lost(pace):
    assert pace.is_due(105.5)
    assert (pace.behind, pace.lag_s) == (5, 5.0)
    pace.done(3, 105.6)
    assert (pace.behind, pace.lag_s) == (2, 2.0)
    assert pace.wait_s(105.6) == 0.0
    assert pace.is_due(106.0)
    assert pace.behind == 3
    pace.done(3, 106.1)
    assert pace.lag_s == 0.0
    assert pace.wait_s(106.1) == pytest.approx(0.9)


def test_a_night_asleep_is_caught_up_with(pace):
    assert pace.is_due(100.0 + 8 * 3600)
    assert pace.behind == 8 * 3600


@pytest.mark.parametrize("interval_s", [0.1, 0.25, 1.0, 10.0])
def test_the_rate_is_measured(interval_s):
    running = Pace(interval_s)
    running.begin(0.0)
    assert running.tick_rate_hz == 0.0
    for tick in range(1, 3 * RATE_WINDOW):
        running.is_due(tick * interval_s)
        running.done(1, tick * interval_s)
    assert running.tick_rate_hz == pytest.approx(1 / interval_s)


def test_a_machine_that_is_too_slow_shows_a_lower_rate_and_a_growing_lag(pace):
    lags = []
    for tick in range(1, 50):
        now_s = 100.0 + 2.0 * tick  # every tick takes two seconds
        assert pace.is_due(now_s)
        pace.done(1, now_s)
        lags.append(pace.lag_s)
    assert pace.tick_rate_hz == pytest.approx(0.5)
    assert lags == sorted(lags)
    assert lags[-1] == 49.0


def test_one_tick_is_no_rate(pace):
    pace.is_due(101.0)
    pace.done(1, 101.0)
    assert pace.tick_rate_hz == 0.0
