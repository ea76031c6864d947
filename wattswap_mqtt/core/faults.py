"""Faults of the meter: each declared once, with its key, range and formula."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wattswap_mqtt.core.errors import CommandError

MAX_JSON_LENGTH = 255
"""Home Assistant limits a state to 255 characters."""


@dataclass(frozen=True)
class Fault:
    """One key of `fault_inject`: its range and its formula in words."""

    key: str
    kind: Literal["number", "bool", "fields"]
    meaning: str
    minimum: float = 0.0
    maximum: float = 0.0
    unit: str | None = None


FAULTS: Mapping[str, Fault] = {
    fault.key: fault
    for fault in (
        Fault(
            "bias_pct",
            "number",
            "powers at the meter, and what is counted from them, x (1 + bias/100)",
            -100,
            1000,
            "%",
        ),
        Fault("noise_pct", "number", "powers at the meter x (1 + noise/100 · N(0,1)), anew at every step", 0, 100, "%"),
        Fault("sigma_pct", "number", "another name of noise_pct", 0, 100, "%"),
        Fault(
            "drift_pct_per_hour",
            "number",
            "powers at the meter x (1 + drift/100 · hours since the fault began)",
            -100,
            100,
            "%/h",
        ),
        Fault("stuck", "fields", "a list of snapshot fields whose reported value stands still"),
        Fault(
            "spike_prob",
            "number",
            "probability per message that the powers at the meter read 5 to 10 times too high",
            0,
            1,
        ),
        Fault("dropout_prob", "number", "probability that a state message is not sent", 0, 1),
        Fault("clock_skew_s", "number", "seconds by which the meter's timestamp is wrong", -86400, 86400, "s"),
        Fault("duplicate_prob", "number", "probability that a state message is sent twice", 0, 1),
        Fault("register_rollover_kwh", "number", "energy registers read modulo this", 0.001, 1e9, "kWh"),
        Fault("offline", "bool", "the meter is unavailable and sends nothing; commands are still obeyed and answered"),
        Fault("ct_reversed", "bool", "the current transformer is the wrong way round: import and export swap"),
    )
}


def parse(raw: object) -> dict[str, object]:
    """Read `raw`, an object or its JSON text, as a value of `fault_inject`."""
    raise NotImplementedError


_ = (json, CommandError)
