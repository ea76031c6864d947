"""The real commands as processes: ready, serving, ending in order, and one clear line when they cannot."""

import asyncio
import re
import signal
import socket
import sqlite3
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

from tests.processes import UP, launch, ready
from tests.running import PATIENCE_S, wait_until
from wattswap_mqtt import app
from wattswap_mqtt.config import BrokerAddress, Settings
from wattswap_mqtt.core.errors import WattSwapError

STATE = "wattswap/meter/demo_meter/state"


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a command of wattswap with a data directory of this test."""
    processes = []

    def start(*arguments, **options):
        processes.append(launch(tmp_path / "data", *arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A `wattswap up` that several tests share, with its data directory."""
    data_dir = tmp_path_factory.mktemp("system") / "data"
    process = launch(data_dir, *UP, "--meters", "3", "--publish-interval", "0.2")
    yield (*ready(process), data_dir)
    assert process.end() == 0
    assert not re.search("Traceback|ERROR", process.said["err"]), process.said["err"]


@contextmanager
def occupied():
    """Give a port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def get(url):
    return httpx.get(url, timeout=PATIENCE_S).raise_for_status().json()


def assert_one_line(process, code, said):
    assert process.exit_code() == code
    assert re.search(said, process.said["err"]), process.said["err"]
    lines = process.said["err"].splitlines()
    assert len([line for line in lines if not re.match(r"\d\d:\d\d:\d\d INFO", line)]) == 1, process.said["err"]
    assert process.said["out"] == ""


def test_up_serves_mqtt_and_rest(system, make_probe):
    web, address, _ = system
    probe = make_probe(address)
    probe.subscribe("wattswap/#")
    assert probe.wait_for_json(STATE)["meter_id"] == "demo_meter"
    assert get(f"{web}/api/v1/meter/meter_00003/snapshot")["meter_id"] == "meter_00003"
    assert httpx.get(f"{web}/docs", timeout=PATIENCE_S).status_code == 200
    probe.publish("wattswap/meter/demo_meter/switch/daytime/set", "ON")
    assert probe.wait_for_json("wattswap/meter/demo_meter/ack")["status"] == "ok"


def test_the_bridge_of_a_system_hears_that_the_meters_have_started(system):
    web, _, _ = system

    def started():
        return [event["meter_id"] for event in get(f"{web}/api/v1/events?type=started")["events"]]

    wait_until(lambda: started() == ["demo_meter", "meter_00002", "meter_00003"], "all have started")


def test_up_ends_in_order_and_goes_on_where_it_was(start, make_probe):
    process = start(*UP)
    web, address = ready(process)
    assert get(f"{web}/api/v1/meter/demo_meter/snapshot")["meter_id"] == "demo_meter"  # as soon as it says it is ready
    probe = make_probe(address)
    probe.subscribe("wattswap/#")
    probe.publish("wattswap/meter/demo_meter/switch/battery_reserve_pct/set", "42")
    assert probe.wait_for_json("wattswap/meter/demo_meter/ack")["result"] == 42
    with httpx.stream("GET", f"{web}/api/v1/stream", timeout=PATIENCE_S) as stream:
        assert next(stream.iter_lines())
        assert process.end() == 0
    probe.wait_for("wattswap/community/main/availability", lambda message: message.payload == b"offline")
    assert not re.search("Traceback|ERROR", process.said["err"])
    again = start(*UP)
    web, _ = ready(again)
    assert get(f"{web}/api/v1/control/switches")["battery_reserve_pct"] == 42
    again.send(signal.SIGINT)
    again.send(signal.SIGINT)  # asked twice it ends at once
    assert again.exit_code() in {0, 130}
    assert "Traceback" not in again.said["err"]


def test_asked_to_end_before_it_is_up_it_ends_in_order(start, free_port):
    port = free_port()
    process = start("up", "--mqtt-port", f"{port}", "--http-port", "0")
    with socket.socket() as sock:
        wait_until(lambda: sock.connect_ex(("127.0.0.1", port)) == 0, "the broker listens")
        assert process.end() == 0
    assert "Traceback" not in process.said["err"]


IMPORT_AND_BE_ASKED_TO_END = """
import os, sys, time

