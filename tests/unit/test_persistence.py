"""What a crash may take and what not: checkpoint and journal together give back the same community."""

import json
import random
from collections.abc import Collection

import numpy as np
import pytest
from homes import SCENARIOS
from hypothesis import given
from hypothesis import strategies as st

from wattswap_mqtt.contract.commands import OrderFilters
from wattswap_mqtt.contract.scenario_files import Catalogue
from wattswap_mqtt.contract.topics import Topics
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.mqtt import Message
from wattswap_mqtt.roles.simulator import persistence as persistence_module
from wattswap_mqtt.roles.simulator.checkpoint import column_of, decode_checkpoint, encode_checkpoint
from wattswap_mqtt.roles.simulator.device import Device
from wattswap_mqtt.roles.simulator.persistence import Persistence
from wattswap_mqtt.store.community_store import CommunityStore

NOON_S = 1_750_507_200.0
IDS = ("demo_meter", "meter_00002")


class Silent:
    """A publisher that says nothing, but counts the readings it would have told at once."""

    unacknowledged = 0

    def __init__(self, community: Community, saved: Persistence) -> None:
        self._community, self._saved = community, saved
        self.answers: list = []

    def readings(self, meters: Collection[int] | None = None) -> None:
        self._community.read(meters)
        self._saved.keep_ahead()

    def answer(self, _meter: int, ack: object) -> None:
        self.answers.append(ack)

    def __getattr__(self, _name: str) -> object:
        return lambda *_arguments, **_more: None


class Machine:
    """A community with its store, as the simulator runs it, without MQTT; `crash` and `stop` free the file."""

    def __init__(self, path, ids=IDS, *, start_s=NOON_S, load_noise=1.0) -> None:
        self.path, self.ids = path, ids
        self.community = Community(ids, start_s=start_s, load_noise=load_noise)
        self.saved = Persistence(path / "main.sqlite", self.community)
        journal = self.saved.recover()
        self.publisher = Silent(self.community, self.saved)
        self.device = Device(Topics(), self.community, self.saved, self.publisher, Catalogue())
        self.device.replay(journal)
        self.community.skip_to(start_s)
        self.device.save()

    def send(self, *commands: tuple[str, str, object]) -> list:
        """Obey commands (meter, topic below it, payload) that came together; return the answers."""
        self.publisher.answers = []
        self.device.obey([Message(f"wattswap/meter/{m}/{b}", json.dumps(p).encode()) for m, b, p in commands])
        return self.publisher.answers

    def tick(self, duration_s: float) -> None:
        self.community.advance(duration_s)
        self.device.report()

    def crash(self) -> None:
        self.saved.close()

    def stop(self) -> None:
        self.device.save(last=True)
        self.saved.close()


def everything(community: Community) -> dict:
    """Return all of a community that is to survive, in a form to be compared."""
    plain, arrays = community.dump()
    orders = [community.exchange.orders(meter) for meter in range(len(community.ids))]
    return {
        "plain": plain | {"seq": None},
        "arrays": {name: array.tolist() for name, array in arrays.items() if name != "alarms"},  # those told last
        "switches": community.switch_values,
        "scenarios": community.scenarios,
        "orders": [[order.to_dict() for order in of_meter] for of_meter in orders],
        "earned": community.exchange.earnings_utok.tolist(),
        "spent": community.exchange.spending_utok.tolist(),
        "pending": community.exchange.pending_counts().tolist(),
        "sum": community.exchange.ledger_sum_utok,
    }


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    machine.saved.close()


# The journal of the market.


