"""The rules of dispatch, one by one, on the demo home: 4 kW of sun, a battery of 10 kWh and 3 kW, 10 kW of grid."""

import pytest
from homes import community, home, market_order, powers, set_home, soc_of

NIGHT, DAY = {"daytime": False}, {"daytime": True}
ISLAND = {"grid_connected": False}
OPEN = {"market_enabled": True}
EV = {"ev_plug": True, "ev_mode": "fast"}
RESERVE_50 = {"battery_reserve_pct": 50.0}


def signed(homes, meter=0):
    """Return battery (+ discharge) and net power (+ export) in kW, the signs people see."""
    p = powers(homes, meter)
    return pytest.approx((p["discharge"] - p["charge"], p["grid_export"] - p["grid_import"]), abs=2e-3)


@pytest.mark.parametrize(
    ("soc", "load", "switches", "battery_kw", "net_kw"),
    [
        pytest.param(5, 2.0, NIGHT, -1.0, -3.0, id="at night from the grid"),
        pytest.param(30, 3.5, DAY | RESERVE_50, -1.0, -0.5, id="sun first, the grid gives the rest"),
        pytest.param(30, 3.0, DAY | RESERVE_50, -1.0, 0.0, id="from the sun alone"),
        pytest.param(30, 1.5, DAY | RESERVE_50, -2.5, 0.0, id="further surplus is stored too"),
        pytest.param(30, 0.5, DAY | RESERVE_50, -3.0, 0.5, id="up to the battery's limit"),
        pytest.param(30, 1.5, DAY | RESERVE_50 | OPEN, -2.5, 0.0, id="whether the market is open or not"),
        pytest.param(30, 3.0, DAY | RESERVE_50 | EV, -1.0, -3.0, id="beside the EV"),
        pytest.param(99, 2.0, {"battery_reserve_pct": 100.0}, -0.3, -2.3, id="as far as the taper allows"),
    ],
)
def test_r1_below_the_reserve_the_battery_charges(soc, load, switches, battery_kw, net_kw):
    assert signed(home(soc=soc, load=load, **switches)) == (battery_kw, net_kw)


def test_r1_ends_at_the_reserve_exactly():
    low = home(soc=9.9, load=2.0)
    low.advance(60)
    assert soc_of(low) == pytest.approx(10.0, abs=1e-9)
    low.advance(600)
    assert soc_of(low) == pytest.approx(10.0, abs=1e-9)
    assert signed(low) == (0.0, -2.0)


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_r1_beats_orders(side):
    low = home(soc=30, load=1.5, **DAY, **RESERVE_50)
    low.place(0, market_order(side, 1.0, 3600))
    assert signed(low) == {"sell": (-2.5, 0.0), "buy": (-3.0, -0.5)}[side]


@pytest.mark.parametrize(
    ("soc", "load", "switches", "battery_kw", "net_kw"),
    [
        pytest.param(60, 1.2, NIGHT, 1.2, 0.0, id="a small deficit whole"),
        pytest.param(60, 2.0, NIGHT, 2.0, 0.0, id="up to the setpoint"),
        pytest.param(60, 3.5, NIGHT, 2.0, -1.5, id="and not beyond it"),
        pytest.param(60, 5.0, DAY, 1.0, 0.0, id="what the sun leaves"),
        pytest.param(10, 2.0, NIGHT, 0.0, -2.0, id="not below the reserve"),
        pytest.param(50, 2.0, RESERVE_50, 0.0, -2.0, id="wherever that is"),
        pytest.param(60, 2.7, ISLAND, 2.7, 0.0, id="islanded up to its rating"),
        pytest.param(60, 4.0, ISLAND, 3.0, 0.0, id="and not beyond that"),
        pytest.param(10, 2.0, ISLAND, 0.0, 0.0, id="islanded not below the reserve either"),
    ],
)
def test_r2_a_deficit_of_the_house_is_met_by_the_battery(soc, load, switches, battery_kw, net_kw):
    assert signed(home(soc=soc, load=load, **switches)) == (battery_kw, net_kw)


@pytest.mark.parametrize(
    ("soc", "load", "switches", "battery_kw", "net_kw"),
    [
        pytest.param(60, 2.5, DAY, -1.5, 0.0, id="closed market: it is stored"),
        pytest.param(60, 0.5, DAY, -3.0, 0.5, id="closed market: what cannot be stored is exported"),
        pytest.param(100, 2.5, DAY, 0.0, 1.5, id="closed market: a full battery exports all"),
        pytest.param(60, 2.5, DAY | OPEN, 0.0, 1.5, id="open market: it is sold"),
        pytest.param(60, 0.5, DAY | ISLAND | OPEN, -3.0, 0.0, id="islanded it is stored, the market open or not"),
    ],
)
def test_r3_a_surplus(soc, load, switches, battery_kw, net_kw):
    assert signed(home(soc=soc, load=load, **switches)) == (battery_kw, net_kw)


