"""The bridge over real HTTP and a real broker, with a device at the other end that is not ours."""

import errno
import json
import socket
import threading
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest
import uvicorn

from tests.running import PATIENCE_S, MosquittoProcess, wait_until
from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.answers import accepted, encode_ack
from wattswap_mqtt.contract.messages import parse_command
from wattswap_mqtt.mqtt import Message
from wattswap_mqtt.roles.bridge.api import create_app

METER = "demo_meter"
BASE = "wattswap/meter/demo_meter"
COMMUNITY = "wattswap/community/main/availability"


class Served:
    """A bridge on uvicorn in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings)
        self.bridge = self.app.state.bridge
        config = uvicorn.Config(self.app, port=0, log_config=None, ws="none", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="uvicorn")

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self._server.started, "the bridge is served")
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=PATIENCE_S)

    def stop(self) -> None:
        self.http.close()
        self.bridge.live.close()
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)

    def code(self, path: str) -> tuple[int, str | None]:
        response = self.http.get(path)
        return response.status_code, response.json().get("code")

    @contextmanager
    def stream(self, **more):
        """Yield an iterator of the messages of the live stream."""
        with self.http.stream("GET", "/stream", **more) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            yield messages(response)


def messages(response):
    found: dict[str, str] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if not line and "event" in found:
            yield found | {"data": json.loads(found["data"])}
        found = found | {name: value} if line else {}


class Device:
    """A meter that obeys: it answers commands and tells its switches."""

    def __init__(self, probe) -> None:
        self.probe = probe
        self.switches = {"daytime": False, "time_acceleration": 1.0}
        probe._client.on_message = self._on_message
        for below in ("switch/+/set", "market/+"):
            probe.subscribe(f"{BASE}/{below}")
        self.tell()

    def tell(self, seq: int = 0) -> None:
        self.probe.publish(COMMUNITY, "online", retain=True)
        self.probe.publish(f"{BASE}/switches", json.dumps(self.switches), retain=True)
        self.state(seq)
        self.probe.publish(f"{BASE}/availability", "online", retain=True)

    def state(self, seq: int) -> None:
        state = {"meter_id": METER, "timestamp": f"2026-06-21T12:{seq // 60:02d}:{seq % 60:02d}+02:00", "seq": seq}
        self.probe.publish(f"{BASE}/state", json.dumps(state), qos=0, retain=True)

    def _on_message(self, client, _data, message) -> None:
        below = message.topic.removeprefix(f"{BASE}/")
        if below == "market/order":
            return
        command = parse_command(METER, below, message.payload)
        result = None
        if hasattr(command, "values"):
            self.switches |= command.values
            [result] = command.values.values()
            client.publish(f"{BASE}/switches", json.dumps(self.switches), 1, retain=True)
        client.publish(f"{BASE}/ack", encode_ack(accepted(command, result)), 1)


@pytest.fixture
def serve(tmp_path):
    """Return a function that serves a bridge on a broker's address."""
    with ExitStack() as stack:

        def start(address, **settings) -> Served:
            url = f"mqtt://{address.host}:{address.port}"
            served = Served(Settings(broker=url, data_dir=tmp_path / "data", **settings))
            served.start()
            stack.callback(served.stop)
            return served

        yield start


@pytest.fixture
def served(serve, broker_address):
    return serve(broker_address)


@pytest.fixture
def device(probe):
    return Device(probe)


def online(served):
    wait_until(lambda: served.http.get(f"/meter/{METER}/snapshot").status_code == 200, "the meter is there")


@pytest.mark.usefixtures("device")
def test_a_command_goes_round(served):
    online(served)
    answer = served.http.post("/control/switch", json={"switch": "daytime", "value": True}).json()
    assert answer == {"status": "ok", "meter_id": METER, "switch": "daytime", "value": True}
    assert served.http.get("/control/switches").json()["daytime"] is True  # told before the answer was


