"""Status line, badge and alarms: tables of rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]

FLOWING_KW = 0.05
"""Less than this is "nothing flows"."""


class View(NamedTuple):
    """What the rules look at, shape (n,); powers are one-minute means in kW, so that noise does not make a status flicker."""

    faulty: Bools
    misread: Bools  # the meter's powers are not V · I · PF
    on_grid: Bools
    market_open: Bools
    manual_load_kw: Floats
    below_reserve: Bools
    empty: Bools  # the battery has nothing left above its reserve
    storage_failed: bool
    grid_limit_kw: Floats
    import_kw: Floats
    export_kw: Floats
    pv_kw: Floats
    load_kw: Floats
    charge_kw: Floats
    discharge_kw: Floats
    ev_kw: Floats
    unserved_kw: Floats
    curtailed_kw: Floats


@dataclass(frozen=True)
class Rule:
    """One status: its line (the seed's words), its badge, and when it applies."""

    line: str
    badge: str
    applies: Callable[[View], Bools]


def _recharging(v: View) -> Bools:
    return v.below_reserve & (v.charge_kw > FLOWING_KW)


def _discharging_at_night(v: View) -> Bools:
    return (v.discharge_kw > FLOWING_KW) & (v.pv_kw < FLOWING_KW)


RULES: tuple[Rule, ...] = (
    Rule("Fault simulation for testing diagnostics", "Diagnostics Required", lambda v: v.faulty),
    Rule("Emergency backup mode", "Grid Failure", lambda v: ~v.on_grid & v.market_open),
    Rule("Off-grid operation, vulnerable to battery depletion", "Island Mode", lambda v: ~v.on_grid),
    Rule("EV fast charging from solar", "EV Charging Active", lambda v: v.ev_kw > FLOWING_KW),
    Rule("Testing load response and battery buffering", "High Load Detected", lambda v: v.manual_load_kw != 0.0),
    Rule("Optimal prosumer operation", "Optimized", lambda v: _recharging(v) & v.market_open),
    Rule("Energy storage building reserves", "Battery Charging", _recharging),
    Rule("Prosumer actively selling surplus", "Selling", lambda v: v.market_open & (v.export_kw > FLOWING_KW)),
    Rule("Smart purchasing to maintain reserves", "Smart Buying", lambda v: _discharging_at_night(v) & v.market_open),
    Rule("Battery providing backup power", "Battery Backup", _discharging_at_night),
    Rule("Self-generation covering most load", "Solar Powered", lambda v: (v.pv_kw > FLOWING_KW) & (v.pv_kw >= 0.5 * v.load_kw)),
    Rule("Grid-dependent consumption", "Grid Powered", lambda v: v.import_kw > FLOWING_KW),
)
"""First match wins."""

STATUS_LINES: tuple[str, ...] = (*(rule.line for rule in RULES), "All systems operational")
BADGES: tuple[str, ...] = (*(rule.badge for rule in RULES), "Online")


def status_codes(view: View) -> Codes:
    """Return the index into `STATUS_LINES` and `BADGES` of each meter."""
    codes = np.full(view.load_kw.shape, len(RULES), np.int8)
    for index in range(len(RULES) - 1, -1, -1):
        codes[RULES[index].applies(view)] = index
    return codes


@dataclass(frozen=True)
class Alarm:
    """One alarm: its stable code, its level, its words, and when it is raised."""

    code: str
    level: Literal["info", "warning", "error"]
    msg: str
    applies: Callable[[View], Bools]


ALARMS: tuple[Alarm, ...] = (
    Alarm("grid_disconnected", "warning", "The home is islanded: nothing can be imported, exported or traded.", lambda v: ~v.on_grid),
    Alarm(
        "unserved_load", "error", "The load cannot be met: the EV is cut off first, then heating and cooling, lights and fridge last.",
        lambda v: v.unserved_kw > 1e-6,
    ),
    Alarm(
        "grid_limit", "warning", "The grid connection is at its limit.",
        lambda v: v.on_grid & (np.maximum(v.import_kw, v.export_kw) >= v.grid_limit_kw - 1e-6),
    ),
    Alarm("pv_curtailed", "info", "More sun than can be used: the PV is curtailed.", lambda v: v.curtailed_kw > 1e-6),
    Alarm(
        "battery_depleted", "warning", "The home is islanded and the battery has reached its reserve.", lambda v: ~v.on_grid & v.empty
    ),
    Alarm("power_mismatch", "warning", "Active power and V·I·PF disagree: check the meter.", lambda v: v.misread),
    Alarm(
        "storage", "error", "The simulator's data cannot be saved: commands are refused until it can.",
        lambda v: np.full(v.on_grid.shape, v.storage_failed),
    ),
)  # fmt: skip


def alarm_bits(view: View) -> NDArray[np.int64]:
    """Return the raised alarms of each meter, bit k for `ALARMS[k]`."""
    bits = np.zeros(view.load_kw.shape, np.int64)
    for index, alarm in enumerate(ALARMS):
        bits |= alarm.applies(view).astype(np.int64) << index
    return bits


def alarms_of(bits: int) -> list[Alarm]:
    """Return the alarms raised in `bits`."""
    return [alarm for index, alarm in enumerate(ALARMS) if bits >> index & 1]
