"""Run what docs/simulate.md shows, and write what came out into it and the picture: `python docs/make_simulate.py`."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

DOCS = Path(__file__).parent
PAGE = DOCS / "simulate.md"
PICTURE = DOCS / "pictures" / "simulate-year.svg"
WEEK = (
    "wattswap simulate --community town --meters 10 --days 7 --start 2026-06-15"
    " --output week.parquet --summary week.json"
)
ROWS = "wattswap simulate --community town --meters 2 --days 1 --start 2026-06-15 --resolution 1h --output day.csv"
YEAR = "wattswap simulate --community town --meters 50 --years 1 --start 2026-01-01 --plot year.svg"
SHOWN_FROM, SHOWN_LINES = 22, 5
"""Which lines of the CSV are shown, below its heading: the sun is up."""
_BLOCK = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks(folder: Path) -> dict[str, str]:
    """Return what stands between the page's markers, from runs in `folder`."""
    week, _ = run(WEEK, folder), run(ROWS, folder)
    heading, *rows = (folder / "day.csv").read_text().splitlines()
    return {
        "week": _console(
            WEEK, re.sub(r"^[\d.]+ s, .*house-steps/s", "… s, … M house-steps/s", week, flags=re.MULTILINE)
        ),
        "rows": _console(ROWS, "\n".join([heading, *rows[SHOWN_FROM : SHOWN_FROM + SHOWN_LINES], "…"])),
        "columns": _columns(pq.read_schema(folder / "week.parquet")),
        "about": _about(pq.read_schema(folder / "week.parquet").metadata),
        "figures": _figures(json.loads((folder / "week.json").read_text())),
        "flags": f"```\n{_part(run('wattswap simulate --help', folder), 'the run:')}\n```\n",
    }


def run(command: str, folder: Path) -> str:
    """Run a command of the page and return what it prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WATTSWAP_")}
    program = [sys.executable, "-m", "wattswap_mqtt", *command.split()[1:]]
    done = subprocess.run(
        program, cwd=folder, env=environ | {"COLUMNS": "80"}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")


def filled(text: str, made: dict[str, str]) -> str:
    """Return the page with its blocks made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{made[block[2]]}{block[3]}", text)


def _console(command: str, output: str) -> str:
    return f"```console\n$ {command}\n{output}\n```\n"


def _part(text: str, begin: str) -> str:
    return text[text.index(begin) :].partition("\n\n")[0]


def _columns(schema: Any) -> str:  # noqa: ANN401 - pyarrow has no types
    rows = ((f"`{field.name}`", str(field.type), (field.metadata or {}).get(b"unit", b"").decode()) for field in schema)
    return _table("column | type in Parquet | unit", rows)


def _about(metadata: dict[bytes, bytes]) -> str:
    rows = ((f"`{key.decode()}`", value.decode()) for key, value in metadata.items() if not key.startswith(b"ARROW"))
    return _table("key | in this file", rows)


def _figures(summary: dict[str, Any]) -> str:
    rows = ((f"`{name}`", unit, _rounded(summary["all"][name])) for name, unit in summary["units"].items())
    return _table("figure | unit | all homes in the example", rows)


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _table(header: str, rows: Iterable[Iterable[object]]) -> str:
    names = header.split(" | ")
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in (names, ["---"] * len(names), *rows))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), blocks(Path(scratch))), "utf-8")
        run(YEAR, Path(scratch))
        PICTURE.write_bytes((Path(scratch) / "year.svg").read_bytes())
