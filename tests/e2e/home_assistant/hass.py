"""A running Home Assistant as its users and their programs see it: REST, WebSocket, and its log."""

import json
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
from websockets.sync.client import connect

from tests.e2e.home_assistant import installation
from tests.running import wait_until

HERE = Path(__file__).parent
STARTS_S = 180.0
PATIENCE_S = 60.0
CONFIGURATION = """\
homeassistant:
  name: Home
  latitude: 50.1
  longitude: 8.7
  elevation: 100
  unit_system: metric
  time_zone: Europe/Berlin
  currency: EUR
  country: DE
  language: en
  internal_url: {url}
  external_url: {url}
recorder:
  commit_interval: 1
energy:
history:
logger:
  default: warning
automation: !include_dir_merge_list automations
lovelace:
  dashboards:
    wattswap-demo:
      mode: yaml
      title: WattSwap
      filename: dashboards/wattswap.yaml
"""
NOT_OURS = re.compile(
    "Skipping pip installation|haffmpeg|libturbojpeg|We found a custom integration"
    r"|No ACK from MQTT server in 10 seconds|took \d+\.\d+ seconds"
)
"""What any start without ffmpeg and the like says, and what is said of a machine that is too busy."""


class Hass:
    """One Home Assistant in `folder`, on a port of 127.0.0.1; `stop()` and `start()` again keep everything."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._log = folder.parent / f"{folder.name}.log"
        self._read_to = 0
        self.token = ""
        for name in ("automations", "dashboards", "blueprints/automation/wattswap"):
            (folder / name).mkdir(parents=True)
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(url=self.url))
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE_S)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [installation.interpreter(), HERE / "launch.py", self.folder, str(self._port)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if not self.token:
            wait_until(lambda: self._answers("/api/onboarding"), "Home Assistant answers", STARTS_S)
            self._make_user()
        wait_until(
            lambda: self._answers("/api/config") and self.get("/api/config")["state"] == "RUNNING",
            "Home Assistant runs",
            STARTS_S,
        )

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE_S)

    def _answers(self, path: str) -> bool:
        assert self._process.poll() is None, f"Home Assistant has ended by itself:\n{self._log.read_text()[-3000:]}"
        try:
            return self.http.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def _make_user(self) -> None:
        client = f"{self.url}/"
        user = {"name": "Anna", "username": "anna", "password": "wattswap", "client_id": client, "language": "en"}
        code = self.post("/api/onboarding/users", user)["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": client}
        self.token = self.http.post("/auth/token", data=grant).raise_for_status().json()["access_token"]
        self.token = self.ask("auth/long_lived_access_token", client_name="tests", lifespan=365)
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def connect_to_broker(self, host: str, port: int) -> None:
        """Add the MQTT integration as a person does: the address, and all else as it is proposed."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt", "show_advanced_options": True})
        answers = proposed(flow["data_schema"]) | {"broker": host, "port": port}
        done = self.post(f"/api/config/config_entries/flow/{flow['flow_id']}", answers)
        assert done["type"] == "create_entry", done

    @property
    def mqtt_entry(self) -> str:
        [entry] = self.get("/api/config/config_entries/entry?domain=mqtt")
        return entry["entry_id"]

    def get(self, path: str):
        return self.http.get(path).raise_for_status().json()

    def post(self, path: str, content: object):
        answer = self.http.post(path, json=content)
        assert answer.is_success, f"{path} {content}: {answer.text}"
        return answer.json()

    def call(self, action: str, **data: object) -> None:
        """Call a service such as `switch.turn_on`."""
        self.post(f"/api/services/{action.replace('.', '/')}", data)

    def states(self) -> dict[str, dict]:
        return {state["entity_id"]: state for state in self.get("/api/states")}

    def state(self, entity_id: str) -> str | None:
        """Return a state; None if there is no such entity."""
        answer = self.http.get(f"/api/states/{entity_id}")
        return None if answer.status_code == 404 else answer.raise_for_status().json()["state"]

    def wait_for(self, entity_id: str, wanted, timeout_s: float = PATIENCE_S) -> None:
        """Wait until an entity has a state, or one that fulfils a condition."""
        seen: list[str | None] = []

        def fits() -> bool:
            seen.append(self.state(entity_id))
            return wanted(seen[-1]) if callable(wanted) else seen[-1] == wanted

        wait_until(fits, f"{entity_id} is {wanted}, last {seen[-1:]}", timeout_s)

    @contextmanager
    def socket(self):
        """A WebSocket that has been let in: gives a function that sends a command, and one that waits for an event."""
        numbers = count(1)
        with connect(f"{self.url.replace('http', 'ws')}/api/websocket", max_size=None, proxy=None) as socket:

            def receive(fits, timeout_s: float = PATIENCE_S):
                until_s = time.monotonic() + timeout_s
                while True:
                    message = json.loads(socket.recv(max(until_s - time.monotonic(), 0.001)))
                    if fits(message):
                        return message

            def ask(kind: str, **fields: object):
                number = next(numbers)
                socket.send(json.dumps({"id": number, "type": kind, **fields}))
                answer = receive(lambda message: message.get("id") == number and message["type"] == "result")
                assert answer["success"], answer
                return answer["result"]

            def event(fits=lambda _event: True, timeout_s: float = PATIENCE_S):
                return receive(lambda m: m["type"] == "event" and fits(m["event"]), timeout_s)["event"]

            receive(lambda message: message["type"] == "auth_required")
            socket.send(json.dumps({"type": "auth", "access_token": self.token}))
            receive(lambda message: message["type"] == "auth_ok")
            yield ask, event

    def ask(self, kind: str, **fields: object):
        """Send one WebSocket command."""
        with self.socket() as (ask, _):
            return ask(kind, **fields)

    def entries(self) -> dict[str, dict]:
        """Return what the entity registry knows of MQTT, by unique id."""
        return {e["unique_id"]: e for e in self.ask("config/entity_registry/list") if e["platform"] == "mqtt"}

    def device(self, meter_id: str) -> dict | None:
        """Return the device of a meter."""
        devices = self.ask("config/device_registry/list")
        return next((d for d in devices if ["mqtt", f"wattswap_{meter_id}"] in d["identifiers"]), None)

    def complaints(self) -> list[str]:
        """Return warnings and errors in the log since the last call."""
        with self._log.open() as log:
            log.seek(self._read_to)
            lines = log.read().splitlines()
            self._read_to = log.tell()
        return [ln for ln in lines if re.search(" (WARNING|ERROR|CRITICAL) ", ln) and not NOT_OURS.search(ln)]


def proposed(fields: list[dict]) -> dict:
    """Return a form as it is proposed: what is required, with its default or the first there is to choose."""
    answers = {}
    for field in fields:
        if field.get("type") == "expandable":
            answers[field["name"]] = proposed(field["schema"])
        elif field.get("required"):
            match field.get("selector", {}):
                case _ if "default" in field:
                    answers[field["name"]] = field["default"]
                case {"select": {"options": [first, *_]}}:
                    answers[field["name"]] = first
                case {"boolean": _}:
                    answers[field["name"]] = False
    return answers
