"""The live stream: Server-Sent Events, raw payloads passed on, and a client that is slow harms nobody but itself.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Collection, Hashable, Iterable
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

REMEMBERED = 2000
"""Messages that a client which comes back can still get."""
PENDING = 20_000
"""Messages that wait for one slow client at most; of each meter's state only the latest does."""
PER_WRITE = 256
HEARTBEAT_S = 15.0
RETRY_MS = 2000
MESSAGE = "message"
"""Raw MQTT messages: only for those who ask for them, and not remembered."""
KINDS = (
    "broker", "community", "market", "trade",
    "state", "truth", "availability", "switches", "scenario", "order", "event",
)  # fmt: skip
"""What everybody is told who does not choose."""


class Item(NamedTuple):
    """One message: its number, what it is, whose, and its JSON; `replaces` says that only the latest such matters."""

    number: int
    event: str
    meter_id: str | None
    data: bytes
    replaces: bool


class Listener:
    """One client: the meters it wants (None is all), the kinds of events, and what waits to be written to it."""

    def __init__(self, wanted: Collection[str] | None, kinds: Collection[str] = KINDS) -> None:
        self.dropped = 0
        self._wanted = wanted
        self._kinds = kinds
        self._pending: dict[Hashable, Item] = {}
        self._ready = asyncio.Event()
        self._closed = False

    def offer(self, item: Item, *, whole: bool = False) -> None:
        """Take in a message, if it is wanted; `whole` keeps it even when a later one would replace it."""
        if not self.wants(item.event, item.meter_id):
            return
        key: Hashable = (item.event, item.meter_id) if item.replaces and not whole else item.number
        if self._pending.pop(key, None) is not None:
            self.dropped += 1
        elif len(self._pending) >= PENDING:
            del self._pending[next(iter(self._pending))]
            self.dropped += 1
        self._pending[key] = item
        self._ready.set()

    def wants(self, event: str, meter_id: str | None) -> bool:
        """Tell whether this client asked for such a message."""
        return event in self._kinds and (self._wanted is None or meter_id is None or meter_id in self._wanted)

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._ready.set()

    async def take(self) -> list[Item]:
        """Return the next messages, none after a while without any.

        Raises:
            asyncio.CancelledError: the client has gone.

        """
        if not self._pending and not self._closed:
            self._ready.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._ready.wait()
        return [self._pending.pop(key) for key in list(islice(self._pending, PER_WRITE))]

    @property
    def closed(self) -> bool:
        """Whether the stream is to end."""
        return self._closed


class Live:
    """Passes messages on to all listeners, and remembers the newest for those who come back."""

    def __init__(self) -> None:
        self._boot = secrets.token_hex(4)
        self._number = 0
        self._remembered: deque[Item] = deque(maxlen=REMEMBERED)
        self._listeners: set[Listener] = set()
        self._dropped = 0

    @property
    def listeners(self) -> int:
        """How many clients listen."""
        return len(self._listeners)

    @property
    def dropped(self) -> int:
        """Messages that slow clients did not get."""
        return self._dropped + sum(listener.dropped for listener in self._listeners)

    def publish(self, event: str, meter_id: str | None, data: bytes, *, replaces: bool = False) -> None:
        """Pass on a message of a meter (None: of the whole community)."""
        item = self._item(event, meter_id, data, replaces=replaces)
        if event != MESSAGE:
            self._remembered.append(item)
        for listener in self._listeners:
            listener.offer(item)

    def wanted(self, event: str, meter_id: str) -> bool:
        """Tell whether anybody asked for such a message."""
        return any(listener.wants(event, meter_id) for listener in self._listeners)

    async def stream(
        self,
        wanted: Collection[str] | None,
        present: Iterable[tuple[str, str | None, bytes]],
        last_id: str | None,
        kinds: Collection[str] = KINDS,
    ) -> AsyncIterator[bytes]:
        """Yield the stream of one client.

        wanted: the meters whose messages it gets, None for all; what concerns a whole community it gets in any case.
        present: what is retained (event, meter, JSON), for a client that comes for the first time or too late to get
            what it has missed.
        last_id: the `Last-Event-ID` of a client that comes back.
        """
        listener = Listener(wanted, kinds)
        missed = self._since(last_id)
        for item in missed if missed is not None else map(self._present, present):
            listener.offer(item, whole=missed is not None)
        self._listeners.add(listener)
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while not listener.closed:
                items = await listener.take()
                yield b"".join(map(self._frame, items)) if items else b": still here\n\n"
        finally:
            self._listeners.discard(listener)
            self._dropped += listener.dropped

    def close(self) -> None:
        """End all streams, so that the HTTP server can end."""
        for listener in self._listeners:
            listener.close()

    def _present(self, found: tuple[str, str | None, bytes]) -> Item:
        event, meter_id, data = found
        return self._item(event, meter_id, data, replaces=meter_id is not None and event != MESSAGE)

    def _item(self, event: str, meter_id: str | None, data: bytes, *, replaces: bool) -> Item:
        self._number += 1
        return Item(self._number, event, meter_id, data, replaces)

    def _since(self, last_id: str | None) -> list[Item] | None:
        """Return what came after `last_id`, None if that is not known any more."""
        boot, _, number = (last_id or "").partition("-")
        if boot != self._boot or not (number.isascii() and number.isdigit() and len(number) < 20):
            return None
        if not self._remembered or int(number) < self._remembered[0].number - 1:
            return None
        return [item for item in self._remembered if item.number > int(number)]

    def _frame(self, item: Item) -> bytes:
        data = item.data
        if b"\n" in data or b"\r" in data:
            data = b"\ndata: ".join(data.splitlines())
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._boot.encode(), item.number, item.event.encode(), data)
