"""Deliveries: matched energy on its way, shared out to the orders it was sold by.

A delivery asks constant power over its window, and never catches up: what was not metered while it was asked for is
missing at the end.  It is credited with what was metered, but never with more than it asked for, whatever a biased
meter says.  Deliveries of one home share what was metered in the order in which their orders were accepted.  A home
goes one way at a time: the earliest accepted delivery that asks for anything decides, those of the other side wait
while their windows pass.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple, Self

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.market.pricing import MILLION, Side, worth

MOST_SLICES = 96
"""A day of quarter hours; a longer delivery tells its beginning as one slice."""


class Slice(NamedTuple):
    """Energy that was delivered from `start_s` until the next slice starts."""

    start_s: float
    energy_mwh: int


class Mark(NamedTuple):
    """How much was filled when a slice began."""

    start_s: float
    filled_mwh: int


@dataclass(slots=True)
class Delivery:
    """One match of one order: energy to deliver over [start_s, end_s).

    `delivered_kwh` is the one thing that grows; what is filled and what it is worth follow from it.
    """

    trade_id: str
    order_id: str
    meter: int
    number: int  # of the order: the meter's order of acceptance
    side: Side
    quantity_mwh: int
    price_utok_per_kwh: int
    counterparty: str
    start_s: float
    end_s: float
    came_last: bool = True  # its order met one that was there before
    delivered_kwh: float = 0.0
    over: bool = False  # its window has passed, or it was stopped
    marks: list[Mark] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.marks:
            self.marks.append(Mark(self.start_s, 0))

    @property
    def filled_mwh(self) -> int:
        """What was delivered and metered."""
        return min(round(self.delivered_kwh * MILLION), self.quantity_mwh)

    @property
    def amount_utok(self) -> int:
        """What this was worth to the home so far: + earned, - spent."""
        amount = worth(self.price_utok_per_kwh, self.filled_mwh)
        return amount if self.side == "sell" else -amount

    @property
    def missing_mwh(self) -> int:
        """What was not delivered."""
        return self.quantity_mwh - self.filled_mwh

    def since_mark(self) -> tuple[float, int, int]:
        """Return when the running slice began, and its energy and worth so far; the worths of all slices add up."""
        mark = self.marks[-1]
        before = worth(self.price_utok_per_kwh, mark.filled_mwh)
        amount = worth(self.price_utok_per_kwh, self.filled_mwh) - before
        return mark.start_s, self.filled_mwh - mark.filled_mwh, amount if self.side == "sell" else -amount

    def mark(self, start_s: float) -> None:
        """Begin a new slice; nothing happens if one began then or later."""
        if start_s <= self.marks[-1].start_s:
            return
        if self.filled_mwh == self.marks[-1].filled_mwh:
            self.marks.pop()
        self.marks.append(Mark(start_s, self.filled_mwh))
        if len(self.marks) > MOST_SLICES:
            del self.marks[1]

    def slices(self) -> list[Slice]:
        """Return what was delivered by the quarter hour, the one that is running included."""
        ends = [mark.filled_mwh for mark in self.marks[1:]] + [self.filled_mwh]
        return [
            Slice(mark.start_s, end - mark.filled_mwh)
            for mark, end in zip(self.marks, ends, strict=True)
            if end > mark.filled_mwh
        ]


class Asks(NamedTuple):
    """Mean powers asked of n homes over a sub-step, to export and to import, shape (n,); not to be written to."""

    sell_kw: Floats
    buy_kw: Floats


class Settled(NamedTuple):
    """What a sub-step brought: money for meters, deliveries that got their first energy and go on, and ended ones."""

    meters: Ints
    amounts_utok: Ints
    begun: list[Delivery]
    over: list[Delivery]


class _Table(NamedTuple):
    """The deliveries in progress as columns of shape (k,), sorted by home and acceptance."""

    meter: Ints
    first: Ints  # the first row of the same home
    is_buy: Ints  # 0 or 1
    both_ways: bool  # a home has some of each
    start_s: Floats
    end_s: Floats
    power_kw: Floats
    quantity_kwh: Floats
    quantity_mwh: Ints
    price_utok: Ints
    delivered_kwh: Floats
    filled_mwh: Ints
    earned_utok: Ints  # less than 0 for a buy

    @classmethod
    def of(cls, deliveries: Sequence[Delivery]) -> Self:
        meter = np.array([d.meter for d in deliveries])
        start_s = np.array([d.start_s for d in deliveries])
        end_s = np.array([d.end_s for d in deliveries])
        quantity_mwh = np.array([d.quantity_mwh for d in deliveries])
        quantity_kwh = quantity_mwh / MILLION
        first = np.searchsorted(meter, meter)
        is_buy = np.array([int(d.side == "buy") for d in deliveries])
        return cls(
            meter=meter,
            first=first,
            is_buy=is_buy,
            both_ways=bool((is_buy != is_buy[first]).any()),
            start_s=start_s,
            end_s=end_s,
            power_kw=quantity_kwh / (end_s - start_s) * 3600,
            quantity_kwh=quantity_kwh,
            quantity_mwh=quantity_mwh,
            price_utok=np.array([d.price_utok_per_kwh for d in deliveries]),
            delivered_kwh=np.array([d.delivered_kwh for d in deliveries]),
            filled_mwh=np.zeros_like(meter),
            earned_utok=np.zeros_like(meter),
        ).counted()

    def asked_kwh(self, now_s: float, dt_s: float) -> Floats:
        """Return what each asks for over [now_s, now_s + dt_s)."""
        overlap_s = np.minimum(self.end_s - now_s, dt_s) - np.maximum(self.start_s - now_s, 0)
        wanted_kwh = np.minimum(self.power_kw * overlap_s / 3600, self.quantity_kwh - self.delivered_kwh)
        asking_kwh: Floats = np.maximum(wanted_kwh, 0)
        if not self.both_ways:
            return asking_kwh
        leader = np.flatnonzero(asking_kwh)[::-1]  # backwards, so that the earliest of a home has the last word
        is_buy = np.zeros_like(self.is_buy)
        is_buy[self.first[leader]] = self.is_buy[leader]
        return np.where(is_buy[self.first] == self.is_buy, asking_kwh, 0.0)

    def delivered(self, asked_kwh: Floats, sold_kwh: Floats, bought_kwh: Floats) -> Self:
        """Return the table after the metered energy of each home (n,) went to those who asked for it (k,)."""
        metered_kwh = np.where(self.is_buy, bought_kwh[self.meter], sold_kwh[self.meter])
        earlier_kwh = np.cumsum(asked_kwh) - asked_kwh
        left_kwh = metered_kwh - (earlier_kwh - earlier_kwh[self.first])
        return self._replace(
            delivered_kwh=self.delivered_kwh + np.maximum(np.minimum(left_kwh, asked_kwh), 0)
        ).counted()

    def counted(self) -> Self:
        """Return the table with what follows from what was delivered, as `Delivery` counts it."""
        filled_mwh = np.minimum(np.rint(self.delivered_kwh * MILLION).astype(np.int64), self.quantity_mwh)
        return self._replace(
            filled_mwh=filled_mwh, earned_utok=worth(self.price_utok, filled_mwh) * (1 - 2 * self.is_buy)
        )


class Deliveries:
    """The deliveries in progress of n homes; a sub-step costs some array operations over them, or nothing at all."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._active: list[Delivery] = []
        self._table: _Table | None = None  # made when needed, dropped when a delivery comes or goes
        self._asked_kwh: Floats = np.zeros(0)
        self._nothing = Asks(np.zeros(n), np.zeros(n))
        for powers in self._nothing:
            powers.flags.writeable = False

    def __len__(self) -> int:
        return len(self._active)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._active)

    def add(self, delivery: Delivery) -> None:
        """Begin a delivery."""
        insort(self._active, delivery, key=lambda d: (d.meter, d.number))
        self._table = None

    def of(self, meter: int) -> list[Delivery]:
        """Return the deliveries of a home, in order of acceptance."""
        begin = bisect_left(self._active, meter, key=_meter)
        return self._active[begin : bisect_right(self._active, meter, lo=begin, key=_meter)]

    def drop(self, deliveries: Collection[Delivery]) -> None:
        """End deliveries before their time."""
        gone = {delivery.trade_id for delivery in deliveries}
        self._active = [delivery for delivery in self._active if delivery.trade_id not in gone]
        self._table = None

    def next_end_s(self, before_s: float) -> float:
        """Return when the first of their windows is past, at most `before_s`."""
        if not self._active:
            return before_s
        self._table = self._table or _Table.of(self._active)
        return min(before_s, float(self._table.end_s.min()))

    def asks(self, now_s: float, dt_s: float) -> Asks:
        """Return what to ask of the homes over [now_s, now_s + dt_s), dt_s > 0."""
        if not self._active:
            return self._nothing
        self._table = self._table or _Table.of(self._active)
        self._asked_kwh = self._table.asked_kwh(now_s, dt_s)
        powers_kw = np.zeros(2 * self._n)
        place = self._table.is_buy * self._n + self._table.meter
        np.add.at(powers_kw, place, self._asked_kwh * (3600 / dt_s))
        return Asks(*powers_kw.reshape(2, self._n))

    def asks_of(self, meter: int, now_s: float, dt_s: float) -> Asks:
        """Return what to ask of one home, shape (1,), at a cost that does not grow with the deliveries of others."""
        powers_kw = np.zeros((2, 1))
        if mine := self.of(meter):
            table = _Table.of(mine)
            np.add.at(powers_kw[:, 0], table.is_buy, table.asked_kwh(now_s, dt_s) * (3600 / dt_s))
        return Asks(*powers_kw)

    def settle(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats) -> Settled:
        """Share what was metered in the sub-step that ended at `now_s`; end what has its window behind it."""
        if self._table is None:  # something came or went since the powers were asked for
            self.asks(now_s - dt_s, dt_s)
        before = self._table or _Table.of(self._active)
        after = self._table = before.delivered(self._asked_kwh, sold_kwh, bought_kwh)
        for delivery, delivered_kwh in zip(self._active, after.delivered_kwh.tolist(), strict=True):
            delivery.delivered_kwh = delivered_kwh
        over = after.end_s <= now_s
        begun = (before.filled_mwh < 1) & (after.filled_mwh > 0) & ~over
        settled = Settled(
            meters=after.meter,
            amounts_utok=after.earned_utok - before.earned_utok,
            begun=[self._active[row] for row in np.flatnonzero(begun)],
            over=[self._active[row] for row in np.flatnonzero(over)],
        )
        for delivery in settled.over:
            delivery.over = True
        if settled.over:
            self._active = list(compress(self._active, ~over))
            self._table = None
        return settled


def _meter(delivery: Delivery) -> int:
    return delivery.meter
