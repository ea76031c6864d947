"""The orders that are remembered: every open one, and those that ended lately."""

import re
from collections import deque
from collections.abc import Iterator

import numpy as np

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.orders import Order, OrderTerms
from wattswap_mqtt.core.market.pricing import to_millionths

MOST_OPEN = 200
"""Open orders of one meter, unless the rules of the market say otherwise."""

KEPT = 1000
KEPT_LATELY = 10_000
LATELY_S = 3600.0
"""The newest `KEPT` ended orders are remembered, and up to `KEPT_LATELY` that ended within this time."""

_NUMBER = re.compile("[1-9][0-9]{0,17}")


class Roster:
    """Orders by id, meter and client's id; `pending` counts the open ones and `placed` numbers them, shape (n,)."""

    def __init__(self, meter_ids: tuple[str, ...], most_open: int = MOST_OPEN) -> None:
        self._most_open = most_open
        self._meter_ids = meter_ids
        self._index = {meter_id: meter for meter, meter_id in enumerate(meter_ids)}
        self._orders: dict[str, Order] = {}  # in order of acceptance
        self._open: dict[int, dict[str, Order]] = {}
        self._ended: deque[Order] = deque()
        self._of_client: dict[tuple[int, str], Order] = {}
        self.pending = np.zeros(len(meter_ids), np.int64)
        self.placed = np.zeros(len(meter_ids), np.int64)

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def new_order(self, meter: int, terms: OrderTerms, now_s: float, available_kwh: float) -> Order:
        """Enter a meter's next order; a sell sets aside what no other open order did of the `available_kwh` stored.

        Raises:
            CommandError: `too_many_orders`.

        """
        meter_id = self._meter_ids[meter]
        if self.pending[meter] >= self._most_open:
            raise CommandError(
                "too_many_orders",
                f"{meter_id} has {self._most_open} open orders, the most it may have: cancel some first",
            )
        reserved_mwh = 0
        if terms.side == "sell":
            unreserved_mwh = to_millionths(available_kwh) - sum(o.reserved_mwh for o in self.open_orders(meter))
            reserved_mwh = min(terms.quantity_mwh, max(unreserved_mwh, 0))
        number = int(self.placed[meter]) + 1
        order = Order(f"{meter_id}.{number}", meter_id, meter, number, terms, now_s, reserved_mwh)
        self.add(order)
        return order

    def add(self, order: Order) -> None:
        """Enter an order; orders come in the order of their acceptance."""
        self._orders[order.order_id] = order
        self.placed[order.meter] = max(self.placed[order.meter], order.number)
        if order.terms.client_order_id is not None:
            self._of_client[order.meter, order.terms.client_order_id] = order
        if order.is_open:
            self._open.setdefault(order.meter, {})[order.order_id] = order
            self.pending[order.meter] += 1
        else:
            self._ended.append(order)

    def ended(self, order: Order) -> None:
        """Note that an order ended, and forget what ended long before it."""
        if self._open.get(order.meter, {}).pop(order.order_id, None) is not None:
            self.pending[order.meter] -= 1
        self._ended.append(order)
        long_ago_s = (order.ended_s or 0) - LATELY_S
        while len(self._ended) > KEPT_LATELY or (
            len(self._ended) > KEPT and (self._ended[0].ended_s or 0) < long_ago_s
        ):
            self._forget(self._ended.popleft())

    def find(self, order_id: str) -> Order:
        """Return an order.

        Raises:
            CommandError: `unknown_order`, also for one that ended long ago.

        """
        if order_id in self._orders:
            return self._orders[order_id]
        raise CommandError(
            "unknown_order", f"there is no order {order_id!r}: an order's id is its meter's id, a dot and a number"
        )

    def is_forgotten(self, order_id: str) -> bool:
        """Tell whether an order of this id ended so long ago that it is not remembered."""
        meter_id, _, number = order_id.rpartition(".")
        if order_id in self._orders or meter_id not in self._index or not _NUMBER.fullmatch(number):
            return False
        return int(number) <= int(self.placed[self._index[meter_id]])

    def of_client(self, meter: int, client_order_id: str | None) -> Order | None:
        """Return the meter's order that its client gave this id."""
        return None if client_order_id is None else self._of_client.get((meter, client_order_id))

    def open_orders(self, meter: int) -> list[Order]:
        """Return the meter's open orders, in order of acceptance."""
        return list(self._open.get(meter, {}).values())

    def _forget(self, order: Order) -> None:
        del self._orders[order.order_id]
        key = (order.meter, order.terms.client_order_id or "")
        if self._of_client.get(key) is order:
            del self._of_client[key]
