"""The order book, beside a bare one of heaps and deques; and what open orders cost a tick."""

import gc
import heapq
import random
import tempfile
from collections import deque
from pathlib import Path

import numpy as np

from benchmarks.timing import Row, interleaved, rate, ratio
from wattswap_mqtt import __version__
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.market.book import Book, Entry
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.roles.simulator.persistence import Persistence

TITLE = "The order book"
ABOUT = """\
Orders a second through `Book.enter`, one thread: 20,000 limit orders of 1,000 owners at 220 prices, three quarters of
them good till a date (ten seconds on, a thousand orders a second), the others GTC, IOC and FOK; trades are recorded,
time runs out, nobody trades with himself. The bare book knows number, price, time and quantity only: no owners, no time
in force, no records, nothing ever expires. Both are given objects made before. A tick (simulate a second, read,
save, encode; all but sending) of 10,000 homes with 1,000 open orders is compared with one without orders; so is that of
the core alone (simulate and read)."""
QUOTES = Quotes(80_000, 300_000)
ORDERS, A_SECOND = 20_000, 1_000
TARGET, RATIO_TARGET, TICK_TARGET = 300_000, 0.4, 1.1
NOON_S = 1_782_036_000.0


def rows():
    """Measure."""
    flow = _flow()
    fresh = iter(
        [_entries(flow) for _ in range(80)]
    )  # they are used up by a run, and making them is not the book's work
    gc.freeze()  # a collection would go through all of them, as if they were the book's
    plain = [(order_id, is_buy, price, quantity) for order_id, _, is_buy, price, quantity, _ in flow]
    taken = interleaved({"bare": lambda: _bare(plain), "book": lambda: _book(next(fresh))}, windows=60, window_s=1e-6)
    rates, bare = ORDERS / np.median(taken["book"]), np.median(taken["bare"])
    times = float(np.median(taken["bare"] / taken["book"]))
    return [
        Row(
            "orders through the book",
            f"{rate(1, rates)} (best window {rate(float(taken['book'].min()), ORDERS)})",
            f"≥ {rate(1, TARGET)}, ratio ≥ {RATIO_TARGET}",
            bool(rates >= TARGET and times >= RATIO_TARGET),
            f"bare heaps and deques: {rate(float(bare), ORDERS)}",
            ratio(taken["bare"], taken["book"]),
        ),
        _tick("waiting", 1000),
        _tick("open, half of them being delivered", 500),
        _tick("open, half of them being delivered", 500, core_alone=True),
    ]


def _tick(what, waiting, *, core_alone=False):
    quiet, busy = _community(), _community()
    for number in reversed(range(1000)):  # those at any price first: they trade with the utility, not with the others
        side, price = ("sell", 290_000 - number) if number % 2 else ("buy", 90_000 + number)
        kind = {"price_utok_per_kwh": price} if number < waiting else {}
        terms = OrderTerms(
            side, "limit" if kind else "market", 10**6, 86_400.0, time_in_force="GTC", min_fill_mwh=0, **kind
        )
        busy.place(number, terms)

    encoder = SnapshotEncoder(quiet.ids, "Europe/Berlin", __version__)

    def tick(homes, saved):
        homes.advance(1.0)
        readings, _ = homes.read()
        if core_alone:
            return
        saved.add(homes.exchange.take_changes())
        saved.checkpoint()
        encoder.encode(readings, NOON_S, {}, {})

    with tempfile.TemporaryDirectory() as directory:
        stores = [Persistence(Path(directory) / name, homes) for name, homes in (("quiet", quiet), ("busy", busy))]
        try:
            taken = interleaved(
                {"quiet": lambda: tick(quiet, stores[0]), "busy": lambda: tick(busy, stores[1])}, windows=60
            )
        finally:
            for store in stores:
                store.close()
    times = float(np.median(taken["busy"] / taken["quiet"]))
    return Row(
        f"{'the core alone: ' if core_alone else ''}tick of 10,000 homes with 1,000 orders {what}",
        f"{np.median(taken['busy']) * 1e3:.2f} ms",
        "" if core_alone else f"ratio < {TICK_TARGET}",
        None if core_alone else times < TICK_TARGET,
        f"market open, no orders: {np.median(taken['quiet']) * 1e3:.2f} ms",
        f"{times:.3g}",
    )


def _community():
    homes = Community(meter_ids("main", 10_000), start_s=NOON_S)
    for meter in range(1000):
        homes.set_switches(meter, {"market_enabled": True})
    homes.advance(2.0)
    return homes


def _flow():
    chance = random.Random(1)
    forces = chance.choices(["GTD", "GTC", "IOC", "FOK"], [75, 10, 10, 5], k=ORDERS)
    return [
        (
            f"meter_{number:05}.1",
            chance.randrange(1000),
            chance.random() < 0.5,
            chance.randrange(80, 300) * 1000 + 500,
            chance.randrange(1000, 2_000_000),
            force,
        )
        for number, force in enumerate(forces)
    ]


def _entries(flow):
    found = []
    for number, (order_id, owner, is_buy, price, quantity, force) in enumerate(flow):
        expires_s = number / A_SECOND + 10.0 if force == "GTD" else None
        least = {"FOK": quantity, "IOC": min(quantity, 100_000)}.get(force, 0)
        entry = Entry(order_id, owner, is_buy, price, quantity, expires_s)
        found.append((entry, force in ("GTD", "GTC"), least))
    return found


def _book(entries):
    book, trades = Book(), 0
    for number, (entry, waits, least) in enumerate(entries):
        fills, _ = book.enter(entry, QUOTES, waits, least)
        trades += len(fills)
        if number % A_SECOND == 0:
            book.expire(number / A_SECOND)
    return trades


def _bare(flow):
    asks, bids, ask_prices, bid_prices = {}, {}, [], []
    for order_id, is_buy, price, quantity in flow:
        if is_buy:
            theirs, their_prices, ours, our_prices, worst, key = asks, ask_prices, bids, bid_prices, price, -price
        else:
            theirs, their_prices, ours, our_prices, worst, key = bids, bid_prices, asks, ask_prices, -price, price
        left = quantity
        while left and their_prices and their_prices[0] <= worst:
            waiting = theirs[their_prices[0]]
            first = waiting[0]
            if first[1] > left:
                first[1] -= left
                left = 0
            else:
                left -= first[1]
                waiting.popleft()
                if not waiting:
                    del theirs[heapq.heappop(their_prices)]
        if left:
            if key in ours:
                ours[key].append([order_id, left])
            else:
                ours[key] = deque(([order_id, left],))
                heapq.heappush(our_prices, key)
