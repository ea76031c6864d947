"""Commands: the one reading of them, whoever sends them.

A command's payload is a plain value (`ON`, `50`, `fast`) or JSON; JSON objects may carry an `id`, which is echoed in
the answer and never interpreted: text of up to 256 characters, a number, true, false or null.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, cast, get_args

import orjson

from wattswap_mqtt.contract import topics
from wattswap_mqtt.contract.commands import (
    CancelOrder,
    Command,
    CorrelationId,
    GetMarket,
    GetOrders,
    OrderFilters,
    PlaceOrder,
    RejectedCommand,
    SetDiscovery,
    SetScenario,
    SetSwitches,
    Wanted,
    What,
)
from wattswap_mqtt.contract.orders import read_order
from wattswap_mqtt.contract.scenario_files import read_document
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import OrderTerms, Status
from wattswap_mqtt.core.moments import iso_utc
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.switches import SwitchValue, read_bool, switch_named

MAX_PAYLOAD = 64 * 1024
MAX_ID_LENGTH = 256
EXACT_FLOAT = 2**53
"""Integers above this may have lost digits in a float."""

FILTER_STATUSES = ("open", *get_args(Status))
WHATS = ("orders", *get_args(What))
"""What `market/get` may ask for."""
MAX_ORDERS = 500
"""Orders in one answer; keeps it well below what brokers take."""
_JSON_ONLY = frozenset(
    channel.below for channel in (topics.SET_SWITCHES, topics.PLACE_ORDER, topics.CANCEL_ORDER, topics.GET_ORDERS)
)
"""Commands that take no plain value."""


def parse_command(meter_id: str, below: str, payload: bytes) -> Command:
    """Read a command that came for `meter_id` on the topic `M/{below}`.

    Raises:
        RejectedCommand: for whatever is wrong; nothing else, whatever the payload.

    """
    correlation_id: CorrelationId = None
    try:
        body = _decode(payload, plain=below not in _JSON_ONLY)
        if isinstance(body, dict) and "id" in body:
            correlation_id = read_id(body["id"])
        return _read(meter_id, below, body, correlation_id)
    except CommandError as error:
        raise RejectedCommand(error, below, correlation_id) from None


def encode_command(command: Command) -> bytes:
    """Return the payload that `parse_command` reads as `command`."""
    match command:
        case SetSwitches(values=values):
            fields: dict[str, object] = dict(values)
            if command.command != topics.SET_SWITCHES.below:
                fields = {"value": next(iter(values.values()))}
        case SetScenario(name=name, document=document):
            fields = {"value": document or name}
        case SetDiscovery(announced=announced):
            fields = {"value": announced}
        case PlaceOrder(terms=terms):
            fields = terms.to_dict()
        case CancelOrder(order_id=order_id):
            fields = {"order_id": order_id}
        case GetOrders(order_id=None, filters=filters):
            fields = {"status": filters.status, "client_order_id": filters.client_order_id, "limit": filters.limit}
        case GetMarket(what=what, start_s=start_s, end_s=end_s, limit=limit):
            fields = {"what": what, "start": _iso(start_s), "end": _iso(end_s), "limit": limit}
        case GetOrders(order_id=order_id):
            fields = {"order_id": order_id}
    return orjson.dumps({name: value for name, value in fields.items() if value is not None} | {"id": command.id})


def read_id(raw: object) -> CorrelationId:
    """Return a correlation id.

    Raises:
        CommandError: `invalid_id`.

    """
    exact = not isinstance(raw, float) or abs(raw) <= EXACT_FLOAT
    if raw is None or (isinstance(raw, str) and len(raw) <= MAX_ID_LENGTH) or (isinstance(raw, int | float) and exact):
        return raw
    raise CommandError(
        "invalid_id", f"id takes text of at most {MAX_ID_LENGTH} characters or a number, not {shown(raw)}"
    )


def read_switches(values: Mapping[str, object]) -> dict[str, SwitchValue]:
    """Read the values of several switches, all or nothing.

    Raises:
        CommandError: `missing_field` if there is none, else what the first wrong one says (its name in the message).

    """
    if not values:
        raise CommandError("missing_field", 'at least one switch has to be named, such as {"daytime": true}')
    return {name: switch_named(name).parse(raw) for name, raw in values.items()}


def _decode(payload: bytes, *, plain: bool) -> object:
    """Return the JSON value in `payload`, or its text where a plain value is allowed."""
    if len(payload) > MAX_PAYLOAD:
        raise CommandError("too_large", f"a command takes at most {MAX_PAYLOAD} bytes")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise CommandError("not_utf8", f"a command is UTF-8 text; byte {error.start} is not") from None
    if plain and not text.lstrip().startswith(("{", "[", '"')):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError("invalid_json", f"this is not JSON: {error}") from None


def _read(meter_id: str, below: str, body: object, correlation_id: CorrelationId) -> Command:
    match below.split("/"):
        case ["switch", name, "set"]:
            switch = switch_named(name)
            return SetSwitches({name: switch.parse(_value(body, bare=switch.kind == "faults"))}, correlation_id, below)
        case ["switches", "set"]:
            return SetSwitches(read_switches(_without_id(body)), correlation_id)
        case ["scenario", "set"]:
            return _scenario(_value(body), correlation_id)
        case ["discovery", "set"]:
            return SetDiscovery(read_bool("discovery", _value(body)), correlation_id)
        case ["market", "place" | "cancel" | "get" as action]:
            return _read_market(meter_id, action, _without_id(body), correlation_id)
    known = ", ".join(channel.below for channel in topics.COMMANDS)
    raise CommandError("unknown_command", f"there is no command {shown(below)}; there is {known}")


def _read_market(
    meter_id: str, action: Literal["place", "cancel", "get"], fields: dict[str, object], correlation_id: CorrelationId
) -> Command:
    match action:
        case "place":
            return PlaceOrder(_terms(meter_id, fields), correlation_id)
        case "cancel":
            _refuse_unknown(fields, ("order_id",))
            return CancelOrder(_order_id(meter_id, fields.get("order_id")), correlation_id)
    return _question(meter_id, fields, correlation_id)


def _scenario(wanted: object, correlation_id: CorrelationId) -> SetScenario:
    if isinstance(wanted, dict):
        return SetScenario(read_document(wanted).slug, correlation_id, wanted)
    if not isinstance(wanted, str):
        raise CommandError("wrong_type", f"a scenario is set by its name, or as a whole, not {shown(wanted)}")
    return SetScenario(wanted.strip(), correlation_id)


def _value(body: object, *, bare: bool = False) -> object:
    """Return the value in `{"value": …, "id": …}` or a plain one; `bare`: the object may be the value itself."""
    if not isinstance(body, dict):
        return body
    if "value" in body:
        _refuse_unknown(body, ("value", "id"))
        return body["value"]
    if bare:
        return _without_id(body)
    raise CommandError("missing_field", 'value is missing: the payload is a plain value or {"value": …, "id": …}')


def _without_id(body: object) -> dict[str, object]:
    if not isinstance(body, dict):
        raise CommandError("wrong_type", f"this command takes a JSON object, not {shown(body)}")
    return {name: value for name, value in body.items() if name != "id"}


def _refuse_unknown(fields: Mapping[str, object], known: Sequence[str]) -> None:
    for name in fields:
        if name not in known:
            raise CommandError("unknown_field", f"there is no field {shown(name)} here; there is {', '.join(known)}")


def _terms(meter_id: str, fields: dict[str, object]) -> OrderTerms:
    order = read_order(fields)
    if "meter_id" in order.model_fields_set and order.meter_id != meter_id:
        raise CommandError(
            "meter_mismatch", f"this topic is {meter_id}'s, the order says {order.meter_id}: leave meter_id out"
        )
    return order.to_terms()


def _order_id(meter_id: str, raw: object) -> str:
    if raw is None:
        raise CommandError("missing_field", f"order_id is missing: it takes an order's id such as {meter_id}.1")
    if not isinstance(raw, str):
        raise CommandError("wrong_type", f"order_id takes text such as {meter_id}.1, not {shown(raw)}")
    if topics.meter_of_order(raw) != meter_id:
        raise CommandError(
            "unknown_order", f"{meter_id} has no order {shown(raw)}; its orders are called {meter_id}.1 …"
        )
    return raw


def _get_orders(meter_id: str, fields: Mapping[str, object], correlation_id: CorrelationId) -> GetOrders:
    if fields.get("order_id") is not None:
        _refuse_unknown(fields, ("order_id",))
        return GetOrders(_order_id(meter_id, fields["order_id"]), id=correlation_id)
    _refuse_unknown(fields, ("order_id", "status", "client_order_id", "limit"))
    return GetOrders(
        filters=read_filters(fields.get("status"), fields.get("client_order_id"), fields.get("limit")),
        id=correlation_id,
    )


def _question(meter_id: str, fields: dict[str, object], correlation_id: CorrelationId) -> GetOrders | GetMarket:
    what = fields.pop("what", "orders")
    if what == "orders":
        return _get_orders(meter_id, fields, correlation_id)
    return _get_market(what, fields, correlation_id)


def _get_market(what: object, fields: Mapping[str, object], correlation_id: CorrelationId) -> GetMarket:
    if what not in WHATS:
        code = "out_of_range" if isinstance(what, str) else "wrong_type"
        raise CommandError(code, f"what takes one of {', '.join(WHATS)}, not {shown(what)}")
    _refuse_unknown(fields, ("what", "limit", "start", "end") if what in ("statement", "ledger") else ("what", "limit"))
    start_s, end_s = (_moment(name, fields.get(name)) for name in ("start", "end"))
    if start_s is not None and end_s is not None and start_s > end_s:
        raise CommandError("out_of_range", "start takes a time that is not after end")
    return GetMarket(cast("What", what), start_s, end_s, read_filters(limit=fields.get("limit")).limit, correlation_id)


def _moment(name: str, raw: object) -> float | None:
    if raw is None:
        return None
    if not isinstance(raw, str):
        raise CommandError("wrong_type", f"{name} takes a time as ISO 8601 text, not {shown(raw)}")
    try:
        moment = datetime.fromisoformat(raw)
        if moment.tzinfo is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise CommandError(
        "out_of_range", f"{name} takes a time with its offset, as 2026-06-21T12:00:00Z, not {shown(raw)}"
    )


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else iso_utc(time_s)


def read_filters(status: object = None, client_order_id: object = None, limit: object = None) -> OrderFilters:
    """Read filters of orders; None is not given.

    Raises:
        CommandError: `wrong_type` or `out_of_range`.

    """
    if status not in (None, *FILTER_STATUSES):
        code = "out_of_range" if isinstance(status, str) else "wrong_type"
        raise CommandError(code, f"status takes one of {', '.join(FILTER_STATUSES)}, not {shown(status)}")
    if client_order_id is not None and not isinstance(client_order_id, str):
        raise CommandError("wrong_type", f"client_order_id takes text, not {shown(client_order_id)}")
    if limit is None:
        limit = OrderFilters.limit
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise CommandError("wrong_type", f"limit takes a whole number from 1 to {MAX_ORDERS}, not {shown(limit)}")
    if not 1 <= limit <= MAX_ORDERS:
        raise CommandError("out_of_range", f"limit takes a whole number from 1 to {MAX_ORDERS}, not {shown(limit)}")
    return OrderFilters(cast("Wanted | None", status), client_order_id, limit)
