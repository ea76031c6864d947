"""Rows of the history as they are handed out: in bins, in pages of bounded size, with the fields that are wanted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby

import orjson

from wattswap_mqtt.store.downsample import bin_start_ms, picked
from wattswap_mqtt.store.levels import RAW, Row, summed

PAGE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Page:
    """Snapshots as JSON, oldest first, and where the next page begins (None: that is all)."""

    rows: list[bytes]
    next_ms: int | None


def binned(rows: Iterator[Row], seconds: int, zone: tzinfo) -> Iterator[tuple[int, bytes]]:
    """Yield the start and the snapshot of each bin of `seconds` in which there are rows."""
    for start_ms, group in groupby(rows, lambda row: bin_start_ms(row.time_ms, seconds, zone)):
        members = list(group)
        is_bin = len(members) == 1 and members[0].level != RAW and members[0].level >= seconds
        yield start_ms, members[0].body if is_bin else summed(members, start_ms)


def page_of(found: Iterable[tuple[int, bytes]], fields: Sequence[str], limit: int) -> Page:
    """Return the first `limit` of (time, snapshot), or fewer large ones, with only `fields` if there are any."""
    rows: list[bytes] = []
    size = 0
    for start_ms, body in found:
        if len(rows) == limit or size > PAGE_BYTES:
            return Page(rows, start_ms)
        row = orjson.dumps(picked(orjson.loads(body), fields)) if fields else body
        rows.append(row)
        size += len(row)
    return Page(rows, None)
