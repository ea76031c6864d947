"""What was found of scenarios: as a table, as JSON, as JUnit's XML."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wattswap_mqtt.contract.scenario_tables import FIGURES, first_figure, happening, span, window
from wattswap_mqtt.core.errors import StorageError
from wattswap_mqtt.core.expectations import Finding, wanted_of
from wattswap_mqtt.core.scenarios import Scenario

WIDTH = 160
"""Of a table that does not go to a terminal."""
VERDICTS = {"holds": "[green]ok[/]", "differs": "[red bold]differs[/]", "unknown": "[yellow]not told[/]"}


@dataclass(frozen=True)
class Played:
    """What was found of a scenario, and how long it took."""

    scenario: Scenario
    findings: Sequence[Finding]
    took_s: float


def report(meter_id: str, played: Sequence[Played], *, junit: Path | None, as_json: bool, lenient: bool) -> int:
    """Tell what was found, and return the exit code: 0 if all holds.

    `lenient`: what the meter tells nothing of does not count, as long as it tells anything.

    Raises:
        StorageError: the XML file cannot be written.

    """
    found = [finding for part in played for finding in part.findings]
    bad = [f for f in found if f.verdict == "differs" or (f.verdict == "unknown" and not lenient)]
    holds = not bad and (not found or any(finding.verdict == "holds" for finding in found))
    if junit is not None:
        _write(junit, _junit(meter_id, played, lenient=lenient))
    if as_json:
        sys.stdout.write(f"{_json(meter_id, played, holds=holds)}\n")
        return 0 if holds else 1
    console = _console()
    console.print(_table(played))
    held = sum(finding.verdict == "holds" for finding in found)
    verdict = "All as expected" if holds else "Not as expected"
    untold = sum(finding.verdict == "unknown" for finding in found)
    console.print(f"{verdict}: {held} of {len(found)} hold{f', {untold} not told' if untold else ''} ({meter_id}).")
    return 0 if holds else 1


def print_list(scenarios: Sequence[Scenario]) -> None:
    """Print some scenarios."""
    table = Table("", "name", *(f"{name} kW" for name in FIGURES), "events", "expectations", box=None)
    for scenario in scenarios:
        figures = (first_figure(scenario, path) for path in FIGURES.values())
        cells = ["" if figure is None else f"{figure:g}" for figure in figures]
        counts = (str(len(scenario.events) or ""), str(len(scenario.expect)))
        table.add_row("" if scenario.number is None else str(scenario.number), scenario.slug, *cells, *counts)
    _console().print(table)


def print_scenario(scenario: Scenario) -> None:
    """Print one scenario: what it sets, what happens, what is expected."""
    console = _console()
    number = "" if scenario.number is None else f"{scenario.number}. "
    console.print(f"[bold]{number}{escape(scenario.title)}[/]  ({scenario.slug})", highlight=False)
    console.print(escape(scenario.description), highlight=False)
    start = scenario.start
    console.print(
        f"starts at {start.soc_pct:g} % state of charge, base load {start.base_load_kw:g} kW", highlight=False
    )
    sections: dict[str, list[tuple[str, object]]] = {
        "documented": [(heading.replace("_", " "), text) for heading, text in scenario.documented.items()],
        "switches": list(scenario.switches.items()),
        "events": [(f"after {span(event.after_s)}", happening(event)) for event in scenario.events],
        "expected": [
            (e.path, f"{wanted_of(e)}, {window(e)}{f'  ({e.says})' if e.says else ''}") for e in scenario.expect
        ],
    }
    for title, rows in sections.items():
        if rows:
            console.print(f"\n[bold]{title}[/]")
        for key, value in rows:
            console.print(f"  {key:30} {escape(str(value))}", highlight=False)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=WIDTH)


def _table(played: Sequence[Played]) -> Table:
    table = Table("the words", "quantity", "when", "expected", "measured", "", show_edge=False)
    for part in played:
        number = "" if part.scenario.number is None else f"{part.scenario.number}. "
        table.add_row(f"[bold]{number}{part.scenario.slug}[/]")
        for found in part.findings:
            expectation = found.expectation
            words = (expectation.says or "", expectation.path, window(expectation), found.wanted, found.measured)
            table.add_row(*map(escape, words), VERDICTS[found.verdict])
        table.add_section()
    return table


def _json(meter_id: str, played: Sequence[Played], *, holds: bool) -> str:
    scenarios = [
        {
            "scenario": part.scenario.slug,
            "number": part.scenario.number,
            "took_s": round(part.took_s, 1),
            "findings": [
                {
                    "says": found.expectation.says,
                    "quantity": found.expectation.path,
                    "when": window(found.expectation),
                    "expected": found.wanted,
                    "measured": found.measured,
                    "verdict": found.verdict,
                }
                for found in part.findings
            ],
        }
        for part in played
    ]
    document = {"meter_id": meter_id, "holds": holds, "scenarios": scenarios}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def _junit(meter_id: str, played: Sequence[Played], *, lenient: bool) -> ET.Element:
    suites = ET.Element("testsuites", name=f"wattswap scenario run ({meter_id})")
    for part in played:
        suite = ET.SubElement(suites, "testsuite", name=part.scenario.slug, time=f"{part.took_s:.1f}")
        counts = {"failures": 0, "skipped": 0}
        for found in part.findings:
            case = ET.SubElement(suite, "testcase", classname=part.scenario.slug, name=_name_of(found))
            skipped = found.verdict == "unknown" and lenient
            if found.verdict == "holds":
                continue
            counts["skipped" if skipped else "failures"] += 1
            said = f"expected {found.wanted}, measured {found.measured}"
            ET.SubElement(case, "skipped" if skipped else "failure", message=said)
        suite.attrib |= {"tests": str(len(part.findings)), **{name: str(count) for name, count in counts.items()}}
    return suites


def _name_of(found: Finding) -> str:
    says = f": {found.expectation.says}" if found.expectation.says else ""
    return f"{found.expectation.path} {window(found.expectation)}{says}"


def _write(path: Path, root: ET.Element) -> None:
    tree = ET.ElementTree(root)
    ET.indent(tree)
    try:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise StorageError(f"--junit {path}: {error.strerror}") from None
