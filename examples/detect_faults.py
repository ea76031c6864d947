"""Notices faulty meters from their messages alone, as a dashboard could: what is suspected, and what speaks for it.

    wattswap up
    python examples/detect_faults.py
    mosquitto_pub -t wattswap/meter/demo_meter/switch/fault_inject/set -m '{"bias_pct": 10}'

Prints a line whenever a suspicion of a meter begins or ends.  Needs paho-mqtt.
"""

import argparse
import json
from collections import defaultdict

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from wattswap_mqtt.core.diagnosis import Diagnosis


class Inspector:
    """Listens to every meter of a broker."""

    def __init__(self, host: str, port: int, base: str = "wattswap") -> None:
        self._meters: defaultdict[str, Diagnosis] = defaultdict(Diagnosis)
        self._told: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._base = base
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(f"{base}/meter/+/state", 0), (f"{base}/meter/+/availability", 1), (f"{base}/community/+/status", 0)]
        )
        self._client.on_message = self._take
        self._client.connect(host, port)

    def run(self) -> None:
        """Listen until Ctrl-C."""
        try:
            self._client.loop_forever()
        except KeyboardInterrupt:
            self._client.disconnect()

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        kind, name, below = message.topic.removeprefix(f"{self._base}/").split("/")
        if below == "status":
            status = json.loads(message.payload)
            for diagnosis in self._meters.values():
                diagnosis.community(status)
            for meter_id in list(self._meters):
                self._tell(meter_id)
        elif kind == "meter" and message.payload:
            if below == "availability":
                self._meters[name].availability(message.payload.decode())
            elif not message.retain:  # a retained one may be old
                self._meters[name].state(json.loads(message.payload))

    def _tell(self, meter_id: str) -> None:
        before, now = self._told[meter_id], self._meters[meter_id].suspicions()
        for key, evidence in now.items():
            if key not in before:
                print(f"{meter_id}: {key}: {evidence}", flush=True)
        for key in before.keys() - now.keys():
            print(f"{meter_id}: {key}: no longer", flush=True)
        self._told[meter_id] = now


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    Inspector(**vars(parser.parse_args())).run()
