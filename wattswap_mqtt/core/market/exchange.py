"""The exchange of a community: orders in, deliveries and money out.

The utility stands behind every order with two quotes without end: it buys at the feed-in tariff and sells at the import
tariff.  A market order meets them at once, a limit order as soon as they are as good as its limit.  A match is a
delivery that begins at once; every metered mWh of it is paid at the price of the match, into a ledger of integers.

Imbalance.  A match with the utility binds it to what is metered and to nothing else: energy that was matched but not
delivered is bought back at the very quote it was sold at (and the reverse for a buy),

    imbalance = missing x price of the match - missing x the utility's quote of that side = 0

so it moves no tokens, and a seller never owes anything for a shortfall.  `order.reason` tells of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.market import rows
from wattswap_mqtt.core.market.clearing import Clearing
from wattswap_mqtt.core.market.delivery import Asks, Delivery
from wattswap_mqtt.core.market.entry import Home, answer_again, refusal
from wattswap_mqtt.core.market.journal import Journal
from wattswap_mqtt.core.market.orders import Ending, Order, OrderTerms, trade
from wattswap_mqtt.core.market.pricing import Quotes, Tariff
from wattswap_mqtt.core.market.resting import Resting
from wattswap_mqtt.core.market.roster import Roster
from wattswap_mqtt.core.market.surplus import SurplusState


class Exchange:
    """Orders, deliveries and accounts of n meters; a meter is its row in the community.

    Per sub-step: `asks`, then the homes do what they can, then `settle` with what was metered.  Events and changes pile
    up until they are taken.
    """

    def __init__(self, meter_ids: Sequence[str], tariff: Tariff) -> None:
        self.meter_ids = tuple(meter_ids)
        self.tariff = tariff
        self._roster = Roster(self.meter_ids)
        self._resting = Resting()
        self._clearing = Clearing(self.meter_ids)
        self._journal = Journal()
        self._last_delivery: Delivery | None = None

    def place(self, meter: int, terms: OrderTerms, now_s: float, home: Home) -> Order:
        """Place an order; the same `client_order_id` with the same terms again is answered as the first time.

        Raises:
            CommandError: `grid_disconnected`, `market_disabled` or `min_fill`, with the id of the order that was kept
                as failed; `too_many_orders` or `client_order_id_reused`, and nothing was kept.

        """
        if (known := self._roster.of_client(meter, terms.client_order_id)) is not None:
            return answer_again(known, terms)
        order = self._roster.new_order(meter, terms, now_s, home.available_discharge_kwh)
        quotes = self.tariff.quote(now_s)
        if (refused := refusal(terms, quotes, home)) is not None:
            self._end(order, "failed", now_s, refused.code, refused.message)
            raise CommandError(refused.code, refused.message, order_id=order.order_id)
        self._journal.accepted(order, now_s)
        self._match(order, quotes, now_s)
        if order.matched_mwh < terms.quantity_mwh:
            if terms.waits:
                self._resting.add(order, quotes)
            else:
                self._end(order, "expired", now_s, "unmatched")
        return order

    def cancel(self, order_id: str, now_s: float) -> Order:
        """End an open order; what was delivered stays.

        Raises:
            CommandError: `unknown_order` or `order_ended`.

        """
        if self._roster.is_forgotten(order_id):
            raise CommandError("order_ended", f"{order_id} has ended: only an open order can be cancelled")
        order = self._roster.find(order_id)
        if not order.is_open:
            raise CommandError(
                "order_ended", f"{order_id} has ended ({order.status}): only an open order can be cancelled"
            )
        self._end(order, "cancelled", now_s, "requested")
        return order

    def grid_lost(self, meter: int, now_s: float) -> None:
        """End every open order of a home that lost the grid."""
        for order in self._roster.open_orders(meter):
            self._end(order, "failed", now_s, "grid_disconnected")

    def market_closed(self, meter: int, now_s: float) -> None:
        """End the orders of a meter that wait for a match; deliveries go on."""
        for order in self._resting.of(meter):
            self._end(order, "cancelled", now_s, "market_disabled")

    def scenario_set(self, meter: int, now_s: float) -> None:
        """End every open order of a home that was put into a scenario."""
        for order in self._roster.open_orders(meter):
            self._end(order, "cancelled", now_s, "scenario")

    def asks(self, now_s: float, dt_s: float) -> Asks:
        """Return the mean powers asked of the homes over [now_s, now_s + dt_s), dt_s > 0."""
        return self._clearing.deliveries.asks(now_s, dt_s)

    def settle(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats, surplus_kwh: Floats) -> None:
        """Settle what was metered in the sub-step that ends at `now_s`; end and match what is due.

        `sold_kwh` and `bought_kwh` are what flowed because it was asked for, `surplus_kwh` what else flowed out of
        homes that sell it, each >= 0 and (n,).  Energy belongs to the quarter hour in which the sub-step began.
        """
        start_s = now_s - dt_s
        self._clearing.sell_surplus(surplus_kwh, start_s, self.tariff.quote(start_s).bid_utok)
        if self._clearing.deliveries:
            self._settle_deliveries(now_s, dt_s, sold_kwh, bought_kwh)
        if self._resting:
            for order in self._resting.expired(now_s):
                self._end(order, "expired", now_s, "ttl_elapsed")
            quotes = self.tariff.quote(now_s)
            for order in self._resting.to_try(quotes):
                self._match(order, quotes, now_s)

    def _settle_deliveries(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats) -> None:
        if self._clearing.begins_quarter(now_s - dt_s):
            self._journal.delivered(self._roster.find(delivery.order_id) for delivery in self._clearing.deliveries)
        settled = self._clearing.settle(now_s, dt_s, sold_kwh, bought_kwh)
        for delivery in settled.begun:
            order = self._roster.find(delivery.order_id)
            order.begin()
            self._journal.begun(order, now_s)
        for delivery in settled.over:
            order = self._roster.find(delivery.order_id)
            status, reason = order.verdict()
            self._end(order, status, now_s, reason)

    def _match(self, order: Order, quotes: Quotes, now_s: float) -> None:
        """Match what an order wants against whatever is on offer: the utility.

        The book between meters goes here: what it offers at a better price than the utility's comes first.
        """
        price_utok = quotes.price(order.terms.side)
        if not order.terms.accepts(price_utok):
            return
        self._resting.drop(order)
        self._last_delivery = order.match(order.terms.quantity_mwh, price_utok, rows.UTILITY, now_s)
        self._clearing.deliveries.add(self._last_delivery)
        self._journal.matched(order, self._last_delivery, now_s)

    def _end(self, order: Order, status: Ending, now_s: float, reason: str | None, message: str | None = None) -> None:
        order.end(status, now_s, reason, message)
        self._resting.drop(order)
        self._clearing.deliveries.drop(order.order_id)
        self._roster.ended(order)
        self._journal.ended(order, now_s)

    def get(self, order_id: str) -> Order:
        """Return an order that is open or ended lately.

        Raises:
            CommandError: `unknown_order`; it may still be in the store.

        """
        return self._roster.find(order_id)

    def orders(
        self,
        meter: int,
        *,
        status: str | None = None,
        open_only: bool = False,
        client_order_id: str | None = None,
        since_s: float | None = None,
        limit: int = 100,
    ) -> list[Order]:
        """Return the newest `limit` of a meter's remembered orders that pass the filters, newest first."""
        found = self._roster.open_orders(meter) if open_only else [o for o in self._roster if o.meter == meter]
        passed = [
            order
            for order in reversed(found)
            if (status is None or order.status == status)
            and (client_order_id is None or order.terms.client_order_id == client_order_id)
            and (since_s is None or order.created_s >= since_s)
        ]
        return passed[:limit]

    def open_orders(self, meter: int) -> list[Order]:
        """Return a meter's open orders, in order of acceptance."""
        return self._roster.open_orders(meter)

    def pending_counts(self) -> Ints:
        """Return how many open orders each meter has, shape (n,)."""
        return self._roster.pending.copy()

    @property
    def earnings_utok(self) -> Ints:
        """What each meter earned, shape (n,); the running quarter hour's surplus is in it."""
        return self._clearing.earned_utok

    @property
    def spending_utok(self) -> Ints:
        """What each meter spent, shape (n,)."""
        return self._clearing.spent_utok

    @property
    def ledger_sum_utok(self) -> int:
        """What all accounts, the utility's included, hold together: zero."""
        return self._clearing.sum_utok

    @property
    def last_trade(self) -> dict[str, object] | None:
        """The last match, as the `trade` event told it."""
        last = self._last_delivery
        return None if last is None else trade(last, self.meter_ids[last.meter])

    def last_trades(self) -> dict[int, dict[str, object]]:
        """Return the last remembered match of each meter that has one, as the `trade` event told it."""
        deliveries = sorted((d for order in self._roster for d in order.deliveries), key=lambda d: d.start_s)
        return {delivery.meter: trade(delivery, self.meter_ids[delivery.meter]) for delivery in deliveries}

    def current_price_utok(self, now_s: float) -> int:
        """Return the price of the last trade, else the middle of the utility's quotes."""
        if self._last_delivery is not None:
            return self._last_delivery.price_utok_per_kwh
        return sum(self.tariff.quote(now_s)) // 2

    @property
    def delivering(self) -> bool:
        """Whether any delivery is in progress: if not, there is nothing to ask of the homes."""
        return bool(self._clearing.deliveries)

    def take_events(self) -> list[Event]:
        """Return what happened since the last call."""
        return self._journal.take_events()

    def take_changes(self) -> rows.Changes:
        """Return the rows that changed since the last call; later rows replace earlier ones of the same key."""
        changed = self._journal.take_changed()
        entries = self._clearing.take_entries(changed, self._roster.placed)
        return rows.Changes([rows.order_row(order) for order in changed], entries)

    def surplus_state(self) -> SurplusState:
        """Return the part of the state that changes with every tick for every meter: it goes into the checkpoint."""
        return self._clearing.surplus.state()

    def restore(
        self,
        orders: Iterable[Mapping[str, Any]],
        entries: Iterable[Mapping[str, Any]],
        surplus: SurplusState | None = None,
    ) -> None:
        """Go on from stored rows, in a new exchange; rows of meters that are no more are left alone.

        Wanted are the orders that are open or ended lately, in the order in which they were first written, and at least
        the entries of kind `account`.
        """
        index = {meter_id: meter for meter, meter_id in enumerate(self.meter_ids)}
        accounts = [row for row in entries if row["kind"] == "account" and row["meter_id"] in index]
        under_way = {trade_id: kwh for row in accounts for trade_id, kwh in row["under_way"].items()}
        for order in [rows.read_order(row, index[row["meter_id"]]) for row in orders if row["meter_id"] in index]:
            self._roster.add(order)
            if order.is_open and not order.deliveries:
                self._resting.add(order, None)
            for delivery in order.deliveries:
                if self._last_delivery is None or delivery.start_s >= self._last_delivery.start_s:
                    self._last_delivery = delivery
                if order.is_open:
                    delivery.delivered_kwh = under_way.get(delivery.trade_id, delivery.delivered_kwh)
                    self._clearing.deliveries.add(delivery)
        for row in accounts:
            meter = index[row["meter_id"]]
            self._roster.placed[meter] = row["orders_placed"]
            self._clearing.trades.restore(
                np.array([meter]), np.array([row["earned_utok"]]), np.array([row["spent_utok"]])
            )
        if surplus is not None:
            self._clearing.surplus.restore(surplus)
