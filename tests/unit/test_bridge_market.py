import pytest
from bridge_double import METER, bridge_double, problem

SELL = {"meter_id": METER, "side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        client.announce()
        yield client


def test_an_order_always_has_a_client_order_id(bridge):
    first = bridge.post("/market/order", json=SELL).json()
    second = bridge.post("/market/order", json=SELL).json()
    assert first["order_id"] == f"{METER}.1"
    assert len(first["client_order_id"]) == 32
    assert first["client_order_id"] != second["client_order_id"]
    own = bridge.post("/market/order", json=SELL | {"client_order_id": "mine"}).json()
    assert own["client_order_id"] == "mine"


def test_an_order_arrives_as_it_was_placed(bridge):
    bridge.post(
        "/market/order",
        json={"type": "sell_limit", "quantity_kwh": 2, "duration_sec": 60, "price": 0.25, "time_in_force": "IOC"},
    )
    topic, payload = bridge.wire.published[-1]
    assert topic == f"wattswap/meter/{METER}/market/place"
    assert (payload["side"], payload["type"], payload["price"], payload["time_in_force"]) == (
        "sell",
        "limit",
        0.25,
        "IOC",
    )


def test_an_order_may_come_as_a_form(bridge):
    form = {"side": "sell", "type": "market", "quantity_kwh": "1.5", "duration_sec": "900", "price": ""}
    assert bridge.post("/market/order", data=form).status_code == 200
    assert bridge.wire.published[-1][1]["quantity_kwh"] == 1.5
    problem(bridge.post("/market/order", data=form | {"quantity_kwh": "much"}), 422, "wrong_type")
    problem(bridge.post("/market/order", data=form | {"quantity_kwh": "0"}), 422, "out_of_range")


def test_what_cannot_be_read_is_422_and_nothing_is_published(bridge):
    for change, code in (
        ({"quantity_kwh": 0}, "out_of_range"),
        ({"quantity_kwh": -1}, "out_of_range"),
        ({"quantity_kwh": 1e308}, "out_of_range"),
        ({"quantity_kwh": "1.5"}, "wrong_type"),
        ({"quantity_kwh": True}, "wrong_type"),
        ({"quantity_kwh": None}, "missing_field"),
        ({"duration_sec": 0}, "out_of_range"),
        ({"side": "steal"}, "out_of_range"),
        ({"type": "buy_market"}, "side_mismatch"),
        ({"type": "limit"}, "missing_field"),
        ({"price": 1}, "price_not_allowed"),
        ({"extra": 1}, "unknown_field"),
        ({"id": "x"}, "unknown_field"),
        ({"meter_id": "a/b"}, "out_of_range"),
    ):
        response = bridge.post("/market/order", json=SELL | change)
        assert response.status_code == 422, change
        assert response.json()["code"] in (code, "out_of_range"), change
    problem(bridge.post("/market/order", content=b'{"quantity_kwh": NaN}'), 422, "invalid_json")
    problem(bridge.post("/market/order", json=SELL | {"meter_id": "nobody"}), 404, "unknown_meter")
    assert bridge.wire.published == []


def test_a_refused_order_is_409_and_tells_its_id(bridge):
    bridge.wire.refuse("grid_disconnected", "the home is off grid", order_id=f"{METER}.7")
    body = problem(bridge.post("/market/order", json=SELL), 409, "grid_disconnected")
    assert (body["order_id"], body["order_status"]) == (f"{METER}.7", "failed")


def test_an_order_is_asked_for_at_its_meter(bridge):
    assert bridge.told(f"/market/order/{METER}.12") == {"order_id": f"{METER}.12", "status": "executed"}
    assert bridge.wire.published[-1][0] == f"wattswap/meter/{METER}/market/get"
    bridge.wire.refuse("unknown_order", "there is no such order")
    problem(bridge.get(f"/market/order/{METER}.13"), 404, "unknown_order")


@pytest.mark.parametrize(
    "order_id",
    [
        "x",
        "demo_meter",
        "demo_meter.",
        ".1",
        "demo_meter.1.2x",
        "a%2Bb.1",
        "%00.1",
        "demo_meter.-1",
        "demo_meter." + "9" * 40,
    ],
)
def test_an_id_that_can_be_none_is_an_unknown_order(bridge, order_id):
    problem(bridge.get(f"/market/order/{order_id}"), 404, "unknown_order")
    problem(bridge.post(f"/market/cancel?order_id={order_id}"), 404, "unknown_order")
    assert bridge.wire.published == []


@pytest.mark.parametrize(
    "how",
    [
        {"json": {"order_id": f"{METER}.3"}},
        {"params": {"order_id": f"{METER}.3"}},
        {"data": {"order_id": f"{METER}.3"}},
    ],
)
def test_an_order_is_cancelled_by_json_form_or_query(bridge, how):
    assert bridge.post("/market/cancel", **how).json() == {"order_id": f"{METER}.3", "status": "cancelled"}


def test_cancelling_what_cannot_be_cancelled(bridge):
    problem(bridge.post("/market/cancel"), 422, "missing_field")
    problem(bridge.post("/market/cancel", json={"order_id": 3}), 422, "wrong_type")
    problem(bridge.post("/market/cancel", json={"order": "x"}), 422, "unknown_field")
    bridge.wire.refuse("order_ended", "it has ended")
    problem(bridge.post("/market/cancel", json={"order_id": f"{METER}.3"}), 409, "order_ended")
    bridge.wire.refuse("unknown_order", "there is none")
    problem(bridge.post("/market/cancel", json={"order_id": f"{METER}.3"}), 404, "unknown_order")


def test_orders_are_listed_by_filters(bridge):
    assert bridge.told("/market/orders?status=open&client_order_id=x&limit=5") == {"orders": []}
    _, payload = bridge.wire.published[-1]
    assert {name: payload[name] for name in ("status", "client_order_id", "limit")} == {
        "status": "open",
        "client_order_id": "x",
        "limit": 5,
    }
    problem(bridge.get("/market/orders?status=nope"), 422, "out_of_range")
    problem(bridge.get("/market/orders?limit=0"), 422, "out_of_range")
    problem(bridge.get("/market/orders?limit=NaN"), 422, "wrong_type")


def test_the_market_is_that_of_a_community(bridge):
    bridge.tell("community/main/market", {"current_market_price": 0.19, "ledger_sum_utok": 0})
    assert bridge.told("/market") == {"community": "main", "current_market_price": 0.19, "ledger_sum_utok": 0}
    bridge.announce("west_00001", "west")
    assert bridge.told("/market?community=west") == {"community": "west"}
    problem(bridge.get("/market?community=nope"), 404, "unknown_community")
    bridge.tell("community/main/availability", "offline")
    problem(bridge.get("/market"), 503, "simulator_away")
    bridge.here(bridge.wire.go)
    problem(bridge.get("/market"), 503, "broker_away")


def test_without_any_community_there_is_no_market(tmp_path, monkeypatch):
    with bridge_double(tmp_path, monkeypatch) as client:
        problem(client.get("/market"), 503, "simulator_away")


def test_trades_are_remembered(bridge):
    bridge.announce("meter_00001")
    for number in range(4):
        bridge.tell(
            "community/main/market/trade",
            {"timestamp": "2026-06-21T12:00:00Z", "meter_id": f"meter_0000{number % 2}", "n": number},
        )
    bridge.tell("community/main/market/trade", b"junk")
    assert [trade["n"] for trade in bridge.told("/market/trades?limit=2")["trades"]] == [2, 3]
    assert [trade["n"] for trade in bridge.told("/market/trades?meter_id=meter_00001")["trades"]] == [1, 3]
