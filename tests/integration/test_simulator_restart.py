"""Stopping and starting again: everything goes on, with other meters and other settings too."""

import logging
import sqlite3
import subprocess
import sys
from datetime import datetime
from itertools import pairwise

import pytest
from talk import Meter

from tests.running import SimulatorThread, wait_until
from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.roles.simulator import Simulator
from wattswap_mqtt.store.community_store import VERSION

ONLINE = "wattswap/community/main/availability"
REGISTERS = [
    *("energy_imported_kwh", "energy_exported_kwh", "pv_energy_kwh", "load_energy_kwh", "battery_charged_kwh"),
    *("battery_discharged_kwh", "ev_energy_kwh", "co2_emissions_kg", "co2_savings_kg", "unserved_energy_kwh"),
    *("token_earnings_apt", "token_spending_apt", "curtailed_energy_kwh"),
]


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def stop(running: SimulatorThread, probe) -> None:
    """Stop, and wait until everything that was told has been received."""
    running.stop()
    probe.wait_for(ONLINE, lambda message: message.payload == b"offline")


def restarted(running: SimulatorThread, simulate, probe, **settings: object) -> SimulatorThread:
    """Stop and start again."""
    stop(running, probe)
    return simulate(**settings)


def announced(meter: Meter, starts: int) -> None:
    """Wait until a meter has said so many times that it started: all that is retained has come before.

    A state is no sign of that: with QoS 0 it overtakes what is sent with QoS 1.
    """
    told = {"event_type": "started"}
    wait_until(lambda: sum(e | told == e for e in meter.payloads("event")) == starts, "everything is told again")


def never_back(meter: Meter) -> None:
    """Check that nothing that counts has ever gone down, in all that a meter has told."""
    states = meter.payloads("state")
    for earlier, later in pairwise(states):
        assert earlier["seq"] < later["seq"]
        assert earlier["timestamp"] <= later["timestamp"]
        for name in REGISTERS:
            assert earlier["derived"][name] <= later["derived"][name], name


def test_everything_goes_on(probe, simulate):
    probe.subscribe("wattswap/#")
    running = simulate()
    meter, other = Meter(probe), Meter(probe, "meter_00002")
    values = {"daytime": True, "market_enabled": True, "battery_reserve_pct": 20.0, "ev_plug": True, "ev_mode": "solar"}
    meter.ask("switches/set", values)
    other.ask("scenario/set", "load-spike")
    meter.set("time_acceleration", "600")
    other.set("fault_inject", '{"bias_pct": 10, "stuck": ["v_rms"]}')
    delivery = meter.order(quantity_kwh=2, duration_sec=3600)["result"]["order_id"]
    waiting = meter.order(type="limit", price=0.5, quantity_kwh=1, duration_sec=900, time_in_force="GTC")["result"]
    meter.state(lambda state: state["derived"]["token_earnings_apt"] > 0.01)
    meter.set("time_acceleration", "0")
    before, before_other = meter.later_state(), other.later_state()
    running = restarted(running, simulate, probe)
    announced(meter, 2)
    after, after_other = meter.later_state(), other.later_state()
    moving = {"seq", "published_at"}
    assert {k: v for k, v in after.items() if k not in moving} | {"measurements": 0} == {
        k: v for k, v in before.items() if k not in moving
    } | {"measurements": 0}
    assert after_other["derived"]["energy_imported_kwh"] == before_other["derived"]["energy_imported_kwh"]
    assert after_other["measurements"]["v_rms"] == before_other["measurements"]["v_rms"]
    assert meter.switches() | values | {"time_acceleration": 0} == meter.switches()
    assert other.switches()["fault_inject"] == {"bias_pct": 10, "stuck": ["v_rms"]}
    meter.set("time_acceleration", "3600")
    order = meter.probe.wait_for_json(f"{meter.topic}/market/order/{delivery}", lambda o: o["status"] == "executed")
    assert order["filled_kwh"] == pytest.approx(2, abs=0.002)
    assert meter.ask("market/get", {"order_id": waiting["order_id"]})["result"]["status"] == "accepted"
    assert meter.order(side="buy", quantity_kwh=1, duration_sec=60)["result"]["order_id"] == "demo_meter.3"
    market = probe.wait_for_json("wattswap/community/main/market", lambda m: m["timestamp"] > order["ended_at"])
    assert market["ledger_sum_utok"] == 0
    never_back(meter)
    never_back(other)


