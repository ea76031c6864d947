"""The brokers the project relies on: what any must do, and what the embedded one mends in plain amqtt."""

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time

import pytest
from amqtt.broker import Broker as PlainBroker
from amqtt.contexts import BrokerConfig, ListenerConfig
from raw_mqtt import PUBLISH, SUBACK, UNSUBACK, Raw, RawClient, connect_packet, subscribe_packet, unsubscribe_packet
from websockets.sync.client import connect as connect_websocket

from tests.running import PATIENCE_S, AmqttThread
from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.core.errors import BrokerError
from wattswap_mqtt.mqtt import Message, publish_frame
from wattswap_mqtt.roles import broker as broker_module
from wattswap_mqtt.roles.broker import BACKLOG, EmbeddedBroker

# What any broker must do.


def test_retained_messages_reach_a_later_subscriber_of_a_wildcard(broker_address, make_probe):
    sender = make_probe(broker_address)
    for name in ("a", "b"):
        sender.publish(f"m/{name}/state", name, retain=True)
    later = make_probe(broker_address)
    later.subscribe("m/+/state")
    assert {later.wait_for("m/+/state").payload for _ in range(2)} == {b"a", b"b"}
    assert all(message.retain for message in later.received)


def test_an_empty_payload_clears_what_was_retained(probe, broker_address, make_probe):
    probe.publish("m/a/truth", "x", retain=True)
    probe.publish("m/a/truth", "", retain=True)
    probe.publish("m/b/truth", "y", retain=True)
    later = make_probe(broker_address)
    later.subscribe("m/#")
    later.wait_for("m/b/truth")
    assert later.latest("m/a/truth") is None


def test_the_last_will_comes_when_the_socket_is_torn(probe, broker_address, make_probe):
    dying = make_probe(broker_address, will=Message("m/availability", b"offline", 1, retain=True))
    dying.publish("m/availability", "online", retain=True)
    probe.subscribe("m/availability")
    probe.wait_for("m/availability", lambda message: message.payload == b"online")
    dying.drop()
    probe.wait_for("m/availability", lambda message: message.payload == b"offline")
    later = make_probe(broker_address)
    later.subscribe("m/availability")
    assert later.wait_for("m/availability").payload == b"offline"


def test_the_last_will_does_not_come_after_a_goodbye(probe, broker_address, make_probe):
    polite = make_probe(broker_address, will=Message("m/availability", b"offline", 1))
    probe.subscribe("m/#")
    polite.close()
    probe.publish("m/marker", "")
    probe.wait_for("m/marker")
    assert probe.latest("m/availability") is None


def test_a_payload_of_one_mebibyte_and_of_any_bytes_passes(probe):
    payload = os.urandom(2**20)
    probe.subscribe("m/large")
    probe.publish("m/large", payload, retain=True)
    assert probe.wait_for("m/large").payload == payload


def test_a_message_comes_with_the_lesser_qos_of_who_sends_and_who_reads(probe, broker_address, make_probe):
    for sent in (0, 1, 2):
        probe.publish(f"m/{sent}/kept", "x", qos=sent, retain=True)
    for read in (0, 1, 2):
        reader = make_probe(broker_address)
        reader.subscribe("m/#", qos=read)
        for sent in (0, 1, 2):
            assert reader.wait_for(f"m/{sent}/kept").qos == min(sent, read)
            probe.publish(f"m/{sent}/live", "x", qos=sent)
            assert reader.wait_for(f"m/{sent}/live").qos == min(sent, read)


def test_messages_of_one_client_keep_their_order(probe, broker_address, make_probe):
    """But one with QoS 0 may overtake those with QoS 1 that wait until earlier ones are acknowledged."""
    sender = make_probe(broker_address)
    probe.subscribe("m/#")
    for number in range(300):
        sender.publish(f"m/{number % 7}", str(number), number % 2)
    probe.wait_for("m/+", lambda message: message.payload == b"299")
    numbers = [int(message.payload) for message in probe.received]
    for qos in (0, 1):
        assert [number for number in numbers if number % 2 == qos] == list(range(qos, 300, 2))
    for place, number in enumerate(numbers):
        assert number % 2 == 0 or set(range(0, number, 2)) <= set(numbers[:place]), f"{number} came too early"


