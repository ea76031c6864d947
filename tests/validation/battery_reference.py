"""A year of the demo home's battery beside that of NREL's System Advisor Model, with the same PV and load.

The reference is PySAM's lithium battery with its self-consumption dispatch, at 10 kWh, 3 kW (2 kW to the house) and the
same one-way efficiency in its converters; what ours does not model (ageing, temperature, cell resistance) is left out.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import PySAM.Battery
from figures import Figure, at_most, near
from numpy.typing import NDArray
from PySAM.BatteryTools import battery_model_sizing

from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.load import minute_at, profile_kw
from wattswap_mqtt.core.plant import DEMO_METER, sample_plant
from wattswap_mqtt.core.recorded import Powers
from wattswap_mqtt.core.records import Register
from wattswap_mqtt.core.step import step
from wattswap_mqtt.core.sun import Site, air_at, weather_at
from wattswap_mqtt.core.surroundings import Surroundings

Floats = NDArray[np.float64]
YEAR_S = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
QUARTERS = 365 * 96
ONE_WAY = 0.92**0.5
ANNUAL_LOAD_KWH = 4500.0


class Years(NamedTuple):
    """By quarter hour: energies in kWh, and the state of charge at the end in %."""

    imported_kwh: Floats
    exported_kwh: Floats
    soc_pct: Floats


class Comparison(NamedTuple):
    ours: Years
    reference: Years

    @property
    def soc_error_points(self) -> float:
        return float(np.abs(self.ours.soc_pct - self.reference.soc_pct).mean())


def figures(year: Comparison) -> list[Figure]:
    ours, theirs = year
    return [
        near("imported in a year", ours.imported_kwh.sum(), theirs.imported_kwh.sum(), 0.02, "kWh"),
        near("exported in a year", ours.exported_kwh.sum(), theirs.exported_kwh.sum(), 0.02, "kWh"),
        at_most("mean error of the state of charge", year.soc_error_points, 0.5, "points"),
    ]


def compare(pv_hourly_kw: Floats) -> Comparison:
    """Return both years for a home with this PV, and a household of 4500 kWh."""
    pv_kw = np.repeat(pv_hourly_kw, 4)
    plant = sample_plant((DEMO_METER,), 1)._replace(annual_load_kwh=np.array([ANNUAL_LOAD_KWH]))
    load_kw = np.array([profile_kw(YEAR_S + 900.0 * quarter, plant, Site())[0] for quarter in range(QUARTERS)])
    return Comparison(our_year(pv_kw, load_kw), their_year(pv_kw, load_kw))


def our_year(pv_kw: Floats, load_kw: Floats) -> Years:
    """Return the year of the core's step, in steps of a quarter hour: the inputs do not change within one."""
    home = Community((DEMO_METER,), start_s=YEAR_S)
    home.set_switches(0, {"sun_mode": "auto"})
    around = Surroundings(
        weather_at(YEAR_S, home.site, 1),
        air_at(YEAR_S, home.site).temp_c,
        minute_at(YEAR_S, home.plant, home.site, 0.0),
        cheap_tariff=False,
    )
    state = home.state
    registers = np.empty((QUARTERS + 1, len(Register)))
    soc_pct = np.empty(QUARTERS)
    registers[0] = state.registers[:, 0]
    for quarter in range(QUARTERS):
        recorded = Powers(load_kw[quarter : quarter + 1], pv_kw[quarter : quarter + 1])
        around = around._replace(recorded=recorded)
        state = step(home.homes._replace(state=state), around, None, YEAR_S, 900.0)
        registers[quarter + 1] = state.registers[:, 0]
        soc_pct[quarter] = 100.0 * state.stored_kwh[0] / home.plant.battery_kwh[0]
    added = np.diff(registers, axis=0)
    return Years(added[:, Register.IMPORTED], added[:, Register.EXPORTED], soc_pct)


def their_year(pv_kw: Floats, load_kw: Floats) -> Years:
    model = PySAM.Battery.default("CustomGenerationBatteryResidential")
    cells = model.BatteryCell
    cells.batt_initial_SOC, cells.batt_minimum_SOC, cells.batt_maximum_SOC = 60.0, 10.0, 100.0
    cells.batt_minimum_modetime = 0.0
    cells.batt_resistance = 1e-6
    cells.batt_calendar_choice = 0.0
    cells.batt_lifetime_matrix = tuple((depth, cycles, 100.0) for depth in (20.0, 80.0) for cycles in (0.0, 1e5, 1e6))
    cells.cap_vs_temp = ((-20.0, 100.0), (60.0, 100.0))
    cells.batt_Vnom_default = 3.6
    cells.batt_voltage_choice = 1.0
    cells.batt_voltage_matrix = ((0.0, 3.601), (100.0, 3.599))
    battery_model_sizing(model, 3.0, 10.0, 50.0, size_by_ac_not_dc=False)
    system = model.BatterySystem
    system.batt_current_choice = 0.0  # limited by power alone
    system.batt_ac_dc_efficiency = system.batt_dc_ac_efficiency = 100.0 * ONE_WAY
    system.batt_inverter_efficiency_cutoff = 0.0
    system.batt_power_charge_max_kwac, system.batt_power_charge_max_kwdc = 3.0, 3.0 * ONE_WAY
    system.batt_power_discharge_max_kwac, system.batt_power_discharge_max_kwdc = 2.0, 2.0 / ONE_WAY
    system.batt_replacement_option = 0.0
    model.BatteryDispatch.batt_dispatch_choice = 5.0  # self-consumption
    model.Lifetime.system_use_lifetime_output, model.Lifetime.analysis_period = 0.0, 1.0
    model.SystemOutput.gen = pv_kw.tolist()
    model.Load.load = load_kw.tolist()
    model.Load.crit_load = [0.0] * QUARTERS
    model.execute()
    to_grid = np.array(model.Outputs.grid_power)
    hours = 0.25
    return Years(np.maximum(-to_grid, 0.0) * hours, np.maximum(to_grid, 0.0) * hours, np.array(model.Outputs.batt_SOC))
