import math

import pytest

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.faults import FAULTS, MAX_JSON_LENGTH, field_named, is_active, parse
from wattswap_mqtt.core.quantities import QUANTITIES


def test_a_value_comes_back_as_it_was_given():
    value = {
        "bias_pct": 10,
        "noise_pct": 0.5,
        "drift_pct_per_hour": -2,
        "stuck": ["p_active", "battery.soc_pct"],
        "dropout_prob": 0.1,
        "clock_skew_s": -30,
        "offline": False,
        "ct_reversed": True,
    }
    assert parse(value) == value


def test_an_object_may_come_as_text():
    assert parse('{"bias_pct": 10.0}') == {"bias_pct": 10.0}
    assert parse(" {} ") == {}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.key)
def test_every_fault_holds_its_range(fault):
    if fault.kind == "number":
        for edge in (fault.minimum, fault.maximum):
            assert parse({fault.key: edge}) == {fault.key: edge}
        for beyond in (fault.minimum - 1, fault.maximum * 1.01, math.nan, math.inf, 10**400):
            with pytest.raises(CommandError, match=f"{fault.key} takes a number from") as refused:
                parse({fault.key: beyond})
            assert refused.value.code == "out_of_range"
    for wrong in ("10", None, {}, [3] if fault.kind != "fields" else 3, *([] if fault.kind == "bool" else [True])):
        with pytest.raises(CommandError, match=f"fault_inject: {fault.key} takes") as refused:
            parse({fault.key: wrong})
        assert refused.value.code == "wrong_type"


@pytest.mark.parametrize("key", ["Bias_pct", "", "__class__", "id", "value", "x" * 5000])
def test_unknown_faults(key):
    with pytest.raises(CommandError, match="the faults are bias_pct, ") as refused:
        parse({key: 1})
    assert refused.value.code == "unknown_fault"


@pytest.mark.parametrize("raw", [None, 5, True, [], ["bias_pct"], "5", "[]", "null", '"offline"'])
def test_what_is_no_object(raw):
    with pytest.raises(CommandError, match="fault_inject takes a JSON object") as refused:
        parse(raw)
    assert refused.value.code == "wrong_type"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "off",
        "{",
        "{'bias_pct': 1}",
        '{"bias_pct": NaN}',
        '{"bias_pct": Infinity}',
        '{"a":' * 100_000,
        "[" * 100_000,
        "1" * 5000,
    ],
)
def test_what_is_no_json(text):
    with pytest.raises(CommandError, match="fault_inject takes a JSON object") as refused:
        parse(text)
    assert refused.value.code == "invalid_json"


def test_stuck_names_fields_of_the_snapshot():
    assert field_named("p_active").dotted == "measurements.p_active"
    assert field_named("hvac_kw").dotted == "loads.appliance.hvac_kw"
    for path in QUANTITIES:
        assert field_named(path.dotted) is path


@pytest.mark.parametrize(
    ("name", "says"),
    [("soc_pct", "battery.soc_pct or ev.soc_pct"), ("nope", "'nope'"), ("", "''"), ({}, "an object"), (5, "5")],
)
def test_stuck_refuses_what_is_no_field(name, says):
    with pytest.raises(CommandError, match=says) as refused:
        parse({"stuck": ["v_rms", name]})
    assert refused.value.code == "unknown_field"


def test_two_names_of_one_fault_are_refused():
    with pytest.raises(CommandError, match="noise_pct and sigma_pct") as refused:
        parse({"noise_pct": 1, "sigma_pct": 2})
    assert refused.value.code == "conflicting_faults"


def test_the_compact_json_has_to_fit_a_hubs_state():
    names = [path.dotted for path in QUANTITIES]
    with pytest.raises(CommandError, match=f"at most {MAX_JSON_LENGTH} characters") as refused:
        parse({"stuck": names})
    assert refused.value.code == "too_long"
    assert parse({"stuck": names[:8]}) == {"stuck": names[:8]}
    assert parse('{"bias_pct": ' + " " * 1000 + "1}") == {"bias_pct": 1}


def test_what_changes_nothing_is_not_active():
    assert not is_active({})
    assert not is_active({"bias_pct": 0, "stuck": [], "offline": False})
    assert is_active({"bias_pct": 0, "offline": True})