def test_a_second_client_of_the_same_name_replaces_the_first(probe, broker_address):
    """And what the first leaves behind does not overwrite what the second says."""
    probe.subscribe("m/availability")
    with (
        RawClient(broker_address, connect_packet("twin", will=("m/availability", b"offline"))) as first,
        RawClient(broker_address, connect_packet("twin")) as second,
    ):
        second.sock.sendall(publish_frame("m/availability", b"online", retain=True))
        assert not first.is_served()
        assert second.is_served()
    probe.wait_for("m/availability", lambda message: message.payload == b"online")
    probe.publish("m/availability", "end")
    probe.wait_for("m/availability", lambda message: message.payload == b"end")
    assert [message.payload for message in probe.received] == [b"offline", b"online", b"end"]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http"),
        pytest.param(b"\x00" * 64, id="zeros"),
        pytest.param(b"\xff" * 4096, id="ones"),
        pytest.param(b"\x10\x05\x00\x04MQ", id="cut off"),
        pytest.param(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe", id="not UTF-8"),
    ],
)
@pytest.mark.parametrize("stays", [False, True])
def test_garbage_harms_nobody(probe, broker_address, garbage, stays):
    with RawClient(broker_address) as raw:
        with contextlib.suppress(OSError):  # the broker may have hung up already
            raw.sock.sendall(garbage)
            if not stays:
                raw.sock.shutdown(socket.SHUT_WR)
        probe.subscribe("m/a")
        probe.publish("m/a", "1")
        probe.wait_for("m/a")


def test_what_a_client_says_last_is_not_lost(probe, broker_address):
    """A client that says everything at once and leaves: all of it comes, and a Last Will only after a rude end."""
    probe.subscribe("#")
    connect = connect_packet("brief", will=("will", b""))
    publishes = b"".join(publish_frame("m", b"%d" % number, retain=False) for number in range(200))
    for goodbye in (b"\xe0\x00", b""):
        with Raw(socket.create_connection((broker_address.host, broker_address.port))) as raw:
            raw.sock.sendall(connect + publishes + goodbye)
            raw.sock.shutdown(socket.SHUT_WR)
            while raw.packet()[0]:
                pass
    probe.wait_for("will")
    said = [str(number).encode() for number in range(200)]
    assert [message.payload for message in probe.received] == [*said, *said, b""]


def test_a_client_that_says_nothing_or_reads_nothing_holds_up_nobody(probe, broker_address, make_probe):
    with RawClient(broker_address), RawClient(broker_address, connect_packet("deaf")) as deaf:
        deaf.sock.sendall(subscribe_packet("m/#"))
        assert deaf.packet()[0] == SUBACK
        probe.subscribe("m/+")
        sender = make_probe(broker_address)
        for number in range(200):
            sender.publish(f"m/{number}", b"x" * 100_000, 0)
        sender.publish("m/end", "")
        probe.wait_for("m/end")


# What the embedded broker adds to that.


@pytest.fixture
def embedded():
    running = AmqttThread()
    running.start()
    yield running
    running.stop()


def test_a_client_that_publishes_where_it_may_not_is_disconnected(embedded):
    with RawClient(embedded.address, connect_packet("a")) as raw:
        raw.sock.sendall(publish_frame("$SYS/x", b"1", retain=False))
        assert not raw.is_served()


def test_a_client_without_connect_or_keepalive_is_dropped(embedded, monkeypatch, make_probe):
    watcher = make_probe(embedded.address)
    watcher.subscribe("m/availability")
    with (
        RawClient(embedded.address) as mute,
        RawClient(embedded.address, connect_packet("gone", keepalive_s=1, will=("m/availability", b"offline"))) as gone,
        RawClient(embedded.address, connect_packet("steady", keepalive_s=0)) as steady,
    ):
        monkeypatch.setattr(broker_module, "CONNECT_TIMEOUT_S", 0.5)  # now that those who say CONNECT have said it
        watcher.wait_for("m/availability", lambda message: message.payload == b"offline")
        assert gone.packet()[0] == 0
        assert mute.packet()[0] == 0
        assert steady.is_served()


