"""Whatever is commanded, whenever: registers only go up, tokens balance, and all of it can be said again."""

import json

import numpy as np
import pytest
from homes import SCENARIOS, community, encoded, restarted
from hypothesis import given, settings
from hypothesis import strategies as st

from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.faults import FAULTS
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.scenarios import Cancelling, Ordering, Scenario, Switching, TimedEvent
from wattswap_mqtt.core.switches import SWITCHES

BUSY = Scenario(
    "busy",
    "One thing after the other",
    events=(
        TimedEvent(0.25, Switching({"grid_connected": False, "ev_plug": True})),
        TimedEvent(0.25, Ordering("sale", OrderTerms("sell", "market", 100_000, 60.0))),
        TimedEvent(20.0, Switching({"grid_connected": True, "fault_inject": {"bias_pct": 20}})),
        TimedEvent(59.9, Ordering("sale-again", OrderTerms("sell", "market", 100_000, 60.0, min_fill_mwh=0))),
        TimedEvent(61.0, Switching({"time_acceleration": 60.0})),
        TimedEvent(700.0, Cancelling("sale-again")),
    ),
)
NAMES = ("demo_meter", "meter_00002", "meter_00003")
METERS = st.integers(0, len(NAMES) - 1)


def value_of(switch) -> st.SearchStrategy:
    match switch.kind:
        case "bool":
            return st.booleans()
        case "number":
            return st.sampled_from([switch.minimum, switch.maximum]) | st.floats(switch.minimum, switch.maximum)
        case "choice":
            return st.sampled_from(switch.options)
    numeric = {
        f.key: st.floats(f.minimum, f.maximum) for f in FAULTS.values() if f.kind == "number" and f.key != "sigma_pct"
    }
    flags = {f.key: st.booleans() for f in FAULTS.values() if f.kind == "bool"}
    fields = {"stuck": st.lists(st.sampled_from(["p_active", "battery.soc_pct", "autonomy_hours"]), max_size=2)}
    return st.fixed_dictionaries({}, optional=numeric | flags | fields).filter(lambda v: len(json.dumps(v)) < 255)


orders = st.builds(
    OrderTerms,
    side=st.sampled_from(["sell", "buy"]),
    type=st.just("market"),
    quantity_mwh=st.integers(1, 5_000_000),
    duration_s=st.sampled_from([1.0, 59.5, 300.0, 3600.0]),
    min_fill_mwh=st.just(0),
)
changes = st.sampled_from(list(SWITCHES.values())).flatmap(
    lambda s: value_of(s).map(lambda value: {s.name: s.parse(value)})
)
commands = (
    st.tuples(st.just("set_switches"), METERS, changes)
    | st.tuples(st.just("set_scenario"), METERS, st.sampled_from([*SCENARIOS.values(), BUSY, None]))
    | st.tuples(st.just("place"), METERS, orders)
    | st.tuples(st.just("advance"), st.just(0), st.sampled_from([0.0, 0.3, 1.0, 30.0, 60.0, 600.0]))
)
stories = st.lists(commands, min_size=1, max_size=12)


def tell(homes: Community, story) -> None:
    for name, meter, what in story:
        try:
            if name == "advance":
                homes.advance(min(what, 40 * max(homes.time_acceleration, 1.0)))
            else:
                getattr(homes, name)(meter, what)
        except CommandError as refused:
            assert refused.code in {"grid_disconnected", "min_fill"}  # noqa: PT017 # what else is refused is a bug


@given(stories)
@settings(max_examples=60)
def test_registers_never_go_down_and_no_token_is_lost(story):
    homes = community(*NAMES, noise=1.0)
    clock_s, registers, metered = homes.clock_s, homes.state.registers.copy(), homes.state.metered.copy()
    for command in story:
        tell(homes, [command])
        assert homes.clock_s >= clock_s
        assert (homes.state.registers >= registers).all()
        assert (homes.state.metered >= metered).all()
        assert homes.exchange.ledger_sum_utok == 0
        assert ((homes.state.stored_kwh >= 0) & (homes.state.stored_kwh <= homes.plant.battery_kwh)).all()
        clock_s, registers, metered = homes.clock_s, homes.state.registers.copy(), homes.state.metered.copy()
    for message in encoded(homes):
        json.loads(message, parse_constant=pytest.fail)
    for event in homes.take_events():
        json.dumps(event.data, allow_nan=False)


@given(stories)
@settings(max_examples=25)
def test_the_same_story_gives_the_same_bytes(story):
    told = []
    for _ in range(2):
        homes = community(*NAMES, noise=1.0)
        tell(homes, story)
        told.append((encoded(homes), homes.take_events()))
    assert told[0] == told[1]


@given(stories, st.integers(1, 60))
@settings(max_examples=25)
def test_more_neighbours_change_nothing(story, more):
    few, many = community(*NAMES, noise=1.0), community(*NAMES, *(f"home_{k}" for k in range(more)), noise=1.0)
    for homes in (few, many):
        tell(homes, story)
    mine, theirs = encoded(few), encoded(many)
    assert mine[: len(NAMES)] == theirs[: len(NAMES)]
    assert mine[len(NAMES) :] == theirs[len(many.ids) :]  # the truth


@given(stories, stories)
@settings(max_examples=40)
def test_a_restart_between_two_stories_changes_nothing(before, after):
    homes = community(*NAMES, noise=1.0)
    tell(homes, before)
    again = restarted(homes)
    for both in (homes, again):
        tell(both, after)
        both.advance(1.0)
    assert again.clock_s == homes.clock_s
    assert again.switch_values == homes.switch_values
    assert again.scenarios == homes.scenarios
    for name in ("registers", "metered", "stored_kwh", "ev_stored_kwh", "ev_session_kwh", "sun_level", "flows"):
        assert np.array_equal(getattr(again.state, name), getattr(homes.state, name)), name
    assert (again.exchange.earnings_utok == homes.exchange.earnings_utok).all()
    assert (again.exchange.spending_utok == homes.exchange.spending_utok).all()
    for meter in range(len(NAMES)):
        theirs = [order.to_dict() for order in again.exchange.open_orders(meter)]
        assert theirs == [order.to_dict() for order in homes.exchange.open_orders(meter)]
