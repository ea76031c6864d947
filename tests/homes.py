"""Homes for tests of the core: set up in one line, looked at by name."""

from datetime import datetime

import numpy as np
import orjson

from wattswap_mqtt.contract.scenario_files import builtin_scenarios
from wattswap_mqtt.contract.snapshots import SnapshotEncoder
from wattswap_mqtt.core.community import Community
from wattswap_mqtt.core.market.orders import OrderTerms
from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.records import Flow, Register
from wattswap_mqtt.core.scenarios import Scenario, scenario_named
from wattswap_mqtt.core.stacked import rounded

NOON_S = datetime.fromisoformat("2026-06-17T12:00:00+02:00").timestamp()
"""A Wednesday in summer at the default site."""
SUNRISE_S = 6
"""The daytime switch takes five seconds from night to full sun."""


def community(*ids: str, noise: float = 0.0, start_s: float = NOON_S, seed: int = 1, **more) -> Community:
    return Community(ids or ("demo_meter",), seed=seed, start_s=start_s, load_noise=noise, **more)


def home(
    *, soc: float | None = None, load: float | None = None, noise: float = 0.0, start_s: float = NOON_S, **switches
) -> Community:
    """Return the demo home alone, in steady state with these switches, state of charge (%) and base load (kW)."""
    alone = community(noise=noise, start_s=start_s)
    set_home(alone, 0, load=load, **switches)
    alone.advance(SUNRISE_S)
    set_home(alone, 0, soc=soc)
    return alone


def set_home(homes: Community, meter: int, *, soc: float | None = None, load: float | None = None, **switches) -> None:
    """Put a home at a state of charge (%) and a base load (kW), and set switches; its powers are right at once."""
    if soc is not None:
        homes.state.stored_kwh[meter] = homes.plant.battery_kwh[meter] * soc / 100.0
    if load is not None:
        homes.state.base_load_kw[meter] = load
    homes.set_switches(meter, switches)


SCENARIOS = builtin_scenarios()


def named(name: str) -> Scenario | None:
    """Return one of the package's scenarios by slug or number; None for `none`."""
    return None if name == "none" else scenario_named(name, SCENARIOS)


def powers(homes: Community, meter: int = 0) -> dict[str, float]:
    """Return the powers of the balance in kW: `grid_import`, `pv`, `load`, `charge`, …"""
    return {flow.name.lower(): float(homes.state.flows[flow, meter]) for flow in Flow}


def counted(homes: Community, meter: int = 0) -> dict[str, float]:
    """Return what the meter has counted: `imported`, `exported`, … in kWh, `co2_emitted` … in kg."""
    return {register.name.lower(): float(homes.state.metered[register, meter]) for register in Register}


def soc_of(homes: Community, meter: int = 0) -> float:
    return float(100.0 * homes.state.stored_kwh[meter] / homes.plant.battery_kwh[meter])


def reading(homes: Community, meter: int = 0) -> dict[str, float | str]:
    """Return what the meter reports, rounded as on the wire, by dotted names; enumerations as words."""
    readings, _ = homes.read([meter])
    return _named(readings.values)


def true_reading(homes: Community, meter: int = 0) -> dict[str, float | str]:
    """Return the truth beside the reading of a meter with faults."""
    _, truth = homes.read([meter])
    assert truth is not None
    return _named(truth.values)


def _named(values: np.ndarray) -> dict[str, float | str]:
    return {
        path.dotted: path.quantity.options[int(value)] if path.quantity.options else value
        for path, value in zip(QUANTITIES, rounded(values)[:, 0].tolist(), strict=True)
    }


def encoded(homes: Community) -> list[bytes]:
    """Return the state messages of all meters, and after them those of the truth, where it differs."""
    encoder = SnapshotEncoder(homes.ids, homes.site.tz, "1.2.3")
    readings, truth = homes.read()
    messages = encoder.encode(readings, 0.0, {})
    return messages if truth is None else messages + encoder.encode(truth, 0.0, {})


def market_order(side: str, kwh: float, duration_s: float, min_fill_kwh: float = 0.0) -> OrderTerms:
    return OrderTerms(side, "market", round(kwh * 1e6), duration_s, min_fill_mwh=round(min_fill_kwh * 1e6))


def restarted(homes: Community, *, ids: tuple[str, ...] = (), **more) -> Community:
    """Return a new community that goes on where `homes` is, by way of what a store keeps: JSON, and arrays by meter."""
    plain, arrays = homes.dump()
    changes = homes.exchange.take_changes()
    rows = orjson.loads(orjson.dumps([plain, homes.changed_meters(), changes.orders, changes.entries]))
    again = Community(
        ids or homes.ids, seed=homes.seed, start_s=0.0, site=homes.site, load_noise=homes.load_noise, **more
    )
    saved = {name: array.copy() for name, array in arrays.items()}
    columns = {row: (saved, homes.index[name]) for row, name in enumerate(again.ids) if name in homes.index}
    plain, meters, orders, entries = rows
    again.restore(plain, meters, columns, orders, entries)
    return again
