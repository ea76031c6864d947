"""Endpoints of the marketplace: orders, prices, trades."""

import uuid
from dataclasses import replace
from datetime import tzinfo
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from wattswap_mqtt.contract.commands import CancelOrder, GetMarket, GetOrders, PlaceOrder
from wattswap_mqtt.contract.market_schema import candle_schema, order_request_schema, trade_schema
from wattswap_mqtt.contract.messages import MAX_ORDERS, read_filters
from wattswap_mqtt.contract.orders import read_order
from wattswap_mqtt.contract.topics import meter_of_order
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.roles.bridge.bodies import fields_of, refuse_unknown, text_in
from wattswap_mqtt.roles.bridge.bridge import Bridge
from wattswap_mqtt.roles.bridge.meters import expect_known, zone_of_meter
from wattswap_mqtt.roles.bridge.problems import Problem, invalid
from wattswap_mqtt.roles.bridge.serving import (
    AWAY,
    COMMAND_ERRORS,
    MeterInQuery,
    body_schema,
    bridge_of,
    documented,
    joined,
    json_response,
    listed,
    ref,
)
from wattswap_mqtt.roles.bridge.times import time_in_query

router = APIRouter(tags=["market"])

_REQUEST: dict[str, Any] = order_request_schema()
_NUMBERS = tuple(name for name, schema in _REQUEST["properties"].items() if "x-unit" in schema)
_EXAMPLES = {
    "sell": {"meter_id": "demo_meter", "side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900},
    "limit": {"side": "buy", "type": "limit", "quantity_kwh": 2, "duration_sec": 3600, "price": 0.25},
}
NamedCommunity = Annotated[str | None, Query(description="without it: the bridge's own, else the first", max_length=64)]
_ORDER_ERRORS = {**COMMAND_ERRORS, 404: "unknown_order"}


@router.post(
    "/market/order",
    summary="Place an order",
    openapi_extra=body_schema(ref("OrderRequest"), _EXAMPLES),
    responses=documented(
        "the order was accepted",
        ref("Order"),
        errors={
            **COMMAND_ERRORS,
            409: "grid_disconnected market_disabled price_out_of_band min_fill client_order_id_reused too_many_orders"
            " storage",
            422: "missing_field unknown_field wrong_type out_of_range side_mismatch price_not_allowed invalid_json"
            " not_utf8",
        },
    ),
)
async def place_order(request: Request) -> Response:
    """Place an order; the same `client_order_id` and content again returns the same order.

    A refused order is kept: the problem carries its `order_id`, and `order_status: failed`.
    """
    bridge = bridge_of(request)
    order = read_order(await fields_of(request, _NUMBERS))
    terms = order.to_terms()
    if terms.client_order_id is None:  # so that a command which MQTT delivers twice is one order
        terms = replace(terms, client_order_id=uuid.uuid4().hex)
    await bridge.latest.expect(order.meter_id, telemetry=False)
    return json_response(await bridge.asker.obeyed(order.meter_id, PlaceOrder(terms)))


@router.get(
    "/market/order/{order_id}",
    summary="Status of an order",
    responses=documented("the order", ref("Order"), errors=_ORDER_ERRORS),
)
async def order(
    request: Request,
    order_id: Annotated[str, Path(description="as placing it has returned", examples=["demo_meter.1"])],
) -> Response:
    """Return an order, however long ago it ended."""
    bridge = bridge_of(request)
    meter_id = _meter_of(order_id)
    await bridge.latest.expect(meter_id, telemetry=False)
    return json_response(await bridge.asker.obeyed(meter_id, GetOrders(order_id)))


@router.post(
    "/market/cancel",
    summary="Cancel an order",
    openapi_extra=body_schema(
        {"type": "object", "properties": {"order_id": {"type": "string"}}},
        {"order": {"order_id": "demo_meter.1"}},
        required=False,
    ),
    responses=documented(
        "the order as it ended; what was delivered stays",
        ref("Order"),
        errors={**_ORDER_ERRORS, 409: "order_ended storage", 422: "missing_field"},
    ),
)
async def cancel_order(
    request: Request,
    order_id: Annotated[str | None, Query(description="instead of a body", examples=["demo_meter.1"])] = None,
) -> Response:
    """End an order, named in the body (JSON or form) or in the query."""
    bridge = bridge_of(request)
    fields = await fields_of(request)
    refuse_unknown(fields, "order_id")
    wanted = text_in(fields, "order_id", order_id)
    meter_id = _meter_of(wanted)
    await bridge.latest.expect(meter_id, telemetry=False)
    return json_response(await bridge.asker.obeyed(meter_id, CancelOrder(wanted)))


@router.get(
    "/market/orders",
    summary="Orders of a meter",
    responses=documented(
        "the newest first",
        {"type": "object", "properties": {"orders": {"type": "array", "items": ref("Order")}}},
        errors={**COMMAND_ERRORS, 422: "out_of_range"},
    ),
)
async def orders(
    request: Request,
    meter_id: MeterInQuery = DEMO_METER,
    status: Annotated[str | None, Query(description="a status, or `open`", examples=["open"])] = None,
    client_order_id: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ORDERS)] = 100,
) -> Response:
    """List orders of a meter, ended ones too."""
    bridge = bridge_of(request)
    filters = read_filters(status, client_order_id, limit)
    await bridge.latest.expect(meter_id, telemetry=False)
    return json_response({"orders": await bridge.asker.obeyed(meter_id, GetOrders(filters=filters))})


