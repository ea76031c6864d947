"""WattSwap in a real Home Assistant: every entity, every command, and what happens when something stops.

What is expected is read from the broker, as Home Assistant reads it.
"""

import json
import re
import sqlite3
import sys
import time
from contextlib import closing, contextmanager
from itertools import count

import pytest

from tests.e2e.home_assistant.household import METERS, NO_VALUE
from tests.running import wait_until

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]

PATIENCE_S = 60.0
REGISTERS = [
    *("energy_imported", "energy_exported", "pv_energy", "load_energy", "battery_charged", "battery_discharged"),
    *("ev_energy", "unserved_energy", "curtailed_energy", "co2_emissions", "co2_savings"),
]
ONLINE = "wattswap/community/main/availability"


@pytest.fixture
def hass(household):
    """Home Assistant, in whose log nothing of ours may have appeared when the test is over."""
    household.hass.complaints()  # of what was before
    yield household.hass
    assert household.hass.complaints() == []


@pytest.fixture
def probe(household, make_probe):
    client = make_probe(household.broker.address)
    client.subscribe("wattswap/#")
    client.subscribe("homeassistant/#")
    return client


def config_of(probe, meter_id="demo_meter"):
    """Return what Home Assistant is told of a meter."""
    return json.loads(probe.wait_for(f"homeassistant/device/{meter_id}/config", lambda m: m.payload).payload)


def entities_of(config):
    return {c["uniq_id"]: c for c in config["cmps"].values() if "uniq_id" in c}


def commands(platform):
    """Return the names of the switches of a platform; what is tested is what is declared."""
    from wattswap_mqtt.core.switches import SWITCHES

    kinds = {"switch": "bool", "number": "number", "select": "choice", "text": "faults"}
    return [switch for switch in SWITCHES.values() if switch.kind == kinds[platform]]


def latest(probe, below, meter_id="demo_meter"):
    return json.loads(probe.latest(f"wattswap/meter/{meter_id}/{below}"))


# Every entity.


@pytest.fixture(scope="module")
def everything_enabled(household):
    """Enable what is disabled by default, as a person would who wants to see it."""
    hass = household.hass
    disabled = [entry for entry in hass.entries().values() if entry["disabled_by"] == "integration"]
    with hass.socket() as (ask, _):
        for entry in disabled:
            ask("config/entity_registry/update", entity_id=entry["entity_id"], disabled_by=None)
    hass.call("homeassistant.reload_config_entry", entry_id=hass.mqtt_entry)
    household.settle()
    return {entry["unique_id"] for entry in disabled}


def test_one_device_a_meter_with_a_link_to_the_dashboard(hass, household, probe):
    for meter_id in METERS:
        told, device = config_of(probe, meter_id)["dev"], hass.device(meter_id)
        assert (device["name"], device["manufacturer"], device["model"]) == (told["name"], told["mf"], told["mdl"])
        assert (device["sw_version"], device["serial_number"]) == (told["sw"], told["sn"])
        assert device["configuration_url"] == f"{household.wattswap.url}/?meter={meter_id}"
    assert hass.device("meter_00003") is None


@pytest.mark.parametrize("meter_id", METERS)
def test_every_entity_has_its_id_name_category_unit_and_class(hass, probe, everything_enabled, meter_id):
    config, registry, states = config_of(probe, meter_id), hass.entries(), hass.states()
    told = entities_of(config)
    assert {uid for uid in registry if uid.startswith(f"{meter_id}_")} == set(told)
    wrong = []
    for unique_id, component in told.items():
        entry = registry[unique_id]
        state = states.get(entry["entity_id"], {"attributes": {}})
        seen = state["attributes"]
        expected = {
            "entity id": (entry["entity_id"], component["def_ent_id"]),
            "category": (entry["entity_category"], component.get("ent_cat")),
            "disabled by default": (unique_id in everything_enabled, not component.get("en", True)),
            "name": (seen.get("friendly_name"), f"{config['dev']['name']} {component['name']}"),
            "unit": (seen.get("unit_of_measurement"), component.get("unit_of_meas")),
            "device class": (seen.get("device_class"), component.get("dev_cla")),
            "state class": (seen.get("state_class"), component.get("stat_cla")),
            "options": (seen.get("options"), component.get("ops")),
            "event types": (seen.get("event_types"), component.get("evt_typ")),
            "icon": (seen.get("icon"), component.get("ic")),
            **{name: (seen.get(name), component.get(name)) for name in ("min", "max", "step")},
        }
        wrong += [(entry["entity_id"], what, *pair) for what, pair in expected.items() if pair[0] != pair[1]]
    assert wrong == []


