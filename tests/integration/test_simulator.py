"""The simulator and its broker: every topic as the contract's table says, at each connect, and at the end."""

import json
import logging
import threading
from itertools import pairwise

import pytest
from talk import Meter

from tests.running import wait_until
from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.topics import CHANNELS, METER_ID, Channel, Topics
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.switches import SWITCHES
from wattswap_mqtt.roles.simulator import Simulator, announcer

TOLD = [channel for channel in CHANNELS if channel.sent_by == "device"]
RETAINED = [channel for channel in TOLD if channel.retained != "no"]
STATUS = "wattswap/community/main/status"
LIFTED = "some/topic"


def channel_of(topic: str) -> Channel:
    """Return the channel that a topic belongs to: the one with the most fixed levels that fits."""

    def fits(channel: Channel) -> bool:
        address = Topics().address(channel).split("/")
        levels = topic.split("/")
        return len(address) == len(levels) and all(
            a in (b, f"{{{a.strip('{}')}}}") for a, b in zip(address, levels, strict=True)
        )

    return max(filter(fits, CHANNELS), key=lambda channel: -Topics().address(channel).count("{"))


def retained_by(make_probe, address) -> dict[str, tuple[bytes, int]]:
    """Return what a new subscriber gets with the retain flag, by topic: payload and QoS.

    A message that is sent to it in the meantime comes after what is retained, and marks the end of it.
    """
    probe = make_probe(address)
    probe.subscribe("#")
    probe.publish("the/end", b"")
    probe.wait_for("the/end")
    return {message.topic: (message.payload, message.qos) for message in list(probe.received) if message.retain}


def lifted_to(probe) -> int:
    """Return the quality of service with which a message sent with 0 comes: amqtt lifts it to the subscription's."""
    probe.subscribe(LIFTED)
    probe.publish(LIFTED, b"", 0)
    return probe.wait_for(LIFTED).qos


def everything_retained(meter: Meter) -> None:
    """Bring about what is retained at times only: a fault, an open and an ended order."""
    meter.set("market_enabled", "ON")
    order_id = meter.order(quantity_kwh=0.5, duration_sec=3600)["result"]["order_id"]
    meter.ask("market/cancel", {"order_id": order_id})
    meter.order(type="limit", price=0.5, quantity_kwh=0.5, duration_sec=3600)
    meter.set("fault_inject", '{"bias_pct": 5}')


def test_every_topic_has_the_quality_of_service_and_retention_of_the_table(probe, simulate, make_probe, broker_address):
    probe.subscribe("wattswap/#")
    probe.subscribe("homeassistant/#")
    simulate()
    meter = Meter(probe)
    everything_retained(meter)
    probe.wait_for("wattswap/community/main/market/trade")
    wait_until(lambda: probe.latest(STATUS), "the status has come")
    least = lifted_to(probe)
    live = {channel_of(m.topic): m.qos for m in list(probe.received) if m.topic != LIFTED}
    assert {channel.name: qos for channel, qos in live.items() if channel in TOLD} == {
        channel.name: max(channel.qos, least) for channel in TOLD
    }
    retained = retained_by(make_probe, broker_address)
    assert {channel_of(topic).name: qos for topic, (_, qos) in retained.items()} == {
        channel.name: max(channel.qos, least) for channel in RETAINED
    }
    for name in ("demo_meter", "meter_00002"):
        for below in ("state", "hub", "availability", "switches", "scenario"):
            assert f"wattswap/meter/{name}/{below}" in retained
        assert f"homeassistant/device/{name}/config" in retained
    assert "wattswap/meter/meter_00002/truth" not in retained


