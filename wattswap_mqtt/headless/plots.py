"""A picture of a run: its days or months, its mean day, and how the homes differ."""

import logging
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.records import Flow
from wattswap_mqtt.headless.course import Course
from wattswap_mqtt.headless.summary import Summary, measures

mpl.rcParams["svg.hashsalt"] = "wattswap"  # the same run gives the same file
logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its fonts
COLOURS = {
    Flow.PV: ("PV", "#e8a317"),
    Flow.LOAD: ("load", "#3b6ea5"),
    Flow.GRID_IMPORT: ("import", "#b3443c"),
    Flow.GRID_EXPORT: ("export", "#5a9e4b"),
}
MOST_DAYS = 62
"""A longer run is shown by months."""


def plot(path: Path, form: str, summary: Summary, course: Course) -> None:
    """Draw it; `form` is `png` or `svg`."""
    figure = Figure(figsize=(9, 9), layout="constrained")
    over_time, day, homes = figure.subplots(3)
    _over_time(over_time, course)
    _mean_day(day, course.mean_day())
    _homes(homes, summary)
    figure.savefig(path, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)


def _over_time(axes: Axes, course: Course) -> None:
    sums: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(len(Flow)))
    form = "%d %b" if len(course.days) <= MOST_DAYS else "%Y-%m"
    for date, kwh in course.days.items():
        sums[date.strftime(form)] += kwh
    places, width = np.arange(len(sums)), 0.8 / len(COLOURS)
    for number, (flow, (title, colour)) in enumerate(COLOURS.items()):
        heights = [kwh[flow] for kwh in sums.values()]
        axes.bar(places + (number - 1.5) * width, heights, width, color=colour, label=title)
    every = -(-len(sums) // 14)
    axes.set_xticks(places[::every], list(sums)[::every])
    axes.set_ylabel("kWh, all homes")
    axes.legend(ncols=len(COLOURS), frameon=False)


def _mean_day(axes: Axes, hours: Floats) -> None:
    for flow, (title, colour) in COLOURS.items():
        axes.step(np.arange(25), [*hours[:, flow], hours[-1, flow]], where="post", color=colour, label=title)
    axes.set(xlim=(0, 24), xticks=range(0, 25, 3), xlabel="hour of the mean day", ylabel="kW, all homes")
    charge = axes.twinx()
    charge.plot(np.arange(1, 25), hours[:, -1], color="#777777", linestyle=":")
    charge.set(ylim=(0, 100), ylabel="battery % (dotted)")


def _homes(axes: Axes, summary: Summary) -> None:
    figures = measures(summary.ended)
    autarky, own = figures["self_sufficiency_pct"], figures["self_consumption_pct"]
    axes.scatter(own, autarky, s=8, color="#3b6ea5", alpha=0.6)
    axes.set(
        xlim=(0, 100), ylim=(0, 100), xlabel="self-consumption of each home, %", ylabel="autarky, %",
    )  # fmt: skip
