"""Photovoltaics: irradiance in the plane of the modules, cell temperature, AC power."""

import numpy as np

from wattswap_mqtt.core.arrays import ZERO, Floats, constant
from wattswap_mqtt.core.sun import Weather

FULL_SUN_WPM2 = 1000.0
SUNRISE_S = 5.0
"""How long the daytime switch takes from night to full sun."""
LOSSES = 0.1408
TEMPERATURE_COEFFICIENT_PER_K = -0.0037
INVERTER_EFFICIENCY = 0.96
HEATING_K_PER_WPM2 = 25.0 / 800.0  # NOCT 45 °C at 20 °C and 800 W/m²
ALBEDO = 0.2
SOLAR_CONSTANT_WPM2 = 1361.0
LOWEST_SUN = 0.01745  # the sine of 1°
# Inverter efficiency over the load z: η / 0.9637 · (0.9858 - 0.0162 z - 0.0059 / z)
_LINEAR, _QUADRATIC, _CONSTANT = (constant(INVERTER_EFFICIENCY / 0.9637 * part) for part in (0.9858, 0.0162, 0.0059))
_DC_RATING = constant(1.0 / INVERTER_EFFICIENCY)
_HEATING = constant(HEATING_K_PER_WPM2)


def plane_irradiance_wpm2(panel_normal: Floats, weather: Weather) -> Floats:
    """Return the irradiance in the plane of the modules: the sky is brighter around the sun, and the ground reflects.

    E = (DNI + A · DHI / s_up) · max(0, n·s) + (1 - A) · DHI · (1 + n_up)/2 + GHI · albedo · (1 - n_up)/2,
    with A, how much of the sun comes through directly, DNI over its irradiance outside the atmosphere.
    Source: Hay and Davies (1980), as in Loutzenhiser et al. (2007), doi:10.1016/j.solener.2006.03.009.
    """
    east, north, up = panel_normal
    s_east, s_north, s_up = weather.sun
    incidence = np.maximum(east * s_east + north * s_north + up * s_up, 0.0)
    around_sun = weather.diffuse_wpm2 * min(weather.direct_normal_wpm2 / SOLAR_CONSTANT_WPM2, 1.0)
    beam = weather.direct_normal_wpm2 + around_sun / max(s_up, LOWEST_SUN)
    sky, ground = 0.5 * (weather.diffuse_wpm2 - around_sun), 0.5 * ALBEDO * weather.global_wpm2
    total: Floats = beam * incidence + ((sky + ground) + (sky - ground) * up)
    return total


def cell_temperature_c(irradiance_wpm2: Floats, air_temp_c: float) -> Floats:
    """Return T_air + (NOCT - 20)/800 · E."""
    return air_temp_c + _HEATING * irradiance_wpm2


def irradiance_for_wpm2(power_kw: Floats, dc_kw: Floats, air_temp_c: float) -> Floats:
    """Return about the irradiance at which the modules give this AC power: the inverter at its rated efficiency."""
    a, b = _of_irradiance(air_temp_c)
    root: Floats = np.sqrt(np.maximum(a * a + 4.0 * b * power_kw / (dc_kw * INVERTER_EFFICIENCY), 0.0))
    return (root - a) / (2.0 * b)


def ac_power_kw(dc_kw: Floats, ac_kw: Floats, irradiance_wpm2: Floats, air_temp_c: float) -> Floats:
    """Return min(AC rating, P_dc · E/1000 · (1 + γ (T_cell - 25)) · (1 - losses) · η(load of the inverter)).

    With T_cell linear in E the DC power is P_dc · E · (a + b · E), two numbers for all homes.
    Source: PVWatts version 5, Dobos (2014), NREL/TP-6A20-62641.
    """
    if not np.count_nonzero(irradiance_wpm2):
        return np.zeros(irradiance_wpm2.shape)  # half of the time it is night
    a, b = _of_irradiance(air_temp_c)
    power_kw = dc_kw * irradiance_wpm2 * (a + b * irradiance_wpm2)
    rating_kw = ac_kw * _DC_RATING
    given_kw = power_kw * (_LINEAR - _QUADRATIC * power_kw / rating_kw) - _CONSTANT * rating_kw
    return np.minimum(ac_kw, np.maximum(given_kw, ZERO))


def _of_irradiance(air_temp_c: float) -> tuple[float, float]:
    gain = (1.0 - LOSSES) / FULL_SUN_WPM2
    a = gain * (1.0 + TEMPERATURE_COEFFICIENT_PER_K * (air_temp_c - 25.0))
    return a, gain * TEMPERATURE_COEFFICIENT_PER_K * HEATING_K_PER_WPM2
