"""The durable state of a community: all or nothing, kept through kill -9, damage told and never overwritten."""

import logging
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.store.community_store import VERSION, CommunityStore


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


def reopened(store):
    store.close()
    return CommunityStore(store.path)


def test_a_new_file_holds_nothing(store):
    assert store.load() is None


def test_what_was_saved_is_loaded(store):
    switches = {"demo_meter": {"daytime": True, "fault_inject": {"bias_pct": 10}}, "meter_00002": {"ev_mode": "solar"}}
    store.save(
        checkpoint=b"\x00\xff" * 99,
        clock_s=12.5,
        switches=switches,
        orders=[order(1)],
        entries=[entry(1)],
        durable=True,
    )
    store = reopened(store)
    saved = store.load()
    assert saved is not None
    assert (saved.checkpoint, saved.clock_s, saved.switches) == (b"\x00\xff" * 99, 12.5, switches)
    assert (saved.orders, saved.entries) == ([order(1)], [entry(1)])
    store.close()


def test_rows_of_the_same_key_are_replaced_and_the_checkpoint_stays_unless_given(store):
    store.save(
        checkpoint=b"one", clock_s=1, switches={"a": {"daytime": True}}, orders=[order(1), order(2)], durable=False
    )
    store.save(
        clock_s=2, switches={"a": {"daytime": False}}, orders=[order(1, status="executed", ended_s=2)], durable=True
    )
    saved = store.load()
    assert (saved.checkpoint, saved.clock_s, saved.switches) == (b"one", 2, {"a": {"daytime": False}})
    assert saved.orders == [order(1, status="executed", ended_s=2), order(2)]


def test_load_leaves_out_orders_that_ended_long_ago_but_finds_them_by_id(store):
    old = order(1, status="executed", ended_s=1000)
    store.save(clock_s=9000, orders=[old, order(2, status="failed", ended_s=8000), order(3)], durable=True)
    assert [o["order_id"] for o in store.load(ended_within_s=3600).orders] == ["demo_meter.2", "demo_meter.3"]
    assert store.order("demo_meter.1") == old
    assert store.order("demo_meter.4") is None


def test_orders_are_found_by_meter_status_and_client_id_newest_first(store):
    rows = [order(n, status="executed" if n % 2 else "accepted", ended_s=n if n % 2 else None) for n in range(6)]
    store.save(clock_s=0, orders=[*rows, order(1, meter_id="meter_00002", client_order_id="c' OR 1")], durable=True)
    store.save(clock_s=1, orders=[rows[0]], durable=True)  # an update does not make it younger
    numbers = [o["order_id"] for o in store.orders("demo_meter", statuses=["accepted", "partially_filled"])]
    assert numbers == ["demo_meter.4", "demo_meter.2", "demo_meter.0"]
    assert len(store.orders(limit=3)) == 3
    assert [o["order_id"] for o in store.orders(client_order_id="c' OR 1")] == ["meter_00002.1"]


def test_entries_are_found_by_meter_and_time(store):
    store.save(clock_s=0, entries=[entry(n, time_s=float(n)) for n in range(5)], durable=True)
    assert [e["entry_id"] for e in store.entries("demo_meter", start_s=1, end_s=4)] == ["e3", "e2", "e1"]
    assert store.entries("nobody") == []


def test_a_save_that_fails_half_way_changes_nothing(store):
    store.save(checkpoint=b"one", clock_s=1, orders=[order(1)], durable=True)
    with pytest.raises(KeyError):
        store.save(checkpoint=b"two", clock_s=2, orders=[order(2)], entries=[{"no key": 1}], durable=True)
    saved = store.load()
    assert (saved.checkpoint, saved.clock_s, saved.orders) == (b"one", 1, [order(1)])


def test_a_full_disk_refuses_the_save_and_the_next_one_works_when_there_is_space(store):
    store.save(checkpoint=b"one", clock_s=1, orders=[order(1)], durable=True)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="the disk is full"):
        store.save(checkpoint=bytes(100_000), clock_s=2, orders=[order(2)], durable=True)
    saved = store.load()
    assert (saved.checkpoint, saved.clock_s, saved.orders) == (b"one", 1, [order(1)])
    store.save(checkpoint=bytes(100_000), clock_s=3, orders=[order(2)], durable=True)
    assert reopened_clock(store) == 3


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
    store.save(checkpoint=b"one", clock_s=1, orders=[order(1)], durable=True)
    with file_size_limit(4096):
        for clock_s in (2, 3):
            with pytest.raises(StorageError, match=r"main\.db cannot be used"):
                store.save(checkpoint=bytes(200_000), clock_s=clock_s, orders=[order(2)], durable=True)
    store.save(clock_s=4, switches={"demo_meter": {"daytime": True}}, durable=True)
    saved = store.load()
    assert (saved.checkpoint, saved.clock_s, saved.orders) == (b"one", 4, [order(1)])


def test_a_connection_that_became_read_only_is_got_over(store):
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="readonly"):
        store.save(clock_s=1, durable=True)
    store.save(clock_s=2, durable=True)
    assert reopened_clock(store) == 2


def reopened_clock(store):
    again = reopened(store)
    saved = again.load()
    again.close()
    return saved.clock_s


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
    store.save(checkpoint=b"one", clock_s=1, orders=[order(n) for n in range(99)], durable=True)
    store.close()
    damage(path)
    content = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        store = CommunityStore(path)
    assert store.load() is None
    [aside] = path.parent.glob("main.db.corrupt-*")
    assert aside.read_bytes() == content
    assert str(path) in caplog.text
    assert aside.name in caplog.text
    store.save(clock_s=2, durable=True)
    assert reopened_clock(store) == 2


def test_a_file_of_a_newer_version_is_refused_and_left_alone(store, path):
    store.save(clock_s=1, durable=True)
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


HOLD = """
import sys
from pathlib import Path
from wattswap_mqtt.store.community_store import CommunityStore
store = CommunityStore(Path(sys.argv[1]))
for number in range(1, 1_000_000):
    switches = {"demo_meter": {"number": number}}
    store.save(checkpoint=bytes(3000), clock_s=number, switches=switches, durable=number % 3 == 0)
    print(number, flush=True)
"""


def test_two_processes_do_not_share_a_file_and_kill_9_frees_it_with_all_that_was_saved(path):
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
    assert saved.clock_s >= acknowledged
    assert saved.switches == {"demo_meter": {"number": saved.clock_s}}
    assert not list(path.parent.glob("*.corrupt-*"))


def test_two_stores_in_one_process_do_not_share_a_file_either(store, path):
    with pytest.raises(StorageError, match="another process uses it"):
        CommunityStore(path)
    store.save(clock_s=1, durable=True)
    assert reopened_clock(store) == 1
