"""Any flow of orders, switches and metered energy: nothing is lost, and nothing steps back."""

import json
from contextlib import suppress
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.entry import Home
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import OPEN, OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes, Step, Tariff

METERS = ("demo_meter", "meter_00002", "meter_00003")
START_S = 1_800_000_123.4
RANK = {"accepted": 0, "partially_filled": 1}

prices = st.integers(-200_000, 500_000) | st.sampled_from([100_000, 150_000, 200_000, 250_000])
terms = st.builds(
    OrderTerms,
    side=st.sampled_from(["sell", "buy"]),
    type=st.just("limit"),
    quantity_mwh=st.integers(1_000, 3_000_000),
    duration_s=st.sampled_from([1.0, 45.0, 900.0, 1800.5, 7200.0]),
    price_utok_per_kwh=st.none() | prices,
    min_fill_mwh=st.sampled_from([0, 100_000]),
    ttl_s=st.sampled_from([1.0, 600.0, 3600.0]),
    time_in_force=st.sampled_from(["GTD", "GTC", "IOC", "FOK"]),
    client_order_id=st.none() | st.sampled_from(["a", "b"]),
)
homes = st.builds(
    Home,
    grid_connected=st.sampled_from([True, True, True, False]),
    market_enabled=st.sampled_from([True, True, True, False]),
    available_discharge_kwh=st.floats(0, 10),
    p_max_discharge_kw=st.floats(0, 5),
    surplus_kw=st.floats(-5, 5),
    p_max_charge_kw=st.floats(0, 5),
    hours_to_reserve=st.just(0.0) | st.floats(0, 5),
)
shares = st.tuples(*[st.floats(0, 1.3)] * len(METERS))
powers = st.tuples(*[st.just(0.0) | st.floats(0, 10)] * len(METERS))
meters = st.integers(0, len(METERS) - 1)
actions = st.one_of(
    st.tuples(st.just("place"), meters, terms, homes),
    st.tuples(st.just("run"), st.sampled_from([0.1, 1.0, 60.0, 250.0, 900.0]), shares, powers),
    st.tuples(st.just("cancel"), meters, st.integers(1, 8)),
    st.tuples(st.sampled_from(["grid_lost", "market_closed", "scenario_set"]), meters),
)
flows = st.lists(actions, min_size=1, max_size=25)
tariffs = st.lists(st.tuples(st.integers(0, 7200), prices, st.integers(0, 300_000)), max_size=4).map(
    lambda steps: Tariff(
        steps=tuple(Step(START_S + after_s, Quotes(bid, bid + spread)) for after_s, bid, spread in sorted(steps))
    )
)


class World:
    """An exchange, its clock, and what its homes metered and offered for sale."""

    def __init__(self, tariff):
        self.exchange = Exchange(METERS, tariff)
        self.now_s = START_S
        self.metered_kwh = np.zeros((2, len(METERS)))
        self.surplus_kwh = np.zeros(len(METERS))
        self.entries = {}
        self.orders = {}

    def act(self, action):
        exchange = self.exchange
        with suppress(CommandError):
            match action:
                case ("place", meter, order, home):
                    exchange.place(meter, order, self.now_s, home)
                case ("run", dt_s, share, surplus_kw):
                    self.run(dt_s, np.array(share), np.array(surplus_kw))
                case ("cancel", meter, number):
                    exchange.cancel(f"{METERS[meter]}.{number}", self.now_s)
                case (name, meter):
                    getattr(exchange, name)(meter, self.now_s)

    def run(self, dt_s, share, surplus_kw):
        asked = self.exchange.asks(self.now_s, dt_s)
        assert all((powers >= 0).all() for powers in asked)
        assert not (asked.sell_kw * asked.buy_kw).any()
        self.now_s += dt_s
        sold, bought = (powers * share * (dt_s / 3600) for powers in asked)
        self.metered_kwh += (sold, bought)
        self.surplus_kwh += surplus_kw * (dt_s / 3600)
        self.exchange.settle(self.now_s, dt_s, sold, bought, surplus_kw * (dt_s / 3600))

    def save(self):
        """Store what changed, as a store does: as JSON, over earlier rows."""
        orders, entries = self.exchange.take_changes()
        self.orders |= {row["order_id"]: json.loads(json.dumps(row)) for row in orders}
        self.entries |= {row["entry_id"]: json.loads(json.dumps(row)) for row in entries}

    def crash(self):
        self.save()
        state = self.exchange.surplus_state()
        plain = json.loads(json.dumps({"tape": self.exchange.tape.state(), "under_way": self.exchange.under_way()}))
        self.exchange = Exchange(METERS, self.exchange.tariff)
        self.exchange.restore(self.orders.values(), self.entries.values(), state, **plain)

    def everything(self):
        exchange = self.exchange
        return (
            {order.order_id: order for meter in range(len(METERS)) for order in exchange.orders(meter)},
            exchange.earnings_utok.tolist(),
            exchange.spending_utok.tolist(),
            exchange.pending_counts().tolist(),
            exchange.tape.last,
            [powers.tolist() for powers in exchange.asks(self.now_s, 60)],
            exchange.ledger_sum_utok,
        )


