"""Connections: what goes through, what an outage does to them, and that nothing a broker does harms them."""

import asyncio
import contextlib
import logging
import random
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from raw_mqtt import CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, Raw, RawBroker, message_in

from tests.running import PATIENCE_S, MosquittoProcess, wait_until
from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt import AsyncConnection, Connection, Message, link, publish_frame, session
from wattswap_mqtt.mqtt.link import KEPT


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


@pytest.fixture(params=[Served, ServedAsync], ids=["thread", "asyncio"])
def serve(request):
    """Return a function that starts a connection, of either kind, and serves it until the test ends."""
    with contextlib.ExitStack() as stack:

        def start(address: BrokerAddress, *, then: Callable | None = None, **options: object) -> Recorder:
            served = request.param(address, **options)
            if then is not None:
                served.then = lambda: then(served)
            served.start()
            stack.callback(served.stop)
            return served

        yield start


@pytest.fixture
def fake():
    """A broker played by the test."""
    with RawBroker() as broker:
        yield broker


def connected(served: Recorder) -> Recorder:
    wait_until(lambda: served.connects > 0, "connected")
    return served


# With a real broker.


def test_messages_pass_both_ways_with_either_qos(serve, probe, broker_address):
    probe.subscribe("out/#")
    served = connected(serve(broker_address, subscriptions=[("in/#", 1)]))
    for qos in (0, 1):
        served.do(lambda qos=qos: served.connection.publish("out/one", bytes([qos, 0xFF]), qos))
        assert probe.wait_for("out/one").payload == bytes([qos, 0xFF])
        probe.publish("in/one", bytes([0xFF, qos]), qos)
        wait_until(lambda qos=qos: len(served.messages) > qos)
    assert [message.payload for message in served.messages] == [b"\xff\x00", b"\xff\x01"]
    served.do(lambda: served.connection.publish_batch([(f"out/{n}", b"%d" % n) for n in range(500)], retain=True))
    probe.wait_for("out/499")
    assert [message.payload for message in probe.received[2:]] == [b"%d" % n for n in range(500)]
    wait_until(lambda: served.connection.queued == 0, "everything is acknowledged")
    assert served.connection.dropped == 0


def test_on_connect_may_publish_and_the_subscriptions_stand_by_then(serve, broker_address):
    """What a connection publishes in its `on_connect` reaches its own subscriptions."""
    served = serve(
        broker_address,
        subscriptions=[("a/+", 1), ("b/#", 0)],
        then=lambda served: [served.connection.publish(topic, b"me", 1) for topic in ("a/x", "b/x/y", "c")],
    )
    wait_until(lambda: len(served.messages) == 2)
    assert [message.topic for message in served.messages] == ["a/x", "b/x/y"]


def test_many_messages_and_a_large_one_arrive_in_order(serve, probe, broker_address):
    served = connected(serve(broker_address, subscriptions=[("in/#", 0)]))
    probe.publish("in/large", b"x" * 2**20)
    for number in range(3_000):
        probe._client.publish(f"in/{number % 3}", str(number), 0)
    wait_until(lambda: len(served.messages) == 3_001)
    assert len(served.messages[0].payload) == 2**20
    assert [int(message.payload) for message in served.messages[1:]] == list(range(3_000))


def test_what_waits_for_its_turn_arrives_in_order(serve, probe, broker_address, monkeypatch):
    monkeypatch.setattr(session, "HANDED_OVER", 10)
    served = connected(serve(broker_address))
    probe.subscribe("out/#", 1)

    def publish_all() -> None:
        for number in range(500):
            assert served.connection.publish(f"out/{number}", b"%d" % number, 1, retain=number % 2 == 0)

    served.do(publish_all)
    wait_until(lambda: len(probe.received) == 500)
    assert [int(message.payload) for message in probe.received] == list(range(500))
    wait_until(lambda: served.connection.queued == 0, "everything is acknowledged")
    assert served.connection.dropped == 0


