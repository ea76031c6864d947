"""Commands over MQTT: every form of them, one answer to each, and whatever else arrives."""

import json
import logging

import pytest
from talk import Meter

from tests.running import wait_until
from wattswap_mqtt.contract.messages import MAX_PAYLOAD
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.switches import SWITCHES

STATUS = "wattswap/community/main/status"
FLOOD = 500


@pytest.fixture
def meter(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate()
    return Meter(probe)


def acks(meter: Meter) -> list[dict]:
    """Return the answers so far, and see to it that nothing before this is still to be answered."""
    meter.send("market/get", {"id": "the last", "limit": 1})
    wait_until(lambda: b"the last" in (meter.probe.latest(f"{meter.topic}/ack") or b""), "all is answered", 60)
    return [ack for ack in meter.payloads("ack") if ack["id"] != "the last"]


PLAIN = [
    ("daytime", "ON", True),
    ("daytime", "on", True),
    ("daytime", "true", True),
    ("daytime", "1", True),
    ("daytime", " True\n", True),
    ("grid_connected", "OFF", False),
    ("grid_connected", "0", False),
    ("market_enabled", "ON", True),
    ("battery_reserve_pct", "50", 50),
    ("battery_reserve_pct", " 12.5 ", 12.5),
    ("manual_load_delta_kw", "-1.5", -1.5),
    ("manual_load_delta_kw", "+2e0", 2),
    ("sun_cloud_factor", "0", 0),
    ("ev_plug", "yes", True),
    ("ev_mode", "fast", "fast"),
    ("ev_mode", "SOLAR", "solar"),
    ("fault_inject", '{"bias_pct": 10}', {"bias_pct": 10}),
    ("fault_inject", '{"value": {"offline": true}, "id": null}', {"offline": True}),
    ("time_acceleration", "3600", 3600),
    ("sun_mode", "auto", "auto"),
    ("daytime", '{"value": true}', True),
    ("daytime", '{"value": "on"}', True),
    ("battery_reserve_pct", '{"value": "75"}', 75),
]


def test_every_switch_takes_plain_values_and_json(meter):
    assert {name for name, _, _ in PLAIN} == set(SWITCHES)
    for name, payload, value in PLAIN:
        meter.ask("scenario/set", "none")
        ack = meter.ask(f"switch/{name}/set", payload)
        expected = {"id": None, "status": "ok", "code": None, "message": None, "result": value}
        assert ack == {"command": f"switch/{name}/set"} | expected, payload
        assert meter.switches()[name] == value


def test_several_switches_and_scenarios(meter):
    values = {"daytime": True, "ev_mode": "fast", "fault_inject": {"stuck": ["p_active"]}, "battery_reserve_pct": "20"}
    ack = meter.ask("switches/set", values | {"id": "x"})
    assert (ack["status"], ack["id"]) == ("ok", "x")
    assert ack["result"] == values | {"battery_reserve_pct": 20}
    assert meter.switches() | values == meter.switches() | {"battery_reserve_pct": "20"}
    assert meter.ask("scenario/set", "11")["result"] == "ev-fast-charging"
    assert meter.probe.latest(f"{meter.topic}/scenario") == b"ev-fast-charging"
    assert meter.ask("scenario/set", {"value": "daytime-pv", "id": 7})["result"] == "daytime-pv"
    meter.set("daytime", "ON")
    assert meter.probe.latest(f"{meter.topic}/scenario") == b"daytime-pv", "it was on before"
    meter.set("daytime", "OFF")
    assert meter.probe.latest(f"{meter.topic}/scenario") == b"none"
    assert meter.ask("scenario/set", "none")["result"] == "none"


def test_the_id_is_echoed_whatever_it_is(meter):
    ids = ["a", "", "ß€😀\n\0", 'x" OR 1=1 --', "../../etc", "x" * 256, 0, -1, 1.5, 2**53, True, False, None]
    for number in ids:
        meter.send("switch/daytime/set", {"value": True, "id": number})
    answers = acks(meter)
    assert [ack["id"] for ack in answers] == ids
    assert all(ack["status"] == "ok" for ack in answers)


def test_setting_a_switch_shows_in_state_and_switches_before_the_answer(meter):
    values = (1.0, 2.0, 3.0, 4.0, 5.0)
    for value in values:
        meter.send("switch/manual_load_delta_kw/set", {"value": value, "id": value})
    acks(meter)
    topics = [(m.topic.removeprefix(f"{meter.topic}/"), m.payload) for m in list(meter.probe.received)]
    for value in values:
        answered = next(i for i, (t, p) in enumerate(topics) if t == "ack" and json.loads(p)["id"] == value)
        for topic in ("state", "hub"):  # a later value if several were taken in at once
            loads = [json.loads(p)["loads"]["load_power_kw"] for t, p in topics[:answered] if t == topic]
            assert max(loads) >= 2 + value
        switches = [json.loads(p)["manual_load_delta_kw"] for t, p in topics[:answered] if t == "switches"]
        assert max(switches) >= value


WRONG = [
    ("switch/daytime/set", "maybe", "wrong_type"),
    ("switch/daytime/set", "", "wrong_type"),
    ("switch/daytime/set", "2", "wrong_type"),
    ("switch/daytime/set", b"\xff\xfe", "not_utf8"),
    ("switch/daytime/set", '{"value": true', "invalid_json"),
    ("switch/daytime/set", '{"value": NaN}', "invalid_json"),
    ("switch/daytime/set", '{"state": true}', "missing_field"),
    ("switch/daytime/set", '{"value": true, "meter_id": "x"}', "unknown_field"),
    ("switch/daytime/set", "[" * 10_000 + "]" * 10_000, "invalid_json"),
    ("switch/daytime/set", '{"a":' * 5_000 + "1" + "}" * 5_000, "invalid_json"),
    ("switch/daytime/set", {"value": True, "id": "x" * 257}, "invalid_id"),
    ("switch/daytime/set", {"value": True, "id": [1]}, "invalid_id"),
    ("switch/daytime/set", {"value": True, "id": {"a": 1}}, "invalid_id"),
    ("switch/daytime/set", '{"value": true, "id": 1e400}', "invalid_json"),
    ("switch/daytime/set", '{"value": true, "id": "\\ud800"}', "invalid_json"),
    ("switch/battery_reserve_pct/set", "101", "out_of_range"),
    ("switch/battery_reserve_pct/set", "-0.001", "out_of_range"),
    ("switch/battery_reserve_pct/set", "NaN", "wrong_type"),
    ("switch/battery_reserve_pct/set", "Infinity", "wrong_type"),
    ("switch/battery_reserve_pct/set", "1e999", "out_of_range"),
    ("switch/battery_reserve_pct/set", "true", "wrong_type"),
    ("switch/battery_reserve_pct/set", "٣", "wrong_type"),
    ("switch/time_acceleration/set", "3601", "out_of_range"),
    ("switch/time_acceleration/set", "-1", "out_of_range"),
    ("switch/ev_mode/set", "turbo", "out_of_range"),
    ("switch/fault_inject/set", '{"explode": 1}', "unknown_fault"),
    ("switch/fault_inject/set", '{"bias_pct": "10"}', "wrong_type"),
    ("switch/fault_inject/set", '{"stuck": ["__class__"]}', "unknown_field"),
    ("switch/fault_inject/set", {"stuck": ["measurements.p_active"] * 20}, "too_long"),
    ("switch/fault_inject/set", '{"noise_pct": 1, "sigma_pct": 1}', "conflicting_faults"),
    ("switch/nothing/set", "1", "unknown_switch"),
    ("switch/__class__/set", "1", "unknown_switch"),
    ("switch/__init__/set", "1", "unknown_switch"),
    ("switch/ /set", "1", "unknown_switch"),
    ("switch/" + "x" * 5000 + "/set", "1", "unknown_switch"),
    ("switches/set", "{}", "missing_field"),
    ("switches/set", "[]", "wrong_type"),
    ("switches/set", "ON", "invalid_json"),
    ("switches/set", '{"daytime": true, "ev_mode": "turbo"}', "out_of_range"),
    ("switches/set", '{"daytime": true, "__dict__": {}}', "unknown_switch"),
    ("scenario/set", "moonlight", "unknown_scenario"),
    ("scenario/set", "13.5", "unknown_scenario"),
    ("scenario/set", '{"value": 3}', "wrong_type"),
    ("market/place", "{}", "missing_field"),
    ("market/place", {"side": "sell", "type": "market", "quantity_kwh": 0, "duration_sec": 900}, "out_of_range"),
    ("market/place", {"side": "sell", "type": "market", "quantity_kwh": -1, "duration_sec": 900}, "out_of_range"),
    ("market/place", {"side": "sell", "type": "market", "quantity_kwh": 1e308, "duration_sec": 9}, "out_of_range"),
    ("market/place", {"side": "sell", "type": "market", "quantity_kwh": True, "duration_sec": 9}, "wrong_type"),
    ("market/place", {"side": "sell", "type": "buy_market", "quantity_kwh": 1, "duration_sec": 9}, "side_mismatch"),
    ("market/place", {"side": "buy", "type": "limit", "quantity_kwh": 1, "duration_sec": 9}, "missing_field"),
    ("market/cancel", "{}", "missing_field"),
    ("market/cancel", {"order_id": "demo_meter.99"}, "unknown_order"),
    ("market/cancel", {"order_id": "meter_00002.1"}, "unknown_order"),
    ("market/cancel", {"order_id": "demo_meter.1' OR 1"}, "unknown_order"),
    ("market/cancel", {"order_id": 1}, "wrong_type"),
    ("market/get", {"order_id": "demo_meter.99"}, "unknown_order"),
    ("market/get", {"order_id": "demo_meter.999999999999999"}, "unknown_order"),
    ("market/get", {"limit": 0}, "out_of_range"),
    ("market/get", {"limit": 1e3}, "wrong_type"),
    ("market/get", {"status": "lost"}, "out_of_range"),
    ("market/get", b"\0", "invalid_json"),
    ("market/place", b"", "invalid_json"),
    ("switches/set", b"{" + b" " * MAX_PAYLOAD + b"}", "too_large"),
    ("switch/daytime/set", b"1" * 2**20, "too_large"),
    ("scenario/set", b"\xff" * 2**20, "too_large"),
]


def test_a_wrong_command_changes_nothing_is_answered_and_the_truth_is_told_again(meter):
    meter.set("time_acceleration", "0")
    for below, payload, code in WRONG:
        before, seen = meter.switches(), len(meter.probe.received)
        ack = meter.ask(below, payload)
        assert (ack["status"], ack["code"], ack["result"]) == ("error", code, None), (below, str(payload)[:80])
        assert len(ack["message"]) < 400
        assert "\n" not in ack["message"]
        told = [m.topic.removeprefix(f"{meter.topic}/") for m in meter.probe.received[seen:]]
        if below != "market/get":
            for topic in ("switches", "state", "scenario", "hub", "event"):
                assert topic in told[: told.index("ack")], (below, topic)
        assert meter.switches() == before
    assert len(acks(meter)) == len(WRONG) + 1
    assert meter.event("command_rejected")["code"] == WRONG[0][2]


def test_what_is_no_command_of_ours_is_answered_by_nobody(meter):
    for topic in (
        "wattswap/meter/meter_00003/switch/daytime/set",
        "wattswap/meter/Demo_Meter/switch/daytime/set",
        "wattswap/meter//switch/daytime/set",
        "wattswap/meter/" + "x" * 65 + "/switch/daytime/set",
        "wattswap/meter/demo meter/switch/daytime/set",
        "wattswap/meter/demo_meter/switch/daytime/set/more",
        "wattswap/meter/demo_meter/set",
        "wattswap/meter/demo_meter/market",
        "wattswap/meter/😀/scenario/set",
        "homeassistant/status",
        "somewhere/else",
    ):
        meter.probe.publish(topic, b"ON")
    assert acks(meter) == []
    assert not [m for m in list(meter.probe.received) if m.topic.endswith("/ack") and "demo_meter" not in m.topic]
    assert meter.switches()["daytime"] is False


@pytest.mark.parametrize(
    "below", ["switch/daytime", "daytime/set", "switches/daytime/set", "state/set", "market/order"]
)
def test_who_mistakes_the_topic_is_told_what_there_is(meter, below):
    meter.probe.publish(f"{meter.topic}/{below}", b"ON")
    ack = meter.probe.wait_for_json(f"{meter.topic}/ack")
    assert (ack["command"], ack["code"]) == (below, "unknown_command")
    assert "switch/{switch}/set" in ack["message"]


def test_a_retained_command_is_ignored_and_that_is_said(probe, simulate, caplog):
    probe.subscribe("wattswap/#")
    probe.publish("wattswap/meter/demo_meter/switch/daytime/set", "ON", retain=True)
    probe.publish("wattswap/meter/demo_meter/scenario/set", "no such scenario", retain=True)
    with caplog.at_level(logging.WARNING):
        simulate()
        meter = Meter(probe)
        commands = {meter.event("command_rejected")["command"] for _ in range(2)}
    assert commands == {"switch/daytime/set", "scenario/set"}
    assert {e["code"] for e in meter.payloads("event") if e["event_type"] == "command_rejected"} == {"retained_command"}
    assert "retained command on wattswap/meter/demo_meter/switch/daytime/set" in caplog.text
    assert acks(meter) == []
    assert meter.switches()["daytime"] is False


def test_a_flood_is_answered_completely_and_telemetry_goes_on(probe, simulate):
    probe.subscribe("wattswap/meter/+/ack")
    probe.subscribe(STATUS)
    simulate()
    meters = [Meter(probe), Meter(probe, "meter_00002")]
    probe.wait_for(STATUS)
    payloads = ["ON", "OFF", "maybe", b"\xff", "{" * 100]
    for number in range(2000):
        topic = f"{meters[number % 2].topic}/switch/daytime/set"
        probe.send(topic, json.dumps({"value": number % 3 == 0, "id": number}))
        if number % 10 == 0:
            probe.send(topic, payloads[number // 10 % len(payloads)])
    answers = [[m for m in acks(meter) if m["id"] is not None] for meter in meters]
    assert [ack["id"] for ack in answers[0]] == list(range(0, 2000, 2))
    assert [ack["id"] for ack in answers[1]] == list(range(1, 2000, 2))
    assert len(meters[0].payloads("ack")) == 1000 + 200 + 1
    topics = [m.topic for m in list(probe.received)]
    first, last = topics.index(f"{meters[0].topic}/ack"), len(topics) - 1 - topics[::-1].index(f"{meters[1].topic}/ack")
    assert topics[first:last].count(STATUS) >= 3, "ticks in between"


def test_a_flood_of_questions_for_lists_does_not_stall_it_either(probe, simulate):
    probe.subscribe("wattswap/meter/+/ack")
    probe.subscribe(STATUS)
    simulate()
    meter = Meter(probe)
    for _ in range(20):
        order = meter.order(quantity_kwh=0.2, duration_sec=600)
        meter.ask("market/cancel", {"order_id": order["result"]["order_id"]})
    seen = len(probe.received)
    for number in range(200):
        probe.send(f"{meter.topic}/market/get", json.dumps({"id": f"q{number}"}))
    lists = [ack for ack in acks(meter) if str(ack["id"]).startswith("q")]
    assert [ack["id"] for ack in lists] == [f"q{number}" for number in range(200)]
    assert all(len(ack["result"]) == 20 for ack in lists)
    assert STATUS in [m.topic for m in probe.received[seen:]]


def test_a_failure_inside_a_command_is_answered_and_not_fatal(meter, monkeypatch, caplog):
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Community, "set_switches", fail)
    monkeypatch.setattr(Exchange, "cancel", fail)
    for below, payload in (("switch/daytime/set", "ON"), ("market/cancel", {"order_id": "demo_meter.1"})):
        ack = meter.ask(below, payload)
        assert (ack["status"], ack["code"]) == ("error", "internal_error")
    assert "a bug" in caplog.text
    monkeypatch.undo()
    assert meter.ask("switch/daytime/set", "ON")["result"] is True


def test_events_tell_what_happened_in_order(meter):
    meter.set("daytime", "ON")
    meter.set("daytime", "ON")
    meter.set("grid_connected", "OFF")
    meter.set("grid_connected", "ON")
    meter.ask("scenario/set", "3")
    meter.ask("scenario/set", "33")
    acks(meter)
    told = [e for e in meter.payloads("event") if e["event_type"] not in ("started", "alarm_raised", "alarm_cleared")]
    assert [e["event_type"] for e in told] == [
        *("switch_changed", "grid_disconnect", "switch_changed", "grid_reconnect", "switch_changed"),
        *("scenario_set", "command_rejected"),
    ]
    assert told[0] | {"switch": "daytime", "value": True, "previous": False} == told[0]
    assert told[-1]["code"] == "unknown_scenario"
    alarms = [e["event_type"] for e in meter.payloads("event") if e.get("code") == "grid_disconnected"]
    assert alarms == ["alarm_raised", "alarm_cleared"]
    wait_until(lambda: meter.probe.latest(STATUS), "ticks go on")


def test_a_flood_for_one_meter_holds_up_no_other(probe, simulate, monkeypatch):
    """Of many that wait each meter has its turn, and the answers to some have been sent before more are carried out."""
    monkeypatch.setattr("wattswap_mqtt.roles.simulator.simulator.CATCH_UP_S", 60.0)  # however slow the machine is
    simulator = simulate(meters=2, publish_interval=60).simulator
    obey, batches, backed_up = simulator._device.obey, [], []

    def watched(messages):
        while not batches and len(messages) + len(simulator._inbox) <= FLOOD:
            simulator._connection.wait(0.01)  # until all have come
        backed_up.append(simulator._connection.backed_up)
        batches.append([message.payload for message in messages])
        obey(messages)

    simulator._device.obey = watched
    for number in range(FLOOD):
        probe.publish("wattswap/meter/demo_meter/switch/battery_reserve_pct/set", str(number % 100), 1)
    probe.subscribe("wattswap/meter/+/ack")
    probe.publish("wattswap/meter/meter_00002/switch/daytime/set", "ON", 1)
    wait_until(lambda: sum(map(len, batches)) > FLOOD, "all were carried out")
    assert b"ON" in batches[1]
    assert [payload for batch in batches for payload in batch if payload != b"ON"] == [
        b"%d" % (number % 100) for number in range(FLOOD)
    ]
    assert not any(backed_up)
    probe.wait_for("wattswap/meter/meter_00002/ack")