def test_the_scenario_and_its_base_load_go_on(probe, simulate):
    probe.subscribe("wattswap/#")
    running = simulate()
    meter = Meter(probe)
    meter.ask("scenario/set", "load-spike")
    restarted(running, simulate, probe)
    announced(meter, 2)
    assert probe.latest(f"{meter.topic}/scenario") == b"load-spike"
    state = meter.later_state()
    assert state["loads"]["load_power_kw"] == 8
    assert state["derived"]["system_status"] == "Testing load response and battery buffering"


def test_the_clock_goes_on_from_the_later_of_saved_and_wall(probe, simulate):
    probe.subscribe("wattswap/#")
    meter = Meter(probe)
    running = simulate(start="2020-06-21T12:00:00Z", tz="UTC")
    first = meter.state()
    assert first["timestamp"].startswith("2020-06-21T12:00:0")
    meter.set("time_acceleration", "3600")
    meter.state(lambda state: state["timestamp"] > "2020-06-21T14")
    running = restarted(running, simulate, probe, start="2020-06-21T12:00:00Z", tz="UTC")
    again = meter.later_state()["timestamp"]
    assert "2020-06-21T14" < again < "2021", "with --start the wall clock does not count"
    running = restarted(running, simulate, probe, start="2020-06-21T13:00:00Z", tz="UTC")
    assert again <= meter.later_state()["timestamp"] < "2021", "never back"
    running = restarted(running, simulate, probe, start="2024-01-01T00:00:00Z", tz="UTC")
    assert "2024-01-01" <= meter.later_state()["timestamp"] < "2025"
    meter.set("time_acceleration", "1")
    restarted(running, simulate, probe, tz="UTC")
    now = meter.later_state()
    assert now["timestamp"][:16] <= now["published_at"][:16]
    assert now["timestamp"] > "2026"
    never_back(meter)


def test_what_lies_between_is_not_simulated(probe, simulate):
    probe.subscribe("wattswap/#")
    running = simulate(start="2024-01-01T00:00:00Z", tz="UTC")
    meter = Meter(probe)
    order = meter.order(quantity_kwh=0.5, duration_sec=900)["result"]["order_id"]
    stop(running, probe)
    before = meter.payloads("state")[-1]
    simulate(start="2024-01-02T00:00:00Z", tz="UTC")
    after = meter.state(lambda state: state["seq"] > before["seq"])
    hours = seconds_between("2024-01-02T00:00:00Z", after["timestamp"]) / 3600
    assert hours >= 0
    used = after["derived"]["load_energy_kwh"] - before["derived"]["load_energy_kwh"]
    assert used == pytest.approx(2.0 * hours, abs=0.001), "2 kW since it runs again"
    assert after["battery"]["soc_pct"] == pytest.approx(before["battery"]["soc_pct"], abs=0.1 + 50 * hours)
    ended = probe.wait_for_json(f"{meter.topic}/market/order/{order}", lambda o: o["status"] not in {"accepted", "x"})
    assert ended["status"] in ("partially_filled", "expired", "failed")
    wait_until(lambda: meter.later_state()["market"]["pending_orders"] == 0, "its window is over")


def test_meters_that_go_are_parked_and_come_back_as_they_were(probe, simulate):
    probe.subscribe("wattswap/#")
    probe.subscribe("homeassistant/#")
    running = simulate(meters=3)
    meters = [Meter(probe, name) for name in ("demo_meter", "meter_00002", "meter_00003")]
    gone = meters[2]
    meters[0].set("time_acceleration", "3600")
    gone.ask("switches/set", {"battery_reserve_pct": 33, "market_enabled": True})
    order = gone.order(side="buy", quantity_kwh=0.5, duration_sec=36000)["result"]["order_id"]
    gone.state(lambda state: state["derived"]["load_energy_kwh"] > 0.2 and state["derived"]["token_spending_apt"] > 0)
    stop(running, probe)
    left = gone.payloads("state")[-1]
    for starts in (2, 3):  # once more while it is gone: it stays parked
        seen = len(probe.received)
        running = simulate(meters=2)
        announced(meters[0], starts)
        meters[1].later_state()
        told = {m.topic: m.payload for m in probe.received[seen:]}
        assert told[f"{gone.topic}/availability"] == b"offline"
        assert told.get("homeassistant/device/meter_00003/config") == (b"" if starts == 2 else None)
        assert f"{gone.topic}/state" not in told
        gone.send("switch/daytime/set", "ON")
        assert meters[1].ask("market/get", {})["status"] == "ok"
        assert not [ack for ack in gone.payloads("ack") if ack["command"] == "switch/daytime/set"]
        if starts == 3:
            meters[0].set("time_acceleration", "0")  # so that a new meter is seen before it has used anything
        stop(running, probe)
    running = simulate(meters=4)
    announced(meters[0], 4)
    back = gone.later_state()
    assert probe.latest(f"{gone.topic}/availability") == b"online"
    assert probe.latest("homeassistant/device/meter_00003/config") != b""
    assert gone.switches()["battery_reserve_pct"] == 33
    assert back["derived"]["load_energy_kwh"] >= left["derived"]["load_energy_kwh"]
    assert back["derived"]["token_spending_apt"] >= left["derived"]["token_spending_apt"]
    assert gone.ask("market/get", {"order_id": order})["status"] == "ok"
    assert Meter(probe, "meter_00004").state()["derived"]["load_energy_kwh"] == 0
    meters[0].set("time_acceleration", "3600")
    stop(running, probe)
    stop(simulate(meters=1), probe)
    simulate(meters=4)
    gone.later_state()
    for meter in (*meters, Meter(probe, "meter_00004")):
        meter.later_state()
        never_back(meter)


