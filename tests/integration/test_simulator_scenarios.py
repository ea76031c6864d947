"""Scenarios and faults over MQTT: the documented figures in the first message, and the truth beside a faulty meter."""

import json
import random
from datetime import datetime

import pytest
from homes import SCENARIOS, named
from talk import Meter

from tests.running import wait_until
from wattswap_mqtt.contract.scenario_tables import FIGURES, first_figure
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.expectations import look_up
from wattswap_mqtt.core.quantities import QUANTITIES, Path

STATUS = "wattswap/community/main/status"
WATT = 0.001
MOST_PCT_PER_S = 100 * 4.0 / 10.0 / 3600
"""The battery of the demo home holds 10 kWh, and takes or gives 3 kW at most; with the losses that is less than 4."""


@pytest.fixture
def meter(probe, simulate):
    probe.subscribe("wattswap/#")
    simulate()
    return Meter(probe)


def next_truth(meter: Meter, fits=lambda _truth: True) -> None:
    """Wait for a truth that fits (an empty one says that there is none)."""
    meter.probe.wait_for(f"{meter.topic}/truth", lambda message: message.payload and fits(json.loads(message.payload)))


def pass_ticks(meter: Meter, count: int) -> None:
    """Wait until so many ticks have been told from now on: a status ends each."""

    def told() -> int:
        return sum(message.topic == STATUS for message in list(meter.probe.received))

    before = told()
    wait_until(lambda: told() >= before + count, f"{count} ticks have passed")


def figures(state: dict) -> dict[str, float]:
    return {path: look_up(state, path) for path in FIGURES.values()}


def test_the_seeds_scenarios_have_their_figures_and_status_line_at_once_in_any_order(meter):
    twelve = list(SCENARIOS.values())[:12]
    for scenario in [*twelve, *random.Random(1).sample(twelve, len(twelve))]:
        ack = meter.ask("scenario/set", scenario.slug)
        assert (ack["status"], ack["result"]) == ("ok", scenario.slug)
        set_at = datetime.fromisoformat(meter.event("scenario_set")["timestamp"])
        at_once = meter.payloads("state")[-1]
        later = meter.later_state()
        truth = at_once
        if scenario.changed.get("fault_inject"):
            truth = json.loads(meter.probe.latest(f"{meter.topic}/truth"))
            for reading in (at_once, later):
                for path in ("pv.pv_power_kw", "grid.grid_import_kw"):
                    assert look_up(reading, path) == pytest.approx(1.1 * look_up(truth, path), abs=WATT)
        expected = {path: first_figure(scenario, path) for path in FIGURES.values()}
        known = {path: figure for path, figure in expected.items() if figure is not None}
        for state in (truth, later) if truth is at_once else (truth,):
            assert figures(state) | known == pytest.approx(figures(state), abs=2 * WATT), scenario.slug
        for state in (at_once, later):
            assert state["derived"]["system_status"] == first_figure(scenario, "derived.system_status")
            moved_pct = MOST_PCT_PER_S * (datetime.fromisoformat(state["timestamp"]) - set_at).total_seconds()
            assert state["battery"]["soc_pct"] == pytest.approx(scenario.start.soc_pct, abs=0.01 + moved_pct)
        assert meter.switches() == scenario.switches
        assert meter.probe.latest(f"{meter.topic}/scenario") == scenario.slug.encode()


def test_a_scenario_cancels_open_orders_and_leaves_the_registers(meter):
    meter.ask("scenario/set", "nighttime-baseline")
    meter.set("time_acceleration", "3600")
    used = meter.state(lambda state: state["derived"]["energy_imported_kwh"] > 0.5)["derived"]
    order_id = meter.order(side="buy", quantity_kwh=5, duration_sec=36000)["result"]["order_id"]
    meter.ask("scenario/set", "none")
    order = meter.ask("market/get", {"order_id": order_id})["result"]
    assert (order["status"], order["reason"]) == ("cancelled", "scenario")
    after = meter.payloads("state")[-1]["derived"]
    assert all(after[name] >= used[name] for name in used if name.endswith("_energy_kwh"))
    assert after["energy_imported_kwh"] >= used["energy_imported_kwh"]


def test_the_truth_is_told_while_a_fault_is_active_and_cleared_after(meter):
    topic = f"{meter.topic}/truth"
    meter.ask("scenario/set", "daytime-pv")
    assert meter.probe.latest(topic) in (None, b"")
    meter.set("fault_inject", '{"bias_pct": 10}')
    truth = json.loads(meter.probe.latest(topic))
    state = next(state for state in meter.payloads("state") if state["seq"] == truth["seq"])
    assert truth["timestamp"] == state["timestamp"]
    assert state["measurements"]["p_active"] == pytest.approx(1.1 * truth["measurements"]["p_active"])
    assert state["measurements"]["v_rms"] == truth["measurements"]["v_rms"]
    assert "power_mismatch" in {alarm["code"] for alarm in state["alarms"]}
    next_truth(meter, lambda later: later["seq"] > truth["seq"])
    meter.set("fault_inject", "{}")
    assert meter.probe.latest(topic) == b""
    seen = len(meter.probe.received)
    meter.later_state()
    assert topic not in [m.topic for m in meter.probe.received[seen:]]


def test_registers_never_step_back_when_a_fault_ends(meter):
    meter.ask("scenario/set", "nighttime-baseline")
    meter.set("time_acceleration", "3600")
    meter.set("fault_inject", '{"bias_pct": 50}')
    meter.state(lambda state: state["derived"]["energy_imported_kwh"] > 1)
    meter.set("fault_inject", '{"ct_reversed": true}')
    meter.set("fault_inject", "{}")
    meter.ask("market/get", {})
    imported = [state["derived"]["energy_imported_kwh"] for state in meter.payloads("state")]
    assert imported == sorted(imported)


