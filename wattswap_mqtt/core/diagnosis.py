"""What can be noticed of a faulty meter from what it publishes, and from nothing else: one detector for each fault.

It is written as a dashboard or an alarm could do it, on the messages as they come; the truth is not looked at.
"""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Any

Json = Mapping[str, Any]

REMEMBERED = 120
"""So many states are looked at, and at least `ENOUGH` of them are needed."""
ENOUGH = 12
LEAST_KW = 0.05
OFF_BY = 0.01
"""Power and V·I·PF may differ by rounding; by more than this they disagree."""
SPIKE = 3.0
GAP = 1.8
"""Intervals longer than so many usual ones are gaps."""
CLOCK_S = 5.0
"""Of wall time: the messages that are compared may be so far apart."""
ALWAYS_MOVING = ("measurements.v_rms",)
SAME = (("measurements.p_active", "derived.net_power_kw"),)
"""Fields that say the same thing."""
FLOWS_INTO = {
    "derived.energy_imported_kwh": "grid.grid_import_kw",
    "derived.energy_exported_kwh": "grid.grid_export_kw",
    "derived.pv_energy_kwh": "pv.pv_power_kw",
}
REGISTERS = (*FLOWS_INTO, "derived.load_energy_kwh")


class Diagnosis:
    """Watches one meter; give it whatever comes, in that order, and ask for `suspicions`."""

    def __init__(self) -> None:
        self._states: deque[Json] = deque(maxlen=REMEMBERED)
        self._clock_off_s: deque[float] = deque(maxlen=REMEMBERED)
        self._offline = False
        self._pace = 1.0

    def availability(self, said: str) -> None:
        """Take what the meter's availability topic says."""
        self._offline = said == "offline"

    def state(self, state: Json) -> None:
        """Take a state."""
        self._states.append(state)

    def community(self, status: Json) -> None:
        """Take a status of the meter's community; it comes after the states of the same moment."""
        if self._states:
            self._clock_off_s.append(_time(self._states[-1]["timestamp"]) - _time(status["simulated_time"]))
            self._pace = max(float(status["time_acceleration"]), 1.0)

    def suspicions(self) -> dict[str, str]:
        """Return what is suspected, by key of the fault catalogue, each with what speaks for it."""
        found = {"offline": "its availability says so"} if self._offline else {}
        states = list(self._states)
        if len(states) < ENOUGH:
            return found
        distinct = [later for earlier, later in pairwise(states) if later["seq"] != earlier["seq"]]
        for key, detector in _DETECTORS.items():
            if (evidence := detector(states if key == "duplicate_prob" else distinct)) is not None:
                found[key] = evidence
        off_s = median(self._clock_off_s or (0.0,))
        if abs(off_s) > CLOCK_S * self._pace:
            found["clock_skew_s"] = f"its clock is {off_s:+.0f} s off the community's"
        return found | _power_suspicions(distinct)


def _power_suspicions(states: list[Json]) -> dict[str, str]:
    """Compare power with V·I·PF: a steady ratio is a bias, a straight line a drift, scatter is noise."""
    points = [(_time(state["timestamp"]) / 3600.0, ratio) for state in states if (ratio := _ratio(state)) is not None]
    if len(points) < ENOUGH:
        return {}
    usual = median(ratio for _, ratio in points)
    calm = [(hour, ratio) for hour, ratio in points if ratio < SPIKE * usual]
    found = {}
    if len(calm) < len(points):
        highest = max(ratio for _, ratio in points)
        found["spike_prob"] = f"{len(points) - len(calm)} of {len(points)} states read up to {highest:.1f} times V·I·PF"
    slope, start, scatter = _line(calm)
    change = slope * (calm[-1][0] - calm[0][0])
    if scatter > OFF_BY:
        found["noise_pct"] = f"power scatters around V·I·PF by {100 * scatter:.1f} %"
    elif abs(change) > max(OFF_BY, 5.0 * scatter):
        found["drift_pct_per_hour"] = f"power moves away from V·I·PF by {100 * slope:+.1f} % an hour"
    if abs(usual - 1.0) > OFF_BY + 3.0 * scatter and abs(start - 1.0) > OFF_BY:
        found["bias_pct"] = f"power is {100 * (start - 1.0):+.1f} % off V·I·PF"
    return found


