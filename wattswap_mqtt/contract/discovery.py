"""Home Assistant device discovery: one retained message per meter, walked from the quantities and the switches.

Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (the keys are its abbreviations).
Ids never change once published: `uniq_id` is mechanical, `def_ent_id` is only what a new installation starts with.
Templates are written without blanks: a payload of a hundred components is to stay below 32 KiB.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from wattswap_mqtt import __version__
from wattswap_mqtt.contract.scenario_files import builtin_names
from wattswap_mqtt.contract.topics import PLACE_ORDER, SET_SCENARIO, Topics
from wattswap_mqtt.core.events import EVENT_TYPES
from wattswap_mqtt.core.faults import MAX_JSON_LENGTH
from wattswap_mqtt.core.quantities import QUANTITIES, Path
from wattswap_mqtt.core.scenarios import NO_SCENARIO
from wattswap_mqtt.core.switches import SWITCHES, Switch

PROJECT_URL = "https://pypi.org/project/wattswap-mqtt/"
UNIT_SUFFIXES = ("_currency_per_kwh", "_wpm2", "_kwh", "_kw", "_pct", "_hours", "_apt", "_kg", "_v", "_a", "_c")
SILENT_SECTIONS = ("measurements", "derived")
MOST_SLIDER_STEPS = 1000
"""A number of more steps is typed instead."""
PLAIN_HOME = "plain-home"
"""What the scenario `none` is called here: Home Assistant takes that word for "unknown"."""
EVENT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "order": (*(kind for kind in EVENT_TYPES if kind.startswith("order_")), "trade"),
    "alarm": ("alarm_raised", "alarm_cleared"),
    "grid": ("grid_disconnect", "grid_reconnect"),
}
"""Events that have an entity of their own; each but the trade is a device trigger as well."""

Component = dict[str, Any]


def device_config(
    topics: Topics,
    community: str,
    meter_id: str,
    dashboard_url: str | None = None,
    scenarios: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the discovery payload of a meter; sensors read `M/hub`, everything else its own topic.

    `scenarios` are the names to choose from, beside the plain home; those of the package unless given.
    """
    components = {f"{path.section}_{path.field}": _quantity(meter_id, path) for path in QUANTITIES}
    components |= {f"switch_{switch.name}": _switch(topics, meter_id, switch) for switch in SWITCHES.values()}
    components |= {
        "scenario": _scenario(topics, meter_id, scenarios or builtin_names()),
        **_buttons(topics, meter_id),
        "grid": _grid(meter_id),
        "problem": _problem(topics, meter_id),
        "feed_in_price": _feed_in_price(topics, community, meter_id),
        "event": _event(topics, meter_id, "event", "Event", EVENT_TYPES),
        **_event_groups(topics, meter_id),
        **_triggers(topics, meter_id),
    }
    device = {
        "ids": [f"wattswap_{meter_id}"],
        "name": f"WattSwap {meter_id.replace('_', ' ')}",
        "mf": "WattSwap",
        "mdl": "Virtual prosumer meter",
        "sn": f"WS-{meter_id}",
        "sw": __version__,
    }
    if dashboard_url is not None:
        device["cu"] = f"{dashboard_url}/?meter={meter_id}"
    return {
        "dev": device,
        "o": {"name": "wattswap-mqtt", "sw": __version__, "url": PROJECT_URL},
        "avty": [{"t": topics.community_availability(community)}, {"t": topics.availability(meter_id)}],
        "avty_mode": "all",
        "stat_t": topics.hub(meter_id),
        "qos": 1,
        "cmps": components,
    }


