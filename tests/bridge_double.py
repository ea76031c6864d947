"""The bridge without a broker: what it publishes is caught, what it is told comes from the test."""

import asyncio
import threading
from contextlib import contextmanager

import httpx
import orjson

from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.answers import accepted, encode_ack, rejected
from wattswap_mqtt.contract.commands import CancelOrder, GetOrders, PlaceOrder, SetSwitches
from wattswap_mqtt.contract.messages import parse_command
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.mqtt import Message
from wattswap_mqtt.roles.bridge import bridge, latest
from wattswap_mqtt.roles.bridge.api import create_app

METER = "demo_meter"
NOON = "2026-06-21T12:00:00.000+02:00"
SWITCHES = {"daytime": False, "time_acceleration": 1.0}


class Wire:
    """Stands for the connection of the bridge, and for the meters at its other end."""

    def __init__(self, address, client_id, *, subscriptions, on_message, on_connect, on_disconnect):
        self.address, self.client_id, self.subscriptions = address, client_id, subscriptions
        self._on_message, self._on_connect, self._on_disconnect = on_message, on_connect, on_disconnect
        self.connected = False
        self.published: list[tuple[str, dict]] = []
        self.answer = self.obey

    async def start(self):
        self.come()

    async def close(self):
        self.connected = False

    def come(self):
        self.connected = True
        self._on_connect()

    def go(self):
        self.connected = False
        self._on_disconnect("gone")

    def tell(self, topic, payload):
        body = (
            payload
            if isinstance(payload, bytes)
            else payload.encode()
            if isinstance(payload, str)
            else orjson.dumps(payload)
        )
        self._on_message(Message(f"wattswap/{topic}", body))

    def fetch(self, topics):
        """Tell nothing: what this broker retains it has told."""

    def publish(self, topic, payload, qos=0, retain=False):
        assert (qos, retain) == (1, False)
        meter_id, below = Topics().parse(topic)
        self.published.append((topic, orjson.loads(payload)))
        ack = self.answer(parse_command(meter_id, below, payload))
        if ack is not None:
            self.tell(f"meter/{meter_id}/ack", b"not an ack")
            self.tell(f"meter/{meter_id}/ack", encode_ack(ack))
        return True

    @staticmethod
    def obey(command):
        match command:
            case SetSwitches(values=values):
                return accepted(command, next(iter(values.values())))
            case PlaceOrder(terms=terms):
                return accepted(
                    command, {"order_id": f"{METER}.1", "status": "accepted", "client_order_id": terms.client_order_id}
                )
            case CancelOrder(order_id=order_id):
                return accepted(command, {"order_id": order_id, "status": "cancelled"})
            case GetOrders(order_id=None):
                return accepted(command, [])
            case GetOrders(order_id=order_id):
                return accepted(command, {"order_id": order_id, "status": "executed"})
            case _:
                return accepted(command, command.name)

    def refuse(self, code, message, **more):
        """Let meters refuse from now on."""
        self.answer = lambda command: rejected(command, CommandError(code, message, **more))

    def announce(self, meter_id=METER, community="main", **state):
        """Tell what a simulator tells of a meter when it comes."""
        self.tell(f"meter/{meter_id}/switches", SWITCHES)
        self.tell(f"meter/{meter_id}/scenario", "none")
        self.tell(f"meter/{meter_id}/state", snapshot(meter_id, **state))
        self.tell(f"meter/{meter_id}/availability", "online")
        self.tell(f"community/{community}/availability", "online")


def snapshot(meter_id=METER, timestamp=NOON, pv_kw=1.0, tz="Europe/Berlin", **more):
    return orjson.dumps(
        {
            "meter_id": meter_id, "timestamp": timestamp, "tz": tz,
            "pv": {"pv_power_kw": pv_kw}, "derived": {"energy_imported_kwh": 7.0}, "market": {"enabled": False},
        } | more
    )  # fmt: skip


class Client:
    """An HTTP client of the bridge that lives on the loop of a thread of its own; its own methods block."""

    def __init__(self, app):
        self._app = app
        self.bridge = app.state.bridge
        self.wire = self.bridge.connection
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bridge double")

    def __enter__(self):
        self._thread.start()
        self._lifespan = self._app.router.lifespan_context(self._app)
        self.wait(self._lifespan.__aenter__())
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://bridge")
        return self

    def __exit__(self, *error):
        self.wait(self._http.aclose())
        self.wait(self._lifespan.__aexit__(*error))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def here(self, do, *arguments, **named):
        """Call something on the loop."""

        async def call():
            return do(*arguments, **named)

        return self.wait(call())

    def request(self, method, path, **more):
        path = path if more.pop("root", False) else f"/api/v1{path}"
        return self.wait(self._http.request(method, path, **more))

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, **more):
        return self.request("POST", path, **more)

    def told(self, path, **more):
        """Return the JSON of a GET that has to succeed."""
        response = self.get(path, **more)
        assert response.status_code == 200, response.text
        return response.json()

    def tell(self, topic, payload):
        """Let a message arrive."""
        self.here(self.wire.tell, topic, payload)

    def announce(self, *what, **state):
        self.here(self.wire.announce, *what, **state)


@contextmanager
def bridge_double(tmp_path, monkeypatch, **settings):
    """Yield a client of a bridge that has its broker, but has been told of no meter."""
    monkeypatch.setattr(bridge, "AsyncConnection", Wire)
    monkeypatch.setattr(latest, "SETTLE_S", 0.0)
    with Client(create_app(Settings(data_dir=tmp_path, **settings))) as client:
        yield client


def problem(response, status, code):
    """Check that a response is the problem `code`, and return it."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert body["status"] == status
    assert (response.headers.get("retry-after") is not None) == (status == 503)
    return body
