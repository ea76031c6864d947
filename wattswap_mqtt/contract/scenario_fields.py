"""What the fields of a scenario take, and what is said of a wrong one: durations, switches, faults, quantities."""

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from wattswap_mqtt.contract.scenario_paths import told_by_a_meter
from wattswap_mqtt.core import faults
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.switches import SWITCHES, SwitchValue, switch_named

Place = tuple[str | int, ...]
"""Where something stands in a document: names and numbers of list items."""

LONGEST_S = 31 * 86_400.0
DURATION = "a duration such as 30s, 15m or 1h30m, of at most 31 days"
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_ORDER_FIELD = re.compile(r"orders\.[a-z0-9][a-z0-9_-]*\.[a-z_]+", re.ASCII)
_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class ScenarioError(CommandError):
    """A document that is no scenario: the stable code, the place, and what would be right there."""

    def __init__(self, code: str, place: Place, problem: str) -> None:
        self.place = place
        self.problem = problem
        where = "".join(map(_step, place)).removeprefix(".")
        super().__init__(code, f"{where}: {problem}" if where else problem)


def _step(part: str | int) -> str:
    if isinstance(part, str) and re.fullmatch(r"[\w-]{1,64}", part):
        return f".{part}"
    return f"[{shown(part)}]"


def refused(code: str, problem: str, *below: str | int) -> PydanticCustomError:
    """Return what a validator raises; `below` is the place within what it validates."""
    return PydanticCustomError(code, "{problem}", {"problem": problem, "below": below})


def _seconds(raw: object) -> object:
    if isinstance(raw, str) and raw and (match := _DURATION.fullmatch(raw.strip())):
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        raw = days * 86400 + hours * 3600 + minutes * 60 + seconds
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= LONGEST_S:
        raise refused("out_of_range" if isinstance(raw, str | int | float) else "wrong_type", f"takes {DURATION}")
    return float(raw)


def _switch_values(values: dict[str, Any]) -> dict[str, SwitchValue]:
    read = {}
    for name, raw in values.items():
        try:
            read[name] = switch_named(name).parse(raw)
        except CommandError as error:
            problem = error.message
            if error.code == "unknown_switch":
                problem = f"is no switch{nearest(name, SWITCHES)}"
            raise refused(error.code, problem, name) from None
    return read


def _faults(value: dict[str, Any]) -> dict[str, object]:
    for key in value:
        if key not in faults.FAULTS:
            raise refused("unknown_fault", f"is no fault{nearest(key, faults.FAULTS)}", key)
    try:
        return faults.parse(value)
    except CommandError as error:
        raise refused(error.code, error.message) from None


def _clock(raw: str) -> tuple[int, int]:
    if (match := _CLOCK.fullmatch(raw.strip())) is None:
        raise refused("out_of_range", "takes two times of the day such as 23:00-06:00")
    first, last = (60 * int(match[i]) + int(match[i + 1]) for i in (1, 3))
    return first, last


def _path(raw: str) -> str:
    if raw not in (known := told_by_a_meter()) and not _ORDER_FIELD.fullmatch(raw):
        raise refused("unknown_field", f"is nothing that a meter reports{nearest(raw, known)}")
    return raw


def nearest(given: object, known: Iterable[str]) -> str:
    """Return how a sentence ends that says what is not known: with the nearest of what is, or the first of it."""
    known = list(known)
    if near := difflib.get_close_matches(str(given), known, n=1):
        return f": did you mean {near[0]}?"
    return f"; there is {', '.join(known[:20])}{' …' if len(known) > 20 else ''}"


Duration = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=float | str),
    Field(description=f"simulated time after the start: {DURATION}, or seconds"),
]
Text = Annotated[str, Field(max_length=2000)]
SwitchValues = Annotated[
    dict[str, Any],
    AfterValidator(_switch_values),
    Field(json_schema_extra={"properties": {name: {"description": s.meaning} for name, s in SWITCHES.items()}}),
]
Percent = Annotated[float, Field(ge=0, le=100)]
Slack = Annotated[float, Field(ge=0, le=1e6)]
Path = Annotated[str, AfterValidator(_path)]
Faults = Annotated[dict[str, Any], AfterValidator(_faults)]
Clock = Annotated[str, AfterValidator(_clock)]
Name = Annotated[str, Field(pattern=_NAME)]
