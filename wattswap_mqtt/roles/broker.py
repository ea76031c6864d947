"""The embedded MQTT broker: amqtt, with those defects mended that would be felt; the one module that imports amqtt.

It is meant for development and for small installations on one machine: MQTT 3.1.1, no passwords, a few thousand
messages a second.  For anything else there is mosquitto (mosquitto/mosquitto.conf).

tests/integration/test_broker.py runs plain amqtt too, and says of the overrides it can when a newer one is mended.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from amqtt import broker as amqtt
from amqtt.adapters import (
    ReaderAdapter,
    StreamReaderAdapter,
    StreamWriterAdapter,
    WebSocketsReader,
    WebSocketsWriter,
    WriterAdapter,
)
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import BrokerError as AmqttBrokerError

from wattswap_mqtt.core.errors import BrokerError

if TYPE_CHECKING:
    from collections import deque

    from amqtt.broker import RetainedApplicationMessage
    from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
    from amqtt.session import OutgoingApplicationMessage, Session
    from websockets.asyncio.server import ServerConnection

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_FACTOR = 1.5
STALL_TIMEOUT_S = 10.0
WATCH_INTERVAL_S = 1.0
STOP_TIMEOUT_S = 1.0
BACKLOG = 100
"""So many messages not yet passed on, and no more are read for now: whoever comes waits for them."""
A_TURN = 8
"""So many bytes of headers are read from one client, two or three a packet, before it is the turn of others."""
SENT_TOGETHER = 64 * 1024
"""As many bytes as are sent to a client together."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class EmbeddedBroker:
    """A broker on the running asyncio loop that lets everybody in."""

    def __init__(self, host: str, port: int, ws_port: int | None = None) -> None:
        """Prepare a listener for MQTT and, given `ws_port`, one for MQTT over WebSocket (a port 0: any free one)."""
        self.host = host
        self.port = port
        self.ws_port = ws_port
        self._broker: _Broker | None = None

    async def start(self) -> None:
        """Listen; from then on `port` and `ws_port` are the real ones.

        Raises:
            BrokerError: an address that cannot be listened on.

        """
        # They report every odd client, and a busy port with a traceback.  What matters is raised or logged here.
        for name in ("amqtt", "transitions", "websockets"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        listeners = {"default": ListenerConfig(type=ListenerType.TCP, bind=f"{self.host}:{self.port}")}
        if self.ws_port is not None:
            listeners["ws"] = ListenerConfig(type=ListenerType.WS, bind=f"{self.host}:{self.ws_port}")
        # Neither $SYS (it wakes up and needs psutil) nor topic plugins (with them the last messages of a client that
        # disconnects are lost).
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        broker = _Broker(BrokerConfig(listeners=listeners, plugins=plugins))
        try:
            await broker.start()
        except AmqttBrokerError as error:
            await broker.stop_listening()
            raise BrokerError(self._cannot_listen(error.__cause__ or error)) from None
        self.port = broker.port_of("default")
        if self.ws_port is not None:
            self.ws_port = broker.port_of("ws")
        self._broker = broker

    async def stop(self) -> None:
        """Disconnect everybody and stop listening; takes little more than `STOP_TIMEOUT_S` at most."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.stop()

    def _cannot_listen(self, cause: BaseException) -> str:
        ports = f"port {self.port}" if self.ws_port is None else f"port {self.port} or {self.ws_port} (WebSocket)"
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            return (
                f"the MQTT broker cannot listen on {self.host}: {ports} is in use; choose another with --mqtt-port, "
                f"or use the broker that is there with --broker mqtt://{self.host}:{self.port}"
            )
        return f"the MQTT broker cannot listen on {self.host}, {ports}: {cause}"


class _Reader(StreamReaderAdapter):
    """Knows when its client was last heard, and stops reading while the broker is behind.

    amqtt neither enforces the keepalive nor stops reading: fast publishers fill the memory.
    """

    def __init__(self, reader: asyncio.StreamReader, backlog: Callable[[], int]) -> None:
        super().__init__(reader)
        self.keepalive_s: float | None = None
        """None before CONNECT, 0 if the client promises none."""
        self._backlog = backlog
        self._read_singly = 0
        self._clock = asyncio.get_running_loop().time
        self.heard_s = self._clock()

    async def read(self, n: int = -1) -> bytes:
        while self._backlog() > BACKLOG:
            await asyncio.sleep(0.005)
            self.heard_s = self._clock()
        if n == 1:  # of a packet's header
            self._read_singly += 1
            if self._read_singly % A_TURN == 0 or self._reader.at_eof():
                await asyncio.sleep(0)  # let others have a turn, and at the end the packets before: amqtt does not
        data = await super().read(n)
        self.heard_s = self._clock()
        return data

    def silent_too_long(self) -> bool:
        """Whether the client has missed its keepalive, or not even said CONNECT.  Source: MQTT 3.1.1, 3.1.2.10."""
        silent_s = self._clock() - self.heard_s
        if self.keepalive_s is None:
            return silent_s > CONNECT_TIMEOUT_S
        return 0 < self.keepalive_s * KEEPALIVE_FACTOR < silent_s


class _Writer(StreamWriterAdapter):
    """Sends together what is written in one turn of the loop, and knows since when its client has taken nothing.

    What waits for such a client fills the memory as well.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._blocked_since_s: float | None = None

    def write(self, data: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent += data
        if len(self._unsent) > SENT_TOGETHER:
            self._send()

    def _send(self) -> None:
        if self._unsent:
            super().write(bytes(self._unsent))
            self._unsent.clear()

    async def close(self) -> None:
        self._send()
        await super().close()

    async def drain(self) -> None:
        self._blocked_since_s = self._loop.time()
        try:
            await super().drain()
        finally:
            self._blocked_since_s = None

    def stalled(self) -> bool:
        return self._blocked_since_s is not None and self._loop.time() - self._blocked_since_s > STALL_TIMEOUT_S


class _Broker(amqtt.Broker):
    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._watched: set[tuple[_Reader, _Writer, asyncio.WriteTransport]] = set()
        self._serving: dict[asyncio.Task[None], asyncio.WriteTransport] = {}
        self._tasks: dict[BrokerProtocolHandler, asyncio.Task[None]] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._wild_filters: set[str] = set()

    def port_of(self, listener: str) -> int:
        port: int = next(iter(self._servers[listener].instance.sockets)).getsockname()[1]
        return port

    async def start(self) -> None:
        await super().start()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Let go of all clients, then shut down.

        amqtt's own way hangs on clients that do not read, on those that have not said CONNECT, and (Python 3.11 loses
        the cancellation of a `wait_for` that ends at the same moment) on any that was just heard.
        """
        if self._watcher is not None:
            self._watcher.cancel()
        for server in self._servers.values():
            server.instance.close()
        for transport in self._serving.values():
            transport.close()
        if self._serving:
            await asyncio.wait(self._serving, timeout=STOP_TIMEOUT_S)
        for transport in self._serving.values():
            transport.abort()
        await self.shutdown()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def stop_listening(self) -> None:
        """Close the listeners that stand although another could not be opened."""
        for server in self._servers.values():
            await server.close_instance()

    async def _watch(self) -> None:
        """Drop those who are gone without a word: only so does the Last Will of a client that lost power go out."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            for reader, writer, transport in tuple(self._watched):
                if reader.silent_too_long() or writer.stalled():
                    transport.abort()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        watched = (_Reader(reader, self._broadcast_queue.qsize), _Writer(writer), writer.transport)
        self._watched.add(watched)
        try:
            await self._serve(listener_name, *watched)
        finally:
            self._watched.discard(watched)

    async def ws_connected(self, websocket: "ServerConnection", listener_name: str) -> None:
        # websockets itself drops those who do not answer its pings.
        await self._serve(listener_name, WebSocketsReader(websocket), WebSocketsWriter(websocket), websocket.transport)

    async def _serve(
        self, listener: str, reader: ReaderAdapter, writer: WriterAdapter, transport: asyncio.WriteTransport
    ) -> None:
        """Serve one client to its end.

        amqtt leaves the socket open when the first packet is no CONNECT, and an error it does not expect in a packet
        ends in asyncio's handler of last resort.
        """
        task = _current_task()
        self._serving[task] = transport
        try:
            await self._client_connected(listener, reader, writer)
        except Exception as problem:  # noqa: BLE001 - whatever a client sends
            logger.debug("a client was dropped: %r", problem)
        finally:
            transport.abort()
            del self._serving[task]

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> "tuple[BrokerProtocolHandler, Session]":
        """Wait for CONNECT.

        amqtt sets a timer for each packet that it waits for and does nothing when it goes off; it need not.
        """
        handler, session = await super()._initialize_client_session(reader, writer, remote_address, remote_port)
        if isinstance(reader, _Reader):
            reader.keepalive_s, session.keep_alive = session.keep_alive, 0
        return handler, session

    async def _delete_session(self, client_id: str) -> None:
        """End the connection of a client whose name comes a second time.  Source: MQTT 3.1.1, 3.1.4-2.

        amqtt only forgets it: it stays connected and deaf, and its Last Will comes out when the second one is there.
        """
        _, handler = self._sessions.get(client_id, (None, None))
        await super()._delete_session(client_id)
        if handler is not None and (task := self._tasks.get(handler)) is not None:
            self._serving[task].abort()
            await asyncio.wait([task], timeout=STOP_TIMEOUT_S)

    async def _client_message_loop(self, client_session: "Session", handler: "BrokerProtocolHandler") -> None:
        """Serve a client until it disconnects: pass on every message it has sent, then its Last Will.

        amqtt's own loop forgets the messages it has not come to when a client disconnects, acknowledged ones too;
        sends the Last Will before the last of them; takes a client that leaves as soon as it came for one that stays;
        and leaves a client that publishes to a topic it may not connected, but deaf to it.
        """
        task = _current_task()
        self._tasks[handler] = task
        gone = handler._disconnect_waiter or _done(None)  # noqa: SLF001 - asked for later, its result may be missed
        reading = handler._reader_task or _done(None)  # noqa: SLF001 - ends with the connection, even one just made
        passing_on = asyncio.create_task(self._pass_on(client_session, handler))
        subscribing = asyncio.create_task(self._subscribe(client_session, handler))
        unsubscribing = asyncio.create_task(self._unsubscribe(client_session, handler))
        try:
            ends: list[asyncio.Future[Any]] = [gone, reading, passing_on]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not passing_on.done():
                client_session.delivered_message_queue.put_nowait(None)  # type: ignore[arg-type] # no more will come
                await asyncio.wait([passing_on])
            await self._handle_disconnect(client_session, handler, gone if gone.done() else _done(None))
        finally:
            for waiting in (passing_on, subscribing, unsubscribing):
                waiting.cancel()
            await asyncio.gather(passing_on, subscribing, unsubscribing, return_exceptions=True)
            del self._tasks[handler]

    async def _pass_on(self, session: "Session", handler: "BrokerProtocolHandler") -> None:
        """Pass on what a client publishes, until a None comes or it publishes to a topic it may not."""
        while (message := await session.delivered_message_queue.get()) is not None:
            topic = message.topic or ""
            if not topic or topic.startswith("$") or _is_wild(topic):
                self._serving[self._tasks[handler]].abort()
                return
            await self._broadcast_message(session, topic, message.data, message.qos)
            if message.publish_packet is not None and message.publish_packet.retain_flag:
                await self.retain_message(session, topic, message.data, message.qos)

    async def _broadcast_loop(self) -> None:
        """Deliver what was passed on until the broker shuts down; amqtt makes two tasks more for each message."""
        delivering = asyncio.create_task(self._deliver())
        try:
            await asyncio.wait([self._broadcast_shutdown_waiter])
        finally:
            ending = (delivering, *self._tasks_queue)
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _deliver(self) -> None:
        """Deliver message by message; the sending of each, to each subscriber, is a task of its own."""
        sending = self._tasks_queue
        while True:
            while sending and sending[0].done():
                task = sending.popleft()
                if not task.cancelled() and (problem := task.exception()) is not None:
                    logger.debug("a message was not sent to a client: %r", problem)
            try:
                await self._run_broadcast(sending)
            except Exception:
                logger.exception("a message was not delivered to everybody")

    async def _run_broadcast(self, running_tasks: "deque[asyncio.Task[OutgoingApplicationMessage]]") -> None:
        """Send the next message to those who are there, with its own QoS or less.  Source: MQTT 3.1.1, 3.8.4.

        amqtt takes the QoS of the subscription whatever the message was published with.
        """
        message = await self._broadcast_queue.get()
        topic = message["topic"]
        filters = [topic, *(wild for wild in self._wild_filters if self._matches(topic, wild))]
        for session, most in chain.from_iterable(self._subscriptions.get(each, ()) for each in filters):
            qos = min(most, message["qos"])
            handler = self._get_handler(session)
            if session.transitions.state != "connected":
                if qos and not session.clean_session and not session.is_anonymous:
                    await self._retain_broadcast_message(message, qos, session)
            elif handler is not None:
                sending = handler.mqtt_publish(topic, message["data"], qos, retain=False)
                running_tasks.append(asyncio.ensure_future(sending))

    async def _subscribe(self, session: "Session", handler: "BrokerProtocolHandler") -> None:
        while True:
            await self._handle_subscription(session, handler, _done(await handler.get_next_pending_subscription()))

    async def _unsubscribe(self, session: "Session", handler: "BrokerProtocolHandler") -> None:
        while True:
            await self._handle_unsubscription(session, handler, _done(await handler.get_next_pending_unsubscription()))

    async def _handle_subscription(
        self, client_session: "Session", handler: "BrokerProtocolHandler", subscribe_waiter: "asyncio.Future[Any]"
    ) -> None:
        """Subscribe a client, and send it the retained messages it has asked for."""
        await super()._handle_subscription(client_session, handler, subscribe_waiter)
        for topic_filter, qos in subscribe_waiter.result().topics:
            if any(session is client_session for session, _ in self._subscriptions.get(topic_filter, ())):
                sending = [
                    handler.mqtt_publish(kept.topic, kept.data, min(qos, kept.qos or 0), retain=True)
                    for kept in self._retained(topic_filter)
                ]
                await asyncio.gather(*sending, return_exceptions=True)

    def _retained(self, topic_filter: str) -> "list[RetainedApplicationMessage]":
        if _is_wild(topic_filter):
            return [kept for topic, kept in self._retained_messages.items() if self._matches(topic, topic_filter)]
        kept = self._retained_messages.get(topic_filter)
        return [] if kept is None else [kept]

    async def add_subscription(self, subscription: tuple[str, int], session: "Session") -> int:
        """Subscribe; filters without a wildcard are found by the topic, so that only the others are tried.

        amqtt tries each on each message, those that nobody subscribes to any more included: after a bridge has asked
        for what it missed of a thousand meters, that took longer than the messages took to come.
        """
        granted = await super().add_subscription(subscription, session)
        if subscription[0] in self._subscriptions and _is_wild(subscription[0]):
            self._wild_filters.add(subscription[0])
        return granted

    async def _handle_unsubscription(
        self, client_session: "Session", handler: "BrokerProtocolHandler", unsubscribe_waiter: "asyncio.Future[Any]"
    ) -> None:
        """Unsubscribe a client, and forget the filters that were its alone: amqtt does that at its end only."""
        await super()._handle_unsubscription(client_session, handler, unsubscribe_waiter)
        for topic_filter in unsubscribe_waiter.result().topics:
            if not self._subscriptions.get(topic_filter, True):
                del self._subscriptions[topic_filter]
        self._wild_filters &= self._subscriptions.keys()

    async def _del_all_subscriptions(self, session: "Session") -> None:
        await super()._del_all_subscriptions(session)
        self._wild_filters &= self._subscriptions.keys()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: "Session"
    ) -> None:
        """Do nothing: amqtt calls this at each connect too, with the subscriptions of everybody, and raises the QoS."""


def _done(result: T) -> "asyncio.Future[T]":
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


def _is_wild(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter


def _current_task() -> "asyncio.Task[None]":
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - every coroutine runs in one
    return task
