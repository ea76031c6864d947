"""`wattswap scenario run` as a command: private communities, running systems, meters that must not be touched."""

import json
import re
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from homes import SCENARIOS

from tests.processes import UP, Process, launch, ready

MINUTES_S = 600
OUTAGE = """\
slug: outage
title: An outage in the evening
start: {soc_pct: 80, base_load_kw: 1.0}
events:
  - at: 10m
    switch: {grid_connected: false}
  - at: 20m
    switch: {grid_connected: on}
expect:
  - {quantity: grid.grid_status, is: connected, until: 10m}
  - {quantity: grid.grid_status, is: islanded, from: 10m, until: 20m}
  - {quantity: grid.grid_status, is: connected, from: 20m, until: 30m}
  - {says: the house goes on, quantity: derived.unserved_energy_kwh, trend: steady, until: 30m}
  - {quantity: battery.battery_power_kw, is: 1.0, until: 30m}
"""


def scenario_run(*arguments, cwd):
    command = [sys.executable, "-m", "wattswap_mqtt", "scenario", "run", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=MINUTES_S, check=False)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    process = launch(tmp_path_factory.mktemp("system") / "data", *UP, "--publish-interval", "0.1")
    yield ready(process)[1]
    assert process.end() == 0
    assert not re.search("Traceback|ERROR", process.said["err"]), process.said["err"]


@pytest.mark.timeout(MINUTES_S)
def test_all_seventeen_do_over_mqtt_what_is_documented(tmp_path):
    ran = scenario_run("all", "--json", cwd=tmp_path)
    told = json.loads(ran.stdout)
    found = [(part["scenario"], f) for part in told["scenarios"] for f in part["findings"] if f["verdict"] != "holds"]
    assert found == []
    assert (ran.returncode, told["holds"]) == (0, True)
    assert [part["scenario"] for part in told["scenarios"]] == list(SCENARIOS)
    assert sum(len(part["findings"]) for part in told["scenarios"]) == sum(len(s.expect) for s in SCENARIOS.values())


