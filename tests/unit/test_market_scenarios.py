"""The scenarios that are about the market, played with their orders over the core."""

import pytest
from homes import SUNRISE_S, community, counted, market_order, named, powers, reading, set_home, soc_of

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import OrderTerms

QUARTER_S = 900.0


def limit_order(side, kwh, price, duration_s=QUARTER_S, **more):
    price_utok = round(price * 1e6)
    return OrderTerms(
        side, "limit", round(kwh * 1e6), duration_s, price_utok_per_kwh=price_utok, min_fill_mwh=0, **more
    )


def in_scenario(name, *more_ids, **more):
    homes = community("demo_meter", *more_ids, **more)
    homes.set_scenario(0, named(name))
    return homes


def neighbour(homes, **switches):
    """Let the second home take part, with a full battery and next to no load, at night."""
    set_home(homes, 1, soc=100, load=0.0, market_enabled=True, sun_mode="manual", battery_reserve_pct=0.0, **switches)


def test_5_surplus_is_sold_by_itself_and_an_order_comes_first():
    homes = in_scenario("market-selling")
    homes.advance(QUARTER_S)
    assert homes.exchange.earnings_utok[0] == pytest.approx(1.5 * 0.25 * 80_000, rel=0.01)
    assert counted(homes)["co2_saved"] > 0
    sell = homes.place(0, market_order("sell", 0.5, QUARTER_S))
    homes.advance(1)
    assert powers(homes)["grid_export"] == pytest.approx(2.0)
    homes.advance(QUARTER_S)
    assert sell.status == "executed"


def test_6_a_purchase_charges_the_battery_cheaper_from_a_neighbour():
    homes = in_scenario("market-buying", "meter_00002")
    neighbour(homes)
    homes.place(1, limit_order("sell", 0.5, 0.12, ttl_s=3600.0))
    buy = homes.place(0, market_order("buy", 0.75, QUARTER_S))
    soc = soc_of(homes)
    homes.advance(QUARTER_S)
    assert (buy.status, buy.to_dict()["average_price"]) == ("executed", 0.18)
    assert homes.exchange.spending_utok[0] == 500_000 * 0.12 + 250_000 * 0.3
    assert homes.exchange.earnings_utok[1] == 60_000
    assert soc_of(homes) > soc
    assert homes.exchange.ledger_sum_utok == 0


def test_8_the_reserve_comes_before_a_sale_and_can_be_bought():
    homes = in_scenario("full-optimization", auto_buy_utok=310_000)
    with pytest.raises(CommandError) as refused:
        homes.place(0, market_order("sell", 0.25, QUARTER_S, 0.1))  # the sun gives as much, but to the reserve
    assert refused.value.code == "min_fill"
    assert homes.place(0, market_order("sell", 0.25, 4 * 3600, 0.1)).status == "accepted"
    homes.advance(QUARTER_S + 1)
    bought = [order for order in homes.exchange.orders(0) if order.terms.side == "buy"]
    assert bought
    assert bought[0].deliveries[0].counterparty == "utility"


def test_9_off_grid_every_order_fails_and_nothing_is_spent():
    homes = in_scenario("grid-failure")
    for terms in (market_order("buy", 1.0, QUARTER_S), limit_order("buy", 1.0, 0.2)):
        with pytest.raises(CommandError) as refused:
            homes.place(0, terms)
        assert refused.value.code == "grid_disconnected"
    homes.advance(QUARTER_S)
    assert homes.exchange.spending_utok[0] == 0


def test_14_a_limit_order_waits_until_its_price_is_met():
    homes = in_scenario("market-selling", "meter_00002")
    set_home(homes, 1, soc=20, load=0.5, market_enabled=True, sun_mode="manual")
    sell = homes.place(0, limit_order("sell", 0.5, 0.15, time_in_force="GTC"))
    homes.advance(QUARTER_S)
    assert (sell.status, sell.matched_mwh) == ("accepted", 0)
    buy = homes.place(1, limit_order("buy", 0.5, 0.16))
    assert sell.deliveries[0].price_utok_per_kwh == 150_000
    homes.advance(QUARTER_S)
    assert (sell.status, buy.status, sell.amount_utok, buy.amount_utok) == ("executed", "executed", 75_000, -75_000)


def test_15_a_scheduled_ev_waits_for_its_window_and_a_purchase_does_not_feed_it():
    homes = community("demo_meter", start_s=1_782_036_000.0)  # noon
    set_home(homes, 0, soc=60, load=2.0, market_enabled=True, ev_plug=True, ev_mode="scheduled")
    homes.place(0, market_order("buy", 0.25, QUARTER_S))
    homes.advance(SUNRISE_S)
    assert powers(homes)["ev"] == 0.0
    homes.advance(11.5 * 3600)  # half past eleven at night
    assert powers(homes)["ev"] == pytest.approx(3.0)


def test_16_everything_at_once():
    homes = community("demo_meter")
    set_home(homes, 0, soc=80, load=2.0, daytime=True, market_enabled=True, ev_plug=True, ev_mode="fast")
    homes.set_switches(0, {"manual_load_delta_kw": 1.5})
    homes.advance(SUNRISE_S)
    with pytest.raises(CommandError) as refused:
        homes.place(0, market_order("sell", 90, 60, 9))
    assert refused.value.code == "min_fill"
    sell = homes.place(0, market_order("sell", 0.25, QUARTER_S))
    homes.advance(QUARTER_S)
    balance = powers(homes)
    given = balance["pv"] + balance["discharge"] + balance["grid_import"] + balance["unserved"]
    assert given == pytest.approx(balance["load"] + balance["charge"] + balance["grid_export"], abs=1e-9)
    assert (sell.status, sell.reason) == ("failed", "nothing_delivered")  # house and EV take more than the sun gives
    assert reading(homes)["derived.system_status"] == "EV fast charging from solar"


def test_the_same_orders_end_the_same_way_under_acceleration():
    ends = []
    for acceleration in (1.0, 60.0, 3600.0):
        homes = in_scenario("market-selling", "meter_00002", start_s=1_782_036_000.0)
        set_home(homes, 1, soc=20, load=0.5, market_enabled=True, sun_mode="manual")
        homes.set_switches(0, {"time_acceleration": acceleration})
        homes.advance(7.25)
        orders = [
            homes.place(0, limit_order("sell", 1.0, 0.15, ttl_s=1200.0)),
            homes.place(1, limit_order("buy", 0.6, 0.16)),
            homes.place(0, market_order("sell", 0.2, 600)),
            homes.place(1, limit_order("buy", 0.3, 0.1, ttl_s=1800.0)),
        ]
        homes.advance(3600)
        ends.append([(order.status, order.matched_mwh, order.ended_s) for order in orders])
    assert ends[0] == ends[1] == ends[2]
