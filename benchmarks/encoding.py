"""Encoding: readings of a meter to the JSON on the wire, beside orjson alone on the same content."""

import numpy as np
import orjson

from benchmarks.timing import Row, interleaved, ratio
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.plant import meter_ids

TITLE = "Encoding"
ABOUT = """\
A snapshot from the arrays to the bytes of `M/state`, per meter, for 1,000 meters at once. The baseline is
`orjson.dumps` of an equal dictionary that is ready and correctly rounded already."""
HOMES = 1_000


def rows() -> list[Row]:
    """Measure."""
    community = Community(meter_ids("main", HOMES), start_s=1_782_036_000.0)
    encoder = SnapshotEncoder(community.ids, community.site.tz, "0.0.0")
    readings, _ = community.read()
    messages = encoder.encode(readings, readings.time_s, {})
    ready = [orjson.loads(message) for message in messages]
    taken = interleaved(
        {
            "ours": lambda: encoder.encode(readings, readings.time_s, {}),
            "orjson": lambda: [orjson.dumps(content) for content in ready],
        },
        window_s=0.03,
    )
    ours_s, bare_s = (float(np.median(taken[name])) / HOMES for name in ("ours", "orjson"))
    size = sum(map(len, messages)) / HOMES
    return [
        Row(
            f"a snapshot of {size:,.0f} bytes",
            f"{ours_s * 1e6:.1f} µs (best window {taken['ours'].min() / HOMES * 1e6:.1f} µs)",
            baseline=f"{bare_s * 1e6:.1f} µs",
            ratio=ratio(taken["ours"], taken["orjson"]),
        )
    ]
