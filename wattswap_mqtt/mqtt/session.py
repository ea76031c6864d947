"""One connection to the broker, from CONNECT until it is lost; the one module that imports paho.

Each connection has a paho client of its own, so nothing of the last one leaks into it.  paho calls back while it reads:
then only notes are taken, for it must not be called from within its own callbacks.
"""

import logging
import socket
from collections.abc import Callable, Sequence

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt.dial import BufferedSocket
from wattswap_mqtt.mqtt.frames import FrameQueue
from wattswap_mqtt.mqtt.messages import Message

KEEPALIVE_S = 30
IN_FLIGHT = 100
"""Messages with QoS 1 on their way and not acknowledged: paho scans them at each acknowledgement."""
HANDED_OVER = 1_000
"""Messages with QoS 1 that paho holds at most (their identifier has 16 bits); the others wait elsewhere."""
PACKETS_PER_READ = 1_000

logger = logging.getLogger(__name__)


class _Client(paho.Client):
    """paho's client on a socket that is connected already: paho's own way of connecting blocks for seconds."""

    def __init__(self, sock: BufferedSocket, client_id: str) -> None:
        # Without reconnect_on_failure=False paho connects by itself when a broker refuses the protocol's version.
        super().__init__(CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False)
        self._connected_socket = sock

    def _create_socket(self) -> BufferedSocket:
        return self._connected_socket


class Session:
    """A connected socket, and paho's client on it; it subscribes by itself once the broker has let it in."""

    def __init__(
        self,
        connected_socket: socket.socket,
        address: BrokerAddress,
        client_id: str,
        subscriptions: Sequence[tuple[str, int]],
        will: Message | None,
        closing: Callable[[BufferedSocket], None],
    ) -> None:
        """Prepare it, nothing is sent yet; `closing` is called just before the socket is closed."""
        self.sock = BufferedSocket(connected_socket, closing)
        self.stands = False
        """Whether the broker has let us in and the subscriptions stand."""
        self.unacknowledged: dict[int, Message] = {}
        """Messages with QoS 1 that were handed to paho, by their identifier."""
        self._address = address
        self._where = f"{address.host}:{address.port}"
        self._subscriptions = subscriptions
        self._connack: ReasonCode | None = None
        self._inbox: list[Message] = []
        self._fetched: list[str] = []
        self._client = client = _Client(self.sock, client_id)
        client.max_inflight_messages = IN_FLIGHT
        client.username = address.username
        client.password = address.password
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._note_connack
        client.on_subscribe = self._note_suback
        client.on_publish = self._note_puback
        client.on_message = self._note_message
        # paho writes by itself, in the middle of our blocks, unless it believes that somebody waits for the socket.
        client.on_socket_register_write = lambda *_: None

    def greet(self) -> None:
        """Send CONNECT."""
        self._client.connect(self._address.host, self._address.port, KEEPALIVE_S)

    def say_goodbye(self) -> None:
        """Send DISCONNECT, with which the broker forgets the Last Will."""
        self._client.disconnect()
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Send a PINGREQ when it is time for one."""
        self._client.loop_misc()

    @property
    def takes_more(self) -> bool:
        """Whether more messages with QoS 1 can be handed over."""
        return len(self.unacknowledged) < HANDED_OVER

    @property
    def unwritten(self) -> bool:
        """Whether something was sent that the socket has not taken yet."""
        return self._client.want_write() or self.sock.unsent > 0

    def send(self, message: Message) -> bool:
        """Hand a message with QoS 1 to paho; return False if it does not take it."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        self.unacknowledged[info.mid] = message
        return True

    def fill(self, frames: FrameQueue) -> None:
        """Put what paho wants to send, and then `frames`, into the socket's buffer, as far as it takes it."""
        if self._client.want_write():
            self._client.loop_write()
        while frames and self.sock.takes_more and not self._client.want_write():
            self.sock.send(frames.take())

    def fetch(self, topics: Sequence[str]) -> None:
        """Subscribe to topics, in place of those of the last call, so that the broker tells what it retains of them."""
        if self._fetched:
            self._client.unsubscribe(self._fetched)
        if topics:
            self._client.subscribe([(topic, 0) for topic in topics])
        self._fetched = list(topics)

    def read(self) -> str | None:
        """Take in what has arrived; return what is wrong with the connection."""
        for _ in range(PACKETS_PER_READ):
            try:
                code = self._client.loop_read()
            except Exception as problem:  # noqa: BLE001 - nothing a broker sends may end the process
                return f"the broker sent what cannot be read: {problem!r}"
            if code != paho.MQTT_ERR_SUCCESS:
                return paho.error_string(code).rstrip(".").lower()
            if not self.sock.buffered:
                break
        return None

    def refusal(self) -> str | None:
        """Act on a CONNACK that was read: subscribe, or return why the broker does not let us in."""
        answer, self._connack = self._connack, None
        if answer is not None and answer.is_failure:
            return str(answer)
        if answer is not None:
            self.stands = not self._subscriptions
            if self._subscriptions:
                self._client.subscribe(list(self._subscriptions))
        return None

    def take_messages(self) -> list[Message]:
        """Return what has come; retained messages may come before the subscriptions stand."""
        inbox, self._inbox = self._inbox, []
        return inbox

    def _note_connack(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        self._connack = reason

    def _note_suback(
        self, _client: object, _data: object, _mid: int, reasons: Sequence[ReasonCode], _more: object
    ) -> None:
        if self.stands:
            return  # of a `fetch`
        self.stands = True
        for (topic_filter, _), reason in zip(self._subscriptions, reasons, strict=False):
            if reason.is_failure:
                logger.error("the broker at %s refuses the subscription to %s", self._where, topic_filter)

    def _note_puback(self, _client: object, _data: object, mid: int, _reason: object, _more: object) -> None:
        self.unacknowledged.pop(mid, None)

    def _note_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            logger.warning("a message was ignored: its topic is not UTF-8")
        else:
            self._inbox.append(Message(topic, bytes(message.payload), message.qos, message.retain))
