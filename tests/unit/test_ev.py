"""The demo home's EV: 50 kWh, 3 kW, at half charge, away until it is plugged in."""

from datetime import datetime

import numpy as np
import pytest
from homes import community, counted, home, powers, reading, set_home

from wattswap_mqtt.core.market.pricing import Tariff

FAST, SCHEDULED, SOLAR = ({"ev_plug": True, "ev_mode": mode} for mode in ("fast", "scheduled", "solar"))


def at(local: str) -> float:
    return datetime.fromisoformat(local).timestamp()


@pytest.mark.parametrize(
    ("switches", "kw"),
    [
        (FAST, 3.0),
        ({"ev_plug": True, "ev_mode": "off"}, 0.0),
        ({"ev_plug": False, "ev_mode": "fast"}, 0.0),
        (SCHEDULED, 0.0),
        (SOLAR, 0.0),
    ],
    ids=["fast", "off", "not plugged in", "scheduled, at noon", "solar, at night"],
)
def test_what_each_mode_charges(switches, kw):
    plugged = home(load=2.0, **switches)
    read = reading(plugged)
    assert powers(plugged)["ev"] == kw
    assert powers(plugged)["load"] == 2.0 + kw
    assert (read["ev.power_kw"], read["loads.appliance.ev_charger_kw"]) == (kw, kw)
    assert (bool(read["ev.plugged"]), read["ev.mode"]) == (switches["ev_plug"], switches["ev_mode"])


@pytest.mark.parametrize(
    ("local", "charges"),
    [
        ("2026-06-17T22:59:30+02:00", False),
        ("2026-06-17T23:00:00+02:00", True),
        ("2026-06-18T00:00:00+02:00", True),
        ("2026-06-18T05:59:30+02:00", True),
        ("2026-06-18T06:00:00+02:00", False),
        ("2026-06-18T12:00:00+02:00", False),
        ("2026-01-14T22:59:30+01:00", False),
        ("2026-01-14T23:00:00+01:00", True),
        ("2026-03-29T05:59:30+02:00", True),  # the night in which summer time begins
        ("2026-03-29T06:00:00+02:00", False),
        ("2026-10-25T02:30:00+01:00", True),  # the hour that comes twice
        ("2026-10-25T05:59:30+01:00", True),
        ("2026-10-25T06:00:00+01:00", False),
    ],
)
def test_scheduled_charging_waits_for_the_cheap_hours_of_the_local_clock(local, charges):
    waiting = community(start_s=at(local))
    set_home(waiting, 0, **SCHEDULED)
    waiting.advance(1)
    assert (powers(waiting)["ev"] > 0.0) is charges


def test_the_tariff_may_say_other_hours():
    waiting = community(
        start_s=at("2026-06-17T13:00:00+02:00"), tariff=Tariff(cheap_start_hour=12.5, cheap_end_hour=14)
    )
    set_home(waiting, 0, **SCHEDULED)
    assert powers(waiting)["ev"] == 3.0


def test_scheduled_charging_crosses_the_hours_at_any_acceleration():
    for acceleration in (1.0, 3600.0):
        waiting = community(start_s=at("2026-06-17T22:57:00+02:00"))
        set_home(waiting, 0, **SCHEDULED, time_acceleration=acceleration)
        waiting.advance(360)
        assert counted(waiting)["ev"] == pytest.approx(3.0 * 180 / 3600)


@pytest.mark.parametrize(("load", "kw"), [(0.0, 3.0), (2.5, 1.5), (4.0, 0.0), (6.0, 0.0)])
def test_solar_charging_takes_only_what_the_sun_leaves_and_before_the_battery(load, kw):
    sunny = home(soc=60, load=load, daytime=True, **SOLAR)
    assert powers(sunny)["ev"] == pytest.approx(kw, abs=1e-9)
    assert powers(sunny)["charge"] == pytest.approx(max(4.0 - load - kw, 0.0), abs=2e-3)


@pytest.mark.parametrize(("soc", "kw"), [(20, 3.0), (80, 3.0), (90, 1.5), (98, 0.3), (99.9, 0.15), (100, 0.0)])
def test_charging_tapers_above_80_percent(soc, kw):
    filling = home(load=1.0)
    filling.state.ev_stored_kwh[0] = 50.0 * soc / 100.0
    set_home(filling, 0, **FAST)
    assert powers(filling)["ev"] == pytest.approx(kw, abs=2e-3)


def test_it_fills_up_to_100_percent_and_not_beyond():
    filling = home(load=1.0, time_acceleration=3600.0)
    filling.state.ev_stored_kwh[0] = 49.5
    set_home(filling, 0, **FAST)
    filling.advance(5 * 3600)
    read = reading(filling)
    assert read["ev.soc_pct"] == 100.0
    assert read["ev.power_kw"] == 0.0


def test_a_session_counts_from_the_plug():
    guest = home(load=1.0, **FAST, time_acceleration=60.0)
    guest.advance(1200)
    first = reading(guest)["ev.session_energy_kwh"]
    assert first == pytest.approx(1.0, abs=0.01)
    guest.set_switches(0, {"ev_plug": False})
    guest.advance(60)
    assert reading(guest)["ev.session_energy_kwh"] == first
    guest.set_switches(0, {"ev_plug": True})
    guest.advance(60)
    read = reading(guest)
    assert read["ev.session_energy_kwh"] == pytest.approx(0.05)
    assert read["derived.ev_energy_kwh"] == pytest.approx(first + 0.05, abs=1e-5)


def test_its_pack_fills_with_what_the_charger_does_not_lose():
    charging = home(load=1.0, **FAST, time_acceleration=60.0)
    before = charging.state.ev_stored_kwh[0]
    charging.advance(3600)
    assert charging.state.ev_stored_kwh[0] - before == pytest.approx(2.7, abs=0.01)


def test_away_it_is_driven_by_day_and_down_to_a_fifth():
    away = home(load=1.0, time_acceleration=3600.0)
    noon = reading(away)["ev.soc_pct"]
    away.advance(7 * 3600)
    evening = reading(away)["ev.soc_pct"]
    assert noon == pytest.approx(50.0, abs=0.1)
    assert evening < noon - 1.0
    away.advance(11.9 * 3600)
    assert reading(away)["ev.soc_pct"] == pytest.approx(evening, abs=0.1)
    away.state.ev_stored_kwh[0] = 10.1
    away.advance(12 * 3600)
    assert reading(away)["ev.soc_pct"] == 20.0


def test_no_two_days_and_no_two_vehicles_are_driven_alike():
    def driven(acceleration):
        street = community("a", "b", "c", start_s=at("2026-06-15T00:00:00+02:00"))
        street.set_switches(0, {"time_acceleration": acceleration})
        days = [street.state.ev_stored_kwh.copy()]
        for _ in range(2):
            street.advance(86400)
            days.append(street.state.ev_stored_kwh.copy())
        return -np.diff(days, axis=0)

    taken = driven(3600.0)
    assert len(np.unique(taken.round(3))) == taken.size
    assert driven(60.0) == pytest.approx(taken, abs=1e-9)
