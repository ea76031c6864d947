"""What a run of scenarios leaves behind; the rest is tested with real meters (integration/test_scenario_run.py)."""

import pytest

from wattswap_mqtt import scenario_runner
from wattswap_mqtt.core.errors import WattSwapError

BEFORE = {"battery_reserve_pct": 42, "time_acceleration": 3}


class Meter:
    meter_id = "demo_meter"

    def __init__(self, *, away: bool = False) -> None:
        self.sent: list[object] = []
        self._away = away

    def switches(self):
        return BEFORE

    def command(self, below, value):
        self.sent.append((below, value))

    def end_scenario(self, switches):
        if self._away:
            raise WattSwapError("no answer")
        self.sent.append(switches)


@pytest.mark.parametrize(
    ("keep", "sent"), [(True, [("switch/time_acceleration/set", 3)]), (False, [BEFORE])], ids=["one", "several"]
)
def test_what_was_played_to_its_end_stays_of_one_scenario_only(keep, sent):
    meter = Meter()
    with scenario_runner._put_back(meter, keep=keep):
        assert meter.sent == []
    assert meter.sent == sent


@pytest.mark.parametrize("failure", [WattSwapError("it is silent"), KeyboardInterrupt()], ids=["failed", "cut short"])
@pytest.mark.parametrize("keep", [True, False])
def test_what_was_cut_short_is_put_back(keep, failure):
    meter = Meter()
    with pytest.raises(type(failure)), scenario_runner._put_back(meter, keep=keep):
        raise failure
    assert meter.sent == [BEFORE]


def test_where_it_cannot_be_put_back_that_is_said_beside_what_went_wrong(caplog):
    with pytest.raises(WattSwapError, match="it is silent"), scenario_runner._put_back(Meter(away=True), keep=True):
        raise WattSwapError("it is silent")
    assert caplog.messages == ["demo_meter may be left as the scenario has set it: no answer"]
