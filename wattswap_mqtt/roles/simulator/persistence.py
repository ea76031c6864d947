"""How a community survives a crash: a checkpoint at every tick, and a journal of the commands since the last one.

A command is written to the journal, durably, before it takes effect; so what was acknowledged is either in the
checkpoint or in the journal, and after a crash the journal is simply carried out again on the checkpoint.  The core is
deterministic and its clock stands still between two ticks, so this gives the same orders, tokens and switches.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from wattswap_mqtt.contract.commands import OrderFilters
from wattswap_mqtt.contract.topics import meter_of_order
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.market.orders import OPEN
from wattswap_mqtt.core.market.rows import Changes, Totals, totals_of
from wattswap_mqtt.core.moments import QUARTER_S, quarter_start
from wattswap_mqtt.roles.simulator.checkpoint import column_of, decode_checkpoint, encode_checkpoint
from wattswap_mqtt.store.community_store import CommunityStore, JournalRow, Row

logger = logging.getLogger(__name__)

ORDER_RETAINED_S = 3600.0
"""Wall time for which the last version of an ended order stays retained on the broker."""
SEQ_AHEAD = 1000
"""A checkpoint sets so many numbers of readings aside for those that are told before the next one."""


class Persistence:
    """Saves `community` in the store at `path`, and brings it back.

    Raises:
        StorageError: the file cannot be used.

    """

    def __init__(self, path: Path, community: Community) -> None:
        self._store = CommunityStore(path)
        self._community = community
        self.failed = False
        """The last attempt to save failed."""
        self.gone: list[str] = []
        """Meters that were saved once and are not part of the community now."""
        self.discovery: dict[str, Row] = {}
        """By meter what hubs were told of it (`components`) and what is wished (`announced`); see announcer.py."""
        self.retained: dict[str, float] = {}
        """Ended orders that are still retained on the broker, with the unix time at which that is over."""
        self._retained_unsaved: dict[str, float] = {}
        self._cleared_until_s = float("-inf")
        self._orders: dict[str, Row] = {}
        self._entries: dict[str, Row] = {}
        self._seq_limit = 0

    def recover(self) -> list[JournalRow]:
        """Bring the community back to its last checkpoint; return the commands since, to be carried out again.

        Raises:
            StorageError: what was saved cannot be read.

        """
        saved = self._store.load()
        self.retained = saved.retained
        self.discovery = saved.discovery
        if saved.checkpoint is None:
            return saved.journal
        plain, ids, arrays = decode_checkpoint(saved.checkpoint)
        mine = self._community.index
        left = {name: column for column, name in enumerate(ids) if name not in mine}
        under_way: dict[str, float] = plain.setdefault("under_way", {})
        if left:
            self._store.park(
                {
                    name: encode_checkpoint(
                        {"under_way": {trade: kwh for trade, kwh in under_way.items() if _meter_of(trade) == name}},
                        [name],
                        column_of(arrays, column),
                    )
                    for name, column in left.items()
                }
            )
        self.gone = sorted(left.keys() | saved.parked.keys() - mine.keys())
        columns = {mine[name]: (arrays, column) for column, name in enumerate(ids) if name in mine}
        for name in mine.keys() & saved.parked.keys() - set(ids):
            parked, _, column_alone = decode_checkpoint(saved.parked[name])
            columns[mine[name]] = (column_alone, 0)
            under_way |= parked.get("under_way", {})
        self._community.restore(plain, saved.meters, columns, saved.orders, saved.entries)
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

    def note_discovery(self, rows: dict[str, Row]) -> None:
        """Keep, durably, what changed in `discovery`.

        Raises:
            StorageError: it is as it was.

        """
        try:
            self._store.note_discovery(rows)
        except StorageError as error:
            self._note(error)
            raise
        self.discovery |= rows

    def add(self, changes: Changes) -> None:
        """Take rows of the market that go with the next checkpoint."""
        self._orders |= {row["order_id"]: row for row in changes.orders}
        self._entries |= {row["entry_id"]: row for row in changes.entries}
        until_s = time.time() + ORDER_RETAINED_S
        ended = {
            row["order_id"]: until_s
            for row in changes.orders
            if row["status"] not in OPEN and row["meter_id"] in self._community.index
        }
        self.retained |= ended
        self._retained_unsaved |= ended

    def checkpoint(self, *, last: bool = False) -> None:
        """Save everything, and with it the end of the journal; `last`: nothing will be told after it.

        A failure is noted and said; what was not saved goes with the next one.
        """
        plain, arrays = self._community.dump()
        plain["seq"] += 0 if last else SEQ_AHEAD
        try:
            self._store.checkpoint(
                encode_checkpoint(plain, self._community.ids, arrays),
                self._community.changed_meters(),
                self._orders.values(),
                self._entries.values(),
                self._retained_unsaved.items(),
                self._cleared_until_s,
                self._summed(),
            )
        except StorageError as error:
            self._note(error)
            return
        self._seq_limit = plain["seq"]
        self._orders.clear()
        self._entries.clear()
        self._retained_unsaved.clear()
        self._community.meters_saved()
        self._note(None)

    def _summed(self) -> dict[float, Totals]:
        """Return the sums of the quarter hours that have unsaved rows, with what is saved of them."""
        summed = {}
        for quarter_s, totals in self._unsaved_quarters().items():
            stored = self._store.quarters(quarter_s, quarter_s + QUARTER_S, 1)
            summed[quarter_s] = totals.plus(stored.get(quarter_s, Totals()))
        return summed

    def keep_ahead(self) -> None:
        """Set more numbers of readings aside when they are used up: none is told twice, even after a crash."""
        if self._community.seq > self._seq_limit and not self.failed:
            self.checkpoint()

    def take_overdue(self) -> list[str]:
        """Return the ended orders that must not be retained any longer, each once (and again after a crash)."""
        self._cleared_until_s = time.time()
        overdue = []
        for order_id, until_s in self.retained.items():
            if until_s > self._cleared_until_s:
                break
            overdue.append(order_id)
        for order_id in overdue:
            del self.retained[order_id]
        return overdue

    def order(self, order_id: str) -> Row | None:
        """Return the stored form of an order, however long ago it ended.

        Raises:
            StorageError: the file cannot be read.

        """
        return self._orders.get(order_id) or self._store.order(order_id)

    def orders(self, meter_id: str, filters: OrderFilters) -> list[Row]:
        """Return the stored form of a meter's orders that pass the filters, newest first.

        Raises:
            StorageError: the file cannot be read.

        """
        statuses = sorted(OPEN) if filters.status == "open" else [filters.status] if filters.status else []
        unsaved = {order_id: row for order_id, row in self._orders.items() if row["meter_id"] == meter_id}
        stored = self._store.orders(
            meter_id,
            statuses=statuses,
            client_order_id=filters.client_order_id,
            limit=filters.limit + len(unsaved),
        )
        found = [row for row in stored if row["order_id"] not in unsaved]
        found += [
            row
            for row in unsaved.values()
            if (not statuses or row["status"] in statuses) and filters.client_order_id in (None, row["client_order_id"])
        ]
        found.sort(key=_number, reverse=True)
        return found[: filters.limit]

    def entries(self, meter_id: str, start_s: float, end_s: float, limit: int) -> list[Row]:
        """Return the newest `limit` rows of a meter's journal for start_s <= time < end_s, in order of time.

        Raises:
            StorageError: the file cannot be read.

        """
        found = self._store.entries(meter_id, start_s, end_s, limit)
        found += [row for row in self._unsaved(meter_id) if start_s <= row["time_s"] < end_s]
        return sorted(found, key=lambda row: (row["time_s"], row["entry_id"]))[-limit:]

    def totals(self, meter_id: str, start_s: float, end_s: float) -> Totals:
        """Return what the journal of a meter adds up to for start_s <= time < end_s.

        Raises:
            StorageError: the file cannot be read.

        """
        unsaved = [row for row in self._unsaved(meter_id) if start_s <= row["time_s"] < end_s]
        return totals_of(unsaved).plus(self._store.sums(meter_id, start_s, end_s))

    def quarters(self, start_s: float, end_s: float, limit: int) -> dict[float, Totals]:
        """Return what the journal of all adds up to in the newest `limit` quarter hours that begin in a period.

        Raises:
            StorageError: the file cannot be read.

        """
        found = {quarter_s: Totals(*sums) for quarter_s, sums in self._store.quarters(start_s, end_s, limit).items()}
        for quarter_s, totals in self._unsaved_quarters().items():
            if start_s <= quarter_s < end_s:
                found[quarter_s] = totals.plus(found.get(quarter_s, Totals()))
        return dict(sorted(found.items())[-limit:])

    def _unsaved(self, meter_id: str) -> list[Row]:
        return [row for row in self._entries.values() if row["meter_id"] == meter_id and "time_s" in row]

    def _unsaved_quarters(self) -> dict[float, Totals]:
        rows: dict[float, list[Row]] = {}
        for row in self._entries.values():
            if "time_s" in row:
                rows.setdefault(quarter_start(row["time_s"]), []).append(row)
        return {quarter_s: totals_of(some) for quarter_s, some in rows.items()}

    def balance_utok(self, meter_id: str, before_s: float) -> int:
        """Return what the journal of a meter adds up to before a time.

        Raises:
            StorageError: the file cannot be read.

        """
        unsaved_utok: int = sum(row["amount_utok"] for row in self._unsaved(meter_id) if row["time_s"] < before_s)
        return self._store.balance_utok(meter_id, before_s) + unsaved_utok

    def _note(self, error: StorageError | None) -> None:
        if error is not None and not self.failed:
            logger.error("%s: until it can be written again, commands are refused and telemetry goes on", error)
        if error is None and self.failed:
            logger.warning("the data can be saved again")
        self.failed = error is not None
        self._community.meters.storage_failed = self.failed

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()


def _number(row: Row) -> int:
    return int(row["order_id"].rpartition(".")[2])


def _meter_of(trade_id: str) -> str | None:
    return meter_of_order(trade_id.partition("/")[0])
