"""PV beside pvlib and PySAM; see pv_reference.py."""

import pv_reference
import pytest
from figures import assert_told


@pytest.fixture(scope="module")
def year():
    return pv_reference.compare()


def test_the_year_every_month_and_every_hour_are_within_their_bounds(year):
    assert_told(pv_reference.figures(year))


def test_no_model_exceeds_the_inverter(year):
    assert max(year.ours.max(), year.pvlib.max(), year.pysam.max()) <= 4.0 + 1e-9
    assert year.ours.max() == 4.0
