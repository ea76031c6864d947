"""Many meters at a glance: a few quantities of all of them in columns, for lists and maps of thousands."""

import asyncio
import time
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Query, Request, Response

from wattswap_mqtt.core.quantities import QUANTITIES, Path
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.roles.bridge.latest import Latest
from wattswap_mqtt.roles.bridge.problems import invalid
from wattswap_mqtt.roles.bridge.serving import documented, packed_response

FRESH_S = 0.5
"""So long one answer serves everybody who asks the same."""
AT_ONCE = 250
"""Snapshots read before others get their turn on the loop: about 2 ms."""
DEFAULT_FIELDS = (
    "pv.pv_power_kw,loads.load_power_kw,battery.battery_power_kw,battery.soc_pct,derived.net_power_kw,"
    "derived.status_badge"
)

_PATHS = {path.dotted: path for path in QUANTITIES}
_ADD_UP = {"power", "energy", "energy_storage"}

router = APIRouter(tags=["meters"])


class Fleet:
    """Gathers the columns; asked by many at once it does so once."""

    def __init__(self, latest: Latest) -> None:
        self._latest = latest
        self._turn = asyncio.Lock()
        self._made: dict[tuple[str, ...], tuple[float, bytes]] = {}

    async def columns(self, paths: list[Path]) -> bytes:
        """Return the body of `GET /fleet`."""
        key = tuple(path.dotted for path in paths)
        async with self._turn:
            made_at_s, body = self._made.get(key, (0.0, b""))
            if not body or time.monotonic() - made_at_s > FRESH_S:
                body = orjson.dumps(await self._gather(paths))
                self._made = {key: (time.monotonic(), body)}
        return body

    async def _gather(self, paths: list[Path]) -> dict[str, Any]:
        latest = self._latest
        names = latest.names()
        columns: list[list[object]] = [[] for _ in paths]
        online, communities, alarms = [], [], []
        for number, name in enumerate(names):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            meter = latest.meters.get(name)
            payload = meter.snapshot if meter is not None else None
            snapshot = orjson.loads(payload) if payload else {}
            online.append(latest.is_online(name))
            communities.append(meter.community or None if meter is not None else None)
            raised = snapshot.get("alarms")
            alarms.append(len(raised) if isinstance(raised, list) else 0)
            for path, column in zip(paths, columns, strict=True):
                found = path.value_in(snapshot)
                column.append(None if isinstance(found, (dict, list)) else found)
        sums = {
            path.dotted: sum(
                value for value, there in zip(column, online, strict=True) if there and isinstance(value, (int, float))
            )
            for path, column in zip(paths, columns, strict=True)
            if path.quantity.device_class in _ADD_UP
        }
        return {
            "meters": names,
            "communities": communities,
            "online": online,
            "alarms": alarms,
            "values": {path.dotted: column for path, column in zip(paths, columns, strict=True)},
            "sums": sums,
        }


@router.get(
    "/fleet",
    summary="A few quantities of all meters",
    responses=documented(
        "columns: the n-th entry of each belongs to the n-th meter",
        {
            "type": "object",
            "properties": {
                "meters": {"type": "array", "items": {"type": "string"}},
                "communities": {"type": "array", "items": {"type": ["string", "null"]}},
                "online": {"type": "array", "items": {"type": "boolean"}},
                "alarms": {"type": "array", "items": {"type": "integer"}, "description": "how many are raised"},
                "values": {
                    "type": "object",
                    "additionalProperties": {"type": "array"},
                    "description": "by dotted name; null where a meter has not told",
                },
                "sums": {
                    "type": "object",
                    "additionalProperties": {"type": "number"},
                    "description": "of powers and energies, over the meters that are online",
                },
            },
        },
        {
            "meters": ["demo_meter"],
            "communities": ["main"],
            "online": [True],
            "alarms": [0],
            "values": {"pv.pv_power_kw": [4.0]},
            "sums": {"pv.pv_power_kw": 4.0},
        },
        {422: "unknown_field"},
    ),
)
async def fleet(
    request: Request,
    fields: Annotated[
        list[str] | None, Query(description="dotted names of quantities, repeated or parted by commas")
    ] = None,
) -> Response:
    """Return some quantities of all meters, compact enough to be asked for every second."""
    names = [name.strip() for text in fields or [DEFAULT_FIELDS] for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _PATHS:
            raise invalid("unknown_field", f"there is no quantity {shown(name)}; /api/v1/catalogue lists them")
    paths = [_PATHS[name] for name in dict.fromkeys(names)]
    gatherer = cast("Fleet", request.app.state.fleet)
    return packed_response(request, await gatherer.columns(paths))
