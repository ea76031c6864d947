"""What `market/get` answers, beside orders."""

import orjson
import pytest

from wattswap_mqtt.contract.messages import GetMarket, GetOrders, RejectedCommand, encode_command, parse_command


def parse(**fields):
    return parse_command("demo_meter", "market/get", orjson.dumps(fields))


@pytest.mark.parametrize(
    "command",
    [
        GetMarket("market"),
        GetMarket("candles", limit=7),
        GetMarket("statement", 1_782_036_000.0, 1_782_036_900.25),
        GetMarket("ledger", None, 1_782_036_900.0, limit=500),
    ],
)
def test_a_question_survives_the_wire(command):
    assert parse_command("demo_meter", command.command, encode_command(command)) == command


def test_orders_are_what_is_asked_for_if_nothing_else_is():
    assert isinstance(parse(), GetOrders)
    assert isinstance(parse(what="orders", status="open"), GetOrders)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"what": "weather"}, "out_of_range"),
        ({"what": 7}, "wrong_type"),
        ({"what": None}, "wrong_type"),
        ({"what": "market", "status": "open"}, "unknown_field"),
        ({"what": "candles", "start": "2026-01-01T00:00:00Z"}, "unknown_field"),
        ({"what": "ledger", "limit": 0}, "out_of_range"),
        ({"what": "ledger", "start": 5}, "wrong_type"),
        ({"what": "ledger", "start": "2026-01-01T00:00:00"}, "out_of_range"),
        ({"what": "ledger", "start": "soon"}, "out_of_range"),
        ({"what": "statement", "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "out_of_range"),
    ],
)
def test_what_cannot_be_asked(fields, code):
    with pytest.raises(RejectedCommand) as refused:
        parse(**fields)
    assert refused.value.code == code
