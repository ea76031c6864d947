"""The seed's twelve scenarios as a visitor sees them: one click, the figures, the status line, the switches."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.e2e.test_seed_scenarios import FIGURES, SCENARIOS, WITHIN_KW
from tests.outside import DEFAULTS
from tests.running import wait_until

MINUS = "\N{MINUS SIGN}"


def number(text):
    """Return the number that a text begins with, as the page writes it."""
    return float(re.match(rf"[-{MINUS}]?[\d.]+", text)[0].replace(MINUS, "-"))


def figures(page):
    """Return what the picture says: powers by the names of its nodes."""
    label = page.locator("svg.flow").get_attribute("aria-label")
    return {name: number(text) for name, text in re.findall(r"(\w+) (\S+) kW", label)}


def shown(page, path):
    """Return a total."""
    return number(page.locator(f"#totals [data-path='{path}'] dd").inner_text())


def switches(page, names):
    """Return what the controls show."""
    return {name: json.loads(page.locator(f"[data-switch={name}]").get_attribute("data-value")) for name in names}


def close(page, wanted):
    seen = figures(page)
    return all(abs(seen[name] - kw) <= WITHIN_KW for name, kw in wanted.items())


@pytest.mark.parametrize(("slug", "changed", "documented", "line"), SCENARIOS, ids=[row[0] for row in SCENARIOS])
def test_scenario(page, system, slug, changed, documented, line):
    pv, battery, ev, _, _, net = documented
    page.locator(f"[data-scenario={slug}]").click()
    expect(page.locator(f"[data-scenario={slug}]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-role=status-line]")).to_have_text(line)
    expect(page.locator("[data-role=badge]")).to_have_text(system.snapshot()["derived"]["status_badge"])

    factor = 1 + changed.get("fault_inject", {}).get("bias_pct", 0) / 100  # the picture shows what is measured
    wanted = {"Sun": pv * factor, "Battery": battery, "EV": ev, "Grid": net * factor}
    wait_until(lambda: close(page, wanted), f"the picture shows {wanted}")

    # every switch but the faults, which have a view of their own
    controls = {name: value for name, value in (DEFAULTS | changed).items() if name != "fault_inject"}
    wait_until(lambda: switches(page, controls) == controls, "the controls show what the scenario has set")

    table = page.locator(f"[data-compared='{slug}']")
    for (section, field), kw in zip(FIGURES.values(), documented, strict=True):
        name = f"{section}.{field}"
        row = table.locator(f"[data-expected='truth.{name}'], [data-expected='{name}']").first
        wait_until(lambda row=row, kw=kw: holds(row, kw), f"{name} is {kw} kW, as expected")


def holds(row, kw):
    """Tell whether a row of what is expected and measured says so twice."""
    expected, measured = map(number, row.locator("td").all_inner_texts())
    return abs(expected - kw) <= WITHIN_KW and abs(measured - kw) <= WITHIN_KW


@pytest.mark.parametrize(
    ("slug", "growing", "steady"),
    [
        ("nighttime-baseline", "derived.energy_imported_kwh", "derived.energy_exported_kwh"),
        ("market-selling", "derived.energy_exported_kwh", "derived.energy_imported_kwh"),
        ("island-mode", "derived.battery_discharged_kwh", "derived.energy_imported_kwh"),
    ],
)
def test_totals_grow_as_documented(page, system, slug, growing, steady):
    page.locator(f"[data-scenario={slug}]").click()
    expect(page.locator(f"[data-scenario={slug}]")).to_have_attribute("aria-pressed", "true")
    before, rest = shown(page, growing), shown(page, steady)
    system.switch("time_acceleration", 60)
    wait_until(lambda: shown(page, growing) >= before + 0.02, f"{growing} grows")
    assert shown(page, steady) == pytest.approx(rest, abs=0.001)
    system.switch("time_acceleration", 1)
