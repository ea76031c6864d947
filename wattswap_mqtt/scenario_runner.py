"""`wattswap scenario`: what is documented of the scenarios, and whether a meter does it, asked over MQTT only."""

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wattswap_mqtt.app import running
from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.errors import CommandError, ConfigError
from wattswap_mqtt.core.plant import meter_ids
from wattswap_mqtt.core.scenarios import NO_SCENARIO, SCENARIOS, Scenario, scenario_named
from wattswap_mqtt.remote_meter import RemoteMeter

TOLERANCE_KW = 0.05
NOISY_TOLERANCE_KW = 0.5
"""On the mean of a quarter hour, where the appliances swing."""
TOLERANCE_RATIO = 0.01
QUARTER_S = 900.0
HURRY = 300.0
"""Time acceleration under which a quarter hour is measured."""

Json = Mapping[str, Any]
FIGURES = {
    "pv_kw": ("pv", "pv_power_kw"),
    "battery_kw": ("battery", "battery_power_kw"),
    "ev_kw": ("ev", "power_kw"),
    "import_kw": ("grid", "grid_import_kw"),
    "export_kw": ("grid", "grid_export_kw"),
    "net_kw": ("derived", "net_power_kw"),
}
REGISTERS = {
    "pv_kw": {"pv_energy_kwh": 1},
    "battery_kw": {"battery_discharged_kwh": 1, "battery_charged_kwh": -1},
    "ev_kw": {"ev_energy_kwh": 1},
    "import_kw": {"energy_imported_kwh": 1},
    "export_kw": {"energy_exported_kwh": 1},
    "net_kw": {"energy_exported_kwh": 1, "energy_imported_kwh": -1},
}
"""The registers of `derived` whose growth gives the mean of each figure."""


@dataclass(frozen=True)
class Finding:
    """One documented figure beside the measured one."""

    figure: str
    documented: str
    measured: str
    holds: bool


def run(settings: Settings, name: str, meter_id: str | None) -> int:
    """Set one scenario, or `all`, on a meter, print what it reports beside what is documented; return the exit code.

    With an external broker the meter is one of the system that runs there; otherwise it is one of a private community
    without noise, which ends with the check.

    Raises:
        ConfigError: there is no such scenario.
        WattSwapError: the meter does not answer.

    """
    scenarios = list(SCENARIOS.values()) if name == "all" else [_named(name)]
    if not settings.embedded:
        return _check(settings, scenarios, meter_id)
    if meter_id is not None:
        raise ConfigError("--meter chooses a meter of a running system: give its broker as well, --broker mqtt://…")
    with tempfile.TemporaryDirectory(prefix="wattswap-") as directory:
        private = settings.model_copy(
            update={
                "mqtt_host": "127.0.0.1",
                "mqtt_port": 0,
                "mqtt_ws_port": None,
                "data_dir": Path(directory),
                "meters": 1,
                "load_noise": 0.0,
                "publish_interval": 0.1,
            }
        )
        return asyncio.run(_check_privately(private, scenarios))


async def _check_privately(settings: Settings, scenarios: Sequence[Scenario]) -> int:
    async with running(settings, ("broker", "simulator")) as system:
        return await asyncio.to_thread(_check, system.settings, scenarios, None)


def _check(settings: Settings, scenarios: Sequence[Scenario], meter_id: str | None) -> int:
    console = Console()
    table = Table("", "documented", "measured", "", show_edge=False)
    meter_id = meter_id or meter_ids(settings.community, 1)[0]
    all_hold = True
    with RemoteMeter(settings, meter_id) as meter, console.status("") as progress:
        noisy = meter.community_status()["load_noise"] > 0
        acceleration = meter.community_status()["time_acceleration"]
        for scenario in scenarios:
            progress.update(f"{scenario.number}. {scenario.title}")
            findings = list(_findings(meter, scenario, noisy=noisy))
            all_hold &= all(finding.holds for finding in findings)
            table.add_row(f"[bold]{scenario.number}. {scenario.slug}[/]")
            for finding in findings:
                verdict = "[green]ok[/]" if finding.holds else "[red bold]differs[/]"
                table.add_row(finding.figure, finding.documented, finding.measured, verdict)
            table.add_section()
        if len(scenarios) > 1:
            meter.command("scenario/set", NO_SCENARIO)
        elif noisy:
            meter.command("scenario/set", scenarios[0].slug)  # measuring has set the time acceleration by hand
        meter.command("switch/time_acceleration/set", acceleration)
    console.print(table)
    kind = f"mean of a quarter hour, within {NOISY_TOLERANCE_KW} kW" if noisy else f"within {TOLERANCE_KW} kW"
    console.print(f"{'All as documented' if all_hold else 'Not as documented'} ({meter_id}, {kind}).")
    return 0 if all_hold else 1


