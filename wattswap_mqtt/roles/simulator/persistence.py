"""How a community survives a crash: a checkpoint at every tick, and a journal of the commands since the last one.

A command is written to the journal, durably, before it takes effect; so what was acknowledged is either in the checkpoint
or in the journal, and after a crash the journal is simply carried out again on the checkpoint.  The core is deterministic
and its clock stands still between two ticks, so this gives the same orders, tokens and switches.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from wattswap_mqtt.contract.messages import OrderFilters
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.market.rows import Changes
from wattswap_mqtt.store.community_store import CommunityStore, JournalRow, Row

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.generic]]


def encode_checkpoint(plain: dict[str, Any], ids: Sequence[str], arrays: Arrays) -> bytes:
    """Return one blob: a line of JSON that describes it, and the arrays one after the other."""
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    head = orjson.dumps({"plain": plain, "ids": list(ids), "arrays": shapes})
    return b"".join((head, b"\n", *(np.ascontiguousarray(array).tobytes() for array in arrays.values())))


def decode_checkpoint(blob: bytes) -> tuple[dict[str, Any], list[str], Arrays]:
    """Read what `encode_checkpoint` wrote.

    Raises:
        StorageError: it is not such a blob.

    """
    try:
        head, _, body = blob.partition(b"\n")
        described = orjson.loads(head)
        arrays: Arrays = {}
        offset = 0
        for name, (dtype, shape) in described["arrays"].items():
            array = np.frombuffer(body, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)
            arrays[name], offset = array, offset + array.nbytes
        return described["plain"], described["ids"], arrays
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"the checkpoint cannot be read: {error}") from error


class Persistence:
    """Saves `community` in the store at `path`, and brings it back.

    Raises:
        StorageError: the file cannot be used.

    """

    def __init__(self, path: Path, community: Community) -> None:
        self._store = CommunityStore(path)
        self._community = community
        self.failed = False
        """The last save failed: commands are refused until one succeeds."""
        self._orders: dict[str, Row] = {}
        self._entries: dict[str, Row] = {}
        self.gone: list[str] = []
        """Meters that were saved once and are not part of the community now."""

    def recover(self, clock_s: float) -> list[JournalRow] | None:
        """Bring the community back to its last checkpoint, at `clock_s` or later.

        Returns the commands to be carried out again; None if nothing was ever saved.
        """
        saved = self._store.load()
        if saved.checkpoint is None:
            return saved.journal
        plain, ids, arrays = decode_checkpoint(saved.checkpoint)
        parked_ids, parked = ids, arrays
        if saved.parked is not None:
            _, parked_ids, parked = decode_checkpoint(saved.parked)
        known = {name: (arrays, column) for column, name in enumerate(ids)}
        known = {name: (parked, column) for column, name in enumerate(parked_ids)} | known
        mine = self._community.ids
        self.gone = sorted(known.keys() - set(mine))
        if self.gone:
            gone_arrays = {
                name: np.stack([known[meter][0][name][..., known[meter][1]] for meter in self.gone], axis=-1) for name in arrays
            }
            self._store.park(encode_checkpoint({}, self.gone, gone_arrays))
        rows = {column: known[name] for column, name in enumerate(mine) if name in known}
        self._community.restore(plain, saved.meters, rows, saved.orders, saved.entries, clock_s)
        return saved.journal

    def journal(self, commands: Sequence[JournalRow]) -> None:
        """Write commands down, durably, before they take effect.

        Raises:
            StorageError: they must not take effect.

        """
        try:
            self._store.append(commands)
        except StorageError as error:
            self._note(error)
            raise
        self._note(None)

    def add(self, changes: Changes) -> None:
        """Take rows of the market that go with the next checkpoint."""
        self._orders |= {row["order_id"]: row for row in changes.orders}
        self._entries |= {row["entry_id"]: row for row in changes.entries}

    def checkpoint(self) -> None:
        """Save everything; a failure is noted and said, and what was not saved goes with the next one."""
        plain, arrays = self._community.dump()
        blob = encode_checkpoint(plain, self._community.ids, arrays)
        orders, entries = list(self._orders.values()), list(self._entries.values())
        try:
            self._store.checkpoint(blob, self._community.changed_meters(), orders, entries)
        except StorageError as error:
            self._note(error)
            return
        self._orders.clear()
        self._entries.clear()
        self._community.meters_saved()
        self._note(None)

    def order(self, order_id: str) -> Row | None:
        """Return the stored form of an order, however long ago it ended."""
        return self._orders.get(order_id) or self._store.order(order_id)

    def orders(self, meter_id: str, filters: OrderFilters) -> list[Row]:
        """Return a meter's orders that pass the filters, newest first, as far as they are in the last checkpoint."""
        statuses = ("accepted", "partially_filled") if filters.status == "open" else (filters.status,) if filters.status else ()
        return self._store.orders(meter_id, statuses=statuses, client_order_id=filters.client_order_id, limit=filters.limit)

    def _note(self, error: StorageError | None) -> None:
        if error is not None and not self.failed:
            logger.error("%s; commands are refused and telemetry goes on until it can be written again", error)
        if error is None and self.failed:
            logger.warning("the data can be saved again")
        self.failed = error is not None
        self._community.storage_failed = self.failed

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()
