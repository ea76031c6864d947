"""The household load beside the BDEW's H0, and beside homes measured by the minute; see load_reference.py."""

import load_reference
import numpy as np
import pytest
from figures import assert_told


@pytest.fixture(scope="module")
def year():
    return load_reference.compare()


def test_200_homes_follow_the_standard_profile_and_single_homes_peak_as_measured_ones(year):
    assert_told(load_reference.figures(year))


def test_each_home_uses_what_it_declares(year):
    assert year.energy_ratios == pytest.approx(np.ones(load_reference.HOMES), abs=0.15)  # in the 29 days looked at


def test_no_home_takes_more_than_its_connection_gives(year):
    assert year.daily_peaks_kw.max() <= 10.0
