import math

import pytest

from tests.outside import DEFAULTS
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.switches import SWITCHES, switch_named


def test_the_switches_and_their_defaults_are_the_seeds():
    assert {name: switch.default for name, switch in SWITCHES.items()} == DEFAULTS | {"sun_mode": "manual"}


@pytest.mark.parametrize("switch", SWITCHES.values(), ids=str)
def test_every_default_is_a_value_of_its_switch(switch):
    assert switch.parse(switch.default) == switch.default


@pytest.mark.parametrize("raw", [True, 1, 1.0, "ON", "on", " On ", "true", "TRUE", "1", "yes"])
def test_true_in_many_words(raw):
    assert SWITCHES["daytime"].parse(raw) is True


@pytest.mark.parametrize("raw", [False, 0, 0.0, -0.0, "OFF", "off", "false", "False", "0", "no"])
def test_false_in_many_words(raw):
    assert SWITCHES["daytime"].parse(raw) is False


@pytest.mark.parametrize(
    "raw", [2, -1, 0.5, math.nan, math.inf, "", "2", "onn", "1.0", "\uff2f\uff2e", None, [], {}, ["ON"]]
)
def test_what_is_no_bool(raw):
    with pytest.raises(CommandError, match="daytime takes ON or OFF") as refused:
        SWITCHES["daytime"].parse(raw)
    assert refused.value.code == "wrong_type"


@pytest.mark.parametrize(
    ("raw", "value"),
    [(50, 50), (0, 0), (100, 100), ("50", 50), (" 12.5\n", 12.5), ("1e1", 10), ("+5", 5), (".5", 0.5), ("5.", 5)],
)
def test_numbers(raw, value):
    parsed = SWITCHES["battery_reserve_pct"].parse(raw)
    assert parsed == value
    assert isinstance(parsed, float)


def test_minus_zero_is_zero():
    for raw in (-0.0, "-0", "-0.0"):
        value = SWITCHES["manual_load_delta_kw"].parse(raw)
        assert isinstance(value, float)
        assert math.copysign(1, value) == 1


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "5 0",
        "1_000",
        "0x10",
        "\u0665",
        "\uff15",
        "1,5",
        "ten",
        "NaN",
        "Infinity",
        "1e",
        "--1",
        "1e5e5",
        True,
        None,
        [],
        {},
        [50],
    ],
)
def test_what_is_no_number(raw):
    with pytest.raises(CommandError, match="battery_reserve_pct takes a number from 0 to 100 %, not") as refused:
        SWITCHES["battery_reserve_pct"].parse(raw)
    assert refused.value.code == "wrong_type"


@pytest.mark.parametrize(
    "raw",
    [-1, 100.0001, 1e308, -1e308, 10**400, -(10**400), math.nan, math.inf, -math.inf, "101", "1e999", "9" * 5000],
    ids=shown,
)
def test_numbers_out_of_range(raw):
    with pytest.raises(CommandError, match="from 0 to 100") as refused:
        SWITCHES["battery_reserve_pct"].parse(raw)
    assert refused.value.code == "out_of_range"
    assert len(refused.value.message) < 200


def test_long_rubbish_is_refused_at_once():
    """A pattern that backtracks would take minutes here."""
    with pytest.raises(CommandError):
        SWITCHES["battery_reserve_pct"].parse("1" * 60_000 + "x")


@pytest.mark.parametrize(("raw", "value"), [("fast", "fast"), (" Solar ", "solar"), ("OFF", "off")])
def test_choices(raw, value):
    assert SWITCHES["ev_mode"].parse(raw) == value


@pytest.mark.parametrize(
    ("raw", "code"), [("turbo", "out_of_range"), ("", "out_of_range"), (1, "wrong_type"), (None, "wrong_type")]
)
def test_what_is_no_choice(raw, code):
    with pytest.raises(CommandError, match="one of off, fast, scheduled, solar") as refused:
        SWITCHES["ev_mode"].parse(raw)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["", "Daytime", "day time", "__class__", "parse", "daytime/set", "日", "x" * 10_000])
def test_unknown_switches(name):
    with pytest.raises(CommandError, match="the switches are daytime, ") as refused:
        switch_named(name)
    assert refused.value.code == "unknown_switch"
    assert len(refused.value.message) < 500
