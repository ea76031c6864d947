import json

import numpy as np
import pytest

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.entry import Home
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes, Step, Tariff
from wattswap_mqtt.core.market.roster import MOST_OPEN

NOW_S = 1_800_000_000.0
CLOSED = Home(grid_connected=True, market_enabled=False, available_discharge_kwh=5, p_max_discharge_kw=3, surplus_kw=0)
OPEN = CLOSED._replace(market_enabled=True)
SELL = OrderTerms("sell", "market", 1_500_000, 900)
BUY = OrderTerms("buy", "market", 1_000_000, 3600)
NONE = np.zeros(2)


def limit(side="buy", price=200_000, **terms):
    return OrderTerms(side, "limit", 10**6, 3600, price_utok_per_kwh=price, **terms)


class Market:
    """An exchange of two homes that deliver a share of what is asked of them."""

    def __init__(self, tariff=None):
        self.exchange = Exchange(("demo_meter", "meter_00002"), tariff or Tariff())
        self.now_s = NOW_S

    def place(self, terms, meter=0, home=OPEN):
        return self.exchange.place(meter, terms, self.now_s, home)

    def refused(self, terms, meter=0, home=OPEN):
        with pytest.raises(CommandError) as caught:
            self.place(terms, meter, home)
        return caught.value

    def run(self, duration_s, *, share=1.0, dt_s=60.0, surplus_kw=NONE):
        for _ in range(round(duration_s / dt_s)):
            asks = self.exchange.asks(self.now_s, dt_s)
            self.now_s += dt_s
            sold, bought = (powers * (share * dt_s / 3600) for powers in asks)
            self.exchange.settle(self.now_s, dt_s, sold, bought, surplus_kw * (dt_s / 3600))
            assert self.exchange.ledger_sum_utok == 0

    def events(self):
        return [event.event_type for event in self.exchange.take_events()]

    def balance(self, meter=0):
        return int((self.exchange.earnings_utok - self.exchange.spending_utok)[meter])


@pytest.fixture
def market():
    return Market()


def test_a_sale_from_acceptance_to_execution(market):
    assert not market.exchange.delivering
    order = market.place(SELL, home=CLOSED)
    assert market.exchange.delivering
    assert (order.order_id, order.status, order.reserved_mwh) == ("demo_meter.1", "accepted", 1_500_000)
    assert market.events() == ["order_accepted", "trade"]
    assert market.exchange.asks(market.now_s, 1).sell_kw.tolist() == [6, 0]
    market.run(60)
    assert order.status == "partially_filled"
    assert market.exchange.pending_counts().tolist() == [1, 0]
    market.run(840)
    assert (order.status, order.filled_mwh, order.amount_utok) == ("executed", 1_500_000, 120_000)
    assert market.events() == ["order_partially_filled", "order_executed"]
    assert market.exchange.earnings_utok.tolist() == [120_000, 0]
    assert market.exchange.pending_counts().tolist() == [0, 0]
    assert market.exchange.asks(market.now_s, 1).sell_kw.tolist() == [0, 0]


def test_a_purchase_costs_the_import_tariff(market):
    order = market.place(BUY)
    market.run(3600)
    assert (order.status, order.amount_utok, market.balance()) == ("executed", -300_000, -300_000)
    assert market.exchange.spending_utok.tolist() == [300_000, 0]


def test_what_is_not_delivered_is_neither_paid_nor_owed(market):
    order = market.place(SELL)
    market.run(900, share=0.5)
    assert (order.status, order.reason, order.filled_mwh) == ("expired", "delivered_short", 750_000)
    assert order.to_dict()["remaining_kwh"] == 0.75
    assert market.balance() == 60_000


def test_nothing_delivered_is_a_failure(market):
    order = market.place(SELL)
    market.run(900, share=0)
    assert (order.status, order.reason, market.balance()) == ("failed", "nothing_delivered", 0)


def test_orders_end_the_same_way_under_acceleration():
    ends = []
    for dt_s in (1.0, 60.0):
        market = Market()
        order = market.place(OrderTerms("sell", "market", 1_234_567, 890))
        market.run(960, share=0.9, dt_s=dt_s)
        ends.append((order.status, order.reason, order.filled_mwh, market.balance()))
    assert ends[0] == ends[1]


def test_events_tell_their_order(market):
    market.place(SELL)
    accepted, traded = market.exchange.take_events()
    assert (accepted.meter, accepted.timestamp_s) == (0, NOW_S)
    assert accepted.data["order_id"] == "demo_meter.1"
    assert accepted.data["quantity_kwh"] == 1.5
    assert traded.data == market.exchange.tape.last
    assert traded.data["price"] == 0.08
    assert json.dumps([accepted.data, traded.data])


