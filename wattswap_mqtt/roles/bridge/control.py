"""Endpoints that set things: switches and scenarios."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request, Response

from wattswap_mqtt.contract.commands import SetScenario, SetSwitches
from wattswap_mqtt.contract.messages import read_switches
from wattswap_mqtt.contract.scenario_files import read_document
from wattswap_mqtt.contract.scenario_tables import told
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.scenarios import NO_SCENARIO, scenario_named
from wattswap_mqtt.core.switches import SWITCHES
from wattswap_mqtt.roles.bridge.bodies import fields_of, refuse_unknown, text_in
from wattswap_mqtt.roles.bridge.bridge import Bridge
from wattswap_mqtt.roles.bridge.latest import json_object
from wattswap_mqtt.roles.bridge.problems import invalid, unavailable
from wattswap_mqtt.roles.bridge.serving import (
    AWAY,
    COMMAND_ERRORS,
    MeterInQuery,
    body_schema,
    bridge_of,
    documented,
    json_response,
    packed_response,
    ref,
)

router = APIRouter(tags=["control"])

_SWITCH_BODY = {
    "type": "object",
    "properties": {
        "meter_id": {"type": "string", "default": DEMO_METER},
        "switch": {"type": "string", "enum": list(SWITCHES)},
        "value": {"description": "see `Switches`; in a form it is text, and `fault_inject` takes its JSON"},
    },
    "required": ["switch", "value"],
}
_SWITCH_EXAMPLES = {
    "daytime": {"meter_id": DEMO_METER, "switch": "daytime", "value": True},
    "reserve": {"switch": "battery_reserve_pct", "value": 50},
    "fault": {"switch": "fault_inject", "value": {"bias_pct": 10}},
}


@router.post(
    "/control/switch",
    summary="Set a switch",
    openapi_extra=body_schema(_SWITCH_BODY, _SWITCH_EXAMPLES),
    responses=documented(
        "the switch has its new value",
        {
            "type": "object",
            "properties": {
                "status": {"const": "ok"},
                "meter_id": {"type": "string"},
                "switch": {"type": "string"},
                "value": {},
            },
        },
        {"status": "ok", "meter_id": DEMO_METER, "switch": "daytime", "value": True},
        {
            **COMMAND_ERRORS,
            409: "storage",
            422: "unknown_switch out_of_range wrong_type missing_field unknown_field unknown_fault invalid_json"
            " not_utf8",
        },
    ),
)
async def set_switch(request: Request) -> Response:
    """Set one switch of a meter, and answer once the meter has said that it took effect."""
    bridge = bridge_of(request)
    fields = await fields_of(request)
    refuse_unknown(fields, "meter_id", "switch", "value")
    meter_id, name = text_in(fields, "meter_id", DEMO_METER), text_in(fields, "switch")
    if "value" not in fields:
        raise invalid("missing_field", "value is missing")
    command = SetSwitches(read_switches({name: fields["value"]}), command=f"switch/{name}/set")
    await bridge.latest.expect(meter_id, telemetry=False)
    value = await bridge.asker.obeyed(meter_id, command)
    return json_response({"status": "ok", "meter_id": meter_id, "switch": name, "value": value})


@router.get(
    "/control/switches",
    summary="All switches of a meter",
    responses=documented(
        "every switch and its value", ref("Switches"), errors={404: "unknown_meter", 503: f"{AWAY} no_snapshot"}
    ),
)
async def switches(request: Request, meter_id: MeterInQuery = DEMO_METER) -> Response:
    """Return every switch of a meter and its value."""
    bridge = bridge_of(request)
    return json_response(await _switches(bridge, meter_id))


@router.get(
    "/control/time_acceleration",
    summary="Pace of the simulated clock",
    responses=documented(
        "simulated seconds per second",
        {"type": "object", "properties": {"time_acceleration": {"type": "number", "x-unit": "×"}}},
        {"time_acceleration": 1.0},
        {404: "unknown_meter", 503: AWAY},
    ),
)
async def time_acceleration(request: Request, meter_id: MeterInQuery = DEMO_METER) -> Response:
    """Return how fast the clock of the meter's community runs; 0 is paused."""
    bridge = bridge_of(request)
    values = await _switches(bridge, meter_id)
    return json_response({"time_acceleration": values.get("time_acceleration")})