def test_an_offline_meter_is_silent_but_obeys(meter):
    meter.set("fault_inject", '{"offline": true}')
    assert meter.probe.latest(f"{meter.topic}/availability") == b"offline"
    seen = len(meter.probe.received)
    assert meter.ask("switch/daytime/set", "ON")["result"] is True
    pass_ticks(meter, 3)
    next_truth(meter, lambda truth: truth["pv"]["pv_power_kw"] > 0)
    told = {m.topic.removeprefix(f"{meter.topic}/") for m in meter.probe.received[seen:] if meter.topic in m.topic}
    assert not told & {"state", "hub"}
    assert meter.probe.latest(f"{meter.topic}/availability") == b"offline"
    assert meter.switches()["daytime"] is True
    meter.set("fault_inject", "{}")
    assert meter.probe.latest(f"{meter.topic}/availability") == b"online"
    assert meter.payloads("state")[-1]["pv"]["pv_power_kw"] > 0
    assert b'"daytime"' not in meter.probe.latest(f"{meter.topic}/hub")


def test_a_meter_that_was_offline_before_a_restart_comes_online_after_it(probe, simulate):
    probe.subscribe("wattswap/#")
    running = simulate()
    meter = Meter(probe)
    meter.set("fault_inject", '{"offline": true}')
    running.stop()
    seen = len(probe.received)
    simulate()
    topic = f"{meter.topic}/availability"
    wait_until(lambda: topic in [m.topic for m in probe.received[seen:]], "it is told again")
    assert probe.latest(topic) == b"offline"
    meter.set("fault_inject", "{}")
    assert probe.latest(f"{meter.topic}/availability") == b"online"
    assert probe.latest(f"{meter.topic}/truth") == b""


def test_dropout_loses_states_but_not_answers(meter):
    meter.set("fault_inject", '{"dropout_prob": 1}')
    seen = len(meter.probe.received)
    pass_ticks(meter, 5)
    topics = [m.topic for m in meter.probe.received[seen:]]
    assert f"{meter.topic}/truth" in topics
    assert f"{meter.topic}/state" not in topics
    assert f"{meter.topic}/hub" not in topics
    assert "wattswap/meter/meter_00002/state" in topics
    seen = len(meter.payloads("state"))
    meter.set("battery_reserve_pct", "50")
    assert len(meter.payloads("state")) == seen + 1, "what follows a command is not dropped"


def test_duplicates_come_twice_and_say_the_same(meter):
    meter.set("fault_inject", '{"duplicate_prob": 1}')
    pass_ticks(meter, 5)
    meter.set("fault_inject", "{}")
    faulty = {
        json.loads(m.payload)["seq"] for m in meter.probe.received if m.topic == f"{meter.topic}/truth" and m.payload
    }
    states = [m.payload for m in meter.probe.received if m.topic == f"{meter.topic}/state"]
    told = [body for body in states if json.loads(body)["seq"] in faulty]
    assert len(set(told)) == len(faulty) >= 3
    assert len(told) == 2 * len(faulty)


def test_a_wrong_clock_changes_the_timestamp_only(meter):
    meter.set("time_acceleration", "0")
    true = meter.payloads("state")[-1]
    meter.set("fault_inject", '{"clock_skew_s": -3600}')
    wrong = meter.payloads("state")[-1]
    assert wrong["timestamp"] < true["timestamp"]
    assert json.loads(meter.probe.latest(f"{meter.topic}/truth"))["timestamp"] == true["timestamp"]


EXTREMES = {
    "bias_pct": (-100, 1000), "noise_pct": (0, 100), "drift_pct_per_hour": (-100, 100), "spike_prob": (1,),
    "clock_skew_s": (-86400, 86400), "register_rollover_kwh": (0.001, 1e9), "ct_reversed": (True,),
    "stuck": (["battery.soc_pct"], ["derived.time_to_full_hours"]),
}  # fmt: skip


@pytest.fixture
def home():
    """Return a home that needs no broker, and a function that encodes what it reports."""
    community = Community(["demo_meter"], start_s=0.0)
    encoder = SnapshotEncoder(community.ids, "UTC", "1")

    def state() -> dict:
        [payload] = encoder.encode(community.read()[0], 0.0, {})
        return json.loads(payload)

    return community, state


def reported(state: dict, path: Path) -> object:
    value = state[path.section]
    for name in path.names:
        value = value[name]
    return value


@pytest.mark.parametrize("path", QUANTITIES, ids=lambda path: path.dotted)
def test_every_field_can_be_stuck(home, path):
    community, state = home
    community.set_scenario(0, named("ev-fast-charging"))
    community.set_switches(0, {"fault_inject": {"stuck": [path.dotted]}, "time_acceleration": 3600.0})
    stuck = reported(state(), path)
    for change in ({"daytime": False}, {"grid_connected": False}, {"market_enabled": True, "ev_plug": False}):
        community.set_switches(0, change)
        community.advance(600)
        assert reported(state(), path) == stuck


@pytest.mark.parametrize("seed", range(20))
def test_any_faults_together_leave_the_state_readable(home, seed):
    community, state = home
    chance = random.Random(seed)
    for _ in range(10):
        community.set_scenario(0, named(str(chance.randint(1, 12))))
        faults = {name: chance.choice(EXTREMES[name]) for name in chance.sample(list(EXTREMES), 4)}
        community.set_switches(0, {"fault_inject": faults, "time_acceleration": 3600.0})
        community.advance(chance.choice((0.05, 60, 3600)))
        assert state()["meter_id"] == "demo_meter"
