"""The book against one that a child could check: a list, searched from end to end for every trade."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from wattswap_mqtt.core.market.book import Book, Entry
from wattswap_mqtt.core.market.pricing import Quotes

prices = st.integers(-3, 6).map(lambda cents: cents * 10_000)
quotes = st.tuples(prices, prices).map(lambda pair: Quotes(*pair))
orders = st.tuples(
    st.just("enter"),
    st.integers(0, 4),
    st.booleans(),
    st.none() | prices,
    st.integers(1, 20),
    st.sampled_from(["GTD", "GTC", "IOC", "FOK"]),
    st.integers(0, 12),
)
actions = st.one_of(
    orders,
    orders,
    orders,
    st.tuples(st.just("drop"), st.integers(0, 30)),
    st.tuples(st.just("expire"), st.integers(0, 15)),
    st.tuples(st.just("quotes"), quotes),
)


class Reference:
    """The same rules, one at a time: who is the best to trade with now?"""

    def __init__(self):
        self.waiting = []  # [name, owner, is_buy, limit, left, expires], in order of arrival

    def best(self, is_buy, limit, quotes):
        """Return the best counterparty: an entry, the utility ("utility", price), or None."""
        sign = 1 if is_buy else -1
        utility = quotes.ask_utok if is_buy else quotes.bid_utok
        offers = [(sign * other[3], 0, place, other) for place, other in enumerate(self.waiting) if other[2] != is_buy]
        offers.append((sign * utility, 1, 0, ("utility", utility)))
        offers = [offer for offer in offers if limit is None or offer[0] <= sign * limit]
        return min(offers, key=lambda offer: offer[:3])[3] if offers else None

    def enter(self, order, quotes, *, waits, least):
        kept = [list(other) for other in self.waiting]
        trades, why = [], None
        left = order[4]
        while left:
            other = self.best(order[2], order[3], quotes)
            if other is None:
                why = None if waits else "unmatched"
                break
            if other[0] == "utility":
                trades.append((None, left, other[1]))
                left = 0
            elif other[1] == order[1]:
                why = "self_trade"
                break
            else:
                quantity = min(left, other[4])
                trades.append((other[0], quantity, other[3]))
                other[4] -= quantity
                left -= quantity
                self.waiting = [one for one in self.waiting if one[4]]
        matched = sum(trade[1] for trade in trades)
        if matched < least:
            self.waiting = kept
            return [], why if why == "self_trade" else "min_fill" if trades else "unmatched"
        if left and why is None:
            self.waiting.append([*order[:4], left, order[5]])
        return trades, why

    def expire(self, now_s):
        due = sorted((one for one in self.waiting if one[5] is not None and one[5] <= now_s), key=lambda one: one[5])
        self.waiting = [one for one in self.waiting if one not in due]
        return [one[0] for one in due]

    def cross(self, quotes):
        met = sorted((one for one in self.waiting if one[2] and one[3] >= quotes.ask_utok), key=lambda one: -one[3])
        asks = [one for one in self.waiting if not one[2] and one[3] <= quotes.bid_utok]
        met += sorted(asks, key=lambda one: one[3])
        self.waiting = [one for one in self.waiting if one not in met]
        return [(one[0], one[4], quotes.ask_utok if one[2] else quotes.bid_utok) for one in met]


@settings(max_examples=400)
@given(quotes, st.lists(actions, max_size=60))
def test_the_book_trades_as_the_reference_does(now, flow):
    follow(now, flow)


def test_a_long_flow_trades_as_the_reference_does():
    """Long enough for the book to sweep out what is dead, many times."""
    chance = random.Random(1)
    flow = []
    for _ in range(4000):
        force = chance.choice(["GTD", "GTD", "GTC", "IOC", "FOK"])
        price, quantity = chance.randrange(-3, 7) * 10_000, chance.randrange(1, 21)
        order = ("enter", chance.randrange(5), chance.random() < 0.5, price, quantity, force, chance.randrange(13))
        others = [("drop", chance.randrange(len(flow) + 1)), ("expire", chance.randrange(3))]
        flow.append(order if chance.random() < 0.8 else chance.choice(others))
    follow(Quotes(-40_000, 70_000), flow)


def follow(now, flow):
    book, reference, time_s = Book(), Reference(), 0
    traded, entered = 0, {}
    for number, action in enumerate(flow):
        match action:
            case ("enter", owner, is_buy, limit, quantity, force, least):
                name = f"o{number}"
                expires = time_s + 8.5 if force == "GTD" and limit is not None else None
                waits = force in ("GTD", "GTC")
                least = {"FOK": quantity, "IOC": min(least, quantity)}.get(force, 0)
                entry = Entry(name, owner, is_buy, limit, quantity, expires)
                fills, why = book.enter(entry, now, waits, least)
                told = [(None if maker is None else maker.order_id, mwh, price) for maker, mwh, price in fills]
                assert (told, why) == reference.enter(
                    [name, owner, is_buy, limit, quantity, expires], now, waits=waits, least=least
                )
                entered[name] = limit, is_buy
                assert all(limit is None or (price <= limit if is_buy else price >= limit) for _, _, price in told)
                assert sum(mwh for _, mwh, _ in told) + entry.left_mwh == quantity
                traded += sum(mwh for _, mwh, _ in told)
            case ("drop", other):
                book.drop(f"o{other}")
                reference.waiting = [one for one in reference.waiting if one[0] != f"o{other}"]
            case ("expire", after_s):
                time_s += after_s
                assert book.expire(time_s) == reference.expire(time_s)
            case ("quotes", quoted):
                now = quoted
                crossed = [(entry.order_id, fill[1], fill[2]) for entry, fill in book.cross(now)]
                assert crossed == reference.cross(now)
        bids, asks = book.depth(99)
        assert sum(level.quantity_mwh for level in (*bids, *asks)) == sum(one[4] for one in reference.waiting)
        assert len(book) == len(reference.waiting)
        if bids and asks:
            assert bids[0].price_utok < asks[0].price_utok