def value_in(template, payload):
    """Return what a sensor's template finds in a payload, as Home Assistant shows it."""
    value = payload
    for name in re.search(r"value_json\.([\w.]+)", template)[1].split("."):
        value = value[name]
    return "unknown" if value is None else value


@pytest.mark.usefixtures("everything_enabled")
def test_every_value_is_what_the_meter_tells_hubs(hass, probe):
    told = entities_of(config_of(probe))
    sensors = {c["def_ent_id"]: c for c in told.values() if c["p"] in ("sensor", "binary_sensor") and "stat_t" not in c}
    assert len(sensors) > 70
    wrong = {}

    def all_right():
        wrong.clear()
        hub, states = latest(probe, "hub"), hass.states()
        for entity_id, component in sensors.items():
            seen = states[entity_id]["state"]
            if component["p"] == "binary_sensor":
                expected = {
                    "grid": hub["grid"]["grid_status"] == "connected",
                    "problem": any(alarm["level"] != "info" for alarm in hub["alarms"]),
                    "ev_plugged": hub["ev"]["plugged"],
                    "market_enabled": hub["market"]["enabled"],
                }[entity_id.removeprefix("binary_sensor.demo_meter_")]
                right = seen == ("on" if expected else "off")
            else:
                expected = value_in(component["val_tpl"], hub)
                right = seen == expected or (seen not in NO_VALUE and float(seen) == expected)
            if not right:
                wrong[entity_id] = (seen, expected)
        return not wrong

    wait_until(all_right, f"every value is right, but for {wrong}", PATIENCE_S)
    assert hass.state("sensor.demo_meter_feed_in_price") == str(
        json.loads(probe.latest("wattswap/community/main/market"))["feed_in_tariff"]
    )


# Every command, through its service, down to the device and back.


def obeyed(probe, command):
    """Wait for the answer to a command, and see to it that it was obeyed."""
    ack = probe.wait_for_json("wattswap/meter/demo_meter/ack", lambda ack: ack["command"] == command)
    assert ack["status"] == "ok", ack
    return ack["result"]


def entity_of(switch, probe):
    return entities_of(config_of(probe))[f"demo_meter_switch_{switch.name}"]["def_ent_id"]


@pytest.mark.parametrize("switch", commands("switch"), ids=lambda switch: switch.name)
def test_switches(hass, probe, switch):
    entity_id = entity_of(switch, probe)
    for value in (not switch.default, switch.default):
        hass.call(f"switch.turn_{'on' if value else 'off'}", entity_id=entity_id)
        assert obeyed(probe, f"switch/{switch.name}/set") is value
        hass.wait_for(entity_id, "on" if value else "off")


@pytest.mark.parametrize("switch", commands("number"), ids=lambda switch: switch.name)
def test_numbers(hass, probe, switch):
    entity_id = entity_of(switch, probe)
    for value in (switch.maximum, switch.minimum, switch.default):
        hass.call("number.set_value", entity_id=entity_id, value=value)
        assert obeyed(probe, f"switch/{switch.name}/set") == value
        hass.wait_for(entity_id, lambda state, value=value: state not in NO_VALUE and float(state) == value)


@pytest.mark.parametrize("switch", commands("select"), ids=lambda switch: switch.name)
def test_selects(hass, probe, switch):
    entity_id = entity_of(switch, probe)
    for option in (*switch.options, switch.default):
        hass.call("select.select_option", entity_id=entity_id, option=option)
        assert obeyed(probe, f"switch/{switch.name}/set") == option
        hass.wait_for(entity_id, option)


