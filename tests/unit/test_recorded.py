"""Homes driven by recorded series: the energy of every interval is theirs, whatever the steps."""

from datetime import datetime

import numpy as np
import pytest
from homes import community, named, reading

from wattswap_mqtt.core.recorded import Recorded, Series
from wattswap_mqtt.core.records import Register

MONDAY_S = datetime.fromisoformat("2026-06-15T00:00+02:00").timestamp()
WEEK_S, DAY_S = 604800.0, 86400.0


def recorded(
    step_s: float = 900.0, days: int = 14, column: tuple[int, ...] = (0,), begin_s: float = MONDAY_S
) -> Series:
    kw = np.random.default_rng(7).random((round(days * DAY_S / step_s), max(column) + 1)) * 3.0
    return Series(begin_s, step_s, kw, np.array(column), "Europe/Berlin")


@pytest.mark.parametrize("step_s", [1.0, 7.0, 60.0, 600.0, 900.0, 1800.0, 3600.0])
@pytest.mark.parametrize("acceleration", [1.0, 10.0, 3600.0])
def test_the_energy_of_the_series_is_that_of_the_registers(step_s, acceleration):
    load, pv = recorded(step_s), recorded(step_s)
    homes = community(start_s=MONDAY_S + DAY_S, noise=1.0, recorded=Recorded(load, pv))
    homes.set_switches(0, {"time_acceleration": acceleration})
    homes.advance(3600.0)
    begin = DAY_S / step_s
    cells = np.arange(len(load.kw))
    share = np.clip(begin + 3600.0 / step_s - cells, 0, 1) - np.clip(begin - cells, 0, 1)
    kwh = float(share @ load.kw[:, 0]) * step_s / 3600.0
    counted = homes.state.registers[:, 0]
    assert counted[[Register.LOAD, Register.PV]] == pytest.approx([kwh, kwh], abs=1e-9)


def test_a_home_without_a_series_lives_as_it_would():
    alone = community("demo_meter", "meter_00002", noise=1.0)
    beside = community("demo_meter", "meter_00002", noise=1.0, recorded=Recorded(recorded(column=(0, -1))))
    for homes in (alone, beside):
        homes.advance(600.0)
    assert (alone.state.registers[:, 1] == beside.state.registers[:, 1]).all()
    assert alone.state.registers[Register.LOAD, 0] != beside.state.registers[Register.LOAD, 0]


def test_a_meter_with_a_series_follows_it_until_the_daytime_switch_or_a_scenario():
    series = recorded()
    homes = community(recorded=Recorded(series, series))
    assert homes.switch_values[0]["sun_mode"] == "auto"
    assert homes.off_series == []
    homes.set_scenario(0, named("daytime-pv"))
    assert homes.off_series == [0]
    assert homes.state.appliances.sum() == pytest.approx(4.5)
    homes.set_scenario(0, None)
    assert homes.state.appliances.sum() == pytest.approx(series.mean_kw(homes.clock_s, 0.0)[0])
    homes.set_switches(0, {"daytime": True})
    homes.advance(6.0)
    assert reading(homes)["pv.pv_power_kw"] == 4.0


def test_switches_act_on_top_of_the_series():
    series = recorded()
    homes = community(recorded=Recorded(series, series))
    plain = reading(homes)
    homes.set_switches(0, {"manual_load_delta_kw": 1.5, "sun_cloud_factor": 0.5})
    changed = reading(homes)
    assert changed["loads.load_power_kw"] == pytest.approx(plain["loads.load_power_kw"] + 1.5, abs=1e-3)
    assert changed["pv.pv_power_kw"] == pytest.approx(plain["pv.pv_power_kw"] / 2, abs=1e-3)


def test_the_irradiance_is_that_which_would_give_the_recorded_power():
    from wattswap_mqtt.core.pv import ac_power_kw, irradiance_for_wpm2

    dc_kw, power_kw = np.array([5.7, 3.0]), np.array([2.5, 0.0])
    irradiance = irradiance_for_wpm2(power_kw, dc_kw, 12.0)
    assert ac_power_kw(dc_kw, np.array([4.0, 4.0]), irradiance, 12.0) == pytest.approx(power_kw, abs=0.02)
    assert np.isfinite(irradiance_for_wpm2(np.array([100.0]), np.array([1.0]), 30.0)).all()


@pytest.mark.parametrize(
    ("days", "period_days"), [(1, 1), (3.5, 3), (7, 7), (13, 7), (14, 14), (365, 364), (366, 364), (730, 728)]
)
def test_it_repeats_by_whole_weeks(days, period_days):
    series = recorded(3600.0, days)
    assert series.period_s == period_days * DAY_S
    for moment_s in (MONDAY_S, MONDAY_S + 5 * 3600.0, MONDAY_S + period_days * DAY_S - 60.0):
        expected = series.mean_kw(moment_s, 60.0)
        for periods in (-3, -1, 2, 4):
            later_s = moment_s + periods * series.period_s
            if abs(later_s - moment_s) < 60 * DAY_S:  # within summer time
                assert series.mean_kw(later_s, 60.0) == expected


def test_it_repeats_at_the_same_time_of_the_local_clock():
    series = recorded(3600.0, 7)
    winter_s = datetime.fromisoformat("2026-12-14T18:00+01:00").timestamp()  # a Monday too
    assert series.mean_kw(winter_s, 60.0) == series.mean_kw(MONDAY_S + 18 * 3600.0, 60.0)


def test_it_repeats_over_every_change_of_the_clock():
    series = recorded(3600.0, 7)
    for begin in ("2026-03-29T00:00+01:00", "2026-10-25T00:00+02:00"):
        begin_s = datetime.fromisoformat(begin).timestamp()
        assert all(np.isfinite(series.mean_kw(begin_s + 900.0 * quarter, 60.0)) for quarter in range(8 * 96))


def test_it_goes_on_after_a_restart():
    from homes import restarted

    series = recorded()
    homes = community(start_s=MONDAY_S, recorded=Recorded(series))
    homes.advance(100.0)
    again = restarted(homes, recorded=Recorded(series))
    for either in (homes, again):
        either.advance(900.0)
    assert (again.state.registers == homes.state.registers).all()
