"""The simulator as a process of its own: to be killed, and to be denied the disk."""

import resource
import subprocess
import sys
import threading
from pathlib import Path

from tests.running import PATIENCE_S
from wattswap_mqtt.config import BrokerAddress, flag_of


class SimulatorProcess:
    """`wattswap simulator` on a broker and a data directory; `said` is what it has written to stderr."""

    def __init__(self, address: BrokerAddress, data_dir: Path, **settings: object) -> None:
        settings = {
            "broker": f"mqtt://{address.host}:{address.port}",
            "data_dir": data_dir,
            "publish_interval": 0.05,
            "load_noise": 0,
        } | settings
        flags = [word for name, value in settings.items() for word in (flag_of(name), str(value))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wattswap_mqtt", "simulator", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        self._listener = threading.Thread(target=self._listen, name="stderr of the simulator")
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stderr:
            self.said += line

    def limit_files(self, size: int | None) -> None:
        """Let the kernel refuse to write files beyond `size` bytes, as if the disk were full; None: no limit."""
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._process.kill()
        self._wait()

    def stop(self) -> int:
        """End it as it should end; return the exit code."""
        self._process.terminate()
        return self._wait()

    def _wait(self) -> int:
        code = self._process.wait(PATIENCE_S)
        self._listener.join()
        self._process.stderr.close()
        return code
