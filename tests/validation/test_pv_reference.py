"""PV beside pvlib and PySAM; see pv_reference.py."""

import pv_reference
import pytest
from figures import PAGE, failing, table


@pytest.fixture(scope="module")
def year():
    return pv_reference.compare()


def test_the_year_every_month_and_every_hour_are_within_their_bounds(year):
    assert not failing(pv_reference.figures(year))


def test_the_page_tells_of_this_year(year):
    assert table(pv_reference.figures(year)) in PAGE.read_text("utf-8"), "run docs/make_validation.py"


def test_no_model_exceeds_the_inverter(year):
    assert max(year.ours.max(), year.pvlib.max(), year.pysam.max()) <= 4.0 + 1e-9
    assert year.ours.max() == 4.0
