import numpy as np
import pytest

from wattswap_mqtt.core.market.surplus import Surplus

NOON_S = 1_800_000_000.0


def test_surplus_earns_at_once_and_is_booked_by_the_quarter_hour():
    surplus = Surplus(2)
    surplus.add(np.array([1.0, 0.0]), NOON_S + 5, 80_000)
    assert surplus.earned_utok.tolist() == [80_000, 0]
    assert surplus.ledger.sum_utok == surplus.ledger.earned_utok.sum() == 0
    closed = surplus.add(np.array([0.5, 0.0]), NOON_S + 900, 80_000)
    assert (closed.start_s, closed.price_utok) == (NOON_S, 80_000)
    assert [column.tolist() for column in closed[2:]] == [[0], [1_000_000], [80_000]]
    assert surplus.ledger.earned_utok.tolist() == [80_000, 0, 0]
    assert surplus.earned_utok.tolist() == [120_000, 0]


def test_a_slot_without_surplus_leaves_no_entry():
    surplus = Surplus(1)
    assert [surplus.add(np.zeros(1), NOON_S + 900 * k, 80_000) for k in range(3)] == [None] * 3


def test_a_new_price_closes_the_slot():
    surplus = Surplus(1)
    surplus.add(np.ones(1), NOON_S, 80_000)
    closed = surplus.add(np.ones(1), NOON_S + 60, -10_000)
    assert closed.price_utok == 80_000
    again = surplus.add(np.zeros(1), NOON_S + 900, 80_000)
    assert (again.start_s, again.amount_utok.tolist()) == (NOON_S + 60, [-10_000])
    assert (surplus.earned_utok.tolist(), surplus.spent_utok.tolist()) == ([80_000], [10_000])
    assert surplus.ledger.sum_utok == 0


def test_nothing_is_lost_in_rounding():
    surplus = Surplus(1)
    kwh, slots = 0.000_123_456_7, 1000
    closed = [surplus.add(np.array([kwh]), NOON_S + 900 * slot, 80_001) for slot in range(slots)]
    surplus.add(np.zeros(1), NOON_S + 900 * slots, 80_001)
    assert sum(slot.energy_mwh[0] for slot in closed if slot) == pytest.approx(kwh * (slots - 1) * 1e6, abs=1)
    assert surplus.earned_utok[0] == pytest.approx(kwh * slots * 80_001, abs=1)


def test_a_restored_state_goes_on_the_same():
    original, restored = Surplus(2), Surplus(2)
    flow = np.array([0.000_3, 0.000_000_7])
    for second in range(0, 2000, 7):
        original.add(flow, NOON_S + second, 80_000)
    restored.restore(original.state())
    for second in range(2000, 4000, 7):
        one, other = (each.add(flow, NOON_S + second, 80_000) for each in (original, restored))
        assert (one is None) == (other is None)
    for one, other in zip(original.state(), restored.state(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert restored.earned_utok.tolist() == original.earned_utok.tolist()
    assert restored.ledger.sum_utok == 0
