"""JSON Schemas of the marketplace: orders, prices, trades and accounts, as they go over MQTT and REST."""

from typing import get_args

from wattswap_mqtt.contract.commands import OrderFilters
from wattswap_mqtt.contract.messages import FILTER_STATUSES, MAX_ORDERS, WHATS
from wattswap_mqtt.contract.orders import OrderRequest
from wattswap_mqtt.contract.schema_words import (
    Schema,
    correlation_id_schema,
    meter_id_schema,
    moment,
    nullable,
    number,
    order_id_schema,
    record,
    text,
)
from wattswap_mqtt.core.market.orders import Status


def order_request_schema(*, mqtt: bool = False) -> Schema:
    """Return the schema of an order as it is placed; over MQTT it may carry an `id`."""
    schema = OrderRequest.model_json_schema()
    if mqtt:
        schema["properties"]["id"] = correlation_id_schema()
    return schema


def order_query_schema() -> Schema:
    """Return the schema of a question about one order, or about those that pass the filters."""
    return {
        "type": "object",
        "properties": {
            "what": text("what is asked for; the filters are for orders", enum=[*WHATS], default="orders"),
            "start": moment("of a statement or ledger: from here on; without it, a day before its end"),
            "end": moment("of a statement or ledger: up to here; without it, now"),
            "order_id": order_id_schema(),
            "status": text("only orders of this status; open is accepted or partially filled", enum=[*FILTER_STATUSES]),
            "client_order_id": text("only the order of this client's id"),
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_ORDERS, "default": OrderFilters.limit},
            "id": correlation_id_schema(),
        },
        "additionalProperties": False,
    }


def order_schema() -> Schema:
    """Return the schema of an order as it is reported."""
    request = OrderRequest.model_json_schema()["properties"]
    execution = {
        "timestamp": moment("simulated time at which this part began"),
        "quantity_kwh": number("what was metered", "kWh"),
        "price": number("the price of the match", "apt/kWh"),
        "counterparty": text("the other meter, or `utility`"),
    }
    return record(
        "An order.",
        {
            "order_id": order_id_schema(),
            "meter_id": meter_id_schema(),
            "client_order_id": nullable(text("the client's own id")),
            "side": text("sell or buy", enum=["sell", "buy"]),
            "type": text("market or limit", enum=["market", "limit"]),
            "quantity_kwh": number(request["quantity_kwh"]["description"], "kWh"),
            "duration_sec": number(request["duration_sec"]["description"], "s"),
            "price": nullable(number("the limit; null for a market order", "apt/kWh")),
            "min_fill_kwh": number(request["min_fill_kwh"]["description"], "kWh"),
            "ttl_sec": number(request["ttl_sec"]["description"], "s"),
            "time_in_force": request["time_in_force"],
            "status": text("never steps back", enum=list(get_args(Status))),
            "reason": nullable(text("why it ended, a stable word")),
            "message": nullable(text("why it ended, for people")),
            "reserved_kwh": number("of the battery, set aside while a sell order is open", "kWh"),
            "matched_kwh": number("traded", "kWh"),
            "filled_kwh": number("delivered and metered", "kWh"),
            "remaining_kwh": number("not delivered yet", "kWh"),
            "average_price": nullable(number("of what was matched", "apt/kWh")),
            "amount_apt": number("settled so far; + earned, - spent", "apt"),
            "created_at": moment("simulated time"),
            "expires_at": nullable(moment("simulated time at which an unmatched rest is dropped")),
            "ended_at": nullable(moment("simulated time")),
            "executions": {"type": "array", "items": record("A part that was metered.", execution)},
        },
        title="Order",
    )


def market_properties() -> dict[str, Schema]:
    """Return the schema of what is told of the marketplace, field by field."""
    level = record("What waits at one price.", {"price": number("", "apt/kWh"), "quantity_kwh": number("", "kWh")})
    levels = {"type": "array", "items": level}
    return {
        "timestamp": moment("simulated time"),
        "current_market_price": number("the last trade, else the middle of best bid and ask", "apt/kWh"),
        "import_tariff": number("the utility sells at", "apt/kWh"),
        "feed_in_tariff": number("the utility buys at", "apt/kWh"),
        "best_bid": number("highest offer to buy, the utility's included", "apt/kWh"),
        "best_ask": number("lowest offer to sell, the utility's included", "apt/kWh"),
        "depth": record("Waiting orders by price, best first, the utility left out.", {"bids": levels, "asks": levels}),
        "last_trade": {"anyOf": [trade_schema(), {"type": "null"}]},
        "candles": {"type": "array", "description": "quarter hours that had trades", "items": candle_schema()},
        "ledger_sum_utok": {"type": "integer", "const": 0, "description": "all accounts together, micro-tokens"},
    }


