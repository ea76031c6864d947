"""Orders over MQTT: how many a second, and how long each takes at a quiet pace."""

import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import orjson

from benchmarks.clients import RawMqtt
from benchmarks.processes import System, mosquitto_path, on_mosquitto
from benchmarks.timing import BLOCK, BLOCKS, Row, Seconds, percentile, rate

TITLE = "Orders"
METERS, PACE_S = 50, 0.02
PIPELINED, ON_THEIR_WAY, WINDOWS = 1000, 400, 8
ABOUT = f"""\
On mosquitto, a simulator of {METERS} meters with an open market, one client, QoS 1. Orders wait in the book; each is
written durably before it is answered. Pipelined: {ON_THEIR_WAY} orders are on their way at any time, windows of
{PIPELINED}; the baseline is as many QoS 1 messages that the client sends to itself through the same broker, taking
turns. At 50 a second: p50 / p99 of order → ack, the median of {BLOCKS} blocks of {BLOCK} and those of the quietest
block; the baseline is the disk alone: between two orders as many bytes are written to a file and synchronised. The
ratio is that of the p99: the tail of an order is that of its commit."""
RATE_TARGET, P99_TARGET_S = 1000, 6e-3
ECHO = "bench/echo"
SOME = b"x" * 150


class _Client:
    """Places orders that wait, in turns for all meters; what is open is cancelled between two measurements."""

    def __init__(self, system: System) -> None:
        self.mqtt = RawMqtt(system.mqtt_port)
        self.mqtt.subscribe("wattswap/meter/+/ack", qos=1)
        self.mqtt.subscribe(ECHO, qos=1)
        self._sent = 0
        self._open: list[str] = []
        for meter in range(METERS):
            self._send(meter, "switch/market_enabled/set", {"value": True})
        for _ in range(METERS):
            self.take()

    def send_echo(self) -> None:
        """Send a message of an order's size to this client itself."""
        self.mqtt.publish(ECHO, SOME, qos=1)

    def place(self) -> None:
        """Send an order that will wait: all bid less than anybody asks."""
        price = 0.1 + self._sent % 100 / 1000
        self._send(
            self._sent % METERS,
            "market/place",
            {"side": "buy", "type": "limit", "quantity_kwh": 0.5, "duration_sec": 900, "price": price},
        )
        self._sent += 1

    def take(self) -> None:
        """Wait for an answer, or an echo."""
        topic, payload = self.mqtt.message()
        if topic == ECHO:
            return
        ack = orjson.loads(payload)
        if ack["status"] != "ok":
            raise RuntimeError(ack["message"])
        if ack["command"] == "market/place":
            self._open.append(ack["result"]["order_id"])

    def pipelined(self, send: Callable[[], object]) -> float:
        """Return the seconds that a window takes."""
        begin_s = time.perf_counter()
        for number in range(PIPELINED + ON_THEIR_WAY):
            if number < PIPELINED:
                send()
            if number >= ON_THEIR_WAY:
                self.take()
        return time.perf_counter() - begin_s

    def paced(self) -> tuple[Seconds, Seconds]:
        """Return the seconds of orders at 50 a second, and of commits to a bare file between them: (BLOCKS, BLOCK)."""
        orders, commits = np.empty((BLOCKS, BLOCK)), np.empty((BLOCKS, BLOCK))
        with tempfile.TemporaryFile(buffering=0) as bare:
            for block in range(BLOCKS):
                due_s = time.perf_counter()
                for trip in range(BLOCK):
                    due_s += PACE_S
                    time.sleep(max(due_s - PACE_S / 2 - time.perf_counter(), 0.0))
                    begin_s = time.perf_counter()
                    bare.write(SOME)
                    os.fsync(bare.fileno())
                    commits[block, trip] = time.perf_counter() - begin_s
                    time.sleep(max(due_s - time.perf_counter(), 0.0))
                    begin_s = time.perf_counter()
                    self.place()
                    self.take()
                    orders[block, trip] = time.perf_counter() - begin_s
                self.cancel_all()
        return orders, commits

    def cancel_all(self) -> None:
        """Cancel what is open."""
        for begin in range(0, len(self._open), ON_THEIR_WAY):
            some = self._open[begin : begin + ON_THEIR_WAY]
            for order_id in some:
                self._publish(order_id.rpartition(".")[0], "market/cancel", {"order_id": order_id})
            for _ in some:
                self.take()
        self._open.clear()

    def _send(self, meter: int, below: str, content: dict[str, object]) -> None:
        self._publish("demo_meter" if meter == 0 else f"meter_{meter + 1:05}", below, content)

    def _publish(self, meter_id: str, below: str, content: dict[str, object]) -> None:
        self.mqtt.publish(f"wattswap/meter/{meter_id}/{below}", orjson.dumps(content | {"id": "bench"}), qos=1)


def rows() -> list[Row]:
    """Measure."""
    if mosquitto_path() is None:
        return [Row("mosquitto", "is not installed here")]
    with on_mosquitto("--meters", str(METERS), bridge=False) as system:
        client = _Client(system)
        with client.mqtt:
            return [*_pipelined(client), _paced(client)]


def _pipelined(client: _Client) -> list[Row]:
    orders, echoes = np.empty(WINDOWS), np.empty(WINDOWS)
    for window in range(WINDOWS):
        echoes[window] = client.pipelined(client.send_echo)
        orders[window] = client.pipelined(client.place)
        client.cancel_all()
    rates = rate(float(np.median(orders)), PIPELINED)
    return [
        Row(
            "durable orders, pipelined",
            f"{rates} (best window {rate(float(orders.min()), PIPELINED)})",
            f"≥ {rate(1, RATE_TARGET)}",
            bool(PIPELINED / orders.min() >= RATE_TARGET),
            rate(float(np.median(echoes)), PIPELINED),
            f"{float(np.median(echoes / orders)):.2g}",
        )
    ]


def _paced(client: _Client) -> Row:
    orders, commits = client.paced()
    quietest = orders[np.percentile(orders, 99, axis=1).argmin()][None]
    return Row(
        "order → ack at 50/s",
        f"{_pair(orders)} ms (quietest {_pair(quietest)})",
        f"p99 ≤ {P99_TARGET_S * 1e3:g} ms",
        percentile(quietest, 99) <= P99_TARGET_S,
        f"{_pair(commits)} ms (write, fsync)",
        f"{percentile(orders, 99) / percentile(commits, 99):.2g}",
    )


def _pair(trips: Seconds) -> str:
    return " / ".join(f"{percentile(trips, percent) * 1e3:.2f}" for percent in (50, 99))