def test_a_crash_while_meters_go_loses_nothing(probe, simulate, tmp_path):
    probe.subscribe("wattswap/#")
    running = simulate(meters=2, start="2024-01-01T00:00:00Z")
    other = Meter(probe, "meter_00002")
    other.set("time_acceleration", "3600")
    other.state(lambda state: state["derived"]["load_energy_kwh"] > 0.1)
    stop(running, probe)
    settings = Settings(broker="mqtt://127.0.0.1:1", data_dir=tmp_path / "data", meters=1, start="2024-01-01T00:00:00Z")
    unused = Simulator(settings, settings.broker_address)  # parks the other meter, and never gets to its first tick
    unused.close()
    simulate(meters=2, start="2024-01-01T00:00:00Z")
    other.later_state()
    never_back(other)


def test_an_earlier_last_trade_is_still_told(probe, simulate):
    probe.subscribe("wattswap/#")
    running = simulate()
    meter = Meter(probe)
    meter.order(quantity_kwh=0.5, duration_sec=900)
    trade = meter.later_state()["market"]["last_trade"]
    assert trade["order_id"] == "demo_meter.1"
    stop(running, probe)
    last = meter.payloads("state")[-1]["seq"]
    simulate()
    first = meter.state(lambda state: state["seq"] > last)
    assert first["market"]["last_trade"] == trade


# Files that cannot be used.


def settings_for(tmp_path) -> Settings:
    return Settings(broker="mqtt://127.0.0.1:1", data_dir=tmp_path / "data")


def test_a_corrupt_file_is_set_aside_and_that_is_said(probe, simulate, tmp_path, caplog):
    file = tmp_path / "data" / "community-main.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"this is no database" * 1000)
    probe.subscribe("wattswap/#")
    with caplog.at_level(logging.WARNING):
        simulate()
    assert "set aside as community-main.sqlite.corrupt-" in caplog.text
    assert Meter(probe).ask("switch/daytime/set", "ON")["status"] == "ok"
    [aside] = file.parent.glob("*.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    settings = settings_for(tmp_path)
    Simulator(settings, settings.broker_address).close()
    file = tmp_path / "data" / "community-main.sqlite"
    with sqlite3.connect(file) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(StorageError, match="written by a newer release"):
        Simulator(settings, settings.broker_address)


def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path):
    settings = settings_for(tmp_path)
    simulator = Simulator(settings, settings.broker_address)
    simulator.close()
    with sqlite3.connect(tmp_path / "data" / "community-main.sqlite") as db:
        db.execute("INSERT INTO state VALUES ('checkpoint', x'00ff')")
    db.close()
    for _ in range(2):  # the second time tells that the file was let go of
        with pytest.raises(StorageError, match="checkpoint cannot be read"):
            Simulator(settings, settings.broker_address)


def test_a_second_simulator_on_the_same_data_is_refused(simulate, tmp_path):
    simulate()
    settings = settings_for(tmp_path)
    with pytest.raises(StorageError, match="another process uses it: stop that one, or give --data-dir"):
        Simulator(settings, settings.broker_address)
    command = [sys.executable, "-m", "wattswap_mqtt", "simulator", "--broker", "mqtt://127.0.0.1:1"]
    second = subprocess.run(
        [*command, "--data-dir", settings.data_dir], capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    [line] = second.stderr.splitlines()
    assert "community-main.sqlite cannot be used: another process uses it" in line
    other = Settings(broker="mqtt://127.0.0.1:1", data_dir=settings.data_dir, community="north")
    Simulator(other, other.broker_address).close()
