"""What `market/get` answers, beside orders."""

import orjson
import pytest
from homes import community

from wattswap_mqtt.contract.commands import GetMarket, GetOrders, RejectedCommand
from wattswap_mqtt.contract.messages import encode_command, parse_command
from wattswap_mqtt.roles.simulator.inquiries import told
from wattswap_mqtt.roles.simulator.persistence import Persistence


def parse(**fields):
    return parse_command("demo_meter", "market/get", orjson.dumps(fields))


@pytest.mark.parametrize(
    "command",
    [
        GetMarket("market"),
        GetMarket("candles", limit=7),
        GetMarket("statement", 1_782_036_000.0, 1_782_036_900.25),
        GetMarket("ledger", None, 1_782_036_900.0, limit=500),
        GetMarket("ledger", -62_135_596_800.0, 253_402_300_799.0),
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


@pytest.mark.parametrize("what", ["statement", "ledger"])
@pytest.mark.parametrize(
    "period",
    [
        {"start": "0001-01-01T00:00:00+14:00"},
        {"end": "0001-01-01T00:00:00Z"},
        {"start": "9999-12-31T23:59:59-14:00", "end": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_the_ends_of_time_can_be_asked_for(what, period, tmp_path):
    homes = community()
    persistence = Persistence(tmp_path / "community.sqlite", homes)
    persistence.recover()
    answer = told(homes, persistence, 0, parse(what=what, **period))
    assert answer["entries" if what == "statement" else "quarter_hours"] == []
    persistence.close()


@pytest.mark.parametrize(("asked_s", "told_s"), [(-1e300, -62_135_596_800.0), (1e300, 253_402_300_799.0)])
def test_what_is_before_and_after_the_calendar_is_asked_for_as_its_ends(asked_s, told_s):
    asked = GetMarket("statement", asked_s, asked_s)
    assert parse_command("demo_meter", asked.command, encode_command(asked)) == GetMarket("statement", told_s, told_s)
