"""What anyone may set on a meter: one declaration per switch, and the one reading of a value for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wattswap_mqtt.core import faults
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.quantities import EV_MODES
from wattswap_mqtt.core.reading import number_of, shown

SwitchValue = bool | float | str | dict[str, object]

SUN_MODES = ("manual", "auto")
_TRUE = frozenset({"on", "true", "1", "yes"})
_FALSE = frozenset({"off", "false", "0", "no"})


def read_bool(name: str, raw: object) -> bool:
    """Read a yes or no as people and programs write it.

    Raises:
        CommandError: `wrong_type`.

    """
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, (int, float)) and raw in (0, 1):
        return bool(raw)
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise CommandError("wrong_type", f"{name} takes ON or OFF (also true/false, 1/0), not {shown(raw)}")


@dataclass(frozen=True)
class Switch:
    """One switch: its kind, its range, its default on the demo meter, and what it does.

    `is_setting`: hubs file it under configuration instead of among the controls.  `icon`: of Material Design Icons.
    """

    name: str
    title: str
    meaning: str
    kind: Literal["bool", "number", "choice", "faults"]
    default: SwitchValue
    icon: str
    unit: str | None = None
    minimum: float = 0.0
    maximum: float = 0.0
    step: float = 1.0
    options: tuple[str, ...] = field(default=())
    is_setting: bool = False

    def parse(self, raw: object) -> SwitchValue:
        """Read `raw` (from JSON, a form field or a plain MQTT payload) as a value of this switch.

        Raises:
            CommandError: `wrong_type`, `out_of_range`, or what the fault catalogue says.

        """
        match self.kind:
            case "bool":
                return read_bool(self.name, raw)
            case "number":
                return self._parse_number(raw)
            case "choice":
                return self._parse_choice(raw)
            case "faults":
                return faults.parse(raw)

    def _parse_number(self, raw: object) -> float:
        unit = f" {self.unit}" if self.unit else ""
        wanted = f"{self.name} takes a number from {self.minimum:g} to {self.maximum:g}{unit}"
        number = number_of(raw)
        if number is None:
            raise CommandError("wrong_type", f"{wanted}, not {shown(raw)}")
        if not math.isfinite(number) or not self.minimum <= number <= self.maximum:
            raise CommandError("out_of_range", f"{wanted}, not {shown(raw)}")
        return number + 0.0  # -0.0 becomes 0.0

    def _parse_choice(self, raw: object) -> str:
        word = raw.strip().lower() if isinstance(raw, str) else None
        if word not in self.options:
            raise CommandError(
                "wrong_type" if word is None else "out_of_range",
                f"{self.name} takes one of {', '.join(self.options)}, not {shown(raw)}",
            )
        return word


SWITCHES: Mapping[str, Switch] = {
    switch.name: switch
    for switch in (
        Switch(
            "daytime", "Daytime", "full sun whatever the clock says",
            "bool", default=False, icon="mdi:weather-sunny",
        ),
        Switch(
            "grid_connected", "Grid connected", "the home is connected to the grid",
            "bool", default=True, icon="mdi:transmission-tower",
        ),
        Switch(
            "market_enabled", "Marketplace", "the home trades on the marketplace",
            "bool", default=False, icon="mdi:storefront",
        ),
        Switch(
            "battery_reserve_pct", "Battery reserve", "state of charge kept back for an outage",
            "number", 10.0, "mdi:battery-lock", unit="%", minimum=0, maximum=100,
        ),
        Switch(
            "manual_load_delta_kw", "Manual load", "added to the household's own load, which never goes below 0",
            "number", 0.0, "mdi:home-lightning-bolt", unit="kW", minimum=-10, maximum=10, step=0.1,
        ),
        Switch(
            "sun_cloud_factor", "Cloud factor", "multiplies the irradiance: 1 is a clear sky",
            "number", 1.0, "mdi:weather-partly-cloudy", minimum=0, maximum=1, step=0.01,
        ),
        Switch("ev_plug", "EV plug", "the EV is at the charger", "bool", default=False, icon="mdi:ev-plug-type2"),
        Switch("ev_mode", "EV mode", "how the EV charges", "choice", "off", "mdi:car-electric", options=EV_MODES),
        Switch(
            "fault_inject", "Faults", "faults of the meter, as a JSON object; {} for none",
            "faults", {}, "mdi:bug", is_setting=True,
        ),
        Switch(
            "time_acceleration", "Time acceleration", "simulated seconds per second, for the whole community; 0 pauses",
            "number", 1.0, "mdi:fast-forward", minimum=0, maximum=3600, step=0.1, is_setting=True,
        ),
        Switch(
            "sun_mode", "Sun mode", "manual: the daytime switch; auto: the sun's position at the site",
            "choice", "manual", "mdi:theme-light-dark", options=SUN_MODES, is_setting=True,
        ),
    )
}  # fmt: skip


def switch_named(name: str) -> Switch:
    """Return the declaration of `name`.

    Raises:
        CommandError: `unknown_switch`.

    """
    if name in SWITCHES:
        return SWITCHES[name]
    raise CommandError("unknown_switch", f"there is no switch {shown(name)}; the switches are {', '.join(SWITCHES)}")
