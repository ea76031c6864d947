"""The nameplates: the seed's demo home, and a street of different ones."""

import numpy as np
import pytest

from wattswap_mqtt.core.plant import meter_ids, sample_plant

IDS = meter_ids("main", 500)
PLANT = sample_plant(IDS, seed=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pv_dc_kw", 5.7), ("pv_ac_kw", 4.0), ("battery_kwh", 10.0), ("battery_kw", 3.0), ("self_consumption_kw", 2.0),
        ("grid_limit_kw", 10.0), ("ev_kwh", 50.0), ("ev_kw", 3.0), ("annual_load_kwh", 2.0 * 8760),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2])
def test_the_demo_home_is_the_documented_one_whatever_the_seed(name, value, seed):
    assert getattr(sample_plant(("demo_meter",), seed), name)[0] == value


def test_the_demo_homes_battery_returns_92_percent():
    assert PLANT.one_way_efficiency[0] ** 2 == pytest.approx(0.92)


def test_homes_are_different():
    for name in ("pv_dc_kw", "battery_kwh", "annual_load_kwh"):
        assert len(np.unique(getattr(PLANT, name))) > 50


def test_homes_are_plausible():
    for leaf in PLANT._replace(panel_normal=np.ones(1), profile_shift_quarters=np.ones(1)):
        assert (leaf > 0).all()
    assert (PLANT.pv_ac_kw <= PLANT.pv_dc_kw).all()
    assert np.linalg.norm(PLANT.panel_normal, axis=0) == pytest.approx(1.0)
    assert PLANT.appliance_share.sum(axis=0) == pytest.approx(1.0)
    assert np.median(PLANT.annual_load_kwh) == pytest.approx(4000, abs=500)


def test_a_home_is_the_same_among_more_and_in_another_order():
    some = sample_plant((IDS[7], IDS[3]), seed=1)
    for leaf, whole in zip(some, PLANT, strict=True):
        assert (leaf == whole[..., [7, 3]]).all()


def test_another_seed_gives_other_homes():
    assert (sample_plant(IDS, seed=2).annual_load_kwh[1:] != PLANT.annual_load_kwh[1:]).mean() > 0.9


@pytest.mark.parametrize(
    ("community", "ids"),
    [
        ("main", ("demo_meter", "meter_00002", "meter_00003")),
        ("north", ("north_00001", "north_00002", "north_00003")),
    ],
)
def test_the_names_of_meters(community, ids):
    assert meter_ids(community, 3) == ids
