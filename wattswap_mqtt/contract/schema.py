"""JSON Schemas (draft 2020-12) of what goes over the wire, walked from the declarations; OpenAPI and AsyncAPI use them.

`x-unit` is a number's unit, `x-decimals` what it is rounded to, `x-device-class` and `x-state-class` how hubs file it.
"""

from wattswap_mqtt.contract.market_schema import trade_schema
from wattswap_mqtt.contract.schema_words import (
    Schema,
    correlation_id_schema,
    meter_id_schema,
    moment,
    nullable,
    number,
    record,
    text,
)
from wattswap_mqtt.core.events import EVENT_TYPES
from wattswap_mqtt.core.faults import FAULTS, Fault
from wattswap_mqtt.core.quantities import QUANTITIES, SECTIONS
from wattswap_mqtt.core.quantity import Quantity
from wattswap_mqtt.core.status import ALARMS
from wattswap_mqtt.core.switches import SWITCHES, Switch

JSON_TYPES = {"number": "number", "integer": "integer", "enum": "string", "bool": "boolean"}


def quantity_schema(quantity: Quantity) -> Schema:
    """Return the schema of a reported quantity."""
    schema: Schema = {
        "type": JSON_TYPES[quantity.kind],
        "title": quantity.title,
        "description": quantity.meaning,
        "enum": list(quantity.options),
        "x-unit": quantity.unit,
        "x-decimals": quantity.decimals if quantity.kind == "number" else None,
        "minimum": quantity.minimum,
        "maximum": quantity.maximum,
        "x-device-class": quantity.device_class,
        "x-state-class": quantity.state_class,
    }
    kept = {key: value for key, value in schema.items() if value not in (None, [])}
    return nullable(kept) if quantity.nullable else kept


def snapshot_schema() -> Schema:
    """Return the schema of the snapshot: `M/state`, `M/hub`, `M/truth` and REST."""
    sections = {name: record(first_line(section), {}) for name, section in SECTIONS.items()}
    for path in QUANTITIES:
        target = sections[path.section]
        for outer in path.names[:-1]:
            if outer not in target["properties"]:
                target["properties"][outer] = record("what the load is made of; sums to load_power_kw", {})
                target["required"].append(outer)
            target = target["properties"][outer]
        target["properties"][path.names[-1]] = quantity_schema(path.quantity)
        target["required"].append(path.names[-1])
    sections["market"]["properties"]["last_trade"] = {"anyOf": [trade_schema(), {"type": "null"}]}
    sections["market"]["required"].append("last_trade")
    top = {
        "meter_id": meter_id_schema(),
        "timestamp": moment("simulated time of the reading"),
        "tz": text("the meter's time zone", examples=["Europe/Berlin"]),
        "hardware": record(
            "the device", {name: text(name.replace("_", " ")) for name in ("firmware_version", "meter_location")}
        ),
        "seq": {"type": "integer", "description": "counts the readings of this run"},
        "published_at": moment("wall time of the message"),
        **sections,
        "alarms": {"type": "array", "description": "what is raised now", "items": alarm_schema()},
    }
    return record("What a meter reports at one moment.", top, title="Snapshot")


def alarm_schema() -> Schema:
    """Return the schema of an alarm."""
    return record(
        "An alarm.",
        {
            "code": text("stable", examples=[alarm.code for alarm in ALARMS]),
            "level": text("how bad it is", enum=["info", "warning", "error"]),
            "msg": text("for people"),
        },
    )


def switch_schema(switch: Switch) -> Schema:
    """Return the schema of a switch's value as it is reported."""
    about: Schema = {"title": switch.title, "description": switch.meaning, "default": switch.default}
    match switch.kind:
        case "bool":
            return {"type": "boolean", **about}
        case "number":
            unit = {"x-unit": switch.unit} if switch.unit else {}
            return {"type": "number", "minimum": switch.minimum, "maximum": switch.maximum, **unit, **about}
        case "choice":
            return {"type": "string", "enum": list(switch.options), **about}
        case "faults":
            faults = {fault.key: fault_schema(fault) for fault in FAULTS.values()}
            return {"type": "object", "properties": faults, "additionalProperties": False, **about}


def fault_schema(fault: Fault) -> Schema:
    """Return the schema of one key of `fault_inject`."""
    match fault.kind:
        case "bool":
            return {"type": "boolean", "description": fault.meaning}
        case "number":
            return number(fault.meaning, fault.unit, minimum=fault.minimum, maximum=fault.maximum)
        case "fields":
            return {"type": "array", "description": fault.meaning, "items": text("such as p_active or battery.soc_pct")}


def switches_schema(*, command: bool = False) -> Schema:
    """Return the schema of the object of all switches, or of a command that sets some of them."""
    properties = {name: switch_schema(switch) for name, switch in SWITCHES.items()}
    if not command:
        return record("Every switch and its value.", properties)
    properties["id"] = correlation_id_schema()
    return {
        "type": "object",
        "description": "The switches to set, all or nothing.",
        "properties": properties,
        "additionalProperties": False,
    }


def ack_schema() -> Schema:
    """Return the schema of the answer to a command."""
    return record(
        "The one answer to a command.",
        {
            "id": correlation_id_schema(),
            "command": text("the topic below the meter's own", examples=["switch/daytime/set"]),
            "status": text("whether it took effect", enum=["ok", "error"]),
            "code": nullable(text("stable, null when ok", examples=["out_of_range"])),
            "message": nullable(text("says what would be right, null when ok")),
            "result": {"description": "the new value, order or list; of a failed order its id and status"},
        },
        title="Answer",
    )


def event_schema() -> Schema:
    """Return the schema of an event."""
    return record(
        "Something that happened; further fields depend on the type.",
        {
            "event_type": text("what happened", enum=list(EVENT_TYPES)),
            "timestamp": moment("simulated time"),
            "meter_id": meter_id_schema(),
        },
        title="Event",
    )


def first_line(section: type) -> str:
    """Return what a section is, in a line."""
    return (section.__doc__ or "").partition("\n")[0]
