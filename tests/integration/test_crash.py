"""kill -9 at any moment: what was answered is there, what counts never goes down, what was under way goes on."""

import json
import os
import random
import time
from collections import defaultdict

import pytest
from process import SimulatorProcess
from talk import Meter

from tests.running import MqttProbe, wait_until

METERS = ("demo_meter", "meter_00002")
ONLINE = "wattswap/community/main/availability"
SETTINGS = {"start": "2030-06-21T08:00:00Z", "load_noise": 1}
RANK = {"accepted": 0, "partially_filled": 1, "executed": 2, "failed": 2, "expired": 2, "cancelled": 2}
COUNTERS = [
    *("energy_imported_kwh", "energy_exported_kwh", "pv_energy_kwh", "load_energy_kwh", "battery_charged_kwh"),
    *("battery_discharged_kwh", "ev_energy_kwh", "co2_emissions_kg", "co2_savings_kg", "unserved_energy_kwh"),
    *("token_earnings_apt", "token_spending_apt", "curtailed_energy_kwh"),
]


@pytest.fixture
def start(broker_address, tmp_path):
    """Return a function that starts the simulator on the same data; returns it, and a probe that hears it all.

    The probe of the life before is closed.
    """
    started: list[SimulatorProcess] = []
    probes: list[MqttProbe] = []

    def run() -> tuple[SimulatorProcess, MqttProbe]:
        for probe in probes:
            probe.close()
        probe = MqttProbe(broker_address)
        probes[:] = [probe]
        for below in ("state", "market/order/+"):  # many, and with QoS 1 mosquitto drops what is too much for a client
            probe.subscribe(f"wattswap/meter/+/{below}", qos=0)
        for below in ("ack", "switches"):
            probe.subscribe(f"wattswap/meter/+/{below}")
        for below in ("availability", "market"):
            probe.subscribe(f"wattswap/community/main/{below}")
        started.append(SimulatorProcess(broker_address, tmp_path / "data", **SETTINGS))
        # a retained one may be of the life before, while the Last Will is on its way
        probe.wait_for(ONLINE, lambda message: message.payload == b"online" and not message.retain)
        return started[-1], probe

    yield run
    for process in started:
        if process.running:
            process.kill()
    for probe in probes:
        probe.close()
    for process in started:
        assert "Traceback" not in process.said, process.said


