"""Where homes and exchange meet: what a home can offer, whose the energy is that its meter counted, who bids by itself.

Three kinds of traders need nobody to place an order: homes sell what flows out beyond any, bots quote between the
utility's prices, and with `--auto-buy-price` homes below their reserve bid for what fills it.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from wattswap_mqtt.core.faulty import FaultyMeter
from wattswap_mqtt.core.homes import Homes
from wattswap_mqtt.core.market.bots import ROUND_S, Bots
from wattswap_mqtt.core.market.delivery import Asks
from wattswap_mqtt.core.market.entry import Home
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.reserve import reserve_bid
from wattswap_mqtt.core.meter import Standing
from wattswap_mqtt.core.moments import QUARTER_S
from wattswap_mqtt.core.records import Flow, Register, State
from wattswap_mqtt.core.step import RECHARGE_KW

_TRADED = [Register.EXPORTED, Register.IMPORTED]


def home_of(homes: Homes) -> Home:
    """Return what the exchange has to know of a home, given alone, that places an order."""
    plant, switches, _, state = homes
    efficiency, battery_kw = float(plant.one_way_efficiency[0]), float(plant.battery_kw[0])
    spare_kwh = float(state.stored_kwh[0] - plant.battery_kwh[0] * switches.battery_reserve_pct[0] / 100.0)
    surplus_kw = float(max(state.pv_potential_kw[0] - state.flows[Flow.LOAD, 0], 0.0))
    return Home(
        grid_connected=bool(switches.grid_connected[0]),
        market_enabled=bool(switches.market_enabled[0]),
        available_discharge_kwh=max(spare_kwh, 0.0) * efficiency,
        p_max_discharge_kw=battery_kw,
        surplus_kw=surplus_kw,
        p_max_charge_kw=battery_kw,
        hours_to_reserve=max(-spare_kwh, 0.0) / efficiency / max(min(surplus_kw, battery_kw), RECHARGE_KW),
    )


class Trading:
    """The homes' side of an exchange, and its bots, if there are any."""

    def __init__(self, exchange: Exchange, n: int, bots: Bots | None, auto_buy_utok: int | None) -> None:
        self._exchange = exchange
        self._bots = bots
        self._auto_buy_utok = auto_buy_utok
        self.token_error_utok = np.zeros((2, n))
        """What faults added to earnings and spending."""

    def standing(self, now_s: float, *, truly: bool = False) -> Standing:
        """Return how the homes stand in the market; `truly`: without what faults have added."""
        exchange = self._exchange
        earned, spent = exchange.earnings_utok, exchange.spending_utok
        if truly:
            earned, spent = earned - self.token_error_utok[0], spent - self.token_error_utok[1]
        price_utok, quotes = exchange.current_price_utok(now_s), exchange.tariff.quote(now_s)
        return Standing(earned, spent, exchange.pending_counts(), price_utok * 1e-6, quotes.ask_utok * 1e-6)

    def settle(
        self,
        homes: Homes,
        before: State,
        faulty: Mapping[int, FaultyMeter],
        asks: Asks | None,
        start_s: float,
        dt_s: float,
    ) -> None:
        """Settle on what the meters counted since `before`: orders first; where the market is open, the surplus too."""
        hours, exchange = dt_s / 3600.0, self._exchange
        exported, imported = (homes.state.metered[row] - before.metered[row] for row in _TRADED)
        sold = bought = np.zeros_like(exported)
        if asks is not None:
            sold, bought = np.minimum(exported, asks.sell_kw * hours), np.minimum(imported, asks.buy_kw * hours)
        tokens = np.stack([exchange.earnings_utok, exchange.spending_utok]) if faulty else None
        exchange.settle(start_s + dt_s, dt_s, sold, bought, (exported - sold) * homes.switches.market_enabled)
        if tokens is not None:
            moved = np.stack([exchange.earnings_utok, exchange.spending_utok]) - tokens
            for meter in faulty:
                true = homes.state.registers[_TRADED, meter] - before.registers[_TRADED, meter]
                seen = np.array([exported[meter], imported[meter]])
                share = np.divide(true, seen, out=np.zeros(2), where=seen > 0.0)
                self.token_error_utok[:, meter] += moved[:, meter] * (1.0 - share)

    def let_bots_act(self, homes: Homes, now_s: float, since_s: float | None = None) -> None:
        """Let the bots quote anew by what the homes on the grid have too much and too little of.

        Given `since_s`, only if a round has begun since then.
        """
        if self._bots is not None and (since_s is None or since_s // ROUND_S < now_s // ROUND_S):
            spare_kw = (homes.state.pv_potential_kw - homes.state.flows[Flow.LOAD]) * homes.switches.grid_connected
            self._bots.act(now_s, float(np.maximum(spare_kw, 0.0).sum()), float(np.maximum(-spare_kw, 0.0).sum()))

    def reserve_bids(self, homes: Homes, now_s: float, since_s: float) -> Iterator[tuple[int, OrderTerms]]:
        """Yield what homes below their reserve bid for what fills it, if a quarter hour has begun since `since_s`."""
        if self._auto_buy_utok is None or since_s // QUARTER_S == now_s // QUARTER_S:
            return
        plant, switches, setup, state = homes
        missing_kwh = (setup.reserve_kwh - state.stored_kwh) / plant.one_way_efficiency
        wanting = (missing_kwh > 0.0) & switches.market_enabled & switches.grid_connected
        for meter in np.flatnonzero(wanting).tolist():
            charge_kw = float(state.max_charge_kw[meter])
            bid = reserve_bid(float(missing_kwh[meter]), charge_kw, self._auto_buy_utok, now_s)
            if bid is not None:
                yield meter, bid
