"""Fixtures for tests of connections."""

import contextlib
from collections.abc import Callable

import pytest
from served import Recorder, Served, ServedAsync

from wattswap_mqtt.config import BrokerAddress


@pytest.fixture(params=[Served, ServedAsync], ids=["thread", "asyncio"])
def serve(request):
    """Return a function that starts a connection, of either kind, and serves it until the test ends."""
    with contextlib.ExitStack() as stack:

        def start(address: BrokerAddress, *, then: Callable | None = None, **options: object) -> Recorder:
            served = request.param(address, **options)
            if then is not None:
                served.then = lambda: then(served)
            served.start()
            stack.callback(served.stop)
            return served

        yield start
