"""What is stored of the market: flat rows with a stable key, to be written over an earlier row of the same key.

Rows of orders hold the wire form and, besides, the exact times and deliveries.  Ledger entries come in these kinds:

    kind       entry_id                         one per
    order      {order_id}/{number}@{start_s}    leg of a trade and quarter hour: what was metered of it
    imbalance  {order_id}/{number}!             leg of a trade between meters that was not delivered in full
    surplus    {meter_id}@{start_s}             meter and quarter hour of automatic sale
    premium    {meter_id}@{start_s}/{trade_id}  surplus that a home bought: what it paid above the feed-in price
    account    {meter_id}                       meter: how many orders it placed, what they earned and spent, and what
                                                is under way

An order, and with it its meter's account, is written when something happened to it, and once a quarter hour while it is
delivered; what is delivered in between is in the checkpoint (`Exchange.under_way`), and its worth follows from it.  All
but the accounts are the journal: they have a `time_s`, the beginning of what they tell of, and are written once, when
it is over.  To go on after a restart, only the accounts are needed.

`energy_mwh` and `amount_utok` are + for sold and earned, - for bought and spent.  The rows `order` and `imbalance` of a
leg that ran to its end add up to what was traded, so those of both legs of a trade add up to nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from wattswap_mqtt.core.market.delivery import Delivery, Mark
from wattswap_mqtt.core.market.orders import Order, OrderTerms, Row
from wattswap_mqtt.core.market.pricing import to_millionths
from wattswap_mqtt.core.market.surplus import Closed

UTILITY = "utility"
"""The name of the utility as a counterparty."""


class Changes(NamedTuple):
    """Rows to write durably, in this order."""

    orders: list[Row]
    entries: list[Row]


class Totals(NamedTuple):
    """What rows of the journal add up to, in mWh and utok; energies are >= 0."""

    rows: int = 0
    sold_mwh: int = 0
    bought_mwh: int = 0
    not_delivered_mwh: int = 0
    not_taken_mwh: int = 0
    amount_utok: int = 0

    def plus(self, more: Sequence[int]) -> Self:
        """Return the sum of two."""
        return type(self)(*(one + other for one, other in zip(self, more, strict=True)))


def totals_of(entries: Iterable[Row]) -> Totals:
    """Add up rows of the journal."""
    total = Totals()
    for entry in entries:
        sold, bought = max(entry["energy_mwh"], 0), max(-entry["energy_mwh"], 0)
        energies = (0, 0, sold, bought) if entry["kind"] == "imbalance" else (sold, bought, 0, 0)
        total = total.plus((1, *energies, entry["amount_utok"]))
    return total


def order_row(order: Order) -> Row:
    """Return an order as it is stored."""
    return order.to_dict() | {
        "created_s": order.created_s,
        "ended_s": order.ended_s,
        "dropped": order.dropped,
        "deliveries": [
            {
                "trade_id": delivery.trade_id,
                "quantity_mwh": delivery.quantity_mwh,
                "price_utok_per_kwh": delivery.price_utok_per_kwh,
                "counterparty": delivery.counterparty,
                "start_s": delivery.start_s,
                "end_s": delivery.end_s,
                "delivered_kwh": delivery.delivered_kwh,
                "over": delivery.over,
                "came_last": delivery.came_last,
                "marks": [list(mark) for mark in delivery.marks],
            }
            for delivery in order.deliveries
        ],
    }


def wire_form(row: Mapping[str, Any]) -> Row:
    """Return a stored order as `Order.to_dict` put it."""
    return {name: value for name, value in row.items() if name not in {"created_s", "ended_s", "dropped", "deliveries"}}


def read_order(row: Mapping[str, Any], meter: int) -> Order:
    """Return the order that a row holds, for the meter in row `meter` of the community."""
    price = row["price"]
    terms = OrderTerms(
        side=row["side"],
        type=row["type"],
        quantity_mwh=to_millionths(row["quantity_kwh"]),
        duration_s=row["duration_sec"],
        price_utok_per_kwh=None if price is None else to_millionths(price),
        min_fill_mwh=to_millionths(row["min_fill_kwh"]),
        ttl_s=row["ttl_sec"],
        time_in_force=row["time_in_force"],
        client_order_id=row["client_order_id"],
    )
    order = Order(
        order_id=row["order_id"],
        meter_id=row["meter_id"],
        meter=meter,
        number=int(row["order_id"].rpartition(".")[2]),
        terms=terms,
        created_s=row["created_s"],
        reserved_mwh=to_millionths(row["reserved_kwh"]),
        status=row["status"],
        reason=row["reason"],
        message=row["message"],
        ended_s=row["ended_s"],
        dropped=row.get("dropped"),
    )
    for delivery in row["deliveries"]:
        exact = delivery | {"marks": [Mark(*mark) for mark in delivery["marks"]]}
        order.deliveries.append(
            Delivery(order_id=order.order_id, meter=meter, number=order.number, side=terms.side, **exact)
        )
    return order


def delivery_entry(delivery: Delivery, meter_id: str) -> Row | None:
    """Return what was metered of a delivery in the quarter hour that is running, if anything was."""
    start_s, energy_mwh, amount_utok = delivery.since_mark()
    if not energy_mwh:
        return None
    return {
        "entry_id": f"{delivery.trade_id}@{start_s:.3f}",
        "kind": "order",
        "meter_id": meter_id,
        "order_id": delivery.order_id,
        "counterparty": delivery.counterparty,
        "time_s": start_s,
        "energy_mwh": energy_mwh if delivery.side == "sell" else -energy_mwh,
        "price_utok_per_kwh": delivery.price_utok_per_kwh,
        "amount_utok": amount_utok,
    }


def imbalance_entry(delivery: Delivery, meter_id: str, time_s: float, price_utok: int, amount_utok: int) -> Row:
    """Return what a delivery that is over and short has cost, with the price of the energy that was missing."""
    return {
        "entry_id": f"{delivery.trade_id}!",
        "kind": "imbalance",
        "meter_id": meter_id,
        "order_id": delivery.order_id,
        "counterparty": UTILITY,
        "time_s": time_s,
        "energy_mwh": delivery.missing_mwh if delivery.side == "sell" else -delivery.missing_mwh,
        "price_utok_per_kwh": price_utok,
        "amount_utok": amount_utok,
    }


def premium_entry(
    meter_id: str, start_s: float, bought: Delivery, buyer: str, premium_utok: int, amount_utok: int
) -> Row:
    """Return what a buyer of surplus paid above the feed-in price; the energy itself is in the row of the surplus."""
    return {
        "entry_id": f"{meter_id}@{start_s:.3f}/{bought.trade_id}",
        "kind": "premium",
        "meter_id": meter_id,
        "order_id": None,
        "counterparty": buyer,
        "time_s": start_s,
        "energy_mwh": 0,
        "price_utok_per_kwh": premium_utok,
        "amount_utok": amount_utok,
    }


def surplus_entries(closed: Closed, meter_ids: Sequence[str]) -> list[Row]:
    """Return what the ledger holds of a slot of the automatic sale."""
    columns = (closed.meters.tolist(), closed.energy_mwh.tolist(), closed.amount_utok.tolist())
    return [
        {
            "entry_id": f"{meter_ids[meter]}@{closed.start_s:.3f}",
            "kind": "surplus",
            "meter_id": meter_ids[meter],
            "order_id": None,
            "counterparty": UTILITY,
            "time_s": closed.start_s,
            "energy_mwh": energy_mwh,
            "price_utok_per_kwh": closed.price_utok,
            "amount_utok": amount_utok,
        }
        for meter, energy_mwh, amount_utok in zip(*columns, strict=True)
    ]


def account_entry(
    meter_id: str, *, orders_placed: int, earned_utok: int, spent_utok: int, under_way: Mapping[str, float]
) -> Row:
    """Return the running totals of one meter's orders; `under_way` is the energy delivered, in kWh, by trade."""
    return {
        "entry_id": meter_id,
        "kind": "account",
        "meter_id": meter_id,
        "orders_placed": orders_placed,
        "earned_utok": earned_utok,
        "spent_utok": spent_utok,
        "under_way": dict(under_way),
    }
