"""The household's demand: a mean that follows the day, the week and the year, and appliances that cycle around it.

Everything random is drawn once per quarter hour, and the swings of the cycling appliances average to zero over each
quarter hour.  A home that lives its own day (sun_mode auto) cooks and washes by heavy appliances instead, each at its
full power for some minutes: more often when the mean is high, so that their energy is the mean's in the long run.
Appliances switch at whole minutes, which no sub-step crosses; so energies are the same at any time acceleration.
"""

from datetime import UTC, datetime
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

import numpy as np

from wattswap_mqtt.core import draws, ev
from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.moments import QUARTER_S, quarter_start
from wattswap_mqtt.core.records import Appliance, Plant
from wattswap_mqtt.core.sun import Site

MINUTE_S = 60
CYCLING = (Appliance.HVAC, Appliance.FRIDGE, Appliance.COOKING)
"""The first appliances."""
MINUTES = 15
ON_MINUTES = np.array([[8], [5], [2]])
"""Of each quarter hour, in which a cycling appliance is on."""
DUTY = ON_MINUTES / MINUTES
_CYCLES = np.tile(np.where(np.arange(MINUTES) < ON_MINUTES, 1.0 / DUTY - 1.0, -1.0), 2)
_CYCLE_ROWS = _CYCLES.shape[1] * np.arange(len(CYCLING))[:, np.newaxis]
"""Two cycles of each cycling appliance, minute by minute, in one row after the other: where the rows begin."""
HEAVY_MINUTES = (4, 30)
"""How long a kettle or a hob, an oven or a tumble dryer takes its power."""
HEAVY_PARTS = (0.35, 0.65)
"""Of the energy for cooking and washing."""
_PHASE_STREAM, _HEAVY_STREAM = 8, 12
_QUARTERS_BACK = -(-max(HEAVY_MINUTES) // MINUTES)
"""What began so many quarter hours ago may still be on."""
# Watts of a household of 1000 kWh a year, hour by hour; rows: season x (workday, Saturday, Sunday).
# Source: the standard load profile H0, VDEW/BDEW (1999).
_WATTS = np.array([
    (58, 43, 40, 39, 39, 47, 90, 129, 134, 123, 116, 118, 131, 130, 115, 105, 105, 129, 166, 187, 168, 141, 117, 86),
    (67, 53, 42, 40, 38, 40, 53, 82, 120, 142, 148, 155, 167, 166, 153, 144, 145, 180, 209, 210, 172, 134, 122, 104),
    (78, 56, 45, 41, 39, 39, 41, 50, 89, 138, 174, 203, 207, 173, 136, 117, 107, 126, 156, 176, 160, 136, 115, 85),
    (67, 49, 44, 43, 44, 53, 93, 130, 137, 136, 132, 133, 150, 146, 127, 113, 106, 116, 145, 172, 168, 156, 136, 100),
    (73, 56, 46, 44, 43, 45, 59, 93, 130, 150, 163, 172, 181, 177, 161, 149, 147, 159, 183, 198, 180, 147, 139, 117),
    (84, 62, 49, 44, 43, 43, 46, 66, 111, 160, 185, 205, 208, 169, 136, 121, 107, 112, 138, 161, 155, 144, 128, 94),
    (74, 55, 50, 47, 49, 59, 98, 130, 142, 144, 139, 142, 158, 153, 132, 119, 115, 122, 142, 165, 167, 158, 145, 112),
    (83, 64, 52, 50, 50, 52, 64, 93, 128, 156, 165, 171, 182, 176, 157, 148, 145, 149, 166, 180, 173, 154, 149, 125),
    (90, 67, 54, 51, 50, 49, 51, 69, 112, 160, 187, 206, 209, 175, 144, 124, 108, 110, 127, 152, 159, 151, 140, 108),
])  # fmt: skip
_QUARTERLY = np.array([np.interp(np.arange(96) / 4, np.arange(24) + 0.5, row, period=24) for row in _WATTS])


class Runs(NamedTuple):
    """The heavy appliances that are on in a quarter hour, in order of their start: (runs,) each."""

    home: Ints
    start: Ints  # in which minute; before the quarter hour began, if below 0
    end: Ints
    kw: Floats

    def kw_in(self, minute: int, homes: int) -> Floats:
        """Return what each home's take in a minute: (homes,)."""
        taken = np.bincount(self.home, self.kw * ((self.start <= minute) & (minute < self.end)), homes)
        return taken.astype(np.float64, copy=False)  # of nothing it makes integers

    def followed_by(self, begun: Self) -> Self:
        """Return the runs of the next quarter hour, in which others began."""
        left = np.flatnonzero(self.end > MINUTES)
        return type(self)(
            np.concatenate((self.home[left], begun.home)),
            np.concatenate((self.start[left] - MINUTES, begun.start)),
            np.concatenate((self.end[left] - MINUTES, begun.end)),
            np.concatenate((self.kw[left], begun.kw)),
        )


class Quarter(NamedTuple):
    """What is fixed for a quarter hour: how the profile's mean load goes (n,), and when appliances are on.

    And how much the vehicles take that are on the road.
    """

    start_s: float
    from_kw: Floats
    climb_kw: Floats  # until its end
    driving_kw: Floats  # of a vehicle that is not plugged in
    to_kw: Floats
    phase: Ints  # (3, n): where in `_CYCLES` an appliance is when the quarter hour begins
    runs: Runs

    def mean_kw(self, time_s: float) -> Floats:
        """Return the profile's mean load at a moment of this quarter hour."""
        return self.from_kw + self.climb_kw * ((time_s - self.start_s) / QUARTER_S)


class Minute(NamedTuple):
    """What is fixed for a minute: which of the appliances are on."""

    start_s: float
    quarter: Quarter
    swing: Floats  # (3, n): by how much each is above its mean demand, in kW per kW of mean load
    swing_limit_kw: Floats  # (n,): mean load up to which the swings grow with it
    cooking_kw: Floats  # (n,): cooking and washing of a home that lives its own day

    def holds(self, time_s: float) -> bool:
        """Tell whether a moment is in this minute."""
        return self.start_s <= time_s < self.start_s + MINUTE_S

    def of(self, meters: slice | Ints) -> Self:
        """Return the minute of some of the meters; what only the minutes to come need stays that of all."""
        quarter = self.quarter
        return self._replace(
            quarter=quarter._replace(
                from_kw=quarter.from_kw[meters],
                climb_kw=quarter.climb_kw[meters],
                driving_kw=quarter.driving_kw[meters],
            ),
            swing=self.swing[:, meters],
            swing_limit_kw=self.swing_limit_kw[meters],
            cooking_kw=self.cooking_kw[meters],
        )


def minute_at(time_s: float, plant: Plant, site: Site, load_noise: float, known: Minute | None = None) -> Minute:
    """Return the minute that holds unix time `time_s`; one that is `known` may save the work for its quarter hour.

    A `load_noise` below 1 makes the swings smaller; one above it lets them go on growing with larger loads.
    """
    start_s = time_s // MINUTE_S * MINUTE_S
    quarter_s = quarter_start(time_s)
    eventful = min(load_noise, 1.0)
    quarter = known.quarter if known is not None else None
    if quarter is None or quarter.start_s != quarter_s:
        quarter = _quarter_from(quarter_s, plant, site, eventful, quarter)
    number = int((start_s - quarter_s) // MINUTE_S)
    wave = _CYCLES.take(quarter.phase + number)
    swing, swing_limit_kw = wave * plant.appliance_swing * eventful, plant.swing_limit_kw * max(load_noise, 1.0)
    cooking_kw = quarter.runs.kw_in(number, len(plant.key))
    if eventful < 1.0:
        even_kw = plant.appliance_share[Appliance.COOKING] * quarter.mean_kw(start_s + MINUTE_S / 2)
        cooking_kw += even_kw * (1.0 - eventful)
    return Minute(start_s, quarter, swing, swing_limit_kw, cooking_kw)


def _quarter_from(start_s: float, plant: Plant, site: Site, eventful: float, known: Quarter | None) -> Quarter:
    index = int(start_s // QUARTER_S)
    drawn = np.stack([draws.uniform(plant.key, _PHASE_STREAM + row, index) for row in range(len(CYCLING))])
    before = known if known is not None and known.start_s == start_s - QUARTER_S else None
    to_kw = profile_kw(start_s + QUARTER_S, plant, site)
    begun = _begun(index, plant, to_kw, eventful)
    if before is None:
        from_kw, runs = profile_kw(start_s, plant, site), _runs_before(index, plant, site, eventful)
    else:
        from_kw, runs = before.to_kw, before.runs
    return Quarter(
        start_s,
        from_kw,
        to_kw - from_kw,
        ev.driving_kw(start_s, plant, site),
        to_kw,
        (drawn * MINUTES).astype(np.int64) + _CYCLE_ROWS,
        runs.followed_by(begun),
    )


def _runs_before(index: int, plant: Plant, site: Site, eventful: float) -> Runs:
    """Return the runs of the quarter hour before this, as far as they matter."""
    runs = Runs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    for earlier in range(index - _QUARTERS_BACK, index):
        to_kw = profile_kw(QUARTER_S * (earlier + 1), plant, site)
        runs = runs.followed_by(_begun(earlier, plant, to_kw, eventful))
    return runs


def _begun(index: int, plant: Plant, mean_kw: Floats, eventful: float) -> Runs:
    """Return the runs that begin in a quarter hour, as likely as the energy of heavy appliances asks.

    `mean_kw` is the mean load at its end, about when half of a run is over.
    """
    found = []
    cooking_kw = plant.appliance_share[Appliance.COOKING] * mean_kw
    for kind, (minutes, part) in enumerate(zip(HEAVY_MINUTES, HEAVY_PARTS, strict=True)):
        kw = plant.heavy_kw[kind]
        likelihood = cooking_kw * (eventful * part * MINUTES / minutes) / kw
        drawn = draws.uniform(plant.key, _HEAVY_STREAM + kind, index)
        home = np.flatnonzero(drawn < likelihood)
        start = (MINUTES * (drawn[home] / likelihood[home])).astype(np.int64)
        found.append(Runs(home, start, start + minutes, kw[home]))
    return Runs(*map(np.concatenate, zip(*found, strict=True)))


def profile_kw(time_s: float, plant: Plant, site: Site) -> Floats:
    """Return the mean load of each home at unix time `time_s`, a whole quarter hour: (n,) kW."""
    local = datetime.fromtimestamp(time_s, UTC).astimezone(ZoneInfo(site.tz))
    row = 3 * _season(local, site) + max(local.weekday() - 4, 0)
    quarter = (4 * local.hour + local.minute // 15 + plant.profile_shift_quarters) % 96
    watts: Floats = _QUARTERLY[row][quarter]
    return plant.annual_load_kwh * watts * (1e-6 * _seasonal_factor(local, site))


def _northern_day(local: datetime, site: Site) -> int:
    day = local.timetuple().tm_yday
    return day if site.latitude >= 0 else (day + 182) % 365 + 1


def _season(local: datetime, site: Site) -> int:
    day = _northern_day(local, site)
    if day <= 79 or day >= 305:  # until 20 March, from 1 November
        return 0
    return 2 if 135 <= day <= 257 else 1  # 15 May to 14 September


def _seasonal_factor(local: datetime, site: Site) -> float:
    """Return the H0 profile's dynamisation: a polynomial of the day of the year. Source: VDEW (1999)."""
    t = _northern_day(local, site)
    return -3.92e-10 * t**4 + 3.20e-7 * t**3 - 7.02e-5 * t**2 + 2.10e-3 * t + 1.24


def appliances_kw(plant: Plant, mean_kw: Floats, minute: Minute) -> Floats:
    """Return the demand of each appliance: share · mean + swing · min(mean, limit), (5, n) kW."""
    demand = plant.appliance_share * mean_kw
    cycling = demand[: len(CYCLING)]
    cycling += minute.swing * np.minimum(mean_kw, minute.swing_limit_kw)
    return demand


def with_manual_delta(appliances: Floats, delta_kw: Floats) -> Floats:
    """Return the demand with the manual load added to "other", or taken from all alike; never below 0: (5, n) kW."""
    total = np.maximum(np.add.reduce(appliances), 1e-9)
    kept = np.maximum(total + np.minimum(delta_kw, 0.0), 0.0) / total
    changed: Floats = appliances * kept
    changed[Appliance.OTHER] += np.maximum(delta_kw, 0.0)
    return changed
