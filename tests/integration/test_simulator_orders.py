"""Orders over MQTT: their topics, their events in order, and asking for them however long ago they ended."""

import json

import pytest
from talk import Meter

from tests.running import wait_until
from wattswap_mqtt.core.market import roster
from wattswap_mqtt.roles.simulator import persistence

TRADE = "wattswap/community/main/market/trade"
ENDED = {"executed", "failed", "expired", "cancelled"}


@pytest.fixture
def meter(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate()
    return Meter(probe)


def topic_of(order_id: str) -> str:
    return f"wattswap/meter/{order_id.rpartition('.')[0]}/market/order/{order_id}"


def until_ended(meter: Meter, order_id: str) -> dict:
    return meter.probe.wait_for_json(topic_of(order_id), lambda order: order["status"] in ENDED)


def test_an_order_is_delivered_told_at_each_step_and_paid(meter):
    meter.set("daytime", "ON")
    meter.set("time_acceleration", "600")
    meter.state(lambda state: state["pv"]["pv_power_kw"] > 3.9)  # before, the battery alone has less than 4 kW to sell
    ack = meter.order(quantity_kwh=1.0, duration_sec=900, client_order_id="c1")
    order = ack["result"]
    assert (ack["status"], order["status"], order["order_id"]) == ("ok", "accepted", "demo_meter.1")
    assert order["reserved_kwh"] == 1
    ended = until_ended(meter, "demo_meter.1")
    assert (ended["status"], ended["filled_kwh"], ended["remaining_kwh"]) == ("executed", 1, 0)
    assert sum(part["quantity_kwh"] for part in ended["executions"]) == pytest.approx(1)
    told = [json.loads(m.payload) for m in list(meter.probe.received) if m.topic == topic_of("demo_meter.1")]
    filled = [version["filled_kwh"] for version in told]
    assert filled == sorted(filled)
    statuses = list(dict.fromkeys(version["status"] for version in told))
    assert statuses in (["accepted", "partially_filled", "executed"], ["accepted", "executed"])  # if it was behind
    event = meter.event("order_executed")
    assert (event["order_id"], event["client_order_id"], event["filled_kwh"]) == ("demo_meter.1", "c1", 1)
    kinds = [e["event_type"] for e in meter.payloads("event") if "order_id" in e]
    assert kinds == ["order_accepted", "trade", "order_partially_filled", "order_executed"]
    times = [e["timestamp"] for e in meter.payloads("event")]
    assert times == sorted(times)
    trade = meter.probe.wait_for_json(TRADE)
    assert (trade["order_id"], trade["counterparty"], trade["price"]) == ("demo_meter.1", "utility", 0.08)
    state = meter.later_state()
    assert state["derived"]["token_earnings_apt"] == pytest.approx(0.08)
    assert state["market"]["last_trade"] == trade
    assert state["market"]["pending_orders"] == 0
    market = meter.probe.wait_for_json("wattswap/community/main/market", lambda market: market["last_trade"])
    assert (market["last_trade"], market["current_market_price"], market["ledger_sum_utok"]) == (trade, 0.08, 0)


def test_who_has_an_answer_finds_the_order_in_the_market(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate(publish_interval=600)
    meter = Meter(probe)
    meter.set("market_enabled", "ON")
    placed = meter.order(type="limit", price=0.2, quantity_kwh=0.5, duration_sec=900)["result"]
    assert (placed["status"], placed["matched_kwh"]) == ("accepted", 0)
    assert json.loads(probe.latest("wattswap/community/main/market"))["depth"]["asks"] == [
        {"price": 0.2, "quantity_kwh": 0.5}
    ]
    meter.ask("market/cancel", {"order_id": placed["order_id"]})
    assert json.loads(probe.latest("wattswap/community/main/market"))["depth"]["asks"] == []


def test_the_seeds_steps_4_to_7(meter):
    meter.set("daytime", "ON")
    before = meter.later_state()
    order_id = meter.order(quantity_kwh=1.5, duration_sec=900)["result"]["order_id"]
    during = meter.payloads("state")[-1]
    assert during["grid"]["grid_export_kw"] > before["grid"]["grid_export_kw"]
    meter.set("time_acceleration", "10")
    meter.state(lambda state: state["battery"]["soc_pct"] < before["battery"]["soc_pct"])
    meter.set("grid_connected", "OFF")
    lost = until_ended(meter, order_id)
    assert (lost["status"], lost["reason"]) == ("failed", "grid_disconnected")
    assert lost["filled_kwh"] > 0
    refused = meter.order(side="buy", quantity_kwh=1, duration_sec=900)
    assert (refused["status"], refused["code"]) == ("error", "grid_disconnected")
    assert refused["result"] == {"order_id": "demo_meter.2", "status": "failed"}
    assert until_ended(meter, "demo_meter.2")["status"] == "failed"
    kept = meter.ask("market/get", {"order_id": "demo_meter.2"})["result"]
    assert (kept["status"], kept["reason"]) == ("failed", "grid_disconnected")
    assert meter.later_state()["derived"]["token_spending_apt"] == 0


def test_the_last_version_of_an_order_is_retained_for_a_time_and_then_cleared(
    meter, monkeypatch, make_probe, broker_address
):
    open_id = meter.order(side="buy", quantity_kwh=1, duration_sec=36000)["result"]["order_id"]
    with monkeypatch.context() as patch:
        patch.setattr(persistence, "ORDER_RETAINED_S", 0.2)
        short_id = meter.order(quantity_kwh=1, duration_sec=3600)["result"]["order_id"]
        meter.ask("market/cancel", {"order_id": short_id})
    order_id = meter.order(quantity_kwh=1, duration_sec=3600)["result"]["order_id"]
    meter.ask("market/cancel", {"order_id": order_id})
    assert until_ended(meter, short_id)["status"] == "cancelled"
    meter.probe.wait_for(topic_of(short_id), lambda message: message.payload == b"")
    last = make_probe(broker_address)
    last.subscribe("wattswap/meter/+/market/order/+")
    assert last.wait_for_json(topic_of(open_id))["status"] in ("accepted", "partially_filled")
    assert last.wait_for_json(topic_of(order_id))["status"] == "cancelled"
    assert topic_of(short_id) not in [message.topic for message in last.received]


def test_an_order_that_ended_before_a_restart_is_cleared_in_its_time(probe, simulate, monkeypatch):
    clock = Clock(monkeypatch)
    probe.subscribe("wattswap/#")
    running = simulate()
    meter = Meter(probe)
    order_id = meter.order(quantity_kwh=1, duration_sec=3600)["result"]["order_id"]
    meter.ask("market/cancel", {"order_id": order_id})
    running.stop()
    clock.offset_s = 3599
    running = simulate()
    meter.later_state()
    assert json.loads(probe.latest(topic_of(order_id)))["status"] == "cancelled"
    running.stop()
    clock.offset_s = 3602
    simulate()
    probe.wait_for(topic_of(order_id), lambda message: message.payload == b"")


def test_an_order_is_not_forgotten_to_be_cleared_while_the_broker_is_away(broker, simulate, make_probe, monkeypatch):
    clock = Clock(monkeypatch)
    running = simulate()
    probe = make_probe(broker.address)
    probe.subscribe("wattswap/#")
    meter = Meter(probe)
    order_id = meter.order(quantity_kwh=1, duration_sec=3600)["result"]["order_id"]
    meter.ask("market/cancel", {"order_id": order_id})
    stale = probe.latest(topic_of(order_id))
    broker.stop()
    wait_until(lambda: not running.simulator._connection.connected, "the simulator has noticed")
    clock.offset_s = 3602
    ticks = running.simulator._community.seq
    wait_until(lambda: running.simulator._community.seq > ticks + 2, "time has passed")
    running.stop()
    broker.start()
    keeper = make_probe(broker.address)
    keeper.publish(topic_of(order_id), stale, retain=True)  # as a broker that keeps what is retained would have it
    keeper.subscribe(topic_of(order_id))
    simulate()
    keeper.wait_for(topic_of(order_id), lambda message: message.payload == b"")


class Clock:
    """The wall clock as `persistence` sees it: it stands still, moved on by `offset_s`."""

    def __init__(self, monkeypatch) -> None:
        self.offset_s = 0.0
        self._now_s = persistence.time.time()
        monkeypatch.setattr(persistence, "time", self)

    def time(self) -> float:
        return self._now_s + self.offset_s


def test_orders_are_found_by_id_and_filters_also_long_after_they_ended(probe, simulate, monkeypatch):
    monkeypatch.setattr(roster, "KEPT", 1)
    monkeypatch.setattr(roster, "KEPT_LATELY", 1)
    probe.subscribe("wattswap/#")
    running = simulate()
    meter = Meter(probe)
    terms = {"quantity_kwh": 0.5, "duration_sec": 3600}
    placed = [meter.order(client_order_id=f"c{n}", **terms)["result"] for n in range(1, 6)]
    for order in placed[:4]:
        meter.ask("market/cancel", {"order_id": order["order_id"]})
    for _ in range(2):
        one = meter.ask("market/get", {"order_id": "demo_meter.1", "id": 1})
        assert (one["id"], one["result"]["status"]) == (1, "cancelled")
        for name in ("order_id", "client_order_id", "quantity_kwh", "created_at", "expires_at", "average_price"):
            assert one["result"][name] == placed[0][name]
        listed = {
            "all": meter.ask("market/get", {}),
            "open": meter.ask("market/get", {"status": "open"}),
            "cancelled": meter.ask("market/get", {"status": "cancelled", "limit": 3}),
            "client's": meter.ask("market/get", {"client_order_id": "c2"}),
            "executed": meter.ask("market/get", {"status": "executed"}),
        }
        numbers = {name: [int(row["order_id"][11:]) for row in ack["result"]] for name, ack in listed.items()}
        assert numbers == {"all": [5, 4, 3, 2, 1], "open": [5], "cancelled": [4, 3, 2], "client's": [2], "executed": []}
        assert all(set(row) == set(placed[0]) for row in listed["all"]["result"])
        again = meter.order(client_order_id="c1", **terms)
        assert (again["status"], again["result"]["order_id"], again["result"]["status"]) == (
            "ok", "demo_meter.1", "cancelled",
        )  # fmt: skip
        other = meter.order(client_order_id="c1", quantity_kwh=0.6, duration_sec=3600)
        assert other["code"] == "client_order_id_reused"
        assert meter.ask("market/cancel", {"order_id": "demo_meter.1"})["code"] == "order_ended"
        running.stop()
        running = simulate()


def test_orders_of_this_very_moment_are_found_before_anything_is_saved(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate(publish_interval=3600)
    meter, other = Meter(probe), Meter(probe, "meter_00002")
    for number in range(3):
        meter.send("market/place", {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 900 + number})
    meter.send("market/cancel", {"order_id": "demo_meter.2"})
    rows = meter.ask("market/get", {"limit": 2})["result"]
    assert [(row["order_id"], row["status"]) for row in rows] == [
        ("demo_meter.3", "accepted"), ("demo_meter.2", "cancelled"),
    ]  # fmt: skip
    assert [row["order_id"] for row in meter.ask("market/get", {"status": "cancelled"})["result"]] == ["demo_meter.2"]
    assert other.ask("market/get", {})["result"] == []
    assert json.loads(probe.latest(topic_of("demo_meter.2")))["status"] == "cancelled"
