"""The pure core: the energy sub-step and the full tick, beside a bare numpy step of the same kind."""

from collections.abc import Callable

import numpy as np

from benchmarks.timing import Row, Seconds, interleaved, rate, ratio
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.plant import meter_ids

TITLE = "The core"
ABOUT = """\
One process, one thread; house-steps per second. The sub-step is `Community.advance` by one second (market, faults
and the clock included), the full tick adds `Community.read`: what every meter reports. The bare step is 45 float64
operations of numpy on as many homes: an energy balance without randomness, metering, EV, market or rules."""
MIDSUMMER_NOON_S = 1_782_036_000.0
SUBSTEP_TARGET, TICK_TARGET, ONE_HOME_TARGET_S = 10e6, 4e6, 150e-6


def rows() -> list[Row]:
    """Measure."""
    found = []
    for homes in (1, 1_000, 10_000, 100_000):
        taken = interleaved(_candidates(homes), windows=60 if homes < 100_000 else 30)
        found += [_row(homes, name, taken) for name in ("sub-step", "full tick")]
    return found


def _row(homes: int, name: str, taken: dict[str, Seconds]) -> Row:
    seconds, bare_s = float(np.median(taken[name])), float(np.median(taken["bare"]))
    target, reached = "", None
    if homes == 10_000:
        wanted = SUBSTEP_TARGET if name == "sub-step" else TICK_TARGET
        target, reached = f"≥ {rate(1, int(wanted))}", homes / seconds >= wanted
    if homes == 1 and name == "full tick":
        target, reached = f"≤ {ONE_HOME_TARGET_S * 1e6:.0f} µs", seconds <= ONE_HOME_TARGET_S
    shown, bare = rate(seconds, homes), rate(bare_s, homes)
    if homes == 1:
        shown, bare = f"{seconds * 1e6:.0f} µs", f"{bare_s * 1e6:.0f} µs"
    best = rate(float(taken[name].min()), homes) if homes > 1 else f"{taken[name].min() * 1e6:.0f} µs"
    return Row(
        f"{name}, N = {homes:,}",
        f"{shown} (best window {best})",
        target,
        reached,
        bare,
        ratio(taken["bare"], taken[name]),
    )


def _candidates(homes: int) -> dict[str, Callable[[], object]]:
    community = Community(meter_ids("main", homes), start_s=MIDSUMMER_NOON_S)

    def tick() -> None:
        community.advance(1.0)
        community.read()
        community.take_events()

    return {"bare": bare_step(homes), "sub-step": lambda: community.advance(1.0), "full tick": tick}


def bare_step(n: int) -> Callable[[], None]:
    """Return a step of n homes in 45 operations on float64 arrays."""
    rng = np.random.default_rng(1)
    sun, cloud, area, base = (rng.random(n) for _ in range(4))
    capacity, reserve, limit, grid_limit = (
        rng.random(n) + 10.0,
        rng.random(n),
        rng.random(n) + 3.0,
        rng.random(n) + 10.0,
    )
    stored, hours, efficiency = capacity / 2.0, 1.0 / 3600.0, 0.96
    registers = [np.zeros(n) for _ in range(7)]

    def step() -> None:
        nonlocal stored
        irradiance = sun * cloud
        cell = irradiance * 30.0 + 20.0
        potential = np.minimum(irradiance * area * (1.0 - (cell - 25.0) * 0.0037), 4.0)
        house = base * 2.0 + 0.3
        net = house - potential
        deficit = np.maximum(net, 0.0)
        surplus = deficit - net
        room = (capacity - stored) / (efficiency * hours)
        spare = np.maximum(stored - reserve, 0.0) * (efficiency / hours)
        charge = np.minimum(np.minimum(surplus, limit), room)
        discharge = np.minimum(np.minimum(deficit, limit), spare)
        through = net + charge - discharge
        limited = np.maximum(np.minimum(through, grid_limit), -grid_limit)
        imported = np.maximum(limited, 0.0)
        exported = imported - limited
        stored = stored + (charge * efficiency - discharge / efficiency) * hours
        for at, power in enumerate((potential, house, charge, discharge, imported, exported, through - limited)):
            registers[at] += power * hours

    return step
