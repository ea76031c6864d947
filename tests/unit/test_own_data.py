"""Recorded series from CSV files: what is read, and the one line that says what is wrong."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wattswap_mqtt.config import load_settings
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.recorded import Series
from wattswap_mqtt.founding import found_community, own_data_of
from wattswap_mqtt.own_data import StoredSeries, read_series

BERLIN = ZoneInfo("Europe/Berlin")
IDS = ("demo_meter", "meter_00002")
DAY = [f"2026-06-21T{hour:02}:00" for hour in range(24)]


def written(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "own.csv"
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
    return path


def stored(folder: Path, *lines: str | bytes, zone: ZoneInfo = BERLIN) -> StoredSeries:
    return read_series("--load-csv", written(folder, *lines), IDS, zone)


def series(folder: Path, *lines: str | bytes, zone: ZoneInfo = BERLIN) -> Series:
    return stored(folder, *lines, zone=zone).series()


def times(first: str, last: str, minutes: int) -> list[datetime]:
    """Return what a clock in Berlin shows, without an offset."""
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC) for text in (first, last))
    count = round((end - begin) / timedelta(minutes=minutes))
    return [
        (begin + timedelta(minutes=minutes) * step).astimezone(BERLIN).replace(tzinfo=None, fold=0)
        for step in range(count)
    ]


@pytest.mark.parametrize(
    ("heading", "cell", "kw"),
    [
        ("power_kw", "1.25", 1.25),
        ("power_w", "1250", 1.25),
        ("energy_kwh", "1.25", 1.25),
        ("energy_wh", "1250", 1.25),
        ("Power_kW", " 1.25", 1.25),
        ("demo_meter_power_kw", "1.25", 1.25),
        ("demo_meter:power_w", "1250", 1.25),
    ],
)
def test_the_heading_tells_the_unit(tmp_path, heading, cell, kw):
    read = series(tmp_path, f"timestamp,{heading}", *(f"{hour},{cell}" for hour in DAY))
    assert read.mean_kw(read.start_s, 60.0)[0] == pytest.approx(kw, rel=1e-15)


def test_energies_are_those_of_the_interval(tmp_path):
    quarters = [f"{moment.isoformat()},0.25" for moment in times("2026-06-21", "2026-06-22", 15)]
    assert series(tmp_path, "timestamp,energy_kwh", *quarters).kw == pytest.approx(1.0)


def test_a_column_of_its_own_beats_that_of_all(tmp_path):
    read = series(tmp_path, "timestamp,power_kw,meter_00002_power_w", *(f"{hour},1,2000" for hour in DAY))
    assert read.mean_kw(read.start_s, 1.0).tolist() == [1.0, 2.0]


def test_a_home_without_a_column_has_none(tmp_path):
    read = series(tmp_path, "timestamp,meter_00002_power_kw", *(f"{hour},1" for hour in DAY))
    assert read.column.tolist() == [-1, 0]
    assert np.isnan(read.mean_kw(read.start_s, 1.0)[0])


def test_semicolons_comments_blank_lines_and_a_byte_order_mark(tmp_path):
    lines = ["\ufeff# from my meter", "timestamp;power_kw", "", *(f"{hour};1,5" for hour in DAY), "# the end"]
    assert set(series(tmp_path, *lines).kw.ravel().tolist()) == {1.5}


def test_windows_line_ends_quotes_and_decimal_points_between_semicolons(tmp_path):
    quoted = ['"timestamp","power_kw"\r', *(f'"{hour}","1.5"\r' for hour in DAY)]
    points = ["timestamp;power_kw", *(f"{hour};1.5" for hour in DAY)]
    for lines in (quoted, points):
        assert set(series(tmp_path, *lines).kw.ravel().tolist()) == {1.5}


@pytest.mark.parametrize(
    ("first", "zone", "begin"),
    [
        ("2026-06-21T00:00", BERLIN, "2026-06-20T22:00+00:00"),
        ("2026-06-21 00:00:00", ZoneInfo("UTC"), "2026-06-21T00:00+00:00"),
        ("2026-06-21T00:00+05:30", BERLIN, "2026-06-20T18:30+00:00"),
        ("2026-06-21T00:00Z", BERLIN, "2026-06-21T00:00+00:00"),
    ],
)
def test_timestamps_with_and_without_an_offset(tmp_path, first, zone, begin):
    lines = [f"{first.replace('00:00', f'{hour:02}:00', 1)},1" for hour in range(24)]
    assert (
        series(tmp_path, "timestamp,power_kw", *lines, zone=zone).start_s == datetime.fromisoformat(begin).timestamp()
    )


@pytest.mark.parametrize(
    ("first", "last", "hours"), [("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25)]
)
@pytest.mark.parametrize("minutes", [60, 15, 1])
def test_the_days_of_23_and_25_hours(tmp_path, first, last, hours, minutes):
    lines = [f"{moment.isoformat()},{number % 7}" for number, moment in enumerate(times(first, last, minutes))]
    if hours == 23:
        lines += [f"{moment.isoformat()},1" for moment in times("2026-03-30", "2026-03-31", minutes)]
    read = series(tmp_path, "timestamp,power_kw", *lines)
    assert len(read.kw) == (hours + 24 * (hours == 23)) * 60 / minutes
    assert read.start_s == datetime.fromisoformat(first).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("lines", "place", "problem"),
    [
        ([], "line 1", "the file is empty: it takes a heading such as timestamp,power_kw"),
        (["# nothing", "", "# at all"], "line 3", "the file is empty"),
        (
            ["Zeitstempel;Leistung_kW"],
            "line 1",
            "takes a heading such as timestamp,power_kw, not 'Zeitstempel;Leistung",
        ),
        (["timestamp\tpower_kw"], "line 1", r"takes a heading such as timestamp,power_kw, not 'timestamp\tpower_kw'"),
        (
            ["timestamp;power_w", f"{DAY[0]};999,5", f"{DAY[1]};1.234"],
            "line 3",
            "with a decimal ',' as above, not '1.234'",
        ),
        (["timestamp;power_w", f"{DAY[0]};999.5", f"{DAY[1]};1,5"], "line 3", "with a decimal '.' as above, not '1,5'"),
        (["timestamp;power_w", f"{DAY[0]};1", f"{DAY[1]};1.234,5"], "line 3", "power_w is a number"),
        (["timestamp,power_w", f'{DAY[0]},"1,5"', f"{DAY[1]},1"], "line 2", "power_w is a number, not '1,5'"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},\0"], "line 3", "power_kw is a number"),
        (["time,power_kw"], "line 1", "takes a heading such as timestamp,power_kw, not 'time,power_kw'"),
        (["timestamp"], "line 1", "takes a heading"),
        (["2026-06-21T00:00,1.5"], "line 1", "takes a heading"),
        (["timestamp,load"], "line 1", "column 'load' tells no unit: takes power_kw, power_w, energy_kwh, energy_wh"),
        (["timestamp,power_mw"], "line 1", "column 'power_mw' tells no unit"),
        (["timestamp,nobody_power_kw"], "line 1", "there is no meter nobody; there are demo_meter, meter_00002"),
        (["timestamp,power_kw,power_w"], "line 1", "all homes has two columns: 'power_w' is the second"),
        (["timestamp,power_kw", f"{DAY[0]},1,2"], "line 2", "takes 2 columns, not 3"),
        (["timestamp,power_kw", DAY[0]], "line 2", "takes 2 columns, not 1"),
        (["timestamp,power_kw", "21.06.2026 00:00,1"], "line 2", "a timestamp is ISO 8601"),
        (["timestamp,power_kw", "0001-01-01T00:00,1"], "line 2", "between the years 1971 and 2199"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[0]},1"], "line 3", "comes twice"),
        (["timestamp,power_kw", f"{DAY[1]},1", f"{DAY[0]},1"], "line 3", "is 1 h before the line above"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[2]},1"], "line 3", "the lines are 2 h apart"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[0]}:00.5,1"], "line 3", "the lines are 0.5 s apart"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},1", f"{DAY[3]},1"], "line 4", "gap: 2026-06-21T03:00 is 2 h"),
        (
            ["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},1", "2026-06-21T01:15,1"],
            "line 4",
            "2026-06-21T01:15 is only 15 min after the line above, not 1 h",
        ),
        (
            ["timestamp,power_kw", "2026-03-29T00:00,1", "2026-03-29T01:00,1", "2026-03-29T02:00,1"],
            "line 4",
            "does not exist in Europe/Berlin: the clocks go forward then",
        ),
        (["timestamp,power_kw", f"{DAY[0]},1"], "line 2", "takes two lines at least"),
        (["timestamp,power_kw"], "line 1", "the file ends after 0 s: takes a day at least"),
        (["timestamp,power_kw", *(f"{hour},1" for hour in DAY[:5])], "line 6", "the file ends after 5 h"),
        (["timestamp,power_kw", *(f"{hour}," for hour in DAY)], "line 2", "power_kw is a number, not ''"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},NaN"], "line 3", "power_kw is a number, not 'NaN'"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},inf"], "line 3", "power_kw is a number, not 'inf'"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},-0.1"], "line 3", "power_kw is never negative, not -0.1"),
        (["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},1,5"], "line 3", "takes 2 columns, not 3"),
        (
            ["timestamp,power_kw", f"{DAY[0]},1", f"{DAY[1]},1250"],
            "line 3",
            "power_kw 1250 is 1250 kW, more than 100 kW: is the unit right?",
        ),
        (["timestamp,power_kw", f"{DAY[0]},1", b"\xff\xfe,1"], "line 3", "this is not UTF-8 text"),
        ([b"\xff\xfet\x00i\x00m\x00"], "line 1", "this is not UTF-8 text"),
        (["timestamp,power_kw", f"{DAY[0]},1", "x" * 5_000_000], "line 3", "longer than 4 MiB"),
        (["timestamp,power_kw", f"{DAY[0]},1", f'{DAY[1]},"{"1" * 200_000}"'], "line 3", "field larger than"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, lines, place, problem):
    with pytest.raises(ConfigError) as refused:
        stored(tmp_path, *lines)
    said = str(refused.value)
    assert said.startswith(f"--load-csv {tmp_path / 'own.csv'} {place}: ")
    assert problem in said
    assert "\n" not in said


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"--pv-csv .*none.csv: No such file or directory"):
        read_series("--pv-csv", tmp_path / "none.csv", IDS, BERLIN)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_series("--pv-csv", tmp_path, IDS, BERLIN)


def test_what_was_read_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir()
    good = stored(tmp_path, "timestamp,power_kw", *(f"{hour},1" for hour in DAY))
    assert len(list((tmp_path / "kept").iterdir())) == 1
    kw = good.series().kw
    del good
    assert list((tmp_path / "kept").iterdir()) == []
    assert kw.sum() == 24.0  # still mapped
    with pytest.raises(ConfigError):
        stored(tmp_path, "timestamp,power_kw", *(f"{hour},1" for hour in DAY), "nonsense,1")
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_is_held_at_a_time_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("wattswap_mqtt.own_data._CELLS", 1024)
    path, most = tmp_path / "own.csv", []
    for days in (1, 2, 10):
        begin = datetime(2026, 6, 1, tzinfo=UTC)
        with path.open("w") as file:
            file.write("timestamp,power_kw\n")
            for minute in range(days * 1440):
                file.write(f"{(begin + timedelta(minutes=minute)).isoformat()},{minute % 7}.125\n")
        tracemalloc.start()
        read = read_series("--load-csv", path, IDS, BERLIN)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert read.shape == (days * 1440, 1)
    assert most[2] < most[1] * 1.2  # the first has filled the caches


def test_it_says_what_is_covered_and_what_is_beyond(tmp_path):
    lines = [f"{moment.isoformat()},1" for moment in times("2025-01-01", "2026-01-01", 60)]
    assert str(stored(tmp_path, "timestamp,power_kw", *lines)).endswith(
        "own.csv: 2025-01-01T00:00:00+01:00 to 2026-01-01T00:00:00+01:00, every 1 h; outside it repeats every 364 days"
    )


def test_the_settings_drive_the_homes(tmp_path):
    load = written(tmp_path, "timestamp,power_kw", *(f"{hour},1.5" for hour in DAY))
    settings = load_settings({"load_csv": str(load)}, environ={})
    homes = found_community(settings, datetime.fromisoformat("2026-06-21T03:00+02:00").timestamp())
    assert homes.state.appliances.sum(axis=0).tolist() == pytest.approx([1.5, 1.5])
    only = found_community(settings, homes.clock_s, slice(1, 2), own_data_of(settings))
    assert only.ids == ("meter_00002",)
    assert only.state.appliances.sum() == pytest.approx(1.5)
