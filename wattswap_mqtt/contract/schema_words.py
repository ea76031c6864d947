"""The words that JSON schemas (draft 2020-12) are written with here: texts, moments, numbers, records, ids."""

from typing import Any

from wattswap_mqtt.contract.messages import MAX_ID_LENGTH
from wattswap_mqtt.contract.topics import METER_ID, ORDER_ID

Schema = dict[str, Any]


def text(description: str, **more: object) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": description, **more}


def moment(description: str) -> Schema:
    """Return the schema of a moment."""
    return text(f"{description} (ISO 8601 with offset)", format="date-time")


def number(description: str, unit: str | None = None, **more: object) -> Schema:
    """Return the schema of a number."""
    return {"type": "number", "description": description, **({"x-unit": unit} if unit else {}), **more}


def nullable(schema: Schema) -> Schema:
    """Return a schema that takes null as well."""
    return schema | {"type": [schema["type"], "null"]}


def record(description: str, properties: dict[str, Schema], **more: object) -> Schema:
    """Return the schema of an object that has all of `properties`; more may be added in later versions."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        **more,
    }


def meter_id_schema() -> Schema:
    """Return the schema of a meter's id."""
    return text("the meter", pattern=f"^{METER_ID.pattern}$", examples=["demo_meter"])


def correlation_id_schema() -> Schema:
    """Return the schema of the echoed id."""
    return {
        "type": ["string", "number", "boolean", "null"],
        "maxLength": MAX_ID_LENGTH,
        "description": "echoed in the answer, never interpreted",
    }


def order_id_schema() -> Schema:
    """Return the schema of an order's id."""
    return text("`{meter_id}.{number}`", pattern=f"^{ORDER_ID.pattern}$", examples=["demo_meter.1"])
