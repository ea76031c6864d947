import orjson
import pytest

from wattswap_mqtt.contract.answers import Ack, accepted, decode_ack, encode_ack, encode_event, rejected
from wattswap_mqtt.contract.commands import (
    CancelOrder,
    GetOrders,
    OrderFilters,
    PlaceOrder,
    RejectedCommand,
    SetScenario,
    SetSwitches,
)
from wattswap_mqtt.contract.messages import MAX_ID_LENGTH, MAX_PAYLOAD, encode_command, parse_command
from wattswap_mqtt.core.errors import CommandError

METER = "demo_meter"
SELL = {"side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}


def read(below, payload):
    """Read a command and check that it can be said again."""
    raw = (
        payload
        if isinstance(payload, bytes)
        else payload.encode()
        if isinstance(payload, str)
        else orjson.dumps(payload)
    )
    command = parse_command(METER, below, raw)
    assert parse_command(METER, command.command, encode_command(command)) == command
    return command


def refuse(below, payload):
    with pytest.raises(RejectedCommand) as refused:
        read(below, payload)
    error = refused.value
    assert error.command == below
    assert error.message
    assert len(error.message) < 600
    assert "\n" not in error.message
    return error


# One switch


@pytest.mark.parametrize(
    ("switch", "payload", "value"),
    [
        ("daytime", "ON", True),
        ("daytime", "off", False),
        ("daytime", " true\n", True),
        ("daytime", "1", True),
        ("daytime", "true", True),
        ("battery_reserve_pct", "50", 50.0),
        ("battery_reserve_pct", "12.5", 12.5),
        ("ev_mode", "fast", "fast"),
        ("ev_mode", '"fast"', "fast"),
        ("fault_inject", '{"bias_pct": 10}', {"bias_pct": 10}),
        ("fault_inject", "{}", {}),
        ("fault_inject", '  {"stuck":["v_rms"]}', {"stuck": ["v_rms"]}),
    ],
)
def test_a_plain_value(switch, payload, value):
    assert read(f"switch/{switch}/set", payload) == SetSwitches({switch: value}, None, f"switch/{switch}/set")


@pytest.mark.parametrize(
    ("switch", "payload", "value", "correlation_id"),
    [
        ("daytime", {"value": True, "id": "a-1"}, True, "a-1"),
        ("daytime", {"value": "OFF"}, False, None),
        ("daytime", {"id": None, "value": 1}, True, None),
        ("battery_reserve_pct", {"value": 50, "id": 7}, 50.0, 7),
        ("battery_reserve_pct", {"value": "50", "id": 1.5}, 50.0, 1.5),
        ("fault_inject", {"value": {"bias_pct": 10}, "id": True}, {"bias_pct": 10}, True),
        ("fault_inject", {"value": '{"bias_pct": 10}', "id": ""}, {"bias_pct": 10}, ""),
        ("fault_inject", {"bias_pct": 10, "id": "x"}, {"bias_pct": 10}, "x"),
        ("fault_inject", {"id": "x"}, {}, "x"),
    ],
)
def test_a_value_with_an_id(switch, payload, value, correlation_id):
    assert read(f"switch/{switch}/set", payload) == SetSwitches({switch: value}, correlation_id, f"switch/{switch}/set")


@pytest.mark.parametrize(
    ("below", "payload", "code"),
    [
        ("switch/nope/set", "ON", "unknown_switch"),
        ("switch/__class__/set", "ON", "unknown_switch"),
        ("switch/Daytime/set", "ON", "unknown_switch"),
        ("switch//set", "ON", "unknown_switch"),
        ("switch/daytime/set", "", "wrong_type"),
        ("switch/daytime/set", "2", "wrong_type"),
        ("switch/daytime/set", "[true]", "wrong_type"),
        ("switch/daytime/set", "{}", "missing_field"),
        ("switch/daytime/set", '{"value": null}', "wrong_type"),
        ("switch/daytime/set", '{"value": true, "meter": 1}', "unknown_field"),
        ("switch/daytime/set", '{"value": tru', "invalid_json"),
        ("switch/daytime/set", b"\xff\xfe", "not_utf8"),
        ("switch/daytime/set", b"1" * (MAX_PAYLOAD + 1), "too_large"),
        ("switch/battery_reserve_pct/set", "101", "out_of_range"),
        ("switch/battery_reserve_pct/set", "NaN", "wrong_type"),
        ("switch/battery_reserve_pct/set", "Infinity", "wrong_type"),
        ("switch/battery_reserve_pct/set", "1e308", "out_of_range"),
        ("switch/battery_reserve_pct/set", "1" * 400, "out_of_range"),
        ("switch/battery_reserve_pct/set", "5 0", "wrong_type"),
        ("switch/battery_reserve_pct/set", '{"value": NaN}', "invalid_json"),
        ("switch/battery_reserve_pct/set", '{"value": ' + "1" * 400 + "}", "invalid_json"),
        ("switch/battery_reserve_pct/set", '{"value": true}', "wrong_type"),
        ("switch/battery_reserve_pct/set", '{"value": [50]}', "wrong_type"),
        ("switch/ev_mode/set", "turbo", "out_of_range"),
        ("switch/fault_inject/set", "", "invalid_json"),
        ("switch/fault_inject/set", "bias", "invalid_json"),
        ("switch/fault_inject/set", "[]", "wrong_type"),
        ("switch/fault_inject/set", '{"magic": 1}', "unknown_fault"),
        ("switch/fault_inject/set", '{"bias_pct": 1e9}', "out_of_range"),
        ("switch/fault_inject/set", '{"stuck": ["nope"]}', "unknown_field"),
        ("switch/fault_inject/set", {"stuck": ["measurements.p_active"] * 12}, "too_long"),
        ("nonsense", "{}", "unknown_command"),
        ("switch/daytime/get", "{}", "unknown_command"),
        ("switch/daytime", "ON", "unknown_command"),
        ("daytime/set", "ON", "unknown_command"),
        ("market/order", "sell", "unknown_command"),
        ("", "{}", "unknown_command"),
    ],
)
def test_what_is_wrong_with_a_switch(below, payload, code):
    assert refuse(below, payload).code == code


@pytest.mark.parametrize("depth", [200, 1000, 10_000, 30_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"value":', "}"), ('{"bias_pct":', "}"), ('{"side":', "}")])
@pytest.mark.parametrize(
    "below",
    [
        "switch/daytime/set",
        "switch/fault_inject/set",
        "switches/set",
        "scenario/set",
        "discovery/set",
        "market/place",
        "market/get",
    ],
)
def test_deep_nesting_is_refused(below, brackets, depth):
    opening, closing = brackets
    depth = min(depth, MAX_PAYLOAD // (len(opening) + 1) - 1)
    refuse(below, opening * depth + "1" + closing * depth)


# The echoed id


@pytest.mark.parametrize(
    "correlation_id", ["x", "", "a b/ü", 0, -5, 2**63, 1.25, True, False, None, "y" * MAX_ID_LENGTH]
)
def test_the_id_comes_back_whatever_it_is(correlation_id):
    assert read("switches/set", {"daytime": True, "id": correlation_id}).id == correlation_id
    for below, wrong in [
        ("switch/daytime/set", {"value": 7}),
        ("switch/nope/set", {"value": True}),
        ("switch/fault_inject/set", {"nope": 7}),
        ("switches/set", {"nope": 7}),
        ("scenario/set", {"value": 7}),
        ("market/place", {"side": "sideways"}),
        ("market/cancel", {}),
        ("market/get", {"limit": 0}),
    ]:
        error = refuse(below, wrong | {"id": correlation_id})
        assert (error.id, type(error.id)) == (correlation_id, type(correlation_id))


@pytest.mark.parametrize("raw", ["{}", "[]", '["x"]', '"' + "y" * (MAX_ID_LENGTH + 1) + '"', "1" * 30, "1e300"])
def test_an_id_that_cannot_be_echoed_is_refused(raw):
    error = refuse("switches/set", f'{{"daytime": true, "id": {raw}}}')
    assert error.code == "invalid_id"
    assert error.id is None


# Several switches


def test_several_switches_at_once():
    command = read("switches/set", {"daytime": "ON", "battery_reserve_pct": 50, "fault_inject": {}, "id": "z"})
    assert command == SetSwitches({"daytime": True, "battery_reserve_pct": 50.0, "fault_inject": {}}, "z")
    assert command.command == "switches/set"


@pytest.mark.parametrize(
    ("payload", "code", "names"),
    [
        ({"daytime": True, "battery_reserve_pct": 500}, "out_of_range", "battery_reserve_pct"),
        ({"daytime": True, "nope": 1}, "unknown_switch", "nope"),
        ({"ev_mode": 3}, "wrong_type", "ev_mode"),
        ({"daytime": True, "fault_inject": {"bias_pct": "x"}}, "wrong_type", "fault_inject"),
        ({"value": True}, "unknown_switch", "value"),
        ({}, "missing_field", "switch"),
        ({"id": 1}, "missing_field", "switch"),
        ([], "wrong_type", "a list"),
        ("true", "wrong_type", "true"),
        ("ON", "invalid_json", "JSON"),
        (b"", "invalid_json", "JSON"),
    ],
)
def test_one_wrong_switch_refuses_all(payload, code, names):
    error = refuse("switches/set", payload)
    assert error.code == code
    assert names in error.message


def test_the_last_of_duplicate_keys_counts():
    assert read("switches/set", '{"daytime": true, "daytime": false}') == SetSwitches({"daytime": False})


# Scenarios


@pytest.mark.parametrize("payload", ["island-mode", " island-mode\n", '"island-mode"', {"value": "island-mode"}])
def test_a_scenario_is_set_by_name(payload):
    assert read("scenario/set", payload) == SetScenario("island-mode")


@pytest.mark.parametrize(
    ("payload", "code"),
    [({"value": 7}, "wrong_type"), ("[]", "wrong_type"), ("{}", "missing_field"), ({"name": "x"}, "missing_field")],
)
def test_what_is_no_scenario(payload, code):
    assert refuse("scenario/set", payload).code == code


# Orders


def test_the_seeds_order():
    command = read("market/place", SELL | {"meter_id": METER})
    assert isinstance(command, PlaceOrder)
    terms = command.terms
    assert (terms.side, terms.type, terms.quantity_mwh, terms.duration_s) == ("sell", "market", 1_500_000, 900)
    assert (terms.price_utok_per_kwh, terms.min_fill_mwh, terms.ttl_s, terms.time_in_force) == (
        None,
        100_000,
        600,
        "GTD",
    )
    assert terms.client_order_id is None


@pytest.mark.parametrize(
    ("words", "side", "kind"),
    [
        ({"side": "sell", "type": "sell_market"}, "sell", "market"),
        ({"side": "buy", "type": "buy_market"}, "buy", "market"),
        ({"type": "sell_limit"}, "sell", "limit"),
        ({"side": "buy_limit"}, "buy", "limit"),
        ({"side": "buy_limit", "type": "limit"}, "buy", "limit"),
        ({"side": "BUY", "type": "Limit"}, "buy", "limit"),
        ({"side": "sell_market", "type": "sell_market"}, "sell", "market"),
        ({"side": None, "type": "sell_market"}, "sell", "market"),
    ],
)
def test_side_and_type_in_many_words(words, side, kind):
    price = {"price": 0.2} if kind == "limit" else {"price": None}
    terms = read("market/place", {"quantity_kwh": 1, "duration_sec": 60} | words | price).terms
    assert (terms.side, terms.type) == (side, kind)
    assert terms.price_utok_per_kwh == (200_000 if kind == "limit" else None)


@pytest.mark.parametrize(
    "words",
    [
        {"side": "sell", "type": "buy_market"},
        {"side": "sell_market", "type": "limit"},
        {"side": "sell_market", "type": "sell_limit"},
        {"side": "sell_limit", "type": "buy_limit"},
    ],
)
def test_a_side_that_disagrees_is_refused(words):
    assert refuse("market/place", SELL | words).code == "side_mismatch"


def test_the_minimum_fill_is_never_more_than_a_small_order():
    assert read("market/place", SELL | {"quantity_kwh": 0.05}).terms.min_fill_mwh == 50_000
    assert refuse("market/place", SELL | {"quantity_kwh": 0.05, "min_fill_kwh": 0.1}).code == "out_of_range"
    assert read("market/place", SELL | {"min_fill_kwh": 0}).terms.min_fill_mwh == 0


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        *[({"quantity_kwh": wrong}, "out_of_range", "quantity_kwh takes a number from 0.001 to 1000000 kWh")
          for wrong in (0, -1, 1e-7, 0.0009, 1e308, 1_000_001)],
        *[({"quantity_kwh": wrong}, "wrong_type", "quantity_kwh takes a number") for wrong in ("1.5", True, [], {})],
        *[({"duration_sec": wrong}, "out_of_range", "duration_sec takes a number from 1 to 2678400 s")
          for wrong in (0, -900, 1e308)],
        *[({"ttl_sec": wrong}, "out_of_range", "ttl_sec takes a number") for wrong in (0, -1, 1e9)],
        *[({"type": "limit", "price": wrong}, "out_of_range", "price takes a number from -1000 to 1000 apt/kWh")
          for wrong in (1e308, -1001)],
        ({"type": "limit", "price": "0.2"}, "wrong_type", "price takes a number"),
        ({"type": "limit"}, "missing_field", "price is missing"),
        ({"type": "limit", "price": None}, "missing_field", "price is missing"),
        ({"price": 0.2}, "price_not_allowed", "takes no price"),
        ({"min_fill_kwh": 1.6}, "out_of_range", "min_fill_kwh takes at most"),
        ({"min_fill_kwh": -1}, "out_of_range", "min_fill_kwh takes a number from 0"),
        ({"side": "sideways"}, "out_of_range", "side takes one of sell, buy, not 'sideways'"),
        ({"side": 5}, "wrong_type", "side takes one of sell, buy, not 5"),
        ({"side": 5, "type": "sell_market"}, "wrong_type", "side takes one of"),
        ({"type": "stop"}, "out_of_range", "type takes one of market, limit"),
        ({"time_in_force": "DAY"}, "out_of_range", "time_in_force takes one of GTD, GTC, IOC, FOK"),
        ({"client_order_id": ""}, "out_of_range", "client_order_id takes text of 1 to 64"),
        ({"client_order_id": "x" * 65}, "out_of_range", "client_order_id takes text of 1 to 64"),
        ({"client_order_id": 5}, "wrong_type", "client_order_id takes text"),
        ({"meter_id": "a/b"}, "out_of_range", "meter_id takes 1 to 64 letters"),
        ({"meter_id": "meter_00002"}, "meter_mismatch", "demo_meter"),
        ({"volume": 1}, "unknown_field", "'volume'"),
        ({"quantity_kwh": None}, "missing_field", "quantity_kwh is missing: it takes a number from"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_order(change, code, says):
    error = refuse("market/place", SELL | change)
    assert error.code == code
    assert says in error.message


@pytest.mark.parametrize("name", ["side", "type", "quantity_kwh", "duration_sec"])
def test_what_an_order_needs(name):
    error = refuse("market/place", {key: value for key, value in SELL.items() if key != name})
    assert error.code == "missing_field"
    assert error.message.startswith(f"{name} is missing")


@pytest.mark.parametrize("payload", ["[]", "5", '"sell"', "null"])
def test_an_order_is_an_object(payload):
    assert refuse("market/place", payload).code == "wrong_type"


def test_terms_keep_their_micro_units():
    order = SELL | {
        "type": "limit",
        "price": -0.000001,
        "quantity_kwh": 0.001001,
        "client_order_id": "c",
        "time_in_force": "fok",
    }
    terms = read("market/place", order).terms
    assert (terms.quantity_mwh, terms.price_utok_per_kwh, terms.time_in_force) == (1001, -1, "FOK")


def test_cancelling():
    assert read("market/cancel", {"order_id": "demo_meter.1", "id": 3}) == CancelOrder("demo_meter.1", 3)


@pytest.mark.parametrize("below", ["market/cancel", "market/get"])
@pytest.mark.parametrize(
    "wrong", ["", "x", "meter_00002.1", "demo_meter.", "demo_meter.1/x", "demo_meter.#", "x" * 60_000]
)
def test_an_order_of_another_meter_is_unknown(below, wrong):
    assert refuse(below, {"order_id": wrong}).code == "unknown_order"


@pytest.mark.parametrize(
    ("below", "payload", "code"),
    [
        ("market/cancel", {}, "missing_field"),
        ("market/cancel", {"order_id": 1}, "wrong_type"),
        ("market/cancel", {"order_id": "demo_meter.1", "now": True}, "unknown_field"),
        ("market/cancel", b"demo_meter.1", "invalid_json"),
        ("market/get", {"order_id": "demo_meter.1", "limit": 5}, "unknown_field"),
        ("market/get", {"limit": 0}, "out_of_range"),
        ("market/get", {"limit": 1e9}, "wrong_type"),
        ("market/get", {"limit": True}, "wrong_type"),
        ("market/get", {"status": "ended"}, "out_of_range"),
        ("market/get", {"status": ["open"]}, "wrong_type"),
        ("market/get", {"client_order_id": 5}, "wrong_type"),
        ("market/get", {"color": "red"}, "unknown_field"),
    ],
)
def test_what_is_wrong_with_cancelling_and_asking(below, payload, code):
    assert refuse(below, payload).code == code


def test_asking_for_orders():
    assert read("market/get", {}) == GetOrders()
    assert read("market/get", {"order_id": "demo_meter.9"}) == GetOrders("demo_meter.9")
    asked = read("market/get", {"status": "open", "client_order_id": "c", "limit": 5, "id": "i"})
    assert asked == GetOrders(None, OrderFilters("open", "c", 5), "i")


# Answers and events


def test_an_answer_goes_round():
    command = read("switch/daytime/set", {"value": "ON", "id": "x"})
    answer = accepted(command, result=True)
    assert orjson.loads(encode_ack(answer)) == {
        "id": "x", "command": "switch/daytime/set", "status": "ok", "code": None, "message": None, "result": True,
    }  # fmt: skip
    assert decode_ack(encode_ack(answer)) == answer


def test_a_refusal_names_its_code():
    error = refuse("switch/daytime/set", {"value": 7, "id": "x"})
    answer = rejected(error, error)
    assert (answer.id, answer.command, answer.status, answer.code) == ("x", "switch/daytime/set", "error", "wrong_type")
    assert decode_ack(encode_ack(answer)) == answer


def test_a_failed_order_is_named_in_the_refusal():
    command = read("market/place", SELL | {"id": 1})
    answer = rejected(command, CommandError("grid_disconnected", "no grid", order_id="demo_meter.4"))
    assert answer == Ack(
        1, "market/place", "error", "grid_disconnected", "no grid", {"order_id": "demo_meter.4", "status": "failed"}
    )


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b"5", b"\xff", b'{"id": 1, "command": "x"}', b"null", b"[" * 5000]
)
def test_what_is_no_answer(payload):
    assert decode_ack(payload) is None


def test_an_event_carries_its_data():
    event = encode_event("trade", "2026-01-01T00:00:00+01:00", METER, {"price": 0.2})
    assert orjson.loads(event) == {
        "event_type": "trade", "timestamp": "2026-01-01T00:00:00+01:00", "meter_id": METER, "price": 0.2,
    }  # fmt: skip
