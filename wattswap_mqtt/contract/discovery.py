"""Home Assistant device discovery: one retained message per meter, walked from the quantities and the switches.

Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (the keys are its abbreviations).
Ids never change once published: `uniq_id` is mechanical, `def_ent_id` is only what a new installation starts with.
"""

from typing import Any

from wattswap_mqtt import __version__
from wattswap_mqtt.contract.answers import EVENT_TYPES
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.faults import MAX_JSON_LENGTH
from wattswap_mqtt.core.quantities import QUANTITIES, Path
from wattswap_mqtt.core.scenarios import NO_SCENARIO, SCENARIOS
from wattswap_mqtt.core.switches import SWITCHES, Switch

PROJECT_URL = "https://pypi.org/project/wattswap-mqtt/"
UNIT_SUFFIXES = ("_currency_per_kwh", "_wpm2", "_kwh", "_kw", "_pct", "_hours", "_apt", "_kg", "_v", "_a", "_c")
SILENT_SECTIONS = ("measurements", "derived")
MAX_SHOWN_DECIMALS = 3

Component = dict[str, Any]


def device_config(topics: Topics, community: str, meter_id: str) -> dict[str, Any]:
    """Return the discovery payload of a meter; sensors read `M/hub`, everything else its own topic."""
    components = {
        f"{path.section}_{path.field}": _quantity(meter_id, path)
        for path in QUANTITIES
        if path.quantity.kind != "object"
    }
    components |= {f"switch_{switch.name}": _switch(topics, meter_id, switch) for switch in SWITCHES.values()}
    components |= {
        "scenario": _scenario(topics, meter_id),
        "problem": _problem(topics, meter_id),
        "event": _event(topics, meter_id),
    }
    return {
        "dev": {
            "ids": [f"wattswap_{meter_id}"],
            "name": f"WattSwap {meter_id.replace('_', ' ')}",
            "mf": "WattSwap",
            "mdl": "Virtual prosumer meter",
            "sn": f"WS-{meter_id}",
            "sw": __version__,
        },
        "o": {"name": "wattswap-mqtt", "sw": __version__, "url": PROJECT_URL},
        "avty": [{"t": topics.community_availability(community)}, {"t": topics.availability(meter_id)}],
        "avty_mode": "all",
        "stat_t": topics.hub(meter_id),
        "qos": 1,
        "cmps": components,
    }


def without(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a payload that removes one component; publish it once, then one that does not mention it."""
    return config | {"cmps": config["cmps"] | {key: {"p": config["cmps"][key]["p"]}}}


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
        component["val_tpl"] = f"{{{{ 'ON' if {value} else 'OFF' }}}}"
    else:
        component["val_tpl"] = f"{{{{ {value} | default(none) }}}}"
    optional = {
        "dev_cla": quantity.device_class,
        "stat_cla": quantity.state_class,
        "unit_of_meas": quantity.unit,
        "ops": list(quantity.options),
        "ent_cat": "diagnostic" if quantity.diagnostic else None,
    }
    component |= {key: value for key, value in optional.items() if value}
    if quantity.kind == "number":
        component["sug_dsp_prc"] = min(quantity.decimals, MAX_SHOWN_DECIMALS)
    return component


def _switch(topics: Topics, meter_id: str, switch: Switch) -> Component:
    platform = {"bool": "switch", "number": "number", "choice": "select", "faults": "text"}[switch.kind]
    component = _entity(platform, meter_id, f"switch_{switch.name}", readable_id(switch.name), switch.title)
    component |= {
        "stat_t": topics.switches(meter_id),
        "cmd_t": topics.command(meter_id, f"switch/{switch.name}/set"),
        "val_tpl": f"{{{{ value_json.{switch.name} }}}}",
    }
    if switch.is_setting:
        component["ent_cat"] = "config"
    match switch.kind:
        case "bool":
            component["val_tpl"] = f"{{{{ 'ON' if value_json.{switch.name} else 'OFF' }}}}"
        case "number":
            component |= {"min": switch.minimum, "max": switch.maximum, "step": switch.step}
            component |= {"unit_of_meas": switch.unit} if switch.unit else {}
        case "choice":
            component["ops"] = list(switch.options)
        case "faults":
            component |= {"val_tpl": f"{{{{ value_json.{switch.name} | to_json }}}}", "min": 2, "max": MAX_JSON_LENGTH}
    return component


def _scenario(topics: Topics, meter_id: str) -> Component:
    return _entity("select", meter_id, "scenario", "scenario", "Scenario") | {
        "stat_t": topics.scenario(meter_id),
        "cmd_t": topics.command(meter_id, "scenario/set"),
        "ops": [NO_SCENARIO, *SCENARIOS],
    }


def _problem(topics: Topics, meter_id: str) -> Component:
    return _entity("binary_sensor", meter_id, "problem", "problem", "Problem") | {
        "dev_cla": "problem",
        "ent_cat": "diagnostic",
        "val_tpl": "{{ 'ON' if value_json.alarms | rejectattr('level', 'eq', 'info') | list else 'OFF' }}",
        "json_attr_t": topics.hub(meter_id),
        "json_attr_tpl": "{{ {'alarms': value_json.alarms} | to_json }}",
    }


def _event(topics: Topics, meter_id: str) -> Component:
    return _entity("event", meter_id, "event", "event", "Event") | {
        "stat_t": topics.event(meter_id),
        "evt_typ": list(EVENT_TYPES),
    }
