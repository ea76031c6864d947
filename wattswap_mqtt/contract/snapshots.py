"""The snapshot on the wire: stacked readings to JSON, one message per meter."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.metering import Readings
from wattswap_mqtt.core.moments import iso_local, iso_utc
from wattswap_mqtt.core.quantities import QUANTITIES, SECTIONS
from wattswap_mqtt.core.stacked import rounded
from wattswap_mqtt.core.status import alarms_of

Tree = dict[str, Any]
"""Names of a JSON object, each with None where a value goes, or with the tree of the object it holds."""


def _template() -> bytes:
    """Return a snapshot's JSON with a %b for whatever changes, the quantities in their order."""
    sections: Tree = {section: {} for section in SECTIONS}
    for path in QUANTITIES:
        *above, name = path.names
        target = sections[path.section]
        for outer in above:
            target = target.setdefault(outer, {})
        target[name] = None
    sections["market"]["last_trade"] = None
    top = dict.fromkeys(("meter_id", "timestamp", "tz", "hardware", "seq", "published_at"))
    return _text({**top, **sections, "alarms": None}).encode()


def _text(tree: Tree | None) -> str:
    return "%b" if tree is None else "{" + ",".join(f'"{name}":{_text(held)}' for name, held in tree.items()) + "}"


_TEMPLATE = _template()
_WORDS = [
    (row, {b"%d.0" % code: orjson.dumps(word) for code, word in enumerate(path.quantity.options)})
    for row, path in enumerate(QUANTITIES)
    if path.quantity.kind == "enum"
]
_FLAGS = [row for row, path in enumerate(QUANTITIES) if path.quantity.kind == "bool"]
_WHOLE = [row for row, path in enumerate(QUANTITIES) if path.quantity.kind == "integer"]


def _literals(values: Floats) -> Iterator[list[bytes]]:
    """Return the JSON of every value, meter by meter, from stacked readings (quantities, m) that are rounded."""
    numbers = orjson.dumps(np.ascontiguousarray(values.T), option=orjson.OPT_SERIALIZE_NUMPY)
    for numbers_of_meter in numbers[2:-2].split(b"],["):
        row = numbers_of_meter.split(b",")
        for at, words in _WORDS:
            row[at] = words[row[at]]
        for at in _FLAGS:
            row[at] = b"false" if row[at] == b"0.0" else b"true"
        for at in _WHOLE:
            row[at] = row[at][:-2]  # of 3.0
        yield row


class SnapshotEncoder:
    """Encodes readings of the meters `ids` in the time zone `tz`."""

    def __init__(self, ids: Sequence[str], tz: str, firmware_version: str) -> None:
        self._zone = ZoneInfo(tz)
        self._tz = orjson.dumps(tz)
        self._ids = [orjson.dumps(name) for name in ids]
        hardware = {
            "manufacturer": "WattSwap",
            "model": "Virtual prosumer meter",
            "firmware_version": firmware_version,
            "meter_location": "grid connection",
        }
        self._hardware = [orjson.dumps({**hardware, "serial_number": f"WS-{name}"}) for name in ids]

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
        if not len(readings.meters):
            return []
        skews_s = clock_skews_s or {}
        timestamp = self._timestamp(readings.time_s)
        published_at = orjson.dumps(iso_utc(published_at_s))
        seq = b"%d" % readings.seq
        messages = []
        for meter, row, bits in zip(
            readings.meters.tolist(), _literals(rounded(readings.values)), readings.alarms.tolist(), strict=True
        ):
            alarms = [{"code": a.code, "level": a.level, "msg": a.msg} for a in alarms_of(bits)] if bits else []
            messages.append(
                _TEMPLATE
                % (
                    self._ids[meter],
                    self._timestamp(readings.time_s + skews_s[meter]) if meter in skews_s else timestamp,
                    self._tz,
                    self._hardware[meter],
                    seq,
                    published_at,
                    *row,
                    orjson.dumps(last_trades.get(meter)),
                    orjson.dumps(alarms),
                )
            )
        return messages

    def _timestamp(self, time_s: float) -> bytes:
        return orjson.dumps(iso_local(time_s, self._zone))
