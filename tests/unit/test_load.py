"""What homes use: the profile over day, week and year, and the appliances around it."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from homes import community, home, named, powers, reading

from wattswap_mqtt.core import load
from wattswap_mqtt.core.plant import sample_plant
from wattswap_mqtt.core.records import Appliance, Flow, Register
from wattswap_mqtt.core.sun import Site

QUARTER_S, DAY_S = 900, 86400.0
BERLIN, SYDNEY = Site(), Site(-33.87, 151.21, "Australia/Sydney")
HOMES = tuple(f"home_{number}" for number in range(30))
PLANT = sample_plant(HOMES, seed=1)


def midnight(date: str, site: Site = BERLIN) -> float:
    return datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(site.tz)).timestamp()


def year_kw(site: Site = BERLIN, date: str = "2026-01-01", days: int = 365) -> np.ndarray:
    """Return the mean loads of the homes, (quarter hours, homes)."""
    begin_s = midnight(date, site)
    return np.array([load.profile_kw(begin_s + QUARTER_S * quarter, PLANT, site) for quarter in range(96 * days)])


@pytest.fixture(scope="module")
def year() -> np.ndarray:
    return year_kw().reshape(365, 96, -1)


def test_a_year_holds_the_annual_consumption(year):
    assert year.sum(axis=(0, 1)) / 4 == pytest.approx(PLANT.annual_load_kwh, rel=0.03)


def test_the_shape_of_the_day_is_that_of_the_h0_profile(year):
    """Source: demandlib's BDEW H0: night/mean 0.44, evening/mean 1.48, peak/mean 2.35, winter/summer 1.39."""
    unshifted = year.mean(axis=2)  # the homes live up to an hour earlier or later
    mean = unshifted.mean()
    assert unshifted[:, 4:20].mean() / mean == pytest.approx(0.44, abs=0.06)
    assert unshifted[:, 72:84].mean() / mean == pytest.approx(1.48, abs=0.12)
    assert unshifted.max() / mean == pytest.approx(2.35, abs=0.3)
    winter, summer = np.r_[unshifted[:59], unshifted[334:]].mean(), unshifted[151:243].mean()
    assert winter / summer == pytest.approx(1.39, abs=0.1)


def test_a_sunday_is_not_a_workday(year):
    wednesday, sunday = year[6].mean(axis=1), year[10].mean(axis=1)  # 7 and 11 January 2026
    assert sunday[44:52].mean() > 1.2 * wednesday[44:52].mean()  # cooking at noon
    assert sunday[24:30].mean() < 0.8 * wednesday[24:30].mean()  # sleeping in


def test_no_two_homes_are_alike(year):
    shapes = (year / year.mean(axis=(0, 1))).mean(axis=0)
    assert len(np.unique(PLANT.annual_load_kwh)) > 25
    assert len(np.unique(shapes.argmax(axis=0))) > 3


def test_south_of_the_equator_winter_is_in_july():
    july = year_kw(SYDNEY, "2026-07-06", 7).mean()
    january = year_kw(SYDNEY, "2026-01-05", 7).mean()
    assert july > 1.2 * january


@pytest.mark.parametrize("date", ["2026-03-29", "2026-10-25", "2024-02-29", "2024-12-31", "1971-01-01", "2199-12-31"])
@pytest.mark.parametrize("site", [BERLIN, SYDNEY], ids=["north", "south"])
def test_every_day_has_a_load(date, site):
    kw = year_kw(site, date, 1)
    assert (kw > 0.0).all()
    assert np.isfinite(kw).all()


def test_the_profile_follows_the_local_clock_over_a_change_of_the_clock():
    before, after = (year_kw(BERLIN, date, 1).mean(axis=1) for date in ("2026-10-23", "2026-10-26"))  # Friday, Monday
    assert before.argmax() == after.argmax()


@pytest.mark.parametrize("mean_kw", [0.3, 1.0, 2.0, 4.5, 8.0])
def test_noise_averages_zero_over_each_quarter_hour(mean_kw):
    noisy = home(noise=1.0, load=mean_kw, time_acceleration=10.0)
    noisy.advance(QUARTER_S - noisy.clock_s % QUARTER_S)
    for _ in range(3):
        before = noisy.state.registers.copy()
        noisy.advance(QUARTER_S)
        assert 4 * (noisy.state.registers - before)[Flow.LOAD, 0] == pytest.approx(mean_kw, abs=1e-9)


@pytest.mark.parametrize("mean_kw", [1.0, 2.0, 4.5])
def test_the_demo_homes_noise_swings_visibly_and_by_half_a_kw_at_most(mean_kw):
    noisy = home(noise=1.0, load=mean_kw)
    seen = []
    for _ in range(180):
        noisy.advance(5)
        seen.append(powers(noisy)["load"])
    assert 0.1 < np.std(seen) <= 0.5
    assert np.mean(seen) == pytest.approx(mean_kw, abs=0.5)
    assert min(seen) >= 0.0


def swings(homes) -> np.ndarray:
    """Return the standard deviation of each home's load over a quarter hour, cooking and washing left out."""
    seen = []
    for _ in range(90):
        homes.advance(10)
        seen.append(homes.state.flows[Flow.LOAD] - homes.state.appliances[Appliance.COOKING])
    return np.std(seen, axis=0)


def test_any_homes_noise_swings_by_half_a_kw_at_most():
    homes = community(*HOMES, noise=1.0, start_s=midnight("2026-01-11T18:00:00"))
    homes.set_switches(0, {"time_acceleration": 5.0})
    assert 0.15 < swings(homes).max() <= 0.53  # of which a little is the profile's own climb
    for meter in range(len(HOMES)):
        homes.set_scenario(meter, named("daytime-pv"))
    seen = []
    for _ in range(90):
        homes.advance(10)
        seen.append(homes.state.flows[Flow.LOAD].copy())
    assert 0.3 < np.std(seen, axis=0).max() <= 0.51


