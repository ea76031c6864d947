"""Connections to a real broker: what goes through, and what an outage does to them."""

import logging
import socket
import subprocess

import pytest
from served import connected

from tests.running import MosquittoProcess, wait_until
from wattswap_mqtt.config import BrokerAddress
from wattswap_mqtt.mqtt import Message, session


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
