"""Whatever a client sends to the bridge, and whatever anyone publishes, it answers and never with a 500."""

import orjson
import pytest
from bridge_double import METER, bridge_double
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattswap_mqtt.core.switches import SWITCHES

GETS = (
    "meter/{}/snapshot", "meter/{}/truth", "meter/{}/timeseries", "control/switches", "control/time_acceleration",
    "market/order/{}", "market/orders", "market", "market/trades", "events", "meters", "health", "constants",
    "scenarios",
)  # fmt: skip
POSTS = ("control/switch", "market/order", "market/cancel", "scenarios/{}")
PARAMETERS = (
    "meter_id", "start", "end", "resolution", "fields", "limit", "cursor", "status", "client_order_id", "order_id",
    "type", "since", "community", "x",
)  # fmt: skip
FIELDS = (
    "meter_id", "switch", "value", "side", "type", "quantity_kwh", "duration_sec", "price", "min_fill_kwh", "ttl_sec",
    "time_in_force", "client_order_id", "order_id", "id",
)  # fmt: skip

TOPICS = (
    *(f"meter/{METER}/{below}" for below in ("state", "truth", "availability", "switches", "scenario", "ack", "event")),
    *(f"community/main/{below}" for below in ("availability", "status", "market", "market/trade", "nope")),
    f"meter/{METER}/market/order/x", f"meter/{METER}/nope", "meter/", "meter/a b/state", "community/", "x", "",
)  # fmt: skip

encodable = st.characters(exclude_categories=["Cs"])
awkward = st.sampled_from(
    [
        METER, f"{METER}.1", "", " ", "+", "#", "/", "..", "%", "\x00", "NaN", "Infinity", "-Infinity", "1e999",
        "9" * 400,
        "0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "2026-06-21T12:00",
        "2026-06-21T12:00:00 02:00", "2026-W01-1", "1d", "1s", "pv", "pv.pv_power_kw", "dDE", "open", "sell", "market",
        "__class__", "\ufeff", "\u202e", "true", "null", "{}", "[]", *SWITCHES,
    ]
)  # fmt: skip
texts = awkward | st.text(encodable, max_size=30)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
queries = st.dictionaries(st.sampled_from(PARAMETERS), texts | numbers.map(str), max_size=5)
bodies = (
    st.dictionaries(st.sampled_from(FIELDS) | texts, values, max_size=6).map(orjson.dumps)
    | values.map(orjson.dumps)
    | st.binary(max_size=60)
)
kinds = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/plain",
        "",
        "\xff",
    ]
)


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.announce()
        yield client


many = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _check(response):
    assert response.status_code in (200, 404, 409, 422, 503), response.text
    if response.status_code >= 400 and "tick_rate" not in response.json():  # health tells the same when it is not well
        assert response.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code"} <= set(response.json())


@many
@given(path=st.sampled_from(GETS), name=texts, query=queries)
def test_any_question_is_answered(bridge, path, name, query):
    _check(bridge.get("/" + path.format(_escaped(name)), params=query))


@many
@given(path=st.sampled_from(POSTS), name=texts, query=queries, body=bodies, kind=kinds)
def test_any_command_is_answered(bridge, path, name, query, body, kind):
    headers = {b"content-type": kind.encode("latin-1")}
    _check(bridge.post("/" + path.format(_escaped(name)), params=query, content=body, headers=headers))


@many
@given(
    topic=st.sampled_from(TOPICS),
    payload=bodies,
    path=st.sampled_from(GETS),
)
def test_any_message_leaves_the_bridge_well(bridge, topic, payload, path):
    bridge.tell(topic, payload)
    _check(bridge.get("/" + path.format(METER), params={"start": "2026-01-01", "end": "2027-01-01"}))
    response = bridge.get("/metrics", root=True)
    assert response.status_code == 200
    bridge.announce()


def _escaped(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())
