"""The OpenAPI document: FastAPI's, with the schemas that are walked from the declarations."""

from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from wattswap_mqtt.contract.market_schema import (
    ledger_schema,
    market_properties,
    order_request_schema,
    order_schema,
    statement_schema,
)
from wattswap_mqtt.contract.schema import snapshot_schema, switches_schema
from wattswap_mqtt.contract.schema_words import record, text
from wattswap_mqtt.roles.bridge.problems import CODES
from wattswap_mqtt.roles.bridge.serving import documented

EXAMPLES = Path(__file__).parent / "examples"
"""What a running system has answered, by the names of the schemas."""

DESCRIPTION = """\
Virtual prosumer meters with PV, battery, EV and a marketplace. The meters live on MQTT; this is their face for HTTP.

- **Signs**: `net_power_kw` and `p_active` + export, - import; `battery_power_kw` + discharge, - charge.
- **Units** stand in the names (`_kw`, `_kwh`, `_pct`, `_v`, `_a`, `_hz`, `_c`, `_s`) and in the schemas (`x-unit`).
- **Times** are ISO 8601. `timestamp` is simulated time, `published_at` wall time; a time that you send without an
  offset is taken in the meter's zone.
- **Commands** are answered once the meter has said that they took effect.
- **Errors** are [problem details](https://www.rfc-editor.org/rfc/rfc9457) with a stable `code`.

The same system on MQTT: [`/asyncapi.json`](/asyncapi.json).
"""


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """Return the document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            license_info=app.license_info,
        )
        _say_problem(document)
        document["components"]["schemas"] = schemas = {
            "Snapshot": snapshot_schema(),
            "Switches": switches_schema(),
            "OrderRequest": order_request_schema(),
            "Order": order_schema(),
            "Market": _market_schema(),
            "Statement": statement_schema(),
            "Ledger": ledger_schema(),
            "Health": _health_schema(),
            "Problem": _problem_schema(),
        }
        for file in EXAMPLES.glob("*.json"):
            schemas[file.stem]["examples"] = [orjson.loads(file.read_bytes())]
        app.openapi_schema = document
    return app.openapi_schema


def _say_problem(document: dict[str, Any]) -> None:
    """Put our own 422 in the place of the one that FastAPI takes for granted."""
    ours = documented("", {}, errors={422: "out_of_range wrong_type missing_field"})[422]
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"]["422"] = ours


def _problem_schema() -> dict[str, Any]:
    return record(
        "Problem details (RFC 9457).",
        {
            "type": text("a name of the kind of problem", format="uri"),
            "title": text("what the code means in general"),
            "status": {"type": "integer", "description": "the HTTP status"},
            "detail": text("what is wrong with this request, and what would be right"),
            "code": text("stable, snake_case; of a refused command it is the ack's", examples=list(CODES)),
        },
    ) | {"additionalProperties": True}


def _market_schema() -> dict[str, Any]:
    return record("A community's marketplace.", {"community": text("its name"), **market_properties()})


def _health_schema() -> dict[str, Any]:
    number = {"type": ["number", "null"]}
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    return record(
        "How the parts are.",
        {
            "status": text(
                "unavailable (broker or simulator is away) and failing (nothing can be saved) come with 503;"
                " degraded: another community is away or failing",
                enum=["ok", "degraded", "failing", "unavailable"],
            ),
            "version": text("of the bridge"),
            "tick_rate": {**number, "description": "measured", "x-unit": "1/s"},
            "time_acceleration": {**number, "description": "simulated seconds per second"},
            "lag_s": {**number, "description": "how far the simulation is behind its pace", "x-unit": "s"},
            "simulated_time": {"type": ["string", "null"]},
            "queue_lengths": counts,
            "broker": record("The MQTT broker.", {"address": text("where"), "connected": {"type": "boolean"}}),
            "communities": {"type": "object", "description": "status and availability of each simulator"},
            "meters": {"type": "integer"},
            "history": {"type": "object", "description": "ok, or paused and why"},
            "stream": {"type": "object", "description": "clients of the live stream, and what slow ones missed"},
        },
    )