def test_faults_as_text_and_what_the_device_refuses(hass, probe):
    entity_id = "text.demo_meter_fault_inject"
    hass.call("text.set_value", entity_id=entity_id, value='{"bias_pct": 5}')
    assert obeyed(probe, "switch/fault_inject/set") == {"bias_pct": 5}
    hass.wait_for(entity_id, lambda state: json.loads(state) == {"bias_pct": 5})
    hass.wait_for("sensor.demo_meter_status_badge", "Diagnostics Required")
    hass.call("text.set_value", entity_id=entity_id, value='{"bias": "much"}')
    refusal = probe.wait_for_json("wattswap/meter/demo_meter/ack", lambda ack: ack["status"] == "error")
    assert refusal["code"] == "unknown_fault"
    hass.wait_for(entity_id, lambda state: json.loads(state) == {"bias_pct": 5})
    hass.call("text.set_value", entity_id=entity_id, value="{}")
    assert obeyed(probe, "switch/fault_inject/set") == {}
    hass.wait_for(entity_id, "{}")


def test_scenarios(hass, probe):
    options = config_of(probe)["cmps"]["scenario"]["ops"]
    assert len(options) > 12
    for option in (*options[1:], options[0]):
        hass.call("select.select_option", entity_id="select.demo_meter_scenario", option=option)
        assert obeyed(probe, "scenario/set") == ("none" if option == "plain-home" else option)
        hass.wait_for("select.demo_meter_scenario", option)


@pytest.fixture
def charged(hass):
    """The home with enough in its battery."""
    hass.call("select.select_option", entity_id="select.demo_meter_scenario", option="market-selling")
    hass.wait_for("select.demo_meter_scenario", "market-selling")
    yield
    hass.call("button.press", entity_id="button.demo_meter_plain_home")
    hass.wait_for("select.demo_meter_scenario", "plain-home")


@pytest.mark.usefixtures("charged")
def test_buttons_and_what_comes_of_orders(hass, probe):
    for side in ("sell", "buy"):
        before = hass.state("event.demo_meter_order")
        hass.call("button.press", entity_id=f"button.demo_meter_{side}_1_kwh")
        order = obeyed(probe, "market/place")
        assert (order["side"], order["quantity_kwh"]) == (side, 1)
        hass.wait_for("event.demo_meter_order", lambda state, before=before: state != before)
        probe.publish("wattswap/meter/demo_meter/market/cancel", json.dumps({"order_id": order["order_id"]}))
        probe.wait_for_json("wattswap/meter/demo_meter/ack", lambda ack: ack["command"] == "market/cancel")


def test_a_switch_shows_its_effect(hass, record_property):
    """The time from the service call to the new state is written into the report, but is not judged here."""
    took_s = []
    for value in ("on", "off") * 5:
        with hass.socket() as (ask, event):
            ask("subscribe_trigger", trigger={"trigger": "state", "entity_id": "switch.demo_meter_daytime"})
            began_s = time.perf_counter()
            ask(
                "call_service", domain="switch", service=f"turn_{value}",
                target={"entity_id": "switch.demo_meter_daytime"},
            )  # fmt: skip
            if hass.state("switch.demo_meter_daytime") != value:
                event(lambda e, value=value: e["variables"]["trigger"]["to_state"]["state"] == value)
            took_s.append(time.perf_counter() - began_s)
    record_property("switch_to_state_ms", [round(1000 * each) for each in took_s])
    sys.stdout.write(f"switch to state: {[round(1000 * each) for each in took_s]} ms\n")


# Events and triggers.


@contextmanager
def grid_lost(hass):
    hass.call("switch.turn_off", entity_id="switch.demo_meter_grid_connected")
    try:
        yield
    finally:
        hass.call("switch.turn_on", entity_id="switch.demo_meter_grid_connected")
        hass.wait_for("binary_sensor.demo_meter_grid", "on")


