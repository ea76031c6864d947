"""The command line, in this process: usage, its errors, and what needs no broker."""

import csv
import runpy

import pytest
from homes import SCENARIOS

from wattswap_mqtt import __version__, cli, commands, remote_meter
from wattswap_mqtt.app import ALL_ROLES
from wattswap_mqtt.config import Settings, flag_of
from wattswap_mqtt.contract.scenario_tables import STATUS, first_figure


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that runs a command line and returns exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_without_arguments_it_shows_help(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    for command in ("up", "broker", "simulator", "bridge", "simulate", "watch", "scenario", "docs"):
        assert f"\n    {command} " in out


def test_python_m_is_the_same_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["wattswap", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("wattswap_mqtt", run_name="__main__")
    assert capsys.readouterr().out == f"wattswap {__version__}\n"


@pytest.mark.parametrize("command", ["up", "broker", "simulator", "bridge", "simulate", "watch"])
def test_help_names_every_setting_that_is_heeded(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    heeded = cli.SIMULATED if command == "simulate" else Settings.model_fields
    for name, field in Settings.model_fields.items():
        assert (f"{flag_of(name)} " in out) == (name in heeded)
        assert name not in heeded or field.description.split()[0] in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ups"], "invalid choice: 'ups'"),
        (["up", "--meterz", "3"], "did you mean --meters?"),
        (["up", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["up", "--meters"], "expected one argument"),
        (["up", "--meters", "many"], "wattswap: --meters takes a whole number from 1 to 100000, not 'many'"),
        (["up", "--met", "3"], "unrecognized arguments: --met"),
        (["up", "--config", "/no/such/file"], "--config /no/such/file: No such file or directory"),
        (["simulator", "--mqtt-port", "99999"], "--mqtt-port takes a whole number from 0 to 65535"),
        (["simulator", "--mqtt-port", "0"], "say which port it has"),
        (["broker", "--broker", "mqtt://host"], "runs the embedded broker"),
        (["scenario", "show", "no-such"], "there is no scenario 'no-such'; the scenarios are nighttime-baseline"),
        (["scenario", "run", "no-such"], "there is no scenario 'no-such'"),
        (["scenario", "run", "1", "--meter", "demo_meter"], "--broker mqtt://"),
        (["scenario"], "required: ACTION"),
        (["simulate", "--days", "-1"], "simulates at least a step"),
        (["simulate", "--jobs", "0"], "--jobs takes a whole number from 1 on, not 0"),
        (["simulate", "--step", "90s"], "--step takes 1s, 2s"),
        (["simulate", "--output", "energies.xlsx"], "--output takes a file that ends in .csv or .parquet"),
        (["simulate", "--load-csv", "/no/such/file"], "--load-csv /no/such/file: No such file or directory"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("wattswap")
    assert err.count("\n") == 1


def test_a_variable_is_named_in_its_error(run, monkeypatch):
    monkeypatch.setenv("WATTSWAP_TZ", "Mars")
    assert run("up")[2].startswith("wattswap: WATTSWAP_TZ takes an IANA time zone")


def test_scenarios_are_listed_and_shown(run):
    code, out, _ = run("scenario", "list")
    assert code == 0
    assert all(slug in out for slug in SCENARIOS)
    code, out, _ = run("scenario", "show", "12")
    assert code == 0
    assert "bias_pct" in out
    assert first_figure(SCENARIOS["sensor-bias"], STATUS) in out


def test_a_scenario_needs_somebody_who_answers(run, monkeypatch):
    monkeypatch.setattr(remote_meter, "PATIENCE_S", 0.1)
    code, out, err = run("scenario", "run", "1", "--broker", "mqtt://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "wattswap: no broker answers at mqtt://127.0.0.1:1"


def test_simulate_writes_energies_by_the_quarter_hour(run, tmp_path):
    output = tmp_path / "energies.csv"
    code, out, _ = run("simulate", "--meters", "3", "--days", "0.5", "--start", "2026-06-21", "--output", str(output))
    assert code == 0
    assert "3 homes, 2026-06-21 00:00+02:00 to 2026-06-21 12:00+02:00" in out
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 48
    assert rows[0]["start"] == "2026-06-20T22:00:00+00:00"
    balance = [
        sum(float(row[f"{name}_kwh"]) * sign for name, sign in
            {"pv": 1, "discharged": 1, "imported": 1, "unserved": 1, "load": -1, "charged": -1, "exported": -1}.items())
        for row in rows
    ]  # fmt: skip
    assert balance == pytest.approx([0.0] * len(rows), abs=1e-5)


def test_simulate_says_when_it_cannot_write(run, tmp_path):
    code, _, err = run("simulate", "--days", "0.1", "--output", "/dev/full/energies.csv")
    assert (code, err) == (2, "wattswap: --output /dev/full/energies.csv: there is no such folder\n")
    full = tmp_path / "energies.csv"
    full.symlink_to("/dev/full")
    code, _, err = run("simulate", "--days", "0.1", "--output", str(full))
    assert (code, err.splitlines()[-1]) == (1, f"wattswap: {full}: No space left on device")


def test_simulate_begins_where_the_own_data_begin(run, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("timestamp,power_kw\n" + "".join(f"2025-06-21T{hour:02}:00,1\n" for hour in range(24)))
    code, out, _ = run("simulate", "--days", "0.25", "--meters", "1", "--load-csv", str(own))
    assert code == 0
    assert "1 homes, 2025-06-21 00:00+02:00 to" in out
    assert "load (EV included)" in out
    assert " 6.0 " in out


def test_what_to_paste_names_what_runs():
    everything = commands.what_to_paste(Settings(http_host="0.0.0.0", http_port=80, base_topic="home/w"), ALL_ROLES)  # noqa: S104 - not bound
    assert "http://127.0.0.1:80/docs" in everything
    assert "mosquitto_sub -h 127.0.0.1 -p 1883 -t home/w/meter/demo_meter/state" in everything
    assert "mosquitto_pub -h 127.0.0.1 -p 1883 -t home/w/meter/demo_meter/switch/daytime/set -m ON" in everything
    apart = commands.what_to_paste(Settings(broker="mqtt://me:secret@host", community="b"), ("simulator",))
    assert "-u me -P …" in apart
    assert "/b_00001/" in apart
    assert "secret" not in apart
    assert "http" not in apart
