"""Status line, badge and alarms: tables of rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from wattswap_mqtt.core.arrays import Bools, Codes, Ints


class View(NamedTuple):
    """What the rules look at, each of shape (n,).

    What flows is a one-minute mean, so that noise does not make a status flicker; alarms look at the present.
    """

    faulty: Bools
    misread: Bools  # the meter's powers are not V · I · PF
    storage_failed: Bools
    islanded: Bools
    market_open: Bools
    manual_load: Bools
    importing: Bools
    exporting: Bools
    ev_charging: Bools
    recharging: Bools  # the battery, up to its reserve
    running_down: Bools  # the battery, without sun
    depleted: Bools  # the battery is at its reserve
    mostly_pv: Bools  # PV covers at least half of the load
    at_grid_limit: Bools
    unserved: Bools  # some of the load
    curtailed: Bools  # some of the PV


@dataclass(frozen=True)
class Rule:
    """One status: its line (the seed's words), its badge, and when it applies."""

    line: str
    badge: str
    applies: Callable[[View], Bools]


RULES: tuple[Rule, ...] = (
    Rule("Fault simulation for testing diagnostics", "Diagnostics Required", lambda v: v.faulty),
    Rule("Emergency backup mode", "Grid Failure", lambda v: v.islanded & v.market_open),
    Rule("Off-grid operation, vulnerable to battery depletion", "Island Mode", lambda v: v.islanded),
    Rule("EV fast charging from solar", "EV Charging Active", lambda v: v.ev_charging),
    Rule("Testing load response and battery buffering", "High Load Detected", lambda v: v.manual_load),
    Rule("Optimal prosumer operation", "Optimized", lambda v: v.recharging & v.market_open),
    Rule("Energy storage building reserves", "Battery Charging", lambda v: v.recharging),
    Rule("Prosumer actively selling surplus", "Selling", lambda v: v.market_open & v.exporting),
    Rule("Smart purchasing to maintain reserves", "Smart Buying", lambda v: v.running_down & v.market_open),
    Rule("Battery providing backup power", "Battery Backup", lambda v: v.running_down),
    Rule("Self-generation covering most load", "Solar Powered", lambda v: v.mostly_pv),
    Rule("Grid-dependent consumption", "Grid Powered", lambda v: v.importing),
    Rule("All systems operational", "Online", lambda v: ~v.faulty),  # whatever no other rule applies to
)
"""First match wins."""

STATUS_LINES: tuple[str, ...] = tuple(rule.line for rule in RULES)
BADGES: tuple[str, ...] = tuple(rule.badge for rule in RULES)


@dataclass(frozen=True)
class Alarm:
    """One alarm: its stable code, its level, its words, and when it is raised."""

    code: str
    level: Literal["info", "warning", "error"]
    msg: str
    applies: Callable[[View], Bools]


ALARMS: tuple[Alarm, ...] = (
    Alarm(
        "grid_disconnected", "warning", "The home is islanded: nothing can be imported, exported or traded.",
        lambda v: v.islanded,
    ),
    Alarm(
        "unserved_load", "error",
        "The load cannot be met: the EV is cut off first, then heating and cooling, lights and fridge last.",
        lambda v: v.unserved,
    ),
    Alarm("grid_limit", "warning", "The grid connection is at its limit.", lambda v: v.at_grid_limit),
    Alarm("pv_curtailed", "info", "More sun than can be used: the PV is curtailed.", lambda v: v.curtailed),
    Alarm(
        "battery_depleted", "warning", "The home is islanded and the battery has reached its reserve.",
        lambda v: v.islanded & v.depleted,
    ),
    Alarm("power_mismatch", "warning", "Active power and V·I·PF disagree: check the meter.", lambda v: v.misread),
    Alarm(
        "storage", "error", "The simulator's data cannot be saved: commands are refused until it can.",
        lambda v: v.storage_failed,
    ),
)  # fmt: skip


class Verdicts(NamedTuple):
    """What the rules say of n meters."""

    status: Codes  # the index into STATUS_LINES and BADGES
    alarms: Ints  # bit k for ALARMS[k]


def judge(view: View) -> Verdicts:
    """Return what the rules say."""
    status = np.array([rule.applies(view) for rule in RULES]).argmax(axis=0)
    alarms = np.zeros(view.faulty.shape, np.int64)
    for index, alarm in enumerate(ALARMS):
        raised = alarm.applies(view)
        if np.count_nonzero(raised):
            alarms += raised * (1 << index)
    return Verdicts(status.astype(np.int8), alarms)


class Judge:
    """Judges the same n meters again and again, each anew only when something about it has changed."""

    def __init__(self, n: int) -> None:
        self._seen = np.zeros((len(View._fields), n), np.bool_)
        self._verdicts = judge(View(*self._seen))

    def judge(self, view: View) -> Verdicts:
        """Return what the rules say."""
        seen = np.array(view)
        changed = seen != self._seen
        if np.count_nonzero(changed):
            meters = np.flatnonzero(np.logical_or.reduce(changed))
            status, alarms = self._verdicts.status.copy(), self._verdicts.alarms.copy()
            status[meters], alarms[meters] = judge(View(*seen[:, meters]))
            self._seen, self._verdicts = seen, Verdicts(status, alarms)
        return self._verdicts


def alarms_of(bits: int) -> list[Alarm]:
    """Return the alarms raised in `bits`."""
    return [alarm for index, alarm in enumerate(ALARMS) if bits >> index & 1]