@pytest.mark.usefixtures("charged")
def test_losing_the_grid_is_an_event_an_alarm_and_a_problem(hass):
    hass.wait_for("binary_sensor.demo_meter_problem", "off")
    with grid_lost(hass):
        hass.wait_for("binary_sensor.demo_meter_grid", "off")
        hass.wait_for("binary_sensor.demo_meter_problem", "on")
        wait_until(lambda: event_type(hass, "grid") == "grid_disconnect", "the grid's event")
        wait_until(lambda: event_type(hass, "alarm") == "alarm_raised", "the alarm's event")
        states = hass.states()
        assert states["event.demo_meter_alarm"]["attributes"]["code"] == "grid_disconnected"
        [alarm, *_] = states["binary_sensor.demo_meter_problem"]["attributes"]["alarms"]
        assert alarm["code"] == "grid_disconnected"
    wait_until(lambda: event_type(hass, "grid") == "grid_reconnect", "the grid's event")
    hass.wait_for("binary_sensor.demo_meter_problem", "off")


def event_type(hass, name):
    return hass.states()[f"event.demo_meter_{name}"]["attributes"]["event_type"]


def test_device_triggers(hass, probe):
    triggers = [c for c in config_of(probe)["cmps"].values() if c["p"] == "device_automation"]
    device_id = hass.device("demo_meter")["id"]
    with hass.socket() as (ask, event):
        offered = [t for t in ask("device_automation/trigger/list", device_id=device_id) if t["domain"] == "mqtt"]
        assert {(t["subtype"], t["type"]) for t in offered} == {(t["stype"], t["type"]) for t in triggers}
        mine = next(t for t in offered if (t["subtype"], t["type"]) == ("grid", "disconnect"))
        ask("subscribe_trigger", trigger={key: value for key, value in mine.items() if key != "metadata"})
        with grid_lost(hass):
            fired = event(lambda event: "variables" in event)
            assert fired["variables"]["trigger"]["payload_json"]["event_type"] == "grid_disconnect"


# The life cycle.


def all_available(hass, meter_id="demo_meter"):
    """Tell whether nothing of a meter is without its value for want of a connection."""
    return [
        entity_id
        for entity_id, state in hass.states().items()
        if f".{meter_id}_" in entity_id and state["state"] == "unavailable"
    ] == []


def test_home_assistant_restarts(household, hass):
    before = hass.entries().keys()
    hass.stop()
    hass.start()
    household.settle()
    assert hass.entries().keys() == before
    wait_until(lambda: all_available(hass), "all is available again", PATIENCE_S)
    assert hass.state("select.demo_meter_scenario") == "plain-home"


def test_the_broker_restarts_and_forgets_everything(household):
    hass = household.hass
    hass.complaints()
    household.broker.stop()
    hass.wait_for("sensor.demo_meter_pv_energy", "unavailable")
    household.broker.start()
    household.settle()
    wait_until(lambda: all_available(hass), "all is available again", PATIENCE_S)
    said = [line for line in hass.complaints() if "mqtt" in line and "mqtt.client]" not in line]
    assert said == [], "nothing but that it lost the broker"


def until_quiet(event, least):
    """Give the events that come, so many at least, until none comes any more."""
    for number in count():
        try:
            yield event(timeout_s=PATIENCE_S if number < least else 2.0)
        except TimeoutError:
            return


