"""The meters of a community: what they count and report, and the alarms that this raises and clears."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints, Keys
from wattswap_mqtt.core.faults import is_active
from wattswap_mqtt.core.faulty import FaultyMeter
from wattswap_mqtt.core.homes import Homes
from wattswap_mqtt.core.meter import Mains, Standing, mains_at, measure, view_of
from wattswap_mqtt.core.records import State, take
from wattswap_mqtt.core.stacked import stack
from wattswap_mqtt.core.status import Alarm, Judge, alarms_of, judge
from wattswap_mqtt.core.trading import Trading


class Readings(NamedTuple):
    """What some meters report at one moment."""

    meters: Ints  # (m,) row numbers in the community
    time_s: float
    seq: int
    values: Floats  # (quantities, m), see stacked.py
    alarms: Ints  # (m,) bits, see status.ALARMS


class Meters:
    """N meters, some of them with faults; `keys` (n,) seed their draws, `seed` that of what they see alike."""

    def __init__(self, keys: Keys, seed: int) -> None:
        self.faulty: dict[int, FaultyMeter] = {}
        self.alarms: Ints = np.zeros(len(keys), np.int64)
        """Bits, as they were told last."""
        self.storage_failed = False
        self._keys = keys
        self._seed = seed
        self._everyone: Ints = np.arange(len(keys))
        self._judge = Judge(len(keys))

    def inject(
        self, meter: int, faults: Mapping[str, object], since_s: float, stuck: Mapping[str, float] | None = None
    ) -> None:
        """Let a meter have these faults, or none."""
        self.faulty.pop(meter, None)
        if is_active(faults):
            self.faulty[meter] = FaultyMeter(faults, since_s, self._keys[meter : meter + 1], stuck)

    def count(self, state: State, before: State, start_s: float) -> None:
        """Write into `state` what meters with faults counted in a sub-step that began at `start_s` with `before`."""
        for meter, faulty in self.faulty.items():
            added = state.registers[:, meter] - before.registers[:, meter]
            state.metered[:, meter] = before.metered[:, meter] + faulty.count(added, start_s)

    def read(
        self,
        homes: Homes,
        trading: Trading,
        air_temp_c: float,
        time_s: float,
        seq: int,
        some: Collection[int] | None = None,
    ) -> tuple[Readings, Readings | None]:
        """Return what the meters report (all, or some), and the truth of those among them that have faults."""
        meters = self._everyone if some is None or len(some) == len(self._everyone) else np.array(sorted(some))
        mains = mains_at(time_s, self._seed, air_temp_c, seq)
        values, bits = self._measure(meters, homes, trading.standing(time_s), mains)
        readings = Readings(meters, time_s, seq, values, bits)
        wrong = [row for row, number in enumerate(meters.tolist()) if number in self.faulty] if self.faulty else []
        if not wrong:
            return readings, None
        faulty = meters[wrong]
        truth, _ = self._measure(faulty, homes, trading.standing(time_s, truly=True), mains, truly=True)
        for row in wrong:
            column = values[:, row].copy()
            self.faulty[int(meters[row])].read(column, time_s, seq)
            values[:, row] = column
        return readings, Readings(faulty, time_s, seq, truth, bits[wrong])

    def changed_alarms(self, readings: Readings) -> Iterator[tuple[str, int, Alarm]]:
        """Yield what readings change about the alarms: event type, meter and alarm."""
        meters, bits = readings.meters, readings.alarms
        before = self.alarms if meters is self._everyone else self.alarms[meters]
        changed = bits != before
        if not np.count_nonzero(changed):
            return
        for row in np.flatnonzero(changed).tolist():
            now, then = int(bits[row]), int(before[row])
            for event_type, which in (("alarm_raised", now & ~then), ("alarm_cleared", then & ~now)):
                for alarm in alarms_of(which):
                    yield event_type, int(meters[row]), alarm
        self.alarms[meters] = bits

    def _measure(
        self, meters: Ints, homes: Homes, standing: Standing, mains: Mains, *, truly: bool = False
    ) -> tuple[Floats, Ints]:
        """Return stacked readings (quantities, m) and alarm bits (m,) of some meters: as they count, or `truly`."""
        judged = self._judge.judge
        if len(meters) != len(self._everyone):
            chosen = slice(meters[0], meters[0] + 1) if len(meters) == 1 else meters  # a slice need not copy
            homes, standing, judged = homes.of(chosen), take(standing, chosen), judge
        faulty = misread = nobody = np.zeros(len(meters), np.bool_)
        if self.faulty:
            faulty = np.array([meter in self.faulty for meter in meters.tolist()])
            misread = np.array([meter in self.faulty and self.faulty[meter].misreads for meter in meters.tolist()])
        verdicts = judged(view_of(homes, faulty, misread, ~nobody if self.storage_failed else nobody))
        registers = homes.state.registers if truly else homes.state.metered
        return stack(measure(homes, registers, standing, mains, verdicts.status)), verdicts.alarms
