"""The system under test: processes of their own, on free ports, with a data directory that nobody keeps."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PATIENCE_S = 30.0
WATTSWAP = (sys.executable, "-m", "wattswap_mqtt")
QUIET = ("--log-level", "warning")


@dataclass(frozen=True)
class System:
    """Where it listens, and its processes by name."""

    mqtt_port: int
    http_port: int = 0
    processes: dict[str, psutil.Process] = field(default_factory=dict)


@contextmanager
def on_amqtt(*flags: str) -> Iterator[System]:
    """Run everything in one process: `wattswap up`."""
    ports = ("--mqtt-port", "0", "--http-port", "0")
    with _data_directory() as data, _started(*WATTSWAP, "up", *ports, *data, *QUIET, *flags) as process:
        said = _read_until(process, r"broker +mqtt://127.0.0.1:(\d+)")
        yield System(
            _port(r"broker +mqtt://\S+:(\d+)", said), _port(r"dashboard +http://\S+:(\d+)", said), _of(up=process)
        )


@contextmanager
def on_mosquitto(*flags: str, bridge: bool = True) -> Iterator[System]:
    """Run the roles apart, against mosquitto."""
    with ExitStack() as stack:
        port, broker = stack.enter_context(mosquitto())
        data = stack.enter_context(_data_directory())
        common = ("--broker", f"mqtt://127.0.0.1:{port}", *data, *QUIET)
        simulator = stack.enter_context(_started(*WATTSWAP, "simulator", *common, *flags))
        _read_until(simulator, "broker ")
        if not bridge:
            yield System(port, processes=_of(mosquitto=broker, simulator=simulator))
            return
        web = stack.enter_context(_started(*WATTSWAP, "bridge", "--http-port", "0", *common))
        said = _read_until(web, "broker ")
        yield System(
            port, _port(r"dashboard +http://\S+:(\d+)", said), _of(mosquitto=broker, simulator=simulator, bridge=web)
        )


@contextmanager
def mosquitto() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run mosquitto and tell its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_type error\n")
        with _started(str(mosquitto_path()), "-c", str(config)) as process:
            wait_for_port(port)
            yield port, process


@contextmanager
def bare_endpoint(body: bytes) -> Iterator[int]:
    """Run uvicorn with an application of a single line that answers `body`, and tell its port."""
    port = free_port()
    code = (
        "import sys, uvicorn; from starlette.applications import Starlette; from starlette.responses import Response;"
        "from starlette.routing import Route\n"
        "body = sys.stdin.buffer.read()\n"
        "async def answer(request): return Response(body, media_type='application/json')\n"
        "app = Starlette(routes=[Route('/', answer)])\n"
        f"uvicorn.run(app, port={port}, access_log=False, log_level='error', ws='none')"
    )
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.seek(0)
        with _started(sys.executable, "-c", code, stdin=file.fileno()):
            wait_for_port(port)
            yield port


@contextmanager
def libraries(*modules: str) -> Iterator[psutil.Process]:
    """Run an interpreter that has imported some libraries and does nothing."""
    code = f"import {', '.join(modules)}; print('broker ', flush=True); import signal; signal.pause()"
    with _started(sys.executable, "-c", code) as process:
        _read_until(process, "broker ")
        yield psutil.Process(process.pid)


def mosquitto_path() -> Path | None:
    """Return where mosquitto is, None if it is not installed."""
    found = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > until_s:
            raise TimeoutError(f"nobody listens on port {port}")
        time.sleep(0.002)


def clean_environment() -> dict[str, str]:
    """Return the environment without settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WATTSWAP_")}


@contextmanager
def _data_directory() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        yield "--data-dir", directory


@contextmanager
def _started(*command: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()


def _read_until(process: subprocess.Popen[str], pattern: str) -> str:
    said = ""
    for line in process.stdout or ():
        said += line
        if re.search(pattern, said):
            return said
    raise RuntimeError(f"{process.args!r} has ended before it was ready")


def _port(pattern: str, said: str) -> int:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"no port in:\n{said}")
    return int(found[1])


def _of(**processes: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    return {name: psutil.Process(process.pid) for name, process in processes.items()}
