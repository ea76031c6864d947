"""`wattswap watch`: a live table of meters in the terminal, from their state topics."""

import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import orjson
from rich.live import Live
from rich.table import Table

from wattswap_mqtt.config import Settings
from wattswap_mqtt.contract.topics import STATE, Topics
from wattswap_mqtt.mqtt import Connection, Message

REFRESH_S = 0.5
COLUMNS = {
    "pv": ("pv", "pv_power_kw"),
    "load": ("loads", "load_power_kw"),
    "battery": ("battery", "battery_power_kw"),
    "soc %": ("battery", "soc_pct"),
    "ev": ("ev", "power_kw"),
    "import": ("grid", "grid_import_kw"),
    "export": ("grid", "grid_export_kw"),
    "status": ("derived", "status_badge"),
}


def watch(settings: Settings, only: Collection[str] | None) -> None:
    """Show the latest state of every meter, or of `only` some, until Ctrl-C."""
    topics = Topics(settings.base_topic, settings.discovery_prefix)
    states: dict[str, Mapping[str, Any]] = {}

    def remember(message: Message) -> None:
        if message.payload:
            state = orjson.loads(message.payload)
            states[state["meter_id"]] = state

    filters = [topics.state(meter_id) for meter_id in only] if only else [topics.filter(STATE)]
    connection = Connection(
        settings.broker_address,
        f"wattswap-watch-{uuid.uuid4().hex[:8]}",
        subscriptions=[(name, 0) for name in filters],
        on_message=remember,
    )
    try:
        with suppress(KeyboardInterrupt), Live(auto_refresh=False) as live:
            while True:
                until_s = time.monotonic() + REFRESH_S
                while (rest_s := until_s - time.monotonic()) > 0:
                    connection.wait(rest_s)
                where = f"{settings.broker_address}" + ("" if connection.connected else ", waiting for it")
                table = _table(states, where, live.console.height - 6)
                if live.console.is_terminal:
                    live.update(table, refresh=True)
                else:  # into a file or a pipe: one table after the other
                    live.console.print(table)
    finally:
        connection.close()


def _table(states: Mapping[str, Mapping[str, Any]], where: str, rows: int) -> Table:
    shown = sorted(states)[: max(rows, 1)]
    clock = f", {states[shown[0]]['timestamp'][:19].replace('T', ' ')}" if shown else ""
    more = f", {len(states) - len(shown)} more" if len(states) > len(shown) else ""
    table = Table(title=f"{len(states)} meters at {where}{clock}{more}; powers in kW", title_justify="left", box=None)
    table.add_column("meter", no_wrap=True)
    for title in COLUMNS:
        table.add_column(title, justify="left" if title == "status" else "right", no_wrap=True)
    for meter_id in shown:
        cells = (states[meter_id][section][field] for section, field in COLUMNS.values())
        table.add_row(meter_id, *(_text(cell) for cell in cells))
    return table


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else str(value)
