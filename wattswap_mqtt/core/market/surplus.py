"""The automatic sale: what flows out of a home beyond any order earns the feed-in price, by the quarter hour."""

from typing import NamedTuple

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.market.ledger import Ledger
from wattswap_mqtt.core.market.pricing import MILLION
from wattswap_mqtt.core.moments import quarter_start


class SurplusState(NamedTuple):
    """All there is to save, as arrays of shape (n,) and two scalars; belongs in the checkpoint with the registers."""

    start_s: float
    price_utok: int
    open_kwh: Floats
    rest: Ints
    earned_utok: Ints
    spent_utok: Ints


class Closed(NamedTuple):
    """A slot that was booked: the meters that sold in it, how much, and for what."""

    start_s: float
    price_utok: int
    meters: Ints
    energy_mwh: Ints
    amount_utok: Ints


class Surplus:
    """Surplus of n meters since the slot began, and what earlier slots earned.

    A slot is a quarter hour; a price that changes within one ends it early.  Adding is one array addition; money is
    counted when somebody looks, and booked when the slot closes.  What either rounding leaves (of a mWh, of a utok) is
    carried into the next slot, so a meter's total stays within half a utok of energy x price whatever the slots were.
    """

    def __init__(self, n: int) -> None:
        self.ledger = Ledger(n)
        self._start_s = 0.0
        self._price_utok = 0
        self._open_kwh: Floats = np.zeros(n)
        self._rest: Ints = np.zeros(n, np.int64)  # in millionths of a utok

    def add(self, surplus_kwh: Floats, start_s: float, price_utok: int) -> Closed | None:
        """Add what flowed out in a sub-step that began at `start_s`; returns the slot that this closed, if any."""
        closed = None
        same_quarter = quarter_start(start_s) == quarter_start(self._start_s)
        if not same_quarter or price_utok != self._price_utok:
            closed = self._close()
            self._start_s = start_s if same_quarter else quarter_start(start_s)
            self._price_utok = price_utok
        self._open_kwh += surplus_kwh
        return closed

    def is_over(self, now_s: float, price_utok: int) -> bool:
        """Tell whether the slot is over in which something was added."""
        goes_on = quarter_start(now_s) == quarter_start(self._start_s) and price_utok == self._price_utok
        return self._any_open and not goes_on

    @property
    def earned_utok(self) -> Ints:
        """What each meter earned, the open slot included, shape (n,)."""
        booked = self.ledger.earned_utok[:-1]
        return booked + np.maximum(self._open_utok(), 0) if self._any_open else booked

    @property
    def spent_utok(self) -> Ints:
        """What each meter paid to get rid of its surplus, at negative prices."""
        booked = self.ledger.spent_utok[:-1]
        return booked - np.minimum(self._open_utok(), 0) if self._any_open else booked

    def state(self) -> SurplusState:
        """Return copies of what `restore` takes."""
        earned, spent = self.ledger.earned_utok[:-1].copy(), self.ledger.spent_utok[:-1].copy()
        return SurplusState(self._start_s, self._price_utok, self._open_kwh.copy(), self._rest.copy(), earned, spent)

    def restore(self, state: SurplusState) -> None:
        """Go on from a saved state of as many meters."""
        self._start_s, self._price_utok = float(state.start_s), int(state.price_utok)
        self._open_kwh, self._rest = state.open_kwh.copy(), state.rest.copy()
        self.ledger.restore(np.arange(self.ledger.utility), state.earned_utok, state.spent_utok)

    @property
    def _any_open(self) -> bool:
        return bool(np.count_nonzero(self._open_kwh))

    def _open_mwh(self) -> Ints:
        return np.rint(self._open_kwh * MILLION).astype(np.int64)

    def _open_utok(self) -> Ints:
        return np.rint((self._price_utok * self._open_mwh() + self._rest) / MILLION).astype(np.int64)

    def _close(self) -> Closed | None:
        energy_mwh = self._open_mwh()
        meters = np.flatnonzero(energy_mwh)
        if not meters.size:
            return None
        amounts = self._open_utok()
        self._rest += self._price_utok * energy_mwh - amounts * MILLION
        self._open_kwh -= energy_mwh / MILLION
        self.ledger.pay_from_utility(meters, amounts[meters])
        return Closed(self._start_s, self._price_utok, meters, energy_mwh[meters], amounts[meters])