def cooked(noise: float = 1.0, time_acceleration: float = 3600.0, begin: str = "2026-01-14") -> np.ndarray:
    """Return what each home takes for cooking and washing in the minutes of a day, its own: (1440, homes) kW."""
    homes = community(*HOMES, noise=noise, start_s=midnight(begin))
    homes.set_switches(0, {"time_acceleration": time_acceleration})
    return np.array([homes.advance(60) or homes.state.appliances[Appliance.COOKING].copy() for _ in range(1440)])


def test_on_its_own_day_a_home_cooks_and_washes_with_heavy_appliances():
    minutes = cooked()
    used_kwh = minutes.sum() / 60
    mean_kw = year_kw(date="2026-01-14", days=1) * PLANT.appliance_share[Appliance.COOKING]
    assert used_kwh == pytest.approx(mean_kw.sum() / 4, rel=0.15)  # one day of thirty homes
    kettle, oven = PLANT.heavy_kw
    for number in range(len(HOMES)):
        seen = set(np.round(np.unique(minutes[:, number]), 6))
        assert seen <= {round(k * kettle[number] + n * oven[number], 6) for k in range(3) for n in range(4)}
    assert (minutes.max(axis=0) >= 1.6).all()


def test_heavy_appliances_run_for_their_minutes():
    minutes, runs = cooked(), []
    for number in range(len(HOMES)):
        changes = np.flatnonzero(np.diff(minutes[:, number] > 0.0))
        runs.extend(np.diff(changes)[(0 if minutes[0, number] == 0.0 else 1) :: 2].tolist())
    alone = [run for run in runs if run in load.HEAVY_MINUTES]
    assert min(runs) == min(load.HEAVY_MINUTES)
    assert len(alone) > 0.5 * len(runs)  # the others overlap


def test_what_is_on_does_not_depend_on_who_else_is_there_or_where_one_begins():
    later = community(HOMES[3], noise=1.0, start_s=midnight("2026-01-14T18:00:00"))
    later.set_switches(0, {"time_acceleration": 60.0})
    from_six = cooked()[18 * 60 :, 3]
    assert [later.advance(60) or later.state.appliances[Appliance.COOKING, 0] for _ in range(120)] == from_six[
        :120
    ].tolist()


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_less_noise_means_fewer_heavy_appliances_and_as_much_energy(noise):
    minutes = cooked(noise)
    mean_kw = year_kw(date="2026-01-14", days=1) * PLANT.appliance_share[Appliance.COOKING]
    assert minutes.sum() / 60 == pytest.approx(mean_kw.sum() / 4, rel=0.15)
    assert (minutes > 1.0).mean() < 0.6 * (cooked() > 1.0).mean()
    assert minutes.min() > 0.0


def test_a_day_of_heavy_appliances_takes_the_same_energy_at_any_acceleration():
    taken = []
    for acceleration in (1.0, 3600.0):
        homes = community(*HOMES[:2], noise=1.0, start_s=midnight("2026-01-14T17:00:00"))
        homes.set_switches(0, {"time_acceleration": acceleration})
        before = homes.state.registers.copy()
        homes.advance(2 * 3600)
        taken.append((homes.state.registers - before)[Register.LOAD])
    assert taken[0] == pytest.approx(taken[1], rel=1e-6)


def test_without_noise_the_load_stands_still():
    still = home(noise=0.0, load=2.0)
    assert {still.advance(7) or powers(still)["load"] for _ in range(20)} == {2.0}


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0, 10.0])
def test_appliances_sum_to_the_load_and_none_is_negative(noise):
    homes = community("demo_meter", *HOMES[:5], noise=noise)
    homes.set_switches(0, {"ev_plug": True, "ev_mode": "fast", "time_acceleration": 30.0})
    for _ in range(40):
        homes.advance(97)
        assert (homes.state.appliances >= 0.0).all()
        total = homes.state.appliances.sum(axis=0) + homes.state.ev_demand_kw
        assert total == pytest.approx(homes.state.flows[Flow.LOAD], abs=1e-12)
    read = reading(homes)
    parts = [value for name, value in read.items() if name.startswith("loads.appliance.")]
    assert sum(parts) == pytest.approx(read["loads.load_power_kw"], abs=0.0005 * (len(parts) + 1))


@pytest.mark.parametrize(("delta_kw", "load_kw"), [(1.5, 3.5), (10.0, 12.0), (-0.5, 1.5), (-2.0, 0.0), (-10.0, 0.0)])
def test_the_manual_load_is_added_and_never_goes_below_zero(delta_kw, load_kw):
    changed = home(load=2.0, manual_load_delta_kw=delta_kw, grid_connected=False)
    assert powers(changed)["load"] == pytest.approx(load_kw)
    assert (changed.state.appliances >= 0.0).all()
    if delta_kw > 0:
        plain = home(load=2.0, grid_connected=False)
        added = changed.state.appliances - plain.state.appliances
        assert added[Appliance.OTHER, 0] == pytest.approx(delta_kw)


def test_the_words_for_the_load_change_with_the_appliances():
    noisy = home(noise=1.0, load=2.0, time_acceleration=30.0)
    words = {noisy.advance(30) or reading(noisy)["loads.load_profile"] for _ in range(60)}
    assert words == {"steady", "spiky", "thermostat_controlled"}
