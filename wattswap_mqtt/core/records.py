"""The records of a community: Plant, Switches, State.  Every leaf is an array whose last axis is the meter.

`Plant` never changes, `Switches` are set by anyone, `State` evolves.  What is measured is the fourth record,
`quantities.Snapshot`.
"""

from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import numpy as np

from wattswap_mqtt.core.arrays import Bools, Codes, Floats, Ints, Keys


class Flow(IntEnum):
    """Rows of `State.flows`: the powers of the energy balance in kW, all >= 0."""

    GRID_IMPORT = 0
    GRID_EXPORT = 1
    PV = 2
    LOAD = 3
    CHARGE = 4
    DISCHARGE = 5
    EV = 6
    UNSERVED = 7
    CURTAILED = 8


class Register(IntEnum):
    """Rows of the registers; the first nine are the integrals of the flows in kWh, the rest kg of CO₂."""

    IMPORTED = 0
    EXPORTED = 1
    PV = 2
    LOAD = 3
    CHARGED = 4
    DISCHARGED = 5
    EV = 6
    UNSERVED = 7
    CURTAILED = 8
    CO2_EMITTED = 9
    CO2_SAVED = 10
    CO2_AVOIDED = 11


class Appliance(IntEnum):
    """Rows of `State.appliances` (kW), in the order of `quantities.Appliances` less the EV charger."""

    HVAC = 0
    FRIDGE = 1
    COOKING = 2
    LIGHTING = 3
    OTHER = 4


class Plant(NamedTuple):
    """Nameplates; shape (n,) unless said otherwise."""

    key: Keys  # of the meter's random draws
    pv_dc_kw: Floats
    pv_ac_kw: Floats
    panel_normal: Floats  # (3, n): east, north, up
    battery_kwh: Floats
    battery_kw: Floats
    self_consumption_kw: Floats  # what the battery gives the house at most while on grid
    one_way_efficiency: Floats
    grid_limit_kw: Floats
    ev_kwh: Floats
    ev_kw: Floats
    annual_load_kwh: Floats  # of the profile that a home follows in sun_mode auto
    profile_shift_quarters: Ints  # how much earlier the home lives, in quarter hours
    appliance_share: Floats  # (5, n): of the mean load
    appliance_swing: Floats  # (3, n): of the cycling appliances, share x depth; 0 is constant, the share on and off
    heavy_kw: Floats  # (2, n): of a kettle or hob, and of an oven, dryer or the like
    swing_limit_kw: Floats  # mean load up to which the swings grow: a scenario's large load does not swing wildly


class Switches(NamedTuple):
    """The switches of n meters; `fault_inject` and `time_acceleration` are kept by the community."""

    daytime: Bools
    grid_connected: Bools
    market_enabled: Bools
    battery_reserve_pct: Floats
    manual_load_delta_kw: Floats
    sun_cloud_factor: Floats
    ev_plug: Bools
    ev_mode: Codes
    sun_mode: Codes


class State(NamedTuple):
    """What evolves; flows are the means of the last sub-step, registers its end."""

    sun_level: Floats  # of the daytime switch, 0 to 1, on its way over five seconds
    base_load_kw: Floats  # mean load in sun_mode manual
    stored_kwh: Floats  # in the battery's cells
    ev_stored_kwh: Floats
    ev_session_kwh: Floats
    irradiance_wpm2: Floats
    pv_potential_kw: Floats  # before curtailment
    max_charge_kw: Floats
    max_discharge_kw: Floats
    appliances: Floats  # (5, n)
    ev_demand_kw: Floats
    flows: Floats  # (9, n), see Flow
    mean_flows: Floats  # (9, n), the one-minute mean the status line looks at
    registers: Floats  # (12, n), see Register: the truth
    metered: Floats  # (12, n): what the meter counted, faults included; the very `registers` until there is a fault


Record = TypeVar("Record", bound=tuple[Any, ...])


def take(record: Record, meters: slice | Ints) -> Record:
    """Return the record of some meters: views for a slice, else copies; what is no array is for all meters."""
    leaves = [leaf[..., meters] if isinstance(leaf, np.ndarray) else leaf for leaf in record]
    return type(record)(*leaves)


def put(record: Record, meter: int, part: Record) -> None:
    """Write the record of a single meter back."""
    for leaf, value in zip(record, part, strict=True):
        leaf[..., meter : meter + 1] = value
