"""Trades between homes: two deliveries, what is missing of them, and who pays for it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.entry import Home, Rules
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes, Step, Tariff

NOW_S = 1_800_000_000.0
HOME = Home(grid_connected=True, market_enabled=True, available_discharge_kwh=9, p_max_discharge_kw=9, surplus_kw=0)
KWH = 10**6


def order(side, kwh, price=None, *, duration_s=900.0, **more):
    kind, limit = ("market", None) if price is None else ("limit", round(price * 1e6))
    return OrderTerms(side, kind, round(kwh * KWH), duration_s, price_utok_per_kwh=limit, **more)


class Market:
    """An exchange of three homes; each delivers its share of what is asked of it."""

    def __init__(self, tariff=None, rules=None):
        self.exchange = Exchange(("a", "b", "c"), tariff or Tariff(), rules)
        self.now_s = NOW_S
        self.entries = []

    def place(self, meter, *args, home=HOME, **more):
        return self.exchange.place(meter, order(*args, **more), self.now_s, home)

    def run(self, duration_s, *shares, dt_s=60.0, surplus_kw=(0.0, 0.0, 0.0)):
        share = np.array(shares or (1.0, 1.0, 1.0))
        for _ in range(round(duration_s / dt_s)):
            asks = self.exchange.asks(self.now_s, dt_s)
            self.now_s += dt_s
            sold, bought = (powers * (share * dt_s / 3600) for powers in asks)
            self.exchange.settle(self.now_s, dt_s, sold, bought, np.array(surplus_kw) * (dt_s / 3600))
            assert self.exchange.ledger_sum_utok == 0

    def balances(self):
        return (self.exchange.earnings_utok - self.exchange.spending_utok).tolist()

    def journal(self):
        """Return (kind, meter, energy, price, amount) of what was booked since the last call."""
        entries = [entry for entry in self.exchange.take_changes().entries if entry["kind"] != "account"]
        names = ("kind", "meter_id", "energy_mwh", "price_utok_per_kwh", "amount_utok")
        return [tuple(entry[name] for name in names) for entry in entries]


@pytest.fixture
def market():
    return Market()


def test_a_trade_is_two_deliveries(market):
    sell = market.place(0, "sell", 1.5, 0.2, duration_s=1800.0, ttl_s=3600.0)
    buy = market.place(1, "buy", 1, 0.25, duration_s=900.0)
    assert (sell.matched_mwh, buy.matched_mwh) == (KWH, KWH)
    asks = market.exchange.asks(NOW_S, 60)
    assert (asks.sell_kw.tolist(), asks.buy_kw.tolist()) == ([2, 0, 0], [0, 4, 0])
    legs = [*sell.deliveries, *buy.deliveries]
    assert [(leg.trade_id, leg.counterparty, leg.price_utok_per_kwh, leg.came_last) for leg in legs] == [
        ("a.1/1", "b", 200_000, False),
        ("b.1/1", "a", 200_000, True),
    ]
    told = [(event.event_type, event.meter) for event in market.exchange.take_events()]
    assert told == [("order_accepted", 0), ("order_accepted", 1), ("trade", 1), ("trade", 0)]
    (public,) = market.exchange.tape.take()
    assert (public["order_id"], public["counterparty"], public["liquidity"]) == ("b.1", "a", "taker")
    market.run(900)
    assert (buy.status, sell.status) == ("executed", "partially_filled")
    market.run(900)
    assert sell.is_open  # half a kWh of it still waits
    assert market.balances() == [200_000, -200_000, 0]
    assert market.journal() == [
        ("order", "b", -KWH, 200_000, -200_000),
        ("order", "a", KWH // 2, 200_000, 100_000),
        ("order", "a", KWH // 2, 200_000, 100_000),
    ]


def test_what_the_seller_does_not_deliver_it_buys_from_the_utility(market):
    sell, buy = market.place(0, "sell", 1, 0.2), market.place(1, "buy", 1, 0.25)
    market.run(900, 0.25, 1.0, 1.0)
    assert (sell.status, sell.reason, sell.filled_mwh) == ("expired", "delivered_short", 250_000)
    assert buy.status == "executed"
    assert market.journal() == [
        ("order", "a", 250_000, 200_000, 50_000),
        ("imbalance", "a", 750_000, 300_000, -75_000),
        ("order", "b", -KWH, 200_000, -200_000),
    ]
    assert market.balances() == [200_000 - 225_000, -200_000, 0]


def test_what_the_buyer_does_not_take_it_sells_to_the_utility(market):
    market.place(0, "sell", 1, 0.2)
    buy = market.place(1, "buy", 1, 0.25)
    market.run(900, 1.0, 0.0, 1.0)
    assert (buy.status, buy.reason) == ("failed", "nothing_delivered")
    assert market.balances() == [200_000, -200_000 + 80_000, 0]


def test_not_delivering_never_pays():
    market = Market(Tariff(steps=(Step(NOW_S + 300, Quotes(250_000, 100_000)),)))
    market.place(0, "sell", 1, 0.2)
    market.place(1, "buy", 1, 0.25)
    market.run(900, 0.0, 0.0, 1.0)
    assert market.balances() == [0, 0, 0]


def test_an_early_end_costs_nothing_and_leaves_the_other_side_alone(market):
    sell, buy = market.place(0, "sell", 1, 0.2), market.place(1, "buy", 1, 0.25)
    market.run(300)
    market.exchange.cancel(sell.order_id, market.now_s)
    market.run(600)
    assert (sell.status, sell.filled_mwh) == ("cancelled", 333_333)
    assert (buy.status, buy.filled_mwh) == ("executed", KWH)
    assert market.balances() == [66_667, -200_000, 0]
    market.place(0, "sell", 1, 0.2)
    lost = market.place(1, "buy", 1, 0.25)
    market.run(300)
    market.exchange.grid_lost(1, market.now_s)
    market.run(600)
    assert (lost.status, lost.filled_mwh) == ("failed", 333_333)
    assert market.balances() == [66_667 + 200_000, -200_000 - 66_667, 0]


def test_orders_in_parts(market):
    first, second = market.place(0, "sell", 1, 0.2), market.place(2, "sell", 1, 0.21)
    buy = market.place(1, "buy", 3, time_in_force="IOC")
    assert [(leg.counterparty, leg.quantity_mwh, leg.price_utok_per_kwh) for leg in buy.deliveries] == [
        ("a", KWH, 200_000),
        ("c", KWH, 210_000),
        ("utility", KWH, 300_000),
    ]
    assert buy.to_dict()["average_price"] == 0.236667
    market.run(900)
    assert [one.status for one in (first, second, buy)] == ["executed"] * 3
    assert market.balances() == [200_000, -710_000, 210_000]


def test_a_rest_that_runs_out_ends_with_the_delivery(market):
    market.place(0, "sell", 1, 0.2)
    buy = market.place(1, "buy", 2, 0.25, duration_s=1800.0, ttl_s=600.0)
    market.run(600)
    assert (buy.status, buy.dropped) == ("partially_filled", "ttl_elapsed")
    assert market.exchange.depth(5) == ([], [])
    market.run(1200)
    assert (buy.status, buy.reason, buy.filled_mwh) == ("expired", "ttl_elapsed", KWH)


def test_a_closed_market_meets_the_utility_only(market):
    market.place(0, "sell", 1, 0.2)
    buy = market.place(1, "buy", 1, home=HOME._replace(market_enabled=False))
    assert buy.deliveries[0].counterparty == "utility"


def test_the_newer_of_two_orders_that_would_trade_with_each_other_is_cancelled(market):
    older = market.place(0, "sell", 1, 0.2)
    newer = market.place(0, "buy", 1, 0.25)
    assert (newer.status, newer.reason, older.status) == ("cancelled", "self_trade", "accepted")
    market.place(1, "sell", 1, 0.19)
    partly = market.place(0, "buy", 2, 0.25)
    assert (partly.matched_mwh, partly.dropped, partly.is_open) == (KWH, "self_trade", True)


def test_surplus_goes_to_who_pays_more_than_the_utility(market):
    high = market.place(1, "buy", 0.3, 0.2, duration_s=900.0, ttl_s=7200.0)
    low = market.place(2, "buy", 0.3, 0.1, ttl_s=7200.0)
    market.run(960, surplus_kw=(2.0, 0.0, 0.0))
    assert (high.matched_mwh, low.matched_mwh) == (300_000, 200_000)
    assert (high.deliveries[0].counterparty, high.deliveries[0].start_s) == ("a", NOW_S + 960)
    earned = 0.3 * 200_000 + 0.2 * 100_000 + (2 * 60 / 3600) * 80_000
    assert market.balances()[0] == round(earned)
    assert [row for row in market.journal() if row[1] == "a"] == [
        ("surplus", "a", 500_000, 80_000, 40_000),
        ("premium", "a", 0, 120_000, 36_000),
        ("premium", "a", 0, 20_000, 4_000),
    ]


@pytest.mark.parametrize(("price", "code"), [(0.401, "price_out_of_band"), (-0.1, "price_out_of_band"), (-0.05, None)])
def test_the_price_band(price, code):
    market = Market(rules=Rules(floor_utok=-50_000, cap_utok=400_000))
    if code is None:
        assert market.place(0, "buy", 1, price).is_open
        return
    with pytest.raises(CommandError, match=r"-0\.05 to 0\.4 apt/kWh") as caught:
        market.place(0, "buy", 1, price)
    assert (caught.value.code, caught.value.order_id) == (code, "a.1")


def test_the_price_is_the_middle_of_the_best_offers_until_there_is_a_trade(market):
    market.place(0, "sell", 1, 0.2)
    market.place(1, "buy", 1, 0.1)
    assert market.exchange.best(NOW_S) == Quotes(100_000, 200_000)
    assert market.exchange.current_price_utok(NOW_S) == 150_000
    market.place(2, "buy", 1, 0.2)
    assert market.exchange.current_price_utok(NOW_S) == 200_000
    (candle,) = market.exchange.tape.candles(10)
    assert (candle["open"], candle["volume_kwh"], candle["trades"]) == (0.2, 1, 1)


def test_a_book_survives_a_restart(market):
    market.place(0, "sell", 2, 0.2, time_in_force="GTC")
    market.place(2, "sell", 2, 0.2, time_in_force="GTC")
    market.place(1, "buy", 1, 0.25)
    market.run(1800)
    exchange, changes = market.exchange, market.exchange.take_changes()
    again = Exchange(("a", "b", "c"), Tariff())
    again.restore(
        *json.loads(json.dumps(changes)), exchange.surplus_state(), json.loads(json.dumps(exchange.tape.state()))
    )
    assert again.depth(9) == exchange.depth(9)
    trades = []
    for one in (exchange, again):
        one.take_events()
        one.place(1, order("buy", 2.5, 0.3), market.now_s, HOME)
        trades.append([event.data for event in one.take_events()])
    assert trades[0] == trades[1]
    assert [fill["counterparty"] for fill in trades[0][1::2]] == ["a", "c"]


def test_the_worked_example_of_the_documentation(market):
    sell, buy = market.place(0, "sell", 1, 0.20), market.place(1, "buy", 1, 0.25)
    market.run(900, 0.7, 0.95, 1.0)
    page = Path(__file__).parents[2].joinpath("docs", "market.md").read_text("utf-8")
    example = re.search("<!-- example -->(.*)<!-- end of example -->", page, re.DOTALL)[1]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in example.strip().splitlines()[2:]]
    booked = [(name, energy, price, amount) for _, name, energy, price, amount in market.journal()]
    assert booked == [(name, *(int(n.replace(",", "")) for n in numbers)) for name, _, *numbers in lines]
    assert (sell.status, buy.status) == ("expired", "expired")
    assert market.balances() == [110_000, -196_000, 0]
    _, received, paid = market.exchange.accounts()[0]
    assert received - paid == 86_000
