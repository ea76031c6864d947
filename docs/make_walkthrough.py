"""Writes docs/walkthrough.md: the seed's test steps 1 to 7, typed into a shell against a system of their own.

`python docs/make_walkthrough.py [FILE]`; needs curl and mosquitto's clients.  The ports in the text are the default
ones; what runs meanwhile takes free ones and a directory that is thrown away.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

PAGE = Path(__file__).with_name("walkthrough.md")
START = "wattswap up --seed 1 --start 2026-06-21T12:00 --load-noise 0"
HTTP_PORT, MQTT_PORT = 8000, 1883
PATIENCE_S = 30.0

HEAD = """# Walkthrough

The test steps 1 to 7 of the original backend's README, once with curl, once with nothing but mosquitto's clients. All
of it was typed into a shell, and what stands below a command is what came back: `docs/make_walkthrough.py` writes this
page, and a test runs it again and compares. `--load-noise 0` keeps the appliances still and `--start` sets the clock,
so that the figures repeat; times, and what follows from them (the state of charge, the energy so far), do not.

Each half begins with a new data directory.
"""
JSON = "-H 'content-type: application/json'"
API = f"localhost:{HTTP_PORT}/api/v1"
METER = "wattswap/meter/demo_meter"
LOOK = """grep -oE '"(pv_power_kw|battery":{"soc_pct|battery_power_kw|grid_export_kw|net_power_kw)":[-0-9.]*'"""
LOOK_REST = f"curl -s {API}/meter/demo_meter/snapshot | {LOOK}"
LOOK_MQTT = f"mosquitto_sub -t {METER}/state -C 1 | {LOOK}"
SUNRISE = '{"meter_id": "demo_meter", "switch": "daytime", "value": true}'
SELL = '{"meter_id": "demo_meter", "side": "sell", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}'
CUT = '{"meter_id": "demo_meter", "switch": "grid_connected", "value": false}'
BUY = '{"meter_id": "demo_meter", "side": "buy", "type": "market", "quantity_kwh": 1.5, "duration_sec": 900}'


class Typed(NamedTuple):
    """A command, typed again until what it prints matches `until`; `acks` is how many lines the listener prints."""

    command: str
    until: str = ""
    acks: int = 0


class Step(NamedTuple):
    """A heading, a sentence (either may be missing), and what is typed."""

    title: str
    text: str
    typed: tuple[Typed, ...]


NIGHT = "The `daytime` switch is off, the battery supplies the house:"
NIGHT_REST = Step("", NIGHT, (Typed(LOOK_REST, until='"pv_power_kw":0.0'),))
NIGHT_MQTT = Step("", NIGHT, (Typed(LOOK_MQTT, until='"pv_power_kw":0.0'),))
WITH_CURL = (
    Step(
        "2. Toggle daytime",
        "The answer comes once the meter has acknowledged.",
        (Typed(f"curl -i -X POST {API}/control/switch {JSON} -d '{SUNRISE}'"),),
    ),
    Step(
        "3. Observe PV power increase in snapshot",
        "The sun takes five simulated seconds to rise; the battery is charged with what the house leaves.",
        (Typed(LOOK_REST, until='"pv_power_kw":4.0'),),
    ),
    Step(
        "4. Place sell order",
        "The marketplace is closed (`market_enabled` is off), so the utility buys, at the feed-in tariff.",
        (Typed(f"curl -i -X POST {API}/market/order {JSON} -d '{SELL}'"),),
    ),
    Step(
        "5. Observe SOC decrease and export power",
        "1.5 kWh in 900 s would be 6 kW. The house is supplied first; 2 kW of sun are left, the battery adds its 3 kW.",
        (
            Typed(LOOK_REST, until='"grid_export_kw":5.0'),
            Typed(f"curl -s {API}/market/order/demo_meter.1", until="partially_filled"),
            Typed(LOOK_REST, until='soc_pct":59.[0-8]'),
        ),
    ),
    Step(
        "6. Disconnect grid",
        "",
        (
            Typed(f"curl -i -X POST {API}/control/switch {JSON} -d '{CUT}'"),
            Typed(LOOK_REST, until='"grid_export_kw":0.0'),
        ),
    ),
    Step(
        "7. Try buy order, should fail",
        "It does, and is kept as failed. The sale ended when the grid was lost; what was delivered until then is paid.",
        (
            Typed(f"curl -i -X POST {API}/market/order {JSON} -d '{BUY}'"),
            Typed(f"curl -s {API}/market/order/demo_meter.2"),
            Typed(f"curl -s {API}/market/order/demo_meter.1"),
        ),
    ),
)
WITH_MQTT = (
    Step(
        "2. Toggle daytime",
        "A plain value does. Whoever wants to tell the answers apart gives an id, as from step 4 on.",
        (Typed(f"mosquitto_pub -t {METER}/switch/daytime/set -m true", acks=1),),
    ),
    Step(
        "3. Observe PV power increase in snapshot",
        "",
        (Typed(LOOK_MQTT, until='"pv_power_kw":4.0'),),
    ),
    Step(
        "4. Place sell order",
        "",
        (Typed(f'mosquitto_pub -t {METER}/market/place -m \'{SELL[:-1]}, "id": "my-sale"}}\'', acks=1),),
    ),
    Step(
        "5. Observe SOC decrease and export power",
        "",
        (
            Typed(LOOK_MQTT, until='"grid_export_kw":5.0'),
            Typed(f"mosquitto_sub -t {METER}/market/order/demo_meter.1 -C 1", until="partially_filled"),
            Typed(LOOK_MQTT, until='soc_pct":59.[0-8]'),
        ),
    ),
    Step(
        "6. Disconnect grid",
        "",
        (
            Typed(f'mosquitto_pub -t {METER}/switch/grid_connected/set -m \'{{"value": false, "id": "cut"}}\'', acks=1),
            Typed(LOOK_MQTT, until='"grid_export_kw":0.0'),
        ),
    ),
    Step(
        "7. Try buy order, should fail",
        "",
        (
            Typed(f'mosquitto_pub -t {METER}/market/place -m \'{BUY[:-1]}, "id": "my-purchase"}}\'', acks=1),
            Typed(f"mosquitto_sub -t {METER}/market/order/demo_meter.1 -C 1", until="failed"),
        ),
    ),
)
LISTEN = f"mosquitto_sub -v -t {METER}/availability -t {METER}/ack"
"""The retained availability tells that the listener listens."""


def main() -> None:
    """Write the page, or another file."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(walkthrough(), encoding="utf-8")


