"""The household load beside the standard load profile BDEW H0, and single homes beside what was measured by the minute.

A year of 200 homes that live their own days, every 13th day of it (all weekdays, all seasons) minute by minute.

Sources: the standard load profile is demandlib's `h0_dyn` (VDEW/BDEW 1999).  A. J. Wright, S. Firth: The nature of
domestic electricity-loads and effects of time averaging on statistics and on-site generation calculations, Applied
Energy 84 (2007) 389-403: eight houses by the minute, with a load factor of 0.1 in the mean.
"""

import warnings
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from figures import Figure, at_least, between, near
from numpy.typing import NDArray

from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.core.records import Flow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own imports are of older days
    from demandlib import bdew

Floats = NDArray[np.float64]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
HOMES = 200
DAYS = np.arange(0, 365, 13)
MINUTES = 1440
LOAD_FACTOR_MEASURED = 0.1


class Shape(NamedTuple):
    """What a year of quarter hours looks like, relative to its mean."""

    night: float  # 1 to 5 o'clock
    evening: float  # 18 to 21 o'clock
    winter_to_summer: float


class Comparison(NamedTuple):
    ours: Floats  # (days, 96): the mean home's load in kW
    reference: Floats  # (days, 96): for as much energy
    minutes: Floats  # (days, 1440, homes): the load of each home in kW
    annual_kwh: Floats  # (homes,): what the homes declare

    @property
    def daily_peaks_kw(self) -> Floats:
        """Return the highest minute of each day and home."""
        return self.minutes.max(axis=1)

    @property
    def load_factors(self) -> Floats:
        """Return mean by highest minute of the year, of each home."""
        return self.minutes.mean(axis=(0, 1)) / self.minutes.max(axis=(0, 1))

    @property
    def energy_ratios(self) -> Floats:
        """Return what each home uses a year, by what it declares; days that are left out count as those beside them."""
        return self.minutes.mean(axis=(0, 1)) * 8760.0 / self.annual_kwh


def shape_of(days: Floats) -> Shape:
    winter, summer = (DAYS < 59) | (DAYS >= 334), (DAYS >= 151) & (DAYS < 243)  # from December, from June
    mean = days.mean()
    return Shape(
        float(days[:, 4:20].mean() / mean),
        float(days[:, 72:84].mean() / mean),
        float(days[winter].mean() / days[summer].mean()),
    )


def figures(year: Comparison) -> list[Figure]:
    ours, theirs = shape_of(year.ours), shape_of(year.reference)
    peaks = year.daily_peaks_kw
    return [
        near("night (1 to 5 h) by mean", ours.night, theirs.night, 0.1),
        near("evening (18 to 21 h) by mean", ours.evening, theirs.evening, 0.1),
        near("winter by summer", ours.winter_to_summer, theirs.winter_to_summer, 0.1),
        at_least(
            "correlation of the quarter hours", np.corrcoef(year.ours.ravel(), year.reference.ravel())[0, 1], 0.95
        ),
        near("energy used by energy declared", year.energy_ratios.mean(), 1.0, 0.02),
        near("load factor (mean by highest minute), mean home", year.load_factors.mean(), LOAD_FACTOR_MEASURED, 0.4),
        between("highest minute of a day, median", np.median(peaks), 3.0, 5.0, "kW"),
        between("highest minute of the year, median home", np.median(peaks.max(axis=0)), 4.0, 8.0, "kW"),
    ]


def compare() -> Comparison:
    homes = Community(meter_ids("main", HOMES + 1)[1:], start_s=NEW_YEAR.timestamp())
    homes.set_switches(0, {"time_acceleration": 3600.0})
    minutes = np.empty((len(DAYS), MINUTES, HOMES))
    for row, day in enumerate(DAYS.tolist()):
        homes.skip_to((NEW_YEAR + timedelta(days=day)).timestamp())
        for minute in range(MINUTES):
            homes.advance(60.0)
            minutes[row, minute] = homes.state.flows[Flow.LOAD]
    ours = minutes.mean(axis=2).reshape(len(DAYS), 96, 15).mean(axis=2)
    return Comparison(ours, _profile() * homes.plant.annual_load_kwh.mean(), minutes, homes.plant.annual_load_kwh)


def _profile() -> Floats:
    """Return the standard load profile for 1 kWh a year, in kW: (days, 96)."""
    profile = bdew.ElecSlp(NEW_YEAR.year).get_scaled_power_profiles({"h0_dyn": 1.0})["h0_dyn"].to_numpy()
    return profile.reshape(365, 96)[DAYS]
