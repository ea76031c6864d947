import pytest

from wattswap_mqtt.core.market.orders import REASONS, Order, OrderTerms, trade
from wattswap_mqtt.core.moments import iso_utc

SELL = OrderTerms("sell", "limit", 1_500_000, 900, price_utok_per_kwh=80_000, ttl_s=600, client_order_id="mine")


def order(terms=SELL):
    return Order("demo_meter.7", "demo_meter", 0, 7, terms, created_s=0, reserved_mwh=1_000_000)


def test_moments_are_utc_and_stay_within_the_calendar():
    assert iso_utc(1_800_000_000.1234) == "2027-01-15T08:00:00.123+00:00"
    assert iso_utc(1e15).startswith("9999-12-31T23:59:59")


@pytest.mark.parametrize(
    ("side", "price", "accepted"),
    [("sell", 79_999, False), ("sell", 80_000, True), ("buy", 80_000, True), ("buy", 80_001, False)],
)
def test_a_limit_is_the_worst_price_accepted(side, price, accepted):
    assert OrderTerms(side, "limit", 1, 1, price_utok_per_kwh=80_000).accepts(price) is accepted
    assert OrderTerms(side, "market", 1, 1).accepts(price)


@pytest.mark.parametrize(("force", "expires_s"), [("GTD", 600), ("GTC", None), ("IOC", None), ("FOK", None)])
def test_only_good_till_date_expires(force, expires_s):
    terms = OrderTerms("buy", "limit", 1, 1, price_utok_per_kwh=1, time_in_force=force)
    assert order(terms).expires_s == expires_s
    assert terms.waits is (force in {"GTD", "GTC"})


def test_the_wire_form():
    one = order()
    delivery = one.match(1_500_000, 80_000, "utility", now_s=10)
    delivery.delivered_kwh = 0.25
    one.begin()
    assert one.to_dict() == {
        "order_id": "demo_meter.7",
        "meter_id": "demo_meter",
        "client_order_id": "mine",
        "side": "sell",
        "type": "limit",
        "quantity_kwh": 1.5,
        "duration_sec": 900,
        "price": 0.08,
        "min_fill_kwh": 0.1,
        "ttl_sec": 600,
        "time_in_force": "GTD",
        "status": "partially_filled",
        "reason": None,
        "message": None,
        "reserved_kwh": 1.0,
        "matched_kwh": 1.5,
        "filled_kwh": 0.25,
        "remaining_kwh": 1.25,
        "average_price": 0.08,
        "amount_apt": 0.02,
        "created_at": "1970-01-01T00:00:00.000+00:00",
        "expires_at": "1970-01-01T00:10:00.000+00:00",
        "ended_at": None,
        "executions": [
            {
                "timestamp": "1970-01-01T00:00:10.000+00:00",
                "quantity_kwh": 0.25,
                "price": 0.08,
                "counterparty": "utility",
            }
        ],
    }
    assert trade(delivery, "demo_meter") == {
        "timestamp": "1970-01-01T00:00:10.000+00:00",
        "trade_id": "demo_meter.7/1",
        "order_id": "demo_meter.7",
        "meter_id": "demo_meter",
        "side": "sell",
        "quantity_kwh": 1.5,
        "price": 0.08,
        "counterparty": "utility",
        "duration_sec": 900,
        "liquidity": "taker",
        "co2_kg": -0.675,
    }


def test_what_was_reserved_is_released_at_the_end():
    one = order()
    one.end("cancelled", 5, "requested")
    assert one.to_dict()["reserved_kwh"] == 0
    assert (one.reason, one.message) == ("requested", REASONS["requested"])
    assert one.to_dict()["ended_at"] == "1970-01-01T00:00:05.000+00:00"


def test_a_status_never_steps_back():
    one = order()
    one.end("executed", 5)
    one.begin()
    assert one.status == "executed"
    with pytest.raises(ValueError, match=r"demo_meter\.7 has ended as executed"):
        one.end("cancelled", 6, "requested")


@pytest.mark.parametrize(
    ("delivered_kwh", "status", "reason"),
    [
        (1.5, "executed", None),
        (1.4985, "executed", None),
        (1.498499, "expired", "delivered_short"),
        (0.000001, "expired", "delivered_short"),
        (0.0, "failed", "nothing_delivered"),
    ],
)
def test_the_verdict_at_the_end_of_the_window(delivered_kwh, status, reason):
    one = order()
    one.match(1_500_000, 80_000, "utility", now_s=0).delivered_kwh = delivered_kwh
    assert one.verdict() == (status, reason)
