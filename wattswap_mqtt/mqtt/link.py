"""The protocol and its repair, without a way to wait; the one module that imports paho.

A message with QoS 0 is sent as a whole frame, and never through paho (which costs twenty times as much and queues
without bound).  While the socket takes no more, the latest frame of each topic is kept; what it replaces is counted in
`dropped`.  A message with QoS 1 goes through paho, which is handed so many at a time; of a retained topic only the
latest waits for that.  Both end up in one buffer, packet by packet in the order in which they were published, and what
was published together leaves together, with the next step.

What is lost when the broker goes away: QoS 0 and retained messages are not kept, they would be old news, and
`on_connect` is there to publish the present state.  The other messages with QoS 1 are: the latest `KEPT`, those not yet
acknowledged among them, go out after `on_connect` (so one may come twice, as QoS 1 has it).
"""

import logging
import random
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt.dial import BufferedSocket, Dial
from wattswap_mqtt.mqtt.frames import FrameQueue, publish_frame
from wattswap_mqtt.mqtt.messages import Message, MessageQueue

KEEPALIVE_S = 30
HOUSEKEEPING_S = 1.0
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
SUSPICIOUS = 2
"""Connections in a row that lasted less than that: a broker lets go of a client when another one takes its name."""

IN_FLIGHT = 100
"""Messages with QoS 1 on their way and not acknowledged: paho scans them at each acknowledgement."""
HANDED_OVER = 1_000
"""Messages with QoS 1 that paho holds at most (their identifier has 16 bits); the others wait here."""
QUEUED = 60_000
"""Messages with QoS 1 that wait here at most, not counting retained ones: each of those topics has its place."""
KEPT = 1_000
PACKETS_PER_STEP = 1_000

logger = logging.getLogger(__name__)


def ignore(_reason: str) -> None:
    """Do nothing about a lost connection."""


class _Client(paho.Client):
    """paho's client on a socket that is connected already: paho's own way of connecting blocks for seconds."""

    def __init__(self, sock: BufferedSocket, client_id: str) -> None:
        # Without reconnect_on_failure=False paho connects by itself when a broker refuses the protocol's version.
        super().__init__(CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False)
        self._connected_socket = sock

    def _create_socket(self) -> BufferedSocket:
        return self._connected_socket


