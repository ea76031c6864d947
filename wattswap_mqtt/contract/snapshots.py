"""The snapshot on the wire: stacked readings to JSON, one message per meter."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from wattswap_mqtt.core.community import Readings
from wattswap_mqtt.core.quantities import QUANTITIES, SECTIONS, rounded
from wattswap_mqtt.core.status import alarms_of

Plan = list[tuple[str, Any]]
"""Names of a JSON object, each with its row in the stacked readings or the plan of the object it holds."""


def _plan(section: str) -> Plan:
    plan: Plan = []
    nested: dict[str, Plan] = {}
    for row, path in enumerate(QUANTITIES):
        if path.section != section:
            continue
        *above, name = path.names
        target = plan
        for outer in above:
            if outer not in nested:
                nested[outer] = []
                target.append((outer, nested[outer]))
            target = nested[outer]
        target.append((name, row))
    return plan


_PLANS = {section: _plan(section) for section in SECTIONS}
_WORDS = [(row, path.quantity.options) for row, path in enumerate(QUANTITIES) if path.quantity.kind == "enum"]
_FLAGS = [row for row, path in enumerate(QUANTITIES) if path.quantity.kind == "bool"]
_WHOLE = [row for row, path in enumerate(QUANTITIES) if path.quantity.kind == "integer"]


def _fill(plan: Plan, row: list[Any]) -> dict[str, Any]:
    return {name: row[at] if at.__class__ is int else _fill(at, row) for name, at in plan}


def iso_local(time_s: float, zone: ZoneInfo) -> str:
    """Return unix time as ISO 8601 with the zone's offset, to the millisecond."""
    return datetime.fromtimestamp(time_s, UTC).astimezone(zone).isoformat(timespec="milliseconds")


def iso_utc(time_s: float) -> str:
    """Return unix time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


class SnapshotEncoder:
    """Encodes readings of the meters `ids` in the time zone `tz`."""

    def __init__(self, ids: Sequence[str], tz: str, firmware_version: str) -> None:
        self._ids = ids
        self._tz = tz
        self._zone = ZoneInfo(tz)
        self._hardware = {
            "manufacturer": "WattSwap",
            "model": "Virtual prosumer meter",
            "firmware_version": firmware_version,
            "meter_location": "grid connection",
        }

    def encode(
        self,
        readings: Readings,
        published_at_s: float,
        last_trades: Mapping[int, object],
        clock_skews_s: Mapping[int, float] | None = None,
    ) -> list[bytes]:
        """Return one JSON message per meter in `readings`; both mappings are by the meter's row in the community.

        NaN becomes null; numbers keep the decimals of their declaration.
        """
        timestamp = iso_local(readings.time_s, self._zone)
        published_at = iso_utc(published_at_s)
        messages = []
        for meter, row, bits in zip(
            readings.meters.tolist(), rounded(readings.values).T.tolist(), readings.alarms.tolist(), strict=True
        ):
            skew = (clock_skews_s or {}).get(meter)
            for at, words in _WORDS:
                row[at] = words[int(row[at])]
            for at in _FLAGS:
                row[at] = row[at] != 0.0
            for at in _WHOLE:
                row[at] = int(row[at])
            body: dict[str, Any] = {
                "meter_id": self._ids[meter],
                "timestamp": timestamp if skew is None else iso_local(readings.time_s + skew, self._zone),
                "tz": self._tz,
                "hardware": self._hardware | {"serial_number": f"WS-{self._ids[meter]}"},
                "seq": readings.seq,
                "published_at": published_at,
            }
            for section, plan in _PLANS.items():
                body[section] = _fill(plan, row)
            body["market"]["last_trade"] = last_trades.get(meter)
            body["alarms"] = [{"code": a.code, "level": a.level, "msg": a.msg} for a in alarms_of(bits)] if bits else []
            messages.append(orjson.dumps(body))
        return messages
