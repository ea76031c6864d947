"""The bridge: snapshots a second, beside the same bytes from a bare endpoint on the same server."""

import time

import numpy as np

from benchmarks.clients import RawHttp, get_request
from benchmarks.processes import bare_endpoint, mosquitto_path, on_amqtt, on_mosquitto
from benchmarks.timing import Row, Seconds, rate, ratio

TITLE = "Snapshots over REST"
ABOUT = """\
`GET /api/v1/meter/demo_meter/snapshot` on one worker; the client is a process of its own that keeps 16 connections
and always has a request on each. The baseline is a Starlette application of one line on uvicorn, with the same
settings and the same bytes; windows of a quarter of a second take turns."""
CONNECTIONS, WINDOWS, WINDOW_S = 16, 30, 0.25
TARGET_HZ = 3500.0
SNAPSHOT = get_request("/api/v1/meter/demo_meter/snapshot")


def rows() -> list[Row]:
    """Measure."""
    with on_amqtt() as system:
        found = [_row("`wattswap up` (broker, simulator and bridge in the process)", system.http_port)]
    if mosquitto_path() is not None:
        with on_mosquitto() as system:
            found.append(_row("`wattswap bridge` alone, on mosquitto", system.http_port))
    return found


def _row(what: str, port: int) -> Row:
    with RawHttp(port) as client:
        body = client.ask(SNAPSHOT)
    with bare_endpoint(body) as bare_port:
        ours, bare = _taking_turns([(port, SNAPSHOT), (bare_port, get_request("/"))])
    mean_s = float(np.median(ours))
    return Row(
        what,
        f"{rate(mean_s)} (best window {rate(float(ours.min()))})",
        target=f"≥ {TARGET_HZ:,.0f}/s",
        reached=1.0 / mean_s >= TARGET_HZ,
        baseline=rate(float(np.median(bare))),
        ratio=ratio(bare, ours),
    )


def _taking_turns(servers: list[tuple[int, bytes]]) -> list[Seconds]:
    """Return seconds per request of each server, one number per window."""
    taken: list[list[float]] = [[] for _ in servers]
    clients = [[RawHttp(port) for _ in range(CONNECTIONS)] for port, _ in servers]
    for window in range(-2, WINDOWS):
        for number, (_, request) in enumerate(servers):
            seconds = _window(clients[number], request)
            if window >= 0:
                taken[number].append(seconds)
    for client in (client for some in clients for client in some):
        client.close()
    return [np.array(seconds) for seconds in taken]


def _window(clients: list[RawHttp], request: bytes) -> float:
    answered, begin_s = 0, time.perf_counter()
    for client in clients:
        client.send(request)
    while (passed_s := time.perf_counter() - begin_s) < WINDOW_S:
        for client in clients:
            client.answer()
            client.send(request)
        answered += len(clients)
    for client in clients:
        client.answer()
    return passed_s / answered
