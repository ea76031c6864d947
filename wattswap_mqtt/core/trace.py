"""What one meter told since a scenario began, as samples that expectations can be judged by."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.expectations import Sample

Json = Mapping[str, Any]


class Trace:
    """Gathers states, and beside each what is known by then: switches, orders of the scenario, events so far.

    Orders and events that come between two states belong to the earlier one: a meter tells its state first.
    """

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.samples: list[Sample] = []
        self._switches: Json = {}
        self._orders: dict[str, Json] = {}
        self._names: dict[str, str] = {}
        self._events: Counter[str] = Counter()
        self._first = (0.0, 0.0)

    @property
    def after_s(self) -> float:
        """How far the samples reach."""
        return self.samples[-1].after_s if self.samples else -1.0

    def state(self, state: Json, truth: Json | None = None) -> None:
        """Take a state, and the truth beside it; one that is older than the start, or than another, is left out."""
        time = datetime.fromisoformat((truth or state)["timestamp"])  # the clock of a faulty meter may be wrong
        after_s = time.timestamp() - self.began_s
        if after_s < max(self.after_s, -0.001):
            return
        beside: dict[str, Any] = {"switches": self._switches, **self._happened()}
        if truth is not None:
            beside["truth"] = truth
        published_s = datetime.fromisoformat(state["published_at"]).timestamp() if "published_at" in state else 0.0
        if not self.samples:
            self._first = (after_s, published_s)
        if published_s > self._first[1]:
            beside["clock"] = {"pace": (after_s - self._first[0]) / (published_s - self._first[1])}
        local = time.astimezone(ZoneInfo(state["tz"])) if "tz" in state else time
        self.samples.append(Sample(max(after_s, 0.0), local.hour * 60 + local.minute, {**state, **beside}))

    def switches(self, values: Json) -> None:
        """Take the switches as they are now."""
        self._switches = values

    def order(self, order: Json) -> None:
        """Take an order as it is now."""
        self._orders[order["order_id"]] = order
        self._amend()

    def event(self, event: Json) -> None:
        """Take an event; those of a scenario say what it calls its orders."""
        self._events[event["event_type"]] += 1
        if event["event_type"] == "scenario_event" and "order_id" in event and "order" in event:
            self._names[event["order_id"]] = event["order"]
        self._amend()

    def _happened(self) -> dict[str, Any]:
        orders = {self._names[key]: order for key, order in self._orders.items() if key in self._names}
        return {"orders": orders, "events": self._events.copy()}

    def _amend(self) -> None:
        if self.samples:
            last = self.samples[-1]
            self.samples[-1] = last._replace(told={**last.told, **self._happened()})
