"""The run itself: shares of the homes in step with each other, and what becomes of their blocks."""

import errno
import json
import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from wattswap_mqtt import __version__
from wattswap_mqtt.config import Settings, flag_of
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.founding import OwnData
from wattswap_mqtt.headless.course import Course
from wattswap_mqtt.headless.files import written
from wattswap_mqtt.headless.homes import BLOCK_VALUES, COLUMNS, Block, Ended
from wattswap_mqtt.headless.plan import Plan
from wattswap_mqtt.headless.summary import Summary
from wattswap_mqtt.headless.tables import CsvTable, Table
from wattswap_mqtt.headless.workers import streams

FEW_HOMES = 50
"""Fewer are not worth a process of their own."""
ENDINGS = {"--output": (".csv", ".parquet"), "--plot": (".svg", ".png")}


@dataclass(frozen=True)
class Wanted:
    """The files to be written, if any."""

    output: Path | None
    summary: Path | None
    plot: Path | None

    def check(self, settings: Settings) -> None:
        """Find out before the run what could not be done after it, or would overwrite what it reads.

        Raises:
            ConfigError: a file's ending or place is wrong, or what it needs is not installed.

        """
        files = {"--output": self.output, "--summary": self.summary, "--plot": self.plot}
        taken = {path.resolve(): flag_of(name) for name, path in settings if isinstance(path, Path)}
        for flag, path in files.items():
            if path is None:
                continue
            if path.suffix not in (endings := ENDINGS.get(flag, (path.suffix,))):
                raise ConfigError(f"{flag} takes a file that ends in {' or '.join(endings)}, not {path}")
            if (problem := _unwritable(path)) is not None:
                raise ConfigError(f"{flag} {path}: {problem}")
            if (other := taken.setdefault(path.resolve(), flag)) != flag:
                raise ConfigError(f"{flag} {path}: this is the file of {other}")
        if self.output is not None and self.output.suffix == ".parquet":
            _analysis(f"--output {self.output}", "parquet")
        if self.plot is not None:
            _analysis(f"--plot {self.plot}", "plots")


def _unwritable(path: Path) -> str | None:
    if path.is_dir():
        return "this is a folder"
    if not path.absolute().parent.is_dir():
        return "there is no such folder"
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        return os.strerror(errno.EACCES)
    return None


def _analysis(wish: str, module: str) -> ModuleType:
    """Import a module that needs what comes with the extra."""
    try:
        return import_module(f"wattswap_mqtt.headless.{module}")
    except ImportError as error:
        how = "uv sync --extra analysis, or pip install '.[analysis]'"
        raise ConfigError(f"{wish} needs {error.name}: {how}") from None


def simulate(settings: Settings, plan: Plan, own_data: OwnData, wanted: Wanted, jobs: int) -> Summary:
    """Let the community of `settings` live as planned, and write what is wanted, which `Wanted.check` has found good.

    Raises:
        StorageError: a file cannot be written.

    """
    ids = meter_ids(settings.community, settings.meters)
    shares = 1 if plan.couples else max(min(jobs, len(ids) // FEW_HOMES), 1)
    periods = max(BLOCK_VALUES // (len(ids) * len(COLUMNS)), 1)
    course = Course(plan.zone, plan.resolution_s / 3600.0)
    began_s = time.monotonic()
    with ExitStack() as stack:
        table: Table | None = None
        if wanted.output is not None:
            place = stack.enter_context(written(wanted.output))
            table = stack.enter_context(closing(_table(place, wanted.output.suffix, settings, plan)))
        progress = stack.enter_context(_progress())
        task = progress.add_task("", total=plan.end_s - plan.start_s, rate="")
        ends: list[Ended] = []
        for parts in zip(*stack.enter_context(streams(settings, plan, own_data, periods, shares)), strict=True):
            blocks = [part for part in parts if isinstance(part, Block)]
            if not blocks:
                ends = [part for part in parts if isinstance(part, Ended)]
                break
            block = Block(blocks[0].starts_s, np.concatenate([part.values for part in blocks], axis=2))
            course.add(block)
            if table is not None:
                table.write(block)
            done_s = block.starts_s[-1] + plan.resolution_s - plan.start_s
            rate = done_s / plan.step_s * len(ids) / max(time.monotonic() - began_s, 1e-9)
            moment = datetime.fromtimestamp(block.starts_s[-1], plan.zone)
            progress.update(task, completed=done_s, rate=f"{moment:%Y-%m-%d}  {rate / 1e6:.2f} M house-steps/s")
    ended = Ended(*(np.concatenate(parts, axis=1) for parts in zip(*ends, strict=True)))
    summary = Summary(plan, ids, ended, settings.seed, time.monotonic() - began_s)
    if wanted.summary is not None:
        with written(wanted.summary) as place:
            place.write_text(json.dumps(summary.document(), indent=1) + "\n", encoding="utf-8")
    if wanted.plot is not None:
        with written(wanted.plot) as place:
            _analysis("--plot", "plots").plot(place, wanted.plot.suffix.removeprefix("."), summary, course)
    return summary


def _table(place: Path, form: str, settings: Settings, plan: Plan) -> Table:
    ids = meter_ids(settings.community, settings.meters)
    if form == ".csv":
        return CsvTable(place, ids)
    about = {
        "made_by": f"wattswap simulate {__version__}",
        "seed": str(settings.seed),
        "step_s": f"{plan.step_s:g}",
        "resolution_s": f"{plan.resolution_s:g}",
        "tz": plan.zone.key,
    }
    table: Table = _analysis("--output", "parquet").ParquetTable(place, ids, about)
    return table


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("left:"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
