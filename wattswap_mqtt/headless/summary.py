"""What a run adds up to, as numbers and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.records import Register
from wattswap_mqtt.headless.homes import Ended
from wattswap_mqtt.headless.plan import Plan


class Measure(NamedTuple):
    """A figure of a home or of all of them."""

    name: str
    unit: str
    title: str


ENERGIES = tuple(
    Measure(f"{flow.name.lower()}_kwh", "kWh", title)
    for flow, title in zip(
        (Register.IMPORTED, Register.EXPORTED, Register.PV, Register.LOAD, Register.CHARGED, Register.DISCHARGED,
         Register.EV, Register.UNSERVED, Register.CURTAILED),
        ("imported", "exported", "PV", "load (EV included)", "battery charged", "battery discharged", "EV charged",
         "unserved", "curtailed"),
        strict=True,
    )
)  # fmt: skip
MEASURES = (
    *ENERGIES,
    Measure("self_consumption_pct", "%", "self-consumption: PV that was not exported"),
    Measure("self_sufficiency_pct", "%", "autarky: load that was not imported"),
    Measure("import_cost_apt", "apt", "import at the utility's price"),
    Measure("export_revenue_apt", "apt", "export at the feed-in tariff"),
    Measure("cost_apt", "apt", "cost"),
    Measure("co2_emissions_kg", "kg", "CO₂ emitted by the import"),
    Measure("co2_savings_kg", "kg", "CO₂ saved by the PV"),
    Measure("co2_net_kg", "kg", "CO₂ net of the export"),
    Measure("token_earnings_apt", "apt", "tokens earned on the market"),
    Measure("token_spending_apt", "apt", "tokens spent on the market"),
)


def measures(ended: Ended) -> dict[str, Floats]:
    """Return every figure of each home: name to (n,), NaN where a share has nothing to be of."""
    kwh = dict(zip((measure.name for measure in ENERGIES), ended.registers, strict=False))
    registers, (cost, revenue), (earned, spent) = ended.registers, ended.cost_apt, ended.tokens_utok
    emitted = registers[Register.CO2_EMITTED]
    return kwh | {
        "self_consumption_pct": _share(kwh["pv_kwh"] - kwh["exported_kwh"], kwh["pv_kwh"]),
        "self_sufficiency_pct": _share(kwh["load_kwh"] - kwh["imported_kwh"], kwh["load_kwh"]),
        "import_cost_apt": cost,
        "export_revenue_apt": revenue,
        "cost_apt": cost - revenue,
        "co2_emissions_kg": emitted,
        "co2_savings_kg": registers[Register.CO2_SAVED],
        "co2_net_kg": emitted - registers[Register.CO2_AVOIDED],
        "token_earnings_apt": earned * 1e-6,
        "token_spending_apt": spent * 1e-6,
    }


def _share(part: Floats, whole: Floats) -> Floats:
    return 100.0 * np.maximum(part, 0.0) / np.where(whole > 0.0, whole, np.nan)


def _plain(figures: Mapping[str, Floats], meter: int) -> dict[str, float | None]:
    """Return one home's figures as JSON takes them."""
    return {
        name: None if np.isnan(values[meter]) else round(float(values[meter]), 6) for name, values in figures.items()
    }


@dataclass(frozen=True)
class Summary:
    """A finished run."""

    plan: Plan
    ids: Sequence[str]
    ended: Ended
    seed: int
    took_s: float

    @property
    def all(self) -> dict[str, float | None]:
        """The figures of all homes together."""
        return _plain(measures(Ended(*(part.sum(axis=1, keepdims=True) for part in self.ended))), 0)

    def document(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        figures = measures(self.ended)
        begin, end = (datetime.fromtimestamp(at_s, UTC).isoformat() for at_s in (self.plan.start_s, self.plan.end_s))
        return {
            "start": begin,
            "end": end,
            "tz": self.plan.zone.key,
            "seed": self.seed,
            "step_s": self.plan.step_s,
            "switches": dict(self.plan.switches),
            "homes": len(self.ids),
            "units": {measure.name: measure.unit for measure in MEASURES},
            "all": self.all,
            "meters": {name: _plain(figures, meter) for meter, name in enumerate(self.ids)},
            "took_s": round(self.took_s, 3),
            "home_steps_per_s": round(self.home_steps / self.took_s),
        }

    @property
    def home_steps(self) -> float:
        """How many steps of a home were simulated."""
        return len(self.ids) * (self.plan.end_s - self.plan.start_s) / self.plan.step_s

    def table(self) -> Table:
        """Return the figures of all homes, and of the mean home, for people."""
        begin, end = (
            datetime.fromtimestamp(at_s, self.plan.zone).isoformat(" ", "minutes")
            for at_s in (self.plan.start_s, self.plan.end_s)
        )
        title = f"{len(self.ids)} homes, {begin} to {end}"
        rate = self.home_steps / self.took_s
        caption = f"{self.took_s:.1f} s, {rate / 1e6:.2f} M house-steps/s"
        found = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
        found.add_column("")
        for heading in ("all", "mean home", "unit"):
            found.add_column(heading, justify="left" if heading == "unit" else "right")
        for measure in MEASURES:
            value = self.all[measure.name]
            if value is None or (measure.name.startswith("token") and not self.plan.couples):
                continue
            mean = value if measure.unit == "%" else value / len(self.ids)
            found.add_row(measure.title, f"{value:,.1f}", f"{mean:,.1f}", measure.unit)
        return found