def test_what_is_retained_is_told_again_when_it_is_asked_for(serve, probe, broker_address):
    for number in range(3):
        probe.publish(f"in/{number}", str(number), retain=True)
    served = connected(serve(broker_address, subscriptions=[("in/+", 1)]))
    wait_until(lambda: len(served.messages) == 3, "all is told")
    served.do(lambda: served.connection.fetch(["in/2", "in/0", "in/nothing"]))
    wait_until(lambda: len(served.messages) == 5, "two are told again")
    assert {(message.topic, message.payload) for message in served.messages[3:]} == {("in/0", b"0"), ("in/2", b"2")}
    assert all(message.retain for message in served.messages)
    served.do(lambda: served.connection.fetch(["in/1"]))
    wait_until(lambda: len(served.messages) == 6, "the third is told again")


def test_it_comes_back_after_the_broker_was_away(serve, broker, make_probe, caplog):
    caplog.set_level(logging.INFO, "wattswap_mqtt.mqtt")
    served = connected(serve(broker.address, subscriptions=[("in/#", 1)]))
    broker.stop()
    wait_until(lambda: not served.connection.connected)
    wait_until(lambda: served.connection._delay_s >= 0.8, "it has dialled in vain")
    broker.start()
    wait_until(lambda: served.connects == 2, "connected again")
    make_probe(broker.address).publish("in/again", "1")
    wait_until(lambda: len(served.messages) == 1, "the subscription stands again")
    assert len(served.reasons) == 1
    where = f"{broker.address.host}:{broker.address.port}"
    waiting = [r for r in caplog.records if r.getMessage().startswith(f"waiting for the broker at {where}")]
    back = [r for r in caplog.records if r.getMessage() == f"connected to the broker at {where}"]
    assert (len(waiting), len(back)) == (1, 2)


def test_a_broker_that_is_away_at_the_start_is_waited_for(serve, broker, caplog):
    broker.stop()
    served = serve(broker.address)
    wait_until(lambda: "waiting for the broker at" in caplog.text)
    broker.start()
    connected(served)
    assert served.reasons == []


def test_of_two_clients_with_one_name_it_is_said(serve, broker_address, caplog):
    first = connected(serve(broker_address))
    second = connected(serve(broker_address))
    wait_until(lambda: first.connects > 2 and second.connects > 2, "they have taken it from one another", 60)
    assert "does another process connect as under-test?" in caplog.text


def test_the_last_will_is_left_when_it_dies_and_not_when_it_closes(serve, probe, broker_address):
    probe.subscribe("availability")
    served = connected(serve(broker_address, will=Message("availability", b"offline", 1, retain=True)))
    served.do(lambda: served.connection._session.sock._sock.shutdown(socket.SHUT_RDWR))
    assert probe.wait_for("availability").payload == b"offline"
    wait_until(lambda: served.connects == 2)
    served.do(lambda: served.connection.publish("availability", b"goodbye", 1, retain=True))
    served.stop()
    assert probe.wait_for("availability").payload == b"goodbye"
    probe.publish("availability", "end")
    assert probe.wait_for("availability").payload == b"end"


def test_close_sends_what_is_queued(serve, probe, broker_address):
    probe.subscribe("out/#")
    served = connected(serve(broker_address))

    def publish_all() -> None:
        for number in range(100):
            served.connection.publish("out/1", b"%d" % number, 1)
            served.connection.publish(f"out/0/{number}", b"x" * 10_000)

    served.do(publish_all)
    served.stop()
    probe.wait_for("out/1", lambda message: message.payload == b"99")
    probe.wait_for("out/0/99")
    assert len(probe.received) == 200


@pytest.mark.full
def test_a_refused_password_is_said_once_and_tried_again(serve, tmp_path, free_port, caplog):
    secrets = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", secrets, "me", "right"], check=True)
    settings = f"allow_anonymous false\npassword_file {secrets}"
    mosquitto = MosquittoProcess(free_port(), tmp_path, settings)
    mosquitto.start()
    try:
        where = {"host": "127.0.0.1", "port": mosquitto.address.port}
        refused = serve(BrokerAddress(**where, username="me", password="wrong"))  # noqa: S106 - a password of this test
        wait_until(lambda: refused.connection._delay_s >= 0.8, "it was refused twice")
        assert [r.getMessage() for r in caplog.records] == [
            f"the broker at 127.0.0.1:{where['port']} refuses the connection: Not authorized; trying again"
        ]
        refused.stop()
        connected(serve(BrokerAddress(**where, username="me", password="right")))  # noqa: S106
    finally:
        mosquitto.stop()


