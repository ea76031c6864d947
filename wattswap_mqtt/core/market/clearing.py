"""The clearing house: deliveries in progress, and the money that follows what is metered."""

from collections.abc import Sequence

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.market import rows
from wattswap_mqtt.core.market.delivery import Deliveries, Settled
from wattswap_mqtt.core.market.ledger import Ledger
from wattswap_mqtt.core.market.orders import Order
from wattswap_mqtt.core.market.pricing import quarter_start
from wattswap_mqtt.core.market.rows import Row
from wattswap_mqtt.core.market.surplus import Surplus


class Clearing:
    """Deliveries and accounts of n meters.

    The money of orders and that of the automatic sale are two ledgers, because they are stored apart: rows that a few
    orders change, and arrays that change for everybody all the time.
    """

    def __init__(self, meter_ids: Sequence[str]) -> None:
        self.deliveries = Deliveries(len(meter_ids))
        self.trades = Ledger(len(meter_ids))
        self.surplus = Surplus(len(meter_ids))
        self._meter_ids = meter_ids
        self._quarter_s = 0.0
        self._closed: list[Row] = []
        self._settled = False  # since entries were taken

    @property
    def earned_utok(self) -> Ints:
        """What each meter earned, shape (n,)."""
        return self.trades.earned_utok[:-1] + self.surplus.earned_utok

    @property
    def spent_utok(self) -> Ints:
        """What each meter spent, shape (n,)."""
        return self.trades.spent_utok[:-1] + self.surplus.spent_utok

    @property
    def sum_utok(self) -> int:
        """What all accounts hold together: zero."""
        return self.trades.sum_utok + self.surplus.ledger.sum_utok

    def sell_surplus(self, surplus_kwh: Floats, start_s: float, price_utok: int) -> None:
        """Sell what flowed out beyond any order in a sub-step that began at `start_s`."""
        closed = self.surplus.add(surplus_kwh, start_s, price_utok)
        if closed is not None:
            self._closed += rows.surplus_entries(closed, self._meter_ids)

    def begins_quarter(self, start_s: float) -> bool:
        """Tell whether a sub-step begins a quarter hour; executions are told, and orders saved, by it."""
        quarter_s = quarter_start(start_s)
        if quarter_s == self._quarter_s:
            return False
        self._quarter_s = quarter_s
        for delivery in self.deliveries:
            delivery.mark(quarter_s)
        return True

    def settle(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats) -> Settled:
        """Pay for what was metered of the deliveries in the sub-step that ended at `now_s`."""
        settled = self.deliveries.settle(now_s, dt_s, sold_kwh, bought_kwh)
        self.trades.pay_from_utility(settled.meters, settled.amounts_utok)
        self._settled = True
        return settled

    def take_entries(self, orders: Sequence[Order], placed: Ints) -> list[Row]:
        """Return the entries that changed since the last call, given the orders that did; `placed` is (n,)."""
        under_way: dict[int, dict[str, float]] = {order.meter: {} for order in orders}
        for delivery in self.deliveries:
            if self._settled or delivery.meter in under_way:
                under_way.setdefault(delivery.meter, {})[delivery.trade_id] = delivery.delivered_kwh
        accounts = [
            rows.account_entry(
                self._meter_ids[meter],
                orders_placed=int(placed[meter]),
                earned_utok=int(self.trades.earned_utok[meter]),
                spent_utok=int(self.trades.spent_utok[meter]),
                under_way=delivered_kwh,
            )
            for meter, delivered_kwh in under_way.items()
        ]
        entries = [entry for order in orders for entry in rows.order_entries(order)] + self._closed + accounts
        self._closed, self._settled = [], False
        return entries
