"""Sun, sky and air over a community: one weather for all its homes."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from wattswap_mqtt.core import draws

_CLOUD_STREAM = 1


@dataclass(frozen=True)
class Site:
    """Where the community is: degrees north and east, IANA time zone."""

    latitude: float = 50.1
    longitude: float = 8.7
    tz: str = "Europe/Berlin"


class Weather(NamedTuple):
    """The sun through the clouds at one moment; irradiances in W/m²."""

    sun: tuple[float, float, float]  # unit vector to the sun: east, north, up
    direct_normal_wpm2: float
    diffuse_wpm2: float
    global_wpm2: float


class Air(NamedTuple):
    """The hour of the local clock and the temperature outside: what changes too slowly for more than once a minute."""

    local_hour: float
    temp_c: float


def sun_vector(time_s: float, site: Site) -> tuple[float, float, float]:
    """Return the unit vector to the sun (east, north, up) at unix time `time_s`, good to about 0.01°.

    Source: the low-precision formulas of the Astronomical Almanac, after Michalsky (1988),
    doi:10.1016/0038-092X(88)90045-X.
    """
    days = time_s / 86400 - 10957.5  # since 2000-01-01 12:00 UTC
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    longitude = math.radians(
        (280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)) % 360
    )
    obliquity = math.radians(23.439 - 4e-7 * days)
    right_ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    sin_declination = math.sin(obliquity) * math.sin(longitude)
    cos_declination = math.sqrt(1 - sin_declination**2)
    sidereal_h = 6.697375 + 0.0657098242 * days + (time_s % 86400) / 3600
    hour_angle = math.radians(15 * sidereal_h + site.longitude) - right_ascension
    sin_lat, cos_lat = math.sin(math.radians(site.latitude)), math.cos(math.radians(site.latitude))
    east = -cos_declination * math.sin(hour_angle)
    north = sin_declination * cos_lat - cos_declination * sin_lat * math.cos(hour_angle)
    up = sin_declination * sin_lat + cos_declination * cos_lat * math.cos(hour_angle)
    return east, north, up


def weather_at(time_s: float, site: Site, seed: int) -> Weather:
    """Return the weather at unix time `time_s`: clear sky and drifting clouds.

    Source: clear-sky global irradiance after Haurwitz (1945); the diffuse share has the shape of Erbs et al. (1982),
    doi:10.1016/0038-092X(82)90302-4.
    """
    sun = sun_vector(time_s, site)
    up = sun[2]
    if up <= 0.0:
        return Weather(sun, 0.0, 0.0, 0.0)
    clearness = clear_share(time_s, seed)
    world = 1098.0 * up * math.exp(-0.057 / max(up, 0.01)) * clearness
    diffuse = world * (1.0 - 0.85 * clearness**2)
    direct = min((world - diffuse) / max(up, 0.05), 1000.0)
    return Weather(sun, direct, diffuse, world)


def clear_share(time_s: float, seed: int) -> float:
    """Return how much of the clear sky's irradiance comes through: 0.15 to 1, whole fine days and passing clouds.

    The mean of about 0.64 gives Germany its 1100 kWh/m² a year, about half of them diffuse.
    """
    day = draws.smooth(seed, _CLOUD_STREAM, time_s / 43200)
    cloud = draws.smooth(seed, _CLOUD_STREAM + 1, time_s / 900)
    return 1.0 - (1.0 - day) * (0.6 + 0.25 * cloud)


def air_at(time_s: float, site: Site) -> Air:
    """Return the air at unix time `time_s`, a whole minute."""
    local = datetime.fromtimestamp(time_s, ZoneInfo(site.tz))
    return Air(local.hour + local.minute / 60, air_temperature_c(local, site))


def air_temperature_c(local: datetime, site: Site) -> float:
    """Return a plausible air temperature: warmest late in July (January in the south) and at three in the afternoon."""
    day = local.timetuple().tm_yday + (0 if site.latitude >= 0 else 182)
    hour = local.hour + local.minute / 60 + local.second / 3600
    season = math.cos(2 * math.pi * (day - 205) / 365.25)
    mean = 27.0 - 0.32 * abs(site.latitude)
    return mean + (1.5 + 0.16 * abs(site.latitude)) * season + 4.0 * math.cos(2 * math.pi * (hour - 15) / 24)
