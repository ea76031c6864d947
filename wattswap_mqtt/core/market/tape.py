"""What the market tells of its trades: each once, and candles by the quarter hour."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wattswap_mqtt.core.market.delivery import Delivery
from wattswap_mqtt.core.market.orders import Row, trade
from wattswap_mqtt.core.market.pricing import from_millionths
from wattswap_mqtt.core.moments import iso_utc, quarter_start

CANDLES = 192
"""Two days of quarter hours."""

TRADES = 500


@dataclass(slots=True)
class Candle:
    """The trades of a quarter hour: first, highest, lowest and last price (utok per kWh), energy and number."""

    start_s: float
    open_utok: int
    high_utok: int
    low_utok: int
    close_utok: int
    volume_mwh: int = 0
    trades: int = 0

    def add(self, price_utok: int, quantity_mwh: int) -> None:
        """Count a trade in."""
        self.high_utok, self.low_utok = max(self.high_utok, price_utok), min(self.low_utok, price_utok)
        self.close_utok = price_utok
        self.volume_mwh += quantity_mwh
        self.trades += 1

    def to_dict(self) -> Row:
        """Return it as it stands on the wire, in apt/kWh and kWh."""
        prices = {name: getattr(self, f"{name}_utok") for name in ("open", "high", "low", "close")}
        return {
            "start": iso_utc(self.start_s),
            **{name: from_millionths(price_utok) for name, price_utok in prices.items()},
            "volume_kwh": from_millionths(self.volume_mwh),
            "trades": self.trades,
        }


class Tape:
    """The trades of a market, told from the side of who came last: that of two homes is one trade, not two."""

    def __init__(self) -> None:
        self.last: Row | None = None
        self.last_price_utok: int | None = None
        self._candles: deque[Candle] = deque(maxlen=CANDLES)
        self._trades: deque[Row] = deque(maxlen=TRADES)
        self._untold: list[Row] = []

    def add(self, delivery: Delivery, meter_id: str) -> None:
        """Note a trade, given by the leg of who came last; its delivery begins now."""
        self.last = trade(delivery, meter_id)
        self.last_price_utok = price_utok = delivery.price_utok_per_kwh
        self._untold.append(self.last)
        self._trades.append(self.last)
        start_s = quarter_start(delivery.start_s)
        if not self._candles or self._candles[-1].start_s < start_s:
            self._candles.append(Candle(start_s, *(price_utok,) * 4))
        self._candles[-1].add(price_utok, delivery.quantity_mwh)

    def take(self) -> list[Row]:
        """Return the trades since the last call."""
        taken, self._untold = self._untold, []
        return taken

    def trades(self, limit: int) -> list[Row]:
        """Return the newest trades of this run, oldest first."""
        return list(self._trades)[-limit:]

    def candles(self, limit: int) -> list[Row]:
        """Return the newest quarter hours that had trades, oldest first."""
        return [candle.to_dict() for candle in list(self._candles)[-limit:]]

    def state(self) -> Row:
        """Return what `restore` takes, fit for JSON."""
        return {"last": self.last, "price": self.last_price_utok, "candles": [asdict(c) for c in self._candles]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.last, self.last_price_utok = state["last"], state["price"]
        self._candles.extend(Candle(**candle) for candle in state["candles"])
