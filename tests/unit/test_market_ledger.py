import numpy as np

from wattswap_mqtt.core.market.ledger import Ledger


def test_what_one_receives_another_pays():
    ledger = Ledger(3)
    ledger.pay(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([5, 7, -11]))
    assert ledger.earned_utok.tolist() == [12, 0, 11, 0]
    assert ledger.spent_utok.tolist() == [0, 16, 7, 0]
    assert ledger.sum_utok == 0


def test_the_utility_stands_behind_every_meter():
    ledger = Ledger(2)
    ledger.pay_from_utility(np.array([0, 1, 1]), np.array([10, -3, -4]))
    assert ledger.earned_utok.tolist() == [10, 0, 7]
    assert ledger.spent_utok.tolist() == [0, 7, 10]


def test_a_restored_ledger_balances():
    ledger = Ledger(2)
    ledger.restore(np.array([1]), np.array([10]), np.array([4]))
    assert ledger.earned_utok.tolist() == [0, 10, 4]
    assert ledger.spent_utok.tolist() == [0, 4, 10]
    assert ledger.sum_utok == 0
