"""The AsyncAPI 3.0 document: every topic with its payload, generated from the channels and the schemas.

It is written from the device's point of view: it sends telemetry and answers, it receives commands.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from wattswap_mqtt import __version__
from wattswap_mqtt.contract import market_schema, schema, topics
from wattswap_mqtt.contract.scenario_files import builtin_names
from wattswap_mqtt.contract.schema_words import (
    Schema,
    correlation_id_schema,
    moment,
    number,
    order_id_schema,
    record,
    text,
)
from wattswap_mqtt.contract.topics import CHANNELS, COMMANDS, Channel, Topics
from wattswap_mqtt.core.scenarios import NO_SCENARIO

PARAMETERS = {
    "meter_id": "the meter, such as demo_meter",
    "community": "the community, such as main",
    "switch": "the switch, such as daytime",
    "order_id": "the order, such as demo_meter.1",
}
NAMED_SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "snapshot": schema.snapshot_schema,
    "order": market_schema.order_schema,
    "trade": market_schema.trade_schema,
}
"""What several channels carry; they refer to one schema."""


def asyncapi_document(of: Topics, broker: str = "mqtt://127.0.0.1:1883") -> dict[str, Any]:
    """Return the document for one base topic and discovery prefix, and for the broker at a URL."""
    protocol, _, host = broker.partition("://")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "WattSwap MQTT",
            "version": __version__,
            "description": "A virtual prosumer smart meter on MQTT. Every command is answered on the meter's ack.",
            "license": {"name": "MIT"},
        },
        "servers": {"broker": {"host": host, "protocol": protocol, "protocolVersion": "3.1.1"}},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(of, channel) for channel in CHANNELS},
        "operations": {_operation_id(channel): _operation(channel) for channel in CHANNELS},
        "components": {"schemas": {name: made() for name, made in NAMED_SCHEMAS.items()}},
    }


def payload_schema(channel: Channel) -> Schema:
    """Return the schema of what a channel carries; the named ones by reference."""
    plain = {
        topics.AVAILABILITY: ["online", "offline"],
        topics.COMMUNITY_AVAILABILITY: ["online", "offline"],
        topics.BIRTH: ["online", "offline"],
    }
    if channel in plain:
        return {"type": "string", "enum": plain[channel]}
    if channel in (topics.STATE, topics.HUB, topics.TRUTH):
        return _named("snapshot")
    return _OBJECTS[channel]


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _envelope(value: Schema) -> Schema:
    """Return the schema of a plain value or `{"value": …, "id": …}`, which may be both where objects are values."""
    properties = {"value": value, "id": correlation_id_schema()}
    return {"anyOf": [value, {"type": "object", "properties": properties, "required": ["value"]}]}


_STATUS = record(
    "The state of a community's simulator.",
    {
        "community": text("the community"),
        "meters": {"type": "integer", "description": "how many meters it has"},
        "simulated_time": moment("simulated time"),
        "published_at": moment("wall time"),
        "time_acceleration": number("simulated seconds per second"),
        "tick_rate": number("measured", "Hz"),
        "publish_interval_s": number("wall time between snapshots", "s"),
        "lag_s": number("simulated time that is owed", "s"),
        "queue_lengths": {"type": "object", "additionalProperties": {"type": "integer"}},
        "dropped_messages": {"type": "integer", "description": "telemetry that the broker was too slow for"},
        "storage": text("whether data can be saved", enum=["ok", "failed"]),
        "load_noise": number("0 is no appliance swings"),
        "seed": {"type": "integer", "description": "what everything random follows from"},
        "tz": text("the time zone"),
        "version": text("of the simulator"),
        "boot_id": text("another one after each start"),
    },
)
_MARKET = record("The marketplace of a community.", market_schema.market_properties())
_NAMES = [NO_SCENARIO, *builtin_names()]
_OBJECTS: dict[Channel, Schema] = {
    topics.SCENARIO_STATE: text("a scenario's name; others than these are a user's own", examples=_NAMES),
    topics.SWITCHES_STATE: schema.switches_schema(),
    topics.SET_SWITCH: _envelope({"type": ["boolean", "number", "string", "object"]}),
    topics.SET_SWITCHES: schema.switches_schema(command=True),
    topics.SET_SCENARIO: _envelope(
        {
            "type": ["string", "object"],
            "description": "a name, or a scenario of your own as `wattswap scenario schema` describes it",
            "examples": _NAMES,
        }
    ),
    topics.SET_DISCOVERY: _envelope({"type": ["boolean", "string", "integer"]}),
    topics.PLACE_ORDER: market_schema.order_request_schema(mqtt=True),
    topics.CANCEL_ORDER: {
        "type": "object",
        "properties": {"order_id": order_id_schema(), "id": correlation_id_schema()},
        "required": ["order_id"],
        "additionalProperties": False,
    },
    topics.GET_ORDERS: market_schema.order_query_schema(),
    topics.ORDER: _named("order"),
    topics.ACK: schema.ack_schema(),
    topics.EVENT: schema.event_schema(),
    topics.COMMUNITY_STATUS: _STATUS,
    topics.COMMUNITY_MARKET: _MARKET,
    topics.COMMUNITY_TRADE: _named("trade"),
    topics.DISCOVERY: {"type": "object", "description": "see Home Assistant's documentation of MQTT device discovery"},
}


def _operation_id(channel: Channel) -> str:
    return (
        channel.name
        if channel in COMMANDS
        else f"{'publish' if channel.sent_by == 'device' else 'hear'}_{channel.name}"
    )


def _channel(of: Topics, channel: Channel) -> dict[str, Any]:
    message: dict[str, Any] = {"name": channel.name, "payload": payload_schema(channel)}
    if message["payload"].get("type") == "string":
        message["contentType"] = "text/plain"
    address = of.address(channel)
    described: dict[str, Any] = {
        "address": address,
        "description": channel.meaning,
        "messages": {channel.name: message},
    }
    if names := re.findall(r"\{(\w+)\}", address):
        described["parameters"] = {name: {"description": PARAMETERS[name]} for name in names}
    return described


def _operation(channel: Channel) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": "send" if channel.sent_by == "device" else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "description": f"{channel.meaning}. Retained: {channel.retained}.",
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained != "no", "bindingVersion": "0.2.0"}},
    }
    if channel in COMMANDS:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{topics.ACK.name}"}}
    return operation