def _ratio(state: Json) -> float | None:
    measured = state["measurements"]
    true_kw = measured["v_rms"] * measured["i_rms"] * measured["power_factor"] / 1000.0
    return abs(state["derived"]["net_power_kw"]) / true_kw if true_kw > LEAST_KW else None


def _line(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return slope, value at the first point and scatter of the straight line through points."""
    hours, ratios = zip(*points, strict=True)
    mean_h, mean = fmean(hours), fmean(ratios)
    spread = sum((hour - mean_h) ** 2 for hour in hours)
    slope = sum((hour - mean_h) * (ratio - mean) for hour, ratio in points) / spread if spread else 0.0
    scatter = pstdev(ratio - mean - slope * (hour - mean_h) for hour, ratio in points)
    return slope, mean + slope * (hours[0] - mean_h), scatter


def _reversed(states: list[Json]) -> str | None:
    """PV + battery - load is what has to flow out; a reversed transformer says it flows in."""
    with_net = [state for state in states if abs(state["derived"]["net_power_kw"]) > LEAST_KW]
    wrong = [state for state in with_net if _expected_kw(state) * state["derived"]["net_power_kw"] < 0.0]
    if len(wrong) * 2 <= len(states):
        return None
    last = wrong[-1]
    return f"it says {last['derived']['net_power_kw']:+.2f} kW where {_expected_kw(last):+.2f} kW have to flow"


def _expected_kw(state: Json) -> float:
    load_kw = state["loads"]["load_power_kw"] - state["loads"]["unserved_power_kw"]
    return float(state["pv"]["pv_power_kw"] + state["battery"]["battery_power_kw"] - load_kw)


def _stuck(states: list[Json]) -> str | None:
    for path in ALWAYS_MOVING:
        if len({_at(state, path) for state in states[-ENOUGH:]}) == 1:
            return f"{path} has not moved in {ENOUGH} states"
    for path, twin in SAME:
        apart = [state for state in states if abs(_at(state, path) - _at(state, twin)) > LEAST_KW]
        if apart:
            return f"{path} and {twin} differ"
    for register, power in FLOWS_INTO.items():
        lately = states[-ENOUGH:]
        flowing = min(_at(state, power) for state in lately) > LEAST_KW
        if flowing and _at(lately[0], register) == _at(lately[-1], register):
            return f"{register} stands, and power flows"
    return None


def _rolled_over(states: list[Json]) -> str | None:
    for register in REGISTERS:
        for earlier, later in pairwise(states):
            if _at(later, register) < _at(earlier, register):
                return f"{register} went back from {_at(earlier, register):.3f} to {_at(later, register):.3f}"
    return None


def _dropped(states: list[Json]) -> str | None:
    times = [_time(state["published_at"]) for state in states]
    intervals = [later - earlier for earlier, later in pairwise(times)]
    usual = median(intervals)
    gaps = [interval for interval in intervals if interval > GAP * usual]
    return f"{len(gaps)} gaps of up to {max(gaps):.1f} s where {usual:.1f} s are usual" if gaps else None


def _doubled(states: list[Json]) -> str | None:
    twice = sum(earlier["seq"] == later["seq"] for earlier, later in pairwise(states))
    return f"{twice} of {len(states)} states came twice" if twice else None


_DETECTORS: Mapping[str, Callable[[list[Json]], str | None]] = {
    "ct_reversed": _reversed,
    "stuck": _stuck,
    "register_rollover_kwh": _rolled_over,
    "dropout_prob": _dropped,
    "duplicate_prob": _doubled,
}


def _at(state: Json, path: str) -> float:
    section, name = path.split(".")
    return float(state[section][name])


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
