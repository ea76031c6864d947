"""One meter with faults: what it counts and reads instead of the truth.  The catalogue stands in `faults.py`."""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core import draws
from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.faults import FAULTS, Moment, field_named
from wattswap_mqtt.core.market.pricing import MILLION, to_millionths
from wattswap_mqtt.core.meter import direction_codes
from wattswap_mqtt.core.quantities import ROW
from wattswap_mqtt.core.records import Register
from wattswap_mqtt.core.registers import count_co2

_STREAM = 48
_POWERS = [
    ROW[name]
    for name in (
        "measurements.p_active", "measurements.q_reactive", "measurements.apparent_power", "pv.pv_power_kw",
        "grid.grid_import_kw", "grid.grid_export_kw", "derived.net_power_kw",
    )
]  # fmt: skip
_COUNTED = [Register.IMPORTED, Register.EXPORTED, Register.PV]
_SWAPPED = [Register.EXPORTED, Register.IMPORTED]
_SIGNED = [ROW["measurements.p_active"], ROW["derived.net_power_kw"]]
_IMPORT_EXPORT = [ROW["grid.grid_import_kw"], ROW["grid.grid_export_kw"]]
_FLOW_DIR, _P_ACTIVE = ROW["measurements.flow_dir"], ROW["measurements.p_active"]
_ENERGY_REGISTERS = [ROW[f"derived.{name}"] for name in (
    "energy_imported_kwh", "energy_exported_kwh", "pv_energy_kwh", "load_energy_kwh", "battery_charged_kwh",
    "battery_discharged_kwh", "ev_energy_kwh", "unserved_energy_kwh", "curtailed_energy_kwh",
)]  # fmt: skip


class FaultyMeter:
    """The faults of one meter since `since_s`; `key` (1,) seeds its draws."""

    def __init__(
        self,
        value: Mapping[str, object],
        since_s: float,
        key: NDArray[np.uint64],
        stuck: Mapping[str, float] | None = None,
    ) -> None:
        self.value = value
        self.since_s = since_s
        self.stuck: dict[str, float] = dict(stuck or {})
        self._key = key

    def number(self, name: str) -> float:
        """Return the setting of a numeric fault, 0 if it is not injected."""
        return float(cast("float", self.value.get(name, 0.0)))

    @property
    def offline(self) -> bool:
        """The meter is silent."""
        return bool(self.value.get("offline"))

    @property
    def misreads(self) -> bool:
        """The meter's powers are not what its voltage and current say."""
        noise = self.number("noise_pct") or self.number("sigma_pct")
        return bool(self.number("bias_pct") or noise or self.number("drift_pct_per_hour") or self.number("spike_prob"))

    def gain(self, time_s: float) -> float:
        """Return by what the powers at the meter are multiplied: the product of the gains of all faults."""
        gains = [(fault.gain, self.number(key)) for key, fault in FAULTS.items() if fault.gain and key in self.value]
        if not gains:
            return 1.0
        normal = float(draws.normals(self._key, _STREAM, int(time_s * 1000), 1)[0, 0])
        moment = Moment((time_s - self.since_s) / 3600.0, normal)
        return max(math.prod(gain(setting, moment) for gain, setting in gains), 0.0)

    def count(self, added: Floats, time_s: float) -> Floats:
        """Return what the meter counts when the truth adds `added` (12,) to the registers."""
        counted = added.copy()
        if self.value.get("ct_reversed"):
            counted[[Register.IMPORTED, Register.EXPORTED]] = added[_SWAPPED]
        counted[_COUNTED] *= self.gain(time_s)
        count_co2(counted[:, np.newaxis])
        return counted

    def read(self, row: Floats, time_s: float, seq: int) -> None:
        """Turn the true reading `row` (quantities,) into what the meter says, in place.

        The registers in `row` are those the meter counted; message `seq` decides a spike.
        """
        factor = self.gain(time_s)
        if self._chance("spike_prob", 1, seq):
            factor *= 5.0 + 5.0 * float(draws.uniform(self._key, _STREAM + 2, seq)[0])
        row[_POWERS] *= factor
        if self.value.get("ct_reversed"):
            row[_SIGNED] = 0.0 - row[_SIGNED]
            row[_IMPORT_EXPORT] = row[_IMPORT_EXPORT[::-1]]
        row[_FLOW_DIR] = direction_codes(row[_P_ACTIVE : _P_ACTIVE + 1])[0]
        rollover = self.number("register_rollover_kwh")
        if rollover:
            counted_mwh = np.rint(row[_ENERGY_REGISTERS] * MILLION)
            row[_ENERGY_REGISTERS] = counted_mwh % to_millionths(rollover) / MILLION
        for name in cast("list[str]", self.value.get("stuck", [])):
            place = ROW[field_named(name).dotted]
            row[place] = self.stuck.setdefault(name, float(row[place]))

    def drops(self, seq: int) -> bool:
        """Tell whether message `seq` is lost."""
        return self._chance("dropout_prob", 3, seq)

    def repeats(self, seq: int) -> bool:
        """Tell whether message `seq` is sent twice."""
        return self._chance("duplicate_prob", 4, seq)

    def _chance(self, name: str, stream: int, seq: int) -> bool:
        probability = self.number(name)
        return probability > 0.0 and float(draws.uniform(self._key, _STREAM + stream, seq)[0]) < probability
