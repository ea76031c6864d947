"""The wire is what was committed, and everything on it fits its own schema."""

from dataclasses import asdict

import orjson
import pytest
from committed import check
from fits import problems
from homes import SCENARIOS, named

from wattswap_mqtt.contract import market_schema, schema, topics
from wattswap_mqtt.contract.answers import accepted, encode_ack, encode_event, rejected
from wattswap_mqtt.contract.asyncapi import asyncapi_document, payload_schema
from wattswap_mqtt.contract.commands import RejectedCommand
from wattswap_mqtt.contract.discovery import device_config
from wattswap_mqtt.contract.messages import parse_command
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.contract.topics import CHANNELS, Topics
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.switches import SWITCHES

START_S = 1_781_000_000.0


def test_topics():
    topics = Topics()
    check(
        "topics",
        {
            "channels": {topics.address(channel): asdict(channel) for channel in CHANNELS},
            "simulator": topics.simulator_subscriptions,
            "bridge": topics.bridge_subscriptions,
        },
    )


def test_snapshot_schema():
    check("snapshot_schema", schema.snapshot_schema())


def test_switches_schema():
    check("switches_schema", schema.switches_schema())


def test_order_schemas():
    check(
        "order_schemas",
        {"placed": market_schema.order_request_schema(mqtt=True), "reported": market_schema.order_schema()},
    )


def test_discovery():
    config = device_config(Topics(), "main", "demo_meter")
    config["dev"]["sw"] = config["o"]["sw"] = "0.0.0"
    check("discovery", config)


def test_asyncapi():
    document = asyncapi_document(Topics())
    document["info"]["version"] = "0.0.0"
    check("asyncapi", document)


def test_asyncapi_refers_to_what_is_there():
    document = asyncapi_document(Topics())

    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if "$ref" in value else [])
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


@pytest.fixture(scope="module")
def community():
    return Community(["demo_meter", "meter_00002"], start_s=START_S)


def encoded(community, last_trade=None):
    readings, _ = community.read()
    trades = {} if last_trade is None else {0: last_trade}
    return [
        orjson.loads(body)
        for body in SnapshotEncoder(community.ids, "Europe/Berlin", "1").encode(readings, START_S, trades)
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_snapshots_fit_their_schema(name):
    community = Community(["demo_meter", "meter_00002"], start_s=START_S)
    community.set_scenario(0, named(name))
    for _ in range(3):
        community.advance(1.0)
        for snapshot in encoded(community):
            assert not problems(snapshot, schema.snapshot_schema())


def test_nothing_in_a_snapshot_is_undeclared(community):
    def names(value):
        return {key: names(inner) for key, inner in value.items()} if isinstance(value, dict) else None

    def declared(node):
        return {key: declared(inner) for key, inner in node["properties"].items()} if "properties" in node else None

    (snapshot, _), fields = encoded(community), declared(schema.snapshot_schema())
    snapshot["hardware"] = fields["hardware"] = None
    assert names(snapshot) == fields


def test_switches_fit_their_schema(community):
    for values in community.switch_values:
        assert list(values) == list(SWITCHES)
        assert not problems(orjson.loads(orjson.dumps(values)), schema.switches_schema())


def test_orders_trades_answers_and_events_fit_their_schemas(community):
    body = {"side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}
    command = parse_command("demo_meter", "market/place", orjson.dumps(body))
    order = community.place(0, command.terms)
    for _ in range(5):
        community.advance(60.0)
        assert not problems(orjson.loads(orjson.dumps(order.to_dict())), market_schema.order_schema())
        assert set(order.to_dict()) == set(market_schema.order_schema()["properties"])
    assert order.to_dict()["executions"]
    assert not problems(orjson.loads(encode_ack(accepted(command, order.to_dict()))), schema.ack_schema())
    events = community.take_events()
    assert {"order_accepted", "trade"} <= {event.event_type for event in events}
    for event in events:
        payload = encode_event(event.event_type, "2026-01-01T00:00:00+00:00", "demo_meter", event.data)
        assert not problems(orjson.loads(payload), schema.event_schema())
        if event.event_type == "trade":
            assert not problems(event.data, market_schema.trade_schema())
            assert not problems(encoded(community, event.data)[0], schema.snapshot_schema())


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        (topics.SET_SWITCH, True),
        (topics.SET_SWITCH, {"bias_pct": 10}),
        (topics.SET_SWITCH, {"value": 50, "id": "a-1"}),
        (topics.SET_SWITCHES, {"daytime": True, "id": "a-2"}),
        (topics.SET_SCENARIO, "island-mode"),
        (topics.SET_SCENARIO, {"value": "island-mode", "id": "a-3"}),
        (topics.SET_DISCOVERY, {"value": True, "id": "a-4"}),
    ],
)
def test_commands_fit_their_schemas(channel, said):
    assert not problems(said, payload_schema(channel))


def test_a_refusal_fits_its_schema():
    with pytest.raises(RejectedCommand) as refused:
        parse_command("demo_meter", "switch/daytime/set", b'{"value": 7, "id": "x"}')
    answer = orjson.loads(encode_ack(rejected(refused.value, refused.value)))
    assert not problems(answer, schema.ack_schema())
