import pytest

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.entry import Home, Rules, answer_again, refusal
from wattswap_mqtt.core.market.orders import Order, OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes

QUOTES = Quotes(80_000, 300_000)
HOME = Home(grid_connected=True, market_enabled=False, available_discharge_kwh=5, p_max_discharge_kw=3, surplus_kw=0)


def code(terms, **home):
    refused = refusal(terms, QUOTES, HOME._replace(**home), Rules())
    return None if refused is None else refused.code


def limit(side, price, force="GTD"):
    return OrderTerms(side, "limit", 10**6, 3600, price_utok_per_kwh=price, time_in_force=force)


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_off_grid_nothing_is_accepted(side):
    assert code(OrderTerms(side, "market", 10**6, 900), grid_connected=False) == "grid_disconnected"


def test_a_closed_market_takes_what_meets_the_utility_at_once():
    assert code(limit("sell", 80_000)) is None
    assert code(limit("sell", 80_001)) == "market_disabled"
    assert code(limit("buy", 299_999, "GTC")) == "market_disabled"
    assert code(limit("buy", 299_999, "IOC")) is None
    assert code(limit("buy", 299_999), market_enabled=True) is None


def test_a_closed_market_says_the_price():
    assert "0.08 apt/kWh" in refusal(limit("sell", 90_000), QUOTES, HOME, Rules()).message


@pytest.mark.parametrize(
    ("home", "deliverable_kwh"),
    [
        ({}, 0.75),
        ({"available_discharge_kwh": 0.1}, 0.1),
        ({"available_discharge_kwh": 0, "surplus_kw": 2}, 0.5),
        ({"available_discharge_kwh": 0, "surplus_kw": -2}, 0),
        ({"surplus_kw": 1}, 1.0),
        ({"available_discharge_kwh": 0, "surplus_kw": 2, "p_max_charge_kw": 3, "hours_to_reserve": 1}, 0),
        ({"available_discharge_kwh": 0, "surplus_kw": 4, "p_max_charge_kw": 3, "hours_to_reserve": 1}, 0.25),
        ({"available_discharge_kwh": 0, "surplus_kw": 2, "p_max_charge_kw": 3, "hours_to_reserve": 0.1}, 0.3),
    ],
)
def test_what_a_home_can_sell_in_a_quarter_hour(home, deliverable_kwh):
    assert HOME._replace(**home).deliverable_kwh(900) == pytest.approx(deliverable_kwh)


def test_the_minimum_fill_has_to_be_within_reach_of_a_sell():
    sell = OrderTerms("sell", "market", 1_500_000, 900, min_fill_mwh=800_000)
    refused = refusal(sell, QUOTES, HOME, Rules())
    assert refused.code == "min_fill"
    assert "0.75 kWh in 900 s" in refused.message
    assert "0.8 kWh" in refused.message
    assert code(sell, surplus_kw=0.2) is None
    assert code(OrderTerms("buy", "market", 1_500_000, 900, min_fill_mwh=800_000)) is None


def test_a_minimum_fill_above_the_quantity_means_all_of_it():
    assert code(OrderTerms("sell", "market", 50_000, 900, min_fill_mwh=100_000), available_discharge_kwh=0.06) is None


def test_the_same_again_is_answered_the_same():
    terms = OrderTerms("sell", "market", 10**6, 900, client_order_id="a")
    known = Order("m.1", "m", 0, 1, terms, created_s=0)
    assert answer_again(known, terms) is known
    known.end("failed", 0, "min_fill", "too little")
    with pytest.raises(CommandError, match="too little") as caught:
        answer_again(known, terms)
    assert (caught.value.code, caught.value.order_id) == ("min_fill", "m.1")


def test_the_same_id_for_something_else_is_refused():
    known = Order("m.1", "m", 0, 1, OrderTerms("sell", "market", 10**6, 900, client_order_id="a"), created_s=0)
    with pytest.raises(CommandError, match=r"m\.1") as caught:
        answer_again(known, OrderTerms("sell", "market", 10**6, 901, client_order_id="a"))
    assert (caught.value.code, caught.value.order_id) == ("client_order_id_reused", None)
