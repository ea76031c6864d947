"""The real commands as processes, for tests that look at the system from outside."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.running import PATIENCE_S, wait_until
from wattswap_mqtt.config import BrokerAddress

ROOT = Path(__file__).parents[1]
UP = ("up", "--mqtt-port", "0", "--http-port", "0")


class Process:
    """A command that runs, with what it has said so far."""

    def __init__(self, command, **environ):
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("WATTSWAP_")} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = {"out": "", "err": ""}
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream))
            for name, stream in (("out", self._process.stdout), ("err", self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name, stream):
        with stream:
            for line in stream:
                self.said[name] += line

    def wait_to_say(self, pattern, stream="out"):
        """Wait until it has said something, and return the match."""
        wait_until(lambda: re.search(pattern, self.said[stream]) or self.ended, f"{pattern} is said")
        found = re.search(pattern, self.said[stream])
        assert found, f"it said instead:\n{self.said['out']}\n{self.said['err']}"
        return found

    @property
    def pid(self):
        return self._process.pid

    @property
    def ended(self):
        return self._process.poll() is not None

    def send(self, number):
        self._process.send_signal(number)

    def exit_code(self):
        code = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return code

    def end(self, number=signal.SIGTERM):
        """End it as a service manager does, and return the exit code."""
        self.send(number)
        return self.exit_code()

    def kill(self):
        self._process.kill()
        self.exit_code()


def launch(data_dir, *arguments, command=(sys.executable, "-m", "wattswap_mqtt"), **environ):
    """Start a command of wattswap with a data directory."""
    return Process([*command, *arguments], **{"WATTSWAP_DATA_DIR": str(data_dir)} | environ)


def ready(process):
    """Wait until it says that it is ready; return the HTTP base and the address of the broker."""
    web = process.wait_to_say(r"dashboard +(http://\S+)/\n")[1]
    port = int(process.wait_to_say(r"mosquitto_pub -h 127.0.0.1 -p (\d+) ")[1])
    return web, BrokerAddress("127.0.0.1", port)
