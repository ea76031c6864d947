"""The durable state of a community: all or nothing, kept through kill -9, damage told and never overwritten."""

import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.market.rows import totals_of
from wattswap_mqtt.store.community_store import VERSION, CommunityStore, Saved


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "main.db"


@pytest.fixture
def store(path):
    store = CommunityStore(path)
    yield store
    store.close()


def order(number, *, meter_id="demo_meter", status="accepted", ended_s=None, client_order_id=None):
    return {
        "order_id": f"{meter_id}.{number}",
        "meter_id": meter_id,
        "status": status,
        "ended_s": ended_s,
        "client_order_id": client_order_id,
        "executions": [{"price": 0.08, "kwh": 1.5}],
    }


def entry(number, *, meter_id="demo_meter", time_s=0.0):
    return {"entry_id": f"e{number}", "meter_id": meter_id, "time_s": time_s, "lines": {"utility": -5, meter_id: 5}}


def account(meter_id, earned_utok):
    return {"entry_id": meter_id, "meter_id": meter_id, "earned_utok": earned_utok}


def reopened(store):
    store.close()
    return CommunityStore(store.path)


COMMAND = ("demo_meter", "switch/daytime/set", b"\xff not UTF-8")


def test_a_new_file_holds_nothing(store):
    assert store.load() == Saved()


def test_what_was_saved_is_loaded(store):
    meters = {"demo_meter": {"switches": {"daytime": True}}, "meter_00002": {"scenario": "none"}}
    store.checkpoint(
        b"\x00\xff" * 99, meters, [order(1)], [entry(1), account("demo_meter", 5)], [("demo_meter.1", 7.5)]
    )
    store.park({"meter_00003": b"\x00 of a meter"})
    store.append([COMMAND, ("demo_meter", "market/place", b"{}")])
    again = reopened(store)
    assert again.load() == Saved(
        checkpoint=b"\x00\xff" * 99,
        parked={"meter_00003": b"\x00 of a meter"},
        journal=[COMMAND, ("demo_meter", "market/place", b"{}")],
        meters=meters,
        orders=[order(1)],
        entries=[account("demo_meter", 5)],
        retained={"demo_meter.1": 7.5},
    )
    again.close()


def test_a_checkpoint_replaces_rows_of_the_same_key_and_ends_the_journal(store):
    store.checkpoint(b"one", {"a": {"n": 1}, "b": {"n": 1}}, [order(1), order(2)], [account("a", 1)])
    store.append([COMMAND])
    ended = order(1, status="executed", ended_s=2)
    store.checkpoint(b"two", {"a": {"n": 2}}, [ended], [account("a", 2)])
    saved = store.load()
    assert (saved.checkpoint, saved.journal, saved.meters) == (b"two", [], {"a": {"n": 2}, "b": {"n": 1}})
    assert (saved.orders, saved.entries) == ([ended, order(2)], [account("a", 2)])


def test_a_meter_is_parked_over_its_earlier_checkpoint(store):
    store.park({"a": b"1", "b": b"1"})
    store.park({"b": b"2"})
    assert store.load().parked == {"a": b"1", "b": b"2"}


def test_what_was_retained_is_forgotten_when_its_time_is_over(store):
    store.checkpoint(b"", {}, retained=[("a.2", 20.0), ("a.1", 10.0), ("a.3", 30.0)])
    assert list(store.load().retained.items()) == [("a.1", 10.0), ("a.2", 20.0), ("a.3", 30.0)]
    store.checkpoint(b"", {}, cleared_until_s=20.0)
    assert store.load().retained == {"a.3": 30.0}


def test_load_leaves_out_orders_that_ended_long_ago_but_finds_them_by_id(store):
    old = order(1, status="executed", ended_s=1000)
    store.checkpoint(b"", {}, [old, order(2, status="failed", ended_s=8000), order(3)])
    assert [o["order_id"] for o in store.load(newest_ended=1).orders] == ["demo_meter.2", "demo_meter.3"]
    assert store.order("demo_meter.1") == old
    assert store.order("demo_meter.4") is None


