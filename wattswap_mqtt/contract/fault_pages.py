"""The exercises of the docs: each fault of the catalogue injected, and what gives it away in the messages."""

import json
from collections.abc import Iterator

import orjson

from wattswap_mqtt.contract.scenario_files import builtin_scenarios
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.diagnosis import Diagnosis
from wattswap_mqtt.core.faults import FAULTS, Fault, parse
from wattswap_mqtt.core.moments import iso_utc
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.sun import Site

SCENARIO = "nighttime-baseline"
"""What the exercises look at: a steady 2 kW from the grid."""
STATES = 60
ACCELERATION = 10.0
INTERVAL_S = 1.0
_START_S = 1_782_036_000.0


def exercise(value: dict[str, object]) -> Diagnosis:
    """Return what was made of the messages of a meter with these faults; they come as the simulator publishes them."""
    community = Community((DEMO_METER,), start_s=_START_S, load_noise=0.0)
    community.set_scenario(0, builtin_scenarios()[SCENARIO])
    community.set_switches(0, {"fault_inject": parse(value), "time_acceleration": ACCELERATION})
    encoder = SnapshotEncoder(community.ids, Site().tz, "exercise")
    faulty, seen = community.meters.faulty.get(0), Diagnosis()
    seen.availability("offline" if faulty is not None and faulty.offline else "online")
    for number in range(STATES):
        readings, _ = community.read()
        if faulty is None or not (faulty.offline or faulty.drops(readings.seq)):
            skews = {} if faulty is None else {0: faulty.number("clock_skew_s")}
            state = orjson.loads(encoder.encode(readings, number * INTERVAL_S, {}, skews)[0])
            for _ in range(2 if faulty is not None and faulty.repeats(readings.seq) else 1):
                seen.state(state)
        seen.community({"simulated_time": iso_utc(community.clock_s), "time_acceleration": ACCELERATION})
        community.advance(ACCELERATION * INTERVAL_S)
    return seen


def pages() -> Iterator[str]:
    """Write a section of the docs for each fault, in pieces."""
    for fault in FAULTS.values():
        yield from _page(fault)


def _page(fault: Fault) -> Iterator[str]:
    value = {fault.key: fault.example}
    payload = json.dumps(value)
    yield f"### {fault.title}: `{fault.key}`\n\n{fault.meaning[0].upper()}{fault.meaning[1:]}.\n\n"
    yield f"    {fault.formula}\n\n"
    yield f"Try `{payload}`. {fault.noticed}\n\n"
    said = exercise(value).suspicions()
    yield "".join(f"    {key}: {evidence}\n" for key, evidence in said.items()) or "    nothing\n"
    yield "\n"
