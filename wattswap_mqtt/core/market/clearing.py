"""The clearing house: deliveries in progress, and the money that follows what is metered.

The utility stands between the two sides of a trade: each leg is delivered over the window of its own order, and each
of its metered mWh is paid at the price of the trade, to or by the utility.  So a leg that ends early (cancelled, grid
lost) leaves nothing undone: for the other side the utility goes on at the same price.

Imbalance.  A trade between meters is firm.  What is missing of a leg at the end of its window the seller has to buy
from the utility, at the import tariff but never below the price of the trade; the buyer has to sell what it did not
take to the utility, at the feed-in tariff but never above the price of the trade.  The trade is paid in full, so

    amount = -missing x |price of the missing energy - price of the trade|

and not delivering never pays.  A trade with the utility binds it to what is metered and to nothing else, so there is no
imbalance.
"""

from collections.abc import Sequence

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Ints
from wattswap_mqtt.core.market import rows
from wattswap_mqtt.core.market.delivery import Deliveries, Delivery, Settled
from wattswap_mqtt.core.market.ledger import Ledger
from wattswap_mqtt.core.market.orders import Order, Row
from wattswap_mqtt.core.market.pricing import Quotes, worth
from wattswap_mqtt.core.market.surplus import Closed, Surplus
from wattswap_mqtt.core.moments import quarter_start


class Clearing:
    """Deliveries and accounts of all who trade; the first `homes` of them have surplus to sell.

    The money of orders and that of the automatic sale are two ledgers, because they are stored apart: rows that a few
    orders change, and arrays that change for everybody all the time.
    """

    def __init__(self, meter_ids: Sequence[str], homes: int) -> None:
        self.deliveries = Deliveries(len(meter_ids))
        self.trades = Ledger(len(meter_ids))
        self.surplus = Surplus(homes)
        self._homes = homes
        self._meter_ids = meter_ids
        self._quarter_s = 0.0
        self._closed: list[Row] = []

    @property
    def earned_utok(self) -> Ints:
        """What each home earned, shape (homes,)."""
        return self.trades.earned_utok[: self._homes] + self.surplus.earned_utok

    @property
    def spent_utok(self) -> Ints:
        """What each home spent, shape (homes,)."""
        return self.trades.spent_utok[: self._homes] + self.surplus.spent_utok

    @property
    def sum_utok(self) -> int:
        """What all accounts hold together: zero."""
        return self.trades.sum_utok + self.surplus.ledger.sum_utok

    def accounts(self) -> list[tuple[str, int, int]]:
        """Return what each account received and paid: the utility's first, then all in their order."""
        earned, spent = self.trades.earned_utok.copy(), self.trades.spent_utok.copy()
        earned[: self._homes] = self.earned_utok
        spent[: self._homes] = self.spent_utok
        received, paid = earned[:-1].tolist(), spent[:-1].tolist()
        utility = (rows.UTILITY, sum(paid), sum(received))  # it is on the other side of everything
        return [utility, *zip(self._meter_ids, received, paid, strict=True)]

    def sell_surplus(self, surplus_kwh: Floats, start_s: float, price_utok: int) -> Closed | None:
        """Sell what flowed out beyond any order in a sub-step that began at `start_s`; return the slot this closed."""
        closed = self.surplus.add(surplus_kwh, start_s, price_utok)
        if closed is not None:
            self._closed += rows.surplus_entries(closed, self._meter_ids)
        return closed

    def pay_premium(self, meter: int, start_s: float, bought: Delivery, feed_in_utok: int) -> None:
        """Pay a home what a delivery of its surplus is worth above the feed-in; its slot began at `start_s`."""
        premium_utok = bought.price_utok_per_kwh - feed_in_utok
        amount = worth(premium_utok, bought.quantity_mwh)
        self.surplus.ledger.pay_from_utility(np.array([meter]), np.array([amount]))
        buyer, seller = self._meter_ids[bought.meter], self._meter_ids[meter]
        self._closed.append(rows.premium_entry(seller, start_s, bought, buyer, premium_utok, amount))

    def begins_quarter(self, start_s: float) -> bool:
        """Tell whether a sub-step begins a quarter hour; executions are told, and orders saved, by it."""
        quarter_s = quarter_start(start_s)
        if quarter_s == self._quarter_s:
            return False
        self._quarter_s = quarter_s
        for delivery in self.deliveries:
            if delivery.marks[-1].start_s < quarter_s:
                self._write(delivery)
                delivery.mark(quarter_s)
        return True

    def over(self, delivery: Delivery, quotes: Quotes, now_s: float) -> None:
        """Close the books of a delivery that ran to its end, and settle what is missing of it."""
        self._write(delivery)
        if delivery.counterparty == rows.UTILITY or not delivery.missing_mwh:
            return
        price_utok = delivery.price_utok_per_kwh
        missing_utok = max(quotes.ask_utok, price_utok) if delivery.side == "sell" else min(quotes.bid_utok, price_utok)
        amount = -worth(abs(missing_utok - price_utok), delivery.missing_mwh)
        self.trades.pay_from_utility(np.array([delivery.meter]), np.array([amount]))
        meter_id = self._meter_ids[delivery.meter]
        self._closed.append(rows.imbalance_entry(delivery, meter_id, now_s, missing_utok, amount))

    def stop(self, deliveries: Sequence[Delivery]) -> None:
        """End deliveries before their time: what was delivered stays, and nothing is owed."""
        for delivery in deliveries:
            self._write(delivery)
            delivery.over = True
        if deliveries:
            self.deliveries.drop(deliveries)

    def settle(self, now_s: float, dt_s: float, sold_kwh: Floats, bought_kwh: Floats) -> Settled:
        """Pay for what was metered of the deliveries in the sub-step that ended at `now_s`."""
        settled = self.deliveries.settle(now_s, dt_s, sold_kwh, bought_kwh)
        self.trades.pay_from_utility(settled.meters, settled.amounts_utok)
        return settled

    def resume(self, delivery: Delivery, delivered_kwh: float) -> None:
        """Go on with a delivery after a restart, and pay for what was delivered since its account was written."""
        before_utok, delivery.delivered_kwh = delivery.amount_utok, delivered_kwh
        self.trades.pay_from_utility(np.array([delivery.meter]), np.array([delivery.amount_utok - before_utok]))
        self.deliveries.add(delivery)

    def take_entries(self, orders: Sequence[Order], placed: Ints) -> list[Row]:
        """Return the entries that were closed since the last call, and the accounts of who has `orders` that changed.

        `placed` is (n,).
        """
        accounts = [
            rows.account_entry(
                self._meter_ids[meter],
                orders_placed=int(placed[meter]),
                earned_utok=int(self.trades.earned_utok[meter]),
                spent_utok=int(self.trades.spent_utok[meter]),
                under_way={delivery.trade_id: delivery.delivered_kwh for delivery in self.deliveries.of(meter)},
            )
            for meter in dict.fromkeys(order.meter for order in orders)
        ]
        closed, self._closed = self._closed, []
        return closed + accounts

    def _write(self, delivery: Delivery) -> None:
        if (entry := rows.delivery_entry(delivery, self._meter_ids[delivery.meter])) is not None:
            self._closed.append(entry)