def candle_schema() -> Schema:
    """Return the schema of the trades of a quarter hour."""
    prices = {"open": "first", "high": "highest", "low": "lowest", "close": "last"}
    return record(
        "The trades of a quarter hour.",
        {
            "start": moment("simulated time"),
            **{name: number(f"{which} price", "apt/kWh") for name, which in prices.items()},
            "volume_kwh": number("traded", "kWh"),
            "trades": {"type": "integer", "description": "how many"},
        },
    )


def entry_schema() -> Schema:
    """Return the schema of a line of a statement."""
    return record(
        "An entry of the ledger.",
        {
            "entry_id": text("stable"),
            "kind": text("what it is for", enum=["order", "imbalance", "surplus", "premium"]),
            "timestamp": moment("simulated time at which it began"),
            "order_id": nullable(text("null of what was sold automatically")),
            "counterparty": text("the other meter, or `utility`"),
            "energy_kwh": number("+ sold, - bought; of an imbalance: what was missing", "kWh"),
            "price": number("of the energy; of a premium: above the feed-in price", "apt/kWh"),
            "amount_apt": number("+ earned, - spent", "apt"),
            "co2_kg": number("+ caused by the energy, - avoided", "kg"),
            "balance_apt": number("after it", "apt"),
        },
    )


def energy_properties() -> dict[str, Schema]:
    """Return the schema of the energies of a period."""
    return {
        "sold_kwh": number("metered", "kWh"),
        "bought_kwh": number("metered", "kWh"),
        "not_delivered_kwh": number("sold to other meters, and bought from the utility instead", "kWh"),
        "not_taken_kwh": number("bought from other meters, and sold to the utility instead", "kWh"),
    }


def statement_schema() -> Schema:
    """Return the schema of a meter's statement."""
    return record(
        "What a meter earned and spent in a period.",
        {
            "meter_id": meter_id_schema(),
            "start": moment("included"),
            "end": moment("excluded"),
            "opening_balance_apt": number("of all entries before", "apt"),
            "closing_balance_apt": number("opening balance and all entries", "apt"),
            "balance_apt": number("now, what is not booked yet included", "apt"),
            **energy_properties(),
            "co2_kg": number("of the energy: + caused, - avoided", "kg"),
            "total": {"type": "integer", "description": "entries in the period"},
            "entries": {"type": "array", "description": "the newest `limit`, oldest first", "items": entry_schema()},
        },
    )


def ledger_schema() -> Schema:
    """Return the schema of a community's ledger."""
    account = {
        "account": text("a meter, a bot, or `utility`, which is on the other side of everything"),
        "earned_apt": number("all in all", "apt"),
        "spent_apt": number("all in all", "apt"),
        "balance_apt": number("earned less spent", "apt"),
    }
    quarter = {
        "start": moment("simulated time"),
        **energy_properties(),
        "imbalance_kwh": number("bought less sold: what the utility delivered on balance", "kWh"),
        "utility_apt": number("what the utility earned on balance", "apt"),
    }
    return record(
        "Accounts, and what was traded by the quarter hour.",
        {
            "timestamp": moment("simulated time"),
            "ledger_sum_utok": {"type": "integer", "const": 0, "description": "all accounts together, micro-tokens"},
            "accounts": {"type": "array", "items": record("An account.", account)},
            "quarter_hours": {"type": "array", "items": record("A quarter hour.", quarter)},
        },
    )


def trade_schema() -> Schema:
    """Return the schema of a trade."""
    return record(
        "A match.",
        {
            "order_id": order_id_schema(),
            "meter_id": meter_id_schema(),
            "timestamp": moment("simulated time"),
            "side": text("what the meter did", enum=["sell", "buy"]),
            "quantity_kwh": number("matched", "kWh"),
            "price": number("the price of the match", "apt/kWh"),
            "co2_kg": number("what the energy causes (bought) or avoids (sold, negative) once it is delivered", "kg"),
            "counterparty": text("the other meter, or `utility`"),
            "duration_sec": number("the delivery window", "s"),
            "liquidity": text("whether the order came last, or waited for the other", enum=["taker", "maker"]),
        },
    )
