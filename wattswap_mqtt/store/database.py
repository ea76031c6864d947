"""Opening a SQLite file: WAL, a schema with a version, and what is done about a file that cannot be used."""

import errno
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from wattswap_mqtt.core.errors import StorageError

log = logging.getLogger(__name__)

SMALL = 32 * 2**20
"""Files up to this size (bytes) are read through for damage when they are opened; larger ones would delay the start."""

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_database(path: Path, *, schema: str, version: int, exclusive: bool = False) -> sqlite3.Connection:
    """Open or create the database at `path`, in autocommit mode, usable from any one thread at a time.

    A damaged file is set aside beside it as `*.corrupt-<stamp>`, said in the log, and a new one begun.
    `exclusive` keeps other processes out until the connection is closed or this process ends, however it ends.

    Raises:
        StorageError: the directory or file cannot be used, or a newer release wrote it.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for needed in (path.parent, path):  # SQLite would say "disk I/O error"
            if needed.exists() and not os.access(needed, os.W_OK):
                raise PermissionError(errno.EACCES, f"{needed.name or needed} cannot be written (read-only?)")
        try:
            return connect(path, schema=schema, version=version, exclusive=exclusive)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            set_aside(path, str(error))
            return connect(path, schema=schema, version=version, exclusive=exclusive)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise StorageError(f"{path} cannot be used: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return in words for people why a file cannot be used."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another process uses it: stop that one, or give --data-dir another directory"
        case sqlite3.SQLITE_FULL:
            return "the disk is full"
        case _:
            return str(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether `error` says that the file itself is broken (not: locked, full, read-only)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def set_aside(path: Path, why: str) -> Path:
    """Move a damaged database and its log out of the way, say so, and return its new name."""
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    log.error("%s is damaged (%s): set aside as %s, a new file was begun", path, why, aside.name)
    return aside


def connect(path: Path, *, schema: str, version: int, exclusive: bool = False) -> sqlite3.Connection:
    """Open the database as `open_database` does, but leave a damaged file where it is.

    Raises:
        sqlite3.Error: it cannot be used.
        StorageError: a newer release wrote it.

    """
    db = sqlite3.connect(path, timeout=0.5 if exclusive else 5, isolation_level=None, check_same_thread=False)
    try:
        if exclusive:
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
        _check(db, path, version)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA journal_size_limit=16777216")
        db.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version={version:d}; COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path, version: int) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise StorageError(
            f"{path} was written by a newer release (format {found}, this one reads {version}):"
            " upgrade wattswap, or give --data-dir another directory"
        )
    if path.stat().st_size <= SMALL and (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        damage = sqlite3.DatabaseError(verdict)
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage
