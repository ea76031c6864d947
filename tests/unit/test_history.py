import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest

from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.moments import DAY_S
from wattswap_mqtt.store import history as history_module
from wattswap_mqtt.store import pages
from wattswap_mqtt.store.history import History
from wattswap_mqtt.store.levels import HOUR_S, Policy

NOON = int(datetime(2026, 6, 21, 12, tzinfo=UTC).timestamp())
METER = "demo_meter"


def snapshot(
    time_s: float, *, pv_kw: float | None = 1.0, register: float = 0.0, meter_id: str = METER, tz="UTC"
) -> bytes:
    return orjson.dumps(
        {
            "meter_id": meter_id,
            "timestamp": datetime.fromtimestamp(time_s, ZoneInfo(tz)).isoformat(),
            "tz": tz,
            "pv": {"pv_power_kw": pv_kw, "pv_status": "on"},
            "loads": {"appliance": {"fridge_kw": pv_kw}},
            "derived": {"energy_imported_kwh": register, "autonomy_hours": None},
            "market": {"pending_orders": 2},
            "alarms": [],
        }
    )


@pytest.fixture
def history(tmp_path):
    opened = History(tmp_path / "history.sqlite", Policy(fine_s=HOUR_S, minute_s=DAY_S))
    yield opened
    opened.close()


def fill(history: History, start_s: int, seconds: int, step: int = 1, **fixed) -> None:
    for index, time_s in enumerate(range(start_s, start_s + seconds, step)):
        history.append(METER, snapshot(time_s, **({"pv_kw": index % 10, "register": index} | fixed)))
        history.flush()


def ask(history: History, start_s: float, end_s: float, **how) -> list[dict]:
    return [orjson.loads(row) for row in history.query(METER, int(start_s * 1000), int(end_s * 1000), **how).rows]


def times(rows: list[dict]) -> list[float]:
    return [datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows]


def levels(history: History) -> dict[int, int]:
    with sqlite3.connect(history.path) as db:
        found = dict(db.execute("SELECT level, count(*) FROM sample GROUP BY level"))
    db.close()
    return found


def test_what_was_appended_comes_back_byte_for_byte_even_before_it_is_flushed(history):
    payload = snapshot(NOON)
    history.append(METER, payload)
    assert history.query(METER, NOON * 1000, NOON * 1000).rows == [payload]


def test_the_same_moment_twice_is_kept_once_and_the_newest_wins(history):
    history.append(METER, snapshot(NOON, pv_kw=1))
    history.append(METER, snapshot(NOON, pv_kw=2))
    history.flush()
    history.append(METER, snapshot(NOON, pv_kw=3))
    assert [row["pv"]["pv_power_kw"] for row in ask(history, NOON, NOON)] == [3]


@pytest.mark.parametrize(
    "junk",
    [b"", b"offline", b"[1]", b"{}", b'{"timestamp": 5}', b'{"timestamp": "2026-06-21T12:00:00"}', b"\xff\xfe", b"NaN",
     b'{"timestamp": "0001-01-01T00:00:00+14:00"}', b'{"timestamp": "9999-12-31T23:59:59-12:00"}'],
)  # fmt: skip
def test_what_is_no_snapshot_is_left_out(history, junk):
    history.append(METER, junk)
    history.append(METER, snapshot(NOON))
    assert len(ask(history, 0, 2**40)) == 1
    assert history.trouble is None


def test_an_unknown_meter_has_no_history(history):
    assert history.query("nobody", 0, 2**50).rows == []
    assert not history.knows("nobody")


def test_bins_hold_the_mean_of_powers_and_the_last_of_everything_else(history):
    fill(history, NOON, 65)
    [first, second] = ask(history, NOON, NOON + 65, resolution_s=60)
    assert first["pv"] == {"pv_power_kw": 4.5, "pv_status": "on"}
    assert first["loads"]["appliance"]["fridge_kw"] == 4.5
    assert first["derived"] == {"energy_imported_kwh": 59, "autonomy_hours": None}
    assert first["market"] == {"pending_orders": 2}
    assert times([first, second]) == [NOON, NOON + 60]
    assert second["pv"]["pv_power_kw"] == 2.0  # of five seconds: the bin is not over
    assert levels(history) == {1: 65, 60: 1}


def test_a_mean_leaves_out_what_is_null(history):
    for second, value in enumerate((None, 2.0, 4.0)):
        history.append(METER, snapshot(NOON + second, pv_kw=value))
    [row] = ask(history, NOON, NOON + 60, resolution_s=60)
    assert row["pv"]["pv_power_kw"] == 3.0


def test_a_coarser_bin_weighs_its_parts_by_what_they_stand_for(history):
    fill(history, NOON, 60, pv_kw=1.0)  # sixty ones
    fill(history, NOON + 60, 60, step=20, pv_kw=5.0)  # three fives
    fill(history, NOON + 900, 1)
    [row] = ask(history, NOON, NOON + 900, resolution_s=900)
    assert row["pv"]["pv_power_kw"] == pytest.approx((60 + 15) / 63, abs=1e-3)
    assert levels(history)[900] == 1


def test_retention_is_counted_from_the_newest_snapshot_and_leaves_whole_bins(history):
    fill(history, NOON, 3 * 3600, step=10)
    fine = ask(history, NOON + 2 * 3600, NOON + 3 * 3600)
    everything = ask(history, NOON, NOON + 3 * 3600)
    assert len(fine) == 360
    steps = [later - time for time, later in pairwise(times(everything))]
    changes = steps.index(10)
    assert set(steps[:changes]) == {60}  # by the minute where seconds are gone
    assert set(steps[changes:]) == {10}
    oldest_fine = times(everything)[changes]
    assert oldest_fine % 60 == 0
    assert NOON + 2 * 3600 - 60 <= oldest_fine <= NOON + 2 * 3600


def test_each_moment_is_answered_once_at_every_resolution(history):
    fill(history, NOON, 4000, step=5, register=0.0)
    for resolution_s in (1, 10, 60, 900, 3600, 86400):
        rows = ask(history, NOON, NOON + 4000, resolution_s=resolution_s)
        assert times(rows) == sorted(set(times(rows)))
        assert all(time % resolution_s == 0 for time in times(rows) if resolution_s <= 900)
    assert len(ask(history, NOON, NOON + 4000, resolution_s=900)) == 5
    assert len(ask(history, NOON, NOON + 4000, resolution_s=3600)) == 2


def test_a_range_in_bins_is_widened_to_whole_bins_and_ends_before_its_end(history):
    fill(history, NOON, 180, step=10)
    rows = ask(history, NOON + 70, NOON + 120, resolution_s=60)
    assert times(rows) == [NOON + 60]
    assert times(ask(history, NOON + 70, NOON + 121, resolution_s=60)) == [NOON + 60, NOON + 120]
    assert times(ask(history, NOON + 70, NOON + 70, resolution_s=60)) == [NOON + 60]


def test_days_and_hours_are_those_of_the_meters_clocks(history):
    kolkata = ZoneInfo("Asia/Kolkata")
    midnight = int(datetime(2026, 6, 22, tzinfo=kolkata).timestamp())
    fill(history, midnight - 7200, 10800, step=600)
    days = ask(history, midnight - 7200, midnight + 3600, resolution_s=86400, zone=kolkata)
    assert times(days) == [midnight - 86400, midnight]
    hours = ask(history, midnight - 7200, midnight + 3600, resolution_s=3600, zone=kolkata)
    assert times(hours) == [midnight - 7200, midnight - 3600, midnight]


def test_a_day_may_have_25_hours(history):
    berlin = ZoneInfo("Europe/Berlin")
    start = int(datetime(2026, 10, 25, tzinfo=berlin).timestamp())
    fill(history, start, 26 * 3600, step=1800, tz="Europe/Berlin")
    rows = ask(history, start, start + 26 * 3600, resolution_s=86400, zone=berlin)
    assert times(rows) == [start, start + 25 * 3600]
    assert [row["timestamp"] for row in rows] == ["2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"]


def test_pages_join_to_the_whole(history):
    fill(history, NOON, 300, step=3)
    for how in ({}, {"resolution_s": 10}):
        whole = history.query(METER, NOON * 1000, (NOON + 300) * 1000, **how)
        assert whole.next_ms is None
        rows, start_ms = [], NOON * 1000
        while start_ms is not None:
            page = history.query(METER, start_ms, (NOON + 300) * 1000, limit=7, **how)
            assert len(page.rows) <= 7
            rows += page.rows
            start_ms = page.next_ms
        assert rows == whole.rows


def test_a_page_has_a_size_that_fits_into_memory(history, monkeypatch):
    monkeypatch.setattr(pages, "PAGE_BYTES", 1000)
    fill(history, NOON, 20)
    page = history.query(METER, NOON * 1000, (NOON + 300) * 1000)
    assert 0 < len(page.rows) < 20
    assert page.next_ms == (NOON + len(page.rows)) * 1000


def test_fields_keep_the_shape_of_the_snapshot(history):
    history.append(METER, snapshot(NOON, pv_kw=2.0))
    [row] = ask(
        history, NOON, NOON, fields=("pv.pv_power_kw", "loads.appliance.fridge_kw", "market", "ev.soc_pct", "tz")
    )
    assert row == {
        "timestamp": "2026-06-21T12:00:00+00:00",
        "pv": {"pv_power_kw": 2.0},
        "loads": {"appliance": {"fridge_kw": 2.0}},
        "market": {"pending_orders": 2},
        "ev": {"soc_pct": None},
        "tz": "UTC",
    }


def test_a_clock_that_runs_far_ahead_or_jumps_back_loses_nothing(history):
    fill(history, NOON, 7200, step=60)
    fill(history, NOON + 86400 * 300, 60, step=20)
    fill(history, NOON - 86400 * 900, 7200, step=60)
    assert len(ask(history, NOON - 86400 * 900, NOON - 86400 * 900 + 7200)) == 120
    assert len(ask(history, NOON + 86400 * 300, NOON + 86400 * 301)) == 3
    assert len(ask(history, NOON, NOON + 7200, resolution_s=900)) == 8


def test_a_bin_that_the_clock_left_and_came_back_to_is_told_whole(history):
    fill(history, NOON, 90, pv_kw=1.0, register=1.0)
    fill(history, NOON + 3600, 5, pv_kw=1.0, register=2.0)  # its clock is an hour fast, for five seconds
    fill(history, NOON + 95, 85, pv_kw=3.0, register=3.0)
    for resolution_s in (60, 900, 3600):
        row = ask(history, NOON, NOON + 180, resolution_s=resolution_s)[-1]
        assert row["derived"]["energy_imported_kwh"] == 3.0
    [quarter] = ask(history, NOON, NOON + 180, resolution_s=900)
    assert quarter["pv"]["pv_power_kw"] == pytest.approx((90 * 1.0 + 85 * 3.0) / 175, abs=0.001)


def test_late_rows_do_not_replace_a_bin_of_more(tmp_path):
    history = History(tmp_path / "history.sqlite", Policy(fine_s=0, minute_s=0))
    fill(history, NOON, 7200, step=60, pv_kw=1.0)
    history.append(METER, snapshot(NOON + 30, pv_kw=9.0))
    fill(history, NOON + 7200, 1)
    assert ask(history, NOON, NOON + 900, resolution_s=900)[0]["pv"]["pv_power_kw"] == 1.0
    history.close()


def test_further_meters_of_a_fleet_keep_no_seconds(tmp_path):
    history = History(tmp_path / "history.sqlite", Policy(fine_meters=2, minute_meters=3))
    for step in range(0, 3 * 3600, 30):
        for number in range(5):
            history.append(f"meter_{number}", snapshot(NOON + step, meter_id=f"meter_{number}"))
        history.flush()
    found = {
        number: len(history.query(f"meter_{number}", NOON * 1000, (NOON + 10800) * 1000).rows) for number in range(5)
    }
    assert found[0] == found[1] == 360
    assert found[2] == 180 + 1  # by the minute; the last one as it came
    assert found[3] == found[4] < found[2]  # by the quarter hour, the last hour by the minute
    history.close()


def test_a_flush_takes_a_bounded_number_of_sampled_meters_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(history_module, "SAMPLED", 3)
    history = History(tmp_path / "history.sqlite", Policy(fine_meters=0))
    names = [f"meter_{number}" for number in range(7)]
    for second in range(3):
        for name in names:
            history.append(name, snapshot(NOON + second, meter_id=name))
        history.flush()
    assert all(history.knows(name) for name in names)
    assert levels(history) == {1: 9}
    history.close()


def test_what_was_written_is_there_after_a_restart_and_unfinished_bins_are_finished(tmp_path):
    path = tmp_path / "history.sqlite"
    history = History(path)
    fill(history, NOON, 50)
    history.record("event", b'{"n": 1}')
    history.close()
    again = History(path)
    fill(again, NOON + 50, 20)
    assert levels(again) == {1: 70, 60: 1}
    assert len(ask(again, NOON, NOON + 60)) == 61
    assert again.records("event", 10) == [b'{"n": 1}']
    again.close()


def test_the_newest_records_are_kept(history, monkeypatch):
    monkeypatch.setattr(history_module, "KEPT_RECORDS", 5)
    for number in range(4):
        history.record("event", b"%d" % number)
        history.record("trade", b"t%d" % number)
        history.flush()
    assert history.records("event", 10) == [b"2", b"3"]
    assert history.records("trade", 1) == [b"t3"]


