"""Three levels of detail of the snapshots: written to the finest, summed up level by level, read as one."""

import logging
import math
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import NamedTuple

import orjson

from wattswap_mqtt import __version__
from wattswap_mqtt.core.moments import DAY_S
from wattswap_mqtt.store.downsample import bin_start_ms, merged

log = logging.getLogger(__name__)

HOUR_S = 3600.0
RAW, MINUTE, QUARTER = LEVELS = (1, 60, 900)
"""Length of a level's bins in seconds; the rows of the first are the snapshots as they came."""
FINER = {MINUTE: RAW, QUARTER: MINUTE}
COARSER = {RAW: MINUTE, MINUTE: QUARTER}

SCHEMA = """
CREATE TABLE IF NOT EXISTS meter (id INTEGER PRIMARY KEY, meter_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS dictionary (id INTEGER PRIMARY KEY, version TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sample (
  meter INTEGER, level INTEGER, t INTEGER, weight INTEGER NOT NULL, dictionary INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (meter, level, t)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unfinished (
  meter INTEGER, level INTEGER, t INTEGER, PRIMARY KEY (meter, level, t)) WITHOUT ROWID;
"""
"""`unfinished` are the bins that have rows below them and are not, or no longer rightly, summed up."""


@dataclass(frozen=True)
class Policy:
    """How long each level is kept, in simulated seconds behind a meter's newest snapshot, and for how many meters.

    Meters count in the order in which they first appeared.  Those beyond `fine_meters` keep no level of 1 s, those
    beyond `minute_meters` keep the level of 1 min for an hour.
    """

    fine_s: float = DAY_S
    minute_s: float = 31 * DAY_S
    quarter_s: float = math.inf
    fine_meters: int = 100
    minute_meters: int = 1000

    def keeps_s(self, meter: int, level: int) -> float:
        """Return for how long the `meter`-th meter (from 1) keeps `level`."""
        if level == RAW:
            return self.fine_s if meter <= self.fine_meters else 0.0
        if level == MINUTE:
            return self.minute_s if meter <= self.minute_meters else min(self.minute_s, HOUR_S)
        return self.quarter_s


class Row(NamedTuple):
    """One kept snapshot (JSON), and how many of those that arrived it stands for."""

    level: int
    time_ms: int
    weight: int
    body: bytes


