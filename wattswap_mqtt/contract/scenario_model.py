"""The one form of a scenario for files, MQTT and REST: its fields, and how they have to fit together."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wattswap_mqtt.contract.orders import OrderRequest
from wattswap_mqtt.contract.scenario_fields import (
    Clock,
    Duration,
    Faults,
    Name,
    Path,
    Percent,
    Slack,
    SwitchValues,
    Text,
    refused,
)
from wattswap_mqtt.contract.scenario_paths import told_by_a_meter
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

MOST_EVENTS, MOST_EXPECTATIONS = 200, 500


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
    faults: Faults | None = Field(None, description="what fault_inject is set to; {} ends all faults")
    order: OrderRequest | None = Field(None, description="an order, as it is placed over REST")
    name: Name | None = Field(None, description="what the order is called here")
    cancel: str | None = Field(None, description="the name of an order to be cancelled")

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        named = [key for key in ("switch", "switches", "faults", "order", "cancel") if getattr(self, key) is not None]
        if len(named) != 1:
            given = f"not both {' and '.join(named)}" if named else "and has none"
            raise refused("missing_field", f"takes one of switch, switches, faults, order or cancel, {given}")
        if self.name is not None and self.order is None:
            raise refused("unknown_field", "goes with an order only", "name")
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
    quantity: Path = Field(
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
    clock: Clock | None = Field(
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
            raise refused("missing_field", f"takes one of is, min, max, trend, rate_per_hour, ratio_to_truth, {given}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise refused("out_of_range", f"takes at least min, {self.minimum:g}", "max")
        if self.at is not None and (self.begin is not None or self.until is not None):
            raise refused("unknown_field", "is one moment: leave out from and until", "at")
        if self.until is not None and self.until <= (self.begin or 0.0):
            raise refused("out_of_range", "takes a time after from", "until")
        if isinstance(self.equals, str | bool) and (self.mean or self.tolerance is not None):
            raise refused("unknown_field", "goes with a number", "mean" if self.mean else "tolerance")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        told = told_by_a_meter().get(self.quantity)
        if told is None:  # a field of an order
            return self
        if self.equals is None and not told.number:
            raise refused("wrong_type", f"{self.quantity} is no number: it takes `is`, nothing else", "quantity")
        if self.equals is not None:
            try:
                self.equals = told.read(self.equals)
            except CommandError as error:
                raise refused(error.code, error.message, "is") from None
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

    slug: Name = Field(description="its name: small letters, digits, - and _")
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
            raise refused("out_of_range", "takes a name that is neither none, all nor a number", "slug")
        names: set[str] = set()
        for number, event in enumerate(self.events):
            if number and event.at < self.events[number - 1].at:
                raise refused("out_of_range", "is before the event above it: events stand in order of time",
                               "events", number, "at")  # fmt: skip
            match event.action(number):
                case Ordering(name=name):
                    if name in names:
                        raise refused("out_of_range", f"{name} is the name of two orders", "events", number, "name")
                    names.add(name)
                case Cancelling(name=name) if name not in names:
                    raise refused("unknown_order", f"no event before this one places an order {shown(name)}",
                                   "events", number, "cancel")  # fmt: skip
        for number, expected in enumerate(self.expect):
            parts = expected.quantity.split(".")
            if parts[0] == "orders" and parts[1] not in names:
                raise refused("unknown_order", f"no event places an order {shown(parts[1])}",
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
