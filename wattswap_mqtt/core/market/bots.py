"""Liquidity bots, so that a lone meter finds a market.

A bot stands on the exchange like a home, with an account and orders of its own, but has no meter and no home: it
delivers and takes whatever it has traded.  Every `ROUND_S` of simulated time it cancels what it has waiting and quotes
anew, around one price or at random; both kinds stay between the utility's quotes, where alone they are of use:

supply and demand (every other bot): the price of Liu et al. (2017) for a community whose homes have a surplus of S
    and a deficit of D, and each bot half a kW of both; linear in the ratio r = S / D here, so that it also holds where
    a price is not above zero,

        price = import - (import - feed-in) x min(r, 1)

    and a bid below it and an offer above it, by a spread of the bot's own.
zero intelligence (the others): a side, a quantity, and a limit price, each by chance, within the bot's own value or
    cost (ZI-C: a bid is never above the value, an offer never below the cost).

Source: Liu et al. 2017, doi:10.1109/TPWRS.2017.2649558; Gode and Sunder 1993, doi:10.1086/261868.
"""

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from wattswap_mqtt.core import draws
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.market.entry import Home
from wattswap_mqtt.core.market.exchange import Exchange
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import Quotes, Side
from wattswap_mqtt.core.moments import QUARTER_S

ROUND_S = 300.0
"""Between two rounds of quotes; a multiple of every sub-step."""
BOT_KW = 0.5
"""What a bot counts for among those that have something to sell, and among those that want to buy."""
LEAST_MWH, MOST_MWH = 100_000, 1_000_000
SPREADS = (0.02, 0.15)
"""Of the distance between the utility's quotes: how far bid and offer of a bot are from the price, least and most."""
_STREAM = 9
_DRAWS = 4
_ABLE = Home(
    grid_connected=True, market_enabled=True, available_discharge_kwh=1e6, p_max_discharge_kw=1e6, surplus_kw=0.0
)


def bot_ids(bots: int) -> tuple[str, ...]:
    """Return the names of the bots; no meter has such a name."""
    return tuple(f"bot-{number:04}" for number in range(1, bots + 1))


class Bots:
    """The bots of an exchange: what they do depends on the seed, the time and the market only."""

    def __init__(self, exchange: Exchange, names: Sequence[str], seed: int) -> None:
        self._exchange = exchange
        self._first = len(exchange.meter_ids) - len(names)
        self._keys = draws.meter_keys(seed, tuple(names))

    def act(self, now_s: float, surplus_kw: float, deficit_kw: float) -> None:
        """Quote anew, given what the homes together have too much and too little of."""
        quotes = self._exchange.tariff.quote(now_s)
        width_utok = quotes.ask_utok - quotes.bid_utok
        if width_utok < 100:
            return  # nobody gains by trading with anybody but the utility
        number = math.floor(now_s / ROUND_S)
        chance = np.stack([draws.uniform(self._keys, _STREAM, number * _DRAWS + draw) for draw in range(_DRAWS)])
        bots_kw = BOT_KW * len(self._keys)
        level = price_level(quotes, surplus_kw + bots_kw, deficit_kw + bots_kw)
        for bot, luck in enumerate(chance.T.tolist()):
            meter = self._first + bot
            for order in self._exchange.open_orders(meter):
                if order.waits and not order.deliveries:
                    self._exchange.cancel(order.order_id, now_s)
            if bot % 2 == 0:
                spread = width_utok * (SPREADS[0] + (SPREADS[1] - SPREADS[0]) * luck[0])
                self._place(meter, "buy", level - spread, luck[1], quotes, now_s)
                self._place(meter, "sell", level + spread, luck[2], quotes, now_s)
            else:
                side: Side = "buy" if luck[0] < 0.5 else "sell"
                own = quotes.bid_utok + width_utok * luck[1]  # its value, or its cost
                worst = quotes.bid_utok if side == "buy" else quotes.ask_utok
                self._place(meter, side, own + (worst - own) * luck[2], luck[3], quotes, now_s)

    def _place(self, meter: int, side: Side, price_utok: float, luck: float, quotes: Quotes, now_s: float) -> None:
        limit = min(max(round(price_utok), quotes.bid_utok + 1), quotes.ask_utok - 1)
        quantity_mwh = round(LEAST_MWH + (MOST_MWH - LEAST_MWH) * luck)
        terms = OrderTerms(side, "limit", quantity_mwh, QUARTER_S, price_utok_per_kwh=limit, ttl_s=2 * ROUND_S)
        with suppress(CommandError):  # the rules of this market leave no room for it
            self._exchange.place(meter, terms, now_s, _ABLE)


def price_level(quotes: Quotes, surplus_kw: float, deficit_kw: float) -> float:
    """Return the price between the utility's quotes at which a community would balance, in utok per kWh."""
    ratio = 1.0 if surplus_kw >= deficit_kw else surplus_kw / deficit_kw
    return quotes.ask_utok - (quotes.ask_utok - quotes.bid_utok) * ratio
