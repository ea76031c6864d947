"""What the endpoints have in common: how they get at the bridge, how they answer, and how both are documented."""

import gzip
from collections.abc import Mapping
from typing import Annotated, Any, cast

import orjson
from fastapi import Path, Query, Request, Response

from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.roles.bridge import problems
from wattswap_mqtt.roles.bridge.bridge import Bridge

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]

JSON = "application/json"
WORTH_PACKING = 1000
"""Bytes."""
PACKING_LEVEL = 4
"""Most of what there is to gain, at a tenth of a second for 10 MB."""


MeterInPath = Annotated[str, Path(description="the meter's id", examples=[DEMO_METER])]
MeterInQuery = Annotated[str, Query(description="the meter's id", examples=[DEMO_METER])]


def bridge_of(request: Request) -> Bridge:
    """Return the bridge of the application that serves the request (as a dependency it would cost 50 µs)."""
    return cast("Bridge", request.app.state.bridge)


def json_response(content: object, status: int = 200) -> Response:
    """Return `content` (bytes are JSON already) as the response."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return Response(body, status, media_type=JSON)


def packed_response(request: Request, body: bytes) -> Response:
    """Return a large body, which is JSON already, compressed for those who take that."""
    headers = {"Vary": "Accept-Encoding"}
    if len(body) >= WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, PACKING_LEVEL)
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=JSON, headers=headers)


def joined(items: list[bytes]) -> bytes:
    """Return a JSON array of what is JSON already."""
    return b"[" + b",".join(items) + b"]"


def listed(given: list[str] | None) -> list[str]:
    """Return the names in a parameter of the query, which may be repeated, or hold several, parted by commas."""
    return [name for text in given or () for name in text.split(",") if name]


def ref(name: str) -> Schema:
    """Return a reference to a schema among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def documented(
    description: str, schema: Schema, example: object = None, errors: Mapping[int, str] | None = None
) -> Responses:
    """Return the documented responses: what comes with 200, and the errors as status -> codes, parted by blanks."""
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {200: {"description": description, "content": {JSON: content}}} | documented_errors(errors or {})


def documented_errors(errors: Mapping[int, str]) -> Responses:
    """Return the documented errors: status -> codes, parted by blanks."""
    responses: Responses = {}
    for status, codes in errors.items():
        responses[status] = {
            "description": "; ".join(f"`{code}`: {problems.title_of(code)}" for code in codes.split()),
            "content": {
                problems.MEDIA_TYPE: {
                    "schema": ref("Problem"),
                    "example": problems.body_of(problems.Problem(status, codes.split()[0], "a sentence that helps")),
                }
            },
        }
        if status == 503:
            seconds = {"description": "seconds", "schema": {"type": "integer"}}
            responses[status]["headers"] = {"Retry-After": seconds}
    return responses


def body_schema(schema: Schema, examples: Mapping[str, object], *, required: bool = True) -> Schema:
    """Return what documents a request body that is read as JSON or as a form."""
    named = {name: {"value": value} for name, value in examples.items()}
    content = {
        JSON: {"schema": schema, "examples": named},
        "application/x-www-form-urlencoded": {"schema": schema},
    }
    return {"requestBody": {"content": content, "required": required}}


AWAY = "broker_away simulator_away"
"""Codes of the 503 of everything that needs the device."""
COMMAND_ERRORS: dict[int, str] = {404: "unknown_meter", 413: "too_large", 503: f"{AWAY} busy", 504: "timeout"}