def test_orders_are_found_by_meter_status_and_client_id_newest_first(store):
    rows = [order(n, status="executed" if n % 2 else "accepted", ended_s=n if n % 2 else None) for n in range(6)]
    store.checkpoint(b"", {}, [*rows, order(1, meter_id="meter_00002", client_order_id="c' OR 1")])
    store.checkpoint(b"", {}, [rows[0]])  # an update does not make it younger
    numbers = [o["order_id"] for o in store.orders("demo_meter", statuses=["accepted", "partially_filled"])]
    assert numbers == ["demo_meter.4", "demo_meter.2", "demo_meter.0"]
    assert len(store.orders(limit=3)) == 3
    assert [o["order_id"] for o in store.orders(client_order_id="c' OR 1")] == ["meter_00002.1"]


def test_entries_are_found_by_meter_and_time(store):
    store.checkpoint(b"", {}, [], [entry(n, time_s=float(n)) for n in range(6)])
    assert [e["entry_id"] for e in store.entries("demo_meter", 1, 4, 100)] == ["e1", "e2", "e3"]
    assert [e["entry_id"] for e in store.entries("demo_meter", 1, 9, 2)] == ["e4", "e5"]
    assert store.entries("nobody", 0, 9, 100) == []


def test_entries_add_up(store):
    booked = [("order", 5, 3), ("surplus", 7, 4), ("order", -20, -9), ("imbalance", 2, -1), ("imbalance", -3, -2)]
    rows = [
        entry(n, time_s=float(n)) | {"kind": kind, "energy_mwh": mwh, "amount_utok": utok}
        for n, (kind, mwh, utok) in enumerate(booked)
    ]
    store.checkpoint(b"", {}, [], rows)
    assert store.sums("demo_meter", 0, 9) == list(totals_of(rows)) == [5, 12, 20, 2, 3, -5]
    assert store.sums("demo_meter", 3, 4) == [1, 0, 0, 2, 0, -1]
    assert store.sums("nobody", 0, 9) == [0] * 6
    assert store.balance_utok("demo_meter", 2) == 7


def test_the_sums_of_quarter_hours_are_found_by_time(store):
    store.checkpoint(b"", {}, quarters={900.0: (1, 2), 1800.0: (3, 4), 2700.0: (5, 6)})
    store.checkpoint(b"", {}, quarters={1800.0: (7, 8)})
    assert store.quarters(0, 2700, 100) == {900.0: [1, 2], 1800.0: [7, 8]}
    assert list(store.quarters(0, 9000, 2)) == [1800.0, 2700.0]


def test_a_checkpoint_that_fails_half_way_changes_nothing(store):
    store.checkpoint(b"one", {}, [order(1)])
    store.append([COMMAND])
    with pytest.raises(KeyError):
        store.checkpoint(b"two", {}, [order(2)], [{"no key": 1}])
    saved = store.load()
    assert (saved.checkpoint, saved.orders, saved.journal) == (b"one", [order(1)], [COMMAND])


def test_a_full_disk_refuses_and_the_next_one_works_when_there_is_space(store):
    store.checkpoint(b"one", {}, [order(1)])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="the disk is full"):
        store.checkpoint(bytes(100_000), {}, [order(2)])
    saved = store.load()
    assert (saved.checkpoint, saved.orders) == (b"one", [order(1)])
    store.checkpoint(bytes(100_000), {}, [order(2)])
    assert reopened_checkpoint(store) == bytes(100_000)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Make the kernel refuse to let any file of this process grow beyond `limit` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_disk_that_refuses_writes_is_told_and_got_over(store):
    store.checkpoint(b"one", {}, [order(1)])
    with file_size_limit(4096):
        for _ in range(2):
            with pytest.raises(StorageError, match=r"main\.db cannot be used"):
                store.append([COMMAND] * 10_000)
    store.append([COMMAND])
    saved = store.load()
    assert (saved.checkpoint, saved.orders, saved.journal) == (b"one", [order(1)], [COMMAND])


