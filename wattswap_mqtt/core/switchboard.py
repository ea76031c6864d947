"""What is set on the meters of a community: by name, as anyone reads and sets it, and as arrays for the homes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.quantities import EV_MODES
from wattswap_mqtt.core.records import Switches
from wattswap_mqtt.core.switches import SUN_MODES, SWITCHES, SwitchValue

_CODED: Mapping[str, Callable[[Any], Any]] = {
    "daytime": np.bool_,
    "grid_connected": np.bool_,
    "market_enabled": np.bool_,
    "battery_reserve_pct": np.float64,
    "manual_load_delta_kw": np.float64,
    "sun_cloud_factor": np.float64,
    "ev_plug": np.bool_,
    "ev_mode": lambda mode: np.int8(EV_MODES.index(mode)),
    "sun_mode": lambda mode: np.int8(SUN_MODES.index(mode)),
}
"""What a value of a switch is in its array."""


def default_switches(meter_id: str) -> dict[str, SwitchValue]:
    """Return the switches of a meter that nobody has touched; all but the demo meter follow the real sun."""
    values = {name: switch.default for name, switch in SWITCHES.items()}
    return values if meter_id == DEMO_METER else values | {"sun_mode": "auto"}


class Switchboard:
    """The switches of the meters `ids`; those in the rows `with_series` follow a recorded series until touched."""

    def __init__(self, ids: Sequence[str], with_series: Collection[int]) -> None:
        self._ids = ids
        self._with_series = with_series
        self.values = [self.plain(meter) for meter in range(len(ids))]
        self.arrays = self._as_arrays()

    @property
    def time_acceleration(self) -> float:
        """Simulated seconds per second: one clock for all."""
        return float(self.values[0]["time_acceleration"])  # type: ignore[arg-type] # a number switch

    def plain(self, meter: int) -> dict[str, SwitchValue]:
        """Return the switches of a meter that nobody has touched."""
        values = default_switches(self._ids[meter])
        return values | {"sun_mode": "auto"} if meter in self._with_series else values

    def faults(self, meter: int) -> Mapping[str, object]:
        """Return the faults that are injected."""
        faults = self.values[meter]["fault_inject"]
        return faults if isinstance(faults, dict) else {}

    def change(self, meter: int, values: Mapping[str, SwitchValue]) -> dict[str, SwitchValue]:
        """Set what differs; return the previous values of that."""
        mine = self.values[meter]
        changed = {name: mine[name] for name, value in values.items() if mine[name] != value}
        mine.update({name: values[name] for name in changed})
        for name in changed.keys() & _CODED:
            getattr(self.arrays, name)[meter] = _CODED[name](values[name])
        if "time_acceleration" in changed:
            for other in self.values:
                other["time_acceleration"] = values["time_acceleration"]
        return changed

    def load(self, saved: Mapping[str, Mapping[str, SwitchValue]], time_acceleration: float) -> None:
        """Set what was saved, by meter id; a switch that is no more is left out."""
        for meter_id, mine in zip(self._ids, self.values, strict=True):
            known = {name: value for name, value in saved.get(meter_id, {}).items() if name in SWITCHES}
            mine.update(known | {"time_acceleration": time_acceleration})
        self.arrays = self._as_arrays()

    def _as_arrays(self) -> Switches:
        return Switches(*(np.array([_CODED[name](mine[name]) for mine in self.values]) for name in Switches._fields))
