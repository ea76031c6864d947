"""The exchange of a community: orders in, deliveries and money out.

Orders of homes meet in a book.  The utility stands in it with two quotes without end: it buys at the feed-in tariff and
sells at the import tariff.  An order of a home whose market is closed meets only the utility.  Each match is a trade: a
delivery of the one side, and of the other unless that is the utility, which begin at once; every metered mWh is paid at
the price of the trade, into a ledger of integers (see `clearing` for what is missing at the end).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.events import Event
from wattswap_mqtt.core.market import rows
from wattswap_mqtt.core.market.book import Book, Entry, Fill, Level
from wattswap_mqtt.core.market.clearing import Clearing
from wattswap_mqtt.core.market.delivery import Asks, Delivery
from wattswap_mqtt.core.market.entry import Home, Rules, answer_again, refusal
from wattswap_mqtt.core.market.journal import Journal
from wattswap_mqtt.core.market.orders import Ending, Order, OrderTerms, trade
from wattswap_mqtt.core.market.pricing import Quotes, Tariff
from wattswap_mqtt.core.market.roster import Roster
from wattswap_mqtt.core.market.surplus import Closed, SurplusState
from wattswap_mqtt.core.market.tape import Tape

LEAST_OFFERED_MWH = 1000
"""Less surplus than this is not offered to the book."""


class Exchange:
    """Orders, deliveries and accounts of n homes, and of bots after them; a meter is its row in the community.

    Per sub-step: `asks`, then the homes do what they can, then `settle` with what was metered.  Bots have no home: they
    deliver what is asked of them, and stand in no array.  Events, trades and changes pile up until they are taken.
    """

    def __init__(
        self, meter_ids: Sequence[str], tariff: Tariff, rules: Rules | None = None, bots: Sequence[str] = ()
    ) -> None:
        self.meter_ids = (*meter_ids, *bots)
        self.tariff = tariff
        self.rules = rules or Rules()
        self.tape = Tape()
        self._homes = len(meter_ids)
        self._bots_meter: Floats = np.full(len(bots), np.inf)
        self._roster = Roster(self.meter_ids, self.rules.most_open)
        self._book = Book()
        self._clearing = Clearing(self.meter_ids, self._homes)
        self._journal = Journal()

    def place(self, meter: int, terms: OrderTerms, now_s: float, home: Home) -> Order:
        """Place an order; the same `client_order_id` with the same terms again is answered as the first time.

        Raises:
            CommandError: `grid_disconnected`, `market_disabled`, `price_out_of_band` or `min_fill`, with the id of the
                order that was kept as failed; `too_many_orders` or `client_order_id_reused`, and nothing was kept.

        """
        if (known := self._roster.of_client(meter, terms.client_order_id)) is not None:
            return answer_again(known, terms)
        order = self._roster.new_order(meter, terms, now_s, home.available_discharge_kwh)
        quotes = self.tariff.quote(now_s)
        if (refused := refusal(terms, quotes, home, self.rules)) is not None:
            self._end(order, "failed", now_s, refused.code, refused.message)
            raise CommandError(refused.code, refused.message, order_id=order.order_id)
        self._journal.accepted(order, now_s)
        self._match(order, self._book if home.market_enabled else Book(), quotes, now_s)
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
        """Let the orders of a meter wait no longer for a match; deliveries go on."""
        for order in self._roster.open_orders(meter):
            if order.waits:
                self._drop_rest(order, "market_disabled", now_s)

    def scenario_set(self, meter: int, now_s: float) -> None:
        """End every open order of a home that was put into a scenario."""
        for order in self._roster.open_orders(meter):
            self._end(order, "cancelled", now_s, "scenario")

    def asks(self, now_s: float, dt_s: float) -> Asks:
        """Return the mean powers asked of the homes over [now_s, now_s + dt_s), dt_s > 0."""
        asks = self._clearing.deliveries.asks(now_s, dt_s)
        return Asks(*(powers[: self._homes] for powers in asks)) if self._bots_meter.size else asks

    def asks_of(self, meter: int, now_s: float, dt_s: float) -> Asks:
        """Return the mean powers asked of one home, shape (1,)."""
        return self._clearing.deliveries.asks_of(meter, now_s, dt_s)

    def next_s(self, now_s: float, before_s: float) -> float:
        """Return when, at most `before_s`, something ends by itself: an order, a delivery, a slot of surplus."""
        if self._book:
            if self._clearing.surplus.is_over(now_s, self.tariff.quote(now_s).bid_utok):
                return now_s  # those who wait are offered it
            before_s = self._book.next_expiry_s(before_s)
        return self._clearing.deliveries.next_end_s(before_s)

    def settle(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats, surplus_kwh: Floats) -> None:
        """Settle what was metered in the sub-step that ends at `now_s`; end and match what is due.

        `sold_kwh` and `bought_kwh` are what flowed because it was asked for, `surplus_kwh` what else flowed out of
        homes that sell it, each >= 0 and (n,).  Energy belongs to the quarter hour in which the sub-step began.
        """
        start_s = now_s - dt_s
        closed = self._clearing.sell_surplus(surplus_kwh, start_s, self.tariff.quote(start_s).bid_utok)
        if self._clearing.deliveries:
            self._settle_deliveries(now_s, dt_s, sold_kwh, bought_kwh)
        if self._book:
            for order_id in self._book.expire(now_s):
                self._drop_rest(self._roster.find(order_id), "ttl_elapsed", now_s)
            for entry, fill in self._book.cross(self.tariff.quote(now_s)):
                self._trade(self._roster.find(entry.order_id), fill, now_s)
            if closed is not None:
                self._offer(closed, now_s)

    def _settle_deliveries(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats) -> None:
        if self._clearing.begins_quarter(now_s - dt_s):
            self._journal.changed(self._roster.find(delivery.order_id) for delivery in self._clearing.deliveries)
        if self._bots_meter.size:
            sold_kwh = np.concatenate((sold_kwh, self._bots_meter))
            bought_kwh = np.concatenate((bought_kwh, self._bots_meter))
        settled = self._clearing.settle(now_s, dt_s, sold_kwh, bought_kwh)
        for delivery in settled.begun:
            self._begin(self._roster.find(delivery.order_id), now_s)
        for delivery in settled.over:
            self._clearing.over(delivery, self.tariff.quote(now_s), now_s)
        for order_id in dict.fromkeys(delivery.order_id for delivery in settled.over):
            order = self._roster.find(order_id)
            self._journal.changed((order,))
            if not order.waits and not order.under_way:
                self._finish(order, now_s)
            elif order.filled_mwh:
                self._begin(order, now_s)

    def _begin(self, order: Order, now_s: float) -> None:
        if order.begin():
            self._journal.begun(order, now_s)

    def _match(self, order: Order, book: Book, quotes: Quotes, now_s: float) -> None:
        terms = order.terms
        fills, dropped = book.enter(_entry(order), quotes, terms.waits, terms.least_mwh)
        for fill in fills:
            self._trade(order, fill, now_s)
        if dropped:
            self._drop_rest(order, dropped, now_s)

    def _trade(self, order: Order, fill: Fill, now_s: float) -> None:
        """Begin the deliveries of a trade between an order and one that was there before it, or the utility."""
        entry, quantity_mwh, price_utok = fill
        maker = None if entry is None else self._roster.find(entry.order_id)
        counterparty = rows.UTILITY if maker is None else maker.meter_id
        self.tape.add(self._leg(order, quantity_mwh, price_utok, counterparty, now_s, came_last=True), order.meter_id)
        if maker is not None:
            self._leg(maker, quantity_mwh, price_utok, order.meter_id, now_s, came_last=False)

    def _leg(
        self, order: Order, quantity_mwh: int, price_utok: int, counterparty: str, now_s: float, *, came_last: bool
    ) -> Delivery:
        delivery = order.match(quantity_mwh, price_utok, counterparty, now_s, came_last=came_last)
        self._clearing.deliveries.add(delivery)
        self._journal.matched(order, delivery, now_s)
        return delivery

    def _offer(self, closed: Closed, now_s: float) -> None:
        """Sell surplus of a slot that has closed to homes that pay more than the feed-in price, home by home."""
        beyond_utok = closed.price_utok + 1
        nobody = Quotes(closed.price_utok, beyond_utok)
        for meter, energy_mwh in zip(closed.meters.tolist(), closed.energy_mwh.tolist(), strict=True):
            if (self._book.best_bid_utok or closed.price_utok) < beyond_utok:
                return
            if energy_mwh < LEAST_OFFERED_MWH:
                continue
            fills, _ = self._book.enter(Entry("", meter, False, beyond_utok, energy_mwh), nobody, False)
            for entry, quantity_mwh, price_utok in fills:
                if entry is not None:
                    buyer, seller = self._roster.find(entry.order_id), self.meter_ids[meter]
                    bought = self._leg(buyer, quantity_mwh, price_utok, seller, now_s, came_last=True)
                    self.tape.add(bought, buyer.meter_id)
                    self._clearing.pay_premium(meter, closed.start_s, bought, closed.price_utok)

    def _drop_rest(self, order: Order, reason: str, now_s: float) -> None:
        """Let the rest of an order wait no longer; without a delivery under way that is its end."""
        order.dropped = reason
        self._book.drop(order.order_id)
        if order.under_way:
            self._journal.changed((order,))
        else:
            self._finish(order, now_s)

    def _finish(self, order: Order, now_s: float) -> None:
        status, reason = order.verdict()
        self._end(order, status, now_s, reason)

    def _end(self, order: Order, status: Ending, now_s: float, reason: str | None, message: str | None = None) -> None:
        self._book.drop(order.order_id)
        self._clearing.stop(order.under_way)
        order.end(status, now_s, reason, message)
        self._roster.ended(order)
        self._journal.ended(order, now_s)

    def get(self, order_id: str) -> Order:
        """Return an order that is open or ended lately.

        Raises:
            CommandError: `unknown_order`; it may still be in the store.

        """
        return self._roster.find(order_id)

    def orders(self, meter: int) -> list[Order]:
        """Return a meter's remembered orders, newest first."""
        return [order for order in self._roster if order.meter == meter][::-1]

    def open_orders(self, meter: int) -> list[Order]:
        """Return a meter's open orders, in order of acceptance."""
        return self._roster.open_orders(meter)

    def pending_counts(self) -> Ints:
        """Return how many open orders each meter has, shape (n,)."""
        return self._roster.pending[: self._homes].copy()

    @property
    def earnings_utok(self) -> Ints:
        """What each meter earned, shape (n,); the running quarter hour's surplus is in it."""
        return self._clearing.earned_utok

    @property
    def spending_utok(self) -> Ints:
        """What each meter spent, shape (n,)."""
        return self._clearing.spent_utok

    def accounts(self) -> list[tuple[str, int, int]]:
        """Return what each account received and paid, in utok: the utility first, then homes, then bots."""
        return self._clearing.accounts()

    @property
    def ledger_sum_utok(self) -> int:
        """What all accounts, the utility's included, hold together: zero."""
        return self._clearing.sum_utok

    def last_trades(self) -> dict[int, dict[str, object]]:
        """Return the last remembered trade of each home that has one, as the `trade` event told it."""
        deliveries = sorted((d for order in self._roster for d in order.deliveries), key=lambda d: d.start_s)
        return {d.meter: trade(d, self.meter_ids[d.meter]) for d in deliveries if d.meter < self._homes}

    def current_price_utok(self, now_s: float) -> int:
        """Return the price of the last trade, else the middle of best bid and ask."""
        if self.tape.last_price_utok is not None:
            return self.tape.last_price_utok
        return sum(self.best(now_s)) // 2

    def best(self, now_s: float) -> Quotes:
        """Return the best bid and ask there are, the utility's included."""
        quotes = self.tariff.quote(now_s)
        bid, ask = self._book.best_bid_utok, self._book.best_ask_utok
        return Quotes(
            quotes.bid_utok if bid is None else max(bid, quotes.bid_utok),
            quotes.ask_utok if ask is None else min(ask, quotes.ask_utok),
        )

    def depth(self, levels: int) -> tuple[list[Level], list[Level]]:
        """Return what waits at the best prices, the utility left out: bids and asks, best first."""
        return self._book.depth(levels)

    @property
    def delivering(self) -> bool:
        """Whether any delivery is in progress: if not, there is nothing to ask of the homes."""
        return bool(self._clearing.deliveries)

    def take_events(self) -> list[Event]:
        """Return what happened since the last call."""
        events = self._journal.take_events()
        return [event for event in events if event.meter < self._homes] if self._bots_meter.size else events

    def take_changes(self) -> rows.Changes:
        """Return the rows that changed since the last call; later rows replace earlier ones of the same key."""
        changed = self._journal.take_changed()
        entries = self._clearing.take_entries(changed, self._roster.placed)
        return rows.Changes([rows.order_row(order) for order in changed], entries)

    def under_way(self) -> dict[str, float]:
        """Return what was delivered of each trade that is being delivered, in kWh: it goes into the checkpoint."""
        return {delivery.trade_id: delivery.delivered_kwh for delivery in self._clearing.deliveries}

    def surplus_state(self) -> SurplusState:
        """Return the part of the state that changes with every tick for every meter: it goes into the checkpoint."""
        return self._clearing.surplus.state()

    def restore(
        self,
        orders: Iterable[Mapping[str, Any]],
        entries: Iterable[Mapping[str, Any]],
        surplus: SurplusState | None = None,
        tape: Mapping[str, Any] | None = None,
        under_way: Mapping[str, float] | None = None,
    ) -> None:
        """Go on from stored rows, in a new exchange; rows of meters that are no more are left alone.

        Wanted are the orders that are open or ended lately, in the order in which they were first written, and at least
        the entries of kind `account`.  `under_way` is newer than those rows.
        """
        index = {meter_id: meter for meter, meter_id in enumerate(self.meter_ids)}
        accounts = [row for row in entries if row["kind"] == "account" and row["meter_id"] in index]
        booked = {trade_id: kwh for row in accounts for trade_id, kwh in row["under_way"].items()}
        for order in [rows.read_order(row, index[row["meter_id"]]) for row in orders if row["meter_id"] in index]:
            self._roster.add(order)
            if order.waits:
                self._book.rest(_entry(order))
            for delivery in order.under_way:
                delivery.delivered_kwh = booked.get(delivery.trade_id, delivery.delivered_kwh)
                self._clearing.resume(delivery, (under_way or {}).get(delivery.trade_id, delivery.delivered_kwh))
        for row in accounts:
            meter = index[row["meter_id"]]
            self._roster.placed[meter] = row["orders_placed"]
            self._clearing.trades.restore(
                np.array([meter]), np.array([row["earned_utok"]]), np.array([row["spent_utok"]])
            )
        if surplus is not None:
            self._clearing.surplus.restore(surplus)
        if tape is not None:
            self.tape.restore(tape)


def _entry(order: Order) -> Entry:
    terms = order.terms
    is_buy, limit = terms.side == "buy", terms.price_utok_per_kwh
    return Entry(order.order_id, order.meter, is_buy, limit, order.unmatched_mwh, order.expires_s)