class Levels:
    """The tables of snapshots in the database `db`, whose transactions are the caller's."""

    def __init__(self, db: sqlite3.Connection, policy: Policy) -> None:
        """Read what is small: the meters, the dictionaries of all releases that wrote here, the unfinished bins."""
        self.meters: dict[str, int] = dict(db.execute("SELECT meter_id, id FROM meter"))
        self._db = db
        self._policy = policy
        self._dictionaries: dict[int, bytes] = dict(db.execute("SELECT id, body FROM dictionary"))
        found = db.execute("SELECT id FROM dictionary WHERE version = ?", (__version__,)).fetchone()
        self._dictionary: int | None = found[0] if found else None
        self._unfinished: dict[tuple[int, int], set[int]] = {}
        for meter, level, time_ms in db.execute("SELECT meter, level, t FROM unfinished"):
            self._unfinished.setdefault((meter, level), set()).add(time_ms)

    def write(self, meter_id: str, snapshots: Sequence[tuple[int, bytes]]) -> None:
        """Write snapshots of a meter, (time in ms, JSON), at least one; sum up the bins that are over; prune."""
        if meter_id not in self.meters:
            added = self._db.execute("INSERT INTO meter (meter_id) VALUES (?) RETURNING id", (meter_id,))
            self.meters[meter_id] = added.fetchone()[0]
        meter = self.meters[meter_id]
        for time_ms, payload in snapshots:
            self._put(meter, Row(RAW, time_ms, 1, payload))
        newest_ms = snapshots[-1][0]
        for level in (MINUTE, QUARTER):
            if self._sum_up(meter, level, newest_ms):
                self._prune(meter, newest_ms)

    def read(self, db: sqlite3.Connection, meter: int, start_ms: int, until_ms: int, wanted_s: int) -> Iterator[Row]:
        """Yield from `db` the rows with start <= time < until, oldest first, each moment from one level only.

        The coarsest level that is fine enough for bins of `wanted_s` comes first, then finer ones, then coarser ones.
        """
        fine_enough = [level for level in reversed(LEVELS) if level <= wanted_s]
        preferred = (*fine_enough, *(level for level in LEVELS if level > wanted_s))
        parts = []
        for rank, level in enumerate(preferred):
            conditions = ["meter = :meter", f"level = {level}", "t >= :start", "t < :until"]
            conditions += [f"NOT EXISTS ({_same_time(level, better)})" for better in preferred[:rank]]
            conditions += [f"NOT EXISTS ({_unfinished('s', level)})"]
            where = " AND ".join(conditions)
            parts.append(f"SELECT level, t, weight, dictionary, body FROM sample AS s WHERE {where}")  # noqa: S608 - our own words
        sql = " UNION ALL ".join(parts) + " ORDER BY t"
        return self._unpacked(db.execute(sql, {"meter": meter, "start": start_ms, "until": until_ms}))

    def _put(self, meter: int, row: Row) -> None:
        # a bin that was summed up again from late rows only does not replace the whole one
        self._db.execute(
            "INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " weight = excluded.weight, dictionary = excluded.dictionary, body = excluded.body"
            " WHERE excluded.weight >= weight",
            (meter, row.level, row.time_ms, row.weight, *self._packed(row.body)),
        )
        for above in LEVELS[LEVELS.index(row.level) + 1 :]:
            waiting = self._unfinished.setdefault((meter, above), set())
            start_ms = bin_start_ms(row.time_ms, above, UTC)
            if start_ms not in waiting:
                waiting.add(start_ms)
                self._db.execute("INSERT OR IGNORE INTO unfinished VALUES (?, ?, ?)", (meter, above, start_ms))

    def _sum_up(self, meter: int, level: int, newest_ms: int) -> bool:
        """Sum up the bins of `level` that are over: all but the one the meter is in.  Return whether there were any."""
        waiting = self._unfinished.get((meter, level), set())
        over = sorted(waiting - {bin_start_ms(newest_ms, level, UTC)})
        for start_ms in over:
            found = self._db.execute(
                "SELECT level, t, weight, dictionary, body FROM sample"
                " WHERE meter = ? AND level = ? AND t >= ? AND t < ? ORDER BY t",
                (meter, FINER[level], start_ms, start_ms + level * 1000),
            )
            rows = list(self._unpacked(found))
            if rows:
                self._put(meter, Row(level, start_ms, sum(row.weight for row in rows), summed(rows, start_ms)))
            waiting.discard(start_ms)
            self._db.execute("DELETE FROM unfinished WHERE meter = ? AND level = ? AND t = ?", (meter, level, start_ms))
        return bool(over)

    def _prune(self, meter: int, newest_ms: int) -> None:
        """Let go of what is older than its level is kept, in whole bins, and has been summed up."""
        for level in LEVELS:
            keeps_s = self._policy.keeps_s(meter, level)
            if not math.isinf(keeps_s):
                above = COARSER.get(level, level)
                limit_ms = bin_start_ms(newest_ms - int(keeps_s * 1000), above, UTC)
                limit_ms = min((limit_ms, *self._unfinished.get((meter, above), ())))
                self._db.execute("DELETE FROM sample WHERE meter = ? AND level = ? AND t < ?", (meter, level, limit_ms))

    def _packed(self, body: bytes) -> tuple[int, bytes]:
        """Return `body` compressed, and which dictionary it took: the first snapshot that this release ever wrote."""
        if self._dictionary is None:
            added = self._db.execute(
                "INSERT INTO dictionary (version, body) VALUES (?, ?) RETURNING id", (__version__, body)
            )
            self._dictionary = int(added.fetchone()[0])
            self._dictionaries[self._dictionary] = body
        press = zlib.compressobj(zdict=self._dictionaries[self._dictionary])
        return self._dictionary, press.compress(body) + press.flush()

    def _unpacked(self, found: Iterable[tuple[int, int, int, int, bytes]]) -> Iterator[Row]:
        for level, time_ms, weight, dictionary, body in found:
            press = zlib.decompressobj(zdict=self._dictionaries.get(dictionary, b""))
            with suppress(zlib.error):
                plain = press.decompress(body)
            if press.eof:
                yield Row(level, time_ms, weight, plain)
            else:
                log.warning("a row of the history (level %d s, %d ms) cannot be read and is left out", level, time_ms)


def summed(rows: Sequence[Row], start_ms: int) -> bytes:
    """Return the snapshot (JSON) of the bin that begins at `start_ms` and holds `rows`."""
    return orjson.dumps(merged([(row.weight, orjson.loads(row.body)) for row in rows], start_ms))


def _same_time(level: int, other: int) -> str:
    """Return the query for a row of the level `other` that stands for the same time as the row `s` of `level`."""
    at = f"o.t >= s.t AND o.t < s.t + {level * 1000}"
    if other > level:
        at = f"o.t = s.t - s.t % {other * 1000} AND NOT EXISTS ({_unfinished('o', other)})"
    return f"SELECT 1 FROM sample AS o WHERE o.meter = s.meter AND o.level = {other} AND {at}"  # noqa: S608 - our own words


def _unfinished(row: str, level: int) -> str:
    """Return the query for the bin of `row`, if that is no longer rightly summed up: what is below it tells more."""
    return f"SELECT 1 FROM unfinished AS u WHERE u.meter = {row}.meter AND u.level = {level} AND u.t = {row}.t"  # noqa: S608 - our own words