@pytest.mark.usefixtures("device")
def test_many_commands_at_once_get_each_its_own_answer(served):
    online(served)
    values = [number / 2 for number in range(40)]
    answers = {}

    def ask(value):
        response = served.http.post("/control/switch", json={"switch": "battery_reserve_pct", "value": value})
        answers[value] = response.json()["value"]

    threads = [threading.Thread(target=ask, args=[value]) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {value: value for value in values}


def test_a_bridge_before_its_broker_and_its_simulator_heals(serve, broker, make_probe):
    broker.stop()
    served = serve(broker.address)
    assert served.code(f"/meter/{METER}/snapshot") == (503, "broker_away")
    assert served.http.get("/health").status_code == 503
    assert served.http.get("/meters").json()["total"] == 0
    broker.start()
    wait_until(lambda: served.code(f"/meter/{METER}/snapshot") == (503, "simulator_away"), "the broker is found")
    Device(make_probe(broker.address))
    online(served)
    assert served.http.get("/health").json()["status"] == "ok"


@pytest.fixture
def as_debian_has_it(tmp_path, free_port):
    """Run a mosquitto that drops messages with QoS 1 when a thousand of them wait for a client."""
    mosquitto = MosquittoProcess(free_port(), tmp_path, "allow_anonymous true")
    mosquitto.start()
    yield mosquitto.address
    mosquitto.stop()


def test_all_that_is_retained_is_got_from_a_broker_that_queues_only_so_much(as_debian_has_it, serve, make_probe):
    """What it dropped was the simulator's availability as well: it was away for ever."""
    probe = make_probe(as_debian_has_it)
    for number in range(1, 3_001):
        meter = f"wattswap/meter/meter_{number:05d}"
        probe.send(f"{meter}/availability", "online", retain=True)
        probe.send(f"{meter}/switches", '{"daytime": false}' + " " * 4_000, retain=True)  # more than a socket holds
    Device(probe)
    served = serve(as_debian_has_it)
    wait_until(lambda: len(served.bridge.latest.meters) == 3_001, "all meters are known")
    wait_until(lambda: served.http.get("/health").status_code == 200, "their simulator is known to be there")
    meters = served.bridge.latest.meters.values()
    wait_until(lambda: all(meter.availability and meter.switches for meter in meters), "all is known of them")


def test_a_simulator_that_dies_is_told_by_its_last_will(served, device, make_probe, broker_address):
    dying = make_probe(broker_address, will=Message(COMMUNITY, b"offline", 1, retain=True))
    online(served)
    dying.drop()
    wait_until(lambda: served.code(f"/meter/{METER}/snapshot") == (503, "simulator_away"), "its end is told")
    device.tell(1)
    online(served)


@pytest.mark.usefixtures("device")
def test_a_broker_that_goes_away_and_comes_back(served, broker, make_probe):
    online(served)
    broker.stop()
    wait_until(lambda: served.code(f"/meter/{METER}/snapshot") == (503, "broker_away"), "the loss is noticed")
    broker.start()
    Device(make_probe(broker.address))
    online(served)


@pytest.mark.usefixtures("device")
def test_what_was_retained_is_there_at_once(serve, broker_address):
    served = serve(broker_address)
    wait_until(lambda: served.bridge.latest.connected, "the bridge has its broker")
    assert served.code(f"/meter/{METER}/snapshot") == (200, None)
    assert served.code("/meter/nobody/snapshot") == (404, "unknown_meter")


def test_history_and_events_outlast_the_bridge(device, serve, broker_address):
    first = serve(broker_address)
    online(first)
    event = {"event_type": "started", "timestamp": "2026-06-21T12:00:00+02:00", "meter_id": METER}
    device.probe.publish(f"{BASE}/event", json.dumps(event))
    device.state(1)
    wait_until(lambda: first.http.get("/events").json()["events"] == [event], "the event has come")
    wait_until(lambda: first.http.get(f"/meter/{METER}/snapshot").json()["seq"] == 1, "the state has come")
    first.stop()
    second = serve(broker_address)
    assert second.http.get("/events").json()["events"] == [event]
    found = second.http.get(f"/meter/{METER}/timeseries?start=2026-06-21&end=2026-06-22").json()["data"]
    assert [row["seq"] for row in found] == [0, 1]


class TestStream:
    def test_the_present_first_and_then_what_happens(self, served, device):
        online(served)
        with served.stream(params={"meter_id": METER}) as stream:
            present = {}
            while not {"availability", "switches", "state"} <= present.keys():
                message = next(stream)
                present[message["event"]] = message["data"]
            assert present["availability"] == {"meter_id": METER, "availability": "online"}
            assert present["switches"] == {"meter_id": METER, "switches": device.switches}
            assert present["state"]["seq"] == 0
            device.state(1)
            assert next(m for m in stream if m["event"] == "state")["data"]["seq"] == 1
            device.probe.publish(f"{BASE}/event", '{"event_type": "started", "timestamp": "2026-06-21T12:00:00Z"}')
            assert next(m for m in stream if m["event"] == "event")["data"]["event_type"] == "started"
            device.probe.publish(f"{BASE}/market/order/{METER}.1", '{"order_id": "demo_meter.1"}')
            assert next(m for m in stream if m["event"] == "order")["data"]["order_id"] == "demo_meter.1"

    def test_a_client_that_comes_back_misses_nothing(self, served, device):
        online(served)
        with served.stream() as stream:
            device.state(1)
            last = next(m for m in stream if m["event"] == "state" and m["data"]["seq"] == 1)["id"]
        for seq in range(2, 6):
            device.state(seq)
        wait_until(lambda: served.http.get(f"/meter/{METER}/snapshot").json()["seq"] == 5, "the states have come")
        with served.stream(headers={"Last-Event-ID": last}) as stream:
            assert [next(stream)["data"]["seq"] for _ in range(4)] == [2, 3, 4, 5]

    @pytest.mark.usefixtures("device")
    def test_the_bridge_forgets_a_client_that_has_gone(self, served):
        with served.stream() as stream:
            next(stream)
            assert served.bridge.live.listeners == 1
        wait_until(lambda: served.bridge.live.listeners == 0, "the client is forgotten")

    def test_a_client_that_does_not_read_harms_nobody(self, served, device):
        online(served)
        with closing(socket.create_connection(("127.0.0.1", served.port))) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: served.bridge.live.listeners == 1, "it listens")
            padding = "x" * 50_000
            seq = 0
            while served.bridge.live.dropped == 0:
                seq += 1
                device.probe.publish(f"{BASE}/state", json.dumps({"seq": seq, "padding": padding}), qos=0)
                assert seq < 5000
                assert served.http.get("/constants").status_code == 200
            assert served.http.get("/health").json()["stream"]["dropped"] > 0
        wait_until(lambda: served.bridge.live.listeners == 0, "the client is forgotten")

    @pytest.mark.usefixtures("device")
    def test_a_bad_meter_is_an_error_and_no_stream(self, served):
        assert served.code("/stream?meter_id=a/b") == (404, "unknown_meter")

    @pytest.mark.usefixtures("device")
    def test_the_server_can_end_while_a_client_listens(self, serve, broker_address):
        served = serve(broker_address)
        with served.stream() as stream:
            next(stream)
            served.bridge.live.close()
            list(stream)