def test_statement_and_ledger_add_up_whatever_is_saved_of_them_by_now(machine):
    def asked(what, **more):
        (ack,) = machine.send(("demo_meter", "market/get", {"what": what} | more))
        return ack.result

    sell = {"side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}
    machine.send(
        ("demo_meter", "switches/set", {"market_enabled": True, "daytime": True}),
        ("meter_00002", "switches/set", {"market_enabled": True, "battery_reserve_pct": 100}),
        ("demo_meter", "market/place", sell | {"type": "limit", "price": 0.2, "time_in_force": "GTC"}),
        ("meter_00002", "market/place", sell | {"side": "buy", "quantity_kwh": 9, "duration_sec": 7200}),
    )
    machine.tick(4000.0)
    machine.community.advance(1000.0)  # what it books is not saved yet
    unsaved, all_quarters = asked("statement", limit=500), asked("ledger")["quarter_hours"]
    assert (unsaved["total"], len(unsaved["entries"])) == (len(unsaved["entries"]),) * 2
    assert unsaved["total"] > 2
    machine.device.save()
    saved = asked("statement", limit=500)
    assert asked("ledger")["quarter_hours"] == all_quarters
    assert saved == unsaved
    amounts = [round(entry["amount_apt"] * 1e6) for entry in saved["entries"]]
    assert sum(amounts) == round((saved["closing_balance_apt"] - saved["opening_balance_apt"]) * 1e6)
    assert saved["entries"][-1]["balance_apt"] == saved["closing_balance_apt"]
    newest = asked("statement", limit=2)
    assert newest["entries"] == saved["entries"][-2:]
    assert newest | {"entries": []} == saved | {"entries": []}
    for name in ("sold_kwh", "bought_kwh", "not_delivered_kwh", "not_taken_kwh"):
        (other,) = machine.send(("meter_00002", "market/get", {"what": "statement"}))
        assert saved[name] + other.result[name] == pytest.approx(
            sum(quarter[name] for quarter in all_quarters), abs=1e-9
        )
    assert asked("ledger", limit=1)["quarter_hours"] == all_quarters[-1:]


# The checkpoint.


def test_a_checkpoint_keeps_its_size_while_its_values_change_theirs():
    sizes = {len(encode_checkpoint({"kwh": kwh}, IDS, {"a": np.zeros(2)})) for kwh in (0.5, 1 / 3, 1e-300, None)}
    assert len(sizes) == 1


def test_a_checkpoint_is_read_as_it_was_written():
    arrays = {
        "floats": np.array([[1.5, np.nan, -np.inf], [0.1, -0.0, 1e308]]),
        "bits": np.array([1, 2, 2**62], np.int64),
        "flags": np.array([True, False, True]),
        "three": np.arange(12, dtype=np.int8).reshape(2, 2, 3),
    }
    plain, ids, read = decode_checkpoint(encode_checkpoint({"clock_s": 1.5, "x": None}, ["a", "b", "c"], arrays))
    assert (plain, ids) == ({"clock_s": 1.5, "x": None}, ["a", "b", "c"])
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    assert column_of(read, 1)["floats"].tolist() == [[arrays["floats"][0, 1]], [-0.0]] or np.isnan(read["floats"][0, 1])
    assert column_of(read, 2)["three"].shape == (2, 2, 1)


@given(st.binary(max_size=200) | st.sampled_from([b"{}", b"[]\n", b"null\n", b'{"arrays":{"a":["<f8",[99]]}}\n1']))
def test_what_is_no_checkpoint_is_a_storage_error(blob):
    with pytest.raises(StorageError, match="the checkpoint cannot be read"):
        decode_checkpoint(blob)


def test_a_checkpoint_that_was_cut_off_is_a_storage_error():
    blob = encode_checkpoint({}, ["a"], {"x": np.arange(10.0)})
    with pytest.raises(StorageError):
        decode_checkpoint(blob[:-1])


# Crashes.


def any_command(chance: random.Random) -> tuple[str, str, object]:
    """Return a command of any kind, often one that can be carried out."""
    meter = chance.choice(IDS)
    known = f"{meter}.{chance.randint(1, 12)}"
    order = {
        "side": chance.choice(["sell", "buy"]),
        "type": "market",
        "quantity_kwh": chance.choice([0.05, 0.5, 3]),
        "duration_sec": chance.choice([5, 60, 900]),
        "client_order_id": chance.choice([None, f"c{chance.randint(1, 9)}"]),
    }
    limit = order | {"type": "limit", "price": chance.choice([0.05, 0.2, 0.4]), "ttl_sec": chance.choice([5, 600])}
    limit["time_in_force"] = chance.choice(["GTD", "GTC", "IOC", "FOK"])
    return chance.choice(
        [
            (meter, "switch/daytime/set", chance.random() < 0.5),
            (meter, "switch/grid_connected/set", chance.random() < 0.8),
            (meter, "switch/market_enabled/set", chance.random() < 0.7),
            (meter, "switch/time_acceleration/set", chance.choice([0, 1, 60, 600])),
            (meter, "switch/fault_inject/set", {"value": chance.choice([{}, {"bias_pct": 10}, {"noise_pct": 5}])}),
            (meter, "switches/set", {"ev_plug": True, "ev_mode": chance.choice(["fast", "solar", "off"])}),
            (meter, "switches/set", {"battery_reserve_pct": chance.choice([10, 50, 90]), "manual_load_delta_kw": 1}),
            (meter, "scenario/set", chance.choice(["none", *SCENARIOS, "moonlight"])),
            (meter, "market/place", order),
            (meter, "market/place", order),
            (meter, "market/place", limit),
            (meter, "market/place", limit),
            (meter, "market/cancel", {"order_id": known}),
            (meter, "market/get", {"order_id": known}),
            (meter, "market/get", {}),
        ]
    )


@pytest.mark.parametrize("seed", range(12))
def test_checkpoint_and_journal_give_back_what_was_at_the_crash(tmp_path, seed):
    """At any point: the restarted community is the same to the last bit, and goes on in the same way."""
    chance = random.Random(seed)
    machine = Machine(tmp_path)
    for _ in range(chance.randint(5, 40)):
        if chance.random() < 0.4:
            machine.tick(chance.choice([0.05, 1, 30, 300]))
        machine.send(*[any_command(chance) for _ in range(chance.randint(1, 4))])
    told_seq = machine.community.seq
    before = everything(machine.community)
    machine.crash()
    again = Machine(tmp_path, start_s=NOON_S)
    assert everything(again.community) == before
    assert again.community.seq >= told_seq
    assert before["sum"] == 0
    machine.community.advance(600)
    again.community.advance(600)
    assert everything(again.community) == everything(machine.community)
    again.saved.close()


def test_a_question_among_commands_does_not_end_the_journal(machine, tmp_path):
    place = {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 900}
    answers = machine.send(
        ("demo_meter", "market/place", place),
        ("demo_meter", "market/get", {}),
        ("demo_meter", "switch/daytime/set", True),
    )
    assert [row["order_id"] for row in answers[1].result] == ["demo_meter.1"]
    machine.crash()
    again = Machine(tmp_path)
    assert again.community.switch_values[0]["daytime"] is True
    assert again.community.exchange.get("demo_meter.1").is_open
    again.crash()


def test_the_clock_stands_still_while_commands_are_carried_out_again(machine, tmp_path):
    [ack] = machine.send(
        ("demo_meter", "market/place", {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 900})
    )
    machine.crash()
    again = Machine(tmp_path, start_s=NOON_S + 600)
    order = again.community.exchange.get("demo_meter.1").to_dict()
    assert order["created_at"] == ack.result["created_at"]
    assert again.community.clock_s == NOON_S + 600
    again.crash()


def test_a_failure_while_commands_are_carried_out_again_is_not_fatal(machine, tmp_path, monkeypatch, caplog):
    machine.send(("demo_meter", "switch/daytime/set", True), ("demo_meter", "scenario/set", "3"))
    machine.crash()

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Community, "set_scenario", fail)
    for _ in range(2):
        again = Machine(tmp_path)
        assert again.community.switch_values[0]["daytime"] is True
        again.crash()
    assert "a bug" in caplog.text


