import numpy as np
import pytest

from wattswap_mqtt.core.market.delivery import MOST_SLICES, Deliveries, Delivery


def delivery(meter=0, number=1, *, side="sell", kwh=1.0, start_s=0.0, duration_s=3600.0, price=80_000):
    return Delivery(
        trade_id=f"m{meter}.{number}/1",
        order_id=f"m{meter}.{number}",
        meter=meter,
        number=number,
        side=side,
        quantity_mwh=round(kwh * 1e6),
        price_utok_per_kwh=price,
        counterparty="utility",
        start_s=start_s,
        end_s=start_s + duration_s,
    )


def under_way(*some):
    deliveries = Deliveries(2)
    for one in some:
        deliveries.add(one)
    return deliveries


def step(deliveries, now_s, dt_s, *, share=1.0):
    """Deliver a share of what is asked."""
    asks = deliveries.asks(now_s, dt_s)
    return deliveries.settle(now_s + dt_s, dt_s, *(kw * (dt_s / 3600 * share) for kw in asks))


def test_nothing_under_way_asks_for_nothing_and_may_not_be_written_to():
    asks = Deliveries(3).asks(0, 1)
    assert asks.sell_kw.tolist() == asks.buy_kw.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        asks.sell_kw[0] = 1


def test_power_is_quantity_over_duration():
    asks = under_way(delivery(kwh=1.5, duration_s=900), delivery(1, side="buy", kwh=2)).asks(0, 1)
    assert asks.sell_kw.tolist() == [6, 0]
    assert asks.buy_kw.tolist() == [0, 2]


@pytest.mark.parametrize(("now_s", "mean_kw"), [(-100, 0), (-30, 3), (0, 6), (870, 3), (900, 0), (1000, 0)])
def test_a_sub_step_that_overlaps_the_window_in_part_asks_for_its_part(now_s, mean_kw):
    assert under_way(delivery(kwh=1.5, duration_s=900)).asks(now_s, 60).sell_kw[0] == pytest.approx(mean_kw)


def test_a_window_within_a_sub_step_is_delivered_whole():
    deliveries = under_way(one := delivery(kwh=0.1, start_s=20, duration_s=10))
    assert deliveries.asks(0, 60).sell_kw[0] == pytest.approx(6)
    settled = step(deliveries, 0, 60)
    assert settled.over == [one]
    assert one.filled_mwh == 100_000


def test_it_never_catches_up():
    deliveries = under_way(one := delivery())
    step(deliveries, 0, 1800, share=0)
    assert deliveries.asks(1800, 60).sell_kw[0] == pytest.approx(1)
    settled = step(deliveries, 1800, 1800)
    assert settled.over == [one]
    assert one.filled_mwh == 500_000


def test_more_than_was_asked_for_is_not_credited():
    deliveries = under_way(one := delivery())
    step(deliveries, 0, 900, share=1.1)
    assert one.filled_mwh == 250_000


def test_ten_thousand_small_steps_deliver_exactly_the_quantity():
    deliveries = under_way(one := delivery(kwh=1.234567, duration_s=1000, start_s=1_800_000_000.1))
    settled = None
    for tick in range(10_000):
        settled = step(deliveries, 1_800_000_000.1 + tick * 0.1, 0.1)
    assert settled.over == [one]
    assert one.filled_mwh == one.quantity_mwh


def test_deliveries_of_a_home_are_served_in_the_order_of_acceptance():
    first, second = delivery(number=9), delivery(number=10, kwh=2)
    deliveries = under_way(second, delivery(1), first)
    assert deliveries.asks(0, 1800).sell_kw.tolist() == [3, 1]
    deliveries.settle(1800, 1800, np.array([0.9, 0.5]), np.zeros(2))
    assert (first.filled_mwh, second.filled_mwh) == (500_000, 400_000)


def test_the_earliest_decides_which_way_a_home_goes():
    sell, buy, later = delivery(number=1, duration_s=600), delivery(number=2, side="buy"), delivery(number=3)
    deliveries = under_way(sell, buy, later)
    assert [powers.tolist() for powers in deliveries.asks(0, 600)] == [[7, 0], [0, 0]]
    step(deliveries, 0, 600)
    assert [powers.tolist() for powers in deliveries.asks(600, 600)] == [[0, 0], [1, 0]]
    step(deliveries, 600, 3000)
    assert (sell.filled_mwh, buy.filled_mwh, later.filled_mwh) == (1_000_000, 833_333, 166_667)


def test_one_home_is_asked_what_it_is_asked_among_all():
    some = [delivery(), delivery(1), delivery(1, side="buy"), delivery(1, kwh=3, start_s=20)]
    deliveries = under_way(*some)
    together = deliveries.asks(10, 60)
    for meter in range(2):
        alone = deliveries.asks_of(meter, 10, 60)
        assert [powers.tolist() for powers in alone] == [[powers[meter]] for powers in together]


def test_money_follows_what_is_metered():
    deliveries = under_way(delivery(price=80_000), delivery(1, side="buy", price=300_000))
    settled = step(deliveries, 0, 900)
    assert settled.meters.tolist() == [0, 1]
    assert settled.amounts_utok.tolist() == [20_000, -75_000]
    assert len(settled.begun) == 2
    assert step(deliveries, 900, 900).begun == []


def test_what_is_filled_at_once_is_over_and_not_begun():
    settled = step(under_way(delivery(duration_s=60)), 0, 60)
    assert (len(settled.begun), len(settled.over)) == (0, 1)


def test_dropped_deliveries_get_nothing_more():
    gone, other = delivery(), delivery(1)
    deliveries = under_way(gone, other)
    asks = deliveries.asks(0, 900)
    deliveries.drop([gone])
    deliveries.settle(900, 900, asks.sell_kw / 4, asks.buy_kw)
    assert (gone.filled_mwh, other.filled_mwh) == (0, 250_000)
    assert list(deliveries) == [other]


def test_slices_follow_the_marks_and_add_up():
    one = delivery(duration_s=3600, start_s=100)
    for mark_s, delivered_kwh in ((900, 0.2), (1800, 0.2), (2700, 0.5), (2700, 0.6)):
        one.delivered_kwh = delivered_kwh
        one.mark(mark_s)
    assert one.slices() == [(100, 200_000), (1800, 300_000), (2700, 100_000)]


def test_the_slices_of_a_long_delivery_are_bounded():
    one = delivery(kwh=1000, duration_s=86_400 * 31)
    for quarter in range(1, 31 * 96):
        one.delivered_kwh = quarter * 0.1
        one.mark(quarter * 900)
    assert len(one.slices()) == MOST_SLICES - 1
    assert sum(part.energy_mwh for part in one.slices()) == one.filled_mwh
