"""Charging sessions beside sessions that were measured, and the taper beside a published model of it.

Ours: vehicles whose drivers come home about 17 o'clock, plug in 4.4 times a week (Norwegian owners, by a survey of
E. Figenbaum, TØI), charge at full power and leave about half past seven; what the days' driving took and what the
charger then gives is the model's.

Å. L. Sørensen, K. B. Lindberg, I. Sartori, I. Andresen: Residential electric vehicle charging datasets from apartment
buildings, Data in Brief 36 (2021) 107105, doi:10.1016/j.dib.2021.107105 (CC BY 4.0); the quartiles are computed from
its data set 1: 5466 sessions of 56 users on charge points of their own.
Department for Transport: Electric Chargepoint Analysis 2017, Domestics (2018).
J. Smart, S. Schey: Battery Electric Vehicle Driving and Charging Behavior Observed Early in The EV Project, SAE
Int. J. Alt. Power 1 (2012) 27-33, doi:10.4271/2012-01-0199: 2903 vehicles, 30.3 miles a day, 26.8 in the median.
Z. J. Lee, D. Johansson, S. H. Low: ACN-Sim: An Open-Source Simulator for Data-Driven Electric Vehicle Charging Research
(2019), its two-stage battery: full power up to 80 %, from there on falling linearly to nothing at 100 %.
"""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from figures import Figure, at_most, near
from numpy.typing import NDArray

from wattswap_mqtt.core import ev
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.plant import meter_ids, sample_plant
from wattswap_mqtt.core.sun import Site

Floats = NDArray[np.float64]
BEGIN_S = datetime(2026, 5, 4, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
HOMES, DAYS = 60, 21
PLUGS_IN_A_WEEK = 4.4
QUARTILES_MEASURED_KWH = (4.72, 8.21, 14.35)
MEDIAN_DOMESTIC_KWH = 7.5
MEDIAN_BY_MEAN_DISTANCE = 26.8 / 30.3
TRANSITION_SOC = 0.8
FLOOR_SOC = 0.985
"""Short of where our power stops to fall, so that a pack is full at some time."""


class Taper(NamedTuple):
    """Packs of 50 kWh that are charged with 7.4 kW from 60 % on, minute by minute: state of charge, 0 to 1."""

    ours: Floats
    reference: Floats


class Comparison(NamedTuple):
    sessions_kwh: Floats
    driven_kwh: Floats  # (days, homes)
    taper: Taper


def figures(found: Comparison) -> list[Figure]:
    kwh, driven, (ours, reference) = found
    before_the_floor = ours < FLOOR_SOC
    quartiles = zip(("lower quartile", "median", "upper quartile"), np.percentile(kwh, (25, 50, 75)), strict=True)
    return [
        *(
            near(f"{name} of the sessions", value, measured, 0.25, "kWh")
            for (name, value), measured in zip(quartiles, QUARTILES_MEASURED_KWH, strict=True)
        ),
        near("median of the sessions, beside the DfT's", np.median(kwh), MEDIAN_DOMESTIC_KWH, 0.25, "kWh"),
        near("a day's driving, median by mean", np.median(driven) / driven.mean(), MEDIAN_BY_MEAN_DISTANCE, 0.1),
        at_most(
            "charging, largest difference of the state of charge from ACN-Sim's",
            100.0 * np.abs(ours - reference)[before_the_floor].max(), 0.5, "points",
        ),
    ]  # fmt: skip


def compare() -> Comparison:
    return Comparison(sessions_kwh(), driven_kwh(), taper())


def sessions_kwh() -> Floats:
    """Return what each session of three weeks gave; those of the first nights, which fill the packs, are left out."""
    homes = Community(meter_ids("main", HOMES + 1)[1:], start_s=BEGIN_S, load_noise=0.0)
    homes.set_switches(0, {"time_acceleration": 3600.0})
    chance = np.random.default_rng(1)
    comes = (chance.normal(17.0, 2.0, (DAYS, HOMES)).clip(12.0, 22.0) * 4).round() / 4
    leaves = (chance.normal(31.5, 1.0, (DAYS, HOMES)).clip(29.0, 34.0) * 4).round() / 4
    plugs_in = chance.uniform(0.0, 7.0, (DAYS, HOMES)) < PLUGS_IN_A_WEEK
    events = [
        (24.0 * day + float(hour[day, home]), int(home), plugged)
        for day, home in np.argwhere(plugs_in).tolist()
        for hour, plugged in ((comes, True), (leaves, False))
    ]
    found = []
    for hour, home, plugged in sorted(events):
        homes.advance(BEGIN_S + 3600.0 * hour - homes.clock_s)
        homes.set_switches(home, {"ev_plug": plugged, "ev_mode": "fast"})
        if not plugged and hour > 24.0 * 7:
            found.append(homes.state.ev_session_kwh[home])
    return np.array(found)


def driven_kwh() -> Floats:
    """Return what the vehicles of a thousand homes take on the days of a month: (days, homes)."""
    plant = sample_plant(meter_ids("main", 1000), 1)
    noons = BEGIN_S + 86400.0 * np.arange(30) + 43200.0
    return np.array([ev.driving_kw(noon_s, plant, Site()) for noon_s in noons.tolist()]) * (ev.OUT_UNTIL - ev.OUT_FROM)


def taper() -> Taper:
    """Return both packs, until ours is full."""
    capacity_kwh, rating_kw, minute_h = np.array([50.0]), np.array([7.4]), 1.0 / 60.0
    ours, reference = [0.6], [0.6]
    while ours[-1] < 1.0:
        stored_kwh = ours[-1] * capacity_kwh
        kw = ev.max_charge_kw(stored_kwh, capacity_kwh, rating_kw, minute_h)
        ours.append(float((ev.charged_kwh(stored_kwh, capacity_kwh, kw, minute_h) / capacity_kwh)[0]))
        reference.append(_two_stages(reference[-1], 7.4 * ev.CHARGING_EFFICIENCY / 50.0 * minute_h))
    return Taper(np.array(ours), np.array(reference))


def _two_stages(soc: float, most: float) -> float:
    """Return the state of charge after a step that adds `most` at full power, exactly."""
    full = min(max(TRANSITION_SOC - soc, 0.0), most)
    span = 1.0 - TRANSITION_SOC
    return 1.0 - (1.0 - soc - full) * float(np.exp(-(most - full) / span)) if most > full else soc + full
