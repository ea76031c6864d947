"""Events and trades: the newest in memory to be asked for, and in the history to outlast the bridge."""

from collections import deque
from collections.abc import Collection, Iterator
from typing import NamedTuple

import orjson

from wattswap_mqtt.roles.bridge.times import milliseconds
from wattswap_mqtt.store.history import History

KEPT = 5000


class Happening(NamedTuple):
    """One event or trade: what it is found by, and its JSON as it came."""

    kind: str
    meter_ids: tuple[str, ...]  # of a trade both sides
    time_ms: int
    body: bytes


class Happenings:
    """The newest of one kind of record (`event`, `trade`), oldest first."""

    def __init__(self, record: str, history: History) -> None:
        """Take up what the history has kept.

        Raises:
            StorageError: it cannot be read.

        """
        self._record = record
        self._history = history
        found = map(_read, history.records(record, KEPT))
        self._newest = deque((happening for happening in found if happening is not None), maxlen=KEPT)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._newest)

    def add(self, payload: bytes) -> bool:
        """Take in a payload; return whether there was anything in it."""
        happening = _read(payload)
        if happening is not None:
            self._newest.append(happening)
            self._history.record(self._record, payload)
        return happening is not None

    def find(
        self,
        limit: int,
        *,
        meter_ids: Collection[str] = (),
        kinds: Collection[str] = (),
        since_ms: int | None = None,
    ) -> list[bytes]:
        """Return the newest `limit` that fit, oldest first; no `meter_ids` or `kinds` means any."""
        wanted = set(meter_ids)

        def fitting() -> Iterator[bytes]:
            for one in reversed(self._newest):
                fits = (not wanted or not wanted.isdisjoint(one.meter_ids)) and (not kinds or one.kind in kinds)
                if fits and (since_ms is None or one.time_ms >= since_ms):
                    yield one.body

        return [body for body, _ in zip(fitting(), range(limit), strict=False)][::-1]


def _read(payload: bytes) -> Happening | None:
    try:
        body = orjson.loads(payload)
        return Happening(
            str(body.get("event_type", "")),
            (str(body.get("meter_id", "")), str(body.get("counterparty", ""))),
            milliseconds(body["timestamp"]),
            payload,
        )
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
