"""A fleet: ten thousand meters in one process, each with a state a second, on mosquitto."""

import time

import orjson
import psutil

from benchmarks.clients import RawMqtt, publish_packet
from benchmarks.processes import mosquitto_path, on_mosquitto
from benchmarks.timing import Row, scaled

TITLE = "A fleet"
METERS, SECONDS, SETTLE_S = 10_000, 30.0, 5.0
ABOUT = f"""\
`wattswap simulator --meters {METERS}` on mosquitto, with one subscriber to all states, for {SECONDS:.0f} s
after every meter has said that it is available. The baseline is a bare socket that sends packets ready-made, as
many and as large, to the same broker."""
STATUS = "wattswap/community/main/status"


def rows() -> list[Row]:
    """Measure."""
    if mosquitto_path() is None:
        return [Row("mosquitto", "is not installed here")]
    began_s = time.monotonic()
    with on_mosquitto("--meters", str(METERS), bridge=False) as system, RawMqtt(system.mqtt_port) as client:
        announced_s = _until_announced(client) - began_s
        client.subscribe("wattswap/meter/+/state")
        client.subscribe(STATUS)
        _listen(client, SETTLE_S)
        before = {name: _cpu_s(process) for name, process in system.processes.items()}
        began_s = time.monotonic()
        messages, size, statuses = _listen(client, SECONDS)
        took_s = time.monotonic() - began_s
        busy = {name: (_cpu_s(process) - before[name]) / took_s for name, process in system.processes.items()}
        memory_mb = system.processes["simulator"].memory_info().rss / 2**20
        bare_s = _bare_sender_s(system.mqtt_port, size // messages)
    lag_s = max(status["lag_s"] for status in statuses)
    bare = bare_s * messages / took_s
    return [
        Row("from the command until all are announced", f"{announced_s:.0f} s"),
        Row("states a second, received", scaled(messages / took_s), f"{METERS:,}", messages / took_s >= METERS * 0.99),
        Row("bytes a second, received", f"{size / took_s / 1e6:.1f} MB/s"),
        Row("worst lag", f"{lag_s:g} s", "0 s", lag_s == 0),
        Row("messages dropped", f"{statuses[-1]['dropped_messages'] - statuses[0]['dropped_messages']}"),
        Row(
            "CPU of the simulator",
            f"{busy['simulator'] * 100:.0f} % of a core",
            baseline=f"{bare * 100:.1f} %",
            ratio=f"{busy['simulator'] / bare:.2g}",
        ),
        Row("CPU of mosquitto", f"{busy['mosquitto'] * 100:.0f} % of a core"),
        Row("memory of the simulator (RSS)", f"{memory_mb:.0f} MB"),
    ]


def _until_announced(client: RawMqtt) -> float:
    """Return when all meters had said that they are available."""
    client.subscribe("wattswap/meter/+/availability")
    for _ in range(METERS):
        client.message()
    return time.monotonic()


def _listen(client: RawMqtt, seconds: float) -> tuple[int, int, list[dict[str, float]]]:
    """Return the number of states, their bytes, and what the community said of itself."""
    until_s = time.monotonic() + seconds
    messages, size, statuses = 0, 0, []
    while time.monotonic() < until_s:
        topic, payload = client.message()
        if topic == STATUS:
            statuses.append(orjson.loads(payload))
        else:
            messages, size = messages + 1, size + len(payload)
    return messages, size, statuses


def _bare_sender_s(port: int, size: int) -> float:
    """Return the CPU seconds it takes a bare socket to send a message of this size."""
    block = b"".join(publish_packet(f"bench/meter_{number:05}/state", bytes(size)) for number in range(METERS))
    with RawMqtt(port) as sender:
        begin_s = time.thread_time()
        for _ in range(5):
            sender.send(block)
        return (time.thread_time() - begin_s) / (5 * METERS)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