@contextmanager
def registers_watched(hass):
    """See to it that no register goes down, nor is zero, in all that Home Assistant is told meanwhile."""
    entity_ids = [f"sensor.demo_meter_{name}" for name in REGISTERS]
    last = {entity_id: float(hass.state(entity_id)) for entity_id in entity_ids}
    with hass.socket() as (ask, event):
        ask("subscribe_trigger", trigger={"trigger": "state", "entity_id": entity_ids})
        yield
        told = 0
        for change in (each["variables"]["trigger"] for each in until_quiet(event, 2 * len(entity_ids))):
            entity_id, state = change["entity_id"], change["to_state"]["state"]
            told += 1
            if state != "unavailable":
                assert float(state) >= last[entity_id], f"{entity_id} went from {last[entity_id]} to {state}"
                last[entity_id] = float(state)
        assert told >= 2 * len(entity_ids), "each went and came back"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_simulator_ends_and_comes_back(household, hass, how):
    hass.call("switch.turn_on", entity_id="switch.demo_meter_daytime")
    hass.wait_for("sensor.demo_meter_pv_energy", lambda state: state not in NO_VALUE and float(state) > 0)
    with registers_watched(hass):
        getattr(household.wattswap, how)()
        hass.wait_for("sensor.demo_meter_pv_energy", "unavailable")
        assert hass.state("switch.demo_meter_daytime") == "unavailable"
        household.wattswap.start()
        household.settle()
    assert all_available(hass)
    assert hass.state("switch.demo_meter_daytime") == "on"
    hass.call("switch.turn_off", entity_id="switch.demo_meter_daytime")


def test_a_device_that_is_deleted_stays_away_until_it_is_announced_again(household, hass, probe):
    """Comes before the tests that take meter_00002 back: Home Assistant forgets then what it has to know for this."""
    device = hass.device("meter_00002")
    hass.ask("config/device_registry/remove", device_id=device["id"])
    probe.wait_for("homeassistant/device/meter_00002/config", lambda message: message.payload == b"")
    wait_until(lambda: hass.device("meter_00002") is None, "the device is gone", PATIENCE_S)
    done = household.cli("homeassistant", "announce", "meter_00002", "--broker", household.broker_url)
    assert (done.returncode, done.stdout) == (0, "meter_00002 is announced\n"), done.stderr
    household.settle()
    # Home Assistant takes each component back by itself, and is surprised to hear itself
    assert {line.rpartition("] ")[2] for line in hass.complaints()} <= {
        "No device components to cleanup for meter_00002, node_id 'None'"
    }


def test_a_meter_that_is_removed_goes_and_comes_back(household, hass):
    household.wattswap.stop()
    household.wattswap.start(meters=1)
    wait_until(lambda: hass.device("meter_00002") is None, "the device is gone", PATIENCE_S)
    assert not [unique_id for unique_id in hass.entries() if unique_id.startswith("meter_00002")]
    assert hass.device("demo_meter")
    household.wattswap.stop()
    household.wattswap.start()
    household.settle()


def test_the_devices_of_twenty_meters_are_there(household, hass, record_property):
    """How long it takes from the start of the command is written into the report, but not judged here."""
    household.wattswap.stop()
    began_s = time.perf_counter()
    household.wattswap.start(meters=20, discovery_meters=20)
    wanted = {"demo_meter", *(f"meter_{number:05d}" for number in range(2, 21))}
    last = [f"sensor.{meter_id}_pv_energy" for meter_id in wanted]

    def all_there():
        states = hass.states()
        return all(states.get(entity_id, {"state": "unknown"})["state"] not in NO_VALUE for entity_id in last)

    wait_until(all_there, "twenty devices have values", PATIENCE_S)
    took_s = time.perf_counter() - began_s
    record_property("twenty_devices_s", round(took_s, 1))
    sys.stdout.write(f"twenty devices after {took_s:.1f} s\n")
    assert all(hass.device(meter_id) for meter_id in wanted)
    household.wattswap.stop()
    household.wattswap.start()
    wait_until(lambda: hass.device("meter_00020") is None, "they are gone", PATIENCE_S)
    household.settle()


def test_what_an_upgrade_retires_goes(household, hass, probe):
    """An older version had a sensor more; it noted that in its store, and Home Assistant knows it."""
    config = config_of(probe)
    key, unique_id = "pv_pv_hum_pct", "demo_meter_pv_pv_hum_pct"
    config["cmps"][key] = {"p": "sensor", "uniq_id": unique_id, "name": "Humidity", "val_tpl": "{{ 50 }}"}
    household.wattswap.stop()
    probe.publish("homeassistant/device/demo_meter/config", json.dumps(config), retain=True)
    wait_until(lambda: unique_id in hass.entries(), "the sensor is there", PATIENCE_S)
    with closing(sqlite3.connect(household.folder / "data/community-main.sqlite")) as store, store:
        [(noted,)] = store.execute("SELECT value FROM discovery WHERE key = 'demo_meter'")
        noted = json.loads(noted)
        noted["components"][key] = "sensor"
        store.execute("UPDATE discovery SET value = ? WHERE key = 'demo_meter'", (json.dumps(noted),))
    household.wattswap.start()
    wait_until(lambda: unique_id not in hass.entries(), "the sensor is gone", PATIENCE_S)
    assert len(hass.entries()) > 150
    household.settle()


