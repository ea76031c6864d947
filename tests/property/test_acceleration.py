"""The same orders end the same way at any time acceleration, at the same second."""

from contextlib import suppress

from homes import community, set_home
from hypothesis import given, settings
from hypothesis import strategies as st

from wattswap_mqtt.core.community import SUBSTEPS_S
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import OrderTerms

NAMES = ("demo_meter", "meter_00002", "meter_00003")
METERS = st.integers(0, len(NAMES) - 1)

orders = st.builds(
    OrderTerms,
    side=st.sampled_from(["sell", "buy"]),
    type=st.just("limit"),
    quantity_mwh=st.integers(1_000, 2_000_000),
    duration_s=st.sampled_from([1.0, 20.0, 59.5, 300.0, 900.0]),
    price_utok_per_kwh=st.none() | st.integers(70_000, 310_000),
    min_fill_mwh=st.just(0),  # what is refused for it depends on the last milliwatt-hour in the battery
    ttl_s=st.sampled_from([1.0, 30.0, 300.0, 901.0]),
    time_in_force=st.sampled_from(["GTD", "GTD", "GTC", "IOC", "FOK"]),
)
commands = st.tuples(st.integers(0, 150) | st.floats(0, 150), METERS, orders | st.integers(1, 5))
houses = st.tuples(
    *[
        st.fixed_dictionaries(
            {
                "soc": st.floats(0, 100),
                "load": st.floats(0.1, 4),
                "daytime": st.booleans(),
                "market_enabled": st.sampled_from([True, True, True, False]),
                "battery_reserve_pct": st.sampled_from([0.0, 10.0, 50.0]),
            }
        )
    ]
    * len(NAMES)
)


def played(acceleration, at_home, day):
    """Return the orders of a day by their id; a number in place of an order cancels that of the meter."""
    homes = community(*NAMES, noise=1.0)
    for meter, house in enumerate(at_home):
        set_home(homes, meter, **house)
    homes.set_switches(1, {"sun_mode": "auto"})
    homes.set_switches(0, {"time_acceleration": acceleration})
    for pause_s, meter, what in day:
        homes.advance(pause_s)
        with suppress(CommandError):
            if isinstance(what, OrderTerms):
                homes.place(meter, what)
            else:
                homes.cancel(meter, f"{NAMES[meter]}.{what}")
    homes.advance(1860.0)
    return {order.order_id: order for meter in range(len(NAMES)) for order in homes.exchange.orders(meter)}


@given(houses, st.lists(commands, min_size=2, max_size=10))
@settings(max_examples=30)
def test_the_same_orders_end_the_same_way_at_any_acceleration(at_home, day):
    plain, fast = played(1.0, at_home, day), played(60.0, at_home, day)
    assert fast.keys() == plain.keys()
    for order_id, order in plain.items():
        other, terms = fast[order_id], order.terms
        assert other.ended_s == order.ended_s
        in_a_substep_mwh = terms.quantity_mwh * min(SUBSTEPS_S[-1] / terms.duration_s, 1.0)
        assert abs(other.filled_mwh - order.filled_mwh) <= in_a_substep_mwh
        if (other.status, other.reason) != (order.status, order.reason):
            assert other.filled_mwh != order.filled_mwh
