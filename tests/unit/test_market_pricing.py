from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattswap_mqtt.core.market.pricing import (
    MILLION,
    Quotes,
    Step,
    Tariff,
    from_millionths,
    to_millionths,
    worth,
)
from wattswap_mqtt.core.moments import quarter_start


@pytest.mark.parametrize(
    ("price", "energy", "amount"),
    [
        (80_000, 1_500_000, 120_000),  # 1.5 kWh at 0.08
        (300_000, 5, 2),  # 1.5 utok: half to even
        (300_000, 15, 4),  # 4.5 utok
        (-300_000, 5, -2),
        (300_000, 0, 0),
    ],
)
def test_what_energy_is_worth(price, energy, amount):
    assert worth(price, energy) == amount


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**12))
def test_worth_is_rounded_half_to_even_and_the_same_for_arrays(price, energy):
    expected = round(Fraction(price * energy, MILLION))
    assert worth(price, energy) == expected
    assert worth(np.array([price]), np.array([energy])).tolist() == [expected]


@given(st.integers(-(10**12), 10**12))
def test_millionths_survive_the_wire(amount):
    assert to_millionths(from_millionths(amount)) == amount


def test_a_flat_tariff_quotes_the_same_for_ever():
    assert Tariff().quote(0) == Tariff().quote(1e10) == Quotes(bid_utok=80_000, ask_utok=300_000)
    assert Quotes(1, 2).price("sell") == 1
    assert Quotes(1, 2).price("buy") == 2


def test_a_series_takes_over_where_it_begins():
    tariff = Tariff(steps=(Step(100, Quotes(-1, 2)), Step(200, Quotes(3, 4))))
    assert [tariff.quote(now_s).ask_utok for now_s in (99.9, 100, 199, 200, 1e9)] == [300_000, 2, 2, 4, 4]


def test_cheap_hours_run_past_midnight():
    assert [hour for hour in range(24) if Tariff().is_cheap(hour)] == [0, 1, 2, 3, 4, 5, 23]
    noon = Tariff(cheap_start_hour=11, cheap_end_hour=14.5)
    assert [hour for hour in (10.9, 11, 14.4, 14.5) if noon.is_cheap(hour)] == [11, 14.4]


def test_quarter_hours_are_those_of_the_clock():
    assert [quarter_start(time_s) for time_s in (0, 899.9, 900, 1800.5)] == [0, 0, 900, 1800]
