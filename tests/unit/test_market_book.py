import pytest

from wattswap_mqtt.core.market.book import Book, Entry, Level
from wattswap_mqtt.core.market.pricing import Quotes

QUOTES = Quotes(80_000, 300_000)
KWH = 10**6


def entry(name, side, kwh, price=None, *, owner=None, expires_s=None):
    owner = owner if owner is not None else sum(map(ord, name))
    limit = None if price is None else round(price * 1e6)
    return Entry(name, owner, side == "buy", limit, round(kwh * KWH), expires_s)


def enter(book, *args, waits=True, least=0.0, quotes=QUOTES, **more):
    fills, dropped = book.enter(entry(*args, **more), quotes, waits, round(least * KWH))
    told = [(None if maker is None else maker.order_id, mwh / KWH, price / 1e6) for maker, mwh, price in fills]
    return told, dropped


@pytest.fixture
def book():
    """Return a book with sellers at 0.20 (two) and 0.22."""
    found = Book()
    for name, kwh, price in (("a", 1, 0.22), ("b", 1, 0.20), ("c", 2, 0.20)):
        assert enter(found, name, "sell", kwh, price) == ([], None)
    return found


def test_the_best_price_comes_first_and_at_one_price_who_came_first(book):
    assert enter(book, "x", "buy", 3.5, 0.25) == ([("b", 1, 0.20), ("c", 2, 0.20), ("a", 0.5, 0.22)], None)
    assert book.depth(9) == ([], [Level(220_000, 500_000)])


def test_a_trade_is_at_the_price_of_who_was_there(book):
    enter(book, "y", "buy", 1, 0.10)
    assert enter(book, "x", "sell", 1, 0.09) == ([("y", 1, 0.10)], None)


def test_what_is_left_waits_in_its_place(book):
    enter(book, "x", "buy", 1.5, 0.20)
    assert enter(book, "d", "sell", 1, 0.20) == ([], None)
    assert enter(book, "y", "buy", 5, 0.20) == ([("c", 1.5, 0.20), ("d", 1, 0.20)], None)
    assert book.depth(9)[0] == [Level(200_000, 2_500_000)]


def test_the_utility_comes_first_where_it_is_better_and_last_where_it_is_as_good(book):
    cheap = Quotes(80_000, 200_000)
    assert enter(book, "x", "buy", 4, 0.25, quotes=cheap)[0] == [("b", 1, 0.20), ("c", 2, 0.20), (None, 1, 0.20)]
    assert enter(book, "y", "buy", 1, quotes=Quotes(80_000, 210_000))[0] == [(None, 1, 0.21)]
    assert enter(book, "z", "sell", 1, quotes=QUOTES)[0] == [(None, 1, 0.08)]


def test_what_does_not_wait_is_dropped(book):
    assert enter(book, "x", "buy", 4, 0.20, waits=False) == ([("b", 1, 0.20), ("c", 2, 0.20)], "unmatched")
    assert enter(book, "y", "buy", 1, 0.10, waits=False) == ([], "unmatched")
    assert "x" not in book


def test_all_or_nothing(book):
    assert enter(book, "x", "buy", 3.1, 0.20, waits=False, least=3.1) == ([], "min_fill")
    assert enter(book, "y", "buy", 1, 0.19, waits=False, least=1) == ([], "unmatched")
    assert len(enter(book, "z", "buy", 3, 0.20, waits=False, least=3)[0]) == 2
    assert enter(book, "u", "buy", 9, waits=False, least=9)[0] == [("a", 1, 0.22), (None, 8, 0.30)]


def test_the_least_that_is_worth_a_trade(book):
    assert enter(book, "x", "buy", 9, 0.20, waits=False, least=3.5) == ([], "min_fill")
    assert enter(book, "x", "buy", 9, 0.22, waits=False, least=3.5)[1] == "unmatched"
    assert len(book) == 0


def test_nobody_trades_with_himself(book):
    enter(book, "mine", "sell", 1, 0.205, owner=7)
    assert enter(book, "x", "buy", 9, 0.25, owner=7) == ([("b", 1, 0.20), ("c", 2, 0.20)], "self_trade")
    assert ("mine" in book, "x" in book) == (True, False)
    assert enter(book, "y", "buy", 1, 0.25, owner=7, waits=False, least=1) == ([], "self_trade")
    assert enter(book, "z", "buy", 1, owner=7) == ([], "self_trade")


def test_what_is_dropped_is_met_no_more(book):
    book.drop("b")
    book.drop("nobody")
    assert book.best_ask_utok == 200_000
    book.drop("c")
    assert (book.best_ask_utok, len(book)) == (220_000, 1)
    assert enter(book, "x", "buy", 1, 0.21)[0] == []
    assert (book.best_bid_utok, book.best_ask_utok) == (210_000, 220_000)


def test_time_runs_out_in_order(book):
    for name, expires_s in (("late", 20.5), ("soon", 10.25), ("gone", 10.125), ("same", 10.25)):
        enter(book, name, "buy", 1, 0.1, expires_s=expires_s)
    book.drop("gone")
    assert book.expire(10.2) == []
    assert book.expire(10.25) == ["soon", "same"]
    assert book.expire(1e9) == ["late"]
    assert book.expire(1e9) == []
    assert len(book) == 3


def test_orders_meet_the_utility_when_its_quotes_come_to_them(book):
    enter(book, "x", "buy", 1, 0.15)
    enter(book, "y", "buy", 2, 0.16)
    assert book.cross(QUOTES) == []
    trades = book.cross(Quotes(200_000, 160_000))
    assert [(one.order_id, fill) for one, fill in trades] == [
        ("y", (None, 2 * KWH, 160_000)),
        ("b", (None, KWH, 200_000)),
        ("c", (None, 2 * KWH, 200_000)),
    ]
    assert book.cross(Quotes(200_000, 160_000)) == []
    assert len(book) == 2


def test_the_first_to_wait_is_looked_at_whatever_was_crossed_before():
    book = Book()
    enter(book, "x", "buy", 1, 0.15)
    book.cross(QUOTES)
    book.drop("x")
    enter(book, "y", "buy", 1, 0.30, quotes=Quotes(80_000, 310_000))
    assert [one.order_id for one, _ in book.cross(QUOTES)] == ["y"]


def test_the_dead_are_swept_out():
    book = Book()
    for number in range(1000):
        enter(book, f"o{number}", "buy", 1, 0.1 + number / 1e5, expires_s=1000.0 + number)
    for number in range(999):
        book.drop(f"o{number}")
    assert len(book._bids.heap) < 200
    assert book.best_bid_utok == 109_990
    assert book.expire(1e9) == ["o999"]
    assert book.depth(3) == ([], [])


def test_the_dates_of_what_was_traded_are_not_kept_until_they_come():
    book = Book()
    for number in range(2000):
        enter(book, f"s{number}", "sell", 1, 0.2, expires_s=1e6 + number)
        enter(book, f"b{number}", "buy", 1, 0.2)
    enter(book, "last", "sell", 1, 0.2, expires_s=1e6 + 0.5)
    assert sum(map(len, book._expiries.values())) < 200
    assert len(book._seconds) == len(book._expiries)
    assert book.expire(2e6) == ["last"]


def test_what_takes_any_price_cannot_wait():
    with pytest.raises(ValueError, match="any price"):
        Book().rest(entry("x", "buy", 1))
