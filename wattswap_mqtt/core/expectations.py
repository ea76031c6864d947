"""Whether a meter said what a scenario expects: expectations beside the samples of what it told.

A path leads into what was told at one moment: `pv.pv_power_kw` as in the snapshot, `truth.pv.pv_power_kw`,
`switches.daytime`, `orders.NAME.status` of an order that the scenario places, `events.TYPE` (how many came so far),
`alarms.CODE` (whether it is raised), `clock.pace` (simulated seconds per second since the start).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeGuard

from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.scenarios import Expectation, Figure

Verdict = Literal["holds", "differs", "unknown"]

COUNTED_BY: Mapping[str, Mapping[str, int]] = {
    "pv.pv_power_kw": {"pv_energy_kwh": 1},
    "battery.battery_power_kw": {"battery_discharged_kwh": 1, "battery_charged_kwh": -1},
    "loads.load_power_kw": {"load_energy_kwh": 1},
    "loads.unserved_power_kw": {"unserved_energy_kwh": 1},
    "ev.power_kw": {"ev_energy_kwh": 1},
    "grid.grid_import_kw": {"energy_imported_kwh": 1},
    "grid.grid_export_kw": {"energy_exported_kwh": 1},
    "derived.net_power_kw": {"energy_exported_kwh": 1, "energy_imported_kwh": -1},
    "measurements.p_active": {"energy_exported_kwh": 1, "energy_imported_kwh": -1},
}
"""The registers of `derived` whose growth gives the mean of a power, whatever happens between two readings."""
_UNITS = {path.dotted: path.quantity.unit for path in QUANTITIES}
LEAST_TRUTH = 0.05
"""What is truly less is not divided by: rounding would decide."""


class Sample(NamedTuple):
    """What a meter told at one moment, `after_s` of simulated time after the start."""

    after_s: float
    minute_of_day: int
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One expectation beside what was measured."""

    expectation: Expectation
    wanted: str
    measured: str
    verdict: Verdict


def judge(expectation: Expectation, samples: Sequence[Sample], *, noisy: bool) -> Finding:
    """Return what is found of an expectation in the samples of a run, in order of time; `noisy`: appliances swing."""
    seen = _within(expectation, samples, noisy=noisy)
    measured = [(value, sample) for sample in seen if (value := look_up(sample.told, expectation.path)) is not None]
    wanted = wanted_of(expectation, noisy=noisy)
    if not measured:
        return Finding(expectation, wanted, "not told", "unknown")
    text, holds = _JUDGES[_kind(expectation)](expectation, measured, _slack(expectation, noisy=noisy), noisy)
    return Finding(expectation, wanted, text, "unknown" if holds is None else "holds" if holds else "differs")


def look_up(told: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - whatever a meter reports
    """Return what stands at a path, None if nothing does."""
    root, _, rest = path.partition(".")
    match root:
        case "truth":
            truth = told.get("truth")
            if truth is None and not told.get("switches", {}).get("fault_inject"):
                truth = told  # a meter without a fault says the truth
            return None if truth is None else look_up(truth, rest)
        case "events":
            return told["events"].get(rest, 0)
        case "alarms":
            return rest in {alarm["code"] for alarm in told.get("alarms", ())}
    found: Any = told
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def wanted_of(expectation: Expectation, *, noisy: bool = False) -> str:
    """Say what is expected."""
    slack, unit = _slack(expectation, noisy=noisy), _unit(expectation)
    match _kind(expectation):
        case "equals":
            value = expectation.equals
            return f"{shown(value)} ± {slack:g}{unit}" if _is_number(value) else shown(value)
        case "range":
            bounds = (("≥", expectation.minimum), ("≤", expectation.maximum))
            return " and ".join(f"{sign} {bound:g}{unit}" for sign, bound in bounds if bound is not None)
        case "rate":
            return f"{expectation.rate_per_hour:+g} ± {slack:g}{unit}/h"
        case "ratio":
            return f"{expectation.ratio_to_truth:g} ± {slack:g} of the truth"
        case _:
            return str(expectation.trend)


def shown(value: Figure | None) -> str:
    """Return a value as a table shows it."""
    match value:
        case None:
            return "not told"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value + 0.0:.3f}".rstrip("0").rstrip(".") if abs(value) >= 0.0005 else "0"
        case str():
            return value


def _within(expectation: Expectation, samples: Sequence[Sample], *, noisy: bool) -> list[Sample]:
    """Return the samples of the window; of a moment the first at or after it, or what a mean has to be taken of."""
    begin, end = expectation.from_s, expectation.until_s
    seen = [sample for sample in samples if begin <= sample.after_s < end]
    if expectation.clock is not None:
        first, last = expectation.clock
        seen = [sample for sample in seen if (sample.minute_of_day - first) % 1440 <= (last - first) % 1440]
    return seen[:1] if expectation.at_once and not _takes_mean(expectation, noisy=noisy) else seen


