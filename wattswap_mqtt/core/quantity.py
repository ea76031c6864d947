"""What is declared of a reported quantity, and the kinds that many of them are of."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Quantity:
    """One reported quantity.

    `deadband` (in the quantity's unit), `every_s` and `hub_decimals` are the pace of the hub topic: a hub is told a new
    value when it moved by at least the dead band, no more often than every `every_s` seconds (0 = at once), and rounded
    to fewer decimals.  `rare`: hubs know it, but leave it off until somebody wants it.
    """

    title: str
    meaning: str
    kind: Literal["number", "integer", "enum", "bool"] = "number"
    unit: str | None = None
    decimals: int = 3
    device_class: str | None = None
    state_class: Literal["measurement", "total", "total_increasing"] | None = None
    options: tuple[str, ...] = ()
    deadband: float = 0.0
    every_s: float = 10.0
    hub_decimals: int = 3
    diagnostic: bool = False
    rare: bool = False
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None


def power(
    title: str,
    meaning: str,
    *,
    unit: str = "kW",
    device_class: str = "power",
    diagnostic: bool = False,
    rare: bool = False,
) -> Quantity:
    """Declare a power, to the watt."""
    return gauge(
        title, meaning, unit, 3, deadband=0.02, every_s=10, device_class=device_class, diagnostic=diagnostic, rare=rare
    )


def register(title: str, meaning: str, *, unit: str = "kWh", device_class: str | None = "energy") -> Quantity:
    """Declare a counter that only goes up, to the milliwatt-hour."""
    return Quantity(
        title,
        meaning,
        unit=unit,
        decimals=6,
        device_class=device_class,
        state_class="total_increasing",
        deadband=0.001,
        every_s=30,
        minimum=0,
    )


def total(title: str, meaning: str, unit: str) -> Quantity:
    """Declare a sum that may go up and down, to a millionth."""
    return Quantity(title, meaning, unit=unit, decimals=6, state_class="total", deadband=0.001, every_s=30)


def gauge(
    title: str,
    meaning: str,
    unit: str | None,
    decimals: int,
    *,
    deadband: float,
    every_s: float = 30,
    hub_decimals: int | None = None,
    device_class: str | None = None,
    diagnostic: bool = False,
    rare: bool = False,
    nullable: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Quantity:
    """Declare a measured value that is neither power nor counter; hubs get all its decimals unless said otherwise."""
    return Quantity(
        title,
        meaning,
        unit=unit,
        decimals=decimals,
        device_class=device_class,
        state_class="measurement",
        deadband=deadband,
        every_s=every_s,
        hub_decimals=decimals if hub_decimals is None else hub_decimals,
        diagnostic=diagnostic or rare,
        rare=rare,
        nullable=nullable,
        minimum=minimum,
        maximum=maximum,
    )


def state_of_charge(title: str, meaning: str) -> Quantity:
    """Declare how full a battery is."""
    return gauge(
        title, meaning, "%", 3, hub_decimals=1, deadband=0.1, device_class="battery", minimum=0, maximum=100,
    )  # fmt: skip


def stored(title: str, meaning: str) -> Quantity:
    """Declare an energy that a store holds, or has room for."""
    return gauge(title, meaning, "kWh", 3, hub_decimals=2, deadband=0.01, device_class="energy_storage")


def share(title: str, meaning: str) -> Quantity:
    """Declare a percentage of what flows, which is not defined while nothing does."""
    return gauge(title, meaning, "%", 2, hub_decimals=0, deadband=1, nullable=True, minimum=0, maximum=100)


def hours(title: str, meaning: str) -> Quantity:
    """Declare how long something lasts, which is not defined while it does not happen."""
    return gauge(
        title, meaning, "h", 3, hub_decimals=2, deadband=0.05, device_class="duration", every_s=60, nullable=True,
    )  # fmt: skip


def price(title: str, meaning: str) -> Quantity:
    """Declare a price per kWh."""
    return gauge(title, meaning, "apt/kWh", 4, deadband=0.0001, every_s=0)


def choice(title: str, meaning: str, options: tuple[str, ...], *, every_s: float = 0) -> Quantity:
    """Declare a word out of a list; arrays hold its index."""
    return Quantity(title, meaning, kind="enum", device_class="enum", options=options, every_s=every_s)


def flag(title: str, meaning: str, *, device_class: str | None = None, rare: bool = False) -> Quantity:
    """Declare a yes or no."""
    return Quantity(title, meaning, kind="bool", device_class=device_class, every_s=0, diagnostic=rare, rare=rare)
