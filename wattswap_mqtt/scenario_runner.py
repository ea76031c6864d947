"""`wattswap scenario run`: plays scenarios on a meter over MQTT, and judges what it tells."""

import asyncio
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from rich.console import Console

from wattswap_mqtt.app import running
from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.scenario_files import SUFFIXES, Catalogue, document_and_scenario
from wattswap_mqtt.contract.scenario_tables import span
from wattswap_mqtt.core.errors import CommandError, ConfigError, WattSwapError
from wattswap_mqtt.core.expectations import Finding, judge
from wattswap_mqtt.core.moments import QUARTER_S
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.core.scenarios import Scenario, scenario_named
from wattswap_mqtt.core.trace import Trace
from wattswap_mqtt.remote_meter import CutShortError, RemoteMeter
from wattswap_mqtt.scenario_report import Played, report

SAMPLES_A_QUARTER = 20
SAMPLES_AT_LEAST = 120
"""How closely a scenario is looked at, by default: so many states in a quarter of an hour, or in a long scenario."""
MOST_ACCELERATION = 3600.0
ATTEMPTS = 3
SLOWER = 4.0
"""What a busy machine has told too little of is played again, and so much slower."""
PACE = ("clock.pace", "switches.time_acceleration")
REAL_METER_PATIENCE_S = 120.0
PRIVATE_START = datetime(2026, 6, 21, 10, tzinfo=UTC)
"""When a private community begins, unless told otherwise: runs repeat."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A scenario to be played, and what is sent to set it: its name, or all of it."""

    scenario: Scenario
    sent: object


@dataclass(frozen=True)
class Options:
    """How scenarios are run; see the command's help."""

    meter_id: str | None = None
    accelerate: float | None = None
    expect_only: bool = False
    junit: Path | None = None
    as_json: bool = False


def run(settings: Settings, name: str, options: Options) -> int:
    """Play a scenario (a name, a number or a file) or `all`, print what was found, and return the exit code.

    With an external broker the meter is one of the system that runs there; otherwise it is one of a private community
    without noise, which ends with the run.

    Raises:
        ConfigError: there is no such scenario, it is wrong, or options do not fit together.
        WattSwapError: the meter does not answer.

    """
    parts = _parts(settings, name)
    if options.accelerate is not None and not 0 < options.accelerate <= MOST_ACCELERATION:
        raise ConfigError(f"--accelerate takes a number above 0, up to {MOST_ACCELERATION:g}")
    for part in parts:
        if _own_pace(part.scenario) == 0.0 and not options.expect_only:
            raise ConfigError(f"{part.scenario.slug} stops the clock (time_acceleration 0): it would never end")
    if not settings.embedded:
        if options.expect_only and options.accelerate is not None:
            raise ConfigError("--accelerate sends a command, --expect-only sends none: leave one of them out")
        return _play_all(settings, parts, options)
    if options.meter_id is not None or options.expect_only:
        flag = "--expect-only judges" if options.expect_only else "--meter chooses"
        raise ConfigError(f"{flag} a meter of a running system: give its broker as well, --broker mqtt://…")
    with tempfile.TemporaryDirectory(prefix="wattswap-") as directory:
        return asyncio.run(_play_privately(_private(settings, Path(directory)), parts, options))


def _private(settings: Settings, directory: Path) -> Settings:
    """Return the settings of a community of one home that nobody else knows of; what was asked for stays."""
    wanted = {"load_noise": 0.0, "publish_interval": 0.05, "start": PRIVATE_START}
    private = {"mqtt_host": "127.0.0.1", "mqtt_port": 0, "mqtt_ws_port": None, "data_dir": directory, "meters": 1}
    asked = {name: value for name, value in wanted.items() if name not in settings.model_fields_set}
    return settings.model_copy(update=private | asked)


async def _play_privately(settings: Settings, parts: Sequence[Part], options: Options) -> int:
    cut_short = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, cut_short.set)
    try:
        async with running(settings, ("broker", "simulator")) as system:
            return await asyncio.to_thread(_play_all, system.settings, parts, options, cut_short)
    except CutShortError:
        raise KeyboardInterrupt from None


def _play_all(settings: Settings, parts: Sequence[Part], options: Options, cut_short: Event | None = None) -> int:
    meter_id = options.meter_id or meter_ids(settings.community, 1)[0]
    patience_s = REAL_METER_PATIENCE_S if options.expect_only else None
    played: list[Played] = []
    remote = RemoteMeter(settings, meter_id, patience_s=patience_s, cut_short=cut_short)
    with remote as meter, _progress(len(parts)) as progress:
        if options.expect_only:
            played = [_watched(meter, part.scenario, progress(number, part)) for number, part in enumerate(parts)]
        else:
            with nullcontext() if settings.embedded else _put_back(meter, keep=len(parts) == 1):
                played = [_played(meter, part, options.accelerate, progress(n, part)) for n, part in enumerate(parts)]
    return report(meter_id, played, junit=options.junit, as_json=options.as_json, lenient=options.expect_only)