@given(tariffs, flows)
def test_nothing_is_lost_and_nothing_steps_back(tariff, flow):
    world = World(tariff)
    statuses = {}
    for action in flow:
        world.act(action)
        assert world.exchange.ledger_sum_utok == 0
        for order in world.everything()[0].values():
            before, after = statuses.get(order.order_id, "accepted"), order.status
            assert after == before or (before in OPEN and RANK.get(after, 2) > RANK[before])
            statuses[order.order_id] = after
            assert order.waits == (order.order_id in world.exchange._book)
            assert 0 <= order.filled_mwh <= order.matched_mwh <= order.terms.quantity_mwh
            assert order.reserved_mwh <= order.terms.quantity_mwh
            assert all(order.terms.accepts(delivery.price_utok_per_kwh) for delivery in order.deliveries)
            assert sum(part.energy_mwh for one in order.deliveries for part in one.slices()) == order.filled_mwh
            assert (order.ended_s is None) == order.is_open
    orders = world.everything()[0].values()
    for meter in range(len(METERS)):
        mine = [order for order in orders if order.meter == meter]
        for row, side in enumerate(("sell", "buy")):
            filled = sum(order.filled_mwh for order in mine if order.terms.side == side)
            assert filled <= world.metered_kwh[row, meter] * 1e6 + len(mine)
        assert world.exchange.pending_counts()[meter] == sum(order.is_open for order in mine)


def check_trades(world, journal):
    """Of a leg that ran to its end, what was metered and the imbalance add up to what was traded, exactly."""
    for order in world.everything()[0].values():
        for leg in order.deliveries:
            mine = [
                entry for entry in journal if entry["entry_id"].startswith((f"{leg.trade_id}@", f"{leg.trade_id}!"))
            ]
            metered = [entry for entry in mine if entry["kind"] == "order"]
            assert abs(sum(entry["energy_mwh"] for entry in metered)) == leg.filled_mwh
            assert sum(entry["amount_utok"] for entry in metered) == leg.amount_utok
            assert leg.over
            ran_out = leg.end_s <= (order.ended_s or 0) or leg.missing_mwh == 0
            if leg.counterparty != "utility" and ran_out and order.reason not in ("scenario", "requested"):
                assert abs(sum(entry["energy_mwh"] for entry in mine)) == leg.quantity_mwh


@given(tariffs, flows)
def test_the_journal_adds_up_to_the_balances(tariff, flow):
    world = World(tariff)
    for action in flow:
        world.act(action)
    world.act(("run", 900.0, (0.0,) * 3, (0.0,) * 3))  # closes the quarter hour
    world.act(("run", 900.0, (0.0,) * 3, (0.0,) * 3))
    for meter in range(len(METERS)):
        world.exchange.scenario_set(meter, world.now_s)
    world.save()
    journal = [entry for entry in world.entries.values() if entry["kind"] != "account"]
    check_trades(world, journal)
    for meter, meter_id in enumerate(METERS):
        balance = int(world.exchange.earnings_utok[meter] - world.exchange.spending_utok[meter])
        mine = [entry for entry in journal if entry["meter_id"] == meter_id]
        assert sum(entry["amount_utok"] for entry in mine) == balance
        surplus_mwh = sum(entry["energy_mwh"] for entry in mine if entry["kind"] == "surplus")
        assert abs(surplus_mwh - world.surplus_kwh[meter] * 1e6) <= 1
        for entry in mine:
            if entry["kind"] == "imbalance":
                assert entry["amount_utok"] <= 0
                continue
            exact = Fraction(entry["energy_mwh"] * entry["price_utok_per_kwh"], 10**6)
            if entry["kind"] != "premium":  # its energy is in the row of the surplus
                assert abs(entry["amount_utok"] - exact) <= 1


@given(tariffs, flows)
def test_the_same_input_gives_the_same_output(tariff, flow):
    one, other = World(tariff), World(tariff)
    for action in flow:
        one.act(action)
        other.act(action)
    assert one.everything() == other.everything()
    assert one.exchange.take_events() == other.exchange.take_events()
    assert one.exchange.take_changes() == other.exchange.take_changes()


@given(tariffs, flows, flows)
def test_after_a_restart_everything_goes_on_as_if_nothing_had_happened(tariff, before, after):
    lived_on, restarted = World(tariff), World(tariff)
    for action in before:
        lived_on.act(action)
        restarted.act(action)
        restarted.save()
    restarted.crash()
    lived_on.exchange.take_events()
    assert restarted.everything() == lived_on.everything()
    for action in after:
        lived_on.act(action)
        restarted.act(action)
        assert restarted.everything() == lived_on.everything()
    assert restarted.exchange.take_events() == lived_on.exchange.take_events()


@given(terms, st.lists(st.tuples(st.floats(0.1, 300), st.floats(0, 1)), max_size=40))
def test_a_sale_at_a_positive_price_never_leaves_a_debt(order, steps):
    exchange, now_s = Exchange(("m",), Tariff()), START_S
    with suppress(CommandError):
        exchange.place(0, order, now_s, Home(True, True, 10, 5, 5))
    nothing = np.zeros(1)
    for dt_s, share in steps:
        asked = exchange.asks(now_s, dt_s)
        now_s += dt_s
        exchange.settle(now_s, dt_s, asked.sell_kw * share * dt_s / 3600, nothing, nothing)
        assert exchange.spending_utok[0] == 0
