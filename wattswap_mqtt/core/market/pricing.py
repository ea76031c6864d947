"""Prices, and the whole numbers of the market.

Energy is counted in milliwatt-hours (mWh, a millionth of a kWh), money in micro-tokens (utok, a millionth of a token),
prices in utok per kWh.  So energy x price is in millionths of a utok, and exactly one rounding leads to money.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.arrays import Ints

MILLION = 1_000_000
"""mWh per kWh, utok per token."""

_UTC = ZoneInfo("UTC")

Side = Literal["sell", "buy"]
Whole = TypeVar("Whole", int, Ints)


def to_millionths(amount: float) -> int:
    """Return kWh as mWh, tokens as utok."""
    return round(amount * MILLION)


def from_millionths(amount: int) -> float:
    """Return mWh as kWh, utok as tokens: the float nearest to it, which reads back as the same integer."""
    return amount / MILLION


def worth(price_utok_per_kwh: Whole, energy_mwh: Whole) -> Whole:
    """Return the money for some energy in utok, rounded half to even; a negative price gives a negative amount.

    Whole kWh are multiplied apart from their fraction, so that a million kWh at a thousand tokens stay within 64 bits.
    """
    whole_kwh, part_mwh = divmod(energy_mwh, MILLION)
    carried, part = divmod(price_utok_per_kwh * part_mwh, MILLION)
    amount = price_utok_per_kwh * whole_kwh + carried
    return amount + (2 * part + (amount & 1) > MILLION)


class Quotes(NamedTuple):
    """The utility's two standing offers: it buys at `bid_utok` and sells at `ask_utok` per kWh, without end."""

    bid_utok: int
    ask_utok: int

    def price(self, side: Side) -> int:
        """Return what the utility offers to who is on this side."""
        return self.bid_utok if side == "sell" else self.ask_utok


class Step(NamedTuple):
    """From `start_s` on these quotes hold."""

    start_s: float
    quotes: Quotes


class Daily(NamedTuple):
    """From this hour of every local day on these quotes hold."""

    hour: float
    quotes: Quotes


@dataclass(frozen=True)
class Tariff:
    """The utility's prices: flat, the same every day, or a series.

    `daily` is sorted by hour, local time in `zone`; `steps` by time, and before the first the flat prices hold.  The
    cheap hours (local time, they may run past midnight) are those a scheduled EV waits for; a daily tariff says itself
    when energy is cheapest.
    """

    import_utok_per_kwh: int = 300_000
    feed_in_utok_per_kwh: int = 80_000
    cheap_start_hour: float = 23
    cheap_end_hour: float = 6
    steps: tuple[Step, ...] = ()
    daily: tuple[Daily, ...] = ()
    zone: ZoneInfo = _UTC

    def quote(self, now_s: float) -> Quotes:
        """Return the quotes that hold at a moment."""
        if self.daily:
            local = datetime.fromtimestamp(now_s, self.zone)
            return self._of_hour(local.hour + local.minute / 60 + local.second / 3600)
        past = bisect_right(self.steps, now_s, key=lambda step: step.start_s) if self.steps else 0
        return self.steps[past - 1].quotes if past else Quotes(self.feed_in_utok_per_kwh, self.import_utok_per_kwh)

    def is_cheap(self, local_hour: float) -> bool:
        """Tell whether an hour of the local day (0 <= hour < 24) is a cheap one."""
        if self.daily:
            return self._of_hour(local_hour).ask_utok == min(daily.quotes.ask_utok for daily in self.daily)
        hours = (self.cheap_end_hour - self.cheap_start_hour) % 24
        return (local_hour - self.cheap_start_hour) % 24 < hours

    def _of_hour(self, local_hour: float) -> Quotes:
        past = bisect_right(self.daily, local_hour, key=lambda daily: daily.hour)
        return self.daily[past - 1].quotes  # before the first of the day the last of the day before holds
