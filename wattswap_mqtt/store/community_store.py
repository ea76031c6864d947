"""The durable state of one community: checkpoint, journal, meters, orders and ledger entries in one SQLite file.

A row of orders or entries is the dictionary the market hands over, as JSON; the columns to search by are generated from
it, so that nothing is said twice.  The file is locked by the operating system for as long as the process lives.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.store.database import connect, open_database, reason

Row = dict[str, Any]

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, meter_id TEXT, command TEXT, payload BLOB);
CREATE TABLE IF NOT EXISTS meters (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS parked (key TEXT PRIMARY KEY, value BLOB);
CREATE TABLE IF NOT EXISTS retained (key TEXT PRIMARY KEY, value REAL);
CREATE TABLE IF NOT EXISTS discovery (key TEXT PRIMARY KEY, value TEXT);
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
CREATE INDEX IF NOT EXISTS accounts ON entries (key) WHERE time_s IS NULL;
DROP INDEX IF EXISTS entries_in_time;
CREATE TABLE IF NOT EXISTS quarters (key REAL PRIMARY KEY, value TEXT);
"""


JournalRow = tuple[str, str, bytes]
"""A command as it came: the meter's id, the topic below the meter's, the payload."""


@dataclass(frozen=True)
class Saved:
    """What a community was when it was last saved, and the commands since.

    checkpoint: of the meters that were part of the community, None if there is none yet.
    parked: by meter that once was, its own checkpoint.
    discovery: by meter, what hubs were told of it and what is wished.
    retained: by ended order that the broker still holds, the unix time until which; earliest first.
    """

    checkpoint: bytes | None = None
    parked: dict[str, bytes] = field(default_factory=dict)
    journal: list[JournalRow] = field(default_factory=list)
    meters: dict[str, Row] = field(default_factory=dict)
    orders: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    discovery: dict[str, Row] = field(default_factory=dict)
    retained: dict[str, float] = field(default_factory=dict)


