"""`wattswap simulate`: what it writes is what the live community counts."""

import csv
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from wattswap_mqtt import cli
from wattswap_mqtt.config import Settings, load_settings
from wattswap_mqtt.core.errors import ConfigError, WattSwapError
from wattswap_mqtt.core.records import Flow, Register
from wattswap_mqtt.founding import found_community, own_data_of
from wattswap_mqtt.headless import run as headless
from wattswap_mqtt.headless.plan import Plan, Span, plan_of
from wattswap_mqtt.headless.run import Wanted, simulate
from wattswap_mqtt.headless.summary import MEASURES, Summary

BERLIN = ZoneInfo("Europe/Berlin")
START = "2026-06-21T00:00+02:00"
START_S = datetime.fromisoformat(START).timestamp()


def plan(span: Span | None = None, *, step: str = "1m", resolution: str = "15m", switches=(), start_s=START_S) -> Plan:
    return plan_of(start_s, span or Span(days=1), step, resolution, switches, BERLIN)


def settings_for(meters: int = 3, **flags: object) -> Settings:
    return load_settings({"meters": str(meters)} | {name: str(value) for name, value in flags.items()}, environ={})


def run(
    folder: Path, wish: Plan, settings: Settings | None = None, *, jobs: int = 1, output: str = "out.csv"
) -> Summary:
    settings = settings or settings_for()
    wanted = Wanted(folder / output, folder / "summary.json", None)
    return simulate(settings, wish, own_data_of(settings), wanted, jobs)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("step_s", [5, 60])