class Asks:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == os.environ["AT"] and not Asks.asked:
            Asks.asked = True
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
            time.sleep(float(os.environ.get("TAKES_S", 0)))

    asked = False

sys.meta_path.insert(0, Asks)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [
        ("wattswap_mqtt.config", UP, {0}),  # before there is anything
        ("wattswap_mqtt.roles.simulator", UP, {0}),  # while the first parts run
        ("fastapi", UP, {0}),
        ("wattswap_mqtt.config", ("scenario", "run", "all"), {130, 143}),  # nobody may take it for all well
        ("wattswap_mqtt.scenario_runner", ("scenario", "run", "all"), {130}),
    ],
)
def test_asked_to_end_while_it_starts_it_says_nothing(start, tmp_path, number, module, arguments, code):
    (tmp_path / "sitecustomize.py").write_text(IMPORT_AND_BE_ASKED_TO_END)
    process = start(*arguments, PYTHONPATH=str(tmp_path), AT=module, SIGNAL=str(int(number)))
    assert process.exit_code() in code
    assert not re.search("Traceback|ERROR", process.said["err"]), process.said["err"]
    assert process.said["out"] == ""


def test_asked_to_end_it_does_not_wait_for_what_is_still_being_imported(start, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(IMPORT_AND_BE_ASKED_TO_END)
    environ = {"AT": "fastapi", "SIGNAL": str(int(signal.SIGTERM)), "TAKES_S": "3600"}
    process = start(*UP, PYTHONPATH=str(tmp_path), **environ)
    assert process.exit_code() == 0
    assert not re.search("Traceback|ERROR", process.said["err"]), process.said["err"]
    assert process.said["out"] == ""


def test_a_busy_http_port_is_told_before_anything_has_begun(start, tmp_path):
    with occupied() as port:
        assert_one_line(
            start("up", "--mqtt-port", "0", "--http-port", f"{port}"), 1, f"^wattswap: port {port} .* --http-port"
        )
    assert not (tmp_path / "data").exists()


def test_a_busy_mqtt_port_is_told(start):
    with occupied() as port:
        process = start("up", "--mqtt-port", f"{port}", "--http-port", "0")
        assert_one_line(process, 1, f"^wattswap: .*port {port} is in use.*--mqtt-port")


def test_wrong_settings_are_told(start):
    assert_one_line(start("up", "--meters", "0"), 2, "^wattswap: --meters takes a whole number")
    assert_one_line(start("up", WATTSWAP_TZ="Mars"), 2, "^wattswap: WATTSWAP_TZ takes")


def test_a_data_directory_that_cannot_be_used_is_told(start, tmp_path):
    (tmp_path / "data").write_text("a file in the way")
    process = start(*UP)
    assert_one_line(process, 1, f"^wattswap: {tmp_path}/data.* cannot be used: File exists")


def test_a_data_directory_in_use_is_told(system, start):
    assert_one_line(start(*UP, WATTSWAP_DATA_DIR=str(system[2])), 1, "^wattswap: .*another process uses it.*--data-dir")


def test_a_corrupt_data_file_is_set_aside_and_told(start, tmp_path):
    file = tmp_path / "data" / "community-main.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"garbage" * 1000)
    process = start(*UP)
    ready(process)
    [aside] = file.parent.glob("community-main.sqlite.corrupt-*")
    assert aside.read_bytes() == b"garbage" * 1000
    process.wait_to_say(re.escape(aside.name), "err")


def test_a_data_file_of_a_newer_version_is_refused(start, tmp_path):
    (tmp_path / "data").mkdir()
    db = sqlite3.connect(tmp_path / "data" / "community-main.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert_one_line(start(*UP), 1, "^wattswap: .*newer")


def test_the_roles_run_apart_and_wait_for_a_broker_that_is_away(start, free_port, make_probe):
    port = free_port()
    simulator = start("simulator", "--broker", f"mqtt://127.0.0.1:{port}")
    bridge = start("bridge", "--broker", f"mqtt://127.0.0.1:{port}", "--http-port", "0")
    for process in (simulator, bridge):
        process.wait_to_say(f"waiting for the broker at 127.0.0.1:{port}", "err")
    web = bridge.wait_to_say(r"dashboard +(http://\S+)/\n")[1]
    broker = start("broker", "--mqtt-port", f"{port}")
    broker.wait_to_say(f"broker +mqtt://127.0.0.1:{port}\n")
    probe = make_probe(BrokerAddress("127.0.0.1", port))
    probe.subscribe(STATE)
    probe.wait_for_json(STATE)

    snapshot = f"{web}/api/v1/meter/demo_meter/snapshot"
    wait_until(lambda: httpx.get(snapshot, timeout=PATIENCE_S).status_code == 200, "the bridge has heard of the meter")
    for process in (simulator, bridge, broker):
        assert process.end() == 0
        assert "Traceback" not in process.said["err"]


def test_an_asgi_server_serves_everything(start, free_port, make_probe):
    http_port, mqtt_port = free_port(), free_port()
    uvicorn = (sys.executable, "-m", "uvicorn", "--port")
    environ = {"WATTSWAP_MQTT_PORT": str(mqtt_port)}
    process = start(command=(*uvicorn, f"{http_port}", "main:app"), **environ)
    process.wait_to_say(f"Uvicorn running on http://127.0.0.1:{http_port}", "err")
    web = f"http://127.0.0.1:{http_port}"
    assert get(f"{web}/api/v1/meter/demo_meter/snapshot")["meter_id"] == "demo_meter"
    probe = make_probe(BrokerAddress("127.0.0.1", mqtt_port))
    probe.subscribe(STATE)
    probe.wait_for(STATE)
    second = start(command=(*uvicorn, "0", "wattswap_mqtt.asgi:app"), **environ)
    assert second.exit_code() != 0
    assert f"port {mqtt_port} is in use" in second.said["err"]
    with httpx.stream("GET", f"{web}/api/v1/stream", timeout=PATIENCE_S) as stream:
        assert next(stream.iter_lines())
        process.end(signal.SIGINT)
    assert "Traceback" not in process.said["err"] + second.said["err"]


def test_an_asgi_server_is_told_of_wrong_settings(start):
    process = start(command=(sys.executable, "-m", "uvicorn", "main:app"), WATTSWAP_METERS="0")
    assert process.exit_code() == 2
    assert process.said["err"] == "wattswap: WATTSWAP_METERS takes a whole number from 1 to 100000, not '0'\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_watch_shows_the_meters(system, start, number):
    watch = start("watch", "--broker", str(system[1]))
    watch.wait_to_say("meter_00003")
    assert watch.end(number) == 0
    assert watch.said["err"].count("ERROR") == 0


class FailingSimulator:
    """A simulator that lives for a moment."""

    def __init__(self, _settings, _address):
        self.announced = self.audience = threading.Event()

    def run(self, _stop):
        self.announced.set()
        raise RuntimeError("something went wrong")

    def wake(self):
        pass


def test_what_says_that_it_is_ready_has_been_told_of_its_meters_however_slow_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(app, "FIRST_TELEMETRY_S", 0.0)
    monkeypatch.setattr(app, "BROKER_ANSWERS_S", 0.0)

    async def told():
        async with app.running(Settings(mqtt_port=0, data_dir=tmp_path, meters=50)) as system:
            latest = system.bridge.state.bridge.latest
            return [latest.snapshot(meter_id) is not None for meter_id in latest.names()]

    assert asyncio.run(told()) == [True] * 50


def test_when_a_part_dies_the_whole_says_so_and_ends(monkeypatch, caplog):
    monkeypatch.setattr("wattswap_mqtt.roles.simulator.Simulator", FailingSimulator)
    with pytest.raises(WattSwapError, match=r"the simulator ended unexpectedly: .*something went wrong"):
        app.serve(Settings(mqtt_port=0), ("broker", "simulator"), lambda _settings: None)
    assert "something went wrong" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mqtt_host": "0.0.0.0", "mqtt_port": 0}, "lets everybody in"),  # noqa: S104 - to be warned of
        ({"mqtt_port": 0, "meters": 3001}, "use mosquitto"),
    ],
)
def test_what_the_embedded_broker_is_not_made_for_is_said(monkeypatch, caplog, settings, said):
    monkeypatch.setattr("wattswap_mqtt.roles.simulator.Simulator", FailingSimulator)
    with pytest.raises(WattSwapError):
        app.serve(Settings(**settings), ("broker", "simulator"), lambda _settings: None)
    assert said in caplog.text
