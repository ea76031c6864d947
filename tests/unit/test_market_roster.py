import pytest

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market import roster as market_roster
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.roster import MOST_OPEN, Roster

BUY = OrderTerms("buy", "market", 10**6, 900)


def ended(roster, order, now_s):
    order.end("cancelled", now_s, "requested")
    roster.ended(order)


def sell(quantity_mwh, client_order_id=None):
    return OrderTerms("sell", "market", quantity_mwh, 900, client_order_id=client_order_id)


def test_orders_are_numbered_by_meter():
    roster = Roster(("a", "b-1"))
    ids = [roster.new_order(meter, BUY, 0, 5).order_id for meter in (0, 1, 0)]
    assert ids == ["a.1", "b-1.1", "a.2"]
    assert roster.pending.tolist() == [2, 1]
    assert [order.order_id for order in roster.open_orders(0)] == ["a.1", "a.2"]


def test_a_sell_reserves_what_other_open_sells_left():
    roster = Roster(("a",))
    orders = [roster.new_order(0, terms, 0, 2.0) for terms in (sell(1_500_000), BUY, sell(10**6), sell(10**6))]
    assert [order.reserved_mwh for order in orders] == [1_500_000, 0, 500_000, 0]
    ended(roster, orders[0], 0)
    assert roster.new_order(0, sell(10**6), 0, 2.0).reserved_mwh == 10**6


def test_the_number_of_open_orders_is_limited_by_meter():
    roster = Roster(("a", "b"))
    orders = [roster.new_order(0, BUY, 0, 5) for _ in range(MOST_OPEN)]
    with pytest.raises(CommandError, match=f"{MOST_OPEN} open orders") as caught:
        roster.new_order(0, BUY, 0, 5)
    assert caught.value.code == "too_many_orders"
    roster.new_order(1, BUY, 0, 5)
    ended(roster, orders[0], 0)
    assert roster.new_order(0, BUY, 0, 5).order_id == f"a.{MOST_OPEN + 1}"


@pytest.mark.parametrize(
    "order_id", ["a.1", "a.0", "a.01", "a.-1", "a.x", "a.", "a", "", "b.1", "a.²", "a." + "9" * 400]
)
def test_unknown_orders(order_id):
    roster = Roster(("a",))
    assert not roster.is_forgotten(order_id)
    with pytest.raises(CommandError) as caught:
        roster.find(order_id)
    assert caught.value.code == "unknown_order"


def test_ended_orders_are_remembered_a_while(monkeypatch):
    monkeypatch.setattr(market_roster, "KEPT", 2)
    monkeypatch.setattr(market_roster, "KEPT_LATELY", 4)
    roster = Roster(("a",))

    def known():
        return [order.number for order in roster]

    for now_s in (0, 0, 0, 3600, 3600):
        ended(roster, roster.new_order(0, sell(10**6, client_order_id=f"c{now_s}"), now_s, 5), now_s)
    assert known() == [2, 3, 4, 5]
    ended(roster, roster.new_order(0, BUY, 3601, 5), 3601)
    assert known() == [4, 5, 6]
    ended(roster, roster.new_order(0, BUY, 9999, 5), 9999)
    assert known() == [6, 7]
    assert roster.is_forgotten("a.5")
    assert not roster.is_forgotten("a.6")
    assert not roster.is_forgotten("a.8")
    assert roster.of_client(0, "c0") is None
    assert roster.of_client(0, None) is None
