"""Scenarios as records: what is set, what happens when, and what a meter is expected to say.

They are written as files (`contract/scenario_files.py`); `timeline.py` plays their events, `expectations.py` judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.moments import QUARTER_S
from wattswap_mqtt.core.plant import DEMO_BASE_LOAD_KW, EV_START_SOC, START_SOC
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.switches import SWITCHES, SwitchValue

NO_SCENARIO = "none"

Figure = float | bool | str
"""A value that a meter reports."""


@dataclass(frozen=True)
class Switching:
    """Set switches, their values read by `Switch.parse`."""

    values: Mapping[str, SwitchValue]


@dataclass(frozen=True)
class Ordering:
    """Place an order, which the scenario calls `name`."""

    name: str
    terms: OrderTerms


@dataclass(frozen=True)
class Cancelling:
    """Cancel the order that the scenario calls `name`."""

    name: str


Action = Switching | Ordering | Cancelling


@dataclass(frozen=True)
class TimedEvent:
    """Something that happens `after_s` of simulated time after the scenario was set."""

    after_s: float
    action: Action


@dataclass(frozen=True)
class Start:
    """What a scenario begins with, beside its switches."""

    soc_pct: float = 100.0 * START_SOC
    base_load_kw: float = DEMO_BASE_LOAD_KW
    ev_soc_pct: float = 100.0 * EV_START_SOC


@dataclass(frozen=True)
class Expectation:
    """What `path` is expected to be in the window from `from_s` to `until_s` after the start, the latter left out.

    One of these is set: `equals`; `minimum` and `maximum`; `trend`; `rate_per_hour`; `ratio_to_truth`.
    `tolerance` holds without noise, `tolerance_noisy` where appliances swing.  `as_mean`: the mean of the window counts
    instead of each reading; of a power with noise it always does.  `clock` takes only what lies between two times of
    the meter's local day, in minutes.
    """

    path: str
    says: str | None = None
    equals: Figure | None = None
    minimum: float | None = None
    maximum: float | None = None
    trend: Literal["rises", "falls", "steady"] | None = None
    rate_per_hour: float | None = None
    ratio_to_truth: float | None = None
    tolerance: float = 0.05
    tolerance_noisy: float = 0.5
    from_s: float = 0.0
    until_s: float = QUARTER_S
    at_once: bool = False
    as_mean: bool = False
    clock: tuple[int, int] | None = None


@dataclass(frozen=True)
class Scenario:
    """One scenario: every switch at its value, where it starts, what happens, and what is expected.

    `documented` is the wording it was written from, by heading; `changed` are the switches that are not at the default.
    """

    slug: str
    title: str
    number: int | None = None
    description: str = ""
    documented: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, SwitchValue] = field(default_factory=dict)
    start: Start = Start()
    events: tuple[TimedEvent, ...] = ()
    expect: tuple[Expectation, ...] = ()

    @property
    def switches(self) -> dict[str, SwitchValue]:
        """Every switch and its value at the start of this scenario."""
        return {name: self.changed.get(name, switch.default) for name, switch in SWITCHES.items()}

    def duration_s(self, *, noisy: bool) -> float:
        """Return how long it has to be watched until every expectation can be judged."""
        ends = (e.from_s if e.at_once and not noisy else e.until_s for e in self.expect)
        return max(ends, default=0.0)


def scenario_named(name: str, scenarios: Mapping[str, Scenario]) -> Scenario:
    """Return the one of `scenarios` (by slug) with this name: its slug or its number.

    Raises:
        CommandError: `unknown_scenario`.

    """
    wanted = name.strip().lower()
    for scenario in scenarios.values():
        if wanted in (scenario.slug, str(scenario.number)):
            return scenario
    raise CommandError(
        "unknown_scenario", f"there is no scenario {shown(name)}; the scenarios are {', '.join(scenarios)} and none"
    )