def _kind(expectation: Expectation) -> str:
    if expectation.equals is not None:
        return "equals"
    if expectation.trend is not None:
        return "trend"
    if expectation.rate_per_hour is not None:
        return "rate"
    return "range" if expectation.ratio_to_truth is None else "ratio"


def _unit(expectation: Expectation) -> str:
    unit = _UNITS.get(expectation.path.removeprefix("truth."))
    return f" {unit}" if unit else ""


def _slack(expectation: Expectation, *, noisy: bool) -> float:
    return expectation.tolerance_noisy if noisy else expectation.tolerance


def _takes_mean(expectation: Expectation, *, noisy: bool) -> bool:
    return expectation.as_mean or (noisy and expectation.path.removeprefix("truth.") in COUNTED_BY)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


Measured = Sequence[tuple[Any, Sample]]
Judged = tuple[str, bool | None]


def _mean(expectation: Expectation, measured: Measured) -> float:
    """Return the mean of a window: from the registers where they count it, else of the readings."""
    path = expectation.path.removeprefix("truth.")
    prefix = expectation.path[: -len(path)]
    (_, first), (_, last) = measured[0], measured[-1]
    hours = (last.after_s - first.after_s) / 3600.0
    if path in COUNTED_BY and hours > 0.0 and expectation.clock is None:

        def counted(sample: Sample) -> float:
            signs = COUNTED_BY[path].items()
            return float(sum(sign * look_up(sample.told, f"{prefix}derived.{name}") for name, sign in signs))

        return (counted(last) - counted(first)) / hours
    return float(sum(value for value, _ in measured) / len(measured))


def _numbers(expectation: Expectation, measured: Measured, *, noisy: bool) -> list[float]:
    if _takes_mean(expectation, noisy=noisy):
        return [_mean(expectation, measured)]
    return [value for value, _ in measured]


def _judge_equals(expectation: Expectation, measured: Measured, slack: float, noisy: bool) -> Judged:
    wanted = expectation.equals
    if not _is_number(wanted) or not all(_is_number(value) for value, _ in measured):
        found = list(dict.fromkeys(shown(value) for value, _ in measured))
        return " / ".join(found), all(value == wanted for value, _ in measured)
    farthest = max(_numbers(expectation, measured, noisy=noisy), key=lambda value: abs(value - wanted))
    return f"{shown(farthest)}{_unit(expectation)}", abs(farthest - wanted) <= slack + 1e-9


def _judge_range(expectation: Expectation, measured: Measured, _slack: float, noisy: bool) -> Judged:
    values = _numbers(expectation, measured, noisy=noisy)
    low, high = min(values), max(values)
    holds = (expectation.minimum is None or low >= expectation.minimum) and (
        expectation.maximum is None or high <= expectation.maximum
    )
    return f"{shown(low)}{'' if low == high else f' … {shown(high)}'}{_unit(expectation)}", holds


def _judge_trend(expectation: Expectation, measured: Measured, _slack: float, _noisy: bool) -> Judged:
    values = [value for value, _ in measured]
    first, last = values[0], values[-1]
    match expectation.trend:
        case "rises":
            holds = last > first
        case "falls":
            holds = last < first
        case _:
            holds = max(values) - min(values) <= 0.001
    return f"{shown(first)} → {shown(last)}{_unit(expectation)}", holds if len(values) > 1 else None


def _judge_rate(expectation: Expectation, measured: Measured, slack: float, _noisy: bool) -> Judged:
    (first, began), (last, ended) = measured[0], measured[-1]
    hours = (ended.after_s - began.after_s) / 3600.0
    if hours <= 0.0:
        return "told once", None
    rate = (last - first) / hours
    return f"{rate:+.3f}{_unit(expectation)}/h", abs(rate - (expectation.rate_per_hour or 0.0)) <= slack + 1e-9


def _judge_ratio(expectation: Expectation, measured: Measured, slack: float, _noisy: bool) -> Judged:
    ratios = []
    for value, sample in measured:
        truth = look_up(sample.told, f"truth.{expectation.path}")
        if truth is not None and abs(truth) >= LEAST_TRUTH:
            ratios.append(value / truth)
    if not ratios:
        return "the truth is not told", None
    target = expectation.ratio_to_truth or 0.0
    farthest = max(ratios, key=lambda ratio: abs(ratio - target))
    return f"{shown(farthest)} of the truth", abs(farthest - target) <= slack


_JUDGES = {
    "equals": _judge_equals,
    "range": _judge_range,
    "trend": _judge_trend,
    "rate": _judge_rate,
    "ratio": _judge_ratio,
}
