"""Whatever is wrong with a meter: its home goes on as if nothing were, and the truth stands beside it."""

import json
import re

import numpy as np
from homes import community, encoded
from hypothesis import given, settings
from hypothesis import strategies as st

from wattswap_mqtt.core import faults
from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.quantities import QUANTITIES

VALUES = st.fixed_dictionaries(
    {},
    optional={
        fault.key: {
            "number": st.sampled_from([fault.minimum, fault.maximum]) | st.floats(fault.minimum, fault.maximum),
            "bool": st.booleans(),
            "fields": st.lists(st.sampled_from([path.dotted for path in QUANTITIES]), max_size=4),
        }[fault.kind]
        for fault in faults.FAULTS.values()
        if fault.key != "sigma_pct"
    },
)  # fmt: skip
PHYSICS = ("stored_kwh", "ev_stored_kwh", "flows", "registers", "sun_level")


def parsed(value: dict) -> dict:
    try:
        return faults.parse(value)
    except CommandError as refused:
        assert refused.code == "too_long"  # noqa: PT017
        return {}


@given(VALUES, VALUES, st.sampled_from([1.0, 60.0]))
@settings(max_examples=60)
def test_a_fault_changes_what_is_measured_and_never_what_is_true(first, second, acceleration):
    sick, healthy = (community("demo_meter", "meter_00002", noise=1.0) for _ in range(2))
    counted = sick.state.metered.copy()
    for value in (parsed(first), parsed(second), {}):
        for homes, fault in ((sick, value), (healthy, {})):
            homes.set_switches(0, {"fault_inject": fault, "time_acceleration": acceleration, "daytime": True})
            homes.advance(5 * acceleration)
        for name in PHYSICS:
            assert np.array_equal(getattr(sick.state, name), getattr(healthy.state, name)), name
        assert (sick.state.metered >= counted).all()
        counted = sick.state.metered.copy()
        ill, well = encoded(sick), encoded(healthy)
        assert ill[1] == well[1]
        assert (len(ill) == 3) is faults.is_active(value)
        for message in ill:
            assert not re.search(rb"-0\.0[,}]|NaN|Infinity", message)
        if len(ill) == 3:
            true, measured = json.loads(ill[2]), json.loads(well[0])
            for section in ("measurements", "pv", "battery", "loads", "ev", "grid"):
                assert true[section] == measured[section], section
            registers = [path.names[-1] for path in QUANTITIES if path.quantity.state_class == "total_increasing"]
            for name in set(registers) & true["derived"].keys():
                assert true["derived"][name] == measured["derived"][name], name
    assert sick.read()[1] is None


@given(VALUES)
@settings(max_examples=60)
def test_what_a_meter_says_stays_within_the_kinds_of_the_contract(value):
    sick = community("demo_meter", noise=1.0)
    sick.set_switches(0, {"fault_inject": parsed(value), "daytime": True, "time_acceleration": 30.0})
    for _ in range(3):
        sick.advance(60)
        said = json.loads(encoded(sick)[0])
        for path in QUANTITIES:
            leaf = said[path.section]
            for name in path.names:
                leaf = leaf[name]
            if leaf is None:
                assert path.quantity.nullable, path.dotted
            elif path.quantity.options:
                assert leaf in path.quantity.options, path.dotted
            elif path.quantity.minimum is not None:
                assert leaf >= path.quantity.minimum, path.dotted
