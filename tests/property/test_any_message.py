"""Whatever arrives, a command is read or refused; what is read can be said again."""

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from wattswap_mqtt.contract.answers import decode_ack, encode_ack, rejected
from wattswap_mqtt.contract.codes import CODES
from wattswap_mqtt.contract.commands import RejectedCommand
from wattswap_mqtt.contract.messages import encode_command, parse_command
from wattswap_mqtt.contract.orders import OrderRequest
from wattswap_mqtt.core.faults import FAULTS
from wattswap_mqtt.core.switches import SWITCHES

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
words = st.sampled_from(
    "ON off fast auto sell buy_limit market limit GTC demo_meter demo_meter.1 p_active open".split()  # noqa: SIM905
)
keys = (
    st.sampled_from([*SWITCHES, *FAULTS, *OrderRequest.model_fields, "value", "id", "order_id", "status", "limit"])
    | st.text()
)
json = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=8), max_leaves=20
)
commands = ("switches/set", "scenario/set", "market/place", "market/cancel", "market/get")
topics = st.sampled_from([*(f"switch/{name}/set" for name in SWITCHES), *commands]) | st.text()


def read_or_refuse(below, payload):
    try:
        command = parse_command("demo_meter", below, payload)
    except RejectedCommand as error:
        answer = rejected(error, error)
        assert answer.code in CODES
        assert 0 < len(answer.message) < 1000
        assert decode_ack(encode_ack(answer)) == answer
    else:
        assert parse_command("demo_meter", command.command, encode_command(command)) == command


@given(topics, st.binary())
@example("switch/fault_inject/set", b'{"value":' * 5000)
def test_any_bytes(below, payload):
    read_or_refuse(below, payload)


@given(topics, st.text())
def test_any_text(below, text):
    read_or_refuse(below, text.encode("utf-8", "surrogatepass"))


@given(topics, json)
def test_any_json(below, value):
    read_or_refuse(below, orjson.dumps(value))


def values_of(switch):
    match switch.kind:
        case "bool":
            return st.booleans()
        case "number":
            return st.floats(switch.minimum, switch.maximum)
        case "choice":
            return st.sampled_from(switch.options)
        case "faults":
            return st.fixed_dictionaries({}, optional={"bias_pct": st.floats(-100, 1000), "offline": st.booleans()})


@given(
    st.fixed_dictionaries({}, optional={name: values_of(switch) for name, switch in SWITCHES.items()}).filter(bool),
    st.none() | st.text(max_size=50) | st.integers(-(2**53), 2**53),
)
def test_every_valid_value_is_read_as_it_is(values, correlation_id):
    command = parse_command("demo_meter", "switches/set", orjson.dumps(values | {"id": correlation_id}))
    assert command.values == values
    assert command.id == correlation_id


orders = {
    "side": st.sampled_from(["sell", "buy"]),
    "quantity_kwh": st.floats(0.001, 1e6),
    "duration_sec": st.floats(1, 31 * 86_400),
    "ttl_sec": st.floats(1, 31 * 86_400),
    "time_in_force": st.sampled_from(["GTD", "GTC", "IOC", "FOK"]),
    "client_order_id": st.none() | st.text(min_size=1, max_size=64),
}


@given(
    st.fixed_dictionaries(orders | {"type": st.just("market")})
    | st.fixed_dictionaries(orders | {"type": st.just("limit"), "price": st.floats(-1000, 1000)})
)
def test_every_valid_order_is_read_as_it_is(order):
    terms = parse_command("demo_meter", "market/place", orjson.dumps(order)).terms
    assert abs(terms.quantity_mwh - order["quantity_kwh"] * 1e6) <= 1
    assert terms.quantity_mwh >= terms.min_fill_mwh >= 0
    assert (terms.side, terms.type, terms.client_order_id) == (order["side"], order["type"], order["client_order_id"])
    read_or_refuse("market/place", orjson.dumps(order))
