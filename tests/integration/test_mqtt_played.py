"""Connections to a broker that the test plays: nothing that it does, or leaves undone, harms them."""

import contextlib
import random
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw_mqtt import CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, Raw, RawBroker, message_in
from served import connected

from tests.running import PATIENCE_S, wait_until
from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt import Connection, Message, link, publish_frame, session
from wattswap_mqtt.mqtt.dial import AHEAD_BYTES, Dial
from wattswap_mqtt.mqtt.link import KEPT


@pytest.fixture
def fake():
    """A broker played by the test."""
    with RawBroker() as broker:
        yield broker


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


def test_a_connection_that_was_lost_just_now_can_be_closed(fake):
    """A simulator failed at its end when the broker went away at the same moment: it waited for a closed socket."""
    connection = Connection(fake.address, "under-test", on_message=lambda _: None, on_connect=lambda: None)
    with ThreadPoolExecutor() as pool, contextlib.closing(connection):
        welcome = pool.submit(fake.welcome)
        wait_until(lambda: connection.wait(0.1) or connection.connected, "connected")
        broker = welcome.result()
        broker.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # says so at once
        broker.sock.close()
        connection.publish("event", b"1", 1)
        connection.publish_batch([(f"state/{meter}", b"x" * 200_000) for meter in range(3)])


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


def test_a_broker_that_reads_nothing_has_little_ahead_of_an_answer():
    """What the operating system takes nobody can overtake any more; left alone it takes megabytes."""
    done = threading.Event()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        dial = Dial(BrokerAddress(*listening.getsockname()), done.set)
        dial.start()
        accepted, _ = listening.accept()
        assert done.wait(PATIENCE_S)
        assert isinstance(dial.outcome, socket.socket)
        with accepted, dial.outcome as sock:
            taken = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    taken += sock.send(b"x" * 65_536)
    assert taken < 4 * AHEAD_BYTES