@pytest.mark.full
def test_tls_carries_the_same_and_an_unknown_certificate_is_not_trusted(serve, tmp_path, free_port, make_probe, caplog):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-out", certificate, "-keyout", key, *names],
        check=True,
        capture_output=True,
    )
    plain_port = free_port()
    settings = f"certfile {certificate}\nkeyfile {key}\nlistener {plain_port} 127.0.0.1\nallow_anonymous true"
    mosquitto = MosquittoProcess(free_port(), tmp_path, settings)
    mosquitto.start()
    try:
        host, port = "localhost", mosquitto.address.port
        trusting = connected(serve(BrokerAddress(host, port, tls=True, ca_file=certificate), subscriptions=[("in", 1)]))
        probe = make_probe(BrokerAddress("127.0.0.1", plain_port))
        probe.subscribe("out/#")
        batch = [(f"out/{number}", bytes([number]) * 100_000) for number in range(100)]
        trusting.do(lambda: trusting.connection.publish_batch(batch))
        for topic, payload in batch:
            assert probe.wait_for(topic).payload == payload
        probe.publish("in", b"x" * 2**20)
        wait_until(lambda: trusting.messages)
        serve(BrokerAddress(host, port, tls=True))
        wait_until(lambda: "certificate verify failed" in caplog.text)
    finally:
        mosquitto.stop()


# With a broker played by the test.


def test_nothing_is_torn_by_a_slow_reader(serve, fake):
    """A broker slower than we are: every packet is whole, of each topic the latest comes, of the acknowledged all."""
    served = serve(fake.address)
    received: list[tuple[int, bytes]] = []
    with fake.welcome() as broker:
        connected(served)
        reading = threading.Thread(target=read_slowly, args=(broker, received))
        reading.start()
        sizes = random.Random(1)
        for number in range(60):
            batch = [(f"state/{meter}", b"%d:" % number + b"x" * sizes.randrange(60_000)) for meter in range(20)]
            served.do(lambda batch=batch: served.connection.publish_batch(batch, retain=True))
            served.do(lambda number=number: served.connection.publish("ack", b"%d" % number, 1))
        wait_until(lambda: served.connection.queued == 0, "everything is sent and acknowledged")
        served.do(lambda: served.connection.publish("end", b""))
        reading.join(PATIENCE_S)
    assert {kind for kind, _ in received} == {PUBLISH}
    assert [body[7:] for _, body in received if body[2:5] == b"ack"] == [b"%d" % number for number in range(60)]
    states = [message_in(body) for _, body in received if body[2:7] == b"state"]
    assert len(states) + served.connection.dropped == 60 * 20
    assert served.connection.dropped > 0
    for meter in range(20):
        numbers = [int(payload.split(b":")[0]) for topic, payload in states if topic == f"state/{meter}"]
        assert numbers == sorted(numbers)
        assert numbers[-1] == 59


def read_slowly(broker: Raw, received: list[tuple[int, bytes]]) -> None:
    """Read until a message on "end" comes; acknowledge those on "ack"."""
    while not received or received[-1][1][2:] != b"end":
        time.sleep(0.001)
        received.append(broker.packet())
        body = received[-1][1]
        if body[2:5] == b"ack":
            broker.sock.sendall(b"\x40\x02" + body[5:7])


def test_a_deaf_broker_does_not_fill_the_memory(serve, fake):
    served = serve(fake.address)
    with fake.welcome():
        connected(served)
        batch = [(f"state/{meter}", b"x" * 10_000) for meter in range(1_000)]
        for _ in range(20):
            served.do(lambda: served.connection.publish_batch(batch))
        assert served.connection.queued <= len(batch)
        assert served.connection.dropped > 0


def test_everything_retained_waits_however_much_it_is_and_of_each_topic_the_latest(serve, fake):
    """With more meters than a message has numbers, the last ones had no availability."""
    topics = [f"meter/{number}/availability" for number in range(70_000)]

    def announce() -> None:
        for topic in topics:
            assert served.connection.publish(topic, b"online", 1, retain=True)

    served = serve(fake.address)
    with fake.welcome():
        connected(served)
        served.do(announce)
        assert served.connection.queued == len(topics)
        assert served.connection.dropped == 0
        served.do(announce)
        assert served.connection.queued <= len(topics) + session.HANDED_OVER


