"""A double-entry ledger in whole micro-tokens."""

import numpy as np

from wattswap_mqtt.core.arrays import Ints


class Ledger:
    """The accounts of n meters and, in the last place, of the utility: what each received and paid, never decreasing.

    Every entry is written twice, as received by one account and as paid by another; so what all received less what all
    paid is zero after each, and an account's balance is what it received less what it paid.
    """

    def __init__(self, n: int) -> None:
        self.utility = n
        self.earned_utok: Ints = np.zeros(n + 1, np.int64)
        self.spent_utok: Ints = np.zeros(n + 1, np.int64)

    @property
    def sum_utok(self) -> int:
        """What all accounts hold together: zero."""
        return int(self.earned_utok.sum() - self.spent_utok.sum())

    def pay(self, accounts: Ints, others: Ints, amounts_utok: Ints) -> None:
        """Move `amounts_utok[i]` from `others[i]` to `accounts[i]`; a negative amount moves the other way."""
        received, paid = np.maximum(amounts_utok, 0), np.maximum(-amounts_utok, 0)
        for payees, payers, amounts in ((accounts, others, received), (others, accounts, paid)):
            np.add.at(self.earned_utok, payees, amounts)
            np.add.at(self.spent_utok, payers, amounts)

    def pay_from_utility(self, meters: Ints, amounts_utok: Ints) -> None:
        """Move amounts from the utility to meters; a negative amount moves the other way."""
        self.pay(meters, np.full_like(meters, self.utility), amounts_utok)

    def restore(self, meters: Ints, earned_utok: Ints, spent_utok: Ints) -> None:
        """Open accounts with what they had; the utility was on the other side of all of it."""
        self.pay_from_utility(meters, earned_utok)
        self.pay_from_utility(meters, -spent_utok)
