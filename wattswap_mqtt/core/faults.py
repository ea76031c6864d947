"""Faults of the meter: each declared once, with its key, range and formula."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.quantities import QUANTITIES, Path
from wattswap_mqtt.core.reading import shown

_USAGE = 'fault_inject takes a JSON object such as {"bias_pct": 10}, or {} for no fault'
MAX_JSON_LENGTH = 255
"""Home Assistant limits a state to 255 characters."""


class Moment(NamedTuple):
    """When a meter is wrong: hours since the fault began, and a draw from N(0, 1) for this step."""

    hours: float
    normal: float


@dataclass(frozen=True)
class Fault:
    """One key of `fault_inject`: what people call it, its range, its formula, and how it can be noticed.

    `formula` says what is told (x') of what is true (x).  `gain`, of a value and a moment, is it as a function for
    those faults that multiply the powers at the meter and what is counted from them; the others act in `faulty.py`.
    `example` is a value to try, `noticed` what gives it away to whoever sees the meter's messages only.
    """

    key: str
    title: str
    kind: Literal["number", "bool", "fields"]
    meaning: str
    minimum: float = 0.0
    maximum: float = 0.0
    unit: str | None = None
    formula: str = ""
    example: object = True
    noticed: str = ""
    gain: Callable[[float, Moment], float] | None = None

    def parse(self, raw: object) -> object:
        """Read `raw`, as it stands in JSON, as a value of this fault.

        Raises:
            CommandError: `wrong_type`, `out_of_range` or `unknown_field`.

        """
        match self.kind, raw:
            case ("bool", bool()):
                return raw
            case ("number", int() | float()) if not isinstance(raw, bool):
                if not self.minimum <= raw <= self.maximum:
                    raise CommandError("out_of_range", self._wants(raw))
                return raw
            case ("fields", list()):
                for name in raw:
                    field_named(name)
                return raw
            case _:
                raise CommandError("wrong_type", self._wants(raw))

    def _wants(self, raw: object) -> str:
        wanted = {
            "bool": "true or false",
            "number": f"a number from {self.minimum:g} to {self.maximum:g}{f' {self.unit}' if self.unit else ''}",
            "fields": "a list of snapshot fields",
        }[self.kind]
        return f"fault_inject: {self.key} takes {wanted}, not {shown(raw)}"


def _noise(percent: float, moment: Moment) -> float:
    return 1.0 + percent / 100.0 * moment.normal


FAULTS: Mapping[str, Fault] = {
    fault.key: fault
    for fault in (
        Fault(
            "bias_pct", "Bias", "number", "powers at the meter, and what is counted from them, x (1 + bias/100)",
            -100, 1000, "%",
            formula="P' = P · (1 + b/100), ΔE' = ΔE · (1 + b/100)",
            gain=lambda percent, _: 1.0 + percent / 100.0,
            example=10,
            noticed="Power and V·I·PF of the same message are in a steady ratio that is not 1: voltage, current and "
            "power factor stay true. Over time the registers do not balance: PV + import + discharge against load + "
            "export + charge.",
        ),
        Fault(
            "noise_pct", "Noise", "number", "powers at the meter x (1 + noise/100 · N(0,1)), anew at every step",
            0, 100, "%",
            formula="P' = P · (1 + n/100 · N(0,1)), ΔE' likewise",
            gain=_noise,
            example=5,
            noticed="The ratio of power to V·I·PF scatters around 1 from message to message.",
        ),
        Fault(
            "sigma_pct", "Noise (sigma)", "number", "another name of noise_pct", 0, 100, "%",
            formula="as noise_pct",
            gain=_noise,
            example=5,
            noticed="As noise_pct.",
        ),
        Fault(
            "drift_pct_per_hour", "Drift", "number",
            "powers at the meter x (1 + drift/100 · hours since the fault began)",
            -100, 100, "%/h",
            formula="P' = P · max(1 + d/100 · (t - t₀), 0), ΔE' likewise; t in hours",
            gain=lambda percent, moment: 1.0 + percent / 100.0 * moment.hours,
            example=60,
            noticed="The ratio of power to V·I·PF moves along a straight line; a bias alone would stay where it is.",
        ),
        Fault(
            "stuck", "Stuck fields", "fields", "a list of snapshot fields whose reported value stands still",
            formula="x'(t) = x(t₀)",
            example=["v_rms"],
            noticed="A voltage never stands still to the hundredth; fields that say the same, such as p_active and "
            "net_power_kw, differ; a register stands while power flows into it.",
        ),
        Fault(
            "spike_prob", "Spikes", "number",
            "probability per message that the powers at the meter read 5 to 10 times too high",
            0, 1,
            formula="P' = P · (5 + 5·U(0,1)) with probability p per message; registers stay true",
            example=0.2,
            noticed="Single messages say 5 to 10 times V·I·PF, and the registers do not follow.",
        ),
        Fault(
            "dropout_prob", "Dropouts", "number", "probability that a state message is not sent", 0, 1,
            formula="with probability p a message is left out, unless it follows a command",
            example=0.3,
            noticed="`published_at` jumps by two intervals or more, and `seq` leaves out numbers; the registers lose "
            "nothing.",
        ),
        Fault(
            "clock_skew_s", "Clock skew", "number", "seconds by which the meter's timestamp is wrong",
            -86400, 86400, "s",
            formula="t' = t + s, of the timestamp only",
            example=-90,
            noticed="`timestamp` against `simulated_time` of the community's status, or against the neighbours.",
        ),
        Fault(
            "duplicate_prob", "Duplicates", "number", "probability that a state message is sent twice", 0, 1,
            formula="with probability p a message comes twice, the same to the last byte",
            example=0.3,
            noticed="The same `seq` twice: whoever adds up messages counts double.",
        ),
        Fault(
            "register_rollover_kwh", "Register rollover", "number", "energy registers read modulo this",
            0.001, 1e9, "kWh",
            formula="E' = E mod r",
            example=0.005,
            noticed="A register goes back, and not to where a new meter begins: the difference is r.",
        ),
        Fault(
            "offline", "Offline", "bool",
            "the meter is unavailable and sends nothing; commands are still obeyed and answered",
            formula="no state is sent",
            noticed="Its availability says `offline` while the community's says `online`: this is no outage of the "
            "simulator, and no 0 W.",
        ),
        Fault(
            "ct_reversed", "CT reversed", "bool",
            "the current transformer is the wrong way round: import and export swap",
            formula="P' = -P; import' = export, export' = import, ΔE' likewise",
            noticed="It exports at night while the battery rests; PV + battery - load has the other sign than its net "
            "power.",
        ),
    )
}  # fmt: skip


_FIELDS: dict[str, list[Path]] = {}
for _path in QUANTITIES:
    for _name in (_path.dotted, _path.names[-1]):
        _FIELDS.setdefault(_name, []).append(_path)

SYNONYMS = ("noise_pct", "sigma_pct")


def fault_named(key: object) -> Fault:
    """Return the declaration of `key`.

    Raises:
        CommandError: `unknown_fault`.

    """
    if isinstance(key, str) and key in FAULTS:
        return FAULTS[key]
    raise CommandError("unknown_fault", f"fault_inject knows no fault {shown(key)}; the faults are {', '.join(FAULTS)}")


def field_named(name: object) -> Path:
    """Return the quantity that `stuck` means by `name`: `p_active`, or with its section `battery.soc_pct`.

    Raises:
        CommandError: `unknown_field`, also when several sections have a field of this name.

    """
    meant = _FIELDS.get(name, []) if isinstance(name, str) else []
    if len(meant) == 1:
        return meant[0]
    if meant:
        choices = " or ".join(path.dotted for path in meant)
        raise CommandError("unknown_field", f"fault_inject: stuck has to say which {shown(name)} is meant: {choices}")
    raise CommandError(
        "unknown_field",
        f"fault_inject: stuck takes snapshot fields such as p_active or battery.soc_pct, not {shown(name)}",
    )


def parse(raw: object) -> dict[str, object]:
    """Read `raw`, an object or its JSON text, as a value of `fault_inject`; `{}` ends all faults.

    Raises:
        CommandError: `wrong_type`, `invalid_json`, `unknown_fault`, `out_of_range`, `unknown_field`,
            `conflicting_faults` or `too_long`.

    """
    wanted = _object_in(raw) if isinstance(raw, str) else raw
    if not isinstance(wanted, dict):
        raise CommandError("wrong_type", f"{_USAGE}, not {shown(wanted)}")
    value = {key: fault_named(key).parse(setting) for key, setting in wanted.items()}
    if all(key in value for key in SYNONYMS):
        raise CommandError(
            "conflicting_faults", f"{' and '.join(SYNONYMS)} are two names of one fault: give one of them"
        )
    length = len(json.dumps(value, separators=(",", ":")))
    if length > MAX_JSON_LENGTH:
        raise CommandError(
            "too_long", f"fault_inject takes at most {MAX_JSON_LENGTH} characters of compact JSON, not {length}"
        )
    return value


def is_active(value: Mapping[str, object]) -> bool:
    """Tell whether this value of `fault_inject` changes anything: `{"bias_pct": 0, "stuck": []}` does not."""
    return any(value.values())


def _object_in(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # RecursionError: the standard library's answer to deep nesting
        raise CommandError("invalid_json", f"{_USAGE}, not {shown(text)}") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(name)
