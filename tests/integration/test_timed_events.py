"""Scenarios with timed events on the simulator: played to the end from MQTT, over kill -9 as well."""

import json
from datetime import datetime

import pytest
from process import SimulatorProcess
from talk import Meter

from tests.running import wait_until

MARKET = {"type": "market", "duration_sec": 600}
OWN = {
    "slug": "evening",
    "title": "An evening",
    "start": {"soc_pct": 70, "base_load_kw": 1.5},
    "events": [
        {"at": "5m", "order": MARKET | {"side": "sell", "quantity_kwh": 0.2}, "name": "sale"},
        {"at": "20m", "switch": {"grid_connected": False}},
        {"at": "30m", "order": MARKET | {"side": "buy", "quantity_kwh": 1}, "name": "buy"},
        {"at": "40m", "faults": {"bias_pct": 10}},
        {"at": "50m", "switches": {"fault_inject": {}, "grid_connected": True}},
        {"at": "2h", "switch": {"battery_reserve_pct": 33}},
    ],
}  # fmt: skip
HOURS_S = 7200.0


def seconds_after(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def played(meter: Meter) -> list[tuple[float, dict]]:
    """Return what a scenario did, and how long after its start."""
    events = meter.payloads("event")
    begun = next(event["timestamp"] for event in events if event["event_type"] == "scenario_set")
    found = {e["after_s"]: e for e in events if e["event_type"] == "scenario_event"}  # after a crash perhaps told twice
    return [(seconds_after(begun, event["timestamp"]), event) for event in found.values()]


def until_over(meter: Meter) -> None:
    wait_until(lambda: meter.switches()["battery_reserve_pct"] == 33, "the last event has happened")
    wait_until(lambda: any(at > 7000 for at, _ in played(meter)), "it is told")


def test_a_scenario_sent_as_a_whole_plays_to_its_end(probe, simulate):
    probe.subscribe("wattswap/#")
    probe.subscribe("homeassistant/#")
    simulate(discovery_meters=1)
    meter = Meter(probe)
    ack = meter.ask("scenario/set", {"value": OWN, "id": 1})
    assert (ack["status"], ack["result"], ack["id"]) == ("ok", "evening", 1)
    assert probe.latest(f"{meter.topic}/scenario") == b"evening"
    options = json.loads(probe.latest("homeassistant/device/demo_meter/config"))["cmps"]["scenario"]["ops"]
    assert options[-1] == "evening", "a choice is known before it is made"
    meter.set("time_acceleration", "600")
    until_over(meter)
    told = played(meter)
    assert [round(at, 3) for at, _ in told] == [300, 1200, 1800, 2400, 3000, 7200]
    assert [event["after_s"] for _, event in told] == [300, 1200, 1800, 2400, 3000, 7200]
    sale, buy = told[0][1]["order_id"], told[2][1]["order_id"]
    assert json.loads(probe.latest(f"{meter.topic}/market/order/{sale}"))["status"] == "executed"
    failed = json.loads(probe.latest(f"{meter.topic}/market/order/{buy}"))
    assert (failed["status"], told[2][1]["code"]) == ("failed", "grid_disconnected")
    assert meter.switches()["fault_inject"] == {}
    assert probe.latest(f"{meter.topic}/scenario") == b"evening", "what it does itself does not end it"
    biased = [m for m in probe.received if m.topic == f"{meter.topic}/switches" and b'"bias_pct":10' in m.payload]
    assert biased, "a switch that an event sets is told"


@pytest.mark.parametrize("end", ["none", "hand"])
def test_what_is_to_come_ends_with_the_scenario(probe, simulate, end):
    probe.subscribe("wattswap/#")
    simulate()
    meter = Meter(probe)
    meter.ask("scenario/set", {"value": OWN})
    if end == "none":
        meter.ask("scenario/set", "none")
    else:
        meter.set("battery_reserve_pct", "15")
    meter.set("time_acceleration", "3600")
    begun = meter.later_state()["timestamp"]
    meter.state(lambda state: seconds_after(begun, state["timestamp"]) > HOURS_S)
    assert [e for e in meter.payloads("event") if e["event_type"] == "scenario_event"] == []
    assert meter.switches()["battery_reserve_pct"] == (10 if end == "none" else 15)


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        ({"slug": "x"}, "missing_field", "title is missing"),
        ({**OWN, "events": [{"at": "5 minutes", "faults": {}}]}, "out_of_range", "events[0].at: takes a duration"),
        (
            {**OWN, "switches": {"daytme": True}},
            "unknown_switch",
            "switches.daytme: is no switch: did you mean daytime",
        ),
        (["outage"], "wrong_type", "by its name, or as a whole"),
    ],
)
def test_a_wrong_scenario_is_refused_and_nothing_changes(probe, simulate, value, code, says):
    probe.subscribe("wattswap/#")
    simulate()
    meter = Meter(probe)
    before = meter.state()["battery"]["soc_pct"]
    ack = meter.ask("scenario/set", {"value": value, "id": "mine"})
    assert (ack["status"], ack["code"], ack["id"]) == ("error", code, "mine")
    assert says in ack["message"]
    assert probe.latest(f"{meter.topic}/scenario") == b"none"
    assert meter.later_state()["battery"]["soc_pct"] == pytest.approx(before, abs=0.1)


def test_a_folder_of_ones_own_is_known_by_name(probe, simulate, tmp_path):
    (tmp_path / "mine.yaml").write_text("slug: dusk\ntitle: Dusk\nstart: {soc_pct: 44}\n")
    probe.subscribe("wattswap/#")
    probe.subscribe("homeassistant/#")
    simulate(scenarios=tmp_path)
    meter = Meter(probe)
    assert meter.ask("scenario/set", "dusk")["result"] == "dusk"
    assert meter.payloads("state")[-1]["battery"]["soc_pct"] == pytest.approx(44, abs=0.1)
    assert meter.ask("scenario/set", "7")["result"] == "island-mode"
    assert "dusk" in json.loads(probe.latest("homeassistant/device/demo_meter/config"))["cmps"]["scenario"]["ops"]


def test_kill_9_in_the_middle_loses_nothing_of_it(make_probe, broker_address, tmp_path):
    probe = make_probe(broker_address)
    probe.subscribe("wattswap/#")
    running = SimulatorProcess(broker_address, tmp_path)
    meter = Meter(probe)
    meter.state()
    meter.ask("scenario/set", {"value": OWN})
    meter.set("time_acceleration", "600")
    for after_s in (1200, 2400, 3000):
        wait_until(lambda after_s=after_s: any(at >= after_s for at, _ in played(meter)), f"{after_s} s")
        running.kill()
        running = SimulatorProcess(broker_address, tmp_path)
    until_over(meter)
    assert running.stop() == 0
    told = played(meter)
    assert [event["after_s"] for _, event in told] == [300, 1200, 1800, 2400, 3000, 7200]
    assert [at for at, _ in told] == pytest.approx([event["after_s"] for _, event in told], abs=60)
    orders = {event["order"]: event["order_id"] for _, event in told if "order" in event}
    ended = {name: json.loads(probe.latest(f"{meter.topic}/market/order/{key}")) for name, key in orders.items()}
    assert (ended["sale"]["status"], ended["buy"]["status"]) == ("executed", "failed")
    assert ended["sale"]["filled_kwh"] == pytest.approx(0.2, abs=0.001)
    assert len(orders) == len({*orders.values()}) == 2
