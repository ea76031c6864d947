"""The registers: integrals of the flows, at any time acceleration."""

import numpy as np
import pytest
from homes import SCENARIOS, community, counted, home, market_order, named, powers, set_home

from wattswap_mqtt.core.community import Community, substep_s
from wattswap_mqtt.core.records import Flow, Register
from wattswap_mqtt.core.registers import CO2_KG_PER_KWH, increments

HOUR_S = 3600
AUTO_HOMES = tuple(f"meter_{number:05d}" for number in range(2, 10))


def test_registers_are_the_integrals_of_the_flows():
    flows = np.arange(1.0, 10.0).reshape(9, 1)
    added = increments(flows, 0.25)
    assert added[: len(Flow)] == pytest.approx(flows * 0.25)


@pytest.mark.parametrize(
    ("pv", "imported", "exported", "saved"),
    [(4.0, 0.0, 1.5, 4.0), (4.0, 0.5, 0.0, 4.0), (0.0, 2.0, 0.0, 0.0), (0.0, 0.0, 3.0, 3.0), (2.0, 0.0, 5.0, 5.0)],
    ids=["surplus", "deficit", "night", "sold from the battery", "sold from sun and battery"],
)
def test_co2_by_the_grids_intensity(pv, imported, exported, saved):
    flows = np.zeros((9, 1))
    flows[Flow.PV], flows[Flow.GRID_IMPORT], flows[Flow.GRID_EXPORT] = pv, imported, exported
    added = increments(flows, 1.0)[:, 0]
    assert CO2_KG_PER_KWH == 0.45
    assert added[Register.CO2_EMITTED] == pytest.approx(0.45 * imported)
    assert added[Register.CO2_SAVED] == pytest.approx(0.45 * saved)
    assert added[Register.CO2_AVOIDED] == pytest.approx(0.45 * exported)


def test_an_hour_of_2_kw_is_2_kwh():
    steady = home(soc=10, load=2.0, time_acceleration=60.0)
    before = counted(steady)
    steady.advance(HOUR_S)
    after = counted(steady)
    assert after["imported"] - before["imported"] == pytest.approx(2.0, abs=1e-9)
    assert after["load"] - before["load"] == pytest.approx(2.0, abs=1e-9)
    assert after["co2_emitted"] - before["co2_emitted"] == pytest.approx(0.9, abs=1e-9)


def street(acceleration: float, noise: float) -> Community:
    """Return demo homes in all scenarios, one with an order, and homes that follow the sun."""
    homes = community(*(["demo_meter"] * len(SCENARIOS)), *AUTO_HOMES, noise=noise)
    for meter, slug in enumerate(SCENARIOS):
        homes.set_scenario(meter, named(slug))
    set_home(homes, len(SCENARIOS), ev_plug=True, ev_mode="fast")
    set_home(homes, len(SCENARIOS) + 1, ev_plug=True, ev_mode="solar", market_enabled=True)
    set_home(homes, list(SCENARIOS).index("full-optimization"), soc=42)  # reaches its reserve of 50 % within the hour
    homes.set_switches(0, {"time_acceleration": acceleration})
    return homes


def test_energies_at_1_and_at_3600_agree_within_half_a_percent():
    slow, fast = street(1.0, noise=1.0), street(3600.0, noise=1.0)
    for homes in (slow, fast):
        homes.advance(1.5 * HOUR_S)
    assert fast.clock_s == slow.clock_s
    for register in Register:
        expected = slow.state.registers[register]
        # 5 Wh: where a battery reaches its reserve or becomes full within a minute, a little flows elsewhere.
        assert fast.state.registers[register] == pytest.approx(expected, rel=0.005, abs=0.005), register.name
    for name in ("stored_kwh", "ev_stored_kwh"):
        assert getattr(fast.state, name) == pytest.approx(getattr(slow.state, name), rel=0.005), name


@pytest.mark.parametrize("acceleration", [0.1, 1.0, 7.0, 60.0, 61.5, 3600.0])
def test_ticks_of_any_length_count_the_same(acceleration):
    ticking, whole = (home(soc=10, load=2.0, noise=1.0, time_acceleration=acceleration) for _ in range(2))
    begin = counted(whole)
    for _ in range(10):
        ticking.advance(37.3)
    whole.advance(373.0)
    added = counted(whole)["load"] - begin["load"]
    assert counted(ticking)["load"] - begin["load"] == pytest.approx(added, rel=1e-6)
    assert ticking.clock_s == pytest.approx(whole.clock_s, abs=1e-5)


def test_sales_settle_alike_at_1_and_at_3600():
    amounts = []
    for acceleration in (1.0, 3600.0):
        seller = home(soc=90, daytime=True, market_enabled=True, time_acceleration=acceleration)
        seller.place(0, market_order("sell", 0.5, 474))  # ends with a sub-step of either
        seller.advance(600)
        amounts.append(int(seller.exchange.earnings_utok[0]))
    assert amounts[1] == pytest.approx(amounts[0], rel=0.005)
    assert amounts[0] == pytest.approx(80_000 * (0.5 + 2.0 * 126 / 3600), rel=0.005)


def test_0_pauses():
    paused = home(soc=60, load=2.0, time_acceleration=0.0)
    clock_s, before = paused.clock_s, counted(paused)
    for _ in range(10):
        paused.advance(1.0 * paused.time_acceleration)
    assert (paused.clock_s, counted(paused)) == (clock_s, before)
    assert powers(paused)["load"] == 2.0  # the powers are those of the moment that stands


def test_sub_steps_divide_a_quarter_hour_and_are_a_minute_at_most():
    for acceleration in (0.0, 0.5, 1.0, 1.5, 4.0, 10.0, 59.0, 60.0, 3600.0):
        assert 900 % substep_s(acceleration) == 0
        assert acceleration <= substep_s(acceleration) <= 60.0 or substep_s(acceleration) == 60.0


def test_what_the_balance_lost_and_found_is_nothing():
    homes = street(60.0, noise=1.0)
    homes.advance(6 * HOUR_S)
    r = homes.state.registers
    source = r[Register.PV] + r[Register.DISCHARGED] + r[Register.IMPORTED] + r[Register.UNSERVED]
    sink = r[Register.LOAD] + r[Register.CHARGED] + r[Register.EXPORTED]
    assert source == pytest.approx(sink, abs=1e-9)
