"""How a run went: sums over all homes by local day and by hour of the day; small, however long the run."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.records import Flow
from wattswap_mqtt.headless.homes import Block


@dataclass
class Course:
    """Energies in kWh, the mean state of charge in %."""

    zone: ZoneInfo
    hours_each: float  # of a period
    days: defaultdict[date, Floats] = field(default_factory=lambda: defaultdict(lambda: np.zeros(len(Flow))))
    _hours: Floats = field(default_factory=lambda: np.zeros((24, len(Flow) + 2)))

    def add(self, block: Block) -> None:
        """Add a block of all homes."""
        sums = block.values[:, : len(Flow)].sum(axis=2, dtype=np.float64)
        soc_pct = block.values[:, len(Flow)].mean(axis=1, dtype=np.float64)
        for start_s, kwh, soc in zip(block.starts_s, sums, soc_pct.tolist(), strict=True):
            local = datetime.fromtimestamp(start_s, self.zone)
            self.days[local.date()] += kwh
            self._hours[local.hour] += (*kwh, soc * self.hours_each, self.hours_each)

    def mean_day(self) -> Floats:
        """Return mean powers of all homes in kW, and last the mean charge in %, by hour of the day: (24, flows + 1)."""
        return self._hours[:, :-1] / np.maximum(self._hours[:, -1:], 1e-9)
