"""A connection that mends itself, without a way to wait.

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

from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt.dial import BufferedSocket, Dial
from wattswap_mqtt.mqtt.frames import FrameQueue, publish_frame
from wattswap_mqtt.mqtt.messages import Message, MessageQueue
from wattswap_mqtt.mqtt.session import IN_FLIGHT, Session

HOUSEKEEPING_S = 1.0
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
SUSPICIOUS = 2
"""Connections in a row that lasted less than that: a broker lets go of a client when another one takes its name."""

QUEUED = 60_000
"""Messages with QoS 1 that wait here at most, not counting retained ones: each of those topics has its place."""
KEPT = 1_000

logger = logging.getLogger(__name__)


def _ignore(*_: object) -> None:
    pass


class Link(ABC):
    """A connection that does in `_step()` all that can be done without waiting."""

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        subscriptions: Sequence[tuple[str, int]] = (),
        on_message: Callable[[Message], None],
        on_connect: Callable[[], None] = _ignore,
        on_disconnect: Callable[[str], None] = _ignore,
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
        self._session: Session | None = None
        self._retry_at_s = 0.0
        self._delay_s = FIRST_DELAY_S
        self._connected_at_s = 0.0
        self._short_ones = 0
        self._said: set[str] = set()

        self._frames = FrameQueue()
        self._refused = 0
        self._waiting = MessageQueue(QUEUED)
        self._kept: deque[Message] = deque()
        self._prepare()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what waiting needs."""

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
        return self._in_flight + len(self._waiting)

    @property
    def backed_up(self) -> bool:
        """Whether there are messages with QoS 1 that wait to be sent, until others are acknowledged."""
        return self.connected and self._in_flight > IN_FLIGHT

    @property
    def _in_flight(self) -> int:
        return 0 if self._session is None else len(self._session.unacknowledged)

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> bool:
        """Queue one message; return False if it is dropped.  Of one topic with QoS 0 only the latest waits."""
        message = Message(topic, payload, qos, retain)
        session = self._session
        if session is None or not self.connected:
            accepted = qos > 0 and not retain and self._keep(message)
        elif qos == 0:
            self._frames.put(topic, publish_frame(topic, payload, retain=retain))
            self._fill()
            accepted = True
        elif self._waiting or not session.takes_more:
            accepted = self._waiting.put(message)
        else:
            accepted = session.send(message)
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
        if self._session is not None and self.connected:
            self._session.fetch(topics)

    def _keep(self, message: Message) -> bool:
        self._kept.append(message)
        if len(self._kept) > KEPT:
            self._kept.popleft()
            self._refused += 1
        return True

    @property
    def _wants_write(self) -> bool:
        session = self._session
        if session is None:
            return False
        return session.unwritten or len(self._frames) > 0 or (len(self._waiting) > 0 and session.takes_more)

    def _fill(self) -> None:
        """Put what was published into the socket's buffer, as far as it takes it: paho's packets, then our frames."""
        session = self._session
        if session is not None:
            while self._waiting and session.takes_more:
                self._refused += not session.send(self._waiting.take())
            session.fill(self._frames)

    def _write(self) -> None:
        """Write what was published, as far as it can be done without waiting."""
        session = self._session
        while session is not None and session.sock.is_open:
            self._fill()
            if not session.sock.unsent:
                return
            try:
                session.sock.flush()
            except OSError:
                session.sock.close()  # the next step says so
            if not session.sock.takes_more:
                return

    # One step.

    def _step(self) -> bool:
        """Connect, write, read, call back and keep alive, all without waiting; True if there was something to tell.

        What the callbacks publish, and acknowledgements of what they were told, is written with the next step.
        """
        if self._session is None:
            self._try_to_connect()
        session = self._session
        if session is None:
            return False
        self._write()
        trouble = session.read()
        told = self._take_answers(session)
        told = self._take_messages(session) or told
        if trouble is None:
            session.keep_alive()
        if trouble is not None or not session.sock.is_open:
            told = self._lose(trouble or "the connection was lost") or told
        return told

    def _patience_s(self) -> float:
        """Return how long to wait for the socket before the next step."""
        if self._session is None and self._dial is None:
            return max(0.0, self._retry_at_s - time.monotonic())
        return 0.0 if self._session is not None and self._session.sock.buffered else HOUSEKEEPING_S

    def _take_answers(self, session: Session) -> bool:
        """Act on CONNACK and SUBACK: the connection stands when the subscriptions do."""
        if (refusal := session.refusal()) is not None:
            self._warn_once("refused", f"the broker at {self._where} refuses the connection: {refusal}; trying again")
        if self.connected or not session.stands:
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

    def _take_messages(self, session: Session) -> bool:
        """Hand over what has come."""
        if not self.connected:
            return False
        inbox = session.take_messages()
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
            session = Session(outcome, self._address, self._client_id, self._subscriptions, self._will, self._unwatch)
            self._session = session
            self._watch(session.sock)
            session.greet()
        else:
            self._warn_once("away", f"waiting for the broker at {self._where} ({outcome})")
            self._back_off()

    def _lose(self, reason: str) -> bool:
        """Clear up after a connection and plan the next; True if there was something to tell."""
        was_connected, self.connected = self.connected, False
        session, self._session = self._session, None
        if session is not None:
            session.sock.close()
        self._frames.clear()
        later, self._kept = self._kept, deque()
        unacknowledged = () if session is None else session.unacknowledged.values()
        for message in (*unacknowledged, *self._waiting.clear(), *later):
            if not message.retain:
                self._keep(message)
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
        return self.connected and (self._wants_write or self.unacknowledged > 0)

    def _hang_up(self) -> None:
        """Say goodbye to the broker, and close for good."""
        self._closed = True
        if self._dial is not None:
            self._dial.abandon()
        if self._session is not None:
            self._session.say_goodbye()
        self._lose("closed")
