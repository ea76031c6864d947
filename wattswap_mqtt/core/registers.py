"""The registers: counters of energy and CO₂ that only ever go up."""

import numpy as np

from wattswap_mqtt.core.arrays import Floats, constant
from wattswap_mqtt.core.records import Flow, Register

CO2_KG_PER_KWH = 0.45
"""Intensity of the grid's energy."""
_INTENSITY = constant(CO2_KG_PER_KWH)


def increments(flows: Floats, hours: float) -> Floats:
    """Return what `flows` (9, n) kW add to the registers (12, n) in `hours`."""
    added = np.empty((len(Register), flows.shape[1]))
    np.multiply(flows, hours, out=added[: len(Flow)])
    count_co2(added)
    return added


def count_co2(added: Floats) -> None:
    """Set the kg of CO₂ in `added` (12, n) that follow from its energies, in place.

    emitted = import · intensity; saved = (PV used at home + export) · intensity, which is max(pv, export) · intensity;
    avoided = export · intensity.
    """
    imported, exported, pv, *_, emitted, saved, avoided = added
    np.multiply(imported, _INTENSITY, out=emitted)
    np.multiply(np.maximum(pv, exported), _INTENSITY, out=saved)
    np.multiply(exported, _INTENSITY, out=avoided)
