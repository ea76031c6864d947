"""A disk that is full for a while: commands are refused, telemetry goes on, and it is got over without help."""

import json

import pytest
from process import SimulatorProcess
from talk import Meter

from tests.running import wait_until
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.store.community_store import CommunityStore

STATUS = "wattswap/community/main/status"
ORDER = {"side": "buy", "type": "market", "quantity_kwh": 0.5, "duration_sec": 900}


@pytest.fixture
def start(broker_address, tmp_path, probe):
    """Return a function that starts the simulator as a process on the same data, and waits until it is online."""
    started = []
    probe.subscribe("wattswap/#")

    def run() -> SimulatorProcess:
        started.append(SimulatorProcess(broker_address, tmp_path / "data"))
        probe.wait_for("wattswap/community/main/availability", lambda message: message.payload == b"online")
        return started[-1]

    yield run
    for process in started:
        if process.running:
            process.stop()


def test_a_full_disk_is_told_and_got_over(start, probe):
    process = start()
    meter = Meter(probe)
    meter.set("battery_reserve_pct", "20")
    kept = meter.ask("market/place", ORDER)["result"]["order_id"]
    process.limit_files(1)
    probe.wait_for_json(STATUS, lambda status: status["storage"] == "failed")
    state = meter.state(lambda state: "storage" in {alarm["code"] for alarm in state["alarms"]})
    raised = probe.wait_for_json(f"{meter.topic}/event", lambda event: event["event_type"] == "alarm_raised")
    assert (raised["code"], raised["level"]) == ("storage", "error")
    for below, payload in (
        ("switch/daytime/set", "ON"),
        ("switches/set", {"daytime": True}),
        ("scenario/set", "3"),
        ("market/place", ORDER),
        ("market/cancel", {"order_id": kept}),
    ):
        ack = meter.ask(below, payload)
        assert (ack["status"], ack["code"], ack["result"]) == ("error", "storage", None)
    assert meter.ask("switch/nothing/set", "1")["code"] == "unknown_switch"
    assert meter.ask("market/get", {"order_id": kept})["status"] == "ok"
    assert meter.switches()["battery_reserve_pct"] == 20
    assert meter.switches()["daytime"] is False
    later = meter.later_state()
    assert later["timestamp"] > state["timestamp"]
    process.limit_files(None)
    probe.wait_for_json(STATUS, lambda status: status["storage"] == "ok")
    probe.wait_for_json(f"{meter.topic}/event", lambda event: event["event_type"] == "alarm_cleared")
    assert meter.ask("switch/daytime/set", "ON")["result"] is True
    assert "storage" not in {alarm["code"] for alarm in meter.later_state()["alarms"]}
    last = meter.later_state()["derived"]
    process.kill()
    assert process.said.count("commands are refused and telemetry goes on") == 1
    assert process.said.count("the data can be saved again") == 1
    assert "Traceback" not in process.said
    start()
    after = meter.later_state()["derived"]
    assert after["energy_imported_kwh"] >= last["energy_imported_kwh"]
    assert meter.switches()["daytime"] is True
    assert meter.ask("market/get", {"order_id": kept})["result"]["status"] in ("accepted", "partially_filled")


def test_it_ends_in_good_order_while_the_disk_is_full(start, probe):
    process = start()
    meter = Meter(probe)
    meter.set("daytime", "ON")
    process.limit_files(1)
    probe.wait_for_json(STATUS, lambda status: status["storage"] == "failed")
    assert process.stop() == 0
    assert "Traceback" not in process.said
    probe.wait_for("wattswap/community/main/availability", lambda message: message.payload == b"offline")
    start()
    assert meter.switches()["daytime"] is True


def test_a_disk_that_is_full_from_the_start_is_one_clear_line(broker_address, tmp_path, start):
    start().stop()
    process = SimulatorProcess(broker_address, tmp_path / "data")
    process.limit_files(1)
    wait_until(lambda: not process.running, "it has given up")
    process.kill()
    [line] = process.said.splitlines()
    assert "community-main.sqlite cannot be used" in line


def test_what_was_not_saved_goes_with_the_next_checkpoint(probe, simulate, monkeypatch):
    checkpoint = CommunityStore.checkpoint

    def refuse(*_arguments: object, **_more: object) -> None:
        raise StorageError("the disk is full")

    probe.subscribe("wattswap/#")
    running = simulate()
    meter = Meter(probe)
    monkeypatch.setattr(CommunityStore, "checkpoint", refuse)
    probe.wait_for_json(STATUS, lambda status: status["storage"] == "failed")
    order_id = meter.ask("market/place", ORDER)["result"]["order_id"]  # the journal takes it
    meter.set("ev_mode", "fast")
    assert meter.ask("market/get", {})["result"][0]["order_id"] == order_id
    probe.wait_for_json(f"{meter.topic}/market/order/{order_id}", lambda order: order["status"] == "partially_filled")
    monkeypatch.setattr(CommunityStore, "checkpoint", checkpoint)
    probe.wait_for_json(STATUS, lambda status: status["storage"] == "ok")
    running.stop()
    simulate()
    assert meter.switches()["ev_mode"] == "fast"
    order = meter.ask("market/get", {"order_id": order_id})["result"]
    assert order["status"] == "partially_filled"
    assert order["filled_kwh"] > 0
    seen = [json.loads(m.payload) for m in probe.received if m.topic == f"{meter.topic}/market/order/{order_id}"]
    assert [o["filled_kwh"] for o in seen] == sorted(o["filled_kwh"] for o in seen)
