"""What is to be simulated: from when to when, in what steps, with what switches, and how finely it is written down."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.community import SUBSTEPS_S
from wattswap_mqtt.core.errors import CommandError, ConfigError
from wattswap_mqtt.core.moments import DAY_S, unix_s
from wattswap_mqtt.core.switches import SwitchValue, switch_named

MOST_DAYS = 36600
UNITS_S = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LENGTH = re.compile(r"(\d{1,6})\s*([a-z]*)")


class Span(NamedTuple):
    """How long: one of the three, or a day."""

    days: float | None = None
    years: int | None = None
    until: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run without its homes."""

    start_s: float
    end_s: float
    step_s: float
    resolution_s: float
    switches: Mapping[str, SwitchValue]
    zone: ZoneInfo

    @property
    def couples(self) -> bool:
        """Whether the homes trade with each other, so that they have to live in one process."""
        return bool(self.switches.get("market_enabled"))

    def boundaries(self) -> Iterator[float]:
        """Return when a period begins and the one before ends: multiples of the resolution; days are local days."""
        yield self.start_s
        at_s = self.start_s
        while at_s < self.end_s:
            if self.resolution_s < DAY_S:
                at_s = (at_s // self.resolution_s + 1.0) * self.resolution_s
            else:
                at_s = midnight_s(at_s, self.zone, days=1)
            yield min(at_s, self.end_s)


def midnight_s(time_s: float, zone: ZoneInfo, days: int = 0) -> float:
    """Return when the local day of `time_s`, or one `days` later, begins."""
    date = datetime.fromtimestamp(time_s, zone).date() + timedelta(days=days)
    return datetime(date.year, date.month, date.day, tzinfo=zone).timestamp()


def plan_of(start_s: float, span: Span, step: str, resolution: str, switches: Sequence[str], zone: ZoneInfo) -> Plan:
    """Read the command line's wishes.

    Raises:
        ConfigError: one cannot be fulfilled.

    """
    step_s, resolution_s = _seconds("--step", step), _seconds("--resolution", resolution)
    if step_s not in SUBSTEPS_S:
        raise ConfigError(f"--step takes {', '.join(f'{grid:g}s' for grid in SUBSTEPS_S)}, not {step!r}")
    if (DAY_S if resolution_s == DAY_S else 3600.0) % resolution_s or resolution_s % step_s:
        raise ConfigError(
            f"--resolution takes a multiple of the step that divides an hour (15m, 1h), or 1d, not {resolution!r}"
        )
    end_s = _end_s(start_s, span, zone)
    if not start_s + step_s <= end_s <= start_s + MOST_DAYS * DAY_S:
        raise ConfigError(f"simulates at least a step and at most {MOST_DAYS // 366} years")
    return Plan(start_s, end_s, step_s, resolution_s, dict(map(_switch, switches)), zone)


def _seconds(flag: str, text: str) -> float:
    form = _LENGTH.fullmatch(text.strip().lower())
    if form is None or form[2] not in UNITS_S or int(form[1]) == 0:
        raise ConfigError(f"{flag} takes a length of time such as 30s, 15m or 1h, not {text!r}")
    return float(int(form[1]) * UNITS_S[form[2]])


def _end_s(start_s: float, span: Span, zone: ZoneInfo) -> float:
    if sum(wish is not None for wish in span) > 1:
        raise ConfigError("give one of --days, --years and --until")
    if span.until is not None:
        try:
            return unix_s(datetime.fromisoformat(span.until), zone, start_s)
        except ConfigError as error:
            raise ConfigError(f"--until {error}") from None
        except ValueError:
            raise ConfigError(f"--until takes an ISO 8601 time such as 2027-01-01, not {span.until!r}") from None
    if span.years is not None:
        years = min(max(span.years, 0), 1000)
        start = datetime.fromtimestamp(start_s, zone)
        leap = (start.month, start.day) == (2, 29)
        return start.replace(year=start.year + years, day=28 if leap else start.day).timestamp()
    return start_s + DAY_S * (1.0 if span.days is None else span.days)


def _switch(text: str) -> tuple[str, SwitchValue]:
    name, given, value = text.partition("=")
    try:
        switch = switch_named(name)
        if not given or name in ("time_acceleration", "fault_inject"):
            raise ConfigError(
                "--switch takes NAME=VALUE, of any switch but time_acceleration (--step) and fault_inject"
            )
        return name, switch.parse(value)
    except CommandError as error:
        raise ConfigError(f"--switch: {error.message}") from None
