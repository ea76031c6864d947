"""Status line, badge and alarms: tables of rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core.arrays import Bools, Codes, Floats
from wattswap_mqtt.core.records import Flow

FLOWING_KW = 0.05
"""Less than this is "nothing flows"."""


class View(NamedTuple):
    """What the rules look at, shape (n,) unless said otherwise.

    Powers are one-minute means in kW, so that noise does not make a status flicker; alarms look at the present.
    """

    faulty: Bools
    misread: Bools  # the meter's powers are not V · I · PF
    islanded: Bools
    market_open: Bools
    manual_load: Bools
    spare_kwh: Floats  # in the battery above its reserve
    storage_failed: Bools
    flowing: Bools  # (9, n), see records.Flow: the mean is more than nothing
    recharging: Bools  # up to the reserve
    running_down: Bools  # the battery, without sun
    mostly_pv: Bools  # PV covers at least half of the load, on the mean
    at_grid_limit: Bools
    unserved_kw: Floats
    curtailed_kw: Floats


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
    Rule("EV fast charging from solar", "EV Charging Active", lambda v: v.flowing[Flow.EV]),
    Rule("Testing load response and battery buffering", "High Load Detected", lambda v: v.manual_load),
    Rule("Optimal prosumer operation", "Optimized", lambda v: v.recharging & v.market_open),
    Rule("Energy storage building reserves", "Battery Charging", lambda v: v.recharging),
    Rule("Prosumer actively selling surplus", "Selling", lambda v: v.market_open & v.flowing[Flow.GRID_EXPORT]),
    Rule("Smart purchasing to maintain reserves", "Smart Buying", lambda v: v.running_down & v.market_open),
    Rule("Battery providing backup power", "Battery Backup", lambda v: v.running_down),
    Rule("Self-generation covering most load", "Solar Powered", lambda v: v.mostly_pv),
    Rule("Grid-dependent consumption", "Grid Powered", lambda v: v.flowing[Flow.GRID_IMPORT]),
)
"""First match wins."""

STATUS_LINES: tuple[str, ...] = (*(rule.line for rule in RULES), "All systems operational")
BADGES: tuple[str, ...] = (*(rule.badge for rule in RULES), "Online")


def status_codes(view: View) -> Codes:
    """Return the index into `STATUS_LINES` and `BADGES` of each meter."""
    codes = np.full(view.islanded.shape, len(RULES), np.int8)
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
    Alarm(
        "grid_disconnected", "warning", "The home is islanded: nothing can be imported, exported or traded.",
        lambda v: v.islanded,
    ),
    Alarm(
        "unserved_load", "error",
        "The load cannot be met: the EV is cut off first, then heating and cooling, lights and fridge last.",
        lambda v: v.unserved_kw > 1e-6,
    ),
    Alarm("grid_limit", "warning", "The grid connection is at its limit.", lambda v: v.at_grid_limit),
    Alarm("pv_curtailed", "info", "More sun than can be used: the PV is curtailed.", lambda v: v.curtailed_kw > 1e-6),
    Alarm(
        "battery_depleted", "warning", "The home is islanded and the battery has reached its reserve.",
        lambda v: v.islanded & (v.spare_kwh <= 1e-9),
    ),
    Alarm("power_mismatch", "warning", "Active power and V·I·PF disagree: check the meter.", lambda v: v.misread),
    Alarm(
        "storage", "error", "The simulator's data cannot be saved: commands are refused until it can.",
        lambda v: v.storage_failed,
    ),
)  # fmt: skip


def alarm_bits(view: View) -> NDArray[np.int64]:
    """Return the raised alarms of each meter, bit k for `ALARMS[k]`."""
    bits = np.zeros(view.islanded.shape, np.int64)
    for index, alarm in enumerate(ALARMS):
        raised = alarm.applies(view)
        if np.count_nonzero(raised):
            bits[raised] |= 1 << index
    return bits


def alarms_of(bits: int) -> list[Alarm]:
    """Return the alarms raised in `bits`."""
    return [alarm for index, alarm in enumerate(ALARMS) if bits >> index & 1]
