import numpy as np
import pytest
from homes import community, counted, market_order, powers, restarted, set_home

from wattswap_mqtt.core.market.bots import ROUND_S, bot_ids, price_level
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes, Tariff

QUOTES = Quotes(80_000, 300_000)


def with_bots(bots=6, seed=1, **switches):
    homes = community(seed=seed, bots=bots)
    homes.set_switches(0, {"market_enabled": True, **switches})
    return homes


@pytest.mark.parametrize(
    ("surplus", "deficit", "price"), [(0, 2, 300_000), (1, 2, 190_000), (2, 2, 80_000), (9, 0, 80_000)]
)
def test_the_price_of_supply_and_demand(surplus, deficit, price):
    assert price_level(QUOTES, surplus, deficit) == price


def test_a_lone_meter_finds_both_sides_as_soon_as_it_opens_its_market():
    homes = with_bots()
    bid, ask = homes.exchange.best(homes.clock_s)
    assert QUOTES.bid_utok < bid < ask < QUOTES.ask_utok
    buy = homes.place(0, market_order("buy", 0.1, 900))
    assert buy.deliveries[0].counterparty in bot_ids(6)
    homes.advance(900)
    assert buy.status == "executed"
    assert -30_000 < buy.amount_utok < -8_000
    assert homes.exchange.ledger_sum_utok == 0


def test_bots_stand_in_no_array_and_in_no_event():
    homes = with_bots()
    homes.place(0, market_order("buy", 0.5, 900))
    homes.advance(60)
    exchange = homes.exchange
    assert exchange.earnings_utok.shape == exchange.pending_counts().shape == (1,)
    assert {event.meter for event in homes.take_events()} == {0}
    assert exchange.tape.take()
    homes.read()


def test_a_closed_market_has_no_bots():
    homes = community(bots=6)
    homes.advance(2 * ROUND_S)
    assert homes.exchange.depth(9) == ([], [])


def test_bots_have_nothing_to_say_between_quotes_that_cross():
    homes = community(bots=6, tariff=Tariff(import_utok_per_kwh=80_000, feed_in_utok_per_kwh=80_000))
    homes.set_switches(0, {"market_enabled": True})
    homes.advance(ROUND_S)
    assert homes.exchange.depth(9) == ([], [])


def test_the_same_seed_gives_the_same_market_and_another_one_another():
    def day(seed):
        homes = with_bots(seed=seed)
        homes.advance(7200)
        return homes.exchange.tape.candles(9), homes.exchange.depth(9)

    assert day(1) == day(1)
    assert day(1) != day(2)


def test_the_market_goes_on_after_a_restart_as_if_nothing_had_happened():
    homes = with_bots()
    homes.advance(1000)
    again = restarted(homes, bots=6)
    for one in (homes, again):
        one.place(0, OrderTerms("sell", "limit", 10**6, 900, price_utok_per_kwh=150_000, time_in_force="GTC"))
        one.advance(5000)
    assert again.exchange.depth(9) == homes.exchange.depth(9)
    assert again.exchange.tape.state() == homes.exchange.tape.state()
    np.testing.assert_array_equal(again.exchange.earnings_utok, homes.exchange.earnings_utok)


def test_a_home_below_its_reserve_buys_what_fills_it():
    homes = community("demo_meter", "b", auto_buy_utok=200_000, start_s=1_782_036_000.0 - 3)
    set_home(homes, 0, soc=30, load=2.0, market_enabled=True, battery_reserve_pct=50.0)
    set_home(homes, 1, soc=90, load=0.5, market_enabled=True, sun_mode="manual")
    sell = homes.place(1, OrderTerms("sell", "limit", 10**6, 900, price_utok_per_kwh=150_000, time_in_force="GTC"))
    homes.advance(3)
    (bid,) = homes.exchange.open_orders(0)
    assert (bid.terms.side, bid.deliveries[0].counterparty, bid.deliveries[0].quantity_mwh) == ("buy", "b", 750_000)
    homes.advance(1)
    assert powers(homes)["charge"] == pytest.approx(3.0)
    homes.advance(899)
    assert bid.status == "executed"
    assert sell.filled_mwh == pytest.approx(750_000, abs=1000)
    assert homes.exchange.spending_utok[0] == 112_500
    assert counted(homes)["imported"] > 0.75


def test_without_the_option_nobody_buys_by_himself():
    homes = community(start_s=1_782_036_000.0 - 3)
    set_home(homes, 0, soc=30, market_enabled=True, battery_reserve_pct=50.0)
    homes.advance(6)
    assert homes.exchange.open_orders(0) == []
