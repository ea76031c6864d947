"""Orders: what is asked for, and what became of it.

    accepted ──> partially_filled ──> executed | failed | expired | cancelled
        └───────────────────────────────^

A status never steps back.  `partially_filled` is said at the first metered energy.  Once nothing of an order waits and
all its deliveries are over, it is `executed` if at most a thousandth of it is missing (a tenth of what a class 1 meter
may be wrong by), `expired` if more is, and `failed` if it was matched and nothing was delivered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wattswap_mqtt.core.market.delivery import Delivery
from wattswap_mqtt.core.market.pricing import Side, from_millionths
from wattswap_mqtt.core.moments import iso_utc
from wattswap_mqtt.core.registers import CO2_KG_PER_KWH

Status = Literal["accepted", "partially_filled", "executed", "failed", "expired", "cancelled"]
Ending = Literal["executed", "failed", "expired", "cancelled"]
Row = dict[str, Any]

OPEN = frozenset({"accepted", "partially_filled"})

REASONS: Mapping[str, str] = {
    "grid_disconnected": "the home is not connected to the grid: nothing can be delivered",
    "market_disabled": "the marketplace is closed for this meter (market_enabled): nothing can wait for a better price",
    "min_fill": "less than the minimum fill could be delivered, or matched at once",
    "price_out_of_band": "the limit price is outside the band of prices of this market",
    "self_trade": "the best offer was this meter's own older order: the rest of the newer one is cancelled",
    "unmatched": "nobody offered the limit price or better, and this order does not wait",
    "ttl_elapsed": "nobody offered the limit price or better in time",
    "delivered_short": "the delivery window ended before everything was delivered",
    "nothing_delivered": "the delivery window ended, and nothing was delivered",
    "requested": "cancelled on request",
    "scenario": "a scenario was set",
}
"""Why an order ended other than executed; at entry `min_fill` says the numbers instead."""

ENDS_AS_EXPIRED = frozenset({"unmatched", "ttl_elapsed", "min_fill"})
"""Of the reasons for which a rest is dropped: those that are nobody's wish; the others cancel."""


@dataclass(frozen=True)
class OrderTerms:
    """An order as it was asked for, already validated by the contract; times in force concern matching only.

    `price_utok_per_kwh` is the limit, None for a market order.  A `min_fill_mwh` above the quantity means all of it.
    """

    side: Side
    type: Literal["market", "limit"]
    quantity_mwh: int
    duration_s: float
    price_utok_per_kwh: int | None = None
    min_fill_mwh: int = 100_000
    ttl_s: float = 600.0
    time_in_force: Literal["GTD", "GTC", "IOC", "FOK"] = "GTD"
    client_order_id: str | None = None

    @property
    def waits(self) -> bool:
        """Whether what is not matched at once goes on waiting."""
        return self.time_in_force in {"GTD", "GTC"}

    @property
    def least_mwh(self) -> int:
        """What has to be matched at once, or nothing is; an order that waits has time for it."""
        if self.time_in_force == "FOK":
            return self.quantity_mwh
        return 0 if self.waits else min(self.min_fill_mwh, self.quantity_mwh)

    def accepts(self, price_utok: int) -> bool:
        """Tell whether a price is as good as the limit."""
        limit = self.price_utok_per_kwh
        return limit is None or (price_utok >= limit if self.side == "sell" else price_utok <= limit)

    def to_dict(self) -> Row:
        """Return the terms as they stand on the wire."""
        limit = self.price_utok_per_kwh
        return {
            "client_order_id": self.client_order_id,
            "side": self.side,
            "type": self.type,
            "quantity_kwh": from_millionths(self.quantity_mwh),
            "duration_sec": self.duration_s,
            "price": None if limit is None else from_millionths(limit),
            "min_fill_kwh": from_millionths(self.min_fill_mwh),
            "ttl_sec": self.ttl_s,
            "time_in_force": self.time_in_force,
        }


