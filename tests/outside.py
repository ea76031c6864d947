"""The whole system as somebody from outside sees it: a process with a REST interface and a broker."""

import re
from contextlib import contextmanager
from datetime import datetime

import httpx

from tests.processes import UP, launch, ready
from tests.running import PATIENCE_S, wait_until

DEFAULTS = {
    "daytime": False,
    "grid_connected": True,
    "market_enabled": False,
    "battery_reserve_pct": 10,
    "manual_load_delta_kw": 0,
    "sun_cloud_factor": 1.0,
    "ev_plug": False,
    "ev_mode": "off",
    "fault_inject": {},
    "time_acceleration": 1.0,
}
"""The seed's Default Settings."""


class Api:
    """The REST interface of a running system, and where its broker is."""

    def __init__(self, web, broker=None):
        self.http = httpx.Client(base_url=web, timeout=PATIENCE_S)
        self.broker = broker

    def get(self, path, **params):
        return self.http.get(f"/api/v1{path}", params=params).raise_for_status().json()

    def post(self, path, content=None):
        return self.http.post(f"/api/v1{path}", json=content).raise_for_status().json()

    def refused(self, path, content):
        """Return the problem with which a POST is refused."""
        answer = self.http.post(f"/api/v1{path}", json=content)
        assert answer.is_error
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem.keys() >= {"type", "title", "status", "detail", "code"}
        assert problem["status"] == answer.status_code
        return problem

    def snapshot(self, meter_id="demo_meter"):
        return self.get(f"/meter/{meter_id}/snapshot")

    def truth(self):
        """Return what is true: the snapshot, unless a fault is active."""
        answer = self.http.get("/api/v1/meter/demo_meter/truth")
        return answer.json() if answer.status_code == 200 else self.snapshot()

    def snapshot_where(self, condition, what):
        """Wait until the snapshot fulfils a condition, and return it."""
        found = []
        wait_until(lambda: condition(found.append(self.snapshot()) or found[-1]), what)
        return found[-1]

    def switch(self, name, value):
        return self.post("/control/switch", {"meter_id": "demo_meter", "switch": name, "value": value})


@contextmanager
def serving(directory, *flags):
    """Run `wattswap up` from a summer noon on; it must end in order."""
    process = launch(directory / "data", *UP, "--start", "2026-06-21T12:00", *flags)
    try:
        api = Api(*ready(process))
        with api.http:
            yield api
        assert process.end() == 0
        assert not re.search("Traceback|ERROR", process.said["err"]), process.said["err"]
    finally:
        process.kill()


def seconds_between(first, last):
    begin, end = (datetime.fromisoformat(state["timestamp"]) for state in (first, last))
    return (end - begin).total_seconds()