def test_a_command_for_a_meter_that_is_gone_is_skipped_and_said(machine, tmp_path, caplog):
    machine.send(("meter_00002", "switch/daytime/set", True), ("demo_meter", "switch/daytime/set", True))
    machine.crash()
    again = Machine(tmp_path, ids=("demo_meter",))
    assert again.community.switch_values[0]["daytime"] is True
    assert "meter_00002" in caplog.text
    again.crash()


def test_numbers_of_readings_are_not_given_twice(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(persistence_module, "SEQ_AHEAD", 10)
    machine.device.save()
    told = []
    for count in (7, 10, 11, 35):
        for _ in range(count):
            machine.publisher.readings([0])
            told.append(machine.community.seq)
        machine.crash()
        machine = Machine(tmp_path)
    assert told == sorted(set(told))
    assert len(told) == 63
    machine.stop()
    last = machine.community.seq
    again = Machine(tmp_path)
    assert again.community.seq == last, "in good order nothing is skipped"
    again.crash()


# Other meters.


def test_meters_are_parked_one_by_one_and_come_back(tmp_path):
    machine = Machine(tmp_path, ids=("a", "b", "c"))
    machine.send(("b", "switch/battery_reserve_pct/set", 42))
    machine.tick(600)
    counted = dict(zip("abc", machine.community.state.registers.T.tolist(), strict=True))
    machine.stop()
    for ids, gone in ((("a", "c"), ["b"]), (("c", "d"), ["a", "b"]), (("d",), ["a", "b", "c"])):
        machine = Machine(tmp_path, ids=ids)
        assert machine.saved.gone == gone
        for name in set(ids) - {"d"}:
            assert machine.community.state.registers[:, machine.community.index[name]].tolist() == counted[name]
        machine.crash()
    machine = Machine(tmp_path, ids=("d", "c", "b", "a"))
    assert machine.saved.gone == []
    for name in "abc":
        assert machine.community.state.registers[:, machine.community.index[name]].tolist() == counted[name]
    assert machine.community.switch_values[2]["battery_reserve_pct"] == 42
    machine.crash()


def test_what_is_being_delivered_is_parked_with_its_meter(tmp_path):
    machine = Machine(tmp_path, ids=("a", "b"))
    order = {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 3600}
    [placed] = machine.send(("b", "market/place", order))
    machine.tick(100)
    machine.tick(500)  # which changes nothing of the order but what was delivered, so it is in the checkpoint only
    spent = machine.community.exchange.spending_utok[1]
    assert spent > 0
    machine.stop()
    for _ in range(2):
        Machine(tmp_path, ids=("a",)).crash()
    machine = Machine(tmp_path, ids=("a", "b"))
    assert machine.community.exchange.spending_utok[1] == spent
    assert machine.community.exchange.get(placed.result["order_id"]).to_dict()["filled_kwh"] > 0
    machine.crash()


# Orders in the store and on the way to it.


def buy(machine: Machine, client: str | None = None) -> str:
    order = {"side": "buy", "type": "market", "quantity_kwh": 1, "duration_sec": 900, "client_order_id": client}
    return machine.send(("demo_meter", "market/place", order))[0].result["order_id"]


def test_orders_are_found_whether_they_are_saved_or_not(machine):
    first, second = buy(machine, "x"), buy(machine)
    machine.tick(1)
    machine.send(("demo_meter", "market/cancel", {"order_id": first}))
    third = buy(machine)

    def found(**filters: object) -> list[str]:
        return [row["order_id"] for row in machine.saved.orders("demo_meter", OrderFilters(**filters))]

    for _ in range(2):
        assert found() == [third, second, first]
        assert found(limit=2) == [third, second]
        assert found(status="cancelled") == [first]
        assert found(status="open") == [third, second]
        assert found(status="open", limit=1) == [third]
        assert found(client_order_id="x") == [first]
        assert found(client_order_id="x", status="open") == []
        assert machine.saved.order(first)["status"] == "cancelled"
        assert machine.saved.orders("meter_00002", OrderFilters()) == []
        machine.device.save()


def test_an_ended_order_is_retained_for_its_time_through_restarts(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(persistence_module.time, "time", lambda: now[0])
    machine = Machine(tmp_path)
    order_id = buy(machine)
    assert machine.saved.retained == {}
    machine.send(("demo_meter", "market/cancel", {"order_id": order_id}))
    assert machine.saved.retained == {order_id: 1000.0 + persistence_module.ORDER_RETAINED_S}
    machine.crash()  # before anything was saved: carried out again, it ends again
    now[0] = 1010.0
    machine = Machine(tmp_path)
    assert machine.saved.retained == {order_id: 1010.0 + persistence_module.ORDER_RETAINED_S}
    machine.crash()
    now[0] = 1009.0 + persistence_module.ORDER_RETAINED_S
    machine = Machine(tmp_path)
    assert machine.saved.take_overdue() == []
    now[0] += 1
    assert machine.saved.take_overdue() == [order_id]
    machine.crash()  # it was not saved that it was cleared: once more
    machine = Machine(tmp_path)
    assert machine.saved.take_overdue() == [order_id]
    assert machine.saved.take_overdue() == []
    machine.device.save()
    machine.crash()
    machine = Machine(tmp_path)
    assert machine.saved.retained == {}
    machine.crash()


# A store that fails.


def test_a_store_that_fails_refuses_commands_and_gets_everything_later(machine, tmp_path, monkeypatch, caplog):
    machine.send(("demo_meter", "switch/daytime/set", True))

    def refuse(*_arguments: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(CommunityStore, "checkpoint", refuse)
        patch.setattr(CommunityStore, "append", refuse)
        machine.tick(60)
        assert machine.saved.failed
        assert machine.community.meters.storage_failed
        [ack] = machine.send(("demo_meter", "switch/daytime/set", False))
        assert (ack.status, ack.code) == ("error", "storage")
        assert "the disk is full" in ack.message
        [ack] = machine.send(("demo_meter", "market/get", {}))
        assert ack.status == "ok"
        machine.tick(60)
        patch.setattr(CommunityStore, "order", refuse)
        [ack] = machine.send(("demo_meter", "market/get", {"order_id": "demo_meter.99"}))
        assert (ack.status, ack.code) == ("error", "storage")
    before = everything(machine.community)
    assert machine.community.switch_values[0]["daytime"] is True
    machine.tick(0)
    assert not machine.saved.failed
    assert [r.message for r in caplog.records if "disk is full" in r.message or "saved again" in r.message] == [
        "the disk is full: until it can be written again, commands are refused and telemetry goes on",
        "the data can be saved again",
    ]
    machine.crash()
    again = Machine(tmp_path)
    assert everything(again.community) == before
    again.crash()
