"""Endpoints of the meters: who there is, what they report now, and what they reported."""

import asyncio
from datetime import tzinfo
from itertools import islice
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response

from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.roles.bridge.bridge import Bridge
from wattswap_mqtt.roles.bridge.problems import Problem, invalid, unavailable
from wattswap_mqtt.roles.bridge.serving import (
    AWAY,
    MeterInPath,
    bridge_of,
    documented,
    joined,
    json_response,
    packed_response,
    ref,
)
from wattswap_mqtt.roles.bridge.times import cursor_at, time_in_query, time_of_cursor
from wattswap_mqtt.store.downsample import FIELDS, RESOLUTIONS, zone_of

MAX_ROWS = 100_000

router = APIRouter(tags=["meters"])

Resolution = Literal["1s", "10s", "1m", "15m", "1h", "1d"]


@router.get(
    "/meter/{meter_id}/snapshot",
    summary="Current snapshot",
    responses=documented(
        "what the meter reported last",
        ref("Snapshot"),
        errors={404: "unknown_meter", 503: f"{AWAY} meter_offline no_snapshot"},
    ),
)
async def snapshot(request: Request, meter_id: MeterInPath) -> Response:
    """Return what the meter reported last, byte for byte as it came over MQTT."""
    latest = bridge_of(request).latest
    payload = latest.snapshot(meter_id) or (await latest.expect(meter_id)).snapshot
    if payload is None:
        raise unavailable("no_snapshot", f"{meter_id} has not reported yet")
    return json_response(payload)


@router.get(
    "/meter/{meter_id}/truth",
    summary="The snapshot as it really is, while a fault is active",
    responses=documented(
        "what is true, whatever the meter says", ref("Snapshot"), errors={404: "no_fault unknown_meter", 503: AWAY}
    ),
)
async def truth(request: Request, meter_id: MeterInPath) -> Response:
    """Return what would have been reported without the fault that is injected."""
    bridge = bridge_of(request)
    payload = (await bridge.latest.expect(meter_id, telemetry=False)).truth
    if payload is None:
        raise Problem(404, "no_fault", f"{meter_id} has no fault: its snapshot is the truth")
    return json_response(payload)


@router.get(
    "/meters",
    summary="All meters",
    responses=documented(
        "the meters in the order of their ids",
        {
            "type": "object",
            "properties": {
                "meters": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "meter_id": {"type": "string"},
                            "availability": {"type": "string", "enum": ["online", "offline"]},
                            "community": {"type": ["string", "null"]},
                            "scenario": {"type": ["string", "null"]},
                        },
                    },
                },
                "total": {"type": "integer"},
                "next_cursor": {"type": ["string", "null"]},
            },
        },
        {
            "meters": [{"meter_id": "demo_meter", "availability": "online", "community": "main", "scenario": "none"}],
            "total": 1,
            "next_cursor": None,
        },
        {503: "broker_away"},
    ),
)
async def meters(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=10_000, description="meters in one reply")] = 1000,
    cursor: Annotated[str, Query(description="`next_cursor` of the reply before", max_length=64)] = "",
) -> Response:
    """List the meters that the broker knows, whether they are there or not."""
    bridge = bridge_of(request)
    latest = bridge.latest
    names = latest.names()
    page = list(islice((name for name in names if name > cursor), limit))
    found = []
    for name in page:
        scenario = latest.meters[name].scenario
        found.append(
            {
                "meter_id": name,
                "availability": "online" if latest.is_online(name) else "offline",
                "community": latest.meters[name].community or None,
                "scenario": scenario.decode(errors="replace") if scenario else None,
            }
        )
    more = bool(page) and page[-1] != names[-1]
    return json_response({"meters": found, "total": len(names), "next_cursor": page[-1] if more else None})


@router.get(
    "/meter/{meter_id}/timeseries",
    summary="History of a meter",
    responses=documented(
        "snapshots, oldest first",
        {
            "type": "object",
            "properties": {
                "data": {"type": "array", "items": ref("Snapshot")},
                "resolution": {"type": ["string", "null"]},
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "give it as `cursor`, all else unchanged, to get the rest; null: that is all",
                },
            },
            "required": ["data", "next_cursor"],
        },
        errors={
            404: "unknown_meter",
            422: "invalid_time reversed_range invalid_cursor unknown_field out_of_range missing_field",
            503: f"storage {AWAY}",
        },
    ),
)
async def timeseries(
    request: Request,
    meter_id: MeterInPath,
    start: Annotated[
        str,
        Query(
            description="simulated time, ISO 8601; without offset in the meter's zone", examples=["2026-06-21T12:00:00"]
        ),
    ],
    end: Annotated[str, Query(description="likewise; included", examples=["2026-06-21T13:00:00"])],
    resolution: Annotated[
        Resolution | None,
        Query(
            description="length of the bins; each holds the mean of powers and gauges and the last of everything else,"
            " and begins at its timestamp.  Without it, snapshots come as they are kept: by the second for the last"
            " day, by the minute for a month, else by the quarter hour"
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        Query(
            description="only these, parted by commas, in the snapshot's shape; a section is all in it, and a name"
            " without its section is meant wherever it occurs",
            examples=[["pv.pv_power_kw,battery.soc_pct,grid"]],
        ),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_ROWS, description="snapshots in one reply; it holds 32 MB at most")
    ] = 10_000,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the reply before")] = None,
) -> Response:
    """Return what a meter reported between two simulated times."""
    bridge = bridge_of(request)
    zone = zone_of_meter(bridge, meter_id)
    start_ms, end_ms = time_in_query("start", start, zone), time_in_query("end", end, zone)
    if start_ms > end_ms:
        raise invalid("reversed_range", f"start takes a time before end; {shown(start)} is after {shown(end)}")
    chosen = _fields(fields or [])
    if cursor:
        start_ms = max(start_ms, time_of_cursor(cursor))
    await expect_known(bridge, meter_id)

    def read() -> Response:
        seconds = RESOLUTIONS[resolution] if resolution else None
        page = bridge.history.query(
            meter_id, start_ms, end_ms, resolution_s=seconds, fields=chosen, limit=limit, zone=zone
        )
        following = None if page.next_ms is None else cursor_at(page.next_ms)
        rest = orjson.dumps({"resolution": resolution, "next_cursor": following})
        return packed_response(request, b'{"data":' + joined(page.rows) + b"," + rest[1:])

    async with bridge.readers:
        return await asyncio.to_thread(read)


async def expect_known(bridge: Bridge, *meter_ids: str) -> None:
    """See to it that these meters are there, or that there is at least something kept of them.

    Raises:
        Problem: 404 or 503.

    """
    for meter_id in meter_ids:
        if not bridge.history.knows(meter_id):
            await bridge.latest.expect(meter_id, telemetry=False)


def zone_of_meter(bridge: Bridge, meter_id: str) -> tzinfo:
    """Return the time zone in which the meter's people read their clocks."""
    meter = bridge.latest.meters.get(meter_id)
    payload = meter.snapshot if meter is not None else None
    return zone_of(orjson.loads(payload)) if payload else bridge.settings.zone


def _fields(given: list[str]) -> tuple[str, ...]:
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FIELDS:
            raise invalid("unknown_field", f"there is no field {shown(name)}; /api/v1/catalogue lists them")
    return tuple(dict.fromkeys(place for name in names for place in FIELDS[name]))
