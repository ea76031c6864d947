"""Write docs/validation.md and its pictures: the physics beside references, by what the tests measure themselves.

`python docs/make_validation.py`; needs the development dependencies, and a minute.
"""

import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "validation"))

import battery_reference  # noqa: E402 - it is found only now
import ev_reference  # noqa: E402 - likewise
import load_reference  # noqa: E402 - likewise
import pv_reference  # noqa: E402 - likewise
from figures import PAGE, table  # noqa: E402 - likewise

PICTURES = ROOT / "docs" / "pictures"
OURS, THEIRS, OTHERS = "#b3443c", "#3b6ea5", "#e8a317"
MONTHS = "JFMAMJJASOND"
TEXT = """# Validation

The physics beside references. `make test` measures all of these figures and fails where one is out of its bound
(`tests/validation/`); `docs/make_validation.py` writes them down here by the same functions, and the tests compare
this page with what they measure.

Compared with: pvlib {pvlib}, nrel-pysam {pysam}, demandlib {demandlib}; and with published measurements.

## PV

A year of a roof of 4.8 kW to the south, tilted 35°, with an inverter of 4 kW, from the irradiance and the air
temperature of the weather file that pvlib ships (TMY3 723170TYA, Greensboro, North Carolina), hour by hour. Beside it
pvlib's chain (solar position, Hay and Davies, SAPM cell temperature, `pvwatts_dc`, `inverter.pvwatts`) and NREL's
Pvwattsv8 with the same losses.

{pv}
![Energy by month, and the days around the solstices](pictures/validation-pv.svg)

*Doubts.* One place, one mounting. The references know the wind, our homes do not. What is compared is the way from
irradiance to power: the weather that simulated homes live under is made up and stands beside no record. Shade, snow
and dirt are in the constant losses only.

## Battery

A year of the demo home's battery (10 kWh, 3 kW, 2 kW to the house, 92 % there and back) with the PV above and a
household of 4500 kWh, by quarter hours. Beside it NREL's Battery with its self-consumption dispatch and the same
powers, limits and efficiency.

{battery}
![Import and export by month, and a week of the state of charge](pictures/validation-battery.svg)

*Doubts.* What ours does not model is left out of the reference: ageing, temperature, the resistance of the cells. Both
follow the same rule of dispatch; reserves, orders and the market have no reference, their rules are tested one by one.

## Household load

Homes that live their own days, {homes} of them, on every 13th day of 2026 (all weekdays, all seasons), minute by
minute. Their mean stands beside the BDEW's standard load profile H0, dynamised, as demandlib makes it. Single homes
stand beside eight houses that were measured by the minute: Wright and Firth, *The nature of domestic electricity-loads
and effects of time averaging on statistics and on-site generation calculations*, Applied Energy 84 (2007) 389-403, who
found a load factor of 0.1. The bounds of the highest minutes are what kettle, hob, oven and dryer take, one or some at
a time: 2.0 to 2.5 kW each in Richardson, Thomson, Infield and Clifford, *Domestic electricity use: a high-resolution
energy demand model*, Energy and Buildings 42 (2010) 1878-1887.

{load}
![The mean home beside H0, a winter day of one home, and the highest minutes](pictures/validation-load.svg)

*Doubts.* H0 is of 1999, before heat pumps and home offices. Homes live up to an hour and a half earlier or later than
it does, which lifts the night and flattens the evening. Appliances start by chance, whoever is at home and awake:
coincidences are rarer than in a kitchen, and now and then water boils at three in the night; British homes with an
electric shower (9 kW in the model by Richardson et al.) peak higher than any of ours. A home's energy over a year
differs from what it declares by a few per cent, as chance has it.

## EV

Three weeks of {cars} vehicles whose drivers come home about 17 o'clock and plug in 4.4 times a week (Norwegian owners,
by a survey of the Institute of Transport Economics, TØI); what the days' driving took and what the charger gives is
the model's. Beside them 5466 sessions on charge points of residents' own: Sørensen, Lindberg, Sartori and Andresen,
*Residential electric vehicle charging datasets from apartment buildings*, Data in Brief 36 (2021) 107105,
[doi:10.1016/j.dib.2021.107105](https://doi.org/10.1016/j.dib.2021.107105), whose quartiles were computed from its data
set 1; they were plugged in most often between 16 and 17 o'clock. The median of British homes is of the Department for
Transport's *Electric Chargepoint Analysis 2017: Domestics*. How different the days are: Smart and Schey, *Battery
Electric Vehicle Driving and Charging Behavior Observed Early in The EV Project*, SAE Int. J. Alt. Power 1 (2012)
27-33. The taper: a pack of 50 kWh charged with 7.4 kW from 60 % on, beside the two-stage battery of ACN-Sim (Lee,
Johansson and Low, 2019), full power up to 80 %, then falling linearly.

{ev}
![Sizes of sessions, and the taper](pictures/validation-ev.svg)

*Doubts.* The size of a session hangs on how often drivers plug in, which is the user's (`ev_plug`): homes do not plug
in by themselves. Every day is a workday, every vehicle a mean one. At a home's few kilowatts real cars often hold full
power beyond 80 %: the last hours of a full charge are rather too slow.
"""


