"""What a meter reports: one declaration per quantity.

A `Snapshot` is a record of sections, a section a record of quantities, a quantity an array of shape (n,) with one value
per meter.  The annotation of each field carries everything that the wire, the schemas, Home Assistant, the history, the
dashboard and the docs need; `QUANTITIES` is the walk over them.  A field without a formula in `meter.py` is a type
error.

Signs: net and active power + export, - import; battery + discharge, - charge.  NaN is "not defined" (null on the wire).
"""

from dataclasses import dataclass
from typing import Annotated, TypedDict, get_args, get_type_hints

from wattswap_mqtt.core.arrays import Bools, Codes, Floats, Ints
from wattswap_mqtt.core.quantity import (
    Quantity,
    choice,
    flag,
    gauge,
    hours,
    power,
    price,
    register,
    share,
    state_of_charge,
    stored,
    total,
)
from wattswap_mqtt.core.status import BADGES, STATUS_LINES

FLOW_DIRS = ("import", "idle", "export")
PV_STATUSES = ("on", "standby", "fault")
BMS_STATUSES = ("charging", "idle", "discharging", "fault")
LOAD_PROFILES = ("steady", "spiky", "thermostat_controlled")
EV_MODES = ("off", "fast", "scheduled", "solar")
GRID_STATUSES = ("connected", "islanded")


class Measurements(TypedDict):
    """What the meter reads at the grid connection."""

    v_rms: Annotated[Floats, gauge(
        "Voltage", "RMS voltage at the grid connection", "V", 2, hub_decimals=1, deadband=0.5, device_class="voltage",
    )]  # fmt: skip
    i_rms: Annotated[Floats, gauge(
        "Current", "RMS current at the grid connection", "A", 3, hub_decimals=1, deadband=0.2, device_class="current",
    )]  # fmt: skip
    p_active: Annotated[Floats, power("Active power", "active power; + export, - import", diagnostic=True)]
    q_reactive: Annotated[Floats, power(
        "Reactive power", "reactive power drawn by the home", unit="kvar", device_class="reactive_power", rare=True,
    )]  # fmt: skip
    apparent_power: Annotated[Floats, power(
        "Apparent power", "S, with S² = P² + Q²", unit="kVA", device_class="apparent_power", rare=True,
    )]  # fmt: skip
    frequency: Annotated[Floats, gauge(
        "Frequency", "mains frequency", "Hz", 3, hub_decimals=2, deadband=0.02, device_class="frequency",
        diagnostic=True,
    )]  # fmt: skip
    power_factor: Annotated[Floats, gauge(
        "Power factor", "|P| / S, 1 when nothing flows", None, 3, deadband=0.02, device_class="power_factor", rare=True,
        minimum=0, maximum=1,
    )]  # fmt: skip
    flow_dir: Annotated[Codes, choice("Flow direction", "direction of the active power", FLOW_DIRS, every_s=10)]
    thd_voltage_pct: Annotated[Floats, gauge(
        "Voltage THD", "total harmonic distortion of the voltage", "%", 2, hub_decimals=1, deadband=0.2, every_s=60,
        rare=True,
    )]  # fmt: skip


class Pv(TypedDict):
    """The photovoltaic generator and its inverter."""

    pv_power_kw: Annotated[Floats, power("PV power", "AC power after curtailment")]
    pv_irradiance_wpm2: Annotated[Floats, gauge(
        "Irradiance", "irradiance in the plane of the modules", "W/m²", 1, hub_decimals=0, deadband=10,
        device_class="irradiance",
    )]  # fmt: skip
    pv_temp_c: Annotated[Floats, gauge(
        "Cell temperature", "temperature of the cells", "°C", 1, deadband=0.5, every_s=60, device_class="temperature",
    )]  # fmt: skip
    pv_status: Annotated[Codes, choice("PV status", "state of the inverter", PV_STATUSES)]
    mppt_setpoint_kw: Annotated[
        Floats, power("MPPT setpoint", "AC power the sun would give, before curtailment", rare=True)
    ]