def test_the_first_messages_hold_true_values(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate()
    meter = Meter(probe)
    state = meter.state()
    assert state["battery"]["soc_pct"] == pytest.approx(60, abs=0.1), "time may have passed before it was connected"
    assert probe.wait_for("wattswap/meter/demo_meter/availability").payload == b"online"
    assert set(meter.switches()) == set(SWITCHES)
    assert probe.wait_for("wattswap/meter/demo_meter/scenario").payload == b"none"
    assert json.loads(probe.wait_for("wattswap/meter/meter_00002/switches").payload)["sun_mode"] == "auto"
    started = meter.event("started")
    assert {"timestamp", "boot_id"} <= set(started)
    order = [m.topic for m in list(probe.received)]
    assert order.index("wattswap/meter/demo_meter/state") < order.index("wattswap/meter/demo_meter/availability")
    assert order.index("wattswap/meter/meter_00002/hub") < order.index("wattswap/community/main/availability")
    status = probe.wait_for_json(STATUS, lambda status: status["tick_rate"] > 0 and status["lag_s"] == 0)
    assert (status["meters"], status["time_acceleration"], status["storage"]) == (2, 1.0, "ok")
    assert status["boot_id"] == started["boot_id"]
    market = probe.wait_for_json("wattswap/community/main/market")
    assert (market["import_tariff"], market["feed_in_tariff"], market["ledger_sum_utok"]) == (0.3, 0.08, 0)


def test_states_come_in_order_of_seq_and_time(probe, simulate):
    probe.subscribe("wattswap/meter/demo_meter/#")
    simulate()
    meter = Meter(probe)
    meter.set("time_acceleration", "60")
    for value in ("ON", "OFF", "ON"):
        meter.set("daytime", value)
    meter.state(lambda state: state["pv"]["pv_power_kw"] == 4)
    for earlier, later in pairwise(meter.payloads("state")):
        assert earlier["seq"] < later["seq"]
        assert earlier["timestamp"] <= later["timestamp"]
        assert earlier["published_at"] <= later["published_at"]


def test_everything_retained_comes_again_on_a_broker_that_has_lost_it(broker, simulate, make_probe):
    meter = Meter(make_probe(broker.address))
    meter.probe.subscribe("wattswap/#")
    simulate()
    everything_retained(meter)
    before = retained_by(make_probe, broker.address)
    broker.stop()
    broker.start()
    again = make_probe(broker.address)
    again.subscribe("wattswap/#")
    again.subscribe("homeassistant/#")
    again.wait_for("homeassistant/device/meter_00002/config")
    for order_id in ("demo_meter.1", "demo_meter.2"):
        again.wait_for(f"wattswap/meter/demo_meter/market/order/{order_id}")
    after = retained_by(make_probe, broker.address)
    assert set(after) == set(before)
    for topic in before:
        if not topic.endswith(("/state", "/hub", "/truth", "/status", "/market")):
            assert after[topic] == before[topic]
    orders = {json.loads(payload)["status"] for topic, (payload, _) in after.items() if "/market/order/" in topic}
    assert orders == {"accepted", "cancelled"}
    assert Meter(again).ask("switch/daytime/set", "ON")["result"] is True


def test_a_truth_that_an_earlier_process_left_is_cleared(probe, simulate):
    simulate().stop()
    topic = "wattswap/meter/meter_00002/truth"
    probe.publish(topic, b"{}", retain=True)
    probe.subscribe(topic)
    assert probe.wait_for(topic).payload == b"{}"
    simulate()
    assert probe.wait_for(topic).payload == b""


def test_a_birth_message_brings_discovery_again_but_not_in_quick_succession(probe, simulate, monkeypatch):
    probe.subscribe("homeassistant/#")
    probe.subscribe("wattswap/#")
    monkeypatch.setattr(announcer, "REDISCOVERY_PAUSE_S", 3600.0)
    simulate(meters=1)
    topic = "homeassistant/device/demo_meter/config"
    first = probe.wait_for(topic)
    meter = Meter(probe)

    def told_after_birth(times: int) -> int:
        before = len([m for m in list(probe.received) if m.topic == topic])
        for _ in range(times):
            probe.publish("homeassistant/status", "online")
        meter.ask("market/get", {})  # what was published before it is obeyed before it
        return len([m for m in list(probe.received) if m.topic == topic]) - before

    assert told_after_birth(3) == 0, "it was told a moment ago"
    monkeypatch.setattr(announcer, "REDISCOVERY_PAUSE_S", -1.0)
    assert told_after_birth(1) == 1
    monkeypatch.setattr(announcer, "REDISCOVERY_PAUSE_S", 3600.0)
    assert told_after_birth(3) == 0
    probe.publish("homeassistant/status", "offline")
    probe.publish("homeassistant/status", b"\xff")
    assert told_after_birth(0) == 0
    assert probe.latest(topic) == first.payload


def test_only_the_first_meters_are_discovered_and_fewer_are_taken_back(simulate, make_probe, broker_address):
    simulate(meters=3, discovery_meters=2).stop()
    configs = [topic for topic in retained_by(make_probe, broker_address) if topic.startswith("homeassistant")]
    assert sorted(configs) == [f"homeassistant/device/{name}/config" for name in ("demo_meter", "meter_00002")]
    simulate(meters=3, discovery_meters=1).stop()
    configs = [topic for topic in retained_by(make_probe, broker_address) if topic.startswith("homeassistant")]
    assert configs == ["homeassistant/device/demo_meter/config"]


def test_meters_are_announced_on_request_and_that_lasts(probe, simulate):
    probe.subscribe("wattswap/#")
    probe.subscribe("homeassistant/#")
    running = simulate(meters=3, discovery_meters=1)
    first, third = Meter(probe), Meter(probe, "meter_00003")
    topics = {meter: f"homeassistant/device/{meter}/config" for meter in ("demo_meter", "meter_00003")}
    assert json.loads(probe.wait_for(topics["demo_meter"]).payload)["cmps"]
    assert probe.latest(topics["meter_00003"]) is None, "hubs complain about removing what they do not know"
    assert third.ask("discovery/set", "ON")["result"] is True
    assert json.loads(probe.latest(topics["meter_00003"]))["dev"]["ids"] == ["wattswap_meter_00003"]
    assert first.ask("discovery/set", {"value": False, "id": 7})["id"] == 7
    assert probe.latest(topics["demo_meter"]) == b""
    assert first.ask("discovery/set", "perhaps")["code"] == "wrong_type"
    running.stop()
    seen = len(probe.received)
    simulate(meters=3, discovery_meters=1)
    told: dict[str, bytes] = {}

    def told_of_the_third() -> bool:
        told.update((m.topic, m.payload) for m in list(probe.received[seen:]))
        return topics["meter_00003"] in told

    wait_until(told_of_the_third, "the third meter is announced")
    assert topics["demo_meter"] not in told, "it was taken back before"
    assert json.loads(told[topics["meter_00003"]])["cmps"]


def test_what_an_upgrade_drops_is_retired_once(probe, simulate, monkeypatch):
    probe.subscribe("homeassistant/#")
    topic = "homeassistant/device/demo_meter/config"
    older = announcer.device_config

    def with_more(*args):
        config = older(*args)
        config["cmps"]["pv_pv_hum_pct"] = {"p": "sensor", "uniq_id": "demo_meter_pv_pv_hum_pct"}
        config["cmps"]["switch_ev_mode"]["p"] = "text"
        return config

    monkeypatch.setattr(announcer, "device_config", with_more)
    simulate(meters=1).stop()
    assert "pv_pv_hum_pct" in json.loads(probe.wait_for(topic).payload)["cmps"]
    monkeypatch.undo()
    for told in (2, 1):
        seen = len(probe.received)
        simulate(meters=1).stop()
        configs = [json.loads(m.payload)["cmps"] for m in probe.received[seen:] if m.topic == topic]
        assert len(configs) == told
        if told == 2:
            assert configs[0]["pv_pv_hum_pct"] == {"p": "sensor"}
            assert configs[0]["switch_ev_mode"] == {"p": "text"}
        assert "pv_pv_hum_pct" not in configs[-1]
        assert configs[-1]["switch_ev_mode"]["p"] == "select"


def test_stopping_says_goodbye(probe, simulate, make_probe, broker_address):
    probe.subscribe("wattswap/community/main/availability")
    running = simulate()
    assert probe.wait_for("wattswap/community/main/availability").payload == b"online"
    running.stop()
    assert probe.wait_for("wattswap/community/main/availability").payload == b"offline"
    assert retained_by(make_probe, broker_address)["wattswap/community/main/availability"][0] == b"offline"


def test_other_base_topic_community_and_prefix(probe, simulate):
    probe.subscribe("#")
    simulate(base_topic="home/energy", discovery_prefix="ha", community="north-1", meters=1)
    wait_until(lambda: probe.latest("home/energy/community/north-1/status"), "the status has come")
    probe.publish("home/energy/meter/north-1_00001/switch/daytime/set", "ON")
    assert probe.wait_for_json("home/energy/meter/north-1_00001/ack")["result"] is True
    assert not [m.topic for m in list(probe.received) if not m.topic.startswith(("home/energy/", "ha/device/"))]
    meters = {m.topic.split("/")[3] for m in list(probe.received) if m.topic.startswith("home/energy/meter/")}
    assert meters == {"north-1_00001"}
    assert METER_ID.fullmatch("north-1_00001")


def test_a_broker_that_is_away_at_the_start_is_waited_for(free_port, tmp_path, caplog, make_probe):
    from tests.running import AmqttThread

    port = free_port()
    settings = Settings(broker=f"mqtt://127.0.0.1:{port}", data_dir=tmp_path, meters=1)
    simulator, stop = Simulator(settings, settings.broker_address), threading.Event()
    thread = threading.Thread(target=simulator.run, args=(stop,))
    with caplog.at_level(logging.WARNING):
        thread.start()
        wait_until(lambda: "waiting for the broker" in caplog.text, "it is said")
    broker = AmqttThread(port)
    broker.start()
    probe = make_probe(broker.address)
    probe.subscribe("wattswap/#")
    Meter(probe).state()
    stop.set()
    simulator.wake()
    thread.join()
    broker.stop()


# Time.


def test_the_answer_does_not_wait_until_a_large_community_is_told_of_its_clock(probe, simulate):
    probe.subscribe("wattswap/#")
    meters = 400
    running = simulate(meters=meters, publish_interval=3600)  # no states, which a busy machine has enough to do with
    first, last = Meter(probe), Meter(probe, f"meter_{meters:05d}")
    first.set("time_acceleration", "2")
    wait_until(lambda: last.switches()["time_acceleration"] == 2, "the last meter has it too")
    told = [
        message.topic
        for message in probe.received
        if message.topic == f"{first.topic}/ack" or (message.topic.endswith("/switches") and b":2.0" in message.payload)
    ]
    assert len(told) == meters + 1
    assert told.index(f"{first.topic}/ack") <= 101  # its own, and a hundred
    first.set("time_acceleration", "3")
    running.stop()
    wait_until(lambda: last.switches()["time_acceleration"] == 3, "nobody is left out when it ends")


def test_time_acceleration_is_one_for_all_meters_and_0_pauses(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate()
    first, second = Meter(probe), Meter(probe, "meter_00002")
    first.state()
    first.set("time_acceleration", "600")
    wait_until(lambda: second.switches()["time_acceleration"] == 600, "the other meter has it too")
    probe.wait_for_json(STATUS, lambda status: status["time_acceleration"] == 600)
    second.set("time_acceleration", "0")
    assert (first.switches()["time_acceleration"], second.switches()["time_acceleration"]) == (0, 0)
    paused = first.state(lambda state: state["seq"] >= second.payloads("state")[-1]["seq"])
    later = first.state(lambda state: state["seq"] > paused["seq"] + 5)
    assert later["timestamp"] == paused["timestamp"]
    assert later["published_at"] > paused["published_at"]
    for name in ("energy_imported_kwh", "load_energy_kwh", "battery_discharged_kwh"):
        assert later["derived"][name] == paused["derived"][name]
    first.set("time_acceleration", "1")
    first.state(lambda state: state["timestamp"] > paused["timestamp"])


def test_a_scenario_on_one_meter_resets_the_acceleration_of_all(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate()
    first, second = Meter(probe), Meter(probe, "meter_00002")
    first.set("time_acceleration", "60")
    second.ask("scenario/set", "daytime-pv")
    assert first.switches()["time_acceleration"] == 1


def test_a_pace_that_cannot_be_held_shows_as_lag_and_loses_no_energy(probe, simulate, monkeypatch):
    slow = threading.Event()
    slow.set()
    advance = Community.advance

    def advance_slowly(community: Community, duration_s: float) -> None:
        advance(community, duration_s)
        if slow.is_set():
            threading.Event().wait(0.03)  # longer than the publish interval: the machine cannot hold the pace

    monkeypatch.setattr(Community, "advance", advance_slowly)
    probe.subscribe("wattswap/#")
    simulate(publish_interval=0.01, meters=1)
    meter = Meter(probe)
    meter.set("time_acceleration", "100")
    probe.wait_for_json(STATUS, lambda status: status["lag_s"] > 0.2 and status["tick_rate"] < 10)
    slow.clear()
    probe.wait_for_json(STATUS, lambda status: status["lag_s"] == 0)
    meter.set("time_acceleration", "0")
    begin, end = meter.payloads("state")[0], meter.payloads("state")[-1]
    seconds = timestamp_s(end) - timestamp_s(begin)
    used = end["derived"]["load_energy_kwh"] - begin["derived"]["load_energy_kwh"]
    assert seconds > 20
    assert used == pytest.approx(2.0 * seconds / 3600, rel=1e-3), "2 kW all the time"


def timestamp_s(state: dict) -> float:
    from datetime import datetime

    return datetime.fromisoformat(state["timestamp"]).timestamp()