def test_off_grid_an_order_fails_and_is_kept(market):
    error = market.refused(BUY, home=CLOSED._replace(grid_connected=False))
    assert (error.code, error.order_id) == ("grid_disconnected", "demo_meter.1")
    order = market.exchange.get("demo_meter.1")
    assert (order.status, order.reason, order.amount_utok) == ("failed", "grid_disconnected", 0)
    assert market.events() == ["order_failed"]
    assert market.exchange.pending_counts().tolist() == [0, 0]


def test_a_closed_market_keeps_no_order_waiting(market):
    error = market.refused(limit(), home=CLOSED)
    assert (error.code, error.order_id) == ("market_disabled", "demo_meter.1")
    assert market.place(limit(price=300_000), home=CLOSED).matched_mwh == 10**6


def test_a_sell_beyond_all_means_is_refused(market):
    error = market.refused(SELL, home=OPEN._replace(available_discharge_kwh=0.05))
    assert (error.code, error.order_id) == ("min_fill", "demo_meter.1")
    assert market.exchange.get("demo_meter.1").message == error.message


@pytest.mark.parametrize("force", ["IOC", "FOK"])
def test_what_does_not_wait_ends_at_once(market, force):
    order = market.place(limit(time_in_force=force), home=CLOSED)
    assert (order.status, order.reason) == ("expired", "unmatched")
    assert market.events() == ["order_accepted", "order_expired"]
    assert market.place(limit(price=300_000, time_in_force=force)).matched_mwh == 10**6


def test_an_unmatched_order_waits_until_its_date(market):
    order, forever = market.place(limit(ttl_s=600)), market.place(limit(time_in_force="GTC", ttl_s=600))
    market.run(540)
    assert order.is_open
    market.run(60)
    assert (order.status, order.reason, order.ended_s) == ("expired", "ttl_elapsed", NOW_S + 600)
    market.run(86_400, dt_s=600)
    assert forever.status == "accepted"


def test_a_waiting_order_is_matched_when_the_tariff_moves():
    market = Market(Tariff(steps=(Step(NOW_S + 300, Quotes(205_000, 190_000)), Step(NOW_S + 600, Quotes(1, 2)))))
    buy, sell, other = (
        market.place(limit()),
        market.place(limit("sell", 201_000), 1),
        market.place(limit(price=150_000)),
    )
    market.run(300)
    assert [order.matched_mwh for order in (buy, sell, other)] == [10**6, 10**6, 0]
    assert buy.deliveries[0].start_s == NOW_S + 300
    assert market.exchange.current_price_utok(market.now_s) == 205_000
    market.run(3600)
    assert (buy.status, buy.amount_utok) == ("executed", -190_000)
    assert (sell.status, sell.amount_utok) == ("executed", 205_000)


def test_time_in_force_does_not_end_a_delivery(market):
    order = market.place(OrderTerms("buy", "market", 10**6, 3600, ttl_s=60, time_in_force="GTD"))
    market.run(3600)
    assert order.status == "executed"


def test_the_price_is_the_last_trade_or_the_middle(market):
    assert market.exchange.tape.last is None
    assert market.exchange.current_price_utok(NOW_S) == 190_000
    market.place(BUY)
    assert market.exchange.current_price_utok(NOW_S) == 300_000


def test_cancelling_a_delivery_keeps_what_was_delivered(market):
    order = market.place(SELL)
    market.run(300)
    assert market.exchange.cancel(order.order_id, market.now_s) is order
    assert (order.status, order.reason, order.filled_mwh) == ("cancelled", "requested", 500_000)
    market.run(600)
    assert (order.filled_mwh, market.balance()) == (500_000, 40_000)


def test_only_open_orders_can_be_cancelled(market):
    order = market.place(limit())
    market.exchange.cancel(order.order_id, NOW_S)
    for order_id, code in ((order.order_id, "order_ended"), ("demo_meter.2", "unknown_order"), ("#", "unknown_order")):
        with pytest.raises(CommandError) as caught:
            market.exchange.cancel(order_id, NOW_S)
        assert caught.value.code == code


def test_an_order_forgotten_long_ago_has_ended(market):
    market.place(limit())
    _, entries = market.exchange.take_changes()
    restored = Exchange(("demo_meter",), Tariff())
    restored.restore([], entries)
    with pytest.raises(CommandError) as caught:
        restored.cancel("demo_meter.1", NOW_S)
    assert caught.value.code == "order_ended"


