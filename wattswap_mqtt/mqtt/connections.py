"""The two ways to wait for a broker: in a thread of one's own, and on an asyncio loop."""

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Iterable, Sequence

from wattswap_mqtt.mqtt.dial import BufferedSocket
from wattswap_mqtt.mqtt.link import Link

CLOSE_TIMEOUT_S = 2.0


class Connection(Link):
    """A connection for one thread: the one that calls `wait()` also calls everything else, except `wake()`."""

    def _prepare(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def wait(self, timeout_s: float) -> None:
        """Serve the connection until a callback was called, `wake()` was called, or the time is up.

        Connects again by itself; a broker that is away raises nothing.  `wait(0)` writes what `publish` has queued.
        """
        until_s = time.monotonic() + timeout_s
        woken = False
        while not (self._step() or woken):
            rest_s = until_s - time.monotonic()
            if rest_s <= 0:
                return
            woken = self._select(min(rest_s, self._patience_s()))

    def flush(self) -> None:
        """Write what waits, acknowledgements of what came too, as far as the socket takes it; `wait()` does so, too."""
        self._write()

    def wake(self) -> None:
        """End the present `wait()`, or the next one; the one call for other threads."""
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._waker.send(b"\0")

    def close(self) -> None:
        """Send what is queued, say goodbye to the broker, close; takes `CLOSE_TIMEOUT_S` at most."""
        if self._closed:
            return
        until_s = time.monotonic() + CLOSE_TIMEOUT_S
        while self._unfinished and (rest_s := until_s - time.monotonic()) > 0:
            self._select(min(rest_s, self._patience_s()))
            self._step()
        self._hang_up()
        self._selector.close()
        self._waker.close()
        self._woken.close()

    def _select(self, timeout_s: float) -> bool:
        """Wait for the socket; return whether `wake()` has ended that."""
        if self._session is not None:
            if not self._session.sock.is_open:  # lost while it was written to: the next step says so
                return False
            write = selectors.EVENT_WRITE if self._wants_write else 0
            self._selector.modify(self._session.sock, selectors.EVENT_READ | write)
        woken = any(key.fileobj is self._woken for key, _ in self._selector.select(timeout_s))
        if woken:
            self._woken.recv(4096)
        return woken

    def _watch(self, sock: BufferedSocket) -> None:
        self._selector.register(sock, selectors.EVENT_READ)

    def _unwatch(self, sock: BufferedSocket) -> None:
        self._selector.unregister(sock)

    def _wake(self) -> None:
        self.wake()


class AsyncConnection(Link):
    """A connection on an asyncio loop: everything is called there, the callbacks too."""

    _loop: asyncio.AbstractEventLoop

    def _prepare(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._stepped = asyncio.Event()

    async def start(self) -> None:
        """Begin to connect, and return; `on_connect` tells when there is a connection."""
        self._loop = asyncio.get_running_loop()
        self._run()

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> bool:
        """Queue one message, to be written in the loop's next turn; return False if it is dropped."""
        accepted = super().publish(topic, payload, qos, retain)
        if self.connected:
            self._run_in(0.0)
        return accepted

    def publish_batch(self, messages: Iterable[tuple[str, bytes]], retain: bool = False) -> None:
        """Send each (topic, payload) with QoS 0, if the socket takes them; of one topic only the latest waits."""
        super().publish_batch(messages, retain)
        if self.connected:
            self._run_in(0.0)

    def fetch(self, topics: Sequence[str]) -> None:
        """Let the broker tell once more what it retains of these topics, from the loop's next turn on."""
        super().fetch(topics)
        if self.connected:
            self._run_in(0.0)

    async def close(self) -> None:
        """Send what is queued, say goodbye to the broker, close; takes `CLOSE_TIMEOUT_S` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._unfinished:
                    self._stepped.clear()
                    await self._stepped.wait()
        self._hang_up()
        if self._timer is not None:
            self._timer.cancel()

    def _run(self) -> None:
        """Step, and see to it that the loop comes back."""
        if self._closed:
            return
        self._step()
        self._stepped.set()
        sock = None if self._session is None else self._session.sock
        stuck = sock is not None and not sock.takes_more
        if sock is not None and stuck:
            self._loop.add_writer(sock.fileno(), self._run)
        elif sock is not None:
            self._loop.remove_writer(sock.fileno())
        self._run_in(0.0 if self._wants_write and not stuck else self._patience_s())

    def _run_in(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._run)

    def _watch(self, sock: BufferedSocket) -> None:
        self._loop.add_reader(sock.fileno(), self._run)

    def _unwatch(self, sock: BufferedSocket) -> None:
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._run)
