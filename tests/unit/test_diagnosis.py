"""Each fault is noticed from the messages alone, as the docs' exercises do it, and a sound meter is not suspected."""

import pytest

from wattswap_mqtt.contract.fault_pages import exercise
from wattswap_mqtt.core.faults import FAULTS, parse


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_is_noticed_and_no_other_is_suspected(fault):
    key = "noise_pct" if fault.key == "sigma_pct" else fault.key
    assert parse({fault.key: fault.example}) == {fault.key: fault.example}
    assert exercise({fault.key: fault.example}).suspicions().keys() == {key}
    assert fault.formula
    assert fault.noticed


def test_a_sound_meter_is_suspected_of_nothing():
    assert exercise({}).suspicions() == {}


def test_faults_together_are_told_apart():
    said = exercise({"bias_pct": -20, "noise_pct": 2, "duplicate_prob": 0.5}).suspicions()
    assert said.keys() == {"bias_pct", "noise_pct", "duplicate_prob"}
