"""Whatever the homes, the switches, the charge and the orders: the balance closes and physics holds."""

from typing import NamedTuple

import numpy as np
import pytest
from homes import NOON_S, community
from hypothesis import given, settings
from hypothesis import strategies as st

from wattswap_mqtt.core.homes import Homes
from wattswap_mqtt.core.load import minute_at
from wattswap_mqtt.core.market.delivery import Asks
from wattswap_mqtt.core.quantities import EV_MODES
from wattswap_mqtt.core.records import Flow, Plant, State, Switches, take
from wattswap_mqtt.core.setup import setup_of
from wattswap_mqtt.core.step import step
from wattswap_mqtt.core.sun import Site, air_at, weather_at
from wattswap_mqtt.core.surroundings import Surroundings

N = 100
KW = 1e-9
"""What the balance may be off."""
STREET = community("demo_meter", *(f"home_{number}" for number in range(1, N)))


class World(NamedTuple):
    """Homes in any state with any switches, at any time of any day."""

    plant: Plant
    state: State
    switches: Switches
    asks: Asks | None
    around: Surroundings
    time_s: float

    def after(self, dt_s: float) -> State:
        homes = Homes(self.plant, self.switches, setup_of(self.plant, self.switches), self.state)
        return step(homes, self.around, self.asks, self.time_s, dt_s)

    def only(self, meters: np.ndarray) -> "World":
        return World(
            take(self.plant, meters),
            take(self.state, meters),
            take(self.switches, meters),
            None if self.asks is None else Asks(self.asks.sell_kw[meters], self.asks.buy_kw[meters]),
            self.around._replace(minute=self.around.minute.of(meters)),
            self.time_s,
        )


def world_of(seed: int) -> World:
    """Return a world drawn from a seed: the ends of each range come often, and mixed with anything between."""
    rng = np.random.default_rng(seed)

    def share() -> np.ndarray:
        return np.where(rng.random(N) < 0.5, rng.choice([0.0, 0.1, 0.5, 1.0], N), rng.random(N))

    def some(odds: float) -> np.ndarray:
        return rng.random(N) < odds

    time_s = NOON_S + 60.0 * rng.integers(0, 525_600)
    plant = STREET.plant._replace(
        grid_limit_kw=rng.choice([10.0, 10.0, 3.0, 0.5], N), pv_ac_kw=STREET.plant.pv_ac_kw * rng.choice([1.0, 4.0])
    )
    state = STREET.state._replace(
        sun_level=share(),
        base_load_kw=15.0 * share() * some(0.8),
        stored_kwh=plant.battery_kwh * share(),
        ev_stored_kwh=plant.ev_kwh * share(),
    )
    switches = Switches(
        daytime=some(0.5),
        grid_connected=some(rng.choice([0.7, 1.0])),
        market_enabled=some(0.5),
        battery_reserve_pct=100.0 * share(),
        manual_load_delta_kw=rng.uniform(-10, 10, N) * some(rng.choice([0.0, 0.5])),
        sun_cloud_factor=share(),
        ev_plug=some(rng.choice([0.0, 0.6])),
        ev_mode=rng.integers(0, len(EV_MODES), N).astype(np.int8),
        sun_mode=some(rng.choice([0.0, 0.5, 1.0])).astype(np.int8),
    )
    kw, sells = rng.uniform(0, 30, N) * some(0.7), some(0.5)
    around = Surroundings(
        weather_at(time_s, Site(), 1),
        air_at(time_s, Site()).temp_c,
        minute_at(time_s, plant, Site(), rng.choice([0.0, 1.0, 3.0])),
        bool(rng.integers(2)),
    )
    return World(plant, state, switches, Asks(kw * sells, kw * ~sells) if rng.random() < 0.7 else None, around, time_s)


seeds = st.integers(0, 2**32)
steps_s = st.sampled_from([0.0, 0.1, 1.0, 7.0, 60.0])


