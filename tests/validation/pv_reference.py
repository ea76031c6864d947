"""A year of PV beside pvlib's PVWatts chain and NREL's Pvwattsv8, on the weather file that pvlib ships.

The file is TMY3 723170TYA: Greensboro, North Carolina.  Its values are means over the hour that ends at the timestamp,
so all models take the sun at the half hour before.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pvlib
import PySAM.Pvwattsv8
from figures import Figure, at_least, at_most, near
from numpy.typing import NDArray

from wattswap_mqtt.core import pv
from wattswap_mqtt.core.sun import Site, Weather, sun_vector

Floats = NDArray[np.float64]
FILE = Path(pvlib.__file__).parent / "data" / "723170TYA.CSV"
DC_KW, AC_KW, TILT_DEG = 4.8, 4.0, 35.0


class Comparison(NamedTuple):
    """Hourly mean powers in kW, and the local hour of each: `months` and `hours`."""

    ours: Floats
    pvlib: Floats
    pysam: Floats
    months: NDArray[np.int64]
    hours: NDArray[np.int64]


def figures(year: Comparison) -> list[Figure]:
    found = []
    for name, theirs in (("pvlib", year.pvlib), ("PVWatts 8", year.pysam)):
        months = [year.months == month for month in range(1, 13)]
        apart = [abs(year.ours[month].sum() / theirs[month].sum() - 1.0) for month in months]
        found += [
            near(f"a year, beside {name}", year.ours.sum(), theirs.sum(), 0.02, "kWh"),
            at_most(f"the month that differs most from {name}'s", 100.0 * max(apart), 4.0, "%"),
            at_least(f"correlation of the hours with {name}'s", np.corrcoef(year.ours, theirs)[0, 1], 0.999),
        ]
    return found


def compare() -> Comparison:
    """Return the year of a south roof in all three."""
    table, place = pvlib.iotools.read_tmy3(FILE, coerce_year=1990, map_variables=True)
    table.index = table.index - np.timedelta64(30, "m")
    return Comparison(
        _ours(table, place), _pvlib(table, place), _pysam(table, place),
        table.index.month.to_numpy(), table.index.hour.to_numpy(),
    )  # fmt: skip


def _ours(table, place) -> Floats:
    site = Site(place["latitude"], place["longitude"], "UTC")
    tilt = np.radians(TILT_DEG)
    normal = np.array([[0.0], [-np.sin(tilt)], [np.cos(tilt)]])
    times_s = (table.index.view("int64") * 1e-9).tolist()
    columns = (table[name].to_numpy() for name in ("ghi", "dni", "dhi", "temp_air"))
    found = []
    for time_s, world, direct, diffuse, air_c in zip(times_s, *columns, strict=True):
        weather = Weather(sun_vector(time_s, site), direct, diffuse, world)
        plane = pv.plane_irradiance_wpm2(normal, weather)
        found.append(pv.ac_power_kw(np.array([DC_KW]), np.array([AC_KW]), plane, air_c)[0])
    return np.array(found)


def _pvlib(table, place) -> Floats:
    sun = pvlib.solarposition.get_solarposition(table.index, place["latitude"], place["longitude"], place["altitude"])
    plane = pvlib.irradiance.get_total_irradiance(
        TILT_DEG, 180.0, sun.apparent_zenith, sun.azimuth, table.dni, table.ghi, table.dhi, albedo=pv.ALBEDO,
        dni_extra=pvlib.irradiance.get_extra_radiation(table.index), model="haydavies",
    ).fillna(0.0)  # fmt: skip
    aoi = pvlib.irradiance.aoi(TILT_DEG, 180.0, sun.apparent_zenith, sun.azimuth)
    mounting = pvlib.temperature.TEMPERATURE_MODEL_PARAMETERS["sapm"]["open_rack_glass_polymer"]
    cell_c = pvlib.temperature.sapm_cell(plane.poa_global, table.temp_air, table.wind_speed, **mounting)
    effective = plane.poa_direct * pvlib.iam.physical(aoi) + plane.poa_diffuse
    dc_w = pvlib.pvsystem.pvwatts_dc(effective, cell_c, DC_KW * 1000.0, pv.TEMPERATURE_COEFFICIENT_PER_K)
    rating_w = AC_KW * 1000.0 / pv.INVERTER_EFFICIENCY
    return np.nan_to_num(pvlib.inverter.pvwatts(dc_w * (1.0 - pv.LOSSES), rating_w).to_numpy()) / 1000.0


def _pysam(table, place) -> Floats:
    model = PySAM.Pvwattsv8.default("PVWattsNone")
    index = table.index
    model.SolarResource.solar_resource_data = {
        "tz": place["TZ"], "lat": place["latitude"], "lon": place["longitude"], "elev": place["altitude"],
        "year": index.year.tolist(), "month": index.month.tolist(), "day": index.day.tolist(),
        "hour": index.hour.tolist(), "minute": index.minute.tolist(),
        "dn": table.dni.tolist(), "df": table.dhi.tolist(), "gh": table.ghi.tolist(),
        "tdry": table.temp_air.tolist(), "wspd": table.wind_speed.tolist(),
    }  # fmt: skip
    design = model.SystemDesign
    design.system_capacity, design.dc_ac_ratio = DC_KW, DC_KW / AC_KW
    design.inv_eff, design.losses = 100.0 * pv.INVERTER_EFFICIENCY, 100.0 * pv.LOSSES
    design.array_type, design.module_type, design.tilt, design.azimuth = 0.0, 0.0, TILT_DEG, 180.0
    design.bifaciality = 0.0
    model.execute()
    return np.array(model.Outputs.ac) / 1000.0
