"""EV sessions, driving and taper beside published figures; see ev_reference.py."""

import ev_reference
import numpy as np
import pytest
from ev_reference import MEDIAN_BY_MEAN_DISTANCE, MEDIAN_DOMESTIC_KWH, QUARTILES_MEASURED_KWH

from wattswap_mqtt.core import ev


@pytest.fixture(scope="module")
def kwh():
    return ev_reference.sessions_kwh()


@pytest.fixture(scope="module")
def taper():
    return ev_reference.taper()


def test_sessions_are_as_large_as_measured_ones(kwh):
    assert np.median(kwh) == pytest.approx(MEDIAN_DOMESTIC_KWH, rel=0.25)
    assert np.percentile(kwh, (25, 50, 75)) == pytest.approx(np.array(QUARTILES_MEASURED_KWH), rel=0.25)


def test_days_of_driving_are_as_different_as_measured_ones():
    driven = ev_reference.driven_kwh()
    assert driven.mean() == pytest.approx(ev.DRIVEN_KWH, rel=0.02)
    assert np.median(driven) / driven.mean() == pytest.approx(MEDIAN_BY_MEAN_DISTANCE, rel=0.1)


def test_the_taper_is_that_of_the_two_stage_model(taper):
    below = taper.ours < 0.985  # where the last five per cent of the power fill the pack in finite time
    assert np.abs(taper.ours - taper.reference)[below].max() <= 0.005


def test_the_last_fifth_takes_longer_than_the_one_before(taper):
    minutes = [int(np.argmax(taper.ours >= soc)) for soc in (0.8, 1.0)]
    assert 2.0 < (minutes[1] - minutes[0]) / minutes[0] < 5.0