def test_of_what_is_not_retained_only_so_much_waits(serve, fake, monkeypatch):
    monkeypatch.setattr(session, "HANDED_OVER", 10)
    monkeypatch.setattr(link, "QUEUED", 20)
    served = serve(fake.address)
    with fake.welcome():
        connected(served)
        taken = served.do(lambda: [served.connection.publish("event", b"%d" % number, 1) for number in range(40)])
        assert taken == [True] * 30 + [False] * 10
        assert served.connection.dropped == 10


def test_while_the_broker_is_away_only_what_still_matters_is_kept(serve, fake):
    served = serve(fake.address, then=lambda served: served.connection.publish("present", b"", 1))

    def publish_all() -> None:
        assert not served.connection.publish("telemetry", b"1")
        assert not served.connection.publish("retained", b"1", 1, retain=True)
        for number in range(KEPT + 10):
            assert served.connection.publish("event", b"%d" % number, 1)

    served.do(publish_all)
    assert served.connection.queued == KEPT
    assert served.connection.dropped == 2 + 10
    with fake.welcome() as broker:
        topics = [broker.packet()[1] for _ in range(100)]
    assert topics[0].startswith(b"\x00\x07present")
    assert [body[2 + 5 + 2 :] for body in topics[1:]] == [b"%d" % number for number in range(10, 109)]


def test_what_was_not_acknowledged_is_sent_again_unless_it_is_retained(serve, fake):
    served = serve(fake.address)
    with fake.welcome() as broker:
        connected(served)
        served.do(lambda: served.connection.publish("event", b"1", 1))
        served.do(lambda: served.connection.publish("retained", b"1", 1, retain=True))
        served.do(lambda: served.connection.publish("event", b"2", 1))
        for _ in range(3):
            assert broker.packet()[0] == PUBLISH
    with fake.welcome() as broker:
        assert [broker.packet()[1][9:] for _ in range(2)] == [b"1", b"2"]
        broker.sock.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xf0\x00",
        b"\x00" * 100,
        b"\x30\xff\xff\xff\xff\xff",
        b"\x30\x00",
        b"\x30\x02\x00\x05",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x40\x00",
        b"\x90\x01\x00",
        b"\x20\x01\x00",
        b"\xd0\x05hello",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_a_broker_that_talks_nonsense_is_left_and_tried_again(serve, fake, garbage):
    served = serve(fake.address)
    with fake.welcome() as broker:
        connected(served)
        broker.sock.sendall(garbage)
        broker.sock.shutdown(1)
        with fake.welcome():
            wait_until(lambda: served.connects == 2)


def test_what_is_not_mqtt_at_all_is_left_and_tried_again(serve, fake, caplog):
    serve(fake.address)
    for _ in range(2):
        with fake.accept() as broker:
            broker.expect(CONNECT)
            broker.sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")
    assert caplog.text.count("waiting for the broker") == 1


@pytest.mark.parametrize(("code", "reason"), [(4, "Bad user name or password"), (5, "Not authorized")])
def test_a_refusal_is_said_once_and_tried_again(serve, fake, caplog, code, reason):
    served = serve(fake.address)
    for answer in (code, code, 0):
        with fake.accept() as broker:
            assert broker.expect(CONNECT)[:7] == b"\x00\x04MQTT\x04"
            broker.sock.sendall(bytes((0x20, 2, 0, answer)))
            if answer == 0:
                connected(served)
    refusals = [r.getMessage() for r in caplog.records if "refuses" in r.getMessage()]
    assert len(refusals) == 1
    assert refusals[0].endswith(f"refuses the connection: {reason}; trying again")


def test_it_is_connected_when_its_subscriptions_stand(serve, fake):
    """And what was retained comes after `on_connect`, though brokers send it before the SUBACK."""
    order: list[str] = []
    options = {"subscriptions": [("in", 1)], "on_message": lambda message: order.append(message.topic)}
    served = serve(fake.address, then=lambda _: order.append("on_connect"), **options)
    with fake.welcome() as broker:
        subscribe = broker.expect(SUBSCRIBE)
        assert not served.do(lambda: served.connection.publish("too early", b""))
        broker.sock.sendall(publish_frame("in", b"1", retain=True))
        broker.sock.sendall(b"\x90\x03" + subscribe[:2] + b"\x01")
        wait_until(lambda: len(order) == 2)
    assert order == ["on_connect", "in"]


