from wattswap_mqtt.core.market.orders import Order, OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes
from wattswap_mqtt.core.market.resting import Resting

QUOTES, OTHER = Quotes(80_000, 300_000), Quotes(90_000, 290_000)


def order(number, *, meter=0, ttl_s=600.0, force="GTD"):
    terms = OrderTerms("buy", "limit", 1, 1, price_utok_per_kwh=1, ttl_s=ttl_s, time_in_force=force)
    return Order(f"m{meter}.{number}", f"m{meter}", meter, number, terms, created_s=0)


def test_orders_are_tried_again_when_the_quotes_change():
    resting = Resting()
    first, second = order(1), order(2)
    resting.add(first, QUOTES)
    resting.add(second, QUOTES)
    assert resting.to_try(QUOTES) == []
    assert resting.to_try(OTHER) == [first, second]
    assert resting.to_try(OTHER) == []
    assert resting.to_try(QUOTES) == [first, second]


def test_the_first_to_wait_is_not_taken_for_tried_against_what_held_long_before():
    resting = Resting()
    resting.add(gone := order(1), QUOTES)
    resting.drop(gone)
    resting.add(again := order(2), OTHER)
    assert resting.to_try(QUOTES) == [again]


def test_restored_orders_are_tried_once():
    resting = Resting()
    resting.add(one := order(1), None)
    assert resting.to_try(QUOTES) == [one]
    assert resting.to_try(QUOTES) == []


def test_time_runs_out_for_those_that_have_a_date_and_still_wait():
    resting = Resting()
    late, soon, gone, forever = order(1, ttl_s=20), order(2, ttl_s=10), order(3, ttl_s=5), order(4, force="GTC")
    for one in (late, soon, gone, forever):
        resting.add(one, QUOTES)
    resting.drop(gone)
    assert resting.expired(9.9) == []
    assert resting.expired(20) == [soon, late]
    assert resting.expired(1e12) == []


def test_orders_by_meter():
    resting = Resting()
    resting.add(mine := order(1), QUOTES)
    resting.add(order(1, meter=1), QUOTES)
    assert resting.of(0) == [mine]
    assert len(resting) == 2