def test_a_subscriber_that_reads_nothing_is_dropped_in_the_end(embedded, monkeypatch, make_probe):
    monkeypatch.setattr(broker_module, "STALL_TIMEOUT_S", 0.5)
    sender = make_probe(embedded.address)
    sender.subscribe("availability")
    connect = connect_packet("deaf", keepalive_s=0, will=("availability", b"offline"))
    with RawClient(embedded.address, connect) as deaf:
        deaf.sock.sendall(subscribe_packet("m/#"))
        assert deaf.packet()[0] == SUBACK
        for number in range(200):
            sender.publish(f"m/{number}", b"x" * 100_000, 0)
        sender.wait_for("availability")


def test_mqtt_over_websocket():
    async def go() -> None:
        broker = EmbeddedBroker("127.0.0.1", 0, 0)
        await broker.start()
        try:
            assert broker.port != broker.ws_port
            await asyncio.to_thread(_talk_over_websocket, broker.ws_port)
        finally:
            await broker.stop()

    asyncio.run(go())


def _talk_over_websocket(port: int) -> None:
    with connect_websocket(f"ws://127.0.0.1:{port}", subprotocols=["mqtt"]) as websocket:
        assert websocket.subprotocol == "mqtt"
        websocket.send(connect_packet("browser"))
        assert websocket.recv(PATIENCE_S) == b"\x20\x02\x00\x00"
        websocket.send(subscribe_packet("m/a"))
        assert websocket.recv(PATIENCE_S)[0] >> 4 == SUBACK
        websocket.send(publish_frame("m/a", b"hello", retain=False))
        assert websocket.recv(PATIENCE_S) == publish_frame("m/a", b"hello", retain=False)


@pytest.mark.parametrize("listener", ["mqtt", "websocket"])
def test_a_busy_port_is_said_plainly(listener):
    async def go() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            busy = other.getsockname()[1]
            ports = {"port": busy} if listener == "mqtt" else {"port": 0, "ws_port": busy}
            with pytest.raises(BrokerError, match=rf"{busy}.* is in use; choose another with --mqtt-port"):
                await EmbeddedBroker("127.0.0.1", **ports).start()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_is_said_plainly(host):
    with pytest.raises(BrokerError, match=f"cannot listen on {host}, port 1883: "):
        asyncio.run(EmbeddedBroker(host, 1883).start())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_starts_and_stops_again_and_again(host):
    async def go() -> None:
        broker = EmbeddedBroker(host, 0)
        for _ in range(3):
            await broker.start()
            _, writer = await asyncio.open_connection(host, broker.port)
            await broker.stop()
            writer.close()
        await broker.stop()

    asyncio.run(go())


def test_stop_leaves_nothing_behind_whatever_the_clients_do():
    """Clients that are well, mute, deaf or half way through a packet: it ends, with no task and no socket left."""

    async def go() -> None:
        broker = EmbeddedBroker("127.0.0.1", 0, 0)
        await broker.start()
        address = BrokerAddress("127.0.0.1", broker.port)
        with contextlib.ExitStack() as clients:
            await asyncio.to_thread(_gather_odd_clients, clients, address, broker.ws_port)
            await asyncio.wait_for(broker.stop(), PATIENCE_S)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())
    gc.collect()  # an unclosed socket or a task never looked at would be reported here


