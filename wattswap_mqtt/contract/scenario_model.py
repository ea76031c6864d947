"""The one form of a scenario for files, MQTT and REST: its fields, and clear sentences for what is wrong with one.

`read_scenario` reads a document (from YAML or JSON) into the core's record; what it refuses says where in the document.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from wattswap_mqtt.contract import orders
from wattswap_mqtt.contract.orders import OrderRequest
from wattswap_mqtt.contract.told import told_by_a_meter
from wattswap_mqtt.core import faults
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.expectations import COUNTED_BY
from wattswap_mqtt.core.moments import QUARTER_S
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.scenarios import (
    NO_SCENARIO,
    Action,
    Cancelling,
    Expectation,
    Ordering,
    Scenario,
    Start,
    Switching,
    TimedEvent,
)
from wattswap_mqtt.core.switches import SWITCHES, SwitchValue, switch_named

Place = tuple[str | int, ...]
"""Where something stands in a document: names and numbers of list items."""

LONGEST_S = 31 * 86_400.0
MOST_EVENTS, MOST_EXPECTATIONS = 200, 500
DURATION = "a duration such as 30s, 15m or 1h30m, of at most 31 days"
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_ORDER_FIELD = re.compile(r"orders\.[a-z0-9][a-z0-9_-]*\.[a-z_]+", re.ASCII)
_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class ScenarioError(CommandError):
    """A document that is no scenario: the stable code, the place, and what would be right there."""

    def __init__(self, code: str, place: Place, problem: str) -> None:
        self.place = place
        self.problem = problem
        where = "".join(map(_step, place)).removeprefix(".")
        super().__init__(code, f"{where}: {problem}" if where else problem)


def _step(part: str | int) -> str:
    if isinstance(part, str) and re.fullmatch(r"[\w-]{1,64}", part):
        return f".{part}"
    return f"[{shown(part)}]"


def _refused(code: str, problem: str, *below: str | int) -> PydanticCustomError:
    """Return what a validator raises; `below` is the place within what it validates."""
    return PydanticCustomError(code, "{problem}", {"problem": problem, "below": below})


def _seconds(raw: object) -> object:
    if isinstance(raw, str) and raw and (match := _DURATION.fullmatch(raw.strip())):
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        raw = days * 86400 + hours * 3600 + minutes * 60 + seconds
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= LONGEST_S:
        raise _refused("out_of_range" if isinstance(raw, str | int | float) else "wrong_type", f"takes {DURATION}")
    return float(raw)


def _switch_values(values: dict[str, Any]) -> dict[str, SwitchValue]:
    read = {}
    for name, raw in values.items():
        try:
            read[name] = switch_named(name).parse(raw)
        except CommandError as error:
            problem = error.message
            if error.code == "unknown_switch":
                problem = f"is no switch{_nearest(name, SWITCHES)}"
            raise _refused(error.code, problem, name) from None
    return read


def _faults(value: dict[str, Any]) -> dict[str, object]:
    for key in value:
        if key not in faults.FAULTS:
            raise _refused("unknown_fault", f"is no fault{_nearest(key, faults.FAULTS)}", key)
    try:
        return faults.parse(value)
    except CommandError as error:
        raise _refused(error.code, error.message) from None


def _clock(raw: str) -> tuple[int, int]:
    if (match := _CLOCK.fullmatch(raw.strip())) is None:
        raise _refused("out_of_range", "takes two times of the day such as 23:00-06:00")
    first, last = (60 * int(match[i]) + int(match[i + 1]) for i in (1, 3))
    return first, last


def _path(raw: str) -> str:
    if raw not in (known := told_by_a_meter()) and not _ORDER_FIELD.fullmatch(raw):
        raise _refused("unknown_field", f"is nothing that a meter reports{_nearest(raw, known)}")
    return raw


def _nearest(given: object, known: Iterable[str]) -> str:
    known = list(known)
    if near := difflib.get_close_matches(str(given), known, n=1):
        return f": did you mean {near[0]}?"
    return f"; there is {', '.join(known[:20])}{' …' if len(known) > 20 else ''}"


Duration = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=float | str),
    Field(description=f"simulated time after the start: {DURATION}, or seconds"),
]
Text = Annotated[str, Field(max_length=2000)]
SwitchValues = Annotated[
    dict[str, Any],
    AfterValidator(_switch_values),
    Field(json_schema_extra={"properties": {name: {"description": s.meaning} for name, s in SWITCHES.items()}}),
]
Percent = Annotated[float, Field(ge=0, le=100)]
Slack = Annotated[float, Field(ge=0, le=1e6)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class DocumentedModel(_Strict):
    """The wording a scenario was written from, by heading."""

    power_flows: Text | None = None
    energies: Text | None = None
    co2: Text | None = None
    tokens: Text | None = None
    status: Text | None = None
    further: Text | None = Field(None, description="what stands elsewhere, or how contradicting words are read")


class StartModel(_Strict):
    """What the home begins with, beside its switches."""

    soc_pct: Percent = Field(Start.soc_pct, description="state of charge of the battery, %")
    base_load_kw: float = Field(Start.base_load_kw, ge=0, le=100, description="mean load in sun_mode manual, kW")
    ev_soc_pct: Percent = Field(Start.ev_soc_pct, description="state of charge of the EV, %")


class EventModel(_Strict):
    """Something that happens at a time: exactly one of switch(es), faults, order and cancel."""

    at: Duration
    switch: SwitchValues | None = Field(None, description="a switch and its value, such as {daytime: true}")
    switches: SwitchValues | None = Field(None, description="several switches, as in switch")
    faults: Annotated[dict[str, Any], AfterValidator(_faults)] | None = Field(
        None, description="what fault_inject is set to; {} ends all faults"
    )
    order: OrderRequest | None = Field(None, description="an order, as it is placed over REST")
    name: Annotated[str, Field(pattern=_NAME)] | None = Field(None, description="what the order is called here")
    cancel: str | None = Field(None, description="the name of an order to be cancelled")

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        named = [key for key in ("switch", "switches", "faults", "order", "cancel") if getattr(self, key) is not None]
        if len(named) != 1:
            given = f"not both {' and '.join(named)}" if named else "and has none"
            raise _refused("missing_field", f"takes one of switch, switches, faults, order or cancel, {given}")
        if self.name is not None and self.order is None:
            raise _refused("unknown_field", "goes with an order only", "name")
        return self

    def action(self, number: int) -> Action:
        """Return what happens; the order of the event with this number may have no name of its own."""
        if self.order is not None:
            return Ordering(self.name or f"order-{number}", self.order.to_terms())
        if self.cancel is not None:
            return Cancelling(self.cancel)
        return Switching(self.switch or self.switches or {"fault_inject": self.faults or {}})


class ExpectationModel(_Strict):
    """What a quantity is expected to be: exactly one of is, min and max, trend, rate_per_hour and ratio_to_truth."""

    says: Text | None = Field(None, description="the words that this proves")
    quantity: Annotated[str, AfterValidator(_path)] = Field(
        description="section.field of the snapshot, truth.…, switches.NAME, orders.NAME.FIELD, events.TYPE,"
        " alarms.CODE, clock.pace"
    )
    equals: float | bool | str | None = Field(None, alias="is", description="a number, true or false, or a text")
    minimum: float | None = Field(None, alias="min", description="at least this")
    maximum: float | None = Field(None, alias="max", description="at most this")
    trend: Literal["rises", "falls", "steady"] | None = Field(None, description="from the first reading to the last")
    rate_per_hour: float | None = Field(None, description="growth per hour of simulated time")
    ratio_to_truth: float | None = Field(None, description="by what the meter multiplies the truth")
    tolerance: Slack | None = Field(None, description="± without noise [0.05; of a ratio 0.01]")
    tolerance_noisy: Slack | None = Field(None, description="± where appliances swing [0.5, or as tolerance]")
    at: Duration | None = Field(None, description="one moment; the first reading at or after it counts")
    begin: Duration | None = Field(None, alias="from", description="begin of the window [0s]")
    until: Duration | None = Field(None, description="end of the window [15m after its begin]")
    mean: bool = Field(False, description="the mean of the window counts, not each reading of it")
    clock: Annotated[str, AfterValidator(_clock)] | None = Field(
        None, description="only what lies between two times of the local day, such as 23:00-06:00"
    )

    @model_validator(mode="after")
    def _one_check(self) -> Self:
        ranged = [] if self.minimum is None and self.maximum is None else ["min or max"]
        checks = {"is": self.equals, "trend": self.trend, "rate_per_hour": self.rate_per_hour}
        checks |= {"ratio_to_truth": self.ratio_to_truth}
        named = [name for name, value in checks.items() if value is not None] + ranged
        if len(named) != 1:
            given = f"not {' and '.join(named)}" if named else "and has none"
            raise _refused("missing_field", f"takes one of is, min, max, trend, rate_per_hour, ratio_to_truth, {given}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise _refused("out_of_range", f"takes at least min, {self.minimum:g}", "max")
        if self.at is not None and (self.begin is not None or self.until is not None):
            raise _refused("unknown_field", "is one moment: leave out from and until", "at")
        if self.until is not None and self.until <= (self.begin or 0.0):
            raise _refused("out_of_range", "takes a time after from", "until")
        if isinstance(self.equals, str | bool) and (self.mean or self.tolerance is not None):
            raise _refused("unknown_field", "goes with a number", "mean" if self.mean else "tolerance")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        told = told_by_a_meter().get(self.quantity)
        if told is None:  # a field of an order
            return self
        if self.equals is None and not told.number:
            raise _refused("wrong_type", f"{self.quantity} is no number: it takes `is`, nothing else", "quantity")
        if self.equals is not None:
            try:
                self.equals = told.read(self.equals)
            except CommandError as error:
                raise _refused(error.code, error.message, "is") from None
        return self

    def expectation(self) -> Expectation:
        """Return the core's record."""
        usual = 0.01 if self.ratio_to_truth is not None else Expectation.tolerance
        counted = self.quantity.removeprefix("truth.") in COUNTED_BY or self.rate_per_hour is not None
        tolerance = usual if self.tolerance is None else self.tolerance
        usual_noisy = max(Expectation.tolerance_noisy, tolerance) if counted and usual > 0.01 else tolerance
        begin_s = (self.begin or 0.0) if self.at is None else self.at
        return Expectation(
            path=self.quantity,
            says=self.says,
            equals=self.equals,
            minimum=self.minimum,
            maximum=self.maximum,
            trend=self.trend,
            rate_per_hour=self.rate_per_hour,
            ratio_to_truth=self.ratio_to_truth,
            tolerance=tolerance,
            tolerance_noisy=usual_noisy if self.tolerance_noisy is None else self.tolerance_noisy,
            from_s=begin_s,
            until_s=begin_s + QUARTER_S if self.until is None else self.until,
            at_once=self.at is not None,
            as_mean=self.mean,
            clock=self.clock,  # type: ignore[arg-type] # read by _clock
        )


