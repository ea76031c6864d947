"""The rules of Home Assistant's MQTT discovery, checked key by key.

The tables are facts from its documentation and its validation (2026.11): a key that is unknown inside a component is
dropped without a word, one unknown at the top rejects the whole payload.
"""

import re

import orjson
import pytest

from wattswap_mqtt.contract.commands import PlaceOrder, SetScenario
from wattswap_mqtt.contract.discovery import (
    EVENT_GROUPS,
    PLAIN_HOME,
    REMOVED,
    device_config,
    platforms,
    readable_id,
    retiring,
)
from wattswap_mqtt.contract.messages import parse_command
from wattswap_mqtt.contract.scenario_files import builtin_names
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.events import EVENT_TYPES
from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.switches import SWITCHES

ENTITY = {"p", "uniq_id", "def_ent_id", "name", "ic", "en", "ent_cat"}
KEYS = {
    "sensor": ENTITY | {"stat_t", "val_tpl", "dev_cla", "stat_cla", "unit_of_meas", "ops", "sug_dsp_prc"},
    "binary_sensor": ENTITY | {"stat_t", "val_tpl", "dev_cla", "json_attr_t", "json_attr_tpl"},
    "switch": ENTITY | {"stat_t", "val_tpl", "cmd_t"},
    "number": ENTITY | {"stat_t", "val_tpl", "cmd_t", "min", "max", "step", "mode", "unit_of_meas"},
    "select": ENTITY | {"stat_t", "val_tpl", "cmd_t", "cmd_tpl", "ops"},
    "text": ENTITY | {"stat_t", "val_tpl", "cmd_t", "min", "max"},
    "button": ENTITY | {"cmd_t", "pl_prs"},
    "event": ENTITY | {"stat_t", "val_tpl", "evt_typ"},
    "device_automation": {"p", "atype", "type", "stype", "t", "val_tpl", "pl"},
}
ENERGY = {"J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "cal", "kcal", "Mcal", "Gcal"}
UNITS = {
    "apparent_power": {"mVA", "VA", "kVA"},
    "battery": {"%"},
    "current": {"A", "mA"},
    "duration": {"d", "h", "min", "s", "ms"},
    "energy": ENERGY,
    "energy_storage": ENERGY,
    "enum": {None},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "irradiance": {"W/m²", "BTU/(h⋅ft²)"},
    "power": {"mW", "W", "kW", "MW", "GW", "TW"},
    "power_factor": {"%", None},
    "reactive_power": {"mvar", "var", "kvar"},
    "temperature": {"°C", "°F", "K"},
    "voltage": {"V", "mV", "kV", "MV"},
}
STATE_CLASSES = {key: {"measurement"} for key in UNITS} | {
    "energy": {"total", "total_increasing"},
    "enum": {None},
    "duration": {"measurement", "total", "total_increasing"},
}
CONFIG = device_config(Topics(), "main", "demo_meter", "http://127.0.0.1:8000")
COMPONENTS = CONFIG["cmps"]
ENTITIES = {key: component for key, component in COMPONENTS.items() if component["p"] != "device_automation"}
TRIGGERS = {key: component for key, component in COMPONENTS.items() if component["p"] == "device_automation"}


def components():
    return pytest.mark.parametrize("component", COMPONENTS.values(), ids=COMPONENTS)


def by_entity_id(entity_id):
    return next(component for component in ENTITIES.values() if component["def_ent_id"] == entity_id)


def test_the_top_level_holds_shared_options_only():
    assert set(CONFIG) == {"dev", "o", "avty", "avty_mode", "stat_t", "qos", "cmps"}
    assert set(CONFIG["dev"]) == {"ids", "name", "mf", "mdl", "sn", "sw", "cu"}
    assert CONFIG["dev"]["cu"] == "http://127.0.0.1:8000/?meter=demo_meter"
    assert "cu" not in device_config(Topics(), "main", "demo_meter")["dev"]
    assert set(CONFIG["o"]) == {"name", "sw", "url"}


def test_a_meter_is_available_when_its_community_is_too():
    assert CONFIG["avty_mode"] == "all"
    assert CONFIG["avty"] == [
        {"t": "wattswap/community/main/availability"},
        {"t": "wattswap/meter/demo_meter/availability"},
    ]


def test_every_quantity_and_every_switch_is_there():
    assert set(COMPONENTS) - {f"{path.section}_{path.field}" for path in QUANTITIES} - {
        f"switch_{name}" for name in SWITCHES
    } - set(TRIGGERS) == {
        *("scenario", "sell_1_kwh", "buy_1_kwh", "plain_home", "grid", "problem", "feed_in_price"),
        *("event", "order_event", "alarm_event", "grid_event"),
    }
    for path in QUANTITIES:
        component = COMPONENTS[f"{path.section}_{path.field}"]
        assert component["uniq_id"] == f"demo_meter_{path.section}_{path.field}"
        assert re.search(rf"value_json\.{re.escape(path.dotted)}[| ]", component["val_tpl"])
        assert component["name"] == path.quantity.title
        assert (component.get("en", True), component.get("ent_cat") == "diagnostic") == (
            not path.quantity.rare,
            path.quantity.diagnostic,
        )
    for name in SWITCHES:
        component = COMPONENTS[f"switch_{name}"]
        assert component["uniq_id"] == f"demo_meter_switch_{name}"
        assert component["cmd_t"] == f"wattswap/meter/demo_meter/switch/{name}/set"
        assert component["stat_t"] == "wattswap/meter/demo_meter/switches"


@pytest.mark.parametrize(
    ("entity_id", "unique_id"),
    [
        ("sensor.demo_meter_pv_power", "demo_meter_pv_pv_power_kw"),
        ("sensor.demo_meter_battery_soc", "demo_meter_battery_soc_pct"),
        ("sensor.demo_meter_grid_price", "demo_meter_grid_grid_price_currency_per_kwh"),
        ("sensor.demo_meter_energy_imported", "demo_meter_derived_energy_imported_kwh"),
        ("sensor.demo_meter_v_rms", "demo_meter_measurements_v_rms"),
        ("sensor.demo_meter_autonomy", "demo_meter_derived_autonomy_hours"),
        ("sensor.demo_meter_loads_appliance_hvac", "demo_meter_loads_appliance_hvac_kw"),
        ("switch.demo_meter_daytime", "demo_meter_switch_daytime"),
        ("number.demo_meter_battery_reserve", "demo_meter_switch_battery_reserve_pct"),
        ("select.demo_meter_ev_mode", "demo_meter_switch_ev_mode"),
        ("text.demo_meter_fault_inject", "demo_meter_switch_fault_inject"),
    ],
)
def test_ids_of_the_contract(entity_id, unique_id):
    assert by_entity_id(entity_id)["uniq_id"] == unique_id


@pytest.mark.parametrize("meter_id", ["demo_meter", "meter_00002", "A-b", "m" * 64])
def test_ids_and_names_are_unique_within_a_device(meter_id):
    entities = [c for c in device_config(Topics(), "main", meter_id)["cmps"].values() if "uniq_id" in c]
    for key in ("uniq_id", "def_ent_id", "name"):
        assert len({entity[key] for entity in entities}) == len(entities)
    for entity in entities:
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", entity["def_ent_id"])
        assert entity["def_ent_id"].split(".")[0] == entity["p"]


def test_a_readable_id_says_no_word_twice():
    assert readable_id("pv", "pv_power_kw") == "pv_power"
    assert readable_id("market", "current_market_price") == "market_current_price"
    assert readable_id("measurements", "p_active") == "p_active"


@components()
def test_keys(component):
    assert set(component) <= KEYS[component["p"]]


@pytest.mark.parametrize("component", ENTITIES.values(), ids=ENTITIES)
def test_entities(component):
    assert {"p", "uniq_id", "def_ent_id", "name"} <= set(component)
    assert "stat_t" in component or component["p"] in ("sensor", "binary_sensor", "button")
    assert component.get("ent_cat") in ({None, "diagnostic"} if "sensor" in component["p"] else {None, "config"})
    assert not component["name"].lower().startswith(CONFIG["dev"]["name"].lower())
    assert re.fullmatch("mdi:[a-z0-9-]+", component.get("ic", "mdi:home"))


@pytest.mark.parametrize(
    "component", [c for c in COMPONENTS.values() if c["p"] == "sensor"], ids=lambda c: c["uniq_id"]
)
def test_device_class_unit_and_state_class_fit(component):
    device_class, unit, state_class = component.get("dev_cla"), component.get("unit_of_meas"), component.get("stat_cla")
    if device_class is not None:
        assert unit in UNITS[device_class]
        assert state_class in STATE_CLASSES[device_class]
    if device_class == "enum":
        assert component["ops"]
        assert len(set(component["ops"])) == len(component["ops"])
    else:
        assert "ops" not in component
        assert state_class in ("measurement", "total", "total_increasing")
    assert component["val_tpl"].endswith("|default(none)}}")


def test_switches_say_on_and_off_and_numbers_their_range():
    for name, switch in SWITCHES.items():
        component = COMPONENTS[f"switch_{name}"]
        match component["p"]:
            case "switch":
                assert component["val_tpl"] == f"{{{{'ON' if value_json.{name} else 'OFF'}}}}"
            case "number":
                assert component["min"] <= switch.default <= component["max"]
                assert component["step"] >= 0.001
                assert switch.parse(component["min"]) == component["min"]
                assert switch.parse(component["max"]) == component["max"]
            case "select":
                assert [switch.parse(option) for option in component["ops"]] == component["ops"]
            case "text":
                assert (component["min"], component["max"]) == (2, 255)


def test_the_energy_dashboard_finds_its_registers():
    for register in ("energy_imported", "energy_exported", "pv_energy", "battery_charged", "battery_discharged"):
        component = by_entity_id(f"sensor.demo_meter_{register}")
        assert (component["dev_cla"], component["stat_cla"], component["unit_of_meas"]) == (
            "energy",
            "total_increasing",
            "kWh",
        )


def test_buttons_send_commands_that_the_device_reads():
    for side in ("sell", "buy"):
        button = COMPONENTS[f"{side}_1_kwh"]
        below = button["cmd_t"].removeprefix("wattswap/meter/demo_meter/")
        command = parse_command("demo_meter", below, button["pl_prs"].encode())
        assert isinstance(command, PlaceOrder)
        assert (command.terms.side, command.terms.type) == (side, "market")
        assert command.terms.quantity_mwh == 1_000_000
    button = COMPONENTS["plain_home"]
    command = parse_command("demo_meter", "scenario/set", button["pl_prs"].encode())
    assert isinstance(command, SetScenario)
    assert command.name == "none"


def test_the_scenario_none_has_a_name_that_is_not_taken_for_unknown():
    assert COMPONENTS["scenario"]["ops"] == [PLAIN_HOME, *builtin_names()]
    assert "none" not in [option.lower() for option in COMPONENTS["scenario"]["ops"]]


def test_every_event_type_is_told_and_the_groups_are_of_the_same_words():
    assert COMPONENTS["event"]["evt_typ"] == list(EVENT_TYPES)
    for group, event_types in EVENT_GROUPS.items():
        assert COMPONENTS[f"{group}_event"]["evt_typ"] == list(event_types)
        assert set(event_types) <= set(EVENT_TYPES)
        assert str(event_types) in COMPONENTS[f"{group}_event"]["val_tpl"]


def test_triggers():
    assert {trigger["pl"] for trigger in TRIGGERS.values()} == {
        *("order_accepted", "order_partially_filled", "order_executed", "order_failed", "order_expired"),
        *("order_cancelled", "alarm_raised", "alarm_cleared", "grid_disconnect", "grid_reconnect"),
    }
    for key, trigger in TRIGGERS.items():
        assert set(trigger) == KEYS["device_automation"]
        assert key == f"on_{trigger['pl']}"
        assert trigger["t"] == "wattswap/meter/demo_meter/event"
    assert len({(trigger["stype"], trigger["type"]) for trigger in TRIGGERS.values()}) == len(TRIGGERS)


@pytest.mark.parametrize("meter_id", ["demo_meter", "village_00001"])
def test_the_payload_stays_small(meter_id):
    assert len(orjson.dumps(device_config(Topics(), "village", meter_id, "http://192.168.1.5:8000"))) <= 32 * 1024


def test_a_payload_that_retires_components_names_them_and_keeps_the_others():
    config = retiring(CONFIG, {"pv_pv_hum_pct": "sensor", "switch_moon": "switch"})
    assert config["cmps"]["pv_pv_hum_pct"] == {"p": "sensor"}
    assert config["cmps"]["switch_moon"] == {"p": "switch"}
    assert {key: config["cmps"][key] for key in COMPONENTS} == COMPONENTS
    assert platforms(CONFIG)["pv_pv_temp_c"] == "sensor"
    assert platforms(CONFIG).keys() == COMPONENTS.keys()
    assert REMOVED == b""


def test_other_prefixes_are_followed():
    config = device_config(Topics("home/energy"), "north", "meter_00002")
    assert b"wattswap/" not in orjson.dumps(config)
    assert config["stat_t"] == "home/energy/meter/meter_00002/hub"
    assert config["avty"][0] == {"t": "home/energy/community/north/availability"}
