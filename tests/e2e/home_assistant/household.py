"""What a person has who tries this: a real Home Assistant, mosquitto, and WattSwap, each as a process."""

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.home_assistant.hass import Hass
from tests.processes import ROOT
from tests.running import PATIENCE_S, MosquittoProcess, wait_until
from wattswap_mqtt.config import flag_of

EXAMPLES = ROOT / "docs" / "home-assistant"
METERS = ("demo_meter", "meter_00002")
"""Those that Home Assistant is told of; there is a third."""


class WattSwap:
    """`wattswap up` on a broker; `stop()`, or `kill()`, and `start()` again go on with the same data."""

    def __init__(self, folder: Path, broker: str, port: int) -> None:
        self._settings = {
            "broker": broker,
            "http_port": port,
            "data_dir": folder / "data",
            "meters": 3,
            "discovery_meters": 2,
        }
        self._log = folder / "wattswap.log"
        self.url = f"http://127.0.0.1:{port}"

    def start(self, **changed: object) -> None:
        flags = [word for name, value in (self._settings | changed).items() for word in (flag_of(name), str(value))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wattswap_mqtt", "up", *flags], cwd=ROOT, stdout=log, stderr=log
            )
        wait_until(self._is_healthy, "WattSwap is healthy", 3 * PATIENCE_S)

    def _is_healthy(self) -> bool:
        assert self._process.poll() is None, f"WattSwap has ended by itself:\n{self._log.read_text()[-3000:]}"
        try:
            return httpx.get(f"{self.url}/api/v1/health", timeout=PATIENCE_S).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)


class Household:
    """All of it."""

    def __init__(self, folder: Path, ports: tuple[int, int, int]) -> None:
        mqtt, web, hub = ports
        self.broker = MosquittoProcess(mqtt, folder)
        self.broker_url = f"mqtt://127.0.0.1:{mqtt}"
        self.wattswap = WattSwap(folder, self.broker_url, web)
        self.hass = Hass(folder / "homeassistant", hub)
        self.folder = folder

    def start(self) -> None:
        self.broker.start()
        self.wattswap.start()
        copy_examples(self.hass.folder)
        self.hass.start()
        self.hass.connect_to_broker(self.broker.address.host, self.broker.address.port)
        self.settle()

    def settle(self) -> None:
        """Wait until every meter that Home Assistant is told of has values there."""
        for meter_id in METERS:
            self.hass.wait_for(f"sensor.{meter_id}_pv_energy", lambda state: state not in (None, *NO_VALUE))

    def stop(self) -> None:
        for part in (self.hass, self.wattswap, self.broker):
            part.stop()
        self.hass.http.close()

    def cli(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command of wattswap."""
        command = [sys.executable, "-m", "wattswap_mqtt", *map(str, words)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


NO_VALUE = ("unavailable", "unknown")


def copy_examples(config: Path) -> None:
    """Put the examples of the docs where Home Assistant looks for them."""
    shutil.copytree(EXAMPLES / "automations", config / "automations", dirs_exist_ok=True)
    shutil.copytree(EXAMPLES / "blueprints", config / "blueprints/automation/wattswap", dirs_exist_ok=True)
    shutil.copy(EXAMPLES / "dashboard.yaml", config / "dashboards/wattswap.yaml")


@contextmanager
def running(folder: Path, ports: tuple[int, int, int]):
    """A household that lives."""
    house = Household(folder, ports)
    try:
        house.start()
        yield house
    finally:
        house.stop()
