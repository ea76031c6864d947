"""Connections of both kinds, each served in a thread of its own, and what their callbacks were called with."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from tests.running import PATIENCE_S, wait_until
from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt import AsyncConnection, Connection, Message


class Recorder:
    """What the callbacks were called with."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.connects = 0
        self.reasons: list[str] = []
        self.then: Callable[[], object] = lambda: None

    def on_connect(self) -> None:
        self.connects += 1
        self.then()

    def callbacks(self) -> dict:
        return {
            "on_message": self.messages.append,
            "on_connect": self.on_connect,
            "on_disconnect": self.reasons.append,
        }


class Served(Recorder):
    """A `Connection` in a thread of its own; `do()` calls something in that thread."""

    def __init__(self, address: BrokerAddress, **options: object) -> None:
        super().__init__()
        self.connection = Connection(address, "under-test", **{**self.callbacks(), **options})
        self._orders: deque = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stopping:
            self.connection.wait(PATIENCE_S)
            while self._orders:
                call, future = self._orders.popleft()
                try:
                    future.set_result(call())
                except AssertionError as error:
                    future.set_exception(error)
        self.connection.close()

    def start(self) -> None:
        self._thread.start()

    def do(self, call: Callable[[], object]) -> object:
        future: Future = Future()
        self._orders.append((call, future))
        self.connection.wake()
        return future.result(PATIENCE_S)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._stopping = True
            self.connection.wake()
            self._thread.join(PATIENCE_S)


class ServedAsync(Recorder):
    """An `AsyncConnection` on a loop in a thread of its own."""

    def __init__(self, address: BrokerAddress, **options: object) -> None:
        super().__init__()
        self.connection = AsyncConnection(address, "under-test", **{**self.callbacks(), **options})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.connection.start(), self._loop).result(PATIENCE_S)

    def do(self, call: Callable[[], object]) -> object:
        async def go() -> object:
            return call()

        return asyncio.run_coroutine_threadsafe(go(), self._loop).result(PATIENCE_S)

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self.connection.close(), self._loop).result(PATIENCE_S)
        left = self.do(lambda: asyncio.all_tasks() - {asyncio.current_task()})
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()
        assert not left


def connected(served: Recorder) -> Recorder:
    wait_until(lambda: served.connects > 0, "connected")
    return served