def _findings(meter: RemoteMeter, scenario: Scenario, *, noisy: bool) -> Iterable[Finding]:
    meter.command("scenario/set", scenario.slug)
    faulty = bool(scenario.switches["fault_inject"])
    state, truth = meter.next_state(with_truth=faulty)
    status_line = state["derived"]["system_status"]
    if noisy:
        measured = _quarter_hour(meter, truth_wanted=faulty)
    else:
        measured = {figure: (truth or state)[section][field] for figure, (section, field) in FIGURES.items()}
    tolerance = NOISY_TOLERANCE_KW if noisy else TOLERANCE_KW
    for figure, documented in asdict(scenario.expected).items():
        holds = abs(measured[figure] - documented) <= tolerance
        yield Finding(figure.replace("_kw", " kW"), f"{documented:g}", f"{measured[figure]:.3f}", holds)
    if truth is not None:
        yield from _bias(scenario, state, truth)
    yield Finding("status", scenario.status_line, status_line, status_line == scenario.status_line)


def _bias(scenario: Scenario, state: Json, truth: Json) -> Iterable[Finding]:
    """Compare what a biased meter reports with the truth (the other findings are about the truth)."""
    faults = scenario.switches["fault_inject"]
    if not isinstance(faults, Mapping) or "bias_pct" not in faults:
        return
    documented = 1.0 + float(str(faults["bias_pct"])) / 100.0
    for figure in ("pv_kw", "net_kw"):
        section, field = FIGURES[figure]
        ratio = state[section][field] / truth[section][field]
        holds = abs(ratio - documented) <= TOLERANCE_RATIO
        yield Finding(f"{figure.removesuffix('_kw')}, measured : true", f"{documented:.2f}", f"{ratio:.3f}", holds)


def _quarter_hour(meter: RemoteMeter, *, truth_wanted: bool) -> dict[str, float]:
    """Return the mean of each figure over a quarter of an hour, from the registers."""

    def look() -> Json:
        state, truth = meter.next_state(with_truth=truth_wanted)
        return truth or state

    meter.command("switch/time_acceleration/set", HURRY)
    first = last = look()
    while (hours := _hours_between(first, last)) < QUARTER_S / 3600.0:
        last = look()
    return {
        figure: sum(sign * (last["derived"][name] - first["derived"][name]) for name, sign in names.items()) / hours
        for figure, names in REGISTERS.items()
    }


def _hours_between(first: Json, last: Json) -> float:
    begin, end = (datetime.fromisoformat(state["timestamp"]) for state in (first, last))
    return (end - begin).total_seconds() / 3600.0


def _named(name: str) -> Scenario:
    try:
        return scenario_named(name)
    except CommandError as error:
        raise ConfigError(error.message) from None


def print_list() -> None:
    """Print all scenarios."""
    table = Table("", "name", "pv kW", "battery", "ev", "import", "export", "net", box=None)
    for scenario in SCENARIOS.values():
        figures = [f"{value:g}" for value in asdict(scenario.expected).values()]
        table.add_row(str(scenario.number), scenario.slug, *figures)
    Console().print(table)


def print_scenario(name: str) -> None:
    """Print one scenario: its switches, where it starts, and what is documented.

    Raises:
        ConfigError: there is no such scenario.

    """
    scenario = _named(name)
    console = Console()
    console.print(f"[bold]{scenario.number}. {scenario.title}[/]  ({scenario.slug})")
    console.print(f"starts at {scenario.soc_pct:g} % state of charge, base load {scenario.base_load_kw:g} kW")
    for title, values in (("switches", scenario.switches), ("documented", asdict(scenario.expected))):
        console.print(f"\n[bold]{title}[/]")
        for key, value in values.items():
            console.print(f"  {key:22} {value}", highlight=False)
    console.print(f"  {'status':22} {scenario.status_line}")
