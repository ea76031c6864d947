"""The whole system for people who start ASGI servers themselves: `uvicorn wattswap_mqtt.asgi:app --reload`.

The lifespan of `app` runs broker, simulator and bridge, with settings from the environment (`WATTSWAP_…`) and from the
TOML file that `WATTSWAP_CONFIG` names.  Where the server listens is the server's business: `http_host` and `http_port`
have no effect here.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any

from wattswap_mqtt.app import running, set_up_logging
from wattswap_mqtt.commands import what_to_paste
from wattswap_mqtt.config import Settings, load_settings
from wattswap_mqtt.core.errors import ConfigError, WattSwapError

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class WholeSystem:
    """An ASGI application that is the bridge's, with everything else started before it and stopped after it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bridge: Callable[[Message, Receive, Send], Awaitable[None]] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._bridge is not None:
            await self._bridge(scope, receive, send)
        else:
            raise RuntimeError("this application needs its lifespan: start the server without --lifespan off")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                system = await stack.enter_async_context(running(self._settings))
            except WattSwapError as error:  # as one line; the server adds that it ends
                await send({"type": "lifespan.startup.failed", "message": f"wattswap: {error}"})
                return
            system.failed.add_done_callback(_end_server)
            _when_asked_to_end(system.end_streams)
            self._bridge = system.bridge
            print(what_to_paste(system.settings, ("broker", "simulator")), flush=True)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _when_asked_to_end(callback: Callable[[], None]) -> None:
    """Call back on the signals that end the server, before it acts on them: it tells its application too late."""
    if threading.current_thread() is not threading.main_thread():
        return  # the server has no signals here either
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None, before: Any = before) -> None:  # noqa: ANN401 - as the signal module has it
            loop.call_soon_threadsafe(callback)
            if callable(before):
                before(number, frame)

        signal.signal(number, handle)


def _end_server(failed: "asyncio.Future[str]") -> None:
    if not failed.cancelled():
        log.critical("%s: the server ends too", failed.result())
        os.kill(os.getpid(), signal.SIGTERM)


def _settings() -> Settings:
    try:
        settings = load_settings()
    except ConfigError as error:
        print(f"wattswap: {error}", file=sys.stderr)
        sys.exit(2)
    set_up_logging(settings)
    return settings


app = WholeSystem(_settings())