class Witness:
    """Remembers what was sent, answered and published in many lives of the simulator, and holds the next to it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._number = 0
        self._sent: dict[tuple[str, str], list[tuple[int, object]]] = defaultdict(list)
        self._cancels: dict[int, str] = {}
        self._told: dict[str, dict] = {}
        self._last: dict[str, dict] = {}
        self.answered: set[int] = set()
        self.orders: dict[str, dict] = {}

    def send_one(self, probe: MqttProbe) -> None:
        """Send a command of some kind: a switch twice as often as an order."""
        self._number += 1
        meter, chance = self._chance.choice(METERS), self._chance
        below, payload = chance.choice([self._switch, self._switches, self._place, self._cancel])(meter)
        probe.send(f"wattswap/meter/{meter}/{below}", json.dumps(payload | {"id": self._number}))

    def _switch(self, meter: str) -> tuple[str, dict]:
        name = self._chance.choice(["daytime", "ev_plug", "market_enabled"])
        value = self._chance.random() < 0.6
        self._sent[meter, name].append((self._number, value))
        return f"switch/{name}/set", {"value": value}

    def _switches(self, meter: str) -> tuple[str, dict]:
        values = {
            "battery_reserve_pct": self._number % 60 + self._number / 1e6,
            "ev_mode": self._chance.choice(["fast", "off"]),
        }
        for name, value in values.items():
            self._sent[meter, name].append((self._number, value))
        return "switches/set", values

    def _place(self, _meter: str) -> tuple[str, dict]:
        chance = self._chance
        order = {
            "side": chance.choice(["sell", "buy"]),
            "type": "market",
            "quantity_kwh": chance.choice([0.02, 0.3, 1]),
        }
        return "market/place", order | {
            "duration_sec": chance.choice([5, 60, 300]),
            "client_order_id": f"c{self._number}",
        }

    def _cancel(self, meter: str) -> tuple[str, dict]:
        mine = [order_id for order_id in self.orders if order_id.startswith(f"{meter}.")] or [f"{meter}.1"]
        order_id = self._chance.choice(mine[-5:])
        self._cancels[self._number] = order_id
        return "market/cancel", {"order_id": order_id}

    def hear(self, probe: MqttProbe) -> None:
        """Take note of all that a probe has received, in order."""
        for message in list(probe.received):
            level = message.topic.split("/")
            if message.retain or level[:2] != ["wattswap", "meter"]:
                continue
            match level[3:]:
                case ["ack"]:
                    self._hear_answer(json.loads(message.payload))
                case ["state"]:
                    self._hear_state(level[2], json.loads(message.payload))
                case ["market", "order", order_id] if message.payload:
                    self._hear_order(order_id, json.loads(message.payload))

    def _hear_answer(self, ack: dict) -> None:
        if not isinstance(ack["id"], int) or ack["status"] != "ok":
            return
        assert ack["id"] not in self.answered, "one answer to each"
        self.answered.add(ack["id"])
        if ack["command"] == "market/place":
            self.orders[ack["result"]["order_id"]] = ack["result"]
        if ack["command"] == "market/cancel":
            assert ack["result"]["status"] == "cancelled"

    def _hear_state(self, meter: str, state: dict) -> None:
        last = self._last.get(meter)
        self._last[meter] = state
        if last is None:
            return
        assert state["seq"] > last["seq"]
        assert state["timestamp"] >= last["timestamp"]
        for name in COUNTERS:
            assert state["derived"][name] >= last["derived"][name], name

    def _hear_order(self, order_id: str, order: dict) -> None:
        never_back(self._told.get(order_id, order), order)
        self._told[order_id] = order

    def check(self, probe: MqttProbe, newest: int) -> None:
        """Hold what the simulator says after its restart against all that was answered; of the orders the newest."""
        for meter in METERS:
            switches = json.loads(probe.latest(f"wattswap/meter/{meter}/switches"))
            for (of, name), sent in self._sent.items():
                if of == meter:
                    done = [place for place, (number, _) in enumerate(sent) if number in self.answered]
                    possible = [value for _, value in sent[done[-1] :]] if done else [switches[name]]
                    assert switches[name] in possible, (meter, name)
        cancelled = {order_id for number, order_id in self._cancels.items() if number in self.answered}
        for order_id in list(self.orders)[-newest:]:
            meter = Meter(probe, order_id.partition(".")[0])
            answer = meter.ask("market/get", {"order_id": order_id})
            assert answer["status"] == "ok", f"{order_id} is lost"
            for name in ("client_order_id", "side", "quantity_kwh", "created_at", "average_price"):
                assert answer["result"][name] == self.orders[order_id][name]
            never_back(self._told.get(order_id, answer["result"]), answer["result"])
            if order_id in cancelled:
                assert answer["result"]["status"] == "cancelled"
        market = probe.wait_for_json("wattswap/community/main/market")
        assert market["ledger_sum_utok"] == 0
        for meter in METERS:
            derived = self._last[meter]["derived"] if meter in self._last else Meter(probe, meter).state()["derived"]
            balance = derived["token_earnings_apt"] - derived["token_spending_apt"]
            assert derived["token_balance_apt"] == pytest.approx(balance, abs=1e-6)


def never_back(last: dict, order: dict) -> None:
    assert RANK[order["status"]] >= RANK[last["status"]]
    assert RANK[last["status"]] < 2 or order["status"] == last["status"]
    assert order["filled_kwh"] >= last["filled_kwh"]
    assert order["created_at"] == last["created_at"]


@pytest.mark.parametrize(
    "kills",
    [
        3,
        pytest.param(20, marks=[pytest.mark.full, pytest.mark.timeout(600)]),
        pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_nothing_that_was_answered_is_lost_at_random_kills(start, kills):
    seed = int(os.environ.get("CRASH_SEED", random.randrange(2**32)))
    print(f"to see the same commands again: CRASH_SEED={seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    witness = Witness(chance)
    process, probe = start()
    Meter(probe).set("time_acceleration", "60")
    for _ in range(kills):
        killed_s = time.monotonic() + chance.uniform(0.01, 0.6)
        while time.monotonic() < killed_s:
            witness.send_one(probe)
            time.sleep(chance.choice([0, 0.001, 0.01]))
        process.kill()
        probe.wait_for(ONLINE, lambda message: message.payload == b"offline")  # the Last Will: nothing comes after it
        before = len(witness.answered)
        witness.hear(probe)
        print(f"killed after {len(witness.answered) - before} answers, {len(witness.orders)} orders")  # noqa: T201
        process, probe = start()
        wait_until(lambda told=probe: told.latest("wattswap/community/main/market"), "the simulator is there again")
        witness.check(probe, newest=40)
    witness.hear(probe)
    assert witness.answered
    assert witness.orders


def test_a_delivery_in_progress_goes_on_after_a_kill(start):
    process, probe = start()
    meter = Meter(probe)
    meter.set("time_acceleration", "60")
    order_id = meter.order(side="buy", quantity_kwh=0.2, duration_sec=240)["result"]["order_id"]
    last: dict = {}

    def filled(part: float) -> bool:
        order = meter.ask("market/get", {"order_id": order_id})["result"]
        never_back(last or order, order)
        last.update(order)
        return order["filled_kwh"] >= part

    for part in (0.02, 0.1):
        wait_until(lambda part=part: filled(part), "some of it is delivered")
        meter.set("time_acceleration", "1")  # what is left takes minutes, however slow this machine is
        assert not filled(0.2)
        assert last["status"] == "partially_filled"
        process.kill()
        process, probe = start()
        meter = Meter(probe)
        assert not filled(0.2)
        meter.set("time_acceleration", "60")
    wait_until(lambda: filled(0.2), "all of it is delivered")
    wait_until(lambda: filled(0.2) and last["status"] == "executed", "the order has ended")
    assert sum(part["quantity_kwh"] for part in last["executions"]) == pytest.approx(0.2)
    assert meter.later_state()["derived"]["token_spending_apt"] == pytest.approx(0.2 * 0.3, abs=1e-6)


def test_the_last_will_tells_of_a_kill(start):
    process, probe = start()
    process.kill()
    assert probe.wait_for(ONLINE).payload == b"offline"


def test_a_termination_is_no_crash(start):
    process, probe = start()
    assert process.stop() == 0
    assert probe.wait_for(ONLINE, lambda message: message.payload == b"offline")
    told = [json.loads(m.payload)["seq"] for m in probe.received if m.topic == "wattswap/meter/demo_meter/state"]
    _, probe = start()
    first = next(m for m in probe.received if m.topic == "wattswap/meter/demo_meter/state" and not m.retain)
    assert json.loads(first.payload)["seq"] == told[-1] + 1