@given(seeds, steps_s)
@settings(max_examples=60)
def test_the_balance_closes_and_physics_holds(seed, dt_s):
    world = world_of(seed)
    plant, before, switched = world.plant, world.state, world.switches
    home = world.after(dt_s)
    flows = {flow.name: home.flows[flow] for flow in Flow}
    source = flows["PV"] + flows["DISCHARGE"] + flows["GRID_IMPORT"] + flows["UNSERVED"]
    sink = flows["LOAD"] + flows["CHARGE"] + flows["GRID_EXPORT"]
    assert np.abs(source - sink).max() <= KW
    assert np.abs(home.appliances.sum(axis=0) + home.ev_demand_kw - flows["LOAD"]).max() <= KW
    for name, kw in flows.items():
        assert np.isfinite(kw).all(), name
        assert (kw >= 0.0).all(), name
    assert (home.appliances >= 0.0).all()
    assert not (flows["CHARGE"] * flows["DISCHARGE"]).any()
    assert not (flows["GRID_IMPORT"] * flows["GRID_EXPORT"]).any()
    assert (flows["CHARGE"] <= plant.battery_kw + KW).all()
    assert (flows["DISCHARGE"] <= plant.battery_kw + KW).all()
    assert (np.maximum(flows["GRID_IMPORT"], flows["GRID_EXPORT"]) <= plant.grid_limit_kw + KW).all()
    assert not ((flows["GRID_IMPORT"] + flows["GRID_EXPORT"]) * ~switched.grid_connected).any()
    assert (flows["EV"] <= np.where(switched.ev_plug, plant.ev_kw, 0.0) + KW).all()
    assert (flows["EV"] <= home.ev_demand_kw + KW).all()
    assert (flows["PV"] + flows["CURTAILED"] <= plant.pv_ac_kw + KW).all()
    for stored, capacity in ((home.stored_kwh, plant.battery_kwh), (home.ev_stored_kwh, plant.ev_kwh)):
        assert (stored >= 0.0).all()
        assert (stored <= capacity).all()
    assert (home.registers >= before.registers).all()
    assert (home.metered >= before.metered).all()


@given(seeds, steps_s)
@settings(max_examples=60)
def test_the_rules_of_dispatch_hold(seed, dt_s):
    world = world_of(seed)
    plant, before, switched, asked = world.plant, world.state, world.switches, world.asks
    home = world.after(dt_s)
    flows = {flow.name: home.flows[flow] for flow in Flow}
    reserve_kwh = plant.battery_kwh * switched.battery_reserve_pct / 100.0
    fell = home.stored_kwh < before.stored_kwh
    assert (home.stored_kwh[fell] >= reserve_kwh[fell] - 1e-9).all()  # nothing takes it below the reserve
    below = (before.stored_kwh < reserve_kwh - 1e-9) & switched.grid_connected
    assert not flows["DISCHARGE"][below].any()  # R1
    selling = np.zeros(N, np.bool_) if asked is None else asked.sell_kw > 0.0
    setpoint = switched.grid_connected & ~selling
    assert (flows["DISCHARGE"][setpoint] <= plant.self_consumption_kw[setpoint] + KW).all()  # R2
    house = home.appliances.sum(axis=0)
    exported = flows["GRID_EXPORT"]
    on_grid = switched.grid_connected
    assert (flows["DISCHARGE"] <= house + exported + KW)[on_grid].all()  # R4: the EV takes none of it
    assert (flows["CURTAILED"] <= KW)[on_grid & (exported < plant.grid_limit_kw - KW)].all()
    unserved = flows["UNSERVED"] > KW
    spent = (flows["GRID_IMPORT"] >= plant.grid_limit_kw * on_grid - KW) & (flows["CHARGE"] <= KW)
    assert spent[unserved].all()  # nothing is left unserved while the grid could, or while a battery charges


@given(seeds, st.integers(0, N - 1), st.integers(1, 3))
@settings(max_examples=30)
def test_a_home_does_what_it_does_alone(seed, meter, neighbours):
    world = world_of(seed)
    some = np.unique((meter + np.arange(neighbours)) % N)
    together, apart = world.after(10.0), world.only(some).after(10.0)
    for name, whole, part in zip(State._fields, together, apart, strict=True):
        assert (whole[..., some] == part).all(), name


@given(seeds)
@settings(max_examples=20)
def test_many_small_steps_and_one_long_step_agree(seed):
    """A minute in one step or in twelve, as long as nothing runs full or empty in it."""
    world = world_of(seed)
    plant, switches = world.plant, world.switches
    state = world.state._replace(
        sun_level=switches.daytime * 1.0, stored_kwh=plant.battery_kwh * 0.7, ev_stored_kwh=plant.ev_kwh * 0.7
    )
    calm = world._replace(state=state, switches=switches._replace(battery_reserve_pct=np.full(N, 50.0)))
    whole, parts = calm.after(60.0), calm
    for _ in range(12):
        parts = parts._replace(state=parts.after(5.0), time_s=parts.time_s + 5.0)
    assert parts.state.registers == pytest.approx(whole.registers, rel=1e-3, abs=1e-4)
    assert parts.state.stored_kwh == pytest.approx(whole.stored_kwh, abs=1e-4)
