"""Some homes of a community on their way through a plan: what each period added, block by block."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.moments import QUARTER_S
from wattswap_mqtt.core.records import Flow, Register
from wattswap_mqtt.founding import OwnData, found_community
from wattswap_mqtt.headless.plan import Plan

BLOCK_VALUES = 1 << 21
COLUMNS = (*((f"{Register(flow).name.lower()}_kwh", "kWh") for flow in Flow), ("battery_soc_pct", "%"))
"""What is written for each home and period, with its unit: energies of the period, and the charge at its end."""


class Block(NamedTuple):
    """Some periods: when they begin, and float32 values (periods, COLUMNS, homes), good to a milliwatt-hour."""

    starts_s: list[float]
    values: NDArray[np.float32]


class Ended(NamedTuple):
    """What a run adds up to; the last axis is the meter."""

    registers: Floats  # (12, n)
    cost_apt: Floats  # (2, n): import at the utility's price, export at the feed-in tariff
    tokens_utok: Ints  # (2, n): what the market paid and took, where it is open


def live(settings: Settings, plan: Plan, homes: slice, own_data: OwnData, periods: int) -> Iterator[Block | Ended]:
    """Let the homes live; yield blocks of so many periods, and at the end what all adds up to."""
    community = found_community(settings, plan.start_s, homes, own_data)
    community.set_switches(0, {"time_acceleration": plan.step_s})  # the community's
    for meter in range(len(community.ids)) if plan.switches else ():
        community.set_switches(meter, plan.switches)
    first = community.state.registers
    cost_apt = np.zeros((2, len(community.ids)))
    starts: list[float] = []
    values: NDArray[np.float32] = np.empty((periods, len(COLUMNS), len(community.ids)), np.float32)
    for begin_s, end_s in pairwise(plan.boundaries()):
        before = community.state.registers
        _advance(community, end_s, cost_apt)
        values[len(starts), : len(Flow)] = (community.state.registers - before)[: len(Flow)]
        values[len(starts), len(Flow)] = 100.0 * community.state.stored_kwh / community.plant.battery_kwh
        starts.append(begin_s)
        if len(starts) == periods:
            yield Block(starts, values.copy())
            starts = []
    if starts:
        yield Block(starts, values[: len(starts)])
    exchange = community.exchange
    tokens = np.stack([exchange.earnings_utok, exchange.spending_utok])
    yield Ended(community.state.registers - first, cost_apt, tokens)


def _advance(community: Community, end_s: float, cost_apt: Floats) -> None:
    """Let time pass until `end_s`; add what the energy of each quarter hour costs."""
    while community.clock_s < end_s:
        quotes, before = community.tariff.quote(community.clock_s), community.state.registers
        stop_s = min((math.floor(community.clock_s / QUARTER_S) + 1.0) * QUARTER_S, end_s)
        community.advance(stop_s - community.clock_s)
        _forget(community)
        added = community.state.registers - before
        cost_apt[0] += added[Register.IMPORTED] * (quotes.ask_utok * 1e-6)
        cost_apt[1] += added[Register.EXPORTED] * (quotes.bid_utok * 1e-6)


def _forget(community: Community) -> None:
    """Take what a live system tells and saves, so that it does not pile up."""
    community.take_events()
    community.exchange.take_changes()
    community.exchange.tape.take()
