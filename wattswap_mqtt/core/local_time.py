"""Local times from files as moments: what the clocks' changes in spring and autumn mean is decided here."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.errors import ConfigError


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
