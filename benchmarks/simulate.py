"""`wattswap simulate`: a thousand homes for a year, beside a bare numpy loop of as many steps.

`python -m benchmarks.simulate` is the quick variant: a month, printed and not written down.
"""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.core import bare_step
from benchmarks.processes import WATTSWAP, clean_environment
from benchmarks.timing import Row, rate, table

TITLE = "Simulating without MQTT"
ABOUT = """\
`wattswap simulate --meters 1000`, steps of a minute, a row of each home for every quarter hour into a Parquet file, one
process a core: from the command to its end, start-up included; nothing is extrapolated. The baseline is one process
that does the bare step of the core's benchmark for as many minutes, half of them before the run and half after it; the
ratio is that of the times. Memory is the largest sum of all its processes (RSS, what they share counted in each)."""
HOMES = 1000
MINUTES_A_DAY = 1440
SPANS = {"a month": 31, "a year": 365}  # of January, of 2026
YEAR_TARGET_S = 90.0
EVERY_S = 0.05


class Taken(NamedTuple):
    """What a run took, its baseline, and what it left behind."""

    days: int
    seconds: float
    bare_s: float
    cpu_s: float
    memory_mb: float
    file_mb: float


def rows() -> list[Row]:
    """Measure."""
    taken = {name: _measured(days) for name, days in SPANS.items()}
    month, year = taken.values()
    return [
        *(_row(name, one) for name, one in taken.items()),
        Row("memory in the year", f"{year.memory_mb:.0f} MB", baseline=f"the month: {month.memory_mb:.0f} MB",
            ratio=f"{year.memory_mb / month.memory_mb:.2g}"),
        Row("Parquet of the year", f"{year.file_mb:.0f} MB"),
    ]  # fmt: skip


def _row(name: str, taken: Taken) -> Row:
    whole_year = taken.days == SPANS["a year"]
    steps = HOMES * taken.days * MINUTES_A_DAY
    return Row(
        f"{HOMES:,} homes, {name}",
        f"{taken.seconds:.1f} s ({rate(taken.seconds, steps)} house-steps, CPU {taken.cpu_s:.0f} s)",
        target=f"≤ {YEAR_TARGET_S:.0f} s" if whole_year else "",
        reached=taken.seconds <= YEAR_TARGET_S if whole_year else None,
        baseline=f"{taken.bare_s:.1f} s ({rate(taken.bare_s, steps)})",
        ratio=f"{taken.seconds / taken.bare_s:.2g}",
    )


def _measured(days: int) -> Taken:
    half = days * MINUTES_A_DAY // 2
    before_s = _bare_s(half)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rows.parquet"
        span = ("--start", "2026-01-01", "--days", f"{days}", "--output", f"{output}")
        seconds, cpu_s, memory_mb = _watched([*WATTSWAP, "simulate", "--meters", f"{HOMES}", *span])
        file_mb = output.stat().st_size / 1e6
    return Taken(days, seconds, before_s + _bare_s(half), cpu_s, memory_mb, file_mb)


def _bare_s(steps: int) -> float:
    step = bare_step(HOMES)
    begin_s = time.monotonic()
    for _ in range(steps):
        step()
    return time.monotonic() - begin_s


def _watched(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return seconds, CPU seconds, and the most MB that it and its children had at a time."""
    begin_s, most = time.monotonic(), 0
    cpu_s: dict[int, float] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=clean_environment()) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            found = 0
            for one in (parent, *_children(parent)):
                try:
                    with one.oneshot():
                        found += one.memory_info().rss
                        times = one.cpu_times()
                        cpu_s[one.pid] = times.user + times.system
                except psutil.Error:  # it has ended meanwhile
                    continue
            most = max(most, found)
            time.sleep(EVERY_S)
        seconds = time.monotonic() - begin_s
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return seconds, sum(cpu_s.values()), most / 2**20


def _children(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return parent.children()
    except psutil.Error:
        return []


if __name__ == "__main__":
    print(table([_row("a month", _measured(SPANS["a month"]))]))