@router.get(
    "/scenarios",
    summary="All scenarios",
    responses=documented(
        "what there is to be set",
        {
            "type": "object",
            "properties": {"scenarios": {"type": "array", "items": {"type": "object"}}},
        },
    ),
)
async def scenarios(request: Request) -> Response:
    """List the scenarios: what each sets, what happens when, and what the meter is then expected to say."""
    catalogue = bridge_of(request).catalogue
    told_all = {"scenarios": [told(scenario) for scenario in catalogue.scenarios.values()]}
    return packed_response(request, orjson.dumps(told_all))


_SET = documented(
    "the meter is in the scenario",
    {
        "type": "object",
        "properties": {
            "status": {"const": "ok"},
            "meter_id": {"type": "string"},
            "scenario": {"type": "string"},
        },
    },
    {"status": "ok", "meter_id": DEMO_METER, "scenario": "island-mode"},
    {**COMMAND_ERRORS, 409: "storage", 422: "unknown_scenario unknown_field missing_field wrong_type out_of_range"},
)
_OWN = {
    "type": "object",
    "properties": {
        "meter_id": {"type": "string", "default": DEMO_METER},
        "scenario": {
            "type": ["object", "string"],
            "description": "a scenario as `wattswap scenario schema` describes it, or a name",
        },
    },
    "required": ["scenario"],
}
_OWN_EXAMPLE = {
    "scenario": {
        "slug": "outage",
        "title": "Ten minutes without grid",
        "start": {"soc_pct": 80},
        "events": [
            {"at": "5m", "switch": {"grid_connected": False}},
            {"at": "15m", "switch": {"grid_connected": True}},
        ],
    }
}


@router.post(
    "/scenarios",
    summary="Set a scenario of your own",
    openapi_extra=body_schema(_OWN, {"outage": _OWN_EXAMPLE}),
    responses=_SET,
)
async def set_own_scenario(request: Request) -> Response:
    """Put a meter into a scenario that stands in the body: switches, start and timed events."""
    fields = await fields_of(request)
    refuse_unknown(fields, "meter_id", "scenario")
    wanted = fields.get("scenario")
    if not isinstance(wanted, dict):
        return await _set(request, text_in(fields, "meter_id", DEMO_METER), text_in(fields, "scenario"))
    command = SetScenario(read_document(wanted).slug, document=wanted)
    return await _set(request, text_in(fields, "meter_id", DEMO_METER), command)


@router.post(
    "/scenarios/{name}",
    summary="Set a scenario",
    openapi_extra=body_schema(
        {"type": "object", "properties": {"meter_id": {"type": "string", "default": DEMO_METER}}},
        {"demo": {"meter_id": DEMO_METER}},
        required=False,
    ),
    responses=_SET,
)
async def set_scenario(
    request: Request,
    name: Annotated[
        str, Path(description="a scenario's name or number, or `none` for the plain home", examples=["island-mode"])
    ],
    meter_id: MeterInQuery = DEMO_METER,
) -> Response:
    """Put a meter into a scenario: every switch, state of charge and base load at once, and what happens later."""
    fields = await fields_of(request)
    refuse_unknown(fields, "meter_id")
    return await _set(request, text_in(fields, "meter_id", meter_id), name)


async def _set(request: Request, meter_id: str, wanted: SetScenario | str) -> Response:
    bridge = bridge_of(request)
    if isinstance(wanted, str):
        plain = wanted.strip().lower() == NO_SCENARIO
        wanted = SetScenario(NO_SCENARIO if plain else scenario_named(wanted, bridge.catalogue.scenarios).slug)
    await bridge.latest.expect(meter_id, telemetry=False)
    result = await bridge.asker.obeyed(meter_id, wanted)
    return json_response({"status": "ok", "meter_id": meter_id, "scenario": result})


async def _switches(bridge: Bridge, meter_id: str) -> dict[str, object]:
    values = json_object((await bridge.latest.expect(meter_id, telemetry=False)).switches)
    if values is None:
        raise unavailable("no_snapshot", f"{meter_id} has not told its switches yet")
    return values