def test_a_meter_beyond_the_first_is_announced_on_request(household, hass):
    assert hass.device("meter_00003") is None
    household.cli("homeassistant", "announce", "meter_00003", "--broker", household.broker_url)
    hass.wait_for("sensor.meter_00003_pv_energy", lambda state: state not in (None, *NO_VALUE))
    household.cli("homeassistant", "announce", "meter_00003", "--off", "--broker", household.broker_url)
    wait_until(lambda: hass.device("meter_00003") is None, "the device is gone", PATIENCE_S)


def test_the_faults_offline_and_dropout(hass, probe):
    def inject(faults):
        probe.publish("wattswap/meter/demo_meter/switch/fault_inject/set", json.dumps(faults))
        obeyed(probe, "switch/fault_inject/set")

    inject({"offline": True})
    hass.wait_for("sensor.demo_meter_pv_power", "unavailable")
    assert hass.state("sensor.meter_00002_pv_power") not in NO_VALUE
    inject({})
    hass.wait_for("sensor.demo_meter_pv_power", lambda state: state not in NO_VALUE)
    inject({"dropout_prob": 1})
    seen = hass.state("sensor.demo_meter_load_energy")
    states = len([m for m in probe.received if m.topic == "wattswap/meter/meter_00002/state"])
    wait_until(
        lambda: len([m for m in probe.received if m.topic == "wattswap/meter/meter_00002/state"]) > states + 3,
        "time has passed",
    )
    assert hass.state("sensor.demo_meter_load_energy") in (
        seen,
        str(latest(probe, "hub")["derived"]["load_energy_kwh"]),
    )
    assert all_available(hass)
    inject({})


# The Energy dashboard.


def test_the_energy_dashboard_is_filled_and_valid(household, hass):
    for _ in range(2):  # twice is as once
        done = household.cli("homeassistant", "energy", "--url", hass.url, "--token", hass.token)
        assert done.returncode == 0, done.stderr
    prefs = hass.ask("energy/get_prefs")
    assert [source["type"] for source in prefs["energy_sources"]] == ["grid", "solar", "battery", "home"]
    issues = [i for part in hass.ask("energy/validate").values() for source in part for i in source]
    assert {issue["type"] for issue in issues} <= {"statistics_not_defined"}, "those begin at the next five minutes"
    grid = next(source for source in prefs["energy_sources"] if source["type"] == "grid")
    from_the_grid = grid["stat_rate"]

    def mirrored():
        net, power = hass.state("sensor.demo_meter_net_power"), hass.state(from_the_grid)
        return power not in (None, *NO_VALUE) and float(power) == -float(net)

    wait_until(mirrored, "what comes from the grid counts as plus", PATIENCE_S)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_statistics_are_there_and_valid_after_five_minutes(household, hass):
    """And so much is written into Home Assistant's database meanwhile."""
    done = household.cli("homeassistant", "energy", "--url", hass.url, "--token", hass.token)
    assert done.returncode == 0, done.stderr
    began_s = time.time()
    wait_until(
        lambda: not any(source for part in hass.ask("energy/validate").values() for source in part),
        "nothing is wrong any more",
        660,
    )
    assert hass.ask("recorder/validate_statistics") == {}
    wait_until(lambda: time.time() > began_s + 600, "ten minutes", 660)
    hourly = recorded_an_hour(hass, began_s, "demo_meter")
    sys.stdout.write(f"recorded states an hour: {hourly:.0f}\n")
    assert hourly <= 20_000


