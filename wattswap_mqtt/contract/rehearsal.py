"""A scenario played in memory: the same community and the same messages, without broker and clock."""

import orjson

from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.expectations import Finding, judge
from wattswap_mqtt.core.market.rows import wire_form
from wattswap_mqtt.core.scenarios import Scenario
from wattswap_mqtt.core.trace import Trace

OFTEN_S = 30.0
SAMPLES = 240
"""A long scenario is looked at so many times."""


def findings(community: Community, scenario: Scenario) -> list[Finding]:
    """Rehearse a scenario on a community's first meter, and return what is found of its expectations."""
    noisy = community.load_noise > 0.0
    every_s = max(OFTEN_S, scenario.duration_s(noisy=noisy) / SAMPLES)
    trace = _rehearse(community, scenario, every_s)
    return [judge(expectation, trace.samples, noisy=noisy) for expectation in scenario.expect]


def _rehearse(community: Community, scenario: Scenario, every_s: float) -> Trace:
    """Set a scenario on the first meter of a community, let time pass, and return what it told."""
    encoder = SnapshotEncoder(community.ids, community.site.tz, "rehearsal")
    began_s = community.clock_s
    trace = Trace(began_s)
    community.set_scenario(0, scenario)
    if community.time_acceleration == 1.0:
        community.set_switches(0, {"time_acceleration": every_s})  # sub-steps as long as that allows
    end_s = began_s + scenario.duration_s(noisy=community.load_noise > 0.0) + every_s
    while True:
        trace.switches(community.switch_values[0])
        published_s = (community.clock_s - began_s) / (community.time_acceleration or 1.0)
        readings = (told for told in community.read([0]) if told is not None)
        trace.state(*(orjson.loads(encoder.encode(told, published_s, {})[0]) for told in readings))
        for event in community.take_events():
            trace.event({"event_type": event.event_type, **event.data})
        for row in community.exchange.take_changes().orders:
            trace.order(wire_form(row))
        if community.clock_s >= end_s:
            return trace
        community.advance(every_s)