def main() -> None:
    """Measure, draw and write."""
    pv = pv_reference.compare()
    battery = battery_reference.compare(pv.ours)
    load, ev = load_reference.compare(), ev_reference.compare()
    mpl.rcParams["svg.hashsalt"] = "wattswap"  # the same figures give the same file
    _draw_pv(pv)
    _draw_battery(battery)
    _draw_load(load)
    _draw_ev(ev)
    page = TEXT.format(
        pvlib=version("pvlib"),
        pysam=version("nrel-pysam"),
        demandlib=version("demandlib"),
        homes=load_reference.HOMES,
        cars=ev_reference.HOMES,
        pv=table(pv_reference.figures(pv)),
        battery=table(battery_reference.figures(battery)),
        load=table(load_reference.figures(load)),
        ev=table(ev_reference.figures(ev)),
    )
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE)


def _draw_pv(year: pv_reference.Comparison) -> None:
    figure, (left, right) = _panels(2)
    models = (("ours", year.ours, OURS), ("pvlib", year.pvlib, THEIRS), ("PVWatts 8", year.pysam, OTHERS))
    for number, (name, kw, colour) in enumerate(models):
        sums = [kw[year.months == month].sum() for month in range(1, 13)]
        left.bar(np.arange(12) + 0.27 * (number - 1), sums, 0.27, color=colour, label=name)
        for day, line in ((172, "-"), (354, "--")):
            hours = slice(24 * day, 24 * day + 48)
            right.plot(kw[hours], line, color=colour)
    left.set(xticks=range(12), ylabel="kWh", ylim=(0, 800))
    left.set_xticklabels(MONTHS)
    left.legend(frameon=False, ncols=3)
    right.set(xticks=range(0, 49, 12), xlabel="hours: 22 and 23 June, 21 and 22 December (dashed)", ylabel="kW")
    _save(figure, "pv")


def _draw_battery(year: battery_reference.Comparison) -> None:
    figure, (left, right) = _panels(2)
    begins = 96 * np.array([(date(2025, month, 1) - date(2025, 1, 1)).days for month in range(1, 13)])
    for name, home, colour, line in (("ours", year.ours, OURS, "-"), ("NREL's", year.reference, THEIRS, "--")):
        for energy, sign, more in ((home.imported_kwh, 1.0, "import"), (home.exported_kwh, -1.0, "export")):
            sums = sign * np.add.reduceat(energy, begins)
            place = np.arange(12) + (-0.2 if name == "ours" else 0.2)
            left.bar(place, sums, 0.4, color=colour, alpha=1.0 if more == "import" else 0.6, label=f"{name}, {more}")
        week = slice(96 * 80, 96 * 87)
        right.plot(np.arange(7 * 96) / 96, home.soc_pct[week], line, color=colour, label=name)
    left.set(xticks=range(12), ylabel="kWh: import, export below")
    left.set_xticklabels(MONTHS)
    left.legend(frameon=False, fontsize=7)
    right.set(xlabel="days, from 22 March", ylabel="state of charge, %", ylim=(0, 102))
    right.legend(frameon=False)
    _save(figure, "battery")


def _draw_load(year: load_reference.Comparison) -> None:
    figure, (left, middle, right) = _panels(3)
    hours = np.arange(96) / 4 + 0.125
    for name, days, colour in (("ours", year.ours, OURS), ("H0", year.reference, THEIRS)):
        left.plot(hours, days.mean(axis=0), color=colour, label=name)
    left.set(
        xlim=(0, 24), xticks=range(0, 25, 6), xlabel="hour of the mean day", ylabel="kW, the mean of all homes", ylim=0
    )
    left.legend(frameon=False)
    middle.step(np.arange(1440) / 60, year.minutes[1, :, 0], color=OURS, linewidth=0.8)
    middle.set(xlim=(0, 24), xticks=range(0, 25, 6), xlabel="hour of 14 January, one home", ylabel="kW", ylim=0)
    right.hist(year.daily_peaks_kw.ravel(), bins=np.arange(1.0, 10.1, 0.25).tolist(), color=OURS)
    right.set(xlabel="highest minute of a day, kW", ylabel="days of homes")
    _save(figure, "load")


def _draw_ev(found: ev_reference.Comparison) -> None:
    figure, (left, right) = _panels(2)
    kwh = np.sort(found.sessions_kwh)
    left.step(kwh, np.arange(1, len(kwh) + 1) / len(kwh), color=OURS, label="ours")
    left.plot(
        ev_reference.QUARTILES_MEASURED_KWH, (0.25, 0.5, 0.75), "o", color=THEIRS, label="Sørensen et al., quartiles"
    )
    left.plot(ev_reference.MEDIAN_DOMESTIC_KWH, 0.5, "s", color=OTHERS, label="DfT 2017, median")
    left.set(xlim=(0, 45), ylim=(0, 1), xlabel="kWh in a session, at most", ylabel="share of the sessions")
    left.legend(frameon=False, loc="lower right")
    hours = np.arange(len(found.taper.ours)) / 60
    for name, soc, colour, line in (
        ("ours", found.taper.ours, OURS, "-"), ("ACN-Sim", found.taper.reference, THEIRS, "--")
    ):  # fmt: skip
        right.plot(hours, 100.0 * soc, line, color=colour, label=name)
    right.set(xlabel="hours", ylabel="state of charge, %")
    right.legend(frameon=False, loc="lower right")
    _save(figure, "ev")


def _panels(count: int) -> tuple[Figure, tuple[Axes, ...]]:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    return figure, tuple(figure.subplots(1, count))


def _save(figure: Figure, name: str) -> None:
    figure.savefig(PICTURES / f"validation-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
