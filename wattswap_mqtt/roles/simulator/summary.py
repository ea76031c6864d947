"""What is told of a community as a whole: its status and its market."""

import time
from typing import Any

from wattswap_mqtt import __version__
from wattswap_mqtt.contract.snapshots import iso_utc
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.roles.simulator.pace import Pace


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
    quotes = community.tariff.quote(now_s)
    return {
        "timestamp": iso_utc(now_s),
        "current_market_price": exchange.current_price_utok(now_s) * 1e-6,
        "import_tariff": quotes.ask_utok * 1e-6,
        "feed_in_tariff": quotes.bid_utok * 1e-6,
        "best_bid": quotes.bid_utok * 1e-6,
        "best_ask": quotes.ask_utok * 1e-6,
        "depth": {"bids": [], "asks": []},
        "last_trade": exchange.last_trade,
        "ledger_sum_utok": exchange.ledger_sum_utok,
    }