def test_the_energies_are_those_of_the_live_run(tmp_path, step_s):
    """A live simulator advances by the publish interval times the acceleration, and reads the meters each time."""
    settings = settings_for(seed=7)
    summary = run(tmp_path, plan(Span(days=0.25), step=f"{step_s}s"), settings)
    live = found_community(settings, START_S)
    for meter in range(3):
        live.set_switches(meter, {"time_acceleration": float(step_s)})
    first, before, rows = live.state.registers, live.state.registers, iter(rows_of(tmp_path))
    for interval in range(1, 6 * 3600 // step_s + 1):
        live.advance(settings.publish_interval * step_s)
        live.read()
        if interval * step_s % 900 == 0:
            added, before = live.state.registers - before, live.state.registers
            for meter in range(3):
                row = next(rows)
                written = [float(row[f"{Register(flow).name.lower()}_kwh"]) for flow in Flow]
                assert written == pytest.approx(added[: len(Flow), meter], abs=6e-7)
    assert next(rows, None) is None
    assert (summary.ended.registers == live.state.registers - first).all()


def test_every_home_and_period_has_its_row_in_order(tmp_path):
    run(tmp_path, plan(Span(days=0.5), resolution="1h"))
    rows = rows_of(tmp_path)
    assert [row["meter_id"] for row in rows] == ["demo_meter", "meter_00002", "meter_00003"] * 12
    starts = [datetime.fromisoformat(row["start"]) for row in rows[::3]]
    assert starts == [datetime.fromisoformat(START) + timedelta(hours=hour) for hour in range(12)]


def test_the_balance_closes_in_every_row(tmp_path):
    run(tmp_path, plan(), settings_for(5))
    for row in rows_of(tmp_path):
        kwh = {name.removesuffix("_kwh"): float(value) for name, value in row.items() if name.endswith("_kwh")}
        into = kwh["pv"] + kwh["discharged"] + kwh["imported"] + kwh["unserved"]
        assert into == pytest.approx(kwh["load"] + kwh["charged"] + kwh["exported"], abs=4e-6)


def test_parquet_says_the_same_as_csv_and_tells_its_units(tmp_path):
    run(tmp_path, plan(Span(days=0.5)))
    run(tmp_path, plan(Span(days=0.5)), output="out.parquet")
    table, rows = pq.read_table(tmp_path / "out.parquet"), rows_of(tmp_path)
    assert table.num_rows == len(rows)
    assert table.column_names == list(rows[0])
    assert table["meter_id"].to_pylist() == [row["meter_id"] for row in rows]
    assert table["start"].to_pylist() == [datetime.fromisoformat(row["start"]) for row in rows]
    for name in table.column_names[2:]:
        assert table[name].to_numpy() == pytest.approx(np.array([float(row[name]) for row in rows]), abs=6e-4)
        unit = table.schema.field(name).metadata[b"unit"].decode()
        assert name.endswith({"kWh": "_kwh", "%": "_pct"}[unit])
    assert table.schema.metadata[b"seed"] == b"1"


def test_as_many_processes_as_there_are_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(headless, "FEW_HOMES", 1)
    monkeypatch.setattr(headless, "BLOCK_VALUES", 200)  # several blocks
    own = tmp_path / "own.csv"
    own.write_text("timestamp,power_kw\n" + "".join(f"2026-06-21T{hour:02}:00,{hour % 3}\n" for hour in range(24)))
    settings = settings_for(5, load_csv=own)
    seen = []
    for jobs in (1, 3):
        summary = run(tmp_path, plan(Span(days=0.3)), settings, jobs=jobs)
        seen.append(((tmp_path / "out.csv").read_bytes(), summary.ended.registers.tobytes(), summary.ids))
    assert seen[0] == seen[1]


def test_a_process_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(headless, "FEW_HOMES", 1)
    settings = settings_for(4)
    own_data = own_data_of(settings)
    gone = settings.model_copy(update={"price_csv": tmp_path / "gone.csv"})
    with pytest.raises(WattSwapError, match=r"--price-csv .*gone.csv: No such file"):
        simulate(gone, plan(), own_data, Wanted(tmp_path / "out.csv", None, None), 2)
    assert not (tmp_path / "out.csv").exists()


def test_homes_that_trade_stay_in_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(headless, "FEW_HOMES", 1)
    monkeypatch.setattr("multiprocessing.get_context", lambda _: pytest.fail("no process is wanted"))
    wish = plan(switches=["market_enabled=on", "sun_mode=auto"])
    summary = run(tmp_path, wish, jobs=4)
    assert summary.all["token_earnings_apt"] > 0.0
    assert summary.all["token_earnings_apt"] == pytest.approx(summary.all["export_revenue_apt"], abs=1e-4)


def test_what_happens_on_the_market_does_not_pile_up(tmp_path, monkeypatch):
    founded = []

    def founding(*args):
        founded.append(found_community(*args))
        return founded[0]

    monkeypatch.setattr("wattswap_mqtt.headless.homes.found_community", founding)
    wish = plan(Span(days=0.5), switches=["market_enabled=on", "sun_mode=auto"])
    summary = run(tmp_path, wish, settings_for(bots=2, auto_buy_price=0.2))
    assert summary.all["token_earnings_apt"] > 0.0
    [community] = founded
    changes = community.exchange.take_changes()
    assert (community.take_events(), changes.orders, changes.entries) == ([], [], [])
    assert community.exchange.tape.take() == []
    assert community.exchange.tape.trades(1) != []


def test_the_summary_adds_up(tmp_path):
    summary = run(tmp_path, plan(Span(days=2), switches=["sun_mode=auto"]))
    document = json.loads((tmp_path / "summary.json").read_text())
    everything, meters = document["all"], document["meters"].values()
    assert set(document["units"]) == set(everything) == {measure.name for measure in MEASURES}
    for measure in MEASURES:
        if measure.unit != "%":
            assert sum(home[measure.name] for home in meters) == pytest.approx(everything[measure.name], abs=1e-5)
    rows = rows_of(tmp_path)
    assert sum(float(row["pv_kwh"]) for row in rows) == pytest.approx(everything["pv_kwh"], abs=1e-3)
    used = everything["pv_kwh"] - everything["exported_kwh"]
    assert everything["self_consumption_pct"] == pytest.approx(100 * used / everything["pv_kwh"], abs=1e-4)
    assert everything["import_cost_apt"] == pytest.approx(0.30 * everything["imported_kwh"], abs=1e-4)
    assert everything["export_revenue_apt"] == pytest.approx(0.08 * everything["exported_kwh"], abs=1e-4)
    assert everything["co2_emissions_kg"] == pytest.approx(0.45 * everything["imported_kwh"], abs=1e-4)
    assert (document["homes"], document["seed"], document["step_s"]) == (3, 1, 60.0)
    assert summary.table().row_count == len(MEASURES) - 2  # no tokens without a market


def test_a_home_without_pv_has_no_self_consumption(tmp_path):
    run(tmp_path, plan(), settings_for(1))  # the demo meter's sun is a switch
    document = json.loads((tmp_path / "summary.json").read_text())
    assert document["all"]["self_consumption_pct"] is None


def test_energy_is_priced_by_the_quarter_hour_whatever_the_resolution(tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("start,import,feed_in\n00:00,0.10,0.01\n06:30,0.50,0.05\n")
    settings = settings_for(price_csv=prices)
    costs = [run(tmp_path, plan(resolution=resolution), settings).all for resolution in ("15m", "1d")]
    assert costs[0]["cost_apt"] == pytest.approx(costs[1]["cost_apt"], abs=1e-6)
    assert 0.10 < costs[0]["import_cost_apt"] / costs[0]["imported_kwh"] < 0.50


@pytest.mark.parametrize(("start", "days", "hours"), [("2026-03-28", 3, [24, 23, 24]), ("2026-10-24", 3, [24, 25, 24])])
def test_days_are_those_of_the_local_clock(start, days, hours):
    start_s = datetime.fromisoformat(start).replace(tzinfo=BERLIN).timestamp()
    until = (datetime.fromisoformat(start) + timedelta(days=days)).isoformat()
    edges = list(plan(Span(until=until), resolution="1d", start_s=start_s).boundaries())
    assert (np.diff(edges) / 3600).tolist() == hours


def test_a_period_that_begins_or_ends_in_between_is_short():
    edges = list(plan(Span(days=1 / 24), resolution="15m", start_s=START_S + 420.0).boundaries())
    assert [edge - START_S for edge in edges] == [420, 900, 1800, 2700, 3600, 4020]


@pytest.mark.parametrize(
    ("span", "end"),
    [
        (Span(), "2026-06-22T00:00+02:00"),
        (Span(days=0.5), "2026-06-21T12:00+02:00"),
        (Span(years=1), "2027-06-21T00:00+02:00"),
        (Span(until="2026-12-24"), "2026-12-24T00:00+01:00"),
        (Span(until="2026-12-24T00:00Z"), "2026-12-24T01:00+01:00"),
    ],
)
def test_how_long(span, end):
    assert plan(span).end_s == datetime.fromisoformat(end).timestamp()


def test_a_year_from_a_leap_day():
    start_s = datetime.fromisoformat("2028-02-29T00:00+01:00").timestamp()
    assert plan(Span(years=1), start_s=start_s).end_s == datetime.fromisoformat("2029-02-28T00:00+01:00").timestamp()


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"span": Span(days=1, years=1)}, "give one of --days, --years and --until"),
        ({"span": Span(days=-1)}, "simulates at least a step"),
        ({"span": Span(days=float("nan"))}, "simulates at least a step"),
        ({"span": Span(days=1e9)}, "at most 100 years"),
        ({"span": Span(years=10**9)}, "at most 100 years"),
        ({"span": Span(years=0)}, "simulates at least a step"),
        ({"span": Span(years=-9000)}, "simulates at least a step"),
        ({"span": Span(until="0001-01-01")}, "--until takes times between the years 1971 and 2199"),
        ({"span": Span(until="2020-01-01")}, "simulates at least a step"),
        ({"span": Span(until="tomorrow")}, "--until takes an ISO 8601 time such as 2027-01-01, not 'tomorrow'"),
        ({"step": "90s"}, "--step takes 1s, 2s, 3s, 5s"),
        ({"step": "0"}, "--step takes a length of time"),
        ({"step": "fast"}, "--step takes a length of time such as 30s, 15m or 1h, not 'fast'"),
        ({"resolution": "7m"}, "--resolution takes a multiple of the step that divides an hour"),
        ({"resolution": "2h"}, "--resolution takes"),
        ({"resolution": "30s"}, "--resolution takes"),
        ({"switches": ["sun"]}, "--switch: there is no switch"),
        ({"switches": ["daytime"]}, "--switch takes NAME=VALUE"),
        ({"switches": ["daytime=maybe"]}, "--switch: daytime takes ON or OFF"),
        ({"switches": ["time_acceleration=3"]}, "--switch takes NAME=VALUE, of any switch but time_acceleration"),
    ],
)
def test_what_cannot_be_planned(wishes, said):
    with pytest.raises(ConfigError) as refused:
        plan(**wishes)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (("out.xlsx", None, None), "--output takes a file that ends in .csv or .parquet, not"),
        ((None, None, "plot.gif"), "--plot takes a file that ends in .svg or .png, not"),
        (("none/out.csv", None, None), "there is no such folder"),
        ((None, "none/s.json", None), "there is no such folder"),
        (("same.csv", "./same.csv", None), "--summary .*: this is the file of --output"),
        (("own.csv", None, None), "--output .*: this is the file of --load-csv"),
        (("protected.csv", None, None), "--output .*protected.csv: Permission denied"),
        ((None, "closed/s.json", None), "--summary .*closed/s.json: Permission denied"),
    ],
)
def test_what_could_not_be_written_is_said_before_the_run(tmp_path, monkeypatch, wanted, said):
    closed = {"closed", "protected.csv"}
    (tmp_path / "closed").mkdir()
    (tmp_path / "protected.csv").touch()
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path).name not in closed)  # root may write anywhere
    files = Wanted(*(None if name is None else tmp_path / name for name in wanted))
    with pytest.raises(ConfigError, match=said):
        files.check(Settings(load_csv=tmp_path / "own.csv"))