@dataclass(slots=True)
class Order:
    """An order of the meter in row `meter`, the `number`th of that meter; each match adds a delivery.

    `reserved_mwh` of the battery is set aside for a sell from its acceptance to its end.
    """

    order_id: str
    meter_id: str
    meter: int
    number: int
    terms: OrderTerms
    created_s: float
    reserved_mwh: int = 0
    status: Status = "accepted"
    reason: str | None = None
    message: str | None = None
    ended_s: float | None = None
    dropped: str | None = None  # why the unmatched rest waits no longer, a key of REASONS
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether anything can still become of it."""
        return self.status in OPEN

    @property
    def refused(self) -> bool:
        """Whether it failed at entry."""
        return self.status == "failed" and self.ended_s == self.created_s and not self.deliveries

    @property
    def matched_mwh(self) -> int:
        """What was traded."""
        return sum(delivery.quantity_mwh for delivery in self.deliveries)

    @property
    def unmatched_mwh(self) -> int:
        """What was not traded."""
        return self.terms.quantity_mwh - self.matched_mwh

    @property
    def waits(self) -> bool:
        """Whether a rest of it waits for a price."""
        return self.is_open and self.dropped is None and self.unmatched_mwh > 0

    @property
    def under_way(self) -> list[Delivery]:
        """The deliveries that are not over; of an ended order there are none."""
        return [delivery for delivery in self.deliveries if not delivery.over] if self.is_open else []

    @property
    def filled_mwh(self) -> int:
        """What was delivered and metered."""
        return sum(delivery.filled_mwh for delivery in self.deliveries)

    @property
    def amount_utok(self) -> int:
        """What was settled: + earned, - spent."""
        return sum(delivery.amount_utok for delivery in self.deliveries)

    @property
    def expires_s(self) -> float | None:
        """When an unmatched rest is dropped."""
        return self.created_s + self.terms.ttl_s if self.terms.time_in_force == "GTD" else None

    def match(
        self, quantity_mwh: int, price_utok: int, counterparty: str, now_s: float, *, came_last: bool = True
    ) -> Delivery:
        """Trade a part of it; returns the delivery, which begins now."""
        delivery = Delivery(
            trade_id=f"{self.order_id}/{len(self.deliveries) + 1}",
            order_id=self.order_id,
            meter=self.meter,
            number=self.number,
            side=self.terms.side,
            quantity_mwh=quantity_mwh,
            price_utok_per_kwh=price_utok,
            counterparty=counterparty,
            start_s=now_s,
            end_s=now_s + self.terms.duration_s,
            came_last=came_last,
        )
        self.deliveries.append(delivery)
        return delivery

    def begin(self) -> bool:
        """Note metered energy; tell whether it is the first."""
        first = self.status == "accepted"
        if first:
            self.status = "partially_filled"
        return first

    def end(self, status: Ending, now_s: float, reason: str | None = None, message: str | None = None) -> None:
        """End it, once and for all."""
        if not self.is_open:
            raise ValueError(f"{self.order_id} has ended as {self.status} and cannot become {status}")
        self.status, self.ended_s, self.reason, self.reserved_mwh = status, now_s, reason, 0
        self.message = message or (REASONS[reason] if reason else None)

    def verdict(self) -> tuple[Ending, str | None]:
        """Say what it ends as, and why, when nothing of it waits and its deliveries are over."""
        filled, wanted = self.filled_mwh, self.terms.quantity_mwh
        if not self.deliveries:
            return ("expired" if self.dropped in ENDS_AS_EXPIRED else "cancelled"), self.dropped
        if filled == 0:
            return "failed", "nothing_delivered"
        if (wanted - filled) * 1000 <= wanted:
            return "executed", None
        short = (self.matched_mwh - filled) * 1000 > self.matched_mwh
        return "expired", "delivered_short" if short else self.dropped

    def to_dict(self) -> Row:
        """Return the order as it stands on the wire; an execution is what was metered within one quarter hour."""
        terms, matched, filled = self.terms, self.matched_mwh, self.filled_mwh
        traded = sum(delivery.quantity_mwh * delivery.price_utok_per_kwh for delivery in self.deliveries)
        return {
            "order_id": self.order_id,
            "meter_id": self.meter_id,
            **terms.to_dict(),
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "reserved_kwh": from_millionths(self.reserved_mwh),
            "matched_kwh": from_millionths(matched),
            "filled_kwh": from_millionths(filled),
            "remaining_kwh": from_millionths(terms.quantity_mwh - filled),
            "average_price": from_millionths(round(traded / matched)) if matched else None,
            "amount_apt": from_millionths(self.amount_utok),
            "created_at": iso_utc(self.created_s),
            "expires_at": None if self.expires_s is None else iso_utc(self.expires_s),
            "ended_at": None if self.ended_s is None else iso_utc(self.ended_s),
            "executions": [
                {
                    "timestamp": iso_utc(part.start_s),
                    "quantity_kwh": from_millionths(part.energy_mwh),
                    "price": from_millionths(delivery.price_utok_per_kwh),
                    "counterparty": delivery.counterparty,
                }
                for delivery in self.deliveries
                for part in delivery.slices()
            ],
        }


def trade(delivery: Delivery, meter_id: str) -> Row:
    """Return a match as the `trade` event tells it to one of its sides; its CO₂ is that side's, < 0 is avoided."""
    quantity_kwh = from_millionths(delivery.quantity_mwh)
    return {
        "timestamp": iso_utc(delivery.start_s),
        "trade_id": delivery.trade_id,
        "order_id": delivery.order_id,
        "meter_id": meter_id,
        "side": delivery.side,
        "quantity_kwh": quantity_kwh,
        "price": from_millionths(delivery.price_utok_per_kwh),
        "co2_kg": round((quantity_kwh if delivery.side == "buy" else -quantity_kwh) * CO2_KG_PER_KWH, 9),
        "counterparty": delivery.counterparty,
        "duration_sec": round(delivery.end_s - delivery.start_s, 3),
        "liquidity": "taker" if delivery.came_last else "maker",
    }
