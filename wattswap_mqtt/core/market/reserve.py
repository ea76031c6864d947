"""Automatic buying: homes below their reserve bid for the energy that fills it (`--auto-buy-price`).

They draw that energy anyway (R1); what they buy of it from other homes costs what they bid at most.
"""

import math

from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.market.pricing import to_millionths
from wattswap_mqtt.core.moments import QUARTER_S

LEAST_MWH = 50_000
_NAME = "reserve-"


def reserve_bid(missing_kwh: float, max_charge_kw: float, price_utok: int, now_s: float) -> OrderTerms | None:
    """Return the bid for what can be charged in a quarter hour of what is missing, None if that is next to nothing.

    Its name says the quarter hour, so there is one per home and quarter hour.
    """
    quantity_mwh = to_millionths(min(missing_kwh, max_charge_kw * QUARTER_S / 3600))
    if quantity_mwh < LEAST_MWH:
        return None
    return OrderTerms(
        "buy",
        "limit",
        quantity_mwh,
        QUARTER_S,
        price_utok_per_kwh=price_utok,
        min_fill_mwh=0,
        ttl_s=QUARTER_S,
        client_order_id=f"{_NAME}{math.floor(now_s / QUARTER_S)}",
    )
