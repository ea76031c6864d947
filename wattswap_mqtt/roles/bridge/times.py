"""Times and cursors in the query of a request."""

import base64
import re
from datetime import UTC, datetime, timedelta, tzinfo

from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.roles.bridge.problems import invalid

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (offsets are subtracted by hand: years 1 and 9999 leave no room for them)
_UNESCAPED_PLUS = re.compile(r" (?=\d\d(:?\d\d)?$)")


def milliseconds(text: str, zone: tzinfo = UTC) -> int:
    """Return an ISO 8601 time of the years 1 to 9999 in unix milliseconds; one without offset is taken in `zone`.

    Raises:
        ValueError: it is none.

    """
    moment = datetime.fromisoformat(text)
    offset = (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).utcoffset() or timedelta()
    return (moment.replace(tzinfo=None) - _EPOCH - offset) // timedelta(milliseconds=1)


def time_in_query(name: str, text: str, zone: tzinfo) -> int:
    """Return the time that a parameter of the query gives, in unix milliseconds.

    The plus of an offset that was not escaped arrives as a blank, and is meant.

    Raises:
        Problem: 422 `invalid_time`.

    """
    try:
        return milliseconds(_UNESCAPED_PLUS.sub("+", text.strip()), zone)
    except (ValueError, OverflowError):
        raise invalid(
            "invalid_time",
            f"{name} takes an ISO 8601 time such as 2026-06-21T12:00:00+02:00 (without an offset: in the meter's zone),"
            f" not {shown(text)}",
        ) from None


def cursor_at(time_ms: int) -> str:
    """Return the opaque cursor of the page that begins at `time_ms`."""
    return base64.urlsafe_b64encode(f"t{time_ms}".encode()).decode().rstrip("=")


def time_of_cursor(cursor: str) -> int:
    """Return where the page of a cursor begins.

    Raises:
        Problem: 422 `invalid_cursor`.

    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        if re.fullmatch(r"t\d{1,15}", text):
            return int(text[1:])
    except ValueError:
        pass
    raise invalid("invalid_cursor", "cursor takes the next_cursor of a reply, unchanged")
