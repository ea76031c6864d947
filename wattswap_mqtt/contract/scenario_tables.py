"""What is told of scenarios: over REST, in the terminal and in the docs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime

from wattswap_mqtt.contract.rehearsal import findings
from wattswap_mqtt.contract.scenario_files import builtin_scenarios
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.expectations import Finding, wanted_of
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.scenarios import Expectation, Scenario, TimedEvent
from wattswap_mqtt.core.timeline import described

FIGURES = {
    "pv": "pv.pv_power_kw",
    "battery": "battery.battery_power_kw",
    "ev": "ev.power_kw",
    "import": "grid.grid_import_kw",
    "export": "grid.grid_export_kw",
    "net": "derived.net_power_kw",
}
"""The powers that a list of scenarios shows."""
STATUS = "derived.system_status"
REHEARSED_AT = datetime.fromisoformat("2026-06-21T12:00:00+02:00").timestamp()
HEADINGS = {"power_flows": "Power flows", "co2": "CO₂"}


def told(scenario: Scenario) -> dict[str, object]:
    """Return a scenario as REST tells it."""
    return {
        "slug": scenario.slug,
        "number": scenario.number,
        "title": scenario.title,
        "description": scenario.description,
        "documented": dict(scenario.documented),
        "switches": scenario.switches,
        **asdict(scenario.start),
        "events": [{"after_s": event.after_s, **described(event.action)} for event in scenario.events],
        "expect": [_expected(expectation) for expectation in scenario.expect],
        "system_status": first_figure(scenario, STATUS),
    }


def _expected(expectation: Expectation) -> dict[str, object]:
    fields = {name: value for name, value in asdict(expectation).items() if value is not None}
    return fields | {"wanted": wanted_of(expectation)}


def first_figure(scenario: Scenario, path: str) -> object:
    """Return what a quantity is expected to be from the start on; of a faulty meter, what it truly is."""
    for wanted in (f"truth.{path}", path):
        for expectation in scenario.expect:
            if (expectation.path, expectation.from_s) == (wanted, 0.0) and expectation.equals is not None:
                return expectation.equals
    return None


def span(seconds: float) -> str:
    """Return a duration as it is written in a scenario."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def window(expectation: Expectation) -> str:
    """Say when an expectation looks."""
    if expectation.at_once:
        return f"at {span(expectation.from_s)}"
    text = f"{span(expectation.from_s)} to {span(expectation.until_s)}"
    if expectation.clock is None:
        return text
    times = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in expectation.clock)
    return f"{text}, {times} local"


def happening(event: TimedEvent) -> str:
    """Say what an event does."""
    match described(event.action):
        case {"switches": dict() as values}:
            return ", ".join(f"{name} is set to {value}" for name, value in values.items())
        case {"order": name}:
            return f"the order `{name}` is placed"
        case told:
            return f"the order `{told['cancel']}` is cancelled"


def rehearsed(scenario: Scenario) -> list[Finding]:
    """Return what is found of a scenario in the demo home, without noise: the same whenever and wherever it is run."""
    return findings(Community((DEMO_METER,), start_s=REHEARSED_AT, load_noise=0.0), scenario)


def pages() -> Iterator[str]:
    """Write a section of the docs for each of the package's scenarios, in pieces."""
    for scenario in builtin_scenarios().values():
        yield from _page(scenario)


def _page(scenario: Scenario) -> Iterator[str]:
    yield f"### {scenario.number}. {scenario.title}\n\n`{scenario.slug}`: {scenario.description}\n\n"
    for heading, text in scenario.documented.items():
        yield f"> - **{HEADINGS.get(heading, heading.capitalize())}:** {text}\n"
    switches = ", ".join(f"`{name}` {_yaml(value)}" for name, value in scenario.changed.items())
    start = scenario.start
    yield f"\nSwitches that differ from the default: {switches or 'none'}. Starts at {start.soc_pct:g} % state of"
    yield f" charge (EV {start.ev_soc_pct:g} %) with a base load of {start.base_load_kw:g} kW.\n\n"
    for event in scenario.events:
        yield f"- after {span(event.after_s)}: {happening(event)}\n"
    yield "\n" * bool(scenario.events)
    yield "| the words | quantity | expected | when | reached |\n| --- | --- | --- | --- | --- |\n"
    for found in rehearsed(scenario):
        expectation = found.expectation
        mark = "" if found.verdict == "holds" else " **(differs)**"
        cells = (expectation.says, f"`{expectation.path}`", found.wanted, window(expectation))
        yield f"| {' | '.join(_cell(cell) for cell in cells)} | {_cell(found.measured)}{mark} |\n"
    yield "\n"


def _yaml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    return str(value or "").strip().replace("|", "\\|")