def test_the_lost_grid_ends_every_open_order_of_the_home(market):
    mine, waiting, other = market.place(SELL), market.place(limit()), market.place(SELL, 1)
    market.run(300)
    market.exchange.grid_lost(0, market.now_s)
    assert [(order.status, order.reason) for order in (mine, waiting)] == [("failed", "grid_disconnected")] * 2
    assert (mine.filled_mwh, market.balance(), other.status) == (500_000, 40_000, "partially_filled")


def test_a_closing_market_ends_what_waits_and_not_what_is_delivered(market):
    delivering, waiting, other = market.place(SELL), market.place(limit()), market.place(limit(), 1)
    market.exchange.market_closed(0, market.now_s)
    assert (waiting.status, waiting.reason) == ("cancelled", "market_disabled")
    assert delivering.is_open
    assert other.is_open


def test_a_scenario_ends_every_open_order_of_the_home(market):
    orders = [market.place(SELL), market.place(limit())]
    market.exchange.scenario_set(0, market.now_s)
    assert [(order.status, order.reason) for order in orders] == [("cancelled", "scenario")] * 2
    assert market.exchange.open_orders(0) == []


def test_a_client_may_ask_twice(market):
    terms = OrderTerms("sell", "market", 10**6, 900, client_order_id="once")
    order = market.place(terms)
    assert market.place(terms) is order
    assert market.place(terms, meter=1) is not order
    market.run(900)
    assert market.place(terms) is order
    error = market.refused(OrderTerms("sell", "market", 2 * 10**6, 900, client_order_id="once"))
    assert (error.code, error.order_id) == ("client_order_id_reused", None)


def test_a_refused_order_is_refused_again(market):
    terms = limit(client_order_id="once")
    first, second = market.refused(terms, home=CLOSED), market.refused(terms)
    assert (second.code, second.message, second.order_id) == (first.code, first.message, first.order_id)


def test_one_meter_cannot_flood_the_market(market):
    for _ in range(MOST_OPEN):
        market.place(limit())
    error = market.refused(limit())
    assert (error.code, error.order_id) == ("too_many_orders", None)


def test_orders_of_a_meter_are_remembered_newest_first(market):
    market.place(SELL, 1)
    first, second = market.place(SELL), market.place(limit(client_order_id="a"))
    market.run(900)
    third = market.place(BUY)
    assert market.exchange.orders(0) == [third, second, first]
    assert market.exchange.open_orders(0) == [third]


def test_surplus_is_sold_by_itself(market):
    market.run(1800, surplus_kw=np.array([0.0, 2.0]))
    assert market.exchange.earnings_utok.tolist() == [0, 80_000]
    _, entries = market.exchange.take_changes()
    assert [(entry["entry_id"], entry["amount_utok"]) for entry in entries] == [
        (f"meter_00002@{NOW_S:.3f}", 40_000),
    ]


def test_executions_are_told_by_the_quarter_hour(market):
    market.now_s += 300
    order = market.place(BUY)
    market.run(1800)
    assert [(part["timestamp"][11:19], part["quantity_kwh"]) for part in order.to_dict()["executions"]] == [
        ("08:05:00", 0.166667),
        ("08:15:00", 0.25),
        ("08:30:00", 0.083333),
    ]


def test_changes_are_what_changed(market):
    changes = market.exchange.take_changes
    assert changes() == ([], [])
    market.place(SELL)
    market.place(limit(), 1)
    orders, entries = changes()
    assert [row["order_id"] for row in orders] == ["demo_meter.1", "meter_00002.1"]
    assert [row["entry_id"] for row in entries] == ["demo_meter", "meter_00002"]
    market.run(60)
    market.run(120)
    orders, entries = changes()
    assert [row["order_id"] for row in orders] == ["demo_meter.1"]
    assert [row["entry_id"] for row in entries] == ["demo_meter"]
    delivered = market.exchange.under_way()
    market.run(60)
    assert changes() == ([], [])  # what is delivered from one sub-step to the next costs no row
    assert market.exchange.under_way()["demo_meter.1/1"] > delivered["demo_meter.1/1"]


def test_rows_of_meters_that_are_no_more_are_left_alone(market):
    market.place(SELL, 1)
    market.run(60)
    alone = Exchange(("demo_meter",), Tariff())
    alone.restore(*market.exchange.take_changes())
    assert alone.orders(0) == []
    assert alone.ledger_sum_utok == 0
