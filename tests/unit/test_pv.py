"""PV by the switch and by the real sun."""

from datetime import datetime

import numpy as np
import pytest
from homes import community, home, powers, reading

from wattswap_mqtt.core import pv
from wattswap_mqtt.core.sun import Site, sun_vector, weather_at

JUNE_NOON_S = 1781778600.0  # 2026-06-18T10:30Z
DAY_S = 86400.0


@pytest.mark.parametrize(
    ("cloud", "kw", "within"), [(1.0, 4.0, 0.0), (0.9, 3.85, 0.2), (0.5, 2.2, 0.1), (0.1, 0.47, 0.03), (0.0, 0.0, 0.0)]
)
def test_full_sun_gives_4_kw_and_half_the_sun_about_2_2(cloud, kw, within):
    assert powers(home(daytime=True, sun_cloud_factor=cloud))["pv"] == pytest.approx(kw, abs=within)


@pytest.mark.parametrize("cell_c", [-10, 25, 45, 65])
def test_the_inverter_clips_full_sun_up_to_cells_of_65_degrees(cell_c):
    air_c = cell_c - pv.HEATING_K_PER_WPM2 * 1000.0
    assert pv.ac_power_kw(np.array([5.7]), np.array([4.0]), np.array([1000.0]), air_c)[0] == 4.0


def test_hotter_cells_give_less():
    air_c = 80.0 - pv.HEATING_K_PER_WPM2 * 1000.0
    assert pv.ac_power_kw(np.array([5.7]), np.array([4.0]), np.array([1000.0]), air_c)[0] == pytest.approx(
        3.74, abs=0.01
    )


@pytest.mark.parametrize("start", ["2026-01-15T03:00:00+01:00", "2026-07-15T15:00:00+02:00"])
def test_the_switch_does_not_care_for_clock_and_season(start):
    assert powers(home(daytime=True, start_s=datetime.fromisoformat(start).timestamp()))["pv"] == 4.0
    assert powers(home(daytime=False, start_s=datetime.fromisoformat(start).timestamp()))["pv"] == 0.0


def test_the_sun_rises_and_sets_within_five_seconds_of_the_switch():
    homes = community()
    homes.set_switches(0, {"daytime": True})
    seen = []
    for daytime in (True, False):
        homes.set_switches(0, {"daytime": daytime})
        for _ in range(6):
            homes.advance(1)
            seen.append(powers(homes)["pv"])
    up, down = seen[:6], seen[6:]
    assert up == sorted(up)
    assert 0.0 < up[0] < up[1] < up[2] < 4.0
    assert up[4] == up[5] == 4.0
    assert down == sorted(down, reverse=True)
    assert down[4:] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_what_the_inverter_reports():
    day, night = reading(home(daytime=True, load=1.0)), reading(home(load=1.0))
    assert (day["pv.pv_status"], night["pv.pv_status"]) == ("on", "standby")
    assert (day["pv.pv_irradiance_wpm2"], night["pv.pv_irradiance_wpm2"]) == (1000.0, 0.0)
    assert day["pv.pv_temp_c"] - night["pv.pv_temp_c"] == pytest.approx(31.25, abs=0.11)


def test_the_setpoint_says_what_curtailment_takes_away():
    read = reading(home(soc=100, load=1.0, daytime=True, grid_connected=False))
    assert (read["pv.mppt_setpoint_kw"], read["pv.pv_power_kw"]) == (4.0, 1.0)


def plane(latitude: float, longitude: float, time_s: float, tilt_deg: float, azimuth_deg: float) -> float:
    tilt, azimuth = np.radians(tilt_deg), np.radians(azimuth_deg)
    normal = np.array([[np.sin(tilt) * np.sin(azimuth)], [np.sin(tilt) * np.cos(azimuth)], [np.cos(tilt)]])
    return float(pv.plane_irradiance_wpm2(normal, weather_at(time_s, Site(latitude, longitude, "UTC"), 1))[0])


def test_flat_modules_see_the_global_irradiance():
    weather = weather_at(JUNE_NOON_S, Site(), 1)
    up = sun_vector(JUNE_NOON_S, Site())[2]
    assert plane(50.1, 8.7, JUNE_NOON_S, 0, 180) == pytest.approx(
        weather.direct_normal_wpm2 * up + weather.diffuse_wpm2
    )


def test_modules_that_face_the_sun_see_more_than_those_that_look_away():
    morning_s = JUNE_NOON_S - 5 * 3600
    assert plane(50.1, 8.7, morning_s, 60, 90) > 1.5 * plane(50.1, 8.7, morning_s, 60, 270)
    assert plane(-35, 8.7, JUNE_NOON_S, 35, 0) > 1.2 * plane(-35, 8.7, JUNE_NOON_S, 35, 180)


@pytest.mark.parametrize("latitude", [-90, -66, -35, 0, 35, 50.1, 66, 90])
def test_irradiance_in_the_plane_stays_within_reason_everywhere(latitude):
    for day in range(0, 365, 13):
        for hour in range(0, 24, 3):
            value = plane(latitude, 0.0, JUNE_NOON_S + day * DAY_S + hour * 3600, 35, 180)
            assert 0.0 <= value <= 1400.0


def test_a_year_of_the_real_sun_gives_what_modules_in_germany_give():
    """German roofs of all orientations gave 816 to 1049 kWh/kWp a year.

    Source: te Heesen, Herbort, Rumpler (2019), Solar Energy 194, 128-135.
    """
    one = np.ones(1)
    half_hours_s = (JUNE_NOON_S + 1800.0 * np.arange(365 * 48)).reshape(365, 48)[::5]
    kw = np.array([
        [pv.ac_power_kw(one, one, one * plane(50.1, 8.7, time_s, 35, 180), 10.0)[0] for time_s in day]
        for day in half_hours_s.tolist()
    ])  # fmt: skip
    assert kw.mean() * 8760 == pytest.approx(1050, abs=100)
    summer, winter = np.r_[kw[:18], kw[-18:]].mean(), kw[18:-18].mean()
    assert summer > 1.7 * winter