def test_a_refused_subscription_is_said(serve, fake, caplog):
    served = serve(fake.address, subscriptions=[("allowed", 1), ("secret/#", 1)])
    with fake.welcome() as broker:
        subscribe = broker.expect(SUBSCRIBE)
        broker.sock.sendall(b"\x90\x04" + subscribe[:2] + b"\x01\x80")
        wait_until(lambda: "refuses the subscription to secret/#" in caplog.text)
    assert "allowed" not in caplog.text
    assert served.connects == 1


def test_a_topic_that_is_not_utf_8_is_passed_over(serve, fake):
    served = serve(fake.address)
    with fake.welcome() as broker:
        broker.sock.sendall(b"\x30\x06\x00\x02\xff\xfehi" + publish_frame("good", b"\xff", retain=True))
        wait_until(lambda: served.messages)
    assert served.messages == [Message("good", b"\xff", 0, retain=True)]


def test_a_callback_that_fails_is_logged_and_the_next_ones_are_called(serve, fake, caplog):
    seen: list[bytes] = []

    def fail(message: Message) -> None:
        seen.append(message.payload)
        raise KeyError(message.topic)

    served = serve(fake.address, on_message=fail, then=lambda _: 1 / 0)
    with fake.welcome() as broker:
        for payload in (b"1", b"2"):
            broker.sock.sendall(publish_frame("in", payload, retain=False))
        wait_until(lambda: len(seen) == 2)
    assert served.connects == 1
    assert "ZeroDivisionError" in caplog.text
    assert caplog.text.count("KeyError: 'in'") == 2


def test_goodbye_is_said(serve, fake):
    served = serve(fake.address)
    with fake.welcome() as broker:
        connected(served)
        closing = threading.Thread(target=served.stop)
        closing.start()
        assert broker.packet()[0] == DISCONNECT
        assert broker.packet()[0] == 0
        closing.join()


def test_close_does_not_wait_for_a_broker_that_acknowledges_nothing(serve, fake):
    served = serve(fake.address)
    with fake.welcome() as broker:
        connected(served)
        served.do(lambda: served.connection.publish("event", b"1", 1))
        served.stop()  # the test's own time limit is the assertion
        assert [broker.packet()[0] for _ in range(3)] == [PUBLISH, DISCONNECT, 0]


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("no such host", 1883), ("nowhere.invalid", 1883), ("a..b", 1)])
def test_an_address_where_nobody_is_raises_nothing(serve, address, caplog):
    served = serve(BrokerAddress(*address))
    wait_until(lambda: f"waiting for the broker at {address[0]}:{address[1]} (" in caplog.text)
    assert not served.connection.connected


def test_a_handshake_that_never_ends_holds_up_nobody(serve, fake):
    """A listener that says nothing to TLS: meanwhile the connection can be used and closed."""
    served = serve(BrokerAddress(fake.address.host, fake.address.port, tls=True))
    with fake.accept():
        assert served.do(lambda: served.connection.publish("event", b"", 1))
        served.stop()


def test_wait_ends_when_it_is_woken_when_it_has_called_back_and_when_the_time_is_up(fake):
    messages: list[Message] = []
    connection = Connection(fake.address, "a", on_message=messages.append, on_connect=lambda: None)
    broker: list[Raw] = []
    meeting = threading.Thread(target=lambda: broker.append(fake.welcome()))
    meeting.start()
    while not connection.connected:
        connection.wait(PATIENCE_S)
    meeting.join()
    with broker[0]:
        connection.wait(0)
        connection.wait(0.001)
        connection.wake()
        connection.wake()
        connection.wait(1e9)
        broker[0].sock.sendall(publish_frame("in", b"", retain=False))
        connection.wait(1e9)
        assert len(messages) == 1
        connection.publish("out", b"")
        connection.wait(0)
        assert broker[0].published() == ("out", b"")
        connection.close()
    connection.close()
    connection.wake()
