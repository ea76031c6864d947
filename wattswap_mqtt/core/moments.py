"""Moments in unix seconds, as ISO 8601 text and as local times.

What the clocks' changes in spring and autumn mean is decided here.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.errors import ConfigError

QUARTER_S = 900.0
"""The slot of the electricity market: tariffs and loads change, and accounts are kept, by the quarter hour."""
DAY_S = 86_400.0
_FIRST_S = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_S = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def quarter_start(time_s: float) -> float:
    """Return when the quarter hour that `time_s` is in began."""
    return time_s // QUARTER_S * QUARTER_S


@lru_cache(maxsize=1024)
def iso_utc(time_s: float) -> str:
    """Return unix time as ISO 8601 in UTC, to the millisecond; what is outside the years 1 to 9999 as their edge."""
    within_s = min(max(time_s, _FIRST_S), _LAST_S)
    return datetime.fromtimestamp(within_s, UTC).isoformat(timespec="milliseconds")


def iso_local(time_s: float, zone: ZoneInfo) -> str:
    """Return unix time as ISO 8601 with the zone's offset, to the millisecond."""
    return datetime.fromtimestamp(time_s, UTC).astimezone(zone).isoformat(timespec="milliseconds")


def unix_s(moment: datetime, zone: ZoneInfo, previous_s: float) -> float:
    """Return unix seconds; a moment without an offset is local, in the hour that comes twice after `previous_s`.

    Raises:
        ConfigError: the local clock never shows it, for the clocks go forward then; or it is out of all reason.

    """
    if not 1970 < moment.year < 2200:
        raise ConfigError(f"takes times between the years 1971 and 2199, not {moment}")
    if moment.tzinfo is not None:
        return moment.timestamp()
    local = moment.replace(tzinfo=zone)
    found_s = local.timestamp()
    later_s = local.replace(fold=1).timestamp()
    if later_s == found_s:
        return found_s
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
        raise ConfigError(
            f"{moment.isoformat(timespec='minutes')} does not exist in {zone.key}: the clocks go forward then"
        )
    return later_s if found_s <= previous_s else found_s
