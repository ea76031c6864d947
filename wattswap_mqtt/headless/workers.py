"""A community's homes shared among processes: without a market they do not depend on each other."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.errors import WattSwapError
from wattswap_mqtt.founding import OwnData
from wattswap_mqtt.headless.homes import Block, Ended, live
from wattswap_mqtt.headless.plan import Plan

Stream = Iterator[Block | Ended]


@contextmanager
def streams(settings: Settings, plan: Plan, own_data: OwnData, periods: int, jobs: int) -> Iterator[list[Stream]]:
    """Return what `live` yields for each share of the homes: of other processes, if there are several."""
    if jobs == 1:
        yield [live(settings, plan, slice(0, settings.meters), own_data, periods)]
        return
    context = multiprocessing.get_context("spawn")
    with ExitStack() as undo:
        found: list[Stream] = []
        for job in range(jobs):
            homes = slice(job * settings.meters // jobs, (job + 1) * settings.meters // jobs)
            receiver, sender = context.Pipe(duplex=False)
            work = (sender, settings, plan, homes, own_data, periods)
            process = context.Process(target=_serve, args=work, daemon=True)
            _start(process)
            sender.close()
            undo.callback(process.join)
            undo.callback(process.terminate)
            undo.callback(receiver.close)
            found.append(_received(receiver))
        yield found


def _start(process: SpawnProcess) -> None:
    """Start a process that pays no heed to Ctrl-C: it is the parent's, which ends it."""
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, ours)


def _serve(sender: Connection, settings: Settings, plan: Plan, homes: slice, own_data: OwnData, periods: int) -> None:
    """Send everything; the pipe holds little, so nobody runs ahead."""
    with suppress(BrokenPipeError):  # the parent was killed
        try:
            for item in live(settings, plan, homes, own_data, periods):
                sender.send(item)
        except WattSwapError as error:
            sender.send(error)


def _received(receiver: Connection) -> Stream:
    while True:
        try:
            item = receiver.recv()
        except EOFError:
            raise WattSwapError("a process of the simulation ended before its time (out of memory?)") from None
        if isinstance(item, WattSwapError):
            raise item
        yield item
        if isinstance(item, Ended):
            return
