"""Recorded series from CSV files, such as a smart meter's export, into arrays for `core.recorded`.

The heading is `timestamp` and one column for all homes (`power_kw`) or one a meter (`demo_meter_power_kw`); its last
part tells the unit: `power_kw`, `power_w`, `energy_kwh` or `energy_wh` (of the interval).  A timestamp is when its
interval begins, ISO 8601; without an offset it is local time.  A file of any size is read in blocks into a temporary
file, which is mapped into memory: what is held at a time does not grow with it.
"""

import csv
import math
import re
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

import numpy as np

from wattswap_mqtt.core.arrays import Ints
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.moments import DAY_S, unix_s
from wattswap_mqtt.core.recorded import Series

UNITS = {"power_kw": 1.0, "power_w": 1e-3, "energy_kwh": 3600.0, "energy_wh": 3.6}
"""kW, and for energies kW · s, that one of it is."""
MOST_KW = 100.0
SHORTEST_S, LONGEST_S = 1.0, 3600.0
_HEADING = re.compile(rf"(?:([A-Za-z0-9_-]{{1,64}})[_:. ])?({'|'.join(UNITS)})", re.IGNORECASE)
_CELLS = 65536
_LINE = 1 << 22


@dataclass(frozen=True)
class StoredSeries:
    """A series as it was read: its powers lie in a file, which lasts as long as this."""

    name: str
    path: Path
    start_s: float
    step_s: float
    shape: tuple[int, int]
    column: Ints
    tz: str

    def series(self, homes: slice = slice(None)) -> Series:
        """Return the series of some of the homes."""
        kw = np.memmap(self.path, np.float64, "r", shape=self.shape)
        return Series(self.start_s, self.step_s, kw, self.column[homes], self.tz)

    def __str__(self) -> str:
        """Say what it covers, and what is beyond it."""
        series, zone = self.series(), ZoneInfo(self.tz)
        begin, end = (datetime.fromtimestamp(at_s, zone).isoformat() for at_s in (series.start_s, series.end_s))
        again = f"{series.period_s / DAY_S:.0f} days"
        return f"{self.name}: {begin} to {end}, every {_span(self.step_s)}; outside it repeats every {again}"


def read_series(flag: str, path: Path, ids: Sequence[str], zone: ZoneInfo) -> StoredSeries:
    """Read the series of the meters `ids`.

    Raises:
        ConfigError: one line that says which line of the file is wrong, and what would be right.

    """
    name = f"{flag} {path}"
    try:
        with path.open("rb") as file, tempfile.NamedTemporaryFile(prefix="wattswap-", delete=False) as kept:
            kept_path = Path(kept.name)
            try:
                found = _Reader(name, ids, zone, kept)
                found.read(file)
            except BaseException:
                kept_path.unlink()
                raise
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from None
    shape = (found.intervals, len(found.units))
    stored = StoredSeries(name, kept_path, found.start_s, found.step_s, shape, found.column, zone.key)
    weakref.finalize(stored, kept_path.unlink, missing_ok=True)
    return stored