def recorded_an_hour(hass, since_s, meter_id):
    """Return how many states of a meter were written into the database, extrapolated to an hour."""
    hours = (time.time() - since_s) / 3600
    with closing(sqlite3.connect(f"file:{hass.folder}/home-assistant_v2.db?mode=ro", uri=True)) as database:
        [(rows,)] = database.execute(
            "SELECT count(*) FROM states JOIN states_meta USING (metadata_id)"
            " WHERE last_updated_ts > ? AND states_meta.entity_id LIKE ?",
            (since_s, f"%.{meter_id}_%"),
        )
    return rows / hours


@pytest.mark.usefixtures("everything_enabled")
def test_home_assistants_database_is_spared(hass, probe):
    """With every entity enabled and the sun up; a minute of it, so it says no more than the order of magnitude."""
    hass.call("switch.turn_on", entity_id="switch.demo_meter_daytime")
    hass.wait_for("switch.demo_meter_daytime", "on")
    states = "wattswap/meter/demo_meter/state"
    begin, began_s = latest(probe, "state")["seq"], time.time()
    probe.wait_for_json(states, lambda state: state["seq"] >= begin + 60, 200)
    hourly = recorded_an_hour(hass, began_s, "demo_meter")
    sys.stdout.write(f"recorded states an hour: {hourly:.0f}\n")
    assert 0 < hourly <= 20_000
    hass.call("switch.turn_off", entity_id="switch.demo_meter_daytime")


# The examples of the docs.


def test_the_examples_are_loaded(hass):
    states = hass.states()
    automations = {state["attributes"]["id"]: s for s, state in states.items() if s.startswith("automation.")}
    assert set(automations) == {
        "wattswap_sell_when_the_price_is_high",
        "wattswap_charge_the_ev_from_surplus",
        "wattswap_alarm_on_grid_loss",
        "wattswap_sell_from_the_blueprint",
    }
    blueprints = hass.ask("blueprint/list", domain="automation")
    assert blueprints["wattswap/trade_at_a_price.yaml"]["metadata"]["name"] == "WattSwap - trade at a price"
    for entity_id in automations.values():
        hass.call("automation.turn_on", entity_id=entity_id)
        hass.wait_for(entity_id, "on")


def test_the_grid_loss_alarm_alarms(hass):
    hass.call("automation.turn_on", entity_id="automation.alarm_on_grid_loss")

    def notices():
        return {n["notification_id"]: n for n in hass.ask("persistent_notification/get")}

    with grid_lost(hass):
        wait_until(lambda: "wattswap_grid" in notices(), "somebody is told", PATIENCE_S)
        assert re.search(r"The battery holds \d+(\.\d)? %", notices()["wattswap_grid"]["message"])
    wait_until(lambda: "wattswap_grid" not in notices(), "the notice is gone", PATIENCE_S)


@pytest.mark.usefixtures("charged")
@pytest.mark.parametrize("name", ["sell_when_the_price_is_high", "sell_from_the_blueprint"])
def test_selling_automations_sell(hass, probe, name):
    entity_id = f"automation.{name}"
    hass.call("automation.turn_on", entity_id=entity_id)
    hass.call("automation.trigger", entity_id=entity_id, skip_condition=False)
    hass.call("automation.trigger", entity_id=entity_id, skip_condition=True)
    order = obeyed(probe, "market/place")
    assert (order["side"], order["quantity_kwh"]) == ("sell", 1)
    probe.publish("wattswap/meter/demo_meter/market/cancel", json.dumps({"order_id": order["order_id"]}))
    placed = [m for m in probe.received if m.topic.endswith("/market/place")]
    assert len(placed) == 1, "the price is not high: it is sold only when the condition is skipped"


def test_the_dashboard_shows_entities_that_are_there(hass):
    dashboard = hass.ask("lovelace/config", url_path="wattswap-demo")
    shown = set(re.findall(r"\b[a-z_]+\.demo_meter_\w+", json.dumps(dashboard)))
    assert len(shown) > 40
    assert shown <= hass.states().keys()