def _gather_odd_clients(clients: contextlib.ExitStack, address: BrokerAddress, ws_port: int) -> None:
    clients.enter_context(RawClient(address))
    clients.enter_context(RawClient(address, connect_packet("well")))
    clients.enter_context(RawClient(address, connect_packet("half"))).sock.sendall(b"\x30\x7f\x00")
    websocket = clients.enter_context(connect_websocket(f"ws://127.0.0.1:{ws_port}", subprotocols=["mqtt"]))
    websocket.send(connect_packet("browser"))
    assert websocket.recv(PATIENCE_S)
    deaf = clients.enter_context(RawClient(address, connect_packet("deaf")))
    deaf.sock.sendall(subscribe_packet("m/#", 1))
    assert deaf.packet()[0] == SUBACK
    sender = clients.enter_context(RawClient(address, connect_packet("sender")))
    for number in range(100):
        sender.sock.sendall(publish_frame(f"m/{number}", b"x" * 100_000, retain=True))
    assert sender.is_served()


def test_a_message_is_tried_on_filters_with_wildcards_only(embedded, monkeypatch):
    """Who asks for a thousand topics by name, and lets go of them, makes nobody's messages slower."""
    tried = []
    matches = broker_module._Broker._matches
    monkeypatch.setattr(
        broker_module._Broker,
        "_matches",
        lambda broker, topic, each: tried.append(each) or matches(broker, topic, each),
    )
    with RawClient(embedded.address, connect_packet("a")) as client:
        for topic_filter in (*(f"m/{number}/state" for number in range(9)), "m/+/ack", "m/+/gone"):
            client.sock.sendall(subscribe_packet(topic_filter))
            assert client.packet()[0] == SUBACK
        for topic_filter in ("m/0/state", "m/+/gone"):
            client.sock.sendall(unsubscribe_packet(topic_filter))
            assert client.packet()[0] == UNSUBACK
        tried.clear()
        for topic in ("m/0/state", "m/1/gone", "m/1/state", "m/1/ack"):
            client.sock.sendall(publish_frame(topic, b"1", retain=False))
        assert [client.published()[0] for _ in range(2)] == ["m/1/state", "m/1/ack"]
        assert tried == ["m/+/ack"] * 4
        assert not {"m/0/state", "m/+/gone"} & embedded.broker._broker._subscriptions.keys()


def test_a_flood_is_not_queued_without_bound(embedded):
    """Publishers faster than the broker are slowed down: what waits to be passed on stays bounded."""
    frames = b"".join(publish_frame(f"m/{number}", b"x" * 50, retain=False) for number in range(1_000))
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(RawClient(embedded.address, connect_packet(str(number)))) for number in range(5)]
        sending = [threading.Thread(target=client.sock.sendall, args=(frames * 2,)) for client in flood]
        for thread in sending:
            thread.start()
        waiting = embedded.broker._broker._broadcast_queue
        longest = 0
        while any(thread.is_alive() for thread in sending):
            longest = max(longest, waiting.qsize())
            time.sleep(0.001)
        assert all(client.is_served() for client in flood)
    assert longest <= BACKLOG + 10 * len(flood)


def test_a_message_that_cannot_be_delivered_stops_no_other(embedded, caplog, make_probe):
    """Whatever goes wrong with one, those before and after it come, and in their order."""
    broker = embedded.broker._broker
    deliver = broker._matches

    def fails_for_one(topic: str, topic_filter: str) -> bool:
        if topic == "m/bad":
            raise RuntimeError("dictionary changed size during iteration")
        return deliver(topic, topic_filter)

    broker._matches = fails_for_one
    probe, sender = make_probe(embedded.address), make_probe(embedded.address)
    probe.subscribe("m/#")
    for number in range(50):
        sender.publish("m/good", str(number), number % 2)
        sender.publish("m/bad", "x", number % 2)
    sender.publish("m/good", "50")
    probe.wait_for("m/good", lambda message: message.payload == b"50")
    assert [message.payload for message in probe.received] == [b"%d" % number for number in range(51)]
    assert caplog.text.count("a message was not delivered to everybody") == 50


