"""Homes as the core's functions take them: what they are, what is set, what follows from that, and how they are now."""

from typing import NamedTuple, Self

from wattswap_mqtt.core.arrays import Ints
from wattswap_mqtt.core.records import Plant, State, Switches, take
from wattswap_mqtt.core.setup import Setup


class Homes(NamedTuple):
    """N homes at one moment."""

    plant: Plant
    switches: Switches
    setup: Setup
    state: State

    def of(self, meters: slice | Ints) -> Self:
        """Return some of the homes: views for a slice, else copies."""
        return type(self)(
            take(self.plant, meters), take(self.switches, meters), take(self.setup, meters), take(self.state, meters)
        )