@pytest.mark.parametrize(("module", "name"), [("pyarrow", "out.parquet"), ("matplotlib", "plot.svg")])
def test_what_is_not_installed_is_said_with_what_to_install(tmp_path, monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    for ours in ("parquet", "plots"):
        monkeypatch.delitem(sys.modules, f"wattswap_mqtt.headless.{ours}", raising=False)
    path = tmp_path / name
    wanted = Wanted(path, None, None) if name == "out.parquet" else Wanted(None, None, path)
    with pytest.raises(ConfigError, match=f"needs {module}: uv sync --extra analysis, or"):
        wanted.check(settings_for())


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_plots_by_the_day_and_by_the_month(tmp_path, monkeypatch, ending, begins):
    settings = settings_for()
    seen = []
    for most_days in (62, 1):
        monkeypatch.setattr("wattswap_mqtt.headless.plots.MOST_DAYS", most_days)
        wanted = Wanted(None, None, tmp_path / f"plot.{ending}")
        simulate(settings, plan(Span(days=2), resolution="1h"), own_data_of(settings), wanted, 1)
        seen.append(wanted.plot.read_bytes())
    assert seen[0].startswith(begins)
    assert seen[1].startswith(begins)
    assert seen[0] != seen[1]


class Noting:
    """Settings that note which of them are read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.read = set()

    def __getattr__(self, name):
        if name in Settings.model_fields:
            self.read.add(name)
            return getattr(self._settings, name)
        return getattr(Settings, name).fget(self)  # a property: what it reads counts


def test_the_help_shows_the_settings_that_homes_depend_on():
    settings = Noting(settings_for())
    assert settings.start_s is None
    found_community(settings, START_S)
    assert settings.read | {"log_level"} == set(cli.SIMULATED)
