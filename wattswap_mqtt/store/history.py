"""The bridge's durable memory: snapshots at three levels of detail, the newest events and trades, in one SQLite file.

    arrives --> pending --(flush, once a second)--> level 1 s --(bin is over)--> level 1 min --> level 15 min

A row is a whole snapshot as JSON, so that every quantity, of today and of later releases, is kept without a column of
its own.  Bins that wait to be summed up are a table too: `kill -9` loses the last batch and nothing else.  Times are
the meters' simulated time, in unix milliseconds.
"""

import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Self

import orjson

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.store import levels
from wattswap_mqtt.store.database import is_damage, open_database, reason, set_aside
from wattswap_mqtt.store.downsample import bin_start_ms, next_bin_ms, time_of
from wattswap_mqtt.store.levels import RAW, Levels, Policy
from wattswap_mqtt.store.pages import Page, binned, page_of

log = logging.getLogger(__name__)

PER_FLUSH = 4
"""Snapshots that one flush keeps of a meter of full detail: the newest."""
SAMPLED = 200
"""Further meters that one flush takes a snapshot of, in turn: bounds the work for large fleets."""
KEPT_RECORDS = 10_000
LATEST_MS = 253_000_000_000_000
"""A time in the year 9987; nothing is kept from later ones."""

VERSION = 1
SCHEMA = f"""
{levels.SCHEMA}
CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL);
"""

Pending = dict[str, deque[bytes]]
Records = list[tuple[str, bytes]]


