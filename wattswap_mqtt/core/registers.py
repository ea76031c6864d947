"""The registers: counters of energy and CO₂ that only ever go up."""

import numpy as np

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.records import Flow, Register

CO2_KG_PER_KWH = 0.45
"""Intensity of the grid's energy."""


def increments(flows: Floats, hours: float) -> Floats:
    """Return what `flows` (9, n) kW add to the registers (12, n) in `hours`.

    emitted = import · intensity; saved = (PV used at home + export) · intensity, which is max(pv, export) · intensity;
    avoided = export · intensity.
    """
    added = np.empty((len(Register), flows.shape[1]))
    np.multiply(flows, hours, out=added[: len(Flow)])
    factor = hours * CO2_KG_PER_KWH
    np.multiply(flows[Flow.GRID_IMPORT], factor, out=added[Register.CO2_EMITTED])
    np.multiply(np.maximum(flows[Flow.PV], flows[Flow.GRID_EXPORT]), factor, out=added[Register.CO2_SAVED])
    np.multiply(flows[Flow.GRID_EXPORT], factor, out=added[Register.CO2_AVOIDED])
    return added
