"""Simulate a day of a community's market and draw its prices and volumes: `python docs/make_market_day.py`."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.market.pricing import Quotes
from wattswap_mqtt.core.plant import meter_ids

Candle = dict[str, Any]

PICTURE = Path(__file__).parent / "pictures" / "market-day.svg"
DAY = datetime(2026, 6, 17, tzinfo=ZoneInfo("Europe/Berlin"))
HOMES, BOTS, QUARTERS = 30, 10, 96
WIDTH, LEFT, RIGHT = 900, 60, 20
PRICES = (30, 290)  # top and bottom of the upper panel, in pixels
VOLUMES = (330, 450)
TOP_PRICE = 0.35


def candles_of_a_day() -> tuple[list[Candle | None], Quotes]:
    """Return the candles by quarter hour, and the tariffs."""
    homes = Community(meter_ids("main", HOMES), start_s=DAY.timestamp(), bots=BOTS, auto_buy_utok=200_000)
    for meter in range(HOMES):
        homes.set_switches(meter, {"market_enabled": True, "sun_mode": "auto", "time_acceleration": 60.0})
    homes.advance(QUARTERS * 900.0)
    found = {candle["start"]: candle for candle in homes.exchange.tape.candles(QUARTERS)}
    starts = [datetime.fromtimestamp(DAY.timestamp() + 900 * k, ZoneInfo("UTC")) for k in range(QUARTERS)]
    return [found.get(start.isoformat(timespec="milliseconds")) for start in starts], homes.tariff.quote(homes.clock_s)


def svg(candles: list[Candle | None], quotes: Quotes) -> str:
    """Return the drawing."""
    step = (WIDTH - LEFT - RIGHT) / QUARTERS
    most = max(candle["volume_kwh"] for candle in candles if candle)

    def y(price: float) -> float:
        return PRICES[1] - (PRICES[1] - PRICES[0]) * price / TOP_PRICE

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 490" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="490" fill="white"/>',
        f'<text x="{LEFT}" y="18">Price, apt/kWh: highest to lowest of each quarter hour, and the last</text>',
        f'<text x="{LEFT}" y="322">Traded, kWh per quarter hour</text>',
    ]
    for price in (0, 0.1, 0.2, 0.3):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(price):.1f}" y2="{y(price):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(price) + 4:.1f}" text-anchor="end">{price:.1f}</text>')
    for name, utok in (("import tariff", quotes.ask_utok), ("feed-in tariff", quotes.bid_utok)):
        level = y(utok / 1e6)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}" stroke="#c33"'
            ' stroke-dasharray="5 4"/>'
        )
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{level - 5:.1f}" text-anchor="end" fill="#c33">the utility\'s {name}</text>'
        )
    last = []
    for number, candle in enumerate(candles):
        x = LEFT + (number + 0.5) * step
        if number % 12 == 0:
            parts.append(f'<text x="{x:.1f}" y="470" text-anchor="middle">{number // 4:02}:00</text>')
        if candle is None:
            continue
        high, low = y(candle["high"]), y(candle["low"])
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{high:.1f}" y2="{low:.1f}" stroke="#9bc" stroke-width="5"/>')
        tall = (VOLUMES[1] - VOLUMES[0]) * candle["volume_kwh"] / most
        parts.append(
            f'<rect x="{x - step * 0.4:.1f}" y="{VOLUMES[1] - tall:.1f}" width="{step * 0.8:.1f}" height="{tall:.1f}"'
            ' fill="#579"/>'
        )
        last.append(f"{x:.1f},{y(candle['close']):.1f}")
    parts.append(f'<polyline points="{" ".join(last)}" fill="none" stroke="#135" stroke-width="1.5"/>')
    parts.append(f'<text x="{LEFT - 8}" y="{VOLUMES[0] + 10}" text-anchor="end">{most:.1f}</text></svg>')
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(svg(*candles_of_a_day()), encoding="utf-8")
    print(PICTURE)
