"""`python -m benchmarks [PART …]`: measure all parts, or some, and write their sections of docs/benchmarks.md anew."""

import argparse
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import book, commands, core, dashboard, encoding, fleet, orders, simulate, startup, web
from benchmarks.timing import table

PARTS = {
    "core": core,
    "encoding": encoding,
    "simulate": simulate,
    "book": book,
    "commands": commands,
    "orders": orders,
    "web": web,
    "startup": startup,
    "fleet": fleet,
    "dashboard": dashboard,
}
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench` (`python -m benchmarks`; `python -m benchmarks core web` measures only these). Figures depend on
the machine and on who else uses it; each stands beside a baseline measured in the same run, taking turns with it, and
the ratio of the two carries over better. Medians, unless something else is said. Tests assert nothing about speed.
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    for name in chosen:
        print(f"measuring: {name}", file=sys.stderr)
        PAGE.write_text(_page(name, _section(name)), encoding="utf-8")


def _section(name: str) -> str:
    part = PARTS[name]
    measured = table(part.rows())
    print(measured)
    return f"## {part.TITLE}\n\n{part.ABOUT}\n\n{measured}\nMeasured on {_where()}.\n"


def _page(name: str, section: str) -> str:
    """Return the page with the section `name` replaced and all others as they are."""
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    sections = {part.TITLE: f"## {part.TITLE}\n\nNot measured yet.\n" for part in PARTS.values()}
    for text in re.split(r"^(?=## )", old, flags=re.MULTILINE)[1:]:
        title = text.partition("\n")[0].removeprefix("## ")
        sections |= {title: text.rstrip() + "\n"} if title in sections else {}
    sections[PARTS[name].TITLE] = section
    return "\n".join([HEAD, *sections.values()])


def _where() -> str:
    priority = f", niceness {os.nice(0)}" if os.nice(0) else ""
    now = datetime.now(UTC)
    return (
        f"{now:%Y-%m-%d %H:%M} UTC, {_processor()}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}{priority}),"
        f" {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"
    )


def _processor() -> str:
    found = (
        re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
    )
    return found[1] if found else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
