"""Endpoints about the system: health, events, the live stream, and what there is to be measured and set."""

from contextlib import aclosing
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Send

from wattswap_mqtt import __version__
from wattswap_mqtt.contract.market_schema import order_request_schema
from wattswap_mqtt.contract.schema import event_schema, first_line
from wattswap_mqtt.contract.topics import CHANNELS, Topics
from wattswap_mqtt.core.events import EVENT_TYPES
from wattswap_mqtt.core.faults import FAULTS
from wattswap_mqtt.core.market.pricing import Tariff
from wattswap_mqtt.core.quantities import QUANTITIES, SECTIONS
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.registers import CO2_KG_PER_KWH
from wattswap_mqtt.core.switches import SWITCHES
from wattswap_mqtt.roles.bridge.bridge import Bridge
from wattswap_mqtt.roles.bridge.live import KINDS, MESSAGE
from wattswap_mqtt.roles.bridge.meters import expect_known, zone_of_meter
from wattswap_mqtt.roles.bridge.problems import Problem, invalid, unavailable
from wattswap_mqtt.roles.bridge.serving import (
    AWAY,
    bridge_of,
    documented,
    documented_errors,
    joined,
    json_response,
    listed,
    packed_response,
    ref,
)
from wattswap_mqtt.roles.bridge.times import time_in_query

MAX_STREAMS = 200

router = APIRouter(tags=["system"])


@router.get(
    "/health",
    summary="Health",
    responses={
        **documented("all is well", ref("Health")),
        503: {
            "description": "broker or simulator is away, or nothing can be saved",
            "content": {"application/json": {"schema": ref("Health")}},
        },
    },
)
async def health(request: Request) -> Response:
    """Tell how the parts are; 503 with the same body when the bridge's own community is away or cannot be saved."""
    bridge = bridge_of(request)
    body = health_of(bridge)
    return json_response(body, 200 if body["status"] in ("ok", "degraded") else 503)


def health_of(bridge: Bridge) -> dict[str, Any]:
    """Return the body of `GET /health`; the figures at its top are of the bridge's own community, else the first."""
    latest, history = bridge.latest, bridge.history
    online = (
        sorted(name for name, community in latest.communities.items() if community.online) if latest.connected else []
    )
    own = bridge.settings.community if bridge.settings.community in latest.communities else next(iter(online), None)
    status = latest.communities[own].status if own in online else {}
    saved = {name for name in online if latest.communities[name].status.get("storage", "ok") == "ok"}
    if own not in online:
        word = "unavailable"
    elif history.trouble is not None or own not in saved:
        word = "failing"
    else:
        word = "ok" if len(saved) == len(latest.communities) else "degraded"
    return {
        "status": word,
        "version": __version__,
        "tick_rate": status.get("tick_rate"),
        "time_acceleration": status.get("time_acceleration"),
        "lag_s": status.get("lag_s"),
        "simulated_time": status.get("simulated_time"),
        "queue_lengths": {
            **(queues if isinstance(queues := status.get("queue_lengths"), dict) else {}),
            "commands": bridge.asker.waiting,
            "history": history.waiting,
        },
        "broker": {"address": str(bridge.settings.broker_address), "connected": latest.connected},
        "communities": {
            name: {**community.status, "availability": "online" if name in online else "offline"}
            for name, community in sorted(latest.communities.items())
        },
        "meters": len(latest.names()),
        "history": {
            "status": "ok" if history.trouble is None else "paused",
            "trouble": history.trouble,
            "lost": history.lost,
        },
        "stream": {"clients": bridge.live.listeners, "dropped": bridge.live.dropped},
    }


@router.get(
    "/events",
    summary="Recent events",
    responses=documented(
        "the newest last",
        {"type": "object", "properties": {"events": {"type": "array", "items": event_schema()}}},
        errors={404: "unknown_meter", 422: "invalid_time out_of_range", 503: AWAY},
    ),
)
async def events(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=5000)] = 50,
    meter_id: Annotated[list[str] | None, Query(description="only of these meters")] = None,
    kind: Annotated[list[str] | None, Query(alias="type", description="only of these types")] = None,
    since: Annotated[str | None, Query(description="simulated time, ISO 8601, included")] = None,
) -> Response:
    """List the newest events of all meters; the bridge keeps five thousand of them."""
    bridge = bridge_of(request)
    meters, kinds = listed(meter_id), listed(kind)
    for wanted in kinds:
        if wanted not in EVENT_TYPES:
            raise invalid("out_of_range", f"type takes {', '.join(EVENT_TYPES)}, not {shown(wanted)}")
    await expect_known(bridge, *meters)
    zone = zone_of_meter(bridge, next(iter(meters), ""))
    since_ms = None if since is None else time_in_query("since", since, zone)
    found = bridge.events.find(limit, meter_ids=meters, kinds=kinds, since_ms=since_ms)
    return json_response(b'{"events":' + joined(found) + b"}")


