"""Start-up and idling: from the command to the first telemetry, memory and CPU with two meters."""

import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import numpy as np
import psutil

from benchmarks.clients import RawMqtt
from benchmarks.processes import WATTSWAP, clean_environment, free_port, libraries, on_amqtt
from benchmarks.timing import Row

TITLE = "Start-up and idling"
ABOUT = """\
`wattswap up` with two meters and a new data directory. Start-up is the median of 9 runs, from the command to the
first state that an MQTT client of another process receives, taking turns with an interpreter that only imports the
libraries needed until then. Idling is over 30 s, beside an interpreter that has imported all the libraries."""
RUNS, IDLE_S = 9, 30.0
START_WITHIN_S, MEMORY_MB, CPU_PCT = 2.0, 120.0, 2.0
NEEDED = ("numpy", "orjson", "pydantic", "paho.mqtt.client", "amqtt.broker")
ALL = (*NEEDED, "fastapi", "uvicorn")


def rows() -> list[Row]:
    """Measure."""
    return [_start_up(), *_idling()]


def _start_up() -> Row:
    ours, bare = [], []
    for _ in range(RUNS):
        bare.append(_until_imported())
        ours.append(_until_telemetry())
    ours_s, bare_s = float(np.median(ours)), float(np.median(bare))
    return Row(
        "from the command to the first telemetry",
        f"{ours_s:.2f} s (best {min(ours):.2f} s)",
        target=f"≤ {START_WITHIN_S:g} s",
        reached=ours_s <= START_WITHIN_S,
        baseline=f"{bare_s:.2f} s",
        ratio=f"{ours_s / bare_s:.2g}",
    )


def _until_imported() -> float:
    begin_s = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {', '.join(NEEDED)}"], check=True, env=clean_environment())
    return time.monotonic() - begin_s


def _until_telemetry() -> float:
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        command = [*WATTSWAP, "up", "--mqtt-port", str(port), "--http-port", "0", "--data-dir", data]
        begin_s = time.monotonic()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment()
        ) as process:
            try:
                with _connected(port) as client:
                    client.subscribe("wattswap/meter/demo_meter/state")
                    client.message()
                    return time.monotonic() - begin_s
            finally:
                process.terminate()


def _connected(port: int) -> RawMqtt:
    while True:
        with suppress(ConnectionRefusedError):
            return RawMqtt(port)
        time.sleep(0.002)


def _idling() -> list[Row]:
    with libraries(*ALL) as imported, on_amqtt() as system:
        process = system.processes["up"]
        time.sleep(10.0)  # starting is not idling
        before_s = _cpu_s(process)
        time.sleep(IDLE_S)
        percent = (_cpu_s(process) - before_s) / IDLE_S * 100.0
        ours_mb, bare_mb = (one.memory_info().rss / 2**20 for one in (process, imported))
    return [
        Row(
            "memory (RSS)",
            f"{ours_mb:.0f} MB",
            target=f"≤ {MEMORY_MB:.0f} MB",
            reached=ours_mb <= MEMORY_MB,
            baseline=f"{bare_mb:.0f} MB",
            ratio=f"{ours_mb / bare_mb:.2g}",
        ),
        Row("CPU", f"{percent:.2f} % of a core", target=f"≤ {CPU_PCT:g} %", reached=percent <= CPU_PCT),
    ]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
