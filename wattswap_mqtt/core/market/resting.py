"""Orders that wait for a price: good till date or until cancelled.

The book between meters takes this place.
"""

import heapq

from wattswap_mqtt.core.market.orders import Order
from wattswap_mqtt.core.market.pricing import Quotes


class Resting:
    """Waiting orders, in order of acceptance; costs nothing until one expires or the quotes change."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._expiries: list[tuple[float, str]] = []  # a heap; orders that wait no more are still in it
        self._tried: Quotes | None = None  # the quotes that every order here was tried against

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, order: Order, tried: Quotes | None) -> None:
        """Let an order wait that was `tried` against these quotes (None: it is not known)."""
        if not self._orders:
            self._tried = tried
        self._orders[order.order_id] = order
        if order.expires_s is not None:
            heapq.heappush(self._expiries, (order.expires_s, order.order_id))

    def drop(self, order: Order) -> None:
        """Let an order wait no more, if it does."""
        self._orders.pop(order.order_id, None)

    def of(self, meter: int) -> list[Order]:
        """Return the orders of a meter."""
        return [order for order in self._orders.values() if order.meter == meter]

    def expired(self, now_s: float) -> list[Order]:
        """Return the orders whose time is up, earliest first, each once."""
        found = []
        while self._expiries and self._expiries[0][0] <= now_s:
            _, order_id = heapq.heappop(self._expiries)
            if order_id in self._orders:
                found.append(self._orders[order_id])
        return found

    def to_try(self, quotes: Quotes) -> list[Order]:
        """Return the orders to try against these quotes: none if all were, else all."""
        if quotes == self._tried:
            return []
        self._tried = quotes
        return list(self._orders.values())
