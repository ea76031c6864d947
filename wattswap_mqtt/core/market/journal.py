"""What happened on the exchange since somebody asked: events to tell, orders to save."""

from collections.abc import Iterable

from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.market.delivery import Delivery
from wattswap_mqtt.core.market.orders import Order, trade

TOLD = (
    "order_id", "client_order_id", "side", "type", "quantity_kwh", "price", "status", "matched_kwh", "filled_kwh",
    "remaining_kwh", "average_price", "amount_apt", "reason", "message",
)  # fmt: skip
"""What an event tells of its order."""


class Journal:
    """Events and changed orders pile up until they are taken."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed: dict[str, Order] = {}

    def accepted(self, order: Order, now_s: float) -> None:
        """Note that an order was let in."""
        self._tell("order_accepted", order, now_s)

    def begun(self, order: Order, now_s: float) -> None:
        """Note the first metered energy of an order."""
        self._tell("order_partially_filled", order, now_s)

    def ended(self, order: Order, now_s: float) -> None:
        """Note that an order ended."""
        self._tell(f"order_{order.status}", order, now_s)

    def matched(self, order: Order, delivery: Delivery, now_s: float) -> None:
        """Note a match of an order."""
        self._changed[order.order_id] = order
        self._events.append(Event("trade", now_s, order.meter, trade(delivery, order.meter_id)))

    def changed(self, orders: Iterable[Order]) -> None:
        """Note that something of these orders changed of which no event tells."""
        self._changed |= {order.order_id: order for order in orders}

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        taken, self._events = self._events, []
        return taken

    def take_changed(self) -> list[Order]:
        """Return the orders that changed since the last call, in the order in which they first did."""
        taken, self._changed = self._changed, {}
        return list(taken.values())

    def _tell(self, event_type: str, order: Order, now_s: float) -> None:
        self._changed[order.order_id] = order
        wire = order.to_dict()
        self._events.append(Event(event_type, now_s, order.meter, {name: wire[name] for name in TOLD}))
