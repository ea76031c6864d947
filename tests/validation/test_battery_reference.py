"""The battery beside PySAM's; see battery_reference.py."""

import battery_reference
import pv_reference
import pytest
from figures import assert_told


@pytest.fixture(scope="module")
def year():
    return battery_reference.compare(pv_reference.compare().ours)


def test_import_export_and_state_of_charge_are_within_their_bounds(year):
    assert_told(battery_reference.figures(year))


def test_it_is_a_year_in_which_the_battery_has_to_work(year):
    assert min(year.reference.imported_kwh.sum(), year.reference.exported_kwh.sum()) > 300.0
    assert year.ours.soc_pct.min() == pytest.approx(10.0, abs=1e-6)
    assert year.ours.soc_pct.max() == pytest.approx(100.0, abs=1e-6)
