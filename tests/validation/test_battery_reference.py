"""The battery beside PySAM's; see battery_reference.py."""

import battery_reference
import pv_reference
import pytest


@pytest.fixture(scope="module")
def year():
    return battery_reference.compare(pv_reference.compare().ours)


@pytest.mark.parametrize("energy", ["imported_kwh", "exported_kwh"])
def test_a_year_of_import_and_export_is_within_2_percent(year, energy):
    ours, theirs = getattr(year.ours, energy).sum(), getattr(year.reference, energy).sum()
    assert theirs > 300.0  # a year in which the battery has to work
    assert ours == pytest.approx(theirs, rel=0.02)


def test_the_state_of_charge_is_within_half_a_point_in_the_mean(year):
    assert year.soc_error_points <= 0.5
    assert year.ours.soc_pct.min() == pytest.approx(10.0, abs=1e-6)
    assert year.ours.soc_pct.max() == pytest.approx(100.0, abs=1e-6)