class _Reader:
    """What the lines so far have said."""

    def __init__(
        self, name: str, ids: Sequence[str], zone: ZoneInfo, kept: "tempfile._TemporaryFileWrapper[bytes]"
    ) -> None:
        self.start_s = self.step_s = math.nan
        self.intervals = 0
        self.units: list[float] = []
        self.column: Ints = np.full(len(ids), -1)
        self._name, self._ids, self._zone, self._kept = name, ids, zone, kept
        self._line = 0
        self._headings: list[str] = []
        self._previous_s = -math.inf
        self._apart = timedelta(0)
        self._expected: datetime | None = None
        self._steady_until = datetime.min  # noqa: DTZ901 - of the local clock
        self._block: list[list[str]] = []
        self._lines: list[int] = []
        self._delimiter = ","
        self._decimal_mark = ""

    def read(self, file: BinaryIO) -> None:
        lines = self._decoded(file)
        try:
            self._head(next((line for line in lines if line.strip() and not line.startswith("#")), ""))
            rows = csv.reader(lines, delimiter=self._delimiter)
            for row in rows:
                if row and not row[0].startswith("#"):
                    self._add(row)
            self._flush()
            self._end()
        except (ConfigError, csv.Error) as error:
            raise ConfigError(f"{self._name} line {self._line}: {error}") from None

    def _decoded(self, file: BinaryIO) -> Iterator[str]:
        for line in iter(lambda: file.readline(_LINE), b""):
            self._line += 1
            if len(line) == _LINE:
                raise ConfigError("the line is longer than 4 MiB")
            try:
                yield line.decode("utf-8-sig" if self._line == 1 else "utf-8")
            except UnicodeDecodeError:
                raise ConfigError("this is not UTF-8 text") from None

    def _head(self, line: str) -> None:
        if not line:
            self._line = max(self._line, 1)
            raise ConfigError("the file is empty: it takes a heading such as timestamp,power_kw, and lines below it")
        self._delimiter = ";" if ";" in line else ","
        [cells] = csv.reader([line], delimiter=self._delimiter)
        first, *self._headings = [cell.strip() for cell in cells]
        if first.lower() != "timestamp" or not self._headings:
            raise ConfigError(f"takes a heading such as timestamp,power_kw, not {line.strip()[:80]!r}")
        columns: dict[str, int] = {}
        for number, heading in enumerate(self._headings):
            form = _HEADING.fullmatch(heading)
            if form is None:
                raise ConfigError(
                    f"column {heading!r} tells no unit: takes {', '.join(UNITS)}, alone or after a meter's id"
                    f" ({self._ids[0]}_power_kw)"
                )
            meter = form[1] or ""
            if meter in columns:
                raise ConfigError(f"{meter or 'all homes'} has two columns: {heading!r} is the second")
            if meter and meter not in self._ids:
                raise ConfigError(f"column {heading!r}: there is no meter {meter}; there are {_some(self._ids)}")
            columns[meter] = number
            self.units.append(UNITS[form[2].lower()])
        self.column = np.array([columns.get(meter, columns.get("", -1)) for meter in self._ids])

    def _add(self, row: list[str]) -> None:
        if len(row) != len(self._headings) + 1:
            raise ConfigError(f"takes {len(self._headings) + 1} columns, not {len(row)}")
        try:
            moment = datetime.fromisoformat(row[0].strip())
        except ValueError:
            raise ConfigError(f"a timestamp is ISO 8601 such as 2026-06-21T12:00, not {row[0]!r}") from None
        if moment == self._expected and (moment.tzinfo is not None or moment < self._steady_until):
            self._previous_s += self.step_s
        else:
            self._look_at(row[0], moment)
        self._expected = moment + self._apart if self._apart else None
        self._block.append(row[1:])
        self._lines.append(self._line)
        if len(self._block) * len(self._headings) >= _CELLS:
            self._flush()

    def _look_at(self, cell: str, moment: datetime) -> None:
        """Find out when a moment is that is not simply one interval later on a clock that nobody changes."""
        time_s = unix_s(moment, self._zone, self._previous_s)
        if time_s - self._previous_s != self.step_s:
            self._check_step(cell, time_s)
        self._previous_s = time_s
        day = timedelta(days=1)
        if moment.tzinfo is None and self._zone.utcoffset(moment - day) == self._zone.utcoffset(moment + day):
            self._steady_until = moment + day / 2

    def _check_step(self, cell: str, time_s: float) -> None:
        """Look at an interval that is the first or not like the one before."""
        if math.isinf(self._previous_s):
            self.start_s = time_s
            return
        apart_s = time_s - self._previous_s
        if apart_s <= 0.0:
            problem = "comes twice" if apart_s == 0.0 else f"is {_span(-apart_s)} before the line above"
            raise ConfigError(f"{cell} {problem}: timestamps come in order, each once")
        if math.isnan(self.step_s):
            if not (SHORTEST_S <= apart_s <= LONGEST_S and apart_s.is_integer()):
                raise ConfigError(f"the lines are {_span(apart_s)} apart: takes whole seconds from 1 s to 1 h")
            self.step_s = apart_s
            self._apart = timedelta(seconds=apart_s)
            return
        if apart_s > self.step_s:
            raise ConfigError(f"gap: {cell} is {_span(apart_s)} after the line above, not {_span(self.step_s)}")
        raise ConfigError(f"{cell} is only {_span(apart_s)} after the line above, not {_span(self.step_s)}")

    def _flush(self) -> None:
        """Write the values of the lines since the last call as kW."""
        if not self._block:
            return
        if math.isnan(self.step_s):
            raise ConfigError("takes two lines at least, so that the length of an interval is known")
        to_kw = [
            unit / self.step_s if unit in (UNITS["energy_kwh"], UNITS["energy_wh"]) else unit for unit in self.units
        ]
        try:
            kw = np.array(self._numbers(self._block)) * to_kw
        except ValueError:
            kw = np.full((1, 1), math.nan)
        if not ((kw >= 0.0) & (kw <= MOST_KW)).all():
            self._say_what_is_wrong(to_kw)
        self._kept.write(kw.tobytes())
        self.intervals += len(kw)
        self._block.clear()
        self._lines.clear()

    def _numbers(self, rows: Iterable[list[str]]) -> list[list[float]]:
        if self._delimiter == ";":
            return [[self._german(cell) for cell in row] for row in rows]
        return [list(map(float, row)) for row in rows]

    def _german(self, cell: str) -> float:
        """Read a number with a decimal comma, or a point: what the first of them has, all have."""
        mark = "," if "," in cell else "." if "." in cell else ""
        self._decimal_mark = self._decimal_mark or mark
        if mark not in ("", self._decimal_mark):
            raise ValueError
        return float(cell.replace(",", "."))

    def _say_what_is_wrong(self, to_kw: Sequence[float]) -> None:
        """Raise the error of the first wrong number in the block."""
        for line, row in zip(self._lines, self._block, strict=True):
            for heading, cell, factor in zip(self._headings, row, to_kw, strict=True):
                self._line = line
                try:
                    number = self._numbers([[cell]])[0][0]
                except ValueError:
                    number = math.nan
                if not math.isfinite(number):
                    marked = f" with a decimal {self._decimal_mark!r} as above" if self._decimal_mark else ""
                    raise ConfigError(f"{heading} is a number{marked}, not {cell.strip()!r}")
                if number < 0.0:
                    raise ConfigError(f"{heading} is never negative, not {cell.strip()}")
                if (kw := number * factor) > MOST_KW:
                    raise ConfigError(
                        f"{heading} {cell.strip()} is {kw:g} kW, more than {MOST_KW:g} kW: is the unit right?"
                    )

    def _end(self) -> None:
        span_s = self.step_s * self.intervals if self.intervals else 0.0
        if not span_s >= DAY_S:
            raise ConfigError(f"the file ends after {_span(span_s)}: takes a day at least, to be repeated")


def _span(seconds: float) -> str:
    for unit_s, unit in ((DAY_S, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds:g} s"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids) if len(ids) <= 4 else f"{', '.join(ids[:3])}, … {ids[-1]}"