class ScenarioModel(_Strict):
    """A scenario: what is set, what happens when, and what the meter is expected to say."""

    slug: Annotated[str, Field(pattern=_NAME)] = Field(description="its name: small letters, digits, - and _")
    title: Annotated[str, Field(min_length=1, max_length=200)]
    number: Annotated[int, Field(ge=1, le=9999)] | None = Field(None, description="another name")
    description: Text = ""
    documented: DocumentedModel = DocumentedModel()
    switches: SwitchValues = Field({}, description="the switches that differ from their defaults")
    start: StartModel = StartModel()
    events: Annotated[list[EventModel], Field(max_length=MOST_EVENTS)] = Field([], description="in order of time")
    expect: Annotated[list[ExpectationModel], Field(max_length=MOST_EXPECTATIONS)] = []

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.slug in (NO_SCENARIO, "all") or self.slug.isdigit():
            raise _refused("out_of_range", "takes a name that is neither none, all nor a number", "slug")
        names: set[str] = set()
        for number, event in enumerate(self.events):
            if number and event.at < self.events[number - 1].at:
                raise _refused("out_of_range", "is before the event above it: events stand in order of time",
                               "events", number, "at")  # fmt: skip
            match event.action(number):
                case Ordering(name=name):
                    if name in names:
                        raise _refused("out_of_range", f"{name} is the name of two orders", "events", number, "name")
                    names.add(name)
                case Cancelling(name=name) if name not in names:
                    raise _refused("unknown_order", f"no event before this one places an order {shown(name)}",
                                   "events", number, "cancel")  # fmt: skip
        for number, expected in enumerate(self.expect):
            parts = expected.quantity.split(".")
            if parts[0] == "orders" and parts[1] not in names:
                raise _refused("unknown_order", f"no event places an order {shown(parts[1])}",
                               "expect", number, "quantity")  # fmt: skip
        return self

    def scenario(self) -> Scenario:
        """Return the core's record."""
        return Scenario(
            slug=self.slug,
            title=self.title,
            number=self.number,
            description=self.description,
            documented=self.documented.model_dump(exclude_none=True),
            changed=self.switches,
            start=Start(**self.start.model_dump()),
            events=tuple(TimedEvent(event.at, event.action(number)) for number, event in enumerate(self.events)),
            expect=tuple(model.expectation() for model in self.expect),
        )