@router.get(
    "/stream",
    summary="Live stream (Server-Sent Events)",
    response_class=Response,
    responses={
        200: {
            "description": "`event` is state, truth, availability, switches, scenario, order or event (of a meter),"
            " market, community or trade (of a community), or broker (the bridge's own connection); `data` the JSON of"
            " that topic.  `id` lets a client that lost its connection go on where it was",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **documented_errors({404: "unknown_meter", 422: "out_of_range", 503: "busy"}),
    },
)
async def stream(
    request: Request,
    meter_id: Annotated[
        list[str] | None, Query(description="repeated or parted by commas; without it: all meters")
    ] = None,
    events: Annotated[
        list[str] | None,
        Query(
            description="only these, repeated or parted by commas; without it: all but `message`, which is every MQTT"
            " message about the meters as it came: `topic`, `payload`, `received_at`",
            examples=[["state,market"]],
        ),
    ] = None,
    last_event_id: Annotated[str | None, Header(description="sent by browsers that connect again")] = None,
) -> Response:
    """Tell all that happens as it happens; first of all what is known already.

    To a client that reads too slowly only the latest state of a meter is told.
    """
    bridge = bridge_of(request)
    wanted = frozenset(listed(meter_id)) or None
    try:
        await expect_known(bridge, *(wanted or ()))
    except Problem as problem:
        if problem.status == HTTPStatus.NOT_FOUND:  # else it is only away: a stream waits for it
            raise
    kinds = listed(events) or KINDS
    for kind in kinds:
        if kind not in (*KINDS, MESSAGE):
            raise invalid("out_of_range", f"events takes {', '.join((*KINDS, MESSAGE))}, not {shown(kind)}")
    if bridge.live.listeners >= MAX_STREAMS:
        raise unavailable("busy", f"{MAX_STREAMS} clients listen already")
    return _EventStream(
        bridge.live.stream(wanted, bridge.present(wanted), last_event_id, kinds),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


class _EventStream(StreamingResponse):
    async def stream_response(self, send: Send) -> None:
        """Let go of the listener as soon as its client has gone."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var] # it is the generator given above
            await super().stream_response(send)


@router.get(
    "/constants",
    summary="Constants",
    responses=documented(
        "what dashboards reckon with",
        {
            "type": "object",
            "properties": {
                "co2_factor": {"type": "number", "x-unit": "kg/kWh"},
                "token_rate": {"type": "number", "x-unit": "apt/kWh"},
                "refresh_interval_ms": {"type": "integer", "x-unit": "ms"},
            },
        },
        {"co2_factor": 0.45, "token_rate": 0.08, "refresh_interval_ms": 1000},
    ),
)
async def constants(request: Request) -> Response:
    """Return the grid's CO₂ intensity, the feed-in tariff, and how often a meter reports."""
    bridge = bridge_of(request)
    own = bridge.latest.communities.get(bridge.settings.community)
    told, rate = (own.status.get("publish_interval_s"), own.market.get("feed_in_tariff")) if own else (None, None)
    interval_s = told if isinstance(told, (int, float)) else bridge.settings.publish_interval
    return json_response(
        {
            "co2_factor": CO2_KG_PER_KWH,
            "token_rate": rate if isinstance(rate, (int, float)) else Tariff().feed_in_utok_per_kwh * 1e-6,
            "refresh_interval_ms": round(interval_s * 1000),
        }
    )


@router.get(
    "/catalogue",
    summary="Every quantity and switch",
    responses=documented(
        "title, unit, range and precision of all there is",
        {
            "type": "object",
            "properties": {
                name: {"type": "array", "items": {"type": "object"}}
                for name in ("sections", "quantities", "switches", "faults", "channels")
            }
            | {"order": {"type": "object", "description": "the schema of an order"}},
        },
    ),
)
async def catalogue(request: Request) -> Response:
    """List what meters report, what may be set and ordered, and the topics, for those who draw dashboards."""
    return packed_response(request, _catalogue(bridge_of(request).topics))


@cache
def _catalogue(topics: Topics) -> bytes:
    return orjson.dumps(
        {
            "sections": [{"name": name, "meaning": first_line(section)} for name, section in SECTIONS.items()],
            "quantities": [
                {"path": path.dotted, "section": path.section, "field": path.field, **asdict(path.quantity)}
                for path in QUANTITIES
            ],
            "switches": [asdict(switch) for switch in SWITCHES.values()],
            "faults": [{key: said for key, said in vars(fault).items() if key != "gain"} for fault in FAULTS.values()],
            "order": order_request_schema(),
            "channels": [{**asdict(channel), "address": topics.address(channel)} for channel in CHANNELS],
        }
    )