@router.get(
    "/market",
    summary="The marketplace of a community",
    responses=documented(
        "prices, depth, and the ledger's sum, which is always zero",
        ref("Market"),
        errors={404: "unknown_community", 503: AWAY},
    ),
)
async def market(
    request: Request,
    community: NamedCommunity = None,
) -> Response:
    """Return tariffs, best bid and ask, the last trade, and `ledger_sum_utok`."""
    bridge = bridge_of(request)
    name, found = await bridge.latest.expect_community(community, bridge.settings.community)
    return json_response({"community": name, **found.market})


@router.get(
    "/market/trades",
    summary="Recent trades",
    responses=documented(
        "the newest last",
        {"type": "object", "properties": {"trades": {"type": "array", "items": trade_schema()}}},
        errors={404: "unknown_meter", 422: "out_of_range wrong_type", 503: AWAY},
    ),
)
async def trades(
    request: Request,
    meter_id: Annotated[list[str] | None, Query(description="only of these meters")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 50,
) -> Response:
    """List the newest trades of all communities, as far back as the bridge remembers."""
    bridge = bridge_of(request)
    meters = listed(meter_id)
    await expect_known(bridge, *meters)
    return json_response(b'{"trades":' + joined(bridge.trades.find(limit, meter_ids=meters)) + b"}")


@router.get(
    "/market/candles",
    summary="Prices by the quarter hour",
    responses=documented(
        "the newest last; quarter hours without a trade are left out",
        {"type": "object", "properties": {"candles": {"type": "array", "items": candle_schema()}}},
        errors={**COMMAND_ERRORS, 404: "unknown_community"},
    ),
)
async def candles(
    request: Request, community: NamedCommunity = None, limit: Annotated[int, Query(ge=1, le=192)] = 96
) -> Response:
    """Return first, highest, lowest and last price of each quarter hour, and what was traded."""
    bridge = bridge_of(request)
    name, meter_id = await _asked(bridge, community)
    found = await bridge.asker.obeyed(meter_id, GetMarket("candles", limit=limit))
    return json_response({"community": name, "candles": found})


@router.get(
    "/market/ledger",
    summary="The ledger of a community",
    responses=documented(
        "accounts, which add up to zero, and what was bought and sold by the quarter hour",
        ref("Ledger"),
        errors={**COMMAND_ERRORS, 404: "unknown_community", 422: "invalid_time reversed_range out_of_range"},
    ),
)
async def ledger(
    request: Request,
    community: NamedCommunity = None,
    start: Annotated[str | None, Query(description="simulated time; without it, a day before the end")] = None,
    end: Annotated[str | None, Query(description="likewise; without it, now")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ORDERS, description="accounts, and quarter hours")] = 100,
) -> Response:
    """Return all accounts, the utility's first, and the energy of each quarter hour: bought = sold + imbalance."""
    bridge = bridge_of(request)
    name, meter_id = await _asked(bridge, community)
    asked = GetMarket("ledger", *_period(bridge.settings.zone, start, end), limit=limit)
    return json_response({"community": name, **as_object(await bridge.asker.obeyed(meter_id, asked))})


@router.get(
    "/market/statement",
    summary="Statement of a meter",
    responses=documented(
        "opening balance, entries, closing balance",
        ref("Statement"),
        errors={**COMMAND_ERRORS, 422: "invalid_time reversed_range out_of_range"},
    ),
)
async def statement(
    request: Request,
    meter_id: MeterInQuery = DEMO_METER,
    start: Annotated[str | None, Query(description="simulated time; without it, a day before the end")] = None,
    end: Annotated[str | None, Query(description="likewise; without it, now")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ORDERS, description="entries; the newest")] = 100,
) -> Response:
    """Return what a meter earned and spent; entries are booked when their quarter hour is over."""
    bridge = bridge_of(request)
    await bridge.latest.expect(meter_id, telemetry=False)
    asked = GetMarket("statement", *_period(zone_of_meter(bridge, meter_id), start, end), limit=limit)
    return json_response(await bridge.asker.obeyed(meter_id, asked))


async def _asked(bridge: Bridge, community: str | None) -> tuple[str, str]:
    """Return a community's name, and a meter of it to ask.

    Raises:
        Problem: 404 or 503.

    """
    name, _ = await bridge.latest.expect_community(community, bridge.settings.community)
    meter_id = min((one for one, meter in bridge.latest.meters.items() if meter.community == name), default=None)
    if meter_id is None:
        raise Problem(404, "unknown_community", f"no meter of the community {name!r} is known")
    return name, meter_id


def _period(zone: tzinfo, start: str | None, end: str | None) -> tuple[float | None, float | None]:
    given = (("start", start), ("end", end))
    start_s, end_s = (None if text is None else time_in_query(name, text, zone) / 1000 for name, text in given)
    if start_s is not None and end_s is not None and start_s > end_s:
        raise invalid("reversed_range", f"start takes a time before end; {shown(start)} is after {shown(end)}")
    return start_s, end_s


def as_object(result: object) -> dict[str, Any]:
    """Return the object in an answer; anyone may publish anything."""
    return result if isinstance(result, dict) else {}


def _meter_of(order_id: str) -> str:
    meter_id = meter_of_order(order_id)
    if meter_id is None:
        raise Problem(404, "unknown_order", f"there is no order {shown(order_id)}; orders are called demo_meter.1 …")
    return meter_id