class Battery(TypedDict):
    """The home battery; powers and energies at its AC terminals."""

    soc_pct: Annotated[Floats, state_of_charge("Battery SoC", "state of charge")]
    battery_power_kw: Annotated[Floats, power("Battery power", "+ discharge, - charge")]
    battery_voltage_v: Annotated[Floats, gauge(
        "Battery voltage", "DC voltage", "V", 2, hub_decimals=1, deadband=0.2, device_class="voltage", diagnostic=True,
    )]  # fmt: skip
    battery_current_a: Annotated[Floats, gauge(
        "Battery current", "DC current; + discharge, - charge", "A", 2, hub_decimals=1, deadband=0.5,
        device_class="current", diagnostic=True,
    )]  # fmt: skip
    available_charge_kwh: Annotated[Floats, stored("Available charge", "energy it can still take")]
    available_discharge_kwh: Annotated[
        Floats, stored("Available discharge", "energy it can still give above the reserve")
    ]
    p_max_charge_kw: Annotated[Floats, power("Maximum charge power", "limit at this state of charge", rare=True)]
    p_max_discharge_kw: Annotated[Floats, power("Maximum discharge power", "limit at this state of charge", rare=True)]
    bms_status: Annotated[Codes, choice("Battery status", "state of the battery management", BMS_STATUSES)]
    efficiency_roundtrip: Annotated[Floats, gauge(
        "Round-trip efficiency", "AC to AC", None, 3, deadband=0.001, every_s=60, rare=True, minimum=0, maximum=1,
    )]  # fmt: skip


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
    soc_pct: Annotated[Floats, state_of_charge("EV SoC", "state of charge of the EV")]
    session_energy_kwh: Annotated[Floats, register("EV session energy", "energy since it was plugged in")]


class Grid(TypedDict):
    """The grid connection."""

    grid_status: Annotated[Codes, choice("Grid status", "connected or islanded", GRID_STATUSES)]
    grid_price_currency_per_kwh: Annotated[Floats, price("Grid price", "the utility's import tariff (a price per kWh)")]
    grid_available_capacity_kw: Annotated[
        Floats, power("Grid capacity left", "connection limit less what flows", rare=True)
    ]
    grid_import_kw: Annotated[Floats, power("Grid import", "power from the grid")]
    grid_export_kw: Annotated[Floats, power("Grid export", "power to the grid")]


class Derived(TypedDict):
    """Balances, registers and the status line."""

    net_power_kw: Annotated[Floats, power("Net power", "+ export, - import")]
    self_consumption_pct: Annotated[Floats, share("Self-consumption", "share of the PV power used at home")]
    self_sufficiency_pct: Annotated[Floats, share("Self-sufficiency", "share of the load not met by the grid")]
    autonomy_hours: Annotated[Floats, hours("Autonomy", "hours the battery alone carries the load")]
    time_to_full_hours: Annotated[Floats, hours("Time to full", "at the present power")]
    time_to_empty_hours: Annotated[Floats, hours("Time to empty", "to the reserve, at the present power")]
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
    co2_net_kg: Annotated[Floats, total("CO₂ net", "emissions less what the export avoids elsewhere", "kg")]
    token_earnings_apt: Annotated[Floats, total("Token earnings", "tokens earned since the start", "apt")]
    token_spending_apt: Annotated[Floats, total("Token spending", "tokens spent since the start", "apt")]
    token_balance_apt: Annotated[Floats, total("Token balance", "earnings less spending", "apt")]
    unserved_energy_kwh: Annotated[Floats, register("Unserved energy", "register of demand that nothing could meet")]
    curtailed_energy_kwh: Annotated[Floats, register("Curtailed energy", "register of PV that nothing could take")]
    system_status: Annotated[Codes, choice("System status", "what the home is doing, in words", STATUS_LINES)]
    status_badge: Annotated[Codes, choice("Status badge", "the same, short", BADGES)]


class Market(TypedDict):
    """The marketplace as the meter sees it."""

    enabled: Annotated[Bools, flag("Market enabled", "the marketplace is open for this meter", rare=True)]
    pending_orders: Annotated[Ints, Quantity(
        "Pending orders", "orders that are open", kind="integer", decimals=0, state_class="measurement", every_s=0,
    )]  # fmt: skip
    current_market_price: Annotated[
        Floats, price("Market price", "the last trade, else the middle of best bid and ask")
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

    def value_in(self, snapshot: object) -> object:
        """Return what stands here in a snapshot from the wire, None if nothing does."""
        found = snapshot
        for name in (self.section, *self.names):
            found = found.get(name) if isinstance(found, dict) else None
        return found


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
ROW: dict[str, int] = {path.dotted: row for row, path in enumerate(QUANTITIES)}
"""The row of each quantity in a stacked snapshot, see stacked.py."""