class History:
    """The history in the file `path`; `start()` begins to write once a second, in a thread of its own.

    `append` and `record` cost a microsecond and never block; `query` and `records` read the disk: call them in a
    thread.  When the file cannot be written the history pauses, says so in `trouble`, and goes on when it can.

    Raises:
        StorageError: the file cannot be opened, when the history is made.

    """

    def __init__(self, path: Path, policy: Policy | None = None) -> None:
        self.path = path
        self.policy = policy or Policy()
        self.trouble: str | None = None
        self.lost = 0
        """Snapshots and records that could not be written."""
        self._pending: Pending = {}
        self._records: Records = []
        self._arriving = threading.Lock()
        self._writing = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._db: sqlite3.Connection | None = self._open()

    # -- what comes in -----------------------------------------------------------------------------------------------

    def append(self, meter_id: str, payload: bytes) -> None:
        """Take in a snapshot as it was published; what is none is left out when it is written."""
        with self._arriving:
            waiting = self._pending.get(meter_id)
            if waiting is None:
                waiting = self._pending[meter_id] = deque(maxlen=PER_FLUSH if self._in_full(meter_id) else 1)
            waiting.append(payload)

    def record(self, kind: str, body: bytes) -> None:
        """Take in an event or a trade; the newest ten thousand are kept."""
        with self._arriving:
            self._records.append((kind, body))

    def start(self) -> Self:
        """Write once a second from now on."""
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Write what is pending and let go of the file."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()
        while self._pending and self.trouble is None:
            self.flush()
        with self._writing:
            self._disconnect()

    # -- what goes out -----------------------------------------------------------------------------------------------

    def query(
        self,
        meter_id: str,
        start_ms: int,
        end_ms: int,
        *,
        resolution_s: int | None = None,
        fields: Sequence[str] = (),
        limit: int = 10_000,
        zone: tzinfo = UTC,
    ) -> Page:
        """Return the snapshots of a meter with start <= time <= end; what was appended before is among them.

        Without a resolution they come as finely as they are kept.  With one, each stands for a whole bin: the first
        holds `start`, the last begins before `end`; a bin that is not over yet holds what there is of it.

        Raises:
            StorageError: the file cannot be read.

        """
        self.flush(first=meter_id)
        meter = self._levels.meters.get(meter_id)
        if meter is None:
            return Page([], None)
        start_ms, end_ms = (min(max(time_ms, 0), LATEST_MS) for time_ms in (start_ms, end_ms))
        until_ms = end_ms + 1
        if resolution_s is not None:
            start_ms = bin_start_ms(start_ms, resolution_s, zone)
            until_ms = next_bin_ms(bin_start_ms(max(start_ms, end_ms - 1), resolution_s, zone), resolution_s, zone)
        with self._reading() as db:
            rows = self._levels.read(db, meter, start_ms, until_ms, resolution_s or RAW)
            if resolution_s is None:
                return page_of(((row.time_ms, row.body) for row in rows), fields, limit)
            return page_of(binned(rows, resolution_s, zone), fields, limit)

    def records(self, kind: str, limit: int) -> list[bytes]:
        """Return the newest `limit` records of a kind, oldest first.

        Raises:
            StorageError: the file cannot be read.

        """
        self.flush()
        with self._reading() as db:
            found = db.execute("SELECT body FROM record WHERE kind = ? ORDER BY id DESC LIMIT ?", (kind, limit))
            return [body for (body,) in found][::-1]

    def knows(self, meter_id: str) -> bool:
        """Tell whether anything of this meter was ever kept."""
        return meter_id in self._levels.meters

    @property
    def waiting(self) -> int:
        """Meters and records with something that is not written yet."""
        return len(self._pending) + len(self._records)

    # -- writing -----------------------------------------------------------------------------------------------------

    def flush(self, first: str | None = None) -> None:
        """Write what is pending (of the meter `first` in any case) and sum up the bins that are over; never raises."""
        with self._writing:
            batch, records = self._take(first)
            if not batch and not records and self.trouble is None:
                return
            try:
                self._write(batch, records)
            except (sqlite3.Error, StorageError) as error:
                self.lost += sum(map(len, batch.values())) + len(records)
                self._pause(error)
            else:
                if self.trouble is not None:
                    log.warning("the history %s is being written again", self.path)
                    self.trouble = None

    def _run(self) -> None:
        while not self._stopping.wait(1.0):
            try:
                self.flush()
            except Exception:
                log.exception("the history could not be written")

    def _in_full(self, meter_id: str) -> bool:
        return self._levels.meters.get(meter_id, len(self._levels.meters) + 1) <= self.policy.fine_meters

    def _take(self, first: str | None) -> tuple[Pending, Records]:
        """Take what is pending; of the meters that are sampled, those that have waited longest."""
        with self._arriving:
            in_full = sorted(filter(self._in_full, self._pending))[: self.policy.fine_meters]
            chosen = dict.fromkeys(in_full)
            if first in self._pending:
                chosen[first] = None
            others = (meter_id for meter_id in self._pending if meter_id not in chosen)
            chosen |= dict.fromkeys([meter_id for meter_id, _ in zip(others, range(SAMPLED), strict=False)])
            batch = {meter_id: self._pending.pop(meter_id) for meter_id in chosen}
            records, self._records = self._records[-KEPT_RECORDS:], []
        return batch, records

    def _write(self, batch: Pending, records: Records) -> None:
        if self._db is not None and not os.access(self.path, os.F_OK):
            log.error("%s is not there any more: a new file is begun", self.path)
            self._disconnect()
        if self._db is None:
            self._db = self._open()
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        for meter_id, payloads in batch.items():
            snapshots = [(time_ms, payload) for payload in payloads if (time_ms := _time_in(payload)) is not None]
            if snapshots:
                self._levels.write(meter_id, snapshots)
        if records:
            db.executemany("INSERT INTO record (kind, body) VALUES (?, ?)", records)
            db.execute("DELETE FROM record WHERE id <= (SELECT max(id) FROM record) - ?", (KEPT_RECORDS,))
        db.execute("COMMIT")

    # -- the file ----------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        db = open_database(self.path, schema=SCHEMA, version=VERSION)
        self._levels = Levels(db, self.policy)
        return db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as db:
                yield db
        except sqlite3.Error as error:
            raise StorageError(f"{self.path} cannot be read: {reason(error)}") from error

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _pause(self, error: sqlite3.Error | StorageError) -> None:
        """Give the connection up, which rolls back what it had begun; the next flush opens a new one."""
        self._disconnect()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            with suppress(OSError):
                set_aside(self.path, str(error))
        if self.trouble is None:
            log.warning("the history pauses, %s cannot be written: %s", self.path, reason(error))
        self.trouble = reason(error)


def _time_in(payload: bytes) -> int | None:
    try:
        snapshot = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return time_of(snapshot) if isinstance(snapshot, dict) else None