def read_scenario(document: object) -> Scenario:
    """Read a document.

    Raises:
        ScenarioError: what is wrong first, and where.

    """
    try:
        return ScenarioModel.model_validate(document).scenario()
    except ValidationError as error:
        raise _first(error.errors(include_url=False)) from None


@cache
def scenario_schema() -> Mapping[str, Any]:
    """Return the JSON schema of a scenario."""
    return ScenarioModel.model_json_schema(by_alias=True)


_MODELS: Mapping[str, type[BaseModel]] = {
    "": ScenarioModel, "documented": DocumentedModel, "start": StartModel, "events": EventModel,
    "expect": ExpectationModel, "order": OrderRequest,
}  # fmt: skip


def _first(errors: Sequence[Mapping[str, Any]]) -> ScenarioError:
    """Return the first of pydantic's errors as one clear sentence with its place."""
    error = min(errors, key=lambda error: error["type"] != "extra_forbidden")  # a slip of the pen explains the rest
    place: Place = error["loc"]
    if place and place[0] == "expect" and "is" in place:  # pydantic adds the member of a union it tried
        place = place[:3]
    kind, given = error["type"], error.get("input")
    if "problem" in error.get("ctx", {}):
        return ScenarioError(kind, (*place, *error["ctx"]["below"]), error["ctx"]["problem"])
    if "order" in place:
        refusal = orders.refusal([{**error, "loc": place[3:]}])
        return ScenarioError(refusal.code, place, refusal.message)
    model = _MODELS[next((str(p) for p in reversed(place[:-1]) if p in _MODELS), "")]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if kind == "extra_forbidden":
        return ScenarioError("unknown_field", place, f"is no key here{_nearest(place[-1], fields)}")
    if kind == "missing":
        meaning = fields[str(place[-1])].description
        return ScenarioError("missing_field", place[:-1], f"{place[-1]} is missing{f' ({meaning})' if meaning else ''}")
    wanted, out_of_range = _wanted(kind, error.get("ctx", {}))
    return ScenarioError("out_of_range" if out_of_range else "wrong_type", place, f"takes {wanted}, not {shown(given)}")


def _wanted(kind: str, limits: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what would be right, and whether the type is and the value is not."""
    types = {"string": "a text", "float": "a number", "int": "a whole number", "bool": "true or false"}
    types |= {"dict": "keys and values", "model": "keys and values", "list": "a list"}
    if "ge" in limits or "le" in limits:
        sign = "at least" if "ge" in limits else "at most"
        return f"a number of {sign} {limits.get('ge', limits.get('le')):g}", True
    if kind.startswith("too_long"):
        return f"at most {limits['max_length']} items", True
    sentences = {
        "string_pattern_mismatch": "1 to 64 small letters, digits, - or _",
        "string_too_long": f"a text of at most {limits.get('max_length')} characters",
        "string_too_short": "a text that is not empty",
        "literal_error": f"one of {limits.get('expected')}",
        "finite_number": "a finite number",
    }
    return sentences.get(kind) or types.get(kind.partition("_")[0], "something else"), kind in sentences
