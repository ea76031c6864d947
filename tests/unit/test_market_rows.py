import json

import numpy as np

from wattswap_mqtt.core.market.orders import Order, OrderTerms
from wattswap_mqtt.core.market.rows import (
    account_entry,
    delivery_entry,
    order_row,
    read_order,
    surplus_entries,
    wire_form,
)
from wattswap_mqtt.core.market.surplus import Closed

LIMIT = OrderTerms("buy", "limit", 1_500_001, 900.5, price_utok_per_kwh=-123_457, client_order_id="é")


def order(terms=LIMIT):
    one = Order("demo_meter.12", "demo_meter", 3, 12, terms, created_s=1_800_000_000.123456)
    delivery = one.match(terms.quantity_mwh, 300_000, "utility", now_s=1_800_000_001.7, came_last=True)
    delivery.delivered_kwh = 0.1 + 0.2
    delivery.mark(1_800_000_900)
    delivery.delivered_kwh = 0.7
    one.begin()
    return one


def test_an_order_survives_storage():
    one = order()
    assert read_order(json.loads(json.dumps(order_row(one))), 3) == one
    one.end("cancelled", 1_800_000_002, "requested")
    assert read_order(json.loads(json.dumps(order_row(one))), 3) == one


def test_the_wire_form_of_a_stored_order():
    assert wire_form(order_row(order())) == order().to_dict()


def test_the_entry_of_what_was_metered_since_the_quarter_hour_began():
    assert delivery_entry(order().deliveries[0], "demo_meter") == {
        "entry_id": "demo_meter.12/1@1800000900.000",
        "kind": "order",
        "meter_id": "demo_meter",
        "order_id": "demo_meter.12",
        "counterparty": "utility",
        "time_s": 1_800_000_900,
        "energy_mwh": -400_000,
        "price_utok_per_kwh": 300_000,
        "amount_utok": -120_000,
    }


def test_what_delivered_nothing_has_no_entry():
    one = Order("m.1", "m", 0, 1, LIMIT, created_s=0)
    one.match(10, 300_000, "utility", now_s=0, came_last=True)
    assert delivery_entry(one.deliveries[0], "m") is None


def test_the_entries_of_a_slot():
    closed = Closed(1_800_000_000.0, 80_000, np.array([1]), np.array([1_000_000]), np.array([80_000]))
    (entry,) = json.loads(json.dumps(surplus_entries(closed, ("a", "b"))))
    assert entry["entry_id"] == "b@1800000000.000"
    assert (entry["kind"], entry["meter_id"], entry["energy_mwh"], entry["amount_utok"]) == (
        "surplus",
        "b",
        10**6,
        80_000,
    )


def test_the_account_of_a_meter_has_no_time():
    entry = account_entry("b", orders_placed=3, earned_utok=1, spent_utok=2, under_way={"b.3/1": 0.5})
    assert (entry["entry_id"], entry["kind"]) == ("b", "account")
    assert "time_s" not in entry
