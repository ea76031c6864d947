"""`GET /metrics`: the system and its meters as Prometheus text.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import orjson

from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.roles.bridge.bridge import Bridge

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METERS = 100
"""Of larger fleets only the first meters are told of: a scrape is no bulk transport."""


def metrics_of(bridge: Bridge) -> str:
    """Return all metrics."""
    return "\n".join((*_of_bridge(bridge), *_of_communities(bridge), *_of_meters(bridge), ""))


def _of_bridge(bridge: Bridge) -> Iterator[str]:
    connected = int(bridge.latest.connected)
    yield from _metric("bridge_broker_connected", "gauge", "1 while the broker is there", [("", connected)])
    yield from _metric("bridge_messages_total", "counter", "messages from the broker", [("", bridge.received)])
    yield from _metric(
        "bridge_commands_waiting", "gauge", "commands without an answer yet", [("", bridge.asker.waiting)]
    )
    yield from _metric("bridge_stream_clients", "gauge", "clients of the live stream", [("", bridge.live.listeners)])
    yield from _metric(
        "bridge_stream_dropped_total", "counter", "messages that slow clients did not get", [("", bridge.live.dropped)]
    )
    paused = int(bridge.history.trouble is not None)
    yield from _metric("bridge_history_paused", "gauge", "1 while the history cannot be written", [("", paused)])
    yield from _metric("bridge_history_lost_total", "counter", "snapshots not written", [("", bridge.history.lost)])
    yield from _metric("bridge_meters", "gauge", "meters that the broker knows", [("", len(bridge.latest.meters))])


def _of_communities(bridge: Bridge) -> Iterator[str]:
    communities = sorted(bridge.latest.communities.items())
    online = [(_label(community=name), int(community.online)) for name, community in communities]
    yield from _metric("community_online", "gauge", "1 while the simulator runs", online)
    for field, meaning in (
        ("meters", "meters of the community"),
        ("tick_rate", "measured ticks per second"),
        ("lag_s", "seconds behind the pace"),
        ("time_acceleration", "simulated seconds per second"),
    ):
        values = [(_label(community=name), community.status.get(field)) for name, community in communities]
        yield from _metric(f"community_{field}", "gauge", meaning, values)


def _of_meters(bridge: Bridge) -> Iterator[str]:
    names = list(islice(bridge.latest.names(), METERS))
    online = [(_label(meter_id=name), int(bridge.latest.is_online(name))) for name in names]
    yield from _metric("meter_online", "gauge", "1 while the meter reports", online)
    told = ((name, bridge.latest.snapshot(name)) for name in names)
    snapshots = [(_label(meter_id=name), orjson.loads(payload)) for name, payload in told if payload is not None]
    for path in QUANTITIES:
        if path.quantity.kind in ("number", "integer", "bool"):
            kind = "counter" if path.quantity.state_class == "total_increasing" else "gauge"
            unit = f" [{path.quantity.unit}]" if path.quantity.unit else ""
            values = [(label, path.value_in(snapshot)) for label, snapshot in snapshots]
            yield from _metric(f"{path.section}_{path.field}", kind, path.quantity.meaning + unit, values)


def _metric(name: str, kind: str, meaning: str, values: Sequence[tuple[str, object]]) -> Iterator[str]:
    """Yield the lines of one metric; what is no number is left out."""
    known = [(label, float(value)) for label, value in values if isinstance(value, (int, float))]
    if known:
        yield f"# HELP wattswap_{name} {meaning}"
        yield f"# TYPE wattswap_{name} {kind}"
        yield from (f"wattswap_{name}{label} {value:.10g}" for label, value in known)


def _label(**names: str) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in names.items()) + "}"
