"""Fixtures for all tests: free ports, real brokers, a small MQTT client, and a check that nothing is left running."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from tests.running import (
    PATIENCE_S,
    AmqttThread,
    MosquittoProcess,
    MqttProbe,
    SimulatorThread,
    unused_port,
    wait_until,
)
from wattswap_mqtt.config import BrokerAddress, Settings
from wattswap_mqtt.contract.topics import Topics

# The same examples everywhere, so that a run that is green here is green there; `make test-long` tries new ones.  None
# may fail because the machine is busy with something else.
for name, same in {"same-examples": True, "new-examples": False}.items():
    hypothesis.settings.register_profile(
        name, derandomize=same, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
hypothesis.settings.load_profile("same-examples")


def pytest_sessionfinish(session):
    """In CI a skipped test is a failed run: everything it needs is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # only where all workers report to
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("CI is set and tests were skipped: the run has failed", red=True)


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), f"the test has left the thread {thread.name!r} running"


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that gives a port of 127.0.0.1 on which nobody listens."""
    return unused_port


@pytest.fixture(scope="session")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A real Home Assistant, mosquitto and WattSwap: started once for all tests that want them."""
    from tests.e2e.home_assistant.household import running

    with running(tmp_path_factory.mktemp("household"), (unused_port(), unused_port(), unused_port())) as house:
        yield house


@pytest.fixture(params=["amqtt", pytest.param("mosquitto", marks=pytest.mark.full)])
def broker(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> Iterator[AmqttThread | MosquittoProcess]:
    """A running broker: the embedded one, and in the full suite mosquitto.  Has address, stop() and start()."""
    running = AmqttThread(free_port()) if request.param == "amqtt" else MosquittoProcess(free_port(), tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def broker_address(broker: AmqttThread | MosquittoProcess) -> BrokerAddress:
    """Where a running broker is."""
    return broker.address


@pytest.fixture
def make_probe() -> Iterator[Callable[..., MqttProbe]]:
    """Return a function that connects a probe to an address; all are closed at the end."""
    with ExitStack() as stack:

        def make(address: BrokerAddress, **options: object) -> MqttProbe:
            probe = MqttProbe(address, **options)
            stack.callback(probe.close)
            return probe

        yield make


@pytest.fixture
def probe(make_probe: Callable[..., MqttProbe], broker_address: BrokerAddress) -> MqttProbe:
    """A client connected to the broker of `broker_address`."""
    return make_probe(broker_address)


@pytest.fixture
def simulate(
    broker_address: BrokerAddress, tmp_path: Path, make_probe: Callable[..., MqttProbe]
) -> Iterator[Callable[..., SimulatorThread]]:
    """Return a function that runs a simulator on the broker, always on the same data, with any settings.

    Its time passes in steps of 50 ms, and its appliances do not swing.  It is stopped at the end of the test.
    """
    defaults = {
        "broker": f"mqtt://{broker_address.host}:{broker_address.port}",
        "data_dir": tmp_path / "data",
        "publish_interval": 0.05,
        "load_noise": 0.0,
    }
    with ExitStack() as stack:

        def run(**changed: object) -> SimulatorThread:
            settings = Settings.model_validate(defaults | changed)
            topic = Topics(settings.base_topic).community_availability(settings.community)
            watcher = make_probe(broker_address)
            watcher.subscribe(topic)
            thread = SimulatorThread(settings)
            stack.callback(thread.stop)
            # what it subscribes to comes before what it publishes, so it will hear the test's first command
            wait_until(lambda: watcher.latest(topic) == b"online", "the simulator is online")
            return thread

        yield run
