"""The household load beside the BDEW's H0, and beside homes measured by the minute; see load_reference.py."""

import load_reference
import numpy as np
import pytest
from load_reference import LOAD_FACTOR_MEASURED, shape_of


@pytest.fixture(scope="module")
def year():
    return load_reference.compare()


@pytest.mark.parametrize("figure", ["night", "evening", "winter_to_summer"])
def test_the_mean_of_200_homes_has_the_shape_of_the_standard_profile(year, figure):
    ours, theirs = (getattr(shape_of(days), figure) for days in (year.ours, year.reference))
    assert ours == pytest.approx(theirs, rel=0.1)


def test_the_mean_of_200_homes_follows_the_standard_profile(year):
    assert np.corrcoef(year.ours.ravel(), year.reference.ravel())[0, 1] >= 0.95


def test_homes_use_what_they_declare(year):
    assert year.energy_ratios.mean() == pytest.approx(1.0, abs=0.02)
    assert year.energy_ratios == pytest.approx(np.ones(load_reference.HOMES), abs=0.15)  # in the 29 days looked at


def test_a_homes_highest_minutes_are_those_of_heavy_appliances(year):
    assert 3.0 < np.median(year.daily_peaks_kw) < 5.0
    assert 4.0 < np.median(year.daily_peaks_kw.max(axis=0)) < 8.0
    assert year.daily_peaks_kw.max() < 15.0


def test_the_load_factor_of_a_home_is_that_of_measured_homes(year):
    assert year.load_factors.mean() == pytest.approx(LOAD_FACTOR_MEASURED, rel=0.4)
