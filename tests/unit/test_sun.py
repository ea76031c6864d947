"""The sun's position against published values, and the weather everywhere and at any time."""

import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from wattswap_mqtt.core.sun import Site, air_temperature_c, clear_share, sun_vector, weather_at


def at(utc: str) -> float:
    return datetime.fromisoformat(f"{utc}+00:00").timestamp()


def position(utc: str, latitude: float, longitude: float) -> tuple[float, float]:
    """Return elevation and azimuth (from north, eastward) in degrees."""
    east, north, up = sun_vector(at(utc), Site(latitude, longitude, "UTC"))
    return math.degrees(math.asin(up)), math.degrees(math.atan2(east, north)) % 360


def declination(utc: str) -> float:
    """Return the sun's declination in degrees: its elevation at the north pole."""
    return position(utc, 90, 0)[0]


@pytest.mark.parametrize(
    ("utc", "latitude", "longitude", "elevation", "azimuth"),
    [
        # The example of Reda and Andreas (2008), NREL/TP-560-34302, table A5.1; its elevation is with refraction.
        ("2003-10-17T19:30:30", 39.742476, -105.1786, 90 - 50.11162, 194.34024),
        # The same algorithm (SPA, good to 0.0003°) elsewhere and at other times, without refraction.
        ("1971-03-21T12:00:00", 50.1, 8.7, 39.645, 188.910),
        ("1971-12-31T23:59:59", -33.87, 151.21, 62.005, 75.148),
        ("2000-02-29T12:00:00", 0.0, 0.0, 81.659, 158.206),
        ("2024-02-29T06:30:00", 35.68, 139.69, 23.165, 240.787),
        ("2026-03-20T12:00:00", -0.18, -78.47, 9.668, 90.015),
        ("2026-06-21T00:00:00", 78.22, 15.65, 12.040, 14.261),
        ("2026-12-21T12:00:00", 78.22, 15.65, -12.091, 195.114),
        ("2026-06-21T12:00:00", -77.85, 166.67, -35.199, 195.517),
        ("2100-03-01T17:00:00", 40.71, -74.01, 41.879, 177.274),
        ("2199-06-21T11:25:00", 50.1, 8.7, 63.306, 178.748),
        ("2199-12-31T18:00:00", -54.8, -68.3, 54.571, 325.279),
    ],
)
def test_the_sun_stands_where_the_almanac_says(utc, latitude, longitude, elevation, azimuth):
    measured = position(utc, latitude, longitude)
    assert measured[0] == pytest.approx(elevation, abs=0.05)
    assert (measured[1] - azimuth) * math.cos(math.radians(elevation)) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("utc", ["2010-03-20T17:32", "2010-09-23T03:09", "2016-03-20T04:30", "2020-09-22T13:31"])
def test_it_crosses_the_equator_at_the_equinoxes(utc):
    """Source: U.S. Naval Observatory, Earth's seasons."""
    assert declination(utc) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("utc", "degrees"), [("2010-06-21T11:28", 23.44), ("2020-12-21T10:02", -23.44), ("1992-10-13T00:00", -7.785)]
)
def test_its_declination(utc, degrees):
    """Source: solstices of the U.S. Naval Observatory; Meeus, Astronomical Algorithms (1998), example 25.a."""
    assert declination(utc) == pytest.approx(degrees, abs=0.01)


@pytest.mark.parametrize(("utc", "minutes"), [("2024-02-11T12:00", -14.2), ("2024-11-03T12:00", 16.4)])
def test_it_is_late_in_february_and_early_in_november(utc, minutes):
    """The extremes of the equation of time, -14 min 15 s and +16 min 25 s."""
    east, north, _ = sun_vector(at(utc), Site(50.0, 0.0, "UTC"))
    _, _, up = sun_vector(at(utc) - minutes * 60, Site(50.0, 0.0, "UTC"))
    assert math.copysign(1, east) == math.copysign(1, -minutes)
    assert north < 0.0
    hours = [sun_vector(at(utc) - minutes * 60 + shift, Site(50.0, 0.0, "UTC"))[2] for shift in (-120, 120)]
    assert up > max(hours)  # it culminates then


@pytest.mark.parametrize("latitude", [-90.0, -66.6, -33.9, 0.0, 50.1, 66.6, 90.0])
@pytest.mark.parametrize(
    "utc", ["1971-01-01T00:00:00", "1972-02-29T23:59:59", "2026-06-21T12:00:00", "2199-12-31T23:59:59"]
)
def test_the_weather_is_sane_everywhere_and_at_any_time(latitude, utc):
    for hours in range(24):
        weather = weather_at(at(utc) + 3600 * hours, Site(latitude, 179.9, "UTC"), seed=1)
        assert math.hypot(*weather.sun) == pytest.approx(1.0)
        assert 0.0 <= weather.diffuse_wpm2 <= weather.global_wpm2 <= 1100.0
        assert 0.0 <= weather.direct_normal_wpm2 <= 1000.0
        assert (
            weather.direct_normal_wpm2 * max(weather.sun[2], 0.0) + weather.diffuse_wpm2 <= weather.global_wpm2 + 1e-9
        )
        assert -60.0 < air_temperature_c(datetime.fromtimestamp(at(utc) + 3600 * hours, UTC), Site(latitude)) < 50.0
        assert (weather.global_wpm2 > 0.0) == (weather.sun[2] > 0.0)


def test_the_sky_of_germany_gives_what_is_measured_there():
    """Between 900 and 1200 kWh/m² a year fall on Germany, three quarters of them in the summer half-year."""
    years = [
        [
            weather_at(at("2026-04-01T00:00") + 3 * 86400.0 * day + 3600.0 * hour, Site(), seed)
            for day in range(122)
            for hour in range(24)
        ]
        for seed in (1, 2)
    ]
    for year in years:
        irradiance = [weather.global_wpm2 for weather in year]
        assert sum(irradiance) * 3 / 1000 == pytest.approx(1100, abs=120)
        assert sum(irradiance[: len(irradiance) // 2]) / sum(irradiance) == pytest.approx(0.75, abs=0.05)
        assert sum(weather.diffuse_wpm2 for weather in year) / sum(irradiance) == pytest.approx(0.5, abs=0.1)


def test_clouds_come_and_go_but_do_not_jump():
    shares = [clear_share(at("2026-06-01T00:00") + 10.0 * step, seed=1) for step in range(8640)]
    assert all(0.15 <= share <= 1.0 for share in shares)
    assert max(abs(later - earlier) for earlier, later in pairwise(shares)) < 0.02
    assert max(shares) - min(shares) > 0.2


def test_it_is_warmest_in_the_afternoon_and_in_the_summer_of_its_hemisphere():
    def air(month: int, hour: int, latitude: float) -> float:
        return air_temperature_c(datetime(2026, month, 20, hour, tzinfo=UTC), Site(latitude, 0.0, "UTC"))

    for latitude in (50.1, -33.9):
        assert air(7, 15, latitude) > air(7, 4, latitude)
    assert air(7, 12, 50.1) > air(1, 12, 50.1) + 10
    assert air(1, 12, -33.9) > air(7, 12, -33.9) + 5


def test_seeds_have_weathers_of_their_own_and_each_the_same_again():
    clouds = [clear_share(at("2026-06-01T12:00"), seed) for seed in range(5)]
    assert len(set(clouds)) == 5
    assert clouds == [clear_share(at("2026-06-01T12:00"), seed) for seed in range(5)]