def walkthrough() -> str:
    """Run both halves and return the text."""
    text = [HEAD]
    with _running() as shell:
        text += ["## With curl\n", _started(shell), *(_taken(step, shell) for step in (NIGHT_REST, *WITH_CURL))]
    with _running() as shell, shell.listening(LISTEN) as listener:
        text += ["## With mosquitto_pub and mosquitto_sub\n", _started(shell)]
        text += ["The same shell listens for the answers:\n", _block([f"$ {LISTEN} &", listener.line()])]
        text += [_taken(step, shell, listener) for step in (NIGHT_MQTT, *WITH_MQTT)]
    return "\n".join(text)


class Listener:
    """A command that goes on printing lines."""

    def __init__(self, process: "subprocess.Popen[str]", shell: "Shell") -> None:
        self._process = process
        self._shell = shell

    def line(self) -> str:
        """Wait for the next line."""
        return self._shell.shown(self._process.stdout.readline().rstrip() if self._process.stdout else "")


class Shell:
    """Runs commands written for the default ports, and shows them so."""

    def __init__(self, said: str) -> None:
        self.said = said.rstrip()
        self._http_port, self._mqtt_port = (int(port) for port in re.findall(r"(?:dashboard|broker).*:(\d+)", said))

    @classmethod
    def of(cls, process: "subprocess.Popen[str]") -> Self:
        """Return the shell for a system, once that has said where it listens."""
        said = ""
        for line in process.stdout or ():
            said += line
            if "mosquitto_pub" in line:
                return cls(said)
        raise RuntimeError(f"the system has not started:\n{said}")

    def run(self, typed: Typed) -> str:
        """Return what a command prints."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            done = subprocess.run(
                ["sh", "-c", self._real(typed.command)], capture_output=True, text=True, check=False, timeout=PATIENCE_S
            )
            if done.returncode != 0 or time.monotonic() > until_s:
                raise RuntimeError(f"{typed.command}\n{done.stdout}{done.stderr}")
            if re.search(typed.until, done.stdout):
                return self.shown(done.stdout.replace("\r", "").rstrip())
            time.sleep(0.1)

    @contextmanager
    def listening(self, command: str) -> Iterator[Listener]:
        """Run a command that goes on until the end."""
        with subprocess.Popen(self._real(command).split(), stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Listener(process, self)
            finally:
                process.terminate()

    def shown(self, said: str) -> str:
        """Return what was printed as if the ports were the default ones."""
        return (
            said.replace(f":{self._http_port}", f":{HTTP_PORT}")
            .replace(f":{self._mqtt_port}", f":{MQTT_PORT}")
            .replace(f"-p {self._mqtt_port} ", f"-p {MQTT_PORT} ")
        )

    def _real(self, command: str) -> str:
        command = command.replace(f"localhost:{HTTP_PORT}", f"localhost:{self._http_port}")
        return re.sub(r"\b(mosquitto_[ps]ub) ", rf"\1 -p {self._mqtt_port} ", command)


@contextmanager
def _running() -> Iterator[Shell]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WATTSWAP_")}
    with tempfile.TemporaryDirectory() as data:
        flags = [*START.split()[1:], "--http-port", "0", "--mqtt-port", "0", "--data-dir", data]
        command = [sys.executable, "-m", "wattswap_mqtt", *flags, "--log-level", "warning"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                yield Shell.of(process)
            finally:
                process.terminate()
                process.wait(PATIENCE_S)


def _started(shell: Shell) -> str:
    return "\n".join(["### 1. Start the server\n", _block([f"$ {START} &", shell.shown(shell.said)])])


def _taken(step: Step, shell: Shell, listener: Listener | None = None) -> str:
    lines = []
    for typed in step.typed:
        lines += [f"$ {typed.command}", shell.run(typed)]
        lines += [listener.line() for _ in range(typed.acks) if listener is not None]
    head = [f"### {step.title}\n"] * bool(step.title) + [f"{step.text}\n"] * bool(step.text)
    return "\n".join([*head, _block(lines)])


def _block(lines: list[str]) -> str:
    return "\n".join(["```console", *filter(None, lines), "```", ""])


if __name__ == "__main__":
    main()
