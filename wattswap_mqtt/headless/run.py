"""The run itself: shares of the homes in step with each other, and what becomes of their blocks."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from wattswap_mqtt import __version__
from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.errors import ConfigError, StorageError
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.founding import OwnData
from wattswap_mqtt.headless.course import Course
from wattswap_mqtt.headless.homes import BLOCK_VALUES, COLUMNS, Block, Ended
from wattswap_mqtt.headless.plan import Plan
from wattswap_mqtt.headless.summary import Summary
from wattswap_mqtt.headless.tables import CsvTable, Table
from wattswap_mqtt.headless.workers import streams

FEW_HOMES = 50
"""Fewer are not worth a process of their own."""
TABLES = {".csv": None, ".parquet": "wattswap_mqtt.headless.parquet"}
PLOTS = (".svg", ".png")


@dataclass(frozen=True)
class Wanted:
    """The files to be written, if any."""

    output: Path | None
    summary: Path | None
    plot: Path | None

    def check(self) -> None:
        """Find out before the run what could not be done after it.

        Raises:
            ConfigError: a file's ending or folder is wrong, or what it needs is not installed.

        """
        for flag, path, endings in (("--output", self.output, tuple(TABLES)), ("--plot", self.plot, PLOTS)):
            if path is not None and path.suffix not in endings:
                raise ConfigError(f"{flag} takes a file that ends in {' or '.join(endings)}, not {path}")
        for flag, path in (("--output", self.output), ("--summary", self.summary), ("--plot", self.plot)):
            if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
                raise ConfigError(
                    f"{flag} {path}: {'this is a folder' if path.is_dir() else 'there is no such folder'}"
                )
        if self.output is not None and self.output.suffix == ".parquet":
            _analysis(f"--output {self.output}", "parquet")
        if self.plot is not None:
            _analysis(f"--plot {self.plot}", "plots")


def _analysis(wish: str, module: str) -> ModuleType:
    """Import a module that needs what comes with the extra."""
    try:
        return import_module(f"wattswap_mqtt.headless.{module}")
    except ImportError as error:
        raise ConfigError(f"{wish} needs {error.name}: pip install 'wattswap-mqtt[analysis]'") from None


def simulate(settings: Settings, plan: Plan, own_data: OwnData, wanted: Wanted, jobs: int) -> Summary:
    """Let the community of `settings` live as planned, and write what is wanted.

    Raises:
        ConfigError: see `Wanted.check`.
        StorageError: a file cannot be written.

    """
    wanted.check()
    ids = meter_ids(settings.community, settings.meters)
    shares = 1 if plan.couples else max(min(jobs, len(ids) // FEW_HOMES), 1)
    periods = max(BLOCK_VALUES // (len(ids) * len(COLUMNS)), 1)
    course = Course(plan.zone, plan.resolution_s / 3600.0)
    began_s = time.monotonic()
    with ExitStack() as stack:
        table = stack.enter_context(_writing(wanted.output, settings, plan))
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
        with _writes(wanted.summary):
            wanted.summary.write_text(json.dumps(summary.document(), indent=1) + "\n", encoding="utf-8")
    if wanted.plot is not None:
        with _writes(wanted.plot):
            _analysis("--plot", "plots").plot(wanted.plot, summary, course)
    return summary


@contextmanager
def _writing(path: Path | None, settings: Settings, plan: Plan) -> Iterator[Table | None]:
    """Open the table that is wanted."""
    if path is None:
        yield None
        return
    ids = meter_ids(settings.community, settings.meters)
    with _writes(path), ExitStack() as stack:
        if path.suffix == ".csv":
            table: Table = CsvTable(path, ids)
        else:
            about = {
                "made_by": f"wattswap simulate {__version__}",
                "seed": str(settings.seed),
                "step_s": f"{plan.step_s:g}",
                "resolution_s": f"{plan.resolution_s:g}",
                "tz": plan.zone.key,
            }
            table = _analysis(f"--output {path}", "parquet").ParquetTable(path, ids, about)
        yield stack.enter_context(table)


@contextmanager
def _writes(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None


def _progress() -> Progress:
    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("left:"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=Console(stderr=True),
        transient=True,
    )