def test_a_subscriber_that_goes_while_it_is_sent_to_stops_nobody_else(embedded, make_probe):
    """What cannot be sent to it any more is nobody else's trouble."""
    probe, sender = make_probe(embedded.address), make_probe(embedded.address)
    probe.subscribe("m/#")
    for number in range(30):
        with RawClient(embedded.address, connect_packet(f"brief{number}")) as brief:
            brief.sock.sendall(subscribe_packet("m/#", 1))
            assert brief.packet()[0] == SUBACK
            sender.publish("m/a", str(number), 1)
    probe.wait_for("m/a", lambda message: message.payload == b"29")
    assert [message.payload for message in probe.received] == [b"%d" % number for number in range(30)]


# What plain amqtt does.  A test that fails here is good news: the override it names can go.


@pytest.fixture
def plain():
    """Plain amqtt in a thread of its own; its address."""
    started, ended = threading.Event(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        broker = PlainBroker(BrokerConfig({"default": ListenerConfig(bind="127.0.0.1:0")}, plugins=plugins))
        await broker.start()
        ports.append(next(iter(broker._servers["default"].instance.sockets)).getsockname()[1])
        started.set()
        await asyncio.to_thread(ended.wait)
        await broker.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(PATIENCE_S)
    yield BrokerAddress("127.0.0.1", ports[0])
    ended.set()
    thread.join(PATIENCE_S)


def newer(override: str) -> str:
    return f"amqtt has mended this: `{override}` in roles/broker.py can go"


def test_plain_amqtt_sends_retained_messages_nobody_asked_for(plain):
    with RawClient(plain, connect_packet("a")) as first, RawClient(plain, connect_packet("b")) as sender:
        first.sock.sendall(subscribe_packet("m/+/state"))
        assert first.packet()[0] == SUBACK
        for topic in ("m/a/state", "mine"):
            sender.sock.sendall(publish_frame(topic, b"1", retain=True))
        assert sender.is_served()
        assert first.published()[0] == "m/a/state"
        with RawClient(plain, connect_packet("c")) as second:
            second.sock.sendall(subscribe_packet("mine"))
            assert second.published()[0] == "m/a/state", newer("_publish_retained_messages_for_subscription")


def test_the_embedded_broker_sends_only_what_was_asked_for(embedded):
    with (
        RawClient(embedded.address, connect_packet("a")) as first,
        RawClient(embedded.address, connect_packet("b")) as b,
    ):
        first.sock.sendall(subscribe_packet("m/+/state"))
        assert first.packet()[0] == SUBACK
        for topic in ("m/a/state", "mine"):
            b.sock.sendall(publish_frame(topic, b"1", retain=True))
        assert first.published()[0] == "m/a/state"
        with RawClient(embedded.address, connect_packet("c")) as second:
            second.sock.sendall(subscribe_packet("mine"))
            assert second.published()[0] == "mine"


def test_plain_amqtt_sends_with_the_qos_that_was_subscribed_with(plain):
    with RawClient(plain, connect_packet("a")) as client:
        client.sock.sendall(subscribe_packet("m", qos=1))
        assert client.packet()[0] == SUBACK
        client.sock.sendall(publish_frame("m", b"1", retain=False))
        assert client.expect(PUBLISH).endswith(b"\x00\x01m\x00\x011"), newer("_run_broadcast")


def test_plain_amqtt_keeps_a_client_whose_name_comes_twice(plain):
    with RawClient(plain, connect_packet("twin")) as first, RawClient(plain, connect_packet("twin")):
        assert first.is_served(), newer("_delete_session")


def test_plain_amqtt_keeps_a_client_it_no_longer_listens_to(plain):
    with RawClient(plain, connect_packet("a")) as raw:
        raw.sock.sendall(publish_frame("$SYS/x", b"1", retain=False))
        assert raw.is_served(), newer("_client_message_loop")


def test_plain_amqtt_keeps_a_client_that_is_gone(plain):
    """Three times the keepalive, and still served."""
    with RawClient(plain, connect_packet("a", keepalive_s=1)) as raw:
        time.sleep(3)  # nothing happens: there is nothing else to wait for
        assert raw.is_served(), newer("_Reader.silent_too_long")