@contextmanager
def _put_back(meter: RemoteMeter, *, keep: bool) -> Iterator[None]:
    """Set the meter's switches in the end as they were; with `keep` only the pace, if all went well."""
    before = meter.switches()
    try:
        yield
    except BaseException:
        try:
            meter.end_scenario(before)
        except WattSwapError as error:
            logger.warning("%s may be left as the scenario has set it: %s", meter.meter_id, error)
        raise
    if keep:
        meter.command("switch/time_acceleration/set", before["time_acceleration"])
    else:
        meter.end_scenario(before)


def _played(meter: RemoteMeter, part: Part, accelerate: float | None, progress: Callable[[float], None]) -> Played:
    """Play a scenario; once more, and slower, if too little was told of what it expects."""
    status = meter.community_status()
    noisy = status["load_noise"] > 0
    duration_s = part.scenario.duration_s(noisy=noisy)
    own = _own_pace(part.scenario)
    own_until_s = 0.0 if own == 1.0 else _own_pace_until_s(part.scenario, duration_s)
    pace = accelerate or _pace(duration_s, status["publish_interval_s"])
    began_s = time.monotonic()
    for _ in range(ATTEMPTS):
        trace = meter.begin(part.sent)
        if own_until_s > 0.0:
            meter.follow(trace, own_until_s, progress)
        if own_until_s < duration_s and (own == 1.0 or pace > own):
            meter.command("switch/time_acceleration/set", pace)
        meter.follow(trace, duration_s, progress)
        findings = _judged(part.scenario, trace, noisy=noisy)
        if own_until_s >= duration_s or all(finding.verdict != "unknown" for finding in findings):
            break
        pace = max(pace / SLOWER, 1.0)
    return Played(part.scenario, findings, time.monotonic() - began_s)


def _own_pace(scenario: Scenario) -> float:
    return float(scenario.switches["time_acceleration"])  # type: ignore[arg-type] # a number switch


def _own_pace_until_s(scenario: Scenario, duration_s: float) -> float:
    """Return until when a scenario keeps a time acceleration of its own: as long as it expects something of it."""
    ends = (e.from_s if e.at_once else e.until_s for e in scenario.expect if e.path in PACE)
    return max(ends, default=duration_s)


def _watched(meter: RemoteMeter, scenario: Scenario, progress: Callable[[float], None]) -> Played:
    """Judge a meter that nothing is sent to; what is real is noisy."""
    began_s = time.monotonic()
    trace = meter.watch()
    meter.follow(trace, scenario.duration_s(noisy=True), progress)
    return Played(scenario, _judged(scenario, trace, noisy=True), time.monotonic() - began_s)


def _judged(scenario: Scenario, trace: Trace, *, noisy: bool) -> list[Finding]:
    return [judge(expectation, trace.samples, noisy=noisy) for expectation in scenario.expect]


def _pace(duration_s: float, interval_s: float) -> float:
    """Return the acceleration at which enough states are published."""
    closest = max(QUARTER_S / SAMPLES_A_QUARTER, duration_s / SAMPLES_AT_LEAST)
    return min(max(closest / interval_s, 1.0), MOST_ACCELERATION)


@contextmanager
def _progress(parts: int) -> Iterator[Callable[[int, Part], Callable[[float], None]]]:
    """Show, on a terminal, what is being played and how far it is."""
    with Console(stderr=True).status("") as status:

        def begin(number: int, part: Part) -> Callable[[float], None]:
            of = span(part.scenario.duration_s(noisy=True))
            return lambda after_s: status.update(f"{number + 1}/{parts} {part.scenario.slug}: {span(after_s)} of {of}")

        yield begin


def _parts(settings: Settings, name: str) -> list[Part]:
    path = Path(name)
    if path.suffix in SUFFIXES:
        document, scenario = document_and_scenario(path)
        return [Part(scenario, document)]
    scenarios = Catalogue(settings.scenarios).scenarios
    wanted = list(scenarios.values()) if name == "all" else [named(name, settings)]
    return [Part(scenario, scenario.slug) for scenario in wanted]


def named(name: str, settings: Settings) -> Scenario:
    """Return the scenario with a name or number, or in a file.

    Raises:
        ConfigError: there is no such scenario, or it is wrong.

    """
    if Path(name).suffix in SUFFIXES:
        return document_and_scenario(Path(name))[1]
    try:
        return scenario_named(name, Catalogue(settings.scenarios).scenarios)
    except CommandError as error:
        raise ConfigError(f"{error.message}; or a file such as mine.yaml") from None
