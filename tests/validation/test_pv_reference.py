"""PV beside pvlib and PySAM; see pv_reference.py."""

import numpy as np
import pv_reference
import pytest


@pytest.fixture(scope="module")
def year():
    return pv_reference.compare()


@pytest.mark.parametrize("reference", ["pvlib", "pysam"])
def test_a_year_of_pv_is_within_2_percent_and_every_hour_follows(year, reference):
    theirs = getattr(year, reference)
    assert year.ours.sum() == pytest.approx(theirs.sum(), rel=0.02)
    assert np.corrcoef(year.ours, theirs)[0, 1] >= 0.999


@pytest.mark.parametrize("reference", ["pvlib", "pysam"])
def test_every_month_of_pv_is_within_4_percent(year, reference):
    theirs = getattr(year, reference)
    for month in range(1, 13):
        of_month = year.months == month
        assert year.ours[of_month].sum() == pytest.approx(theirs[of_month].sum(), rel=0.04), month


def test_no_model_exceeds_the_inverter(year):
    assert max(year.ours.max(), year.pvlib.max(), year.pysam.max()) <= 4.0 + 1e-9
    assert year.ours.max() == 4.0