def test_r3_with_the_market_open_what_cannot_be_sold_is_stored():
    sunny = home(soc=60, load=0.5, **DAY, **OPEN)
    sunny.plant = sunny.plant._replace(grid_limit_kw=sunny.plant.grid_limit_kw * 0.2)
    set_home(sunny, 0)
    assert signed(sunny) == (-1.5, 2.0)


@pytest.mark.parametrize(
    ("soc", "load", "switches", "battery_kw", "net_kw", "ev_kw"),
    [
        pytest.param(60, 1.0, NIGHT, 1.0, -3.0, 3.0, id="on grid it feeds the house only"),
        pytest.param(60, 2.0, DAY, 0.0, -1.0, 3.0, id="on grid not even beside the sun"),
        pytest.param(60, 1.0, DAY, 0.0, 0.0, 3.0, id="the sun feeds the EV before the battery"),
        pytest.param(60, 0.5, ISLAND, 3.0, 0.0, 2.5, id="islanded what the house leaves"),
        pytest.param(60, 3.0, ISLAND, 3.0, 0.0, 0.0, id="islanded after the house"),
        pytest.param(10, 0.5, ISLAND, 0.0, 0.0, 0.0, id="islanded above the reserve only"),
        pytest.param(60, 2.0, ISLAND | DAY, 1.0, 0.0, 3.0, id="islanded beside the sun"),
    ],
)
def test_r4_the_ev_and_the_battery(soc, load, switches, battery_kw, net_kw, ev_kw):
    charging = home(soc=soc, load=load, **EV, **switches)
    assert signed(charging) == (battery_kw, net_kw)
    assert powers(charging)["ev"] == pytest.approx(ev_kw, abs=2e-3)


@pytest.mark.parametrize(
    ("kw", "soc", "load", "switches", "battery_kw", "net_kw"),
    [
        pytest.param(6.0, 60, 2.0, DAY, 3.0, 5.0, id="surplus and battery deliver what they can"),
        pytest.param(1.0, 60, 2.0, DAY, -1.0, 1.0, id="what is not sold of the surplus is stored"),
        pytest.param(3.0, 60, 2.0, DAY, 1.0, 3.0, id="the battery gives what the surplus lacks"),
        pytest.param(3.0, 60, 2.0, DAY | OPEN, 1.0, 3.0, id="the same with the market open"),
        pytest.param(1.0, 60, 2.0, DAY | OPEN, 0.0, 2.0, id="the surplus beyond the order is sold as well"),
        pytest.param(0.5, 60, 2.0, NIGHT, 2.5, 0.5, id="the house is supplied first"),
        pytest.param(6.0, 60, 2.0, NIGHT, 3.0, 1.0, id="beyond the setpoint, up to the rating"),
        pytest.param(6.0, 60, 4.0, NIGHT, 2.0, -2.0, id="nothing is left to sell: the setpoint holds"),
        pytest.param(6.0, 10, 2.0, NIGHT, 0.0, -2.0, id="nothing is sold from below the reserve"),
        pytest.param(1.0, 60, 2.0, DAY | EV, 0.0, -1.0, id="nothing while the EV draws from the grid"),
        pytest.param(3.0, 60, 0.5, DAY | EV, 2.5, 3.0, id="beside an EV that the sun supplies"),
    ],
)
def test_r5_a_sell_order_is_export(kw, soc, load, switches, battery_kw, net_kw):
    seller = home(soc=soc, load=load, **switches)
    seller.place(0, market_order("sell", kw, 3600))
    assert signed(seller) == (battery_kw, net_kw)


@pytest.mark.parametrize(
    ("kw", "soc", "load", "switches", "battery_kw", "net_kw"),
    [
        pytest.param(3.0, 60, 2.0, NIGHT, -3.0, -5.0, id="the battery charges, the meter imports load and purchase"),
        pytest.param(1.0, 60, 2.0, NIGHT, -1.0, -3.0, id="as much as was bought"),
        pytest.param(5.0, 60, 2.0, NIGHT, -3.0, -5.0, id="within the battery's rating"),
        pytest.param(1.5, 100, 2.0, NIGHT, 0.5, -1.5, id="a full battery: it serves the house"),
        pytest.param(3.0, 100, 2.0, NIGHT, 0.0, -2.0, id="and no more than the house takes"),
        pytest.param(1.0, 60, 3.0, DAY, -2.0, -1.0, id="on top of the surplus"),
        pytest.param(1.0, 60, 3.0, DAY | OPEN, -2.0, -1.0, id="the same with the market open"),
    ],
)
def test_r5_a_buy_order_charges_the_battery_then_serves_the_house(kw, soc, load, switches, battery_kw, net_kw):
    buyer = home(soc=soc, load=load, **switches)
    buyer.place(0, market_order("buy", kw, 3600))
    assert signed(buyer) == (battery_kw, net_kw)


