"""Photovoltaics: irradiance in the plane of the modules, cell temperature, AC power."""

import numpy as np

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.sun import Weather

FULL_SUN_WPM2 = 1000.0
SUNRISE_S = 5.0
"""How long the daytime switch takes from night to full sun."""
LOSSES = 0.1408
TEMPERATURE_COEFFICIENT_PER_K = -0.0037
INVERTER_EFFICIENCY = 0.96
HEATING_K_PER_WPM2 = 25.0 / 800.0  # NOCT 45 °C at 20 °C and 800 W/m²
ALBEDO = 0.2


def plane_irradiance_wpm2(panel_normal: Floats, weather: Weather) -> Floats:
    """Return the irradiance in the plane of the modules under an isotropic sky.

    E = DNI · max(0, n·s) + DHI · (1 + n_up)/2 + GHI · albedo · (1 - n_up)/2.
    Source: Liu and Jordan (1963), doi:10.1016/0038-092X(63)90006-9.
    """
    east, north, up = panel_normal
    s_east, s_north, s_up = weather.sun
    incidence = np.maximum(east * s_east + north * s_north + up * s_up, 0.0)
    sky, ground = 0.5 * weather.diffuse_wpm2, 0.5 * ALBEDO * weather.global_wpm2
    total: Floats = weather.direct_normal_wpm2 * incidence + ((sky + ground) + (sky - ground) * up)
    return total


def cell_temperature_c(irradiance_wpm2: Floats, air_temp_c: float) -> Floats:
    """Return T_air + (NOCT - 20)/800 · E."""
    return air_temp_c + HEATING_K_PER_WPM2 * irradiance_wpm2


def irradiance_for_wpm2(power_kw: Floats, dc_kw: Floats, air_temp_c: float) -> Floats:
    """Return the irradiance at which the modules give this AC power: the inverse of `ac_power_kw`, unclipped."""
    a, b = _quadratic(air_temp_c)
    root: Floats = np.sqrt(np.maximum(a * a + 4.0 * b * power_kw / dc_kw, 0.0))
    return (root - a) / (2.0 * b)


def ac_power_kw(dc_kw: Floats, ac_kw: Floats, irradiance_wpm2: Floats, air_temp_c: float) -> Floats:
    """Return min(AC rating, P_dc · E/1000 · (1 + γ (T_cell - 25)) · (1 - losses) · η).

    With T_cell linear in E this is P_dc · E · (a + b · E), two numbers for all homes.
    Source: PVWatts version 5, Dobos (2014), NREL/TP-6A20-62641.
    """
    a, b = _quadratic(air_temp_c)
    return np.minimum(ac_kw, dc_kw * irradiance_wpm2 * (a + b * irradiance_wpm2))


def _quadratic(air_temp_c: float) -> tuple[float, float]:
    gain = (1.0 - LOSSES) * INVERTER_EFFICIENCY / FULL_SUN_WPM2
    a = gain * (1.0 + TEMPERATURE_COEFFICIENT_PER_K * (air_temp_c - 25.0))
    return a, gain * TEMPERATURE_COEFFICIENT_PER_K * HEATING_K_PER_WPM2