def test_rows_of_an_older_release_stay_readable(tmp_path, monkeypatch):
    path = tmp_path / "history.sqlite"
    history = History(path)
    fill(history, NOON, 3)
    history.close()
    monkeypatch.setattr("wattswap_mqtt.store.levels.__version__", "99.0")
    history = History(path)
    fill(history, NOON + 3, 3)
    assert len(ask(history, NOON, NOON + 10)) == 6
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(DISTINCT dictionary) FROM sample").fetchone() == (2,)
    db.close()
    history.close()


def test_a_row_that_cannot_be_read_is_left_out(history, caplog):
    fill(history, NOON, 3)
    with sqlite3.connect(history.path) as db:
        db.execute("UPDATE sample SET body = x'00' WHERE t = ?", ((NOON + 1) * 1000,))
    db.close()
    assert times(ask(history, NOON, NOON + 10)) == [NOON, NOON + 2]
    assert "cannot be read" in caplog.text


def test_a_damaged_file_is_set_aside_and_said(tmp_path, caplog):
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"this is no database" * 100)
    history = History(path)
    history.append(METER, snapshot(NOON))
    assert len(ask(history, NOON, NOON)) == 1
    history.close()
    [aside] = tmp_path.glob("*.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert "set aside" in caplog.text


def test_a_file_that_is_damaged_within_is_set_aside(tmp_path):
    path = tmp_path / "history.sqlite"
    history = History(path)
    fill(history, NOON, 200)
    history.close()
    whole = bytearray(path.read_bytes())
    whole[4096 * 3 : 4096 * 5] = os.urandom(8192)
    path.write_bytes(whole)
    History(path).close()
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1


def test_damage_that_shows_later_starts_a_new_file(tmp_path, caplog):
    path = tmp_path / "history.sqlite"
    history = History(path)
    fill(history, NOON, 10)
    history._disconnect()
    path.write_bytes(b"ruined" * 2000)
    fill(history, NOON + 10, 1)
    fill(history, NOON + 11, 1)
    assert len(ask(history, NOON, NOON + 20)) >= 1
    assert "set aside" in caplog.text
    history.close()


def test_a_file_of_a_newer_release_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer release"):
        History(path)
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_used_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        History(tmp_path / "file" / "history.sqlite")


def test_a_full_disk_pauses_the_history_once_said_and_it_goes_on_when_there_is_room(history, caplog):
    fill(history, NOON, 5)
    history._db.execute(f"PRAGMA max_page_count={history._db.execute('PRAGMA page_count').fetchone()[0]}")
    reopen, limited = history._open, history._db

    def full() -> sqlite3.Connection:
        raise StorageError("database or disk is full")

    history._open = full
    for second in range(5, 300):
        history.append(METER, snapshot(NOON + second, pv_kw=second))
        history.flush()
    assert "full" in history.trouble
    assert history.lost > 0
    assert caplog.text.count("the history pauses") == 1
    with pytest.raises(sqlite3.ProgrammingError):
        limited.execute("SELECT 1")  # the connection that failed was closed

    history._open = reopen
    fill(history, NOON + 300, 1)
    assert history.trouble is None
    assert caplog.text.count("is being written again") == 1
    assert times(ask(history, NOON + 300, NOON + 300)) == [NOON + 300]


def test_a_file_that_is_removed_is_begun_anew(history, caplog):
    fill(history, NOON, 5)
    shutil.rmtree(history.path.parent)
    fill(history, NOON + 5, 5)
    assert times(ask(history, NOON, NOON + 10)) == [NOON + second for second in range(5, 10)]
    assert "is not there any more" in caplog.text


def test_the_thread_writes_by_itself(tmp_path):
    history = History(tmp_path / "history.sqlite").start()
    history.append(METER, snapshot(NOON))
    for _ in range(3000):
        if history.knows(METER):
            break
        history._thread.join(0.01)
    assert history.knows(METER)
    history.close()
    assert not history._thread.is_alive()


def test_kill_9_loses_nothing_that_was_flushed(tmp_path):
    script = """
import sys, os
sys.path.insert(0, sys.argv[2])
from test_history import *
history = History(Path(sys.argv[1]))
fill(history, NOON, 130)
print("flushed", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "history.sqlite"
    done = subprocess.run([sys.executable, "-c", script, path, Path(__file__).parent], capture_output=True, check=False)
    assert done.stdout == b"flushed\n"
    assert done.returncode == -signal.SIGKILL
    history = History(path)
    assert len(ask(history, NOON, NOON + 130)) == 130
    fill(history, NOON + 130, 60)
    assert levels(history) == {1: 190, 60: 3}
    history.close()