class Link(ABC):
    """A connection that does in `_step()` all that can be done without waiting."""

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        subscriptions: Sequence[tuple[str, int]] = (),
        on_message: Callable[[Message], None],
        on_connect: Callable[[], None],
        on_disconnect: Callable[[str], None] = ignore,
        will: Message | None = None,
    ) -> None:
        """Prepare the connection; nothing is sent yet.

        subscriptions: (topic filter, QoS), renewed at each connect.
        on_message: called with what arrives; a topic that is not UTF-8 is not passed on.
        on_connect: called at each connect, once the subscriptions stand; publish here what is retained.
        on_disconnect: called with the reason when an established connection was lost.

        Callbacks may publish; what they raise is logged.
        """
        self.connected = False
        self._address = address
        self._client_id = client_id
        self._subscriptions = list(subscriptions)
        self._on_message = on_message
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._will = will

        self._closed = False
        self._dial: Dial | None = None
        self._client: _Client | None = None
        self._socket: BufferedSocket | None = None
        self._connack: ReasonCode | None = None
        self._subscribed = False
        self._retry_at_s = 0.0
        self._delay_s = FIRST_DELAY_S
        self._connected_at_s = 0.0
        self._short_ones = 0
        self._said: set[str] = set()

        self._inbox: list[Message] = []
        self._frames = FrameQueue()
        self._refused = 0
        self._fetched: list[str] = []
        self._waiting = MessageQueue(QUEUED)
        self._unacknowledged: dict[int, Message] = {}
        self._kept: deque[Message] = deque()

    @abstractmethod
    def _watch(self, sock: BufferedSocket) -> None:
        """Begin to wait for this socket."""

    @abstractmethod
    def _unwatch(self, sock: BufferedSocket) -> None:
        """No longer wait for this socket, which is about to be closed."""

    @abstractmethod
    def _wake(self) -> None:
        """See to it that `_step()` is called soon (from any thread)."""

    # Out.

    @property
    def dropped(self) -> int:
        """How many messages were to be published and will never be sent."""
        return self._frames.dropped + self._waiting.replaced + self._refused

    @property
    def queued(self) -> int:
        """How many messages wait to be sent (QoS 0) or acknowledged (QoS 1)."""
        return len(self._frames) + self.unacknowledged + len(self._kept)

    @property
    def unacknowledged(self) -> int:
        """How many messages with QoS 1 wait to be acknowledged, or to be sent."""
        return len(self._unacknowledged) + len(self._waiting)

    @property
    def backed_up(self) -> bool:
        """Whether there are messages with QoS 1 that wait to be sent, until others are acknowledged."""
        return self.connected and len(self._unacknowledged) > IN_FLIGHT

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> bool:
        """Queue one message; return False if it is dropped.  Of one topic with QoS 0 only the latest waits."""
        message = Message(topic, payload, qos, retain)
        if not self.connected:
            accepted = qos > 0 and not retain and self._keep(message)
        elif qos == 0:
            self._frames.put(topic, publish_frame(topic, payload, retain=retain))
            self._fill()
            accepted = True
        elif self._waiting or not self._paho_takes_more:
            accepted = self._waiting.put(message)
        else:
            accepted = self._hand_to_paho(message)
        self._refused += not accepted
        return accepted

    def publish_batch(self, messages: Iterable[tuple[str, bytes]], retain: bool = False) -> None:
        """Send each (topic, payload) with QoS 0, if the socket takes them; of one topic only the latest waits."""
        for topic, payload in messages:
            if self.connected:
                self._frames.put(topic, publish_frame(topic, payload, retain=retain))
            else:
                self._refused += 1
        self._fill()
        if self._frames:  # more than a block
            self._write()

    def fetch(self, topics: Sequence[str]) -> None:
        """Let the broker tell once more what it retains of these topics (with QoS 0, as if it came for the first time).

        They are subscribed to until the next call, so they must not be among the subscriptions.
        """
        if not self.connected or self._client is None:
            return
        if self._fetched:
            self._client.unsubscribe(self._fetched)
        if topics:
            self._client.subscribe([(topic, 0) for topic in topics])
        self._fetched = list(topics)

    def _keep(self, message: Message) -> bool:
        self._kept.append(message)
        if len(self._kept) > KEPT:
            self._kept.popleft()
            self._refused += 1
        return True

    def _hand_to_paho(self, message: Message) -> bool:
        if self._client is None:
            return False
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        self._unacknowledged[info.mid] = message
        return True

    @property
    def _paho_takes_more(self) -> bool:
        return len(self._unacknowledged) < HANDED_OVER

    @property
    def _wants_write(self) -> bool:
        wanted_by_paho = self._client is not None and self._client.want_write()
        waiting = len(self._frames) > 0 or (len(self._waiting) > 0 and self._paho_takes_more)
        return wanted_by_paho or waiting or (self._socket is not None and self._socket.unsent > 0)

    def _fill(self) -> None:
        """Put what was published into the socket's buffer, as far as it takes it: paho's packets, then our frames."""
        client, sock = self._client, self._socket
        if client is None or sock is None:
            return
        while self._waiting and self._paho_takes_more:
            self._refused += not self._hand_to_paho(self._waiting.take())
        if client.want_write():
            client.loop_write()
        while self._frames and sock.takes_more and not client.want_write():
            sock.send(self._frames.take())

    def _write(self) -> None:
        """Write what was published, as far as it can be done without waiting."""
        sock = self._socket
        while sock is not None and sock.is_open:
            self._fill()
            if not sock.unsent:
                return
            try:
                sock.flush()
            except OSError:
                sock.close()  # the next step says so
            if not sock.takes_more:
                return

    # One step.

    def _step(self) -> bool:
        """Connect, write, read, call back and keep alive, all without waiting; True if there was something to tell.

        What the callbacks publish, and acknowledgements of what they were told, is written with the next step.
        """
        if self._client is None:
            self._try_to_connect()
        client, sock = self._client, self._socket
        if client is None or sock is None:
            return False
        self._write()
        trouble = self._read(client, sock)
        told = self._take_answers(client)
        told = self._take_messages() or told
        if trouble is None:
            client.loop_misc()
        if trouble is not None or not sock.is_open:
            told = self._lose(trouble or "the connection was lost") or told
        return told

    def _patience_s(self) -> float:
        """Return how long to wait for the socket before the next step."""
        if self._client is None and self._dial is None:
            return max(0.0, self._retry_at_s - time.monotonic())
        return 0.0 if self._socket is not None and self._socket.buffered else HOUSEKEEPING_S

    def _read(self, client: _Client, sock: BufferedSocket) -> str | None:
        """Let paho take in what has arrived; return what is wrong with the connection."""
        for _ in range(PACKETS_PER_STEP):
            try:
                code = client.loop_read()
            except Exception as problem:  # noqa: BLE001 - nothing a broker sends may end the process
                return f"the broker sent what cannot be read: {problem!r}"
            if code != paho.MQTT_ERR_SUCCESS:
                return paho.error_string(code).rstrip(".").lower()
            if not sock.buffered:
                break
        return None

    def _take_answers(self, client: _Client) -> bool:
        """Act on CONNACK and SUBACK: the connection stands when the subscriptions do."""
        answer, self._connack = self._connack, None
        if answer is not None and answer.is_failure:
            self._warn_once("refused", f"the broker at {self._where} refuses the connection: {answer}; trying again")
        elif answer is not None:
            self._subscribed = not self._subscriptions
            if self._subscriptions:
                client.subscribe(self._subscriptions)
        if self.connected or not self._subscribed:
            return False
        logger.info("connected to the broker at %s", self._where)
        self.connected = True
        self._connected_at_s = time.monotonic()
        self._said.clear()
        self._call(self._on_connect)
        kept, self._kept = self._kept, deque()
        for message in kept:
            self.publish(message.topic, message.payload, message.qos, message.retain)
        return True

    def _take_messages(self) -> bool:
        """Hand over what has come; retained messages may have come before the SUBACK."""
        if not self.connected:
            return False
        inbox, self._inbox = self._inbox, []
        for message in inbox:
            self._call(self._on_message, message)
        return bool(inbox)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            logger.exception("a callback of the MQTT connection failed")

    # Connecting, and losing the connection.

    @property
    def _where(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def _try_to_connect(self) -> None:
        if self._dial is None:
            if not self._closed and time.monotonic() >= self._retry_at_s:
                self._dial = Dial(self._address, self._wake)
                self._dial.start()
            return
        outcome = self._dial.outcome
        if outcome is None:
            return
        self._dial = None
        if isinstance(outcome, socket.socket):
            self._greet(outcome)
        else:
            self._warn_once("away", f"waiting for the broker at {self._where} ({outcome})")
            self._back_off()

    def _greet(self, connected_socket: socket.socket) -> None:
        """Send CONNECT.  Each connection has a paho client of its own: nothing of the last one leaks into it."""
        sock = self._socket = BufferedSocket(connected_socket, self._unwatch)
        client = self._client = _Client(sock, self._client_id)
        client.max_inflight_messages = IN_FLIGHT
        client.username = self._address.username
        client.password = self._address.password
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        client.on_connect = self._note_connack
        client.on_subscribe = self._note_suback
        client.on_publish = self._note_puback
        client.on_message = self._note_message
        # paho writes by itself, in the middle of our blocks, unless it believes that somebody waits for the socket.
        client.on_socket_register_write = lambda *_: None
        self._watch(sock)
        client.connect(self._address.host, self._address.port, KEEPALIVE_S)

    # paho calls these while it reads.  They only take notes: paho must not be called from within its own callbacks.

    def _note_connack(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        self._connack = reason

    def _note_suback(
        self, _client: object, _data: object, _mid: int, reasons: Sequence[ReasonCode], _more: object
    ) -> None:
        if self._subscribed:
            return  # of a `fetch`
        self._subscribed = True
        for (topic_filter, _), reason in zip(self._subscriptions, reasons, strict=False):
            if reason.is_failure:
                logger.error("the broker at %s refuses the subscription to %s", self._where, topic_filter)

    def _note_puback(self, _client: object, _data: object, mid: int, _reason: object, _more: object) -> None:
        self._unacknowledged.pop(mid, None)

    def _note_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            logger.warning("a message was ignored: its topic is not UTF-8")
        else:
            self._inbox.append(Message(topic, bytes(message.payload), message.qos, message.retain))

    def _lose(self, reason: str) -> bool:
        """Clear up after a connection and plan the next; True if there was something to tell."""
        was_connected, self.connected, self._subscribed = self.connected, False, False
        self._inbox.clear()
        if self._socket is not None:
            self._socket.close()
        self._client = self._socket = None
        self._frames.clear()
        self._fetched.clear()
        later, self._kept = self._kept, deque()
        for message in (*self._unacknowledged.values(), *self._waiting.clear(), *later):
            if not message.retain:
                self._keep(message)
        self._unacknowledged.clear()
        if was_connected and time.monotonic() - self._connected_at_s > LONGEST_DELAY_S:
            self._delay_s = FIRST_DELAY_S  # not after a short one: two clients of one name would race for ever
            self._short_ones = 0
        elif was_connected:
            self._short_ones += 1
            if self._short_ones >= SUSPICIOUS:
                reason += f", soon and again: does another process connect as {self._client_id}?"
        self._back_off()
        if not self._closed and "refused" not in self._said:
            self._warn_once("away", f"waiting for the broker at {self._where} ({reason})")
        if was_connected and not self._closed:
            self._call(self._on_disconnect, reason)
        return was_connected

    def _back_off(self) -> None:
        self._retry_at_s = time.monotonic() + self._delay_s * random.uniform(0.5, 1.0)
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def _warn_once(self, kind: str, text: str) -> None:
        """Warn, but only once of a kind until the connection stands again."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning("%s", text)

    @property
    def _unfinished(self) -> bool:
        return self.connected and (self._wants_write or bool(self._unacknowledged) or bool(self._waiting))

    def _hang_up(self) -> None:
        """Send DISCONNECT, with which the broker forgets the Last Will, and close for good."""
        self._closed = True
        if self._dial is not None:
            self._dial.abandon()
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_write()
        self._lose("closed")