def test_a_connection_that_became_read_only_is_got_over(store):
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="readonly"):
        store.append([COMMAND])
    store.checkpoint(b"two", {})
    assert reopened_checkpoint(store) == b"two"


def reopened_checkpoint(store):
    again = reopened(store)
    saved = again.load()
    again.close()
    return saved.checkpoint


def garbage(path):
    path.write_bytes(b"not a database at all\n" * 500)


def broken_header(path):
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def broken_pages(path):
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x55" * (len(content) - 4096))


def cut_off(path):
    path.write_bytes(path.read_bytes()[:6000])


@pytest.mark.parametrize("damage", [garbage, broken_header, broken_pages, cut_off])
def test_a_damaged_file_is_set_aside_unchanged_with_a_clear_message(store, path, caplog, damage):
    store.checkpoint(b"one", {}, [order(n) for n in range(99)])
    store.close()
    damage(path)
    content = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        store = CommunityStore(path)
    assert store.load().checkpoint is None
    [aside] = path.parent.glob("main.db.corrupt-*")
    assert aside.read_bytes() == content
    assert str(path) in caplog.text
    assert aside.name in caplog.text
    store.checkpoint(b"two", {})
    assert reopened_checkpoint(store) == b"two"


def test_a_file_of_a_newer_version_is_refused_and_left_alone(store, path):
    store.checkpoint(b"one", {})
    store.close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    content = path.read_bytes()
    with pytest.raises(StorageError, match="newer"):
        CommunityStore(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("where", ["file/main.db", "file/deeper/main.db", "directory", "nul\0byte/main.db"])
def test_a_path_that_cannot_be_used_is_one_clear_error(tmp_path, where):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StorageError, match="cannot be used") as caught:
        CommunityStore(tmp_path / where)
    assert "\n" not in str(caught.value)


def test_a_directory_that_may_only_be_read_is_told(path, monkeypatch):
    monkeypatch.setattr("os.access", lambda _path, mode: mode != os.W_OK)  # root may write anywhere
    with pytest.raises(StorageError, match=r"cannot be used: .* cannot be written \(read-only\?\)"):
        CommunityStore(path)


def test_nothing_is_taken_for_saved_in_a_file_that_is_removed(store, path):
    store.checkpoint(b"one", {})
    aside = path.rename(path.with_name("aside"))
    for _ in range(2):
        with pytest.raises(StorageError, match="not there any more"):
            store.append([COMMAND])
        assert not path.exists()
    aside.rename(path)
    store.append([COMMAND])
    saved = store.load()
    assert (saved.checkpoint, saved.journal) == (b"one", [COMMAND])


HOLD = """
import sys
from pathlib import Path
from wattswap_mqtt.store.community_store import CommunityStore
store = CommunityStore(Path(sys.argv[1]))
for number in range(1, 1_000_000):
    store.append([("demo_meter", "switches/set", b"%d" % number)])
    print(number, flush=True)
    if number % 5 == 0:
        store.checkpoint(b"%d" % number, {"demo_meter": {"number": number}})
"""


def test_two_processes_do_not_share_a_file_and_kill_9_frees_it_with_all_that_was_acknowledged(path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        for _ in range(20):
            acknowledged = int(holder.stdout.readline())
        with pytest.raises(StorageError, match="another process uses it"):
            CommunityStore(path)
        holder.kill()
        acknowledged = max([acknowledged, *(int(line) for line in holder.stdout if line.endswith("\n"))])
    store = CommunityStore(path)
    saved = store.load()
    store.close()
    contained = int(saved.checkpoint)
    assert saved.meters == {"demo_meter": {"number": contained}}
    numbers = [int(payload) for _, _, payload in saved.journal]
    assert numbers == list(range(contained + 1, contained + 1 + len(numbers)))
    assert contained + len(numbers) >= acknowledged
    assert not list(path.parent.glob("*.corrupt-*"))


def test_two_stores_in_one_process_do_not_share_a_file_either(store, path):
    with pytest.raises(StorageError, match="another process uses it"):
        CommunityStore(path)
    store.checkpoint(b"one", {})
    assert reopened_checkpoint(store) == b"one"
