"""EV sessions, driving and taper beside published figures; see ev_reference.py."""

import ev_reference
import numpy as np
import pytest
from figures import assert_told

from wattswap_mqtt.core import ev


@pytest.fixture(scope="module")
def found():
    return ev_reference.compare()


def test_sessions_driving_and_taper_are_within_their_bounds(found):
    assert_told(ev_reference.figures(found))


def test_vehicles_are_driven_as_far_as_is_said(found):
    assert found.driven_kwh.mean() == pytest.approx(ev.DRIVEN_KWH, rel=0.02)


def test_the_last_fifth_takes_longer_than_the_one_before(found):
    minutes = [int(np.argmax(found.taper.ours >= soc)) for soc in (0.8, 1.0)]
    assert 2.0 < (minutes[1] - minutes[0]) / minutes[0] < 5.0
