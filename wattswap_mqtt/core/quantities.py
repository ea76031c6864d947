"""What a meter reports: one declaration per quantity.

A `Snapshot` is a record of sections, a section a record of quantities, a quantity an array of shape (n,) with one value
per meter.  The annotation of each field carries everything that the wire, the schemas, Home Assistant, the history, the
dashboard and the docs need; `QUANTITIES` is the walk over them.  A field without a formula in `meter.py` is a type
error.

Signs: net and active power + export, - import; battery + discharge, - charge.  NaN is "not defined" (null on the wire).
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Literal, TypedDict, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from wattswap_mqtt.core.arrays import Bools, Codes, Floats, Ints
from wattswap_mqtt.core.status import BADGES, STATUS_LINES


@dataclass(frozen=True)
class Quantity:
    """One reported quantity.

    `deadband` (in the quantity's unit), `every_s` and `hub_decimals` are the pace of the hub topic: a hub is told a new
    value when it moved by at least the dead band, no more often than every `every_s` seconds (0 = at once), and rounded
    to fewer decimals.  `rare`: hubs know it, but leave it off until somebody wants it.
    """

    title: str
    meaning: str
    kind: Literal["number", "integer", "enum", "bool", "object"] = "number"
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
    return Quantity(
        title,
        meaning,
        unit=unit,
        decimals=3,
        device_class=device_class,
        state_class="measurement",
        deadband=0.02,
        every_s=10,
        diagnostic=diagnostic or rare,
        rare=rare,
    )


def register(title: str, meaning: str, *, unit: str = "kWh", device_class: str | None = "energy") -> Quantity:
    """Declare a counter that never goes down, to the milliwatt-hour."""
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


def tokens(title: str, meaning: str, *, increasing: bool) -> Quantity:
    """Declare an amount of tokens (apt), to the micro-token."""
    return Quantity(
        title,
        meaning,
        unit="apt",
        decimals=6,
        state_class="total_increasing" if increasing else "total",
        deadband=0.001,
        every_s=30,
    )


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


def choice(title: str, meaning: str, options: tuple[str, ...], *, every_s: float = 0) -> Quantity:
    """Declare a word out of a list; arrays hold its index."""
    return Quantity(title, meaning, kind="enum", device_class="enum", options=options, every_s=every_s)


def flag(title: str, meaning: str, *, device_class: str | None = None, rare: bool = False) -> Quantity:
    """Declare a yes or no."""
    return Quantity(title, meaning, kind="bool", device_class=device_class, every_s=0, diagnostic=rare, rare=rare)


FLOW_DIRS = ("import", "idle", "export")
PV_STATUSES = ("on", "standby", "fault")
BMS_STATUSES = ("charging", "idle", "discharging", "fault")
LOAD_PROFILES = ("steady", "spiky", "thermostat_controlled")
EV_MODES = ("off", "fast", "scheduled", "solar")
GRID_STATUSES = ("connected", "islanded")


class Measurements(TypedDict):
    """What the meter reads at the grid connection."""

    v_rms: Annotated[
        Floats,
        gauge(
            "Voltage",
            "RMS voltage at the grid connection",
            "V",
            2,
            hub_decimals=1,
            deadband=0.5,
            device_class="voltage",
        ),
    ]
    i_rms: Annotated[
        Floats,
        gauge(
            "Current",
            "RMS current at the grid connection",
            "A",
            3,
            hub_decimals=1,
            deadband=0.2,
            device_class="current",
        ),
    ]
    p_active: Annotated[Floats, power("Active power", "active power; + export, - import", diagnostic=True)]
    q_reactive: Annotated[
        Floats,
        power(
            "Reactive power",
            "reactive power drawn by the home",
            unit="kvar",
            device_class="reactive_power",
            rare=True,
        ),
    ]
    apparent_power: Annotated[
        Floats,
        power("Apparent power", "S, with S² = P² + Q²", unit="kVA", device_class="apparent_power", rare=True),
    ]
    frequency: Annotated[
        Floats,
        gauge(
            "Frequency",
            "mains frequency",
            "Hz",
            3,
            hub_decimals=2,
            deadband=0.02,
            device_class="frequency",
            diagnostic=True,
        ),
    ]
    power_factor: Annotated[
        Floats,
        gauge(
            "Power factor",
            "|P| / S, 1 when nothing flows",
            None,
            3,
            deadband=0.02,
            device_class="power_factor",
            rare=True,
            minimum=0,
            maximum=1,
        ),
    ]
    flow_dir: Annotated[Codes, choice("Flow direction", "direction of the active power", FLOW_DIRS, every_s=10)]
    thd_voltage_pct: Annotated[
        Floats,
        gauge(
            "Voltage THD",
            "total harmonic distortion of the voltage",
            "%",
            2,
            hub_decimals=1,
            deadband=0.2,
            every_s=60,
            rare=True,
        ),
    ]


class Pv(TypedDict):
    """The photovoltaic generator and its inverter."""

    pv_power_kw: Annotated[Floats, power("PV power", "AC power after curtailment")]
    pv_irradiance_wpm2: Annotated[
        Floats,
        gauge(
            "Irradiance",
            "irradiance in the plane of the modules",
            "W/m²",
            1,
            hub_decimals=0,
            deadband=10,
            device_class="irradiance",
        ),
    ]
    pv_temp_c: Annotated[
        Floats,
        gauge(
            "Cell temperature",
            "temperature of the cells",
            "°C",
            1,
            deadband=0.5,
            every_s=60,
            device_class="temperature",
        ),
    ]
    pv_status: Annotated[Codes, choice("PV status", "state of the inverter", PV_STATUSES)]
    mppt_setpoint_kw: Annotated[
        Floats, power("MPPT setpoint", "AC power the sun would give, before curtailment", rare=True)
    ]


class Battery(TypedDict):
    """The home battery; powers and energies at its AC terminals."""

    soc_pct: Annotated[
        Floats,
        gauge(
            "Battery SoC",
            "state of charge",
            "%",
            3,
            hub_decimals=1,
            deadband=0.1,
            device_class="battery",
            minimum=0,
            maximum=100,
        ),
    ]
    battery_power_kw: Annotated[Floats, power("Battery power", "+ discharge, - charge")]
    battery_voltage_v: Annotated[
        Floats,
        gauge(
            "Battery voltage",
            "DC voltage",
            "V",
            2,
            hub_decimals=1,
            deadband=0.2,
            device_class="voltage",
            diagnostic=True,
        ),
    ]
    battery_current_a: Annotated[
        Floats,
        gauge(
            "Battery current",
            "DC current; + discharge, - charge",
            "A",
            2,
            hub_decimals=1,
            deadband=0.5,
            device_class="current",
            diagnostic=True,
        ),
    ]
    available_charge_kwh: Annotated[
        Floats,
        gauge(
            "Available charge",
            "energy it can still take",
            "kWh",
            3,
            hub_decimals=2,
            deadband=0.01,
            device_class="energy_storage",
        ),
    ]
    available_discharge_kwh: Annotated[
        Floats,
        gauge(
            "Available discharge",
            "energy it can still give above the reserve",
            "kWh",
            3,
            hub_decimals=2,
            deadband=0.01,
            device_class="energy_storage",
        ),
    ]
    p_max_charge_kw: Annotated[Floats, power("Maximum charge power", "limit at this state of charge", rare=True)]
    p_max_discharge_kw: Annotated[Floats, power("Maximum discharge power", "limit at this state of charge", rare=True)]
    bms_status: Annotated[Codes, choice("Battery status", "state of the battery management", BMS_STATUSES)]
    efficiency_roundtrip: Annotated[
        Floats,
        gauge(
            "Round-trip efficiency",
            "AC to AC",
            None,
            3,
            deadband=0.001,
            every_s=60,
            rare=True,
            minimum=0,
            maximum=1,
        ),
    ]


class Appliances(TypedDict):
    """What the load is made of; sums to `load_power_kw`."""

    hvac_kw: Annotated[Floats, power("Heating and cooling", "demand of heating, ventilation and cooling")]
    fridge_kw: Annotated[Floats, power("Fridge", "demand of fridge and freezer")]
    cooking_kw: Annotated[Floats, power("Cooking and washing", "demand of stove, dishwasher and washing machine")]
    lighting_kw: Annotated[Floats, power("Lighting", "demand of the lights")]
    other_kw: Annotated[Floats, power("Other appliances", "electronics, standby and the manual load")]
    ev_charger_kw: Annotated[Floats, power("EV charger", "demand of the EV charger")]


class Loads(TypedDict):
    """The household's demand, the EV included."""

    load_power_kw: Annotated[
        Floats, power("Load", "demand of the household, EV included (with what cannot be served, off grid)")
    ]
    unserved_power_kw: Annotated[Floats, power("Unserved load", "demand that nothing could meet", rare=True)]
    appliance: Appliances
    load_profile: Annotated[Codes, choice("Load profile", "character of the load", LOAD_PROFILES, every_s=60)]


class Ev(TypedDict):
    """The electric vehicle."""

    plugged: Annotated[Bools, flag("EV plugged", "the EV is at the charger", device_class="plug")]
    mode: Annotated[Codes, choice("EV charging mode", "charging mode in force", EV_MODES)]
    power_kw: Annotated[Floats, power("EV power", "power that flows into the EV")]
    soc_pct: Annotated[
        Floats,
        gauge(
            "EV SoC",
            "state of charge of the EV",
            "%",
            3,
            hub_decimals=1,
            deadband=0.1,
            device_class="battery",
            minimum=0,
            maximum=100,
        ),
    ]
    session_energy_kwh: Annotated[
        Floats,
        Quantity(
            "EV session energy",
            "energy since it was plugged in",
            unit="kWh",
            decimals=6,
            device_class="energy",
            state_class="total_increasing",
            deadband=0.001,
            every_s=30,
            minimum=0,
        ),
    ]


class Grid(TypedDict):
    """The grid connection."""

    grid_status: Annotated[Codes, choice("Grid status", "connected or islanded", GRID_STATUSES)]
    grid_price_currency_per_kwh: Annotated[
        Floats,
        gauge("Grid price", "the utility's import tariff (a price per kWh)", "apt/kWh", 4, deadband=0.0001, every_s=0),
    ]
    grid_available_capacity_kw: Annotated[
        Floats, power("Grid capacity left", "connection limit less what flows", rare=True)
    ]
    grid_import_kw: Annotated[Floats, power("Grid import", "power from the grid")]
    grid_export_kw: Annotated[Floats, power("Grid export", "power to the grid")]


class Derived(TypedDict):
    """Balances, registers and the status line."""

    net_power_kw: Annotated[Floats, power("Net power", "+ export, - import")]
    self_consumption_pct: Annotated[
        Floats,
        gauge(
            "Self-consumption",
            "share of the PV power used at home",
            "%",
            2,
            hub_decimals=0,
            deadband=1,
            nullable=True,
            minimum=0,
            maximum=100,
        ),
    ]
    self_sufficiency_pct: Annotated[
        Floats,
        gauge(
            "Self-sufficiency",
            "share of the load not met by the grid",
            "%",
            2,
            hub_decimals=0,
            deadband=1,
            nullable=True,
            minimum=0,
            maximum=100,
        ),
    ]
    autonomy_hours: Annotated[
        Floats,
        gauge(
            "Autonomy",
            "hours the battery alone carries the load",
            "h",
            3,
            hub_decimals=2,
            deadband=0.05,
            device_class="duration",
            every_s=60,
            nullable=True,
        ),
    ]
    time_to_full_hours: Annotated[
        Floats,
        gauge(
            "Time to full",
            "at the present power",
            "h",
            3,
            hub_decimals=2,
            deadband=0.05,
            device_class="duration",
            every_s=60,
            nullable=True,
        ),
    ]
    time_to_empty_hours: Annotated[
        Floats,
        gauge(
            "Time to empty",
            "to the reserve, at the present power",
            "h",
            3,
            hub_decimals=2,
            deadband=0.05,
            device_class="duration",
            every_s=60,
            nullable=True,
        ),
    ]
    energy_imported_kwh: Annotated[Floats, register("Energy imported", "register of the grid import")]
    energy_exported_kwh: Annotated[Floats, register("Energy exported", "register of the grid export")]
    pv_energy_kwh: Annotated[Floats, register("PV energy", "register of the PV generation")]
    load_energy_kwh: Annotated[Floats, register("Load energy", "register of the household's demand")]
    battery_charged_kwh: Annotated[Floats, register("Battery energy charged", "register of energy into the battery")]
    battery_discharged_kwh: Annotated[
        Floats, register("Battery energy discharged", "register of energy out of the battery")
    ]
    ev_energy_kwh: Annotated[Floats, register("EV energy", "register of energy into the EV")]
    co2_emissions_kg: Annotated[
        Floats, register("CO₂ emissions", "of the imported energy", unit="kg", device_class=None)
    ]
    co2_savings_kg: Annotated[
        Floats, register("CO₂ savings", "of PV used at home and exported", unit="kg", device_class=None)
    ]
    co2_net_kg: Annotated[
        Floats,
        Quantity(
            "CO₂ net",
            "emissions less what the export avoids elsewhere",
            unit="kg",
            decimals=6,
            state_class="total",
            deadband=0.001,
            every_s=30,
        ),
    ]
    token_earnings_apt: Annotated[Floats, tokens("Token earnings", "tokens earned since the start", increasing=False)]
    token_spending_apt: Annotated[Floats, tokens("Token spending", "tokens spent since the start", increasing=False)]
    token_balance_apt: Annotated[Floats, tokens("Token balance", "earnings less spending", increasing=False)]
    unserved_energy_kwh: Annotated[Floats, register("Unserved energy", "register of demand that nothing could meet")]
    curtailed_energy_kwh: Annotated[Floats, register("Curtailed energy", "register of PV that nothing could take")]
    system_status: Annotated[Codes, choice("System status", "what the home is doing, in words", STATUS_LINES)]
    status_badge: Annotated[Codes, choice("Status badge", "the same, short", BADGES)]


class Market(TypedDict):
    """The marketplace as the meter sees it."""

    enabled: Annotated[Bools, flag("Market enabled", "the marketplace is open for this meter", rare=True)]
    pending_orders: Annotated[
        Ints,
        Quantity(
            "Pending orders", "orders that are open", kind="integer", decimals=0, state_class="measurement", every_s=0
        ),
    ]
    current_market_price: Annotated[
        Floats,
        gauge(
            "Market price",
            "the last trade, else the middle of best bid and ask",
            "apt/kWh",
            4,
            deadband=0.0001,
            every_s=0,
        ),
    ]


class Snapshot(TypedDict):
    """What `n` meters report at one moment; every leaf has shape (n,)."""

    measurements: Measurements
    pv: Pv
    battery: Battery
    loads: Loads
    ev: Ev
    grid: Grid
    derived: Derived
    market: Market


@dataclass(frozen=True)
class Path:
    """Where a quantity stands: its section, the names below it, and its declaration."""

    section: str
    names: tuple[str, ...]
    quantity: Quantity

    @property
    def dotted(self) -> str:
        """`pv.pv_power_kw`, `loads.appliance.hvac_kw`."""
        return ".".join((self.section, *self.names))

    @property
    def field(self) -> str:
        """The part of a discovery id below the section: `pv_power_kw`, `appliance_hvac_kw`."""
        return "_".join(self.names)


def _walk(record: type, section: str, above: tuple[str, ...] = ()) -> list[Path]:
    found: list[Path] = []
    for name, hint in get_type_hints(record, include_extras=True).items():
        declared = [extra for extra in get_args(hint)[1:] if isinstance(extra, Quantity)]
        if declared:
            found.append(Path(section, (*above, name), declared[0]))
        else:
            found.extend(_walk(hint, section, (*above, name)))
    return found


SECTIONS: dict[str, type] = dict(get_type_hints(Snapshot))
QUANTITIES: tuple[Path, ...] = tuple(path for section, record in SECTIONS.items() for path in _walk(record, section))


def _values_of(record: type) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values of a record in the order of their declaration."""
    return itemgetter(*get_type_hints(record))


_TOP, _SECTIONS = _values_of(Snapshot), [_values_of(record) for record in SECTIONS.values()]
_FIELDS = [hint for record in SECTIONS.values() for hint in get_type_hints(record).values()]
_NESTED = [(place, _values_of(hint)) for place, hint in reversed([*enumerate(_FIELDS)]) if isinstance(hint, type)]
"""The fields of the sections that are records themselves, the last one first."""


def columns(snapshot: Snapshot) -> list[NDArray[np.generic]]:
    """Return the arrays of a snapshot in the order of `QUANTITIES`."""
    found: list[Any] = []
    for values_of, section in zip(_SECTIONS, _TOP(snapshot), strict=True):
        found += values_of(section)
    for place, values_of in _NESTED:
        found[place : place + 1] = values_of(found[place])
    return found


def stack(snapshot: Snapshot) -> Floats:
    """Return a snapshot as one matrix (quantities, n); words and flags as numbers."""
    arrays = columns(snapshot)
    return np.concatenate(arrays, dtype=np.float64, casting="unsafe").reshape(len(arrays), -1)


def rounded(values: Floats, *, for_hubs: bool = False) -> Floats:
    """Return stacked readings with each quantity rounded to its decimals, and no negative zero."""
    result = np.empty_like(values)
    height = max(_BLOCK // values.shape[1], 1)  # rows at a time that stay in the processor's cache
    all_scales = _HUB_SCALES if for_hubs else _SCALES
    for top in range(0, len(values), height):
        block, scales = result[top : top + height], all_scales[top : top + height]
        np.multiply(values[top : top + height], scales, out=block)
        np.rint(block, out=block)
        block += 0.0  # -0.0 becomes 0.0
        block /= scales
    return result


_BLOCK = 32_768
_SCALES = np.array([[10.0**path.quantity.decimals] for path in QUANTITIES])
_HUB_SCALES = np.array([[10.0**path.quantity.hub_decimals] for path in QUANTITIES])
ROW: dict[str, int] = {path.dotted: row for row, path in enumerate(QUANTITIES)}
"""The row of each quantity in a stacked snapshot."""
