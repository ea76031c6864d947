"""The one place where the parts are joined: any of broker, simulator and bridge in this process.

Broker and bridge live on one asyncio loop, the simulator in a thread of its own.  What is heavy to import is imported
when its turn comes, so that the first telemetry does not wait for the web framework.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wattswap_mqtt.config import LOOPBACK, Settings
from wattswap_mqtt.core.errors import ConfigError, WattSwapError
from wattswap_mqtt.core.plant import meter_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from wattswap_mqtt.roles.simulator import Simulator

log = logging.getLogger(__name__)

Role = Literal["broker", "simulator", "bridge"]
ALL_ROLES: tuple[Role, ...] = ("broker", "simulator", "bridge")

EMBEDDED_METERS = 3_000
"""About what the embedded broker relays once a second."""
FIRST_TELEMETRY_S = 2.0
BROKER_ANSWERS_S = 1.0
OWN_BROKER_S = 20.0
"""A broker of this process answers for sure, on a busy machine later: what says that it is ready has been told all."""
HTTP_GRACE_S = 1
END_WITHIN_S = 4.5


@dataclass(frozen=True)
class System:
    """The parts that run: with the ports they really have; `failed` ends, with the reason, when one of them dies."""

    settings: Settings
    bridge: "FastAPI | None"
    failed: "asyncio.Future[str]"

    def end_streams(self) -> None:
        """End what an HTTP server that wants to end would wait for."""
        if self.bridge is not None:
            self.bridge.state.bridge.live.close()


@asynccontextmanager
async def running(settings: Settings, roles: Collection[Role] = ALL_ROLES) -> AsyncIterator[System]:
    """Run some roles for as long as the context lasts; on leaving it everything is saved.

    Raises:
        WattSwapError: one of them cannot start; those before it are stopped again.

    """
    failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        if "bridge" in roles and settings.http_port and settings.dashboard_url is None:
            settings = settings.model_copy(update={"dashboard_url": settings.web_url})
        if "broker" in roles and settings.embedded:
            settings = await _start_broker(settings, stack)
        elif settings.embedded and settings.mqtt_port == 0:
            raise ConfigError("--mqtt-port 0 is for the process that holds the broker: say which port it has")
        own_broker = "broker" in roles and settings.embedded
        simulator = None
        if "simulator" in roles:
            simulator = _simulator(settings)
            if "bridge" in roles:  # which comes later, and has to hear that the meters have started
                simulator.audience.clear()
            thread = SimulatorThread(simulator, failed)
            stack.push_async_callback(thread.stop)
            await thread.first_telemetry(OWN_BROKER_S if own_broker else FIRST_TELEMETRY_S)
        bridge = None
        if "bridge" in roles:
            bridge = await _start_bridge(settings, stack)
            last = meter_ids(settings.community, settings.meters)[-1] if own_broker and simulator is not None else None
            told = asyncio.ensure_future(bridge.state.bridge.latest.until_told(last))
            stack.callback(told.cancel)
            patience_s = OWN_BROKER_S if own_broker else BROKER_ANSWERS_S  # one that is away it waits for by itself
            await asyncio.wait({told, failed}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if simulator is not None:
            simulator.audience.set()
        yield System(settings, bridge, failed)


async def _start_broker(settings: Settings, stack: AsyncExitStack) -> Settings:
    from wattswap_mqtt.roles.broker import EmbeddedBroker

    broker = EmbeddedBroker(settings.mqtt_host, settings.mqtt_port, settings.mqtt_ws_port)
    await broker.start()
    stack.push_async_callback(broker.stop)
    if settings.mqtt_host not in LOOPBACK:
        log.warning(
            "the embedded broker listens on %s and lets everybody in: on a network use mosquitto (--broker mqtt://…)",
            settings.mqtt_host,
        )
    return settings.model_copy(update={"mqtt_port": broker.port, "mqtt_ws_port": broker.ws_port})


def _simulator(settings: Settings) -> "Simulator":
    from wattswap_mqtt.roles.simulator import Simulator

    if settings.embedded and settings.meters > EMBEDDED_METERS:
        log.warning(
            "%d meters are many for the embedded broker (about %d): use mosquitto (--broker mqtt://…)",
            settings.meters,
            EMBEDDED_METERS,
        )
    return Simulator(settings, settings.broker_address)


async def _start_bridge(settings: Settings, stack: AsyncExitStack) -> "FastAPI":
    create_app = await asyncio.to_thread(_import_bridge)
    bridge = create_app(settings)
    await stack.enter_async_context(bridge.router.lifespan_context(bridge))
    return bridge


def _import_bridge() -> "Callable[[Settings], FastAPI]":
    from wattswap_mqtt.roles.bridge.api import create_app

    return create_app


class SimulatorThread:
    """The simulator in its thread, seen from the loop."""

    def __init__(self, simulator: "Simulator", failed: "asyncio.Future[str]") -> None:
        self._simulator = simulator
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name="simulator", daemon=True).start()

    async def first_telemetry(self, patience_s: float) -> None:
        """Wait for the first states to be sent, if the broker is there to take them."""
        await asyncio.to_thread(self._simulator.announced.wait, patience_s)

    async def stop(self) -> None:
        """Let it save everything and say goodbye, and wait for that."""
        self._stopping.set()
        self._simulator.wake()
        await self._ended.wait()

    def _run(self) -> None:
        reason = "it returned"
        try:
            self._simulator.run(self._stopping)
        except WattSwapError as error:
            reason = str(error)
        except BaseException as error:
            log.exception("the simulator failed")
            reason = repr(error)
        self._simulator.announced.set()  # nobody is to wait for it any more
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._end, reason)

    def _end(self, reason: str) -> None:
        self._ended.set()
        if not (self._stopping.is_set() or self._failed.done()):
            self._failed.set_result(f"the simulator ended unexpectedly: {reason}")


def serve(settings: Settings, roles: Collection[Role], announce: Callable[[Settings], None]) -> None:
    """Run roles until SIGTERM or Ctrl-C, and end in order; `announce` is called when all is up.

    Raises:
        WattSwapError: a part cannot start, or died.

    """
    asyncio.run(_serve(settings, roles, announce))


async def _serve(settings: Settings, roles: Collection[Role], announce: Callable[[Settings], None]) -> None:
    saved = threading.Event()
    _cancel_on_signals(saved)
    with suppress(asyncio.CancelledError):  # asked to end, perhaps before all was up
        async with AsyncExitStack() as stack:
            sock = None
            if "bridge" in roles:  # first of all: a busy port is told before anything has begun
                sock = stack.enter_context(listen(settings.http_host, settings.http_port))
                settings = settings.model_copy(update={"http_port": sock.getsockname()[1]})
            system = await stack.enter_async_context(running(settings, roles))
            ends: set[asyncio.Future[Any]] = {system.failed}
            if system.bridge is not None and sock is not None:
                ends.add(await stack.enter_async_context(_http_server(system.bridge, sock)))
                stack.callback(system.end_streams)
            announce(system.settings)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            asyncio.get_running_loop().call_later(END_WITHIN_S, _give_up, saved)
        raise WattSwapError(system.failed.result() if system.failed.done() else "the HTTP server ended unexpectedly")
    saved.set()


def _cancel_on_signals(saved: threading.Event) -> None:
    """Let SIGTERM and Ctrl-C cancel the calling task, so that all it has entered is left in order and `saved`."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked: list[int] = []

    def end(number: int) -> None:
        if asked:
            os._exit(128 + number)  # asked twice: at once; what was acknowledged is on the disk
        asked.append(number)
        loop.call_later(END_WITHIN_S, _give_up, saved)
        if task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)


def _give_up(saved: threading.Event) -> None:
    if saved.is_set():
        os._exit(0)  # all is in order, but something is still being imported: no thread can be kept from that
    log.error("a part does not end: leaving without it")
    os._exit(1)


@asynccontextmanager
async def _http_server(bridge: "FastAPI", sock: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> "Iterator[None]":  # signals end the whole system, not only this part
            yield

    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it has started is told by `announce`
    server = Server(
        uvicorn.Config(
            bridge, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=HTTP_GRACE_S
        )
    )
    serving = asyncio.create_task(server.serve([sock]))
    try:
        yield serving
    finally:
        server.should_exit = True
        await serving


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens for HTTP.

    Raises:
        WattSwapError: the address cannot be listened on.

    """
    try:
        sock = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
        # what is accepted inherits it; asyncio would not set it here, and a reply of two parts would take 44 ms
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock  # noqa: TRY300 - it is part of what may fail
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise WattSwapError(f"port {port} of {host} is in use: choose another with --http-port") from None
        raise WattSwapError(f"--http-host {host}, --http-port {port}: {error.strerror}") from None


def set_up_logging(settings: Settings) -> None:
    """Say on stderr what is worth saying."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
