"""Commands: from the command to its answer, over MQTT and over REST, beside an echo through the same broker."""

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.clients import RawHttp, RawMqtt, get_request, post_request
from benchmarks.processes import System, mosquitto_path, on_amqtt, on_mosquitto
from benchmarks.timing import BLOCK, BLOCKS, Row, Seconds, percentile, round_trips
from wattswap_mqtt.store.community_store import CommunityStore

TITLE = "Commands"
ABOUT = f"""\
One client, one command at a time, two meters; p50 / p99, each the median of {BLOCKS} blocks of {BLOCK}, and those of
the quietest block. The echo is a QoS 0 message of a bare socket to itself through the same broker, taking turns with
the commands; the ratio is that of the p50. Commands and acks use QoS 1. Setting a switch and placing an order wait
for the commit of the journal; asking for an order does not. On mosquitto the roles are processes of their own, amqtt
is `wattswap up`."""
METER = "wattswap/meter/demo_meter"
SELL = {"side": "sell", "type": "market", "quantity_kwh": 0.1, "duration_sec": 900}
COMMAND = b'{"value": 10, "id": "0"}'
READ_WITHIN_S = {"mosquitto": 3e-3, "amqtt": 8e-3}
COMMIT_WITHIN_S = 6e-3


def rows() -> list[Row]:
    """Measure."""
    found = _commits()
    with on_amqtt() as system:
        found += _commands("amqtt", system)
    if mosquitto_path() is None:
        return [*found, Row("mosquitto", "is not installed here")]
    with on_mosquitto() as system:
        found += _commands("mosquitto", system)
    return found


def _commits() -> list[Row]:
    """Measure the journal alone, beside a file that is written and synchronised."""
    with tempfile.TemporaryDirectory() as directory:
        store = CommunityStore(Path(directory) / "community.sqlite")
        file = os.open(Path(directory) / "bare", os.O_WRONLY | os.O_CREAT)

        def write_and_sync() -> None:
            os.write(file, COMMAND)
            os.fsync(file)

        def append() -> None:
            store.append([("demo_meter", "switch/battery_reserve_pct/set", COMMAND)])

        try:
            taken = round_trips({"bare": write_and_sync, "journal": append}, blocks=3)
        finally:
            os.close(file)
            store.close()
    return [_row("commit of a command to the journal", taken["journal"], taken["bare"], note=" (write, fsync)")]


def _commands(broker: str, system: System) -> list[Row]:
    with RawMqtt(system.mqtt_port) as mqtt, RawHttp(system.http_port) as http, RawMqtt(system.mqtt_port) as echo:
        mqtt.subscribe(f"{METER}/ack", qos=1)
        echo.subscribe("bench/echo")
        client = _Client(mqtt, http)

        def send_echo() -> None:
            echo.publish("bench/echo", COMMAND)
            echo.message()

        taken = round_trips(
            {
                "echo": send_echo,
                "MQTT switch → ack": client.switch_by_mqtt,
                "MQTT order → ack": client.order_by_mqtt,
                "REST: look at an order": client.look_by_rest,
                "REST: set a switch": client.switch_by_rest,
                "REST: place an order": client.order_by_rest,
            },
            between=client.cancel_all,
        )
    bare = taken.pop("echo")
    found = []
    for name, trips in taken.items():
        within_s = READ_WITHIN_S[broker] if "look" in name else COMMIT_WITHIN_S if "REST" in name else None
        if within_s == COMMIT_WITHIN_S:
            within_s = max(COMMIT_WITHIN_S, READ_WITHIN_S[broker])
        found.append(_row(f"{broker}: {name}", trips, bare, within_s))
    return found


def _row(what: str, trips: Seconds, bare: Seconds, within_s: float | None = None, note: str = "") -> Row:
    return Row(
        what,
        _shown(trips),
        target=f"p99 ≤ {within_s * 1e3:g} ms" if within_s else "",
        reached=percentile(trips, 99) <= within_s if within_s else None,
        baseline=_shown(bare) + note,
        ratio=f"{percentile(trips, 50) / percentile(bare, 50):.2g}",
    )


def _shown(trips: Seconds) -> str:
    quietest = trips[np.percentile(trips, 99, axis=1).argmin()][None]
    return f"{_pair(trips)} ms (quietest {_pair(quietest)})"


def _pair(trips: Seconds) -> str:
    return " / ".join(f"{percentile(trips, percent) * 1e3:.2f}" for percent in (50, 99))


class _Client:
    """Sends commands and waits for their answers; every order is cancelled again, so that there never are many."""

    def __init__(self, mqtt: RawMqtt, http: RawHttp) -> None:
        self._mqtt = mqtt
        self._http = http
        self._reserves = itertools.cycle((10, 11))
        self._open: list[str] = []
        self.order_by_rest()
        self._look = get_request(f"/api/v1/market/order/{self._open[0]}")

    def switch_by_mqtt(self) -> None:
        self._command("switch/battery_reserve_pct/set", {"value": next(self._reserves)})

    def order_by_mqtt(self) -> None:
        self._open.append(self._command("market/place", SELL)["order_id"])

    def switch_by_rest(self) -> None:
        body = orjson.dumps({"switch": "battery_reserve_pct", "value": next(self._reserves)})
        self._http.ask(post_request("/api/v1/control/switch", body))

    def order_by_rest(self) -> None:
        answer = self._http.ask(post_request("/api/v1/market/order", orjson.dumps(SELL)))
        self._open.append(orjson.loads(answer)["order_id"])

    def look_by_rest(self) -> None:
        self._http.ask(self._look)

    def cancel_all(self) -> None:
        while self._open:
            self._command("market/cancel", {"order_id": self._open.pop()})

    def _command(self, below: str, content: dict[str, Any]) -> Any:
        self._mqtt.publish(f"{METER}/{below}", orjson.dumps(content | {"id": "bench"}), qos=1)
        while True:
            ack = orjson.loads(self._mqtt.message_on(f"{METER}/ack"))
            if ack["id"] == "bench":
                if ack["status"] != "ok":
                    raise RuntimeError(ack["message"])
                return ack["result"]
