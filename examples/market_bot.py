"""A trading bot that speaks MQTT only: it sells what the battery can spare to whoever pays more than the utility.

    wattswap up --bots 10
    python examples/market_bot.py --kwh 2

It opens the market of its meter, reads the retained market topic, and whenever the best bid is above the feed-in tariff
by a margin it offers a piece at that price, at once or not at all.  At the end it says what it got, beside what the
utility would have paid.  Needs paho-mqtt.
"""

import argparse
import json
import queue
import threading
import uuid
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE_S = 60.0
ENDED = {"executed", "failed", "expired", "cancelled"}

Json = dict[str, Any]


class MarketBot:
    """One meter's trader; `run` returns when it has sold as much as it was told to."""

    def __init__(self, host: str, port: int, meter_id: str, community: str, base: str = "wattswap") -> None:
        self._meter = f"{base}/meter/{meter_id}"
        self._market = f"{base}/community/{community}/market"
        self._messages: queue.Queue[tuple[str, Json]] = queue.Queue()
        self.orders: dict[str, Json] = {}
        """Its orders as they were told last."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._subscribe
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._take
        self._client.connect(host, port)
        self._client.loop_start()
        if not subscribed.wait(PATIENCE_S):  # a command that is sent before may be answered before
            raise SystemExit(f"no broker answers at {host}:{port}")

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def run(self, kwh: float, *, piece_kwh: float = 0.25, margin: float = 0.005) -> Json:
        """Sell `kwh` in pieces, each to a bid of `margin` (apt/kWh) above the feed-in tariff or more.

        Each piece is delivered over a quarter hour, one after the other: a quarter of a kWh is 1 kW, which the battery
        can give beside what the house draws.  What is not delivered has to be bought from the utility.
        """
        self.ask("switch/market_enabled/set", {"value": True})
        sold_kwh = traded_kwh = earned = by_utility = 0.0
        while traded_kwh < kwh - 1e-9:
            market = self.wait(self._market, lambda told: told["best_bid"] > told["feed_in_tariff"] + margin)
            order = self.ask(
                "market/place",
                {
                    "side": "sell",
                    "type": "limit",
                    "price": market["best_bid"],
                    "time_in_force": "IOC",
                    "quantity_kwh": min(piece_kwh, kwh - traded_kwh),
                    "min_fill_kwh": 0.001,
                    "duration_sec": 900,
                    "client_order_id": uuid.uuid4().hex,
                },
            )
            if not order["matched_kwh"]:
                continue  # somebody was faster
            order = self.wait(f"{self._meter}/market/order/{order['order_id']}", lambda told: told["status"] in ENDED)
            self.orders[order["order_id"]] = order
            traded_kwh += order["matched_kwh"]
            sold_kwh += order["filled_kwh"]
            earned += order["amount_apt"]
            by_utility += order["filled_kwh"] * market["feed_in_tariff"]
        return {"sold_kwh": round(sold_kwh, 6), "earned_apt": round(earned, 6), "utility_apt": round(by_utility, 6)}

    def ask(self, below: str, command: Json) -> Any:  # noqa: ANN401 (whatever the device answers)
        """Send a command and return the result of its answer."""
        command_id = uuid.uuid4().hex
        self._client.publish(f"{self._meter}/{below}", json.dumps(command | {"id": command_id}), qos=1)
        answer = self.wait(f"{self._meter}/ack", lambda ack: ack["id"] == command_id)
        if answer["status"] != "ok":
            raise SystemExit(f"{below}: {answer['message']}")
        return answer["result"]

    def wait(self, topic: str, fits: Any) -> Json:  # noqa: ANN401 (a function of the message)
        """Return the next message on a topic that fits."""
        while True:
            came_on, message = self._messages.get(timeout=PATIENCE_S)
            if came_on == topic and fits(message):
                return message

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(self._market, 0), (f"{self._meter}/ack", 1), (f"{self._meter}/market/order/+", 1)])

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.payload:
            self._messages.put((message.topic, json.loads(message.payload)))


def main() -> None:
    """Trade."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--meter", default="demo_meter")
    parser.add_argument("--community", default="main")
    parser.add_argument("--kwh", type=float, default=1.0, help="how much to sell")
    options = parser.parse_args()
    bot = MarketBot(options.host, options.port, options.meter, options.community)
    try:
        print(json.dumps(bot.run(options.kwh)))
    finally:
        bot.close()


if __name__ == "__main__":
    main()
