"""The durable state of one community: checkpoint, switches, orders and ledger entries in one SQLite file.

A row of orders or entries is the dictionary the market hands over, as JSON; the columns to search by are generated from
it, so that nothing is said twice.  The file is locked by the operating system for as long as the process lives.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.store.database import connect, open_database, reason

Row = dict[str, Any]

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS switches (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS orders (
  key TEXT PRIMARY KEY,
  value TEXT,
  meter_id TEXT AS (json_extract(value, '$.meter_id')),
  client_order_id TEXT AS (json_extract(value, '$.client_order_id')),
  status TEXT AS (json_extract(value, '$.status')),
  ended_s REAL AS (json_extract(value, '$.ended_s'))
);
CREATE INDEX IF NOT EXISTS orders_of_meter ON orders (meter_id, status);
CREATE INDEX IF NOT EXISTS orders_of_client ON orders (meter_id, client_order_id) WHERE client_order_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS orders_ended ON orders (ended_s);
CREATE TABLE IF NOT EXISTS entries (
  key TEXT PRIMARY KEY,
  value TEXT,
  meter_id TEXT AS (json_extract(value, '$.meter_id')),
  time_s REAL AS (json_extract(value, '$.time_s'))
);
CREATE INDEX IF NOT EXISTS entries_of_meter ON entries (meter_id, time_s);
"""


@dataclass(frozen=True)
class Saved:
    """What a community was when it was last saved."""

    checkpoint: bytes | None
    clock_s: float
    switches: dict[str, Row]
    orders: list[Row]
    entries: list[Row]


class CommunityStore:
    """Opens, or makes, the file at `path`; one thread at a time may use it.

    A damaged file is set aside under another name, and that is logged.

    Raises:
        StorageError: the directory cannot be used, another process holds the file, or a newer version wrote it.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = open_database(path, schema=SCHEMA, version=VERSION, exclusive=True)

    def save(
        self,
        *,
        checkpoint: bytes | None = None,
        clock_s: float,
        switches: Mapping[str, Mapping[str, object]] | None = None,
        orders: Sequence[Mapping[str, object]] = (),
        entries: Sequence[Mapping[str, object]] = (),
        durable: bool,
    ) -> None:
        """Write all of it or nothing; rows replace those of the same key, a `checkpoint` of None leaves the last one.

        `durable` returns when it would survive a loss of power; without, it survives the end of this process.

        Raises:
            StorageError: nothing was written; give the same rows again with the next save.

        """
        with self._transaction(durable=durable) as db:
            # a row apart for the large checkpoint: SQLite writes rows whole, and a command must not wait for it
            state = {"clock_s": clock_s} if checkpoint is None else {"clock_s": clock_s, "checkpoint": checkpoint}
            _upsert(db, "state", state.items())
            _upsert(db, "switches", ((meter_id, _json(values)) for meter_id, values in (switches or {}).items()))
            _upsert(db, "orders", ((row["order_id"], _json(row)) for row in orders))
            _upsert(db, "entries", ((row["entry_id"], _json(row)) for row in entries))

    def load(self, *, ended_within_s: float = 3600.0) -> Saved | None:
        """Return what was saved last, None if nothing was: orders that are open or ended lately, and all entries.

        Raises:
            StorageError: the file cannot be read.

        """
        with self._connected() as db:
            state = dict(db.execute("SELECT key, value FROM state"))
            if not state:
                return None
            lately = db.execute(
                "SELECT value FROM orders WHERE ended_s IS NULL OR ended_s >= ? ORDER BY rowid",
                (state["clock_s"] - ended_within_s,),
            )
            return Saved(
                state.get("checkpoint"),
                state["clock_s"],
                {meter_id: orjson.loads(value) for meter_id, value in db.execute("SELECT key, value FROM switches")},
                _bodies(lately),
                _bodies(db.execute("SELECT value FROM entries ORDER BY rowid")),
            )

    def order(self, order_id: str) -> Row | None:
        """Return one order, however long ago it ended."""
        with self._connected() as db:
            return next(iter(_bodies(db.execute("SELECT value FROM orders WHERE key = ?", (order_id,)))), None)

    def orders(
        self,
        meter_id: str | None = None,
        *,
        statuses: Sequence[str] = (),
        client_order_id: str | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return the newest `limit` orders that match, newest first; no `statuses` means any."""
        where = {
            "meter_id = ?": meter_id,
            "client_order_id = ?": client_order_id,
            "status IN (SELECT value FROM json_each(?))": orjson.dumps(statuses).decode() if statuses else None,
        }
        return self._newest("orders", where, limit)

    def entries(
        self, meter_id: str | None = None, *, start_s: float | None = None, end_s: float | None = None, limit: int = 100
    ) -> list[Row]:
        """Return the newest `limit` ledger entries with start_s <= time < end_s, newest first."""
        where = {"meter_id = ?": meter_id, "time_s >= ?": start_s, "time_s < ?": end_s}
        return self._newest("entries", where, limit)

    def close(self) -> None:
        """Let go of the file and its lock; whatever was saved is in it."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # it could not tidy up: the next start reads the log beside the file
                db.close()

    def _newest(self, table: str, where: Mapping[str, object], limit: int) -> list[Row]:
        used = {condition: value for condition, value in where.items() if value is not None}
        sql = f"SELECT value FROM {table} WHERE {' AND '.join(used) or '1'} ORDER BY rowid DESC LIMIT ?"  # noqa: S608 - our own words
        with self._connected() as db:
            return _bodies(db.execute(sql, (*used.values(), limit)))

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with self._connected() as db:
            db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._db is None:
                self._db = connect(self.path, schema=SCHEMA, version=VERSION, exclusive=True)
            yield self._db
        except sqlite3.Error as error:
            self.close()  # SQLite may not get over an I/O error on the same connection: the next use opens it anew
            raise StorageError(f"{self.path} cannot be used: {reason(error)}") from error


def _upsert(db: sqlite3.Connection, table: str, rows: Iterable[tuple[object, object]]) -> None:
    # updating in place keeps the row's number, and so the order of age, and is 4 times faster for a large value
    sql = f"INSERT INTO {table} (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"  # noqa: S608 - our own words
    db.executemany(sql, rows)


def _json(row: Mapping[str, object]) -> str:
    return orjson.dumps(row).decode()


def _bodies(rows: Iterable[tuple[str]]) -> list[Row]:
    return [orjson.loads(value) for (value,) in rows]
