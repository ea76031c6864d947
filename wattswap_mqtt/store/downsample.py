"""Many snapshots become one: the mean of powers and gauges, the last of all else, stamped with the bin's start."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from operator import mul
from typing import Any
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.quantities import QUANTITIES


def _means() -> Mapping[tuple[str, ...], Sequence[tuple[str, int]]]:
    found: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for path in QUANTITIES:
        if path.quantity.kind == "number" and path.quantity.state_class == "measurement":
            above = (path.section, *path.names[:-1])
            found.setdefault(above, []).append((path.names[-1], path.quantity.decimals))
    return found


MEANS = _means()
"""What is averaged, (name, decimals) below each section; all else (registers, words, counts) keeps its last value."""

RESOLUTIONS: Mapping[str, int] = {"1s": 1, "10s": 10, "1m": 60, "15m": 900, "1h": 3600, "1d": 86400}
"""Length of a bin in seconds."""

_TOP = ("meter_id", "timestamp", "tz", "hardware", "seq", "published_at", "alarms", "market.last_trade")


def _fields() -> Mapping[str, tuple[str, ...]]:
    whole = set(_TOP)
    for path in QUANTITIES:
        parts = path.dotted.split(".")
        whole.update(".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    found: dict[str, tuple[str, ...]] = {}
    for dotted in sorted(whole):
        name = dotted.rpartition(".")[2]
        found[name] = (*found.get(name, ()), dotted)
    return found | {dotted: (dotted,) for dotted in whole}


FIELDS: Mapping[str, tuple[str, ...]] = _fields()
"""What `fields=` may name, and the places in a snapshot that it means: a quantity (`pv.pv_power_kw`), a section (`pv`),
one of the snapshot's own fields, or every place of a name alone (`soc_pct`: that of the battery and of the EV)."""

Json = dict[str, Any]


def merged(samples: Sequence[tuple[int, Json]], start_ms: int) -> Json:
    """Return one snapshot for `samples` of (weight, snapshot), oldest first, at least one; its time is `start_ms`.

    A value that is null, or no number, does not count; the mean of none is null.  The last snapshot becomes the result.
    """
    weights, snapshots = zip(*samples, strict=True)
    result: Json = snapshots[-1]
    for above, quantities in MEANS.items():
        holders = [_holder(snapshot, above) for snapshot in snapshots]
        for name, decimals in quantities:
            values = [holder.get(name) for holder in holders]
            try:
                mean = sum(map(mul, weights, values)) / sum(weights)
            except TypeError:  # not all are numbers
                numbers = [(w, v) for w, v in zip(weights, values, strict=True) if isinstance(v, (int, float))]
                if not numbers:
                    continue
                mean = sum(w * v for w, v in numbers) / sum(w for w, _ in numbers)
            holders[-1][name] = round(mean, decimals)
    result["timestamp"] = datetime.fromtimestamp(start_ms / 1000, zone_of(result)).isoformat()
    return result


def picked(snapshot: Json, fields: Sequence[str]) -> Json:
    """Return the part of `snapshot` that `fields` (dotted names) ask for, in its shape, always with the timestamp."""
    result: Json = {"timestamp": snapshot.get("timestamp")}
    for field in fields:
        *above, name = field.split(".")
        source: object = snapshot
        target = result
        for section in above:
            source = source.get(section) if isinstance(source, dict) else None
            target = target.setdefault(section, {})
        target[name] = source.get(name) if isinstance(source, dict) else None
    return result


def bin_start_ms(time_ms: int, seconds: int, zone: tzinfo) -> int:
    """Return when the bin of `seconds` that holds `time_ms` begins; hours and days are those of the zone's clocks."""
    if seconds <= 900:  # every zone's offset is a multiple of a quarter hour
        return time_ms - time_ms % (seconds * 1000)
    local = datetime.fromtimestamp(time_ms / 1000, zone)
    if seconds == RESOLUTIONS["1d"]:
        return round(datetime.combine(local.date(), time(), zone).timestamp() * 1000)
    offset_ms = round((local.utcoffset() or timedelta()) / timedelta(milliseconds=1))
    return time_ms - (time_ms + offset_ms) % (seconds * 1000)


def next_bin_ms(start_ms: int, seconds: int, zone: tzinfo) -> int:
    """Return when the bin after the one that begins at `start_ms` begins (a day has 23 to 25 hours)."""
    if seconds < RESOLUTIONS["1d"]:
        return start_ms + seconds * 1000
    local = datetime.fromtimestamp(start_ms / 1000, zone)
    return round(datetime.combine(local.date() + timedelta(days=1), time(), zone).timestamp() * 1000)


def zone_of(snapshot: Json) -> tzinfo:
    """Return the meter's time zone, UTC if the snapshot names none that is known here."""
    try:
        return ZoneInfo(snapshot["tz"])
    except (KeyError, TypeError, ValueError, OSError):
        return UTC


def time_of(snapshot: Json) -> int | None:
    """Return the snapshot's time in unix ms; None unless it is an ISO 8601 time with an offset, years 1971 to 9986."""
    try:
        moment = datetime.fromisoformat(snapshot["timestamp"])
    except (KeyError, TypeError, ValueError):
        return None
    if moment.tzinfo is None or not 1970 < moment.year < 9987:
        return None
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _holder(snapshot: Json, above: Sequence[str]) -> Json:
    holder: object = snapshot
    for name in above:
        holder = holder.get(name) if isinstance(holder, dict) else None
    return holder if isinstance(holder, dict) else {}
