"""What tests run and talk to: real brokers, a simulator in a thread, a small MQTT client; and how they wait."""

import asyncio
import contextlib
import json
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from wattswap_mqtt.config import BrokerAddress, Settings
from wattswap_mqtt.mqtt import Message
from wattswap_mqtt.roles.broker import EmbeddedBroker
from wattswap_mqtt.roles.simulator import Simulator

PATIENCE_S = 60.0
"""How long a test waits for what must come: generous, it is only used up when something is broken."""


def wait_until(condition: Callable[[], object], what: str = "the condition", timeout_s: float = PATIENCE_S) -> None:
    """Look until the condition holds."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            pytest.fail(f"{what} did not come true in {timeout_s:g} s")
        time.sleep(0.005)


_ports = iter(random.sample(range(10_000, 32_000), 22_000))
"""Below what the system gives to those who ask for port 0, or connect (on Linux from 32768 on): one of those might be
somebody else's before it is listened on, or while its broker is away."""


def unused_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, each time another."""
    for port in _ports:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port is free")


class AmqttThread:
    """The embedded broker in a thread with a loop of its own; `stop()` and `start()` again keep the port."""

    def __init__(self, port: int = 0) -> None:
        self.address = BrokerAddress("127.0.0.1", port)

    def start(self) -> None:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="amqtt")
        self._thread.start()
        assert started.wait(PATIENCE_S)

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.broker = EmbeddedBroker(self.address.host, self.address.port)
        try:
            await self.broker.start()
            self.address = BrokerAddress(self.address.host, self.broker.port)
        finally:
            started.set()
        await self._stop.wait()
        await self.broker.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE_S)


AS_DEPLOYED = "allow_anonymous true\nmax_queued_messages 100000"
"""Of its own accord mosquitto drops what is more than 1000 messages for a client that gets no turn."""


class MosquittoProcess:
    """mosquitto as a process; `stop()` and `start()` again keep the port, but not what was retained."""

    def __init__(self, port: int, directory: Path, settings: str = AS_DEPLOYED) -> None:
        self.address = BrokerAddress("127.0.0.1", port)
        self._config = directory / f"mosquitto-{port}.conf"
        # `user root`: started by root, mosquitto becomes a user that may not read the test's files.
        self._config.write_text(f"listener {port} 127.0.0.1\nuser root\nset_tcp_nodelay true\n{settings}\n")

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"  # not on the PATH of Debian's ordinary users
        self._process = subprocess.Popen(
            [program, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, "mosquitto answers")

    def _answers(self) -> bool:
        assert self._process.poll() is None, "mosquitto has ended by itself"
        with socket.socket() as sock:
            return sock.connect_ex((self.address.host, self.address.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


class MqttProbe:
    """A client that owes nothing to the code under test: blocking calls, and it forgets nothing it has received."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str = "",
        will: Message | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.received: list[Message] = []
        self._unseen: list[Message] = []
        self._news = threading.Condition()
        self._subscribed: set[int] = set()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_socket_open = lambda _client, _data, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._client.username, self._client.password = address.username, address.password
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        self._client.connect(address.host, address.port)
        self._client.loop_start()
        try:
            wait_until(self._client.is_connected, "the probe is connected", patience_s)
        except pytest.fail.Exception:
            self.close()
            raise

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe, and wait until the broker has said so."""
        _, mid = self._client.subscribe(topic_filter, qos)
        with self._news:
            assert self._news.wait_for(lambda: mid in self._subscribed, PATIENCE_S), f"no SUBACK for {topic_filter}"

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, *, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE_S)

    def send(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish without waiting for anything."""
        self._client.publish(topic, payload, 1, retain)

    def wait_for(
        self,
        topic_filter: str,
        predicate: Callable[[Message], object] = lambda _message: True,
        timeout_s: float = PATIENCE_S,
    ) -> Message:
        """Return the first message not yet returned that fits; earlier ones that match the filter are passed over."""
        found: list[Message] = []
        place = (
            0  # each message is looked at once: who looks at all of them at each falls behind, with the broker waiting
        )

        def look() -> bool:
            nonlocal place
            while place < len(self._unseen):
                if not paho.topic_matches_sub(topic_filter, self._unseen[place].topic):
                    place += 1
                elif predicate(message := self._unseen.pop(place)):
                    found.append(message)
                    return True
            return False

        with self._news:
            if not self._news.wait_for(look, timeout_s):
                seen = "\n".join(f"  {message.topic} {message.payload[:200]!r}" for message in self.received[-20:])
                pytest.fail(f"nothing fitting came on {topic_filter} in {timeout_s:g} s; the last received:\n{seen}")
        return found[0]

    def wait_for_json(
        self, topic_filter: str, predicate: Callable[[dict], object] = lambda _content: True, timeout_s=PATIENCE_S
    ) -> dict:
        """Like `wait_for`, for JSON objects."""
        message = self.wait_for(topic_filter, lambda message: predicate(json.loads(message.payload)), timeout_s)
        return json.loads(message.payload)

    def latest(self, topic: str) -> bytes | None:
        """Return the last payload that came on a topic."""
        with self._news:
            return next((message.payload for message in reversed(self.received) if message.topic == topic), None)

    def drop(self) -> None:
        """Lose the connection without a word, as in a crash."""
        self._client.loop_stop()
        sock = self._client.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._news:
            for messages in (self.received, self._unseen):
                messages.append(Message(message.topic, bytes(message.payload), message.qos, message.retain))
            self._news.notify_all()

    def _on_subscribe(self, _client: object, _data: object, mid: int, _codes: object, _properties: object) -> None:
        with self._news:
            self._subscribed.add(mid)
            self._news.notify_all()


class SimulatorThread:
    """A simulator in a thread of its own, as the application runs it; `stop()` is the graceful end."""

    def __init__(self, settings: Settings) -> None:
        self.simulator = Simulator(settings, settings.broker_address)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="simulator")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.simulator.run(self._stop)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the test shall see it
            self._failure = failure

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self.simulator.wake()
            self._thread.join(PATIENCE_S)
        if self._failure is not None:
            raise self._failure
