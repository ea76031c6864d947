"""What an expectation may name of what a meter tells, and what each of these can be compared with."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.events import EVENT_TYPES
from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.quantity import Quantity
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.status import ALARMS
from wattswap_mqtt.core.switches import SWITCHES, Switch, read_bool


class Told(NamedTuple):
    """Whether it is a number, and how a value for it is read; `read` raises CommandError where there is never one."""

    number: bool
    read: Callable[[Any], Any]


@cache
def told_by_a_meter() -> Mapping[str, Told]:
    """Return every path that an expectation may name, in a good order; those of orders depend on the scenario."""
    quantities = {path.dotted: _of_quantity(path.dotted, path.quantity) for path in QUANTITIES}
    return {
        **quantities,
        "clock.pace": _number("clock.pace"),
        **{f"truth.{dotted}": told for dotted, told in quantities.items()},
        **{f"switches.{name}": _of_switch(switch) for name, switch in SWITCHES.items()},
        **{f"events.{name}": _number(f"events.{name}") for name in EVENT_TYPES},
        **{f"alarms.{alarm.code}": Told(False, partial(read_bool, f"alarms.{alarm.code}")) for alarm in ALARMS},
    }


def _of_quantity(name: str, quantity: Quantity) -> Told:
    match quantity.kind:
        case "number" | "integer":
            return _number(name)
        case "bool":
            return Told(False, partial(read_bool, name))
        case _:
            return Told(False, partial(_option, name, quantity.options))


def _of_switch(switch: Switch) -> Told:
    if switch.kind == "faults":
        return Told(False, lambda value: value)
    return Told(switch.kind == "number", switch.parse)


def _number(name: str) -> Told:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CommandError("wrong_type", f"{name} is a number, not {shown(value)}")
        return float(value)

    return Told(True, read)


def _option(name: str, options: tuple[str, ...], value: object) -> str:
    if not isinstance(value, str) or value not in options:
        raise CommandError("out_of_range", f"{name} is one of {', '.join(options)}, not {shown(value)}")
    return value