class CommunityStore:
    """Opens, or makes, the file at `path`; one thread at a time may use it.

    A damaged file is set aside under another name, and that is logged.

    Raises:
        StorageError: the directory cannot be used, another process holds the file, or a newer version wrote it.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = open_database(path, schema=SCHEMA, version=VERSION, exclusive=True)

    def append(self, commands: Iterable[JournalRow]) -> None:
        """Write commands to the journal; when this returns they survive a loss of power.

        Raises:
            StorageError: none of them was written.

        """
        with self._transaction(durable=True) as db:
            db.executemany("INSERT INTO journal (meter_id, command, payload) VALUES (?, ?, ?)", commands)

    def checkpoint(
        self,
        checkpoint: bytes,
        meters: Mapping[str, Mapping[str, object]],
        orders: Iterable[Mapping[str, object]] = (),
        entries: Iterable[Mapping[str, object]] = (),
        retained: Iterable[tuple[str, float]] = (),
        cleared_until_s: float = float("-inf"),
        quarters: Mapping[float, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        """Write all of it, over earlier rows of the same key, and end the journal: it is contained in it.

        `quarters` are sums over all entries by the quarter hour.  Of `retained`, the pairs of `Saved.retained`, those
        whose time is `cleared_until_s` or before are forgotten.
        When this returns it survives the end of this process; a loss of power may cost the last few checkpoints, but
        nothing of the journal.

        Raises:
            StorageError: nothing was written; give the same rows again with the next one.

        """
        with self._transaction(durable=False) as db:
            _upsert(db, "state", [("checkpoint", checkpoint)])
            _upsert(db, "meters", ((meter_id, _json(values)) for meter_id, values in meters.items()))
            _upsert(db, "orders", ((row["order_id"], _json(row)) for row in orders))
            _upsert(db, "entries", ((row["entry_id"], _json(row)) for row in entries))
            _upsert(db, "quarters", ((start_s, _json(list(sums))) for start_s, sums in quarters.items()))
            _upsert(db, "retained", retained)
            db.execute("DELETE FROM retained WHERE value <= ?", (cleared_until_s,))
            db.execute("DELETE FROM journal")

    def park(self, checkpoints: Mapping[str, bytes]) -> None:
        """Keep the checkpoints of single meters that are not part of the community any more.

        Raises:
            StorageError: it was not written.

        """
        with self._transaction(durable=True) as db:
            _upsert(db, "parked", checkpoints.items())

    def note_discovery(self, rows: Mapping[str, Mapping[str, object]]) -> None:
        """Keep by meter what hubs were told of it, and what is wished.

        Raises:
            StorageError: it was not written.

        """
        with self._transaction(durable=True) as db:
            _upsert(db, "discovery", ((meter_id, _json(row)) for meter_id, row in rows.items()))

    def load(self, *, newest_ended: int = 1000) -> Saved:
        """Return what was saved last.

        Of the orders those that are open and the newest that ended; of the entries those without a time, the accounts.

        Raises:
            StorageError: the file cannot be read.

        """
        with self._connected() as db:
            remembered = db.execute(
                "SELECT value FROM orders WHERE ended_s IS NULL OR rowid IN"
                " (SELECT rowid FROM orders WHERE ended_s IS NOT NULL ORDER BY ended_s DESC LIMIT ?) ORDER BY rowid",
                (newest_ended,),
            )
            return Saved(
                checkpoint=dict(db.execute("SELECT key, value FROM state")).get("checkpoint"),
                parked=dict(db.execute("SELECT key, value FROM parked")),
                journal=db.execute("SELECT meter_id, command, payload FROM journal ORDER BY number").fetchall(),
                meters={name: orjson.loads(value) for name, value in db.execute("SELECT key, value FROM meters")},
                orders=_bodies(remembered),
                entries=_bodies(db.execute("SELECT value FROM entries WHERE time_s IS NULL")),
                discovery={name: orjson.loads(row) for name, row in db.execute("SELECT key, value FROM discovery")},
                retained=dict(db.execute("SELECT key, value FROM retained ORDER BY value")),
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
        used = {condition: value for condition, value in where.items() if value is not None}
        sql = f"SELECT value FROM orders WHERE {' AND '.join(used) or '1'} ORDER BY rowid DESC LIMIT ?"  # noqa: S608 - our own words
        with self._connected() as db:
            return _bodies(db.execute(sql, (*used.values(), limit)))

    def entries(self, meter_id: str, start_s: float, end_s: float, limit: int) -> list[Row]:
        """Return the newest `limit` ledger entries of a meter with start_s <= time < end_s, in order of time."""
        sql = (
            "SELECT value FROM entries WHERE meter_id = ? AND time_s >= ? AND time_s < ?"
            " ORDER BY time_s DESC, key DESC LIMIT ?"
        )
        with self._connected() as db:
            return _bodies(db.execute(sql, (meter_id, start_s, end_s, limit)))[::-1]

    def sums(self, meter_id: str, start_s: float, end_s: float) -> list[int]:
        """Return what `rows.Totals` holds of the ledger entries of a meter with start_s <= time < end_s."""
        sql = (
            "SELECT count(*), total(max(mwh, 0) * metered), total(max(-mwh, 0) * metered),"
            " total(max(mwh, 0) * NOT metered), total(max(-mwh, 0) * NOT metered), coalesce(sum(utok), 0) FROM ("
            "SELECT json_extract(value, '$.kind') <> 'imbalance' AS metered,"
            " json_extract(value, '$.energy_mwh') AS mwh, json_extract(value, '$.amount_utok') AS utok FROM entries"
            " WHERE meter_id = ? AND time_s >= ? AND time_s < ?)"
        )
        with self._connected() as db:
            return [int(total) for total in db.execute(sql, (meter_id, start_s, end_s)).fetchone()]

    def quarters(self, start_s: float, end_s: float, limit: int) -> dict[float, list[int]]:
        """Return the sums of the newest `limit` quarter hours that begin in a period, in order of time."""
        sql = "SELECT key, value FROM quarters WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
        with self._connected() as db:
            found = db.execute(sql, (start_s, end_s, limit)).fetchall()
        return {key: orjson.loads(value) for key, value in reversed(found)}

    def balance_utok(self, meter_id: str, before_s: float) -> int:
        """Return what a meter's entries before a time add up to."""
        return self.sums(meter_id, float("-inf"), before_s)[-1]

    def close(self) -> None:
        """Let go of the file and its lock; whatever was saved is in it."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # it could not tidy up: the next start reads the log beside the file
                db.close()

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
        if not os.access(self.path, os.F_OK):  # SQLite would write to it all the same; a new file would hold half of it
            raise StorageError(f"{self.path} cannot be used: it is not there any more; put it back, or start again")
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


def _json(row: object) -> str:
    return orjson.dumps(row).decode()


def _bodies(rows: Iterable[tuple[str]]) -> list[Row]:
    return [orjson.loads(value) for (value,) in rows]