class TestHttp:
    def test_a_large_body_is_refused_and_the_answer_arrives(self, served):
        for size in (70_000, 1 << 20):
            response = served.http.post("/control/switch", content=b"x" * size)
            assert (response.status_code, response.json()["code"]) == (413, "too_large")
        response = served.http.post("/control/switch", content=(b"x" * 1000 for _ in range(100)))
        assert response.status_code == 413

    @pytest.mark.parametrize(
        "request_line",
        [
            b"nonsense\r\n\r\n",
            b"GET /api/v1/meter/\xff\xfe/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /api/v1/meter/%ff%fe%00/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET http://[/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /api/v1/events?limit=%zz&\xff=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"POST /api/v1/control/switch HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST /api/v1/control/switch HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"G" * 100_000,
        ],
    )
    def test_what_is_hardly_http_does_no_harm(self, served, request_line, caplog):
        with closing(socket.create_connection(("127.0.0.1", served.port))) as sock:
            sock.settimeout(PATIENCE_S)
            try:
                sock.sendall(request_line)
                sock.shutdown(socket.SHUT_WR)
                status = sock.recv(65536)[:12]
            except OSError as error:  # it has hung up before all was said, and what it answered is lost then
                if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                    raise
                status = b""
            assert status in (b"", b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 413", b"HTTP/1.1 422"), status
        assert served.http.get("/constants").status_code == 200
        assert "Traceback" not in caplog.text
