"""Measuring on a machine that others use as well: many short windows, those of all candidates taking turns.

What disturbs one candidate disturbs its neighbours too, so ratios within a run hold better than the figures themselves.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
"""One per window, or one per round trip."""

BLOCK = 200
"""Round trips in a block: enough for a p99, short enough that a disturbance spoils only a few blocks."""
BLOCKS = 8
WARM_UP = 100


@dataclass(frozen=True)
class Row:
    """One line of a table; `reached` is None where there is no target."""

    what: str
    figure: str
    target: str = ""
    reached: bool | None = None
    baseline: str = ""
    ratio: str = ""


def interleaved(
    calls: Mapping[str, Callable[[], object]], *, windows: int = 60, window_s: float = 0.01
) -> dict[str, Seconds]:
    """Return seconds per call, one number per window.

    It is for computing only: what counts is the CPU time of this thread, not that others were let in between.
    """
    repeats = {}
    for name, call in calls.items():
        call()  # imports and caches
        repeats[name] = max(round(window_s / _window(call, 1)), 1)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(windows):
        for name, call in calls.items():
            taken[name].append(_window(call, repeats[name]))
    return {name: np.array(seconds) for name, seconds in taken.items()}


def _window(call: Callable[[], object], repeats: int) -> float:
    begin_s = time.thread_time()
    for _ in range(repeats):
        call()
    return (time.thread_time() - begin_s) / repeats


def round_trips(
    calls: Mapping[str, Callable[[], object]], *, between: Callable[[], object] = lambda: None, blocks: int = BLOCKS
) -> dict[str, Seconds]:
    """Return seconds of single calls, shape (blocks, BLOCK); the calls take turns, and `between` is not counted."""
    taken = {name: np.empty((blocks, BLOCK)) for name in calls}
    for trip in range(-WARM_UP, blocks * BLOCK):
        for name, call in calls.items():
            begin_s = time.perf_counter()
            call()
            if trip >= 0:
                taken[name].flat[trip] = time.perf_counter() - begin_s
        between()
    return taken


def percentile(trips: Seconds, percent: float) -> float:
    """Return the median of the blocks' percentiles, in seconds."""
    return float(np.median(np.percentile(trips, percent, axis=1)))


def ratio(figure: Seconds, baseline: Seconds) -> str:
    """Return the median, over the windows, of figure : baseline."""
    return f"{float(np.median(figure / baseline)):.2g}"


def rate(seconds: float, count: int = 1) -> str:
    """Return how often a second something of which `count` take `seconds` happens, for people to read."""
    return scaled(count / seconds) + "/s"


def scaled(number: float) -> str:
    """Return a number with three figures and k or M."""
    for factor, letter in ((1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:.3g}{letter}"
    return f"{number:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Return rows as Markdown."""
    head = "| | figure | target | reached | baseline, same run | ratio |\n| --- | --- | --- | --- | --- | --- |\n"
    words = {None: "", True: "yes", False: "**no**"}
    return head + "".join(
        f"| {row.what} | {row.figure} | {row.target} | {words[row.reached]} | {row.baseline} | {row.ratio} |\n"
        for row in rows
    )