@pytest.mark.timeout(MINUTES_S)
@pytest.mark.parametrize("name", ["market-buying", "8", "combined-stress", "time-acceleration"])
def test_with_noise_the_means_of_a_quarter_hour_are_what_is_documented(tmp_path, name):
    ran = scenario_run(name, "--load-noise", "1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "± 0.5 kW" in ran.stdout


@pytest.mark.timeout(MINUTES_S)
def test_a_file_is_played_on_a_running_system_and_told_in_junits_xml(system, tmp_path, make_probe):
    (tmp_path / "outage.yaml").write_text(OUTAGE)
    broker = ("--broker", f"mqtt://{system.host}:{system.port}")
    ran = scenario_run("outage.yaml", *broker, "--junit", "found.xml", "--accelerate", "120", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "All as expected: 5 of 5 hold (demo_meter)." in ran.stdout
    [suite] = ET.parse(tmp_path / "found.xml").getroot()  # noqa: S314 - written a moment ago, by us
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("outage", "5", "0")
    assert suite[3].get("name") == "derived.unserved_energy_kwh 0s to 30m: the house goes on"
    probe = make_probe(system)
    probe.subscribe("wattswap/meter/demo_meter/+")
    probe.wait_for("wattswap/meter/demo_meter/scenario", lambda message: message.payload == b"outage")
    assert probe.wait_for_json("wattswap/meter/demo_meter/switches")["time_acceleration"] == 1


@pytest.fixture
def another_home(system, make_probe):
    """A probe on a system whose meter and pace are not those of a new one; afterwards they are again."""
    probe = make_probe(system)
    probe.subscribe("wattswap/meter/demo_meter/#")
    home = {"battery_reserve_pct": 42, "time_acceleration": 3}
    probe.publish("wattswap/meter/demo_meter/scenario/set", "none")
    probe.publish("wattswap/meter/demo_meter/switches/set", json.dumps(home))
    probe.wait_for_json("wattswap/meter/demo_meter/ack", lambda ack: ack["command"] == "switches/set")
    yield probe
    probe.publish("wattswap/meter/demo_meter/scenario/set", "none")
    probe.publish("wattswap/meter/demo_meter/switch/time_acceleration/set", "1")
    probe.wait_for_json("wattswap/meter/demo_meter/ack", lambda ack: ack["command"] == "switch/time_acceleration/set")


def put_back(probe):
    switches = json.loads(probe.latest("wattswap/meter/demo_meter/switches"))
    assert (switches["battery_reserve_pct"], switches["time_acceleration"]) == (42, 3)
    assert switches["fault_inject"] == {}
    assert probe.latest("wattswap/meter/demo_meter/scenario") == b"none"
    return True


def playing(system, probe, tmp_path):
    (tmp_path / "outage.yaml").write_text(OUTAGE)
    broker = ("--broker", f"mqtt://{system.host}:{system.port}")
    command = [sys.executable, "-m", "wattswap_mqtt", "scenario", "run", tmp_path / "outage.yaml", *broker]
    process = Process([*command, "--accelerate", "1.5"])
    probe.wait_for_json(
        "wattswap/meter/demo_meter/switches", lambda switches: switches["time_acceleration"] == 1.5
    )  # fmt: skip
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_cut_short_it_leaves_the_meter_as_it_was(system, another_home, tmp_path, number):
    process = playing(system, another_home, tmp_path)
    assert process.end(number) == 130
    assert process.said == {"out": "", "err": "wattswap: interrupted\n"}
    assert put_back(another_home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_private_run_that_is_cut_short_ends_in_order(number):
    command = [sys.executable, "-m", "wattswap_mqtt", "scenario", "run", "1", "--accelerate", "1"]
    process = Process([*command, "--log-level", "info"])
    process.wait_to_say("connected to the broker", "err")
    process.send(number)
    assert process.end(number) == 130
    assert process.said["out"] == ""
    assert process.said["err"].endswith("wattswap: interrupted\n")
    assert not re.search("Traceback|ERROR|WARNING", process.said["err"]), process.said["err"]


def test_failed_it_leaves_the_meter_as_it_was(system, another_home, tmp_path):
    process = playing(system, another_home, tmp_path)
    another_home.publish("wattswap/meter/demo_meter/switch/fault_inject/set", '{"dropout_prob": 1}')
    assert process.exit_code() == 1
    assert re.fullmatch(r"wattswap: demo_meter publishes no states at \S+\n", process.said["err"])
    assert put_back(another_home)


@pytest.mark.timeout(MINUTES_S)
def test_a_meter_can_be_judged_without_a_word_to_it(system, tmp_path, make_probe):
    (tmp_path / "right.yaml").write_text(
        "slug: alive\ntitle: Alive\nexpect:\n"
        "  - {quantity: measurements.v_rms, min: 207, max: 253, until: 2s}\n"
        "  - {quantity: measurements.frequency, is: 50, tolerance: 0.5, until: 2s}\n"
    )
    (tmp_path / "wrong.yaml").write_text(
        "slug: dead\ntitle: Dead\nexpect: [{quantity: measurements.v_rms, is: 110, until: 2s}]\n"
    )
    probe = make_probe(system)
    probe.subscribe("wattswap/meter/#")
    options = ("--broker", f"mqtt://{system.host}:{system.port}", "--expect-only", "--meter", "meter_00002")
    right = scenario_run("right.yaml", *options, cwd=tmp_path)
    assert (right.returncode, "2 of 2 hold (meter_00002)" in right.stdout) == (0, True), right.stdout + right.stderr
    wrong = scenario_run("wrong.yaml", *options, "--junit", "wrong.xml", cwd=tmp_path)
    assert (wrong.returncode, "Not as expected: 0 of 1 hold" in wrong.stdout) == (1, True), wrong.stdout + wrong.stderr
    assert re.search('<failure message="expected 110 ± 0.05 V, measured 2', (tmp_path / "wrong.xml").read_text())
    mine = "wattswap/meter/meter_00002/"  # what other tests did to the other meter may still be told
    told = [
        (m.topic.removeprefix(mine), m.payload) for m in probe.received if m.topic.startswith(mine) and not m.retain
    ]
    assert not [topic for topic, _ in told if topic.endswith("/set") or topic == "ack"]
    happened = {json.loads(payload)["event_type"] for topic, payload in told if topic == "event"}
    assert happened <= {"started", "alarm_raised", "alarm_cleared"}, "what happens of itself"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no.yaml",), "no.yaml: No such file or directory"),
        (("outage.yml",), "outage.yml:3:9: start.soc_pct: takes a number of at most 100, not 180"),
        (("still.yaml",), "still stops the clock (time_acceleration 0): it would never end"),
        (("1", "--expect-only"), "--expect-only judges a meter of a running system: give its broker as well"),
        (("1", "--accelerate", "0"), "--accelerate takes a number above 0, up to 3600"),
        (("1", "--expect-only", "--accelerate", "2", "--broker", "mqtt://127.0.0.1:1"), "--accelerate sends a command"),
        (("mine", "--scenarios", "nowhere"), "--scenarios nowhere: No such file or directory"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_2(tmp_path, arguments, says):
    (tmp_path / "outage.yml").write_text("slug: outage\ntitle: An outage\nstart: {soc_pct: 180}\n")
    (tmp_path / "still.yaml").write_text("slug: still\ntitle: Still\nswitches: {time_acceleration: 0}\n")
    ran = scenario_run(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"wattswap: {says}")
    assert ran.stderr.count("\n") == 1
