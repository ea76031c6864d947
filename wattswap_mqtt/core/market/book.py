"""The book: orders that wait for a price, and the one matching there is.

A continuous double auction in whole numbers.  An incoming order meets the best price first, at one price the order that
came first, and trades at the price of the order that was there.  The utility's two quotes stand in the book as orders
without end: at a better price they come first, at an equal price the orders of the homes do.  So nothing waits that the
utility would take, and what waits meets the utility as soon as its quotes move far enough (`cross`).

An order never meets one of the same owner: what is left of the newer one is dropped there.

Prices are keys of dictionaries, a heap finds the best of them, and each price has a queue in order of arrival.  What is
cancelled stays in its queue, with nothing left to trade, until it is met or the dead outnumber the living.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from wattswap_mqtt.core.market.pricing import Quotes

Dropped = Literal["unmatched", "self_trade", "min_fill"]
"""Why nothing of an order that came in waits."""


@dataclass(slots=True)
class Entry:
    """What is left to trade of an order; `limit_utok` None takes any price.  The book changes `left_mwh` only."""

    order_id: str
    owner: int
    is_buy: bool
    limit_utok: int | None
    left_mwh: int
    expires_s: float | None = None  # it waits until then, or without end


NOBODY = -1
"""The owner of what is dead: nobody trades with himself there."""

Fill = tuple[Entry | None, int, int]
"""Energy (mWh) that an entry traded with one that was there before (None: the utility), and its price (utok)."""


class Level(NamedTuple):
    """All that waits at one price."""

    price_utok: int
    quantity_mwh: int


Entered = tuple[Sequence[Fill], Dropped | None]


class _Side:
    """One side of the book: keys are prices, negated on the side of the buyers, so that the smallest is the best."""

    __slots__ = ("heap", "queues")

    def __init__(self) -> None:
        self.heap: list[int] = []
        self.queues: dict[int, deque[Entry]] = {}

    def best(self) -> deque[Entry] | None:
        """Return the queue at the best price, its first entry alive."""
        heap, queues = self.heap, self.queues
        while heap:
            queue = queues[heap[0]]
            while queue:
                if queue[0].left_mwh:
                    return queue
                queue.popleft()
            del queues[heapq.heappop(heap)]
        return None

    def living(self, worst_key: int) -> Iterator[Entry]:
        """Yield the entries up to a price, in the order in which they trade."""
        keys = self.heap.copy()
        while keys and keys[0] <= worst_key:
            for entry in self.queues[heapq.heappop(keys)]:
                if entry.left_mwh:
                    yield entry

    def short_of(self, least_mwh: int, owner: int, worst_key: int, with_utility: bool) -> Dropped | None:
        """Return why less than `least_mwh` can be matched up to a price, None if as much can."""
        keys, missing_mwh = self.heap, least_mwh
        while keys and keys[0] <= worst_key:
            for maker in self.queues[keys[0]]:
                if maker.owner == owner:
                    return "self_trade"
                missing_mwh -= maker.left_mwh
                if missing_mwh <= 0:
                    return None
            keys = keys.copy() if keys is self.heap else keys
            heapq.heappop(keys)
        if with_utility:
            return None
        return "unmatched" if missing_mwh == least_mwh else "min_fill"

    def sweep(self) -> None:
        """Drop what is dead."""
        kept = {key: deque(e for e in queue if e.left_mwh) for key, queue in self.queues.items()}
        self.queues = {key: queue for key, queue in kept.items() if queue}
        self.heap = sorted(self.queues)


class Book:
    """The waiting orders of one market."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._asks, self._bids = _Side(), _Side()
        self._expiries: dict[int, list[Entry]] = {}  # by the second; what waits no more may still be in it
        self._seconds: list[int] = []  # a heap of its keys
        self._timed = 0  # how many are in them
        self._dead = 0
        self._crossed: Quotes | None = None  # nothing here would trade at these

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._entries

    def enter(self, entry: Entry, quotes: Quotes, waits: bool = True, least_mwh: int = 0) -> Entered:
        """Match an entry with what is here; what is left of it waits, or is dropped.

        If less than `least_mwh` can be matched at once, nothing is, and nothing waits.
        """
        limit, owner, left = entry.limit_utok, entry.owner, entry.left_mwh
        if entry.is_buy:
            side, utility, sign = self._asks, quotes.ask_utok, 1
        else:
            side, utility, sign = self._bids, quotes.bid_utok, -1
        with_utility = limit is None or utility * sign <= limit * sign
        worst_key = sign * (utility if limit is None or with_utility else limit)
        if least_mwh and (short := side.short_of(least_mwh, owner, worst_key, with_utility)):
            return (), short
        fills: list[Fill] = []
        heap, queues = side.heap, side.queues
        while heap and left and heap[0] <= worst_key:
            queue = queues[heap[0]]
            if not queue:
                del queues[heapq.heappop(heap)]
                continue
            maker = queue[0]
            if maker.owner == owner:
                entry.left_mwh = left
                return fills, "self_trade"
            traded = maker.left_mwh
            if traded > left:
                maker.left_mwh = traded - left
                traded = left
            else:
                queue.popleft()
                maker.left_mwh = 0
                self._entries.pop(maker.order_id, None)  # what is dead has left before
            if traded:
                fills.append((maker, traded, heap[0] * sign))
                left -= traded
        if left and with_utility:
            fills.append((None, left, utility))
            left = 0
        entry.left_mwh = left
        if left and waits:
            self.rest(entry)
            return fills, None
        return fills, "unmatched" if left else None

    def rest(self, entry: Entry) -> None:
        """Let an entry wait without being matched: it has a limit, and came after all that are here."""
        limit, order_id = entry.limit_utok, entry.order_id
        if limit is None:
            raise ValueError(f"{order_id} takes any price: it cannot wait")
        side, key = (self._bids, -limit) if entry.is_buy else (self._asks, limit)
        queue = side.queues.get(key)
        if queue is None:
            side.queues[key] = deque((entry,))
            heapq.heappush(side.heap, key)
        else:
            queue.append(entry)
        if not self._entries:
            self._crossed = None
        self._entries[order_id] = entry
        if entry.expires_s is not None:
            second = int(entry.expires_s)
            same = self._expiries.get(second)
            if same is None:
                self._expiries[second] = [entry]
                heapq.heappush(self._seconds, second)
            else:
                same.append(entry)
            self._timed += 1
            if self._timed > 64 + 2 * len(self._entries):
                self._forget_times()

    def drop(self, order_id: str) -> None:
        """Let an order wait no more, if it does."""
        entry = self._entries.pop(order_id, None)
        if entry is not None:
            entry.left_mwh, entry.owner = 0, NOBODY
            self._buried(1)

    def of(self, owner: int) -> list[str]:
        """Return the orders of an owner, in order of arrival."""
        return [entry.order_id for entry in self._entries.values() if entry.owner == owner]

    def expire(self, now_s: float) -> list[str]:
        """Drop the orders whose time is up, and return them, earliest first."""
        due: list[Entry] = []
        while self._seconds and self._seconds[0] <= now_s:
            second = self._seconds[0]
            alive = [entry for entry in self._expiries[second] if entry.left_mwh]
            if second + 1 > now_s:
                due += (entry for entry in alive if (entry.expires_s or 0.0) <= now_s)
                break
            due += alive
            self._timed -= len(self._expiries.pop(heapq.heappop(self._seconds)))
        due.sort(key=_expiry)
        for entry in due:
            del self._entries[entry.order_id]
            entry.left_mwh, entry.owner = 0, NOBODY
        self._buried(len(due))
        return [entry.order_id for entry in due]

    def next_expiry_s(self, before_s: float) -> float:
        """Return when the first time is up, that of what waits no more included, or `before_s` if that is earlier."""
        if not self._seconds or self._seconds[0] >= before_s:
            return before_s
        return min(map(_expiry, self._expiries[self._seconds[0]]))

    def cross(self, quotes: Quotes) -> list[tuple[Entry, Fill]]:
        """Trade what the utility's quotes have come to meet; costs nothing while they stand still."""
        if quotes == self._crossed:
            return []
        self._crossed = quotes
        met = [(entry, quotes.ask_utok) for entry in self._bids.living(-quotes.ask_utok)]
        met += [(entry, quotes.bid_utok) for entry in self._asks.living(quotes.bid_utok)]
        trades: list[tuple[Entry, Fill]] = [(entry, (None, entry.left_mwh, price)) for entry, price in met]
        for entry, _ in trades:
            self.drop(entry.order_id)
        return trades

    @property
    def best_bid_utok(self) -> int | None:
        """The highest price that a home offers to pay."""
        return -self._bids.heap[0] if self._bids.best() else None

    @property
    def best_ask_utok(self) -> int | None:
        """The lowest price at which a home offers to sell."""
        return self._asks.heap[0] if self._asks.best() else None

    def depth(self, levels: int) -> tuple[list[Level], list[Level]]:
        """Return what waits at the best prices: bids and asks, best first."""
        return _levels(self._bids, levels, -1), _levels(self._asks, levels, 1)

    def _buried(self, dead: int) -> None:
        """Note how many more are dead, and sweep them out when they have become too many."""
        self._dead += dead
        if self._dead > 64 + len(self._entries):
            self._asks.sweep()
            self._bids.sweep()
            self._dead = 0

    def _forget_times(self) -> None:
        """Drop the dates of what waits no more: most of what is traded had a date that is far away."""
        alive = {second: [e for e in same if e.left_mwh] for second, same in self._expiries.items()}
        self._expiries = {second: same for second, same in alive.items() if same}
        self._seconds = sorted(self._expiries)
        self._timed = sum(map(len, self._expiries.values()))


def _expiry(entry: Entry) -> float:
    return entry.expires_s or 0.0


def _levels(side: _Side, levels: int, sign: int) -> list[Level]:
    found: list[Level] = []
    for key in sorted(side.queues):
        if len(found) == levels:
            break
        if quantity_mwh := sum(entry.left_mwh for entry in side.queues[key]):
            found.append(Level(key * sign, quantity_mwh))
    return found
