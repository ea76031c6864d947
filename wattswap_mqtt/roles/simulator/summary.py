"""What is told of a community as a whole: its status and its market."""

import time
from typing import Any

from wattswap_mqtt import __version__
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.market.book import Level
from wattswap_mqtt.core.market.pricing import from_millionths
from wattswap_mqtt.core.moments import iso_utc
from wattswap_mqtt.roles.simulator.pace import Pace

LEVELS = 10
"""Prices that are told of each side of the book."""
CANDLES = 4
"""Quarter hours that are told with every message; more can be asked for."""


def status_of(community: Community, pace: Pace) -> dict[str, Any]:
    """Return the community's part of its status: what it is, and how it keeps up with time."""
    return {
        "meters": len(community.ids),
        "simulated_time": iso_utc(community.clock_s),
        "published_at": iso_utc(time.time()),
        "time_acceleration": community.time_acceleration,
        "tick_rate": round(pace.tick_rate_hz, 3),
        "publish_interval_s": pace.interval_s,
        "lag_s": round(pace.lag_s, 3),
        "load_noise": community.load_noise,
        "seed": community.seed,
        "tz": community.site.tz,
        "version": __version__,
    }


def market_of(community: Community) -> dict[str, Any]:
    """Return the market's prices and books; prices in apt/kWh."""
    exchange, now_s = community.exchange, community.clock_s
    quotes, best = community.tariff.quote(now_s), exchange.best(now_s)
    bids, asks = exchange.depth(LEVELS)
    return {
        "timestamp": iso_utc(now_s),
        "current_market_price": from_millionths(exchange.current_price_utok(now_s)),
        "import_tariff": from_millionths(quotes.ask_utok),
        "feed_in_tariff": from_millionths(quotes.bid_utok),
        "best_bid": from_millionths(best.bid_utok),
        "best_ask": from_millionths(best.ask_utok),
        "depth": {"bids": [_level(level) for level in bids], "asks": [_level(level) for level in asks]},
        "last_trade": exchange.tape.last,
        "candles": exchange.tape.candles(CANDLES),
        "ledger_sum_utok": exchange.ledger_sum_utok,
    }


def _level(level: Level) -> dict[str, float]:
    return {"price": from_millionths(level.price_utok), "quantity_kwh": from_millionths(level.quantity_mwh)}
