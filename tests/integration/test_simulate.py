"""`wattswap simulate` as a command: what is left behind when it cannot go on, and what is said."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import Process
from tests.running import PATIENCE_S, wait_until

SIMULATE = (sys.executable, "-m", "wattswap_mqtt", "simulate")
LOADS_S = 4 * PATIENCE_S
"""What draws and writes Parquet is large, and a busy machine takes a minute to import it."""
LONG = ("--meters", "100", "--years", "50", "--jobs", "2")


def simulate(*arguments, cwd):
    command = [*SIMULATE, "--days", "0.5", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LOADS_S, check=False)


def one_line(ran, code):
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (code, "", 1), ran.stdout + ran.stderr
    return ran.stderr


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_interrupted_it_leaves_what_was_there_before(tmp_path, number, ending):
    output = tmp_path / f"out.{ending}"
    output.write_text("of yesterday")
    process = Process(["setsid", *SIMULATE, *LONG, "--output", str(output)])
    part = tmp_path / f"out.{ending}.part"
    try:
        wait_until(lambda: process.ended or (part.exists() and part.stat().st_size > 100_000), "rows are written")
        os.killpg(process.pid, number)  # as a terminal does
        assert process.exit_code() == 130
    finally:
        with suppress(ProcessLookupError):  # or its workers would go on for fifty years
            os.killpg(process.pid, signal.SIGKILL)
    assert process.said == {"out": "", "err": "wattswap: interrupted\n"}
    assert files(tmp_path) == {output.name}
    assert output.read_text() == "of yesterday"


@pytest.mark.parametrize("flag", ["--output", "--summary", "--plot"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there_before(tmp_path, flag):
    path = tmp_path / {"--output": "out.parquet", "--summary": "out.json", "--plot": "out.svg"}[flag]
    path.write_text("of yesterday")
    limited = ["prlimit", "--fsize=2000", *SIMULATE, "--days", "0.5", flag, str(path)]
    ran = subprocess.run(limited, capture_output=True, text=True, timeout=LOADS_S, check=False)
    assert one_line(ran, 1) == f"wattswap: {path}: File too large\n"
    assert files(tmp_path) == {path.name}
    assert path.read_text() == "of yesterday"
    path.unlink()
    path.symlink_to("/dev/full")
    assert one_line(simulate(flag, path, cwd=tmp_path), 1) == f"wattswap: {path}: No space left on device\n"
    assert path.is_symlink()


def test_a_file_that_was_there_is_replaced_by_a_whole_one(tmp_path):
    (tmp_path / "kept.csv").write_text("of yesterday")
    (tmp_path / "out.csv").symlink_to("kept.csv")
    ran = simulate("--output", "out.csv", "--summary", "summary.json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "kept.csv").read_text().count("\n") == 1 + 2 * 48
    assert files(tmp_path) == {"kept.csv", "out.csv", "summary.json"}
    assert (tmp_path / "out.csv").is_symlink()


def test_rows_go_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "out.csv")
    read = []
    reader = threading.Thread(target=lambda: read.extend((tmp_path / "out.csv").read_text().splitlines()))
    reader.start()
    ran = simulate("--output", "out.csv", cwd=tmp_path)
    reader.join(PATIENCE_S)
    assert (ran.returncode, len(read)) == (0, 1 + 2 * 48), ran.stderr


def test_where_nobody_takes_the_summary_the_files_are_there(tmp_path):
    read, write = os.pipe()
    os.close(read)
    with Path("/dev/full").open("w") as full:
        for stdout, said in ((write, ""), (full, "wattswap: [Errno 28] No space left on device\n")):
            command = [*SIMULATE, "--days", "0.5", "--output", "out.csv"]
            ran = subprocess.run(
                command, cwd=tmp_path, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=LOADS_S, check=False
            )
            assert (ran.returncode, ran.stderr) == (1, said)
            assert (tmp_path / "out.csv").read_text().count("\n") == 1 + 2 * 48
            (tmp_path / "out.csv").unlink()
    os.close(write)


def test_what_it_reads_is_not_overwritten(tmp_path):
    own = "timestamp,power_kw\n" + "".join(f"2026-06-21T{hour:02}:00,1\n" for hour in range(24))
    (tmp_path / "own.csv").write_text(own)
    said = one_line(simulate("--load-csv", "own.csv", "--output", tmp_path / "own.csv", cwd=tmp_path), 2)
    assert said == f"wattswap: --output {tmp_path}/own.csv: this is the file of --load-csv\n"
    assert (tmp_path / "own.csv").read_text() == own


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--summary", "."), "--summary .: this is a folder"),
        (("--output", "out.csv", "--summary", "./out.csv"), "--summary out.csv: this is the file of --output"),
        (("--days", "0"), "simulates at least a step"),
        (("--meters", "1000000000"), "--meters takes a whole number from 1 to 100000"),
        (("--jobs", "0"), "--jobs takes a whole number from 1 on, not 0"),
        (("--format", "parquet"), "unrecognized arguments: --format parquet"),
    ],
)
def test_what_cannot_be_simulated_is_one_line_and_2(tmp_path, arguments, says):
    said = one_line(simulate(*arguments, cwd=tmp_path), 2)
    assert said.startswith(f"wattswap: {says}")
    assert files(tmp_path) == set()