@pytest.mark.parametrize(
    ("soc", "load", "switches", "served", "unserved_kw", "curtailed_kw"),
    [
        pytest.param(60, 2.0, ISLAND | DAY, {"pv": 4.0, "charge": 2.0}, 0.0, 0.0, id="balanced"),
        pytest.param(60, 0.5, ISLAND | DAY, {"pv": 3.5, "charge": 3.0}, 0.0, 0.5, id="more sun than the battery takes"),
        pytest.param(100, 1.0, ISLAND | DAY, {"pv": 1.0, "charge": 0.0}, 0.0, 3.0, id="a full battery"),
        pytest.param(60, 5.0, ISLAND, {"discharge": 3.0, "load": 5.0}, 2.0, 0.0, id="more load than the battery gives"),
        pytest.param(10, 2.0, ISLAND, {"discharge": 0.0, "load": 2.0}, 2.0, 0.0, id="an empty battery"),
        pytest.param(
            60, 2.0, ISLAND | EV, {"discharge": 3.0, "load": 5.0, "ev": 1.0}, 2.0, 0.0, id="the EV goes first"
        ),
        pytest.param(10, 1.0, ISLAND | EV, {"load": 4.0, "ev": 0.0}, 4.0, 0.0, id="the EV, then the house"),
    ],
)
def test_off_grid_nothing_crosses_the_connection(soc, load, switches, served, unserved_kw, curtailed_kw):
    p = powers(home(soc=soc, load=load, **switches))
    assert (p["grid_import"], p["grid_export"]) == (0.0, 0.0)
    assert {name: p[name] for name in served} == pytest.approx(served, abs=2e-3)
    assert (p["unserved"], p["curtailed"]) == pytest.approx((unserved_kw, curtailed_kw), abs=2e-3)


@pytest.mark.parametrize(
    ("soc", "load", "switches", "expected"),
    [
        pytest.param(10, 12.0, NIGHT, {"grid_import": 10.0, "unserved": 2.0}, id="import"),
        pytest.param(
            60, 13.0, NIGHT, {"grid_import": 10.0, "discharge": 2.0, "unserved": 1.0}, id="beside the battery"
        ),
        pytest.param(10, 8.5, EV, {"grid_import": 10.0, "ev": 1.5, "unserved": 1.5}, id="the EV gives way first"),
        pytest.param(
            5, 9.5, NIGHT, {"grid_import": 10.0, "charge": 0.5, "unserved": 0.0}, id="charging gives way before that"
        ),
    ],
)
def test_the_connection_carries_10_kw_of_import(soc, load, switches, expected):
    p = powers(home(soc=soc, load=load, **switches))
    assert {name: p[name] for name in expected} == pytest.approx(expected, abs=2e-3)


def test_the_connection_carries_10_kw_of_export():
    large = community("demo_meter")
    large.plant = large.plant._replace(pv_ac_kw=large.plant.pv_ac_kw * 4, pv_dc_kw=large.plant.pv_dc_kw * 4)
    set_home(large, 0, load=1.0, soc=100, daytime=True)
    large.advance(6)
    set_home(large, 0, soc=100)
    p = powers(large)
    assert (p["grid_export"], p["curtailed"], p["pv"]) == pytest.approx((10.0, 5.0, 11.0), abs=2e-3)


def test_a_sell_order_beyond_the_connection_leaves_the_rest_to_the_battery():
    large = community("demo_meter")
    large.plant = large.plant._replace(pv_ac_kw=large.plant.pv_ac_kw * 4, pv_dc_kw=large.plant.pv_dc_kw * 4)
    set_home(large, 0, load=3.0, soc=60, daytime=True, market_enabled=True)
    large.advance(6)
    large.place(0, market_order("sell", 20.0, 3600))
    p = powers(large)
    assert (p["grid_export"], p["charge"], p["curtailed"]) == pytest.approx((10.0, 3.0, 0.0), abs=2e-3)


def test_the_load_never_goes_below_zero():
    p = powers(home(soc=60, load=2.0, manual_load_delta_kw=-10.0))
    assert p["load"] == 0.0
    assert p["discharge"] == 0.0


def test_powers_change_at_once_with_a_switch_and_the_clock_stands():
    steady = home(soc=60, load=2.0)
    clock_s = steady.clock_s
    before = steady.state.registers.copy()
    steady.set_switches(0, {"grid_connected": False, "manual_load_delta_kw": 3.0})
    assert powers(steady)["unserved"] == pytest.approx(2.0)
    assert steady.clock_s == clock_s
    assert (steady.state.registers == before).all()
