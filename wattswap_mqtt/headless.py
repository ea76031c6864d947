"""`wattswap simulate`: a community without MQTT, as fast as the machine goes; energies by the quarter hour as CSV."""

import csv
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track

from wattswap_mqtt.config import Settings
from wattswap_mqtt.core.errors import ConfigError, StorageError
from wattswap_mqtt.core.records import Register
from wattswap_mqtt.founding import found_community

QUARTER_S = 900
FASTEST = 3600.0
"""Time acceleration that gives the longest sub-steps."""
MOST_DAYS = 3660.0


def simulate(settings: Settings, days: float, output: Path) -> None:
    """Let the community of `settings` live for `days` from its start on, and write what each quarter hour added.

    Raises:
        ConfigError: an impossible span.
        StorageError: the file cannot be written.

    """
    if not QUARTER_S / 86400 <= days <= MOST_DAYS:
        raise ConfigError(f"--days takes a number from {QUARTER_S / 86400:.4f} (a quarter hour) to {MOST_DAYS:.0f}")
    start_s = (time.time() if settings.start_s is None else settings.start_s) // QUARTER_S * QUARTER_S
    community = found_community(settings, start_s)
    community.set_switches(0, {"time_acceleration": FASTEST})
    console = Console(stderr=True)
    began_s = time.monotonic()
    first = community.state.registers
    names = [f"{register.name.lower()}_{'kg' if register.name.startswith('CO2') else 'kwh'}" for register in Register]
    try:
        with output.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["quarter_start", "meter_id", *names])
            for _ in track(range(round(days * 86400 / QUARTER_S)), "simulating", console=console, transient=True):
                quarter = datetime.fromtimestamp(community.clock_s, UTC).isoformat()
                before = community.state.registers
                community.advance(QUARTER_S)
                added = (community.state.registers - before).T.round(6).tolist()
                rows.writerows([quarter, name, *energies] for name, energies in zip(community.ids, added, strict=True))
    except OSError as error:
        raise StorageError(f"--output {output}: {error.strerror}") from None
    took_s = time.monotonic() - began_s
    total = (community.state.registers - first).sum(axis=1)
    console.print(f"{len(community.ids)} homes, {days:g} days in {took_s:.1f} s; written to {output}. In all:")
    for name, amount in zip(names, total.tolist(), strict=True):
        console.print(f"  {name:24} {amount:14.3f}", highlight=False)
