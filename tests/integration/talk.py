"""Talking to a meter over MQTT as anyone would: commands, their answers, and what is retained."""

import json
from itertools import count

from tests.running import MqttProbe

_numbers = count(1)


class Meter:
    """A meter as seen by a client that has subscribed to everything."""

    def __init__(self, probe: MqttProbe, meter_id: str = "demo_meter") -> None:
        self.probe = probe
        self.topic = f"wattswap/meter/{meter_id}"

    def send(self, below: str, payload: object) -> None:
        """Publish a command; text and bytes as they are, anything else as JSON."""
        body = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        self.probe.publish(f"{self.topic}/{below}", body)

    def ask(self, below: str, payload: object) -> dict:
        """Publish a command, and return the next answer to one of its kind."""
        self.send(below, payload)
        return self.probe.wait_for_json(f"{self.topic}/ack", lambda ack: ack["command"] == below)

    def order(self, **fields: object) -> dict:
        """Place an order, with an id, and return the answer."""
        number = next(_numbers)
        self.send("market/place", {"side": "sell", "type": "market", "id": number} | fields)
        return self.probe.wait_for_json(f"{self.topic}/ack", lambda ack: ack["id"] == number)

    def set(self, switch: str, value: str) -> None:
        """Set a switch by its plain value, and see to it that it was done."""
        ack = self.ask(f"switch/{switch}/set", value)
        assert ack["status"] == "ok", ack

    def state(self, fits=lambda _state: True) -> dict:
        """Return the next state that fits."""
        return self.probe.wait_for_json(f"{self.topic}/state", fits)

    def later_state(self) -> dict:
        """Return a state that is told after all that have come so far."""
        last = self.payloads("state")[-1]["seq"]
        return self.state(lambda state: state["seq"] > last)

    def event(self, event_type: str) -> dict:
        """Return the next event of a type."""
        return self.probe.wait_for_json(f"{self.topic}/event", lambda event: event["event_type"] == event_type)

    def switches(self) -> dict:
        """Return the switches as they were told last."""
        return json.loads(self.probe.latest(f"{self.topic}/switches"))

    def payloads(self, below: str) -> list[dict]:
        """Return everything that came on a topic, in order."""
        return [json.loads(m.payload) for m in list(self.probe.received) if m.topic == f"{self.topic}/{below}"]
