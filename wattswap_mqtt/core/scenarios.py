"""Scenarios as data: switches, initial conditions, and what the seed documents for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattswap_mqtt.core.errors import CommandError
from wattswap_mqtt.core.reading import shown
from wattswap_mqtt.core.switches import SWITCHES, SwitchValue


@dataclass(frozen=True)
class Expected:
    """Documented powers in kW; battery + discharge, - charge; net + export, - import."""

    pv_kw: float
    battery_kw: float
    ev_kw: float
    import_kw: float
    export_kw: float
    net_kw: float


@dataclass(frozen=True)
class Scenario:
    """One scenario of the seed: every switch at its value, the state of charge and base load it starts from."""

    number: int
    slug: str
    title: str
    soc_pct: float
    base_load_kw: float
    expected: Expected
    status_line: str
    changed: Mapping[str, SwitchValue] = field(default_factory=dict)

    @property
    def switches(self) -> dict[str, SwitchValue]:
        """Every switch and its value in this scenario."""
        return {name: self.changed.get(name, switch.default) for name, switch in SWITCHES.items()}


_DAY: dict[str, SwitchValue] = {"daytime": True}

SCENARIOS: Mapping[str, Scenario] = {
    scenario.slug: scenario
    for scenario in (
        Scenario(
            1, "nighttime-baseline", "Nighttime Baseline (Default Settings)", 10, 2.0, Expected(0, 0, 0, 2.0, 0, -2.0),
            "Grid-dependent consumption",
        ),
        Scenario(
            2, "daytime-pv", "Daytime PV Generation", 10, 4.5, Expected(4.0, 0, 0, 0.5, 0, -0.5),
            "Self-generation covering most load", _DAY,
        ),
        Scenario(
            3, "battery-management", "Battery Management (Daytime Charging)", 30, 3.5,
            Expected(4.0, -1.0, 0, 0.5, 0, -0.5),
            "Energy storage building reserves", {**_DAY, "battery_reserve_pct": 50.0},
        ),
        Scenario(
            4, "battery-backup", "Battery Backup (Nighttime Discharging)", 80, 2.0, Expected(0, 2.0, 0, 0, 0, 0),
            "Battery providing backup power",
        ),
        Scenario(
            5, "market-selling", "Marketplace Selling (Excess PV Export)", 60, 2.5, Expected(4.0, 0, 0, 0, 1.5, 1.5),
            "Prosumer actively selling surplus", {**_DAY, "market_enabled": True},
        ),
        Scenario(
            6, "market-buying", "Marketplace Buying (Battery Recharging)", 60, 2.0, Expected(0, 2.0, 0, 0, 0, 0),
            "Smart purchasing to maintain reserves", {"market_enabled": True},
        ),
        Scenario(
            7, "island-mode", "Island Mode (Off-Grid Operation)", 60, 2.0, Expected(0, 2.0, 0, 0, 0, 0),
            "Off-grid operation, vulnerable to battery depletion", {"grid_connected": False},
        ),
        Scenario(
            8, "full-optimization", "Full System Optimization", 30, 3.0, Expected(4.0, -1.0, 0, 0, 0, 0),
            "Optimal prosumer operation", {**_DAY, "market_enabled": True, "battery_reserve_pct": 50.0},
        ),
        Scenario(
            9, "grid-failure", "Grid Failure Simulation", 60, 2.0, Expected(0, 2.0, 0, 0, 0, 0),
            "Emergency backup mode", {"grid_connected": False, "market_enabled": True},
        ),
        Scenario(
            10, "load-spike", "Load Spike Testing", 60, 6.0, Expected(4.0, 2.0, 0, 2.0, 0, -2.0),
            "Testing load response and battery buffering", {**_DAY, "manual_load_delta_kw": 2.0},
        ),
        Scenario(
            11, "ev-fast-charging", "EV Charging (Fast Mode)", 10, 2.0, Expected(4.0, 0, 3.0, 1.0, 0, -1.0),
            "EV fast charging from solar", {**_DAY, "ev_plug": True, "ev_mode": "fast"},
        ),
        Scenario(
            12, "sensor-bias", "Fault Injection (Sensor Bias)", 10, 4.5, Expected(4.0, 0, 0, 0.5, 0, -0.5),
            "Fault simulation for testing diagnostics", {**_DAY, "fault_inject": {"bias_pct": 10}},
        ),
    )
}  # fmt: skip

NO_SCENARIO = "none"


def scenario_named(name: str) -> Scenario:
    """Return the scenario `name`, a slug or its number.

    Raises:
        CommandError: `unknown_scenario`.

    """
    wanted = name.strip().lower()
    for scenario in SCENARIOS.values():
        if wanted in (scenario.slug, str(scenario.number)):
            return scenario
    raise CommandError(
        "unknown_scenario", f"there is no scenario {shown(name)}; the scenarios are {', '.join(SCENARIOS)} and none"
    )