def platforms(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the platform of each component in a payload: what has to be known to remove it one day."""
    return {key: component["p"] for key, component in config["cmps"].items()}


def retiring(config: dict[str, Any], retired: Mapping[str, str]) -> dict[str, Any]:
    """Return a payload that removes components (by key: their platform).

    Publish it once, then the one that does not mention them.
    """
    return config | {"cmps": config["cmps"] | {key: {"p": platform} for key, platform in retired.items()}}


REMOVED = b""
"""The payload that removes a device with all it has."""


def readable_id(*words: str) -> str:
    """Return the words of an entity id: the unit's suffix, silent sections and words said before are left out."""
    field = words[-1]
    suffix = next((suffix for suffix in UNIT_SUFFIXES if field.endswith(suffix)), "")
    spoken = [*words[:-1], field.removesuffix(suffix)]
    said = [word for part in spoken if part not in SILENT_SECTIONS for word in part.split("_")]
    return "_".join(dict.fromkeys(said))


def _entity(platform: str, meter_id: str, key: str, readable: str, name: str) -> Component:
    return {
        "p": platform,
        "uniq_id": f"{meter_id}_{key}",
        "def_ent_id": f"{platform}.{meter_id.lower().replace('-', '_')}_{readable}",
        "name": name,
    }


def _quantity(meter_id: str, path: Path) -> Component:
    quantity = path.quantity
    platform = "binary_sensor" if quantity.kind == "bool" else "sensor"
    readable = readable_id(path.section, path.field)
    component = _entity(platform, meter_id, f"{path.section}_{path.field}", readable, quantity.title)
    value = f"value_json.{path.dotted}"
    if quantity.kind == "bool":
        component["val_tpl"] = f"{{{{'ON' if {value} else 'OFF'}}}}"
    else:
        component["val_tpl"] = f"{{{{{value}|default(none)}}}}"
    optional = {
        "dev_cla": quantity.device_class,
        "stat_cla": quantity.state_class,
        "unit_of_meas": quantity.unit,
        "ops": list(quantity.options),
        "ent_cat": "diagnostic" if quantity.diagnostic else None,
    }
    component |= {key: value for key, value in optional.items() if value}
    if quantity.kind == "number":
        component["sug_dsp_prc"] = quantity.hub_decimals
    if quantity.rare:
        component["en"] = False
    return component


def _switch(topics: Topics, meter_id: str, switch: Switch) -> Component:
    platform = {"bool": "switch", "number": "number", "choice": "select", "faults": "text"}[switch.kind]
    component = _entity(platform, meter_id, f"switch_{switch.name}", readable_id(switch.name), switch.title)
    component |= {
        "stat_t": topics.switches(meter_id),
        "cmd_t": topics.command(meter_id, f"switch/{switch.name}/set"),
        "val_tpl": f"{{{{value_json.{switch.name}}}}}",
        "ic": switch.icon,
    }
    if switch.is_setting:
        component["ent_cat"] = "config"
    match switch.kind:
        case "bool":
            component["val_tpl"] = f"{{{{'ON' if value_json.{switch.name} else 'OFF'}}}}"
        case "number":
            component |= {"min": switch.minimum, "max": switch.maximum, "step": switch.step}
            component |= {"unit_of_meas": switch.unit} if switch.unit else {}
            if (switch.maximum - switch.minimum) / switch.step > MOST_SLIDER_STEPS:
                component["mode"] = "box"
        case "choice":
            component["ops"] = list(switch.options)
        case "faults":
            component |= {"val_tpl": f"{{{{value_json.{switch.name}|to_json}}}}", "min": 2, "max": MAX_JSON_LENGTH}
    return component


def _scenario(topics: Topics, meter_id: str, scenarios: Sequence[str]) -> Component:
    return _entity("select", meter_id, "scenario", "scenario", "Scenario") | {
        "stat_t": topics.scenario(meter_id),
        "val_tpl": f"{{{{ '{PLAIN_HOME}' if value == '{NO_SCENARIO}' else value }}}}",
        "cmd_t": topics.command(meter_id, SET_SCENARIO.below),
        "cmd_tpl": f"{{{{ '{NO_SCENARIO}' if value == '{PLAIN_HOME}' else value }}}}",
        "ops": [PLAIN_HOME, *scenarios],
        "ic": "mdi:home-switch",
    }


def _buttons(topics: Topics, meter_id: str) -> dict[str, Component]:
    orders = {
        f"{side}_1_kwh": _entity("button", meter_id, f"{side}_1_kwh", f"{side}_1_kwh", f"{side.title()} 1 kWh")
        | {
            "cmd_t": topics.command(meter_id, PLACE_ORDER.below),
            "pl_prs": orjson.dumps({"side": side, "type": "market", "quantity_kwh": 1, "duration_sec": 900}).decode(),
            "ic": icon,
        }
        for side, icon in (("sell", "mdi:cash-plus"), ("buy", "mdi:cash-minus"))
    }
    plain_home = _entity("button", meter_id, "plain_home", "plain_home", "Plain home")
    plain_home |= {
        "cmd_t": topics.command(meter_id, SET_SCENARIO.below), "pl_prs": NO_SCENARIO, "ic": "mdi:home-outline",
    }  # fmt: skip
    return orders | {"plain_home": plain_home}


def _grid(meter_id: str) -> Component:
    return _entity("binary_sensor", meter_id, "grid", "grid", "Grid") | {
        "dev_cla": "connectivity",
        "val_tpl": "{{ 'ON' if value_json.grid.grid_status == 'connected' else 'OFF' }}",
    }


def _problem(topics: Topics, meter_id: str) -> Component:
    return _entity("binary_sensor", meter_id, "problem", "problem", "Problem") | {
        "dev_cla": "problem",
        "ent_cat": "diagnostic",
        "val_tpl": "{{ 'ON' if value_json.alarms | rejectattr('level', 'eq', 'info') | list else 'OFF' }}",
        "json_attr_t": topics.hub(meter_id),
        "json_attr_tpl": "{{ {'alarms': value_json.alarms} | to_json }}",
    }


def _feed_in_price(topics: Topics, community: str, meter_id: str) -> Component:
    return _entity("sensor", meter_id, "feed_in_price", "feed_in_price", "Feed-in price") | {
        "stat_t": topics.community_market(community),
        "val_tpl": "{{value_json.feed_in_tariff|default(none)}}",
        "unit_of_meas": "apt/kWh",
        "stat_cla": "measurement",
        "sug_dsp_prc": 4,
    }


def _event(topics: Topics, meter_id: str, key: str, name: str, event_types: Iterable[str]) -> Component:
    return _entity("event", meter_id, key, key.removesuffix("_event"), name) | {
        "stat_t": topics.event(meter_id),
        "evt_typ": list(event_types),
    }


def _event_groups(topics: Topics, meter_id: str) -> dict[str, Component]:
    """Return an event entity a group; what renders to nothing is passed over."""
    return {
        f"{group}_event": _event(topics, meter_id, f"{group}_event", f"{group.title()} event", event_types)
        | {"val_tpl": f"{{{{value if value_json.event_type in {event_types}}}}}"}
        for group, event_types in EVENT_GROUPS.items()
    }


def _triggers(topics: Topics, meter_id: str) -> dict[str, Component]:
    """Return the device triggers; Home Assistant shows one as `"alarm" raised`."""
    return {
        f"on_{event_type}": {
            "p": "device_automation",
            "atype": "trigger",
            "type": event_type.removeprefix(f"{group}_").replace("_", " "),
            "stype": group,
            "t": topics.event(meter_id),
            "val_tpl": "{{value_json.event_type}}",
            "pl": event_type,
        }
        for group, event_types in EVENT_GROUPS.items()
        for event_type in event_types
        if event_type.startswith(group)
    }
