from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.market.price_list import read_price_list
from wattswap_mqtt.core.market.pricing import Quotes, Tariff

BERLIN = ZoneInfo("Europe/Berlin")


def read(*lines, flat=None):
    return read_price_list("prices.csv", lines, BERLIN, flat or Tariff())


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_a_series_of_prices_with_a_feed_in_above_retail_and_below_zero():
    tariff = read("start,import,feed_in", "2026-06-21T12:00,0.1,0.2", "", "# noon", "2026-06-21T10:15Z, -0.05 ,-0.1")
    assert tariff.quote(at("2026-06-21T11:59")) == Quotes(80_000, 300_000)
    assert tariff.quote(at("2026-06-21T12:00")) == Quotes(200_000, 100_000)
    assert tariff.quote(at("2026-06-21T12:15")) == Quotes(-100_000, -50_000)


def test_without_a_column_the_feed_in_price_stays():
    assert read("start,import", "2026-06-21T12:00,0.1").quote(at("2027-01-01T00:00")) == Quotes(80_000, 100_000)


@pytest.mark.parametrize(("day", "quarters"), [("2026-03-29", 92), ("2026-10-25", 100), ("2026-06-21", 96)])
def test_days_of_92_and_100_quarter_hours(day, quarters):
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    moments = [start.timestamp() + 900 * k for k in range(quarters)]
    lines = [f"{datetime.fromtimestamp(s, BERLIN):%Y-%m-%dT%H:%M},{k / 1000}" for k, s in enumerate(moments)]
    tariff = read("start,import", *lines)
    assert [tariff.quote(s).ask_utok for s in moments] == [k * 1000 for k in range(quarters)]
    assert [step.start_s for step in tariff.steps] == moments
    tomorrow = (start + timedelta(days=1)).timestamp()
    assert moments[-1] + 900 == tomorrow


def test_time_of_use():
    tariff = read("start,import,feed_in", "6:00,0.30,0.08", "17:30,0.40,0.08", "23:00,0.20,0.05")
    quoted = {text: tariff.quote(at(f"2026-10-25T{text}")).ask_utok for text in ("00:00", "06:00", "17:29", "17:30")}
    assert quoted == {"00:00": 200_000, "06:00": 300_000, "17:29": 300_000, "17:30": 400_000}
    assert tariff.quote(at("2026-10-25T23:59")) == Quotes(50_000, 200_000)
    assert [tariff.is_cheap(hour) for hour in (5.9, 6.0, 18, 23.5)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["time,price"], "line 1: takes the heading start,import,feed_in"),
        (["start,import", "2026-06-21T12:00,0.1,0.2"], "line 2: takes 2 columns, not 3"),
        (["start,import", "", "2026-06-21T12:00,cheap"], "line 3: a price is a number from -1000 to 1000"),
        (["start,import", "2026-06-21T12:00,nan"], "line 2: a price is a number"),
        (["start,import", "2026-06-21T12:00,1e4"], "line 2: a price is a number"),
        (["start,import", "noon,0.1"], "line 2: start is a moment such as"),
        (["start,import", "2026-03-29T02:15,0.1"], "line 2: 2026-03-29T02:15 does not exist in Europe/Berlin"),
        (["start,import", "2026-06-21T12:00,0.1", "2026-06-21T12:00,0.1"], "line 3: moments come in order"),
        (["start,import", "06:00,0.1", "05:00,0.1"], "line 3: times of day come in order"),
        (["start,import", "06:00,0.1", "2026-06-21T12:00,0.1"], "line 3: takes moments or times of day"),
        (["start,import", "24:00,0.1"], "line 2: start is a moment"),
        (["start,import"], "prices.csv has no prices"),
        ([], "prices.csv has no prices"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(lines, said):
    with pytest.raises(ConfigError) as caught:
        read(*lines)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
