"""A tariff from a list of prices: comma-separated lines below the heading `start,import,feed_in`.

`start` is from when on the prices (apt/kWh) hold, until the next line: a moment (ISO 8601), or for a time-of-use tariff
that repeats every day the time of day (HH:MM), in all lines the same of the two.  A moment without an offset is local:
the hour that comes twice in autumn is written twice in order, that which spring leaves out is an error.  `feed_in` may
be left out, and may be above `import`; either may be negative.  Before the first moment the flat prices hold, after
the last line its own.
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.market.pricing import Daily, Quotes, Step, Tariff, to_millionths
from wattswap_mqtt.core.moments import unix_s

HEADINGS = (["start", "import", "feed_in"], ["start", "import"])
MOST_PER_KWH = 1000.0


def read_price_list(name: str, lines: Iterable[str], zone: ZoneInfo, flat: Tariff) -> Tariff:
    """Return `flat` with the prices of a list.

    Raises:
        ConfigError: one line that says which line of `name` is wrong, and what would be right.

    """
    rows = csv.reader(lines)
    found = _Prices(zone, flat)
    try:
        for row in rows:
            found.add([cell.strip() for cell in row])
    except (ConfigError, csv.Error) as error:
        raise ConfigError(f"{name} line {rows.line_num}: {error}") from None
    if not found.steps and not found.daily:
        raise ConfigError(f"{name} has no prices: it takes lines such as 2026-06-21T12:00,0.30,0.08")
    return replace(flat, steps=tuple(found.steps), daily=tuple(found.daily), zone=zone)


class _Prices:
    """What the lines so far have said."""

    def __init__(self, zone: ZoneInfo, flat: Tariff) -> None:
        self.steps: list[Step] = []
        self.daily: list[Daily] = []
        self._zone, self._flat = zone, flat
        self._columns = 0

    def add(self, cells: list[str]) -> None:
        """Read one line."""
        if not any(cells) or cells[0].startswith("#"):
            return
        if not self._columns:
            if [cell.lower() for cell in cells] not in HEADINGS:
                raise ConfigError(f"takes the heading start,import,feed_in (or start,import), not {','.join(cells)!r}")
            self._columns = len(cells)
            return
        if len(cells) != self._columns:
            raise ConfigError(f"takes {self._columns} columns, not {len(cells)}")
        quotes = _quotes(cells[1:], self._flat)
        if (hour := _time_of_day(cells[0])) is not None:
            _add_hour(self.daily, hour, quotes)
        else:
            _add_moment(self.steps, cells[0], self._zone, quotes)
        if self.steps and self.daily:
            raise ConfigError("takes moments or times of day, not both in one list")


def _quotes(cells: list[str], flat: Tariff) -> Quotes:
    prices = [_price(cell) for cell in cells]
    return Quotes(prices[1] if len(prices) > 1 else flat.feed_in_utok_per_kwh, prices[0])


def _price(cell: str) -> int:
    try:
        price = float(cell)
    except ValueError:
        price = math.nan
    if not abs(price) <= MOST_PER_KWH:
        raise ConfigError(f"a price is a number from -1000 to 1000 apt/kWh, not {cell!r}")
    return to_millionths(price)


def _time_of_day(cell: str) -> float | None:
    """Return the hour of the day, None if it is not of the form HH:MM."""
    if len(cell) not in (4, 5) or "-" in cell:
        return None
    try:
        found = time.fromisoformat(cell.rjust(5, "0"))
    except ValueError:
        return None
    return found.hour + found.minute / 60


def _add_hour(daily: list[Daily], hour: float, quotes: Quotes) -> None:
    if daily and hour <= daily[-1].hour:
        raise ConfigError("times of day come in order, each once")
    daily.append(Daily(hour, quotes))


def _add_moment(steps: list[Step], cell: str, zone: ZoneInfo, quotes: Quotes) -> None:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise ConfigError(
            f"start is a moment such as 2026-06-21T12:00 or a time of day such as 23:00, not {cell!r}"
        ) from None
    start_s = unix_s(moment, zone, steps[-1].start_s if steps else -math.inf)
    if steps and start_s <= steps[-1].start_s:
        raise ConfigError(f"moments come in order, each once; {cell} is not after the one before")
    steps.append(Step(start_s, quotes))
