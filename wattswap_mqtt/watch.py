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
    "pv kW": ("pv", "pv_power_kw"),
    "load kW": ("loads", "load_power_kw"),
    "battery kW": ("battery", "battery_power_kw"),
    "soc %": ("battery", "soc_pct"),
    "ev kW": ("ev", "power_kw"),
    "import kW": ("grid", "grid_import_kw"),
    "export kW": ("grid", "grid_export_kw"),
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
        on_connect=lambda: None,
    )
    try:
        with suppress(KeyboardInterrupt), Live(auto_refresh=False) as live:
            while True:
                until_s = time.monotonic() + REFRESH_S
                while (rest_s := until_s - time.monotonic()) > 0:
                    connection.wait(rest_s)
                where = f"{settings.broker_address}" + ("" if connection.connected else ", waiting for it")
                live.update(_table(states, where, live.console.height - 6), refresh=True)
    finally:
        connection.close()


def _table(states: Mapping[str, Mapping[str, Any]], where: str, rows: int) -> Table:
    shown = sorted(states)[: max(rows, 1)]
    more = f", {len(states) - len(shown)} more" if len(states) > len(shown) else ""
    table = Table("meter", "time", title=f"{len(states)} meters at {where}{more}", title_justify="left")
    for title in COLUMNS:
        table.add_column(title, justify="left" if title == "status" else "right")
    for meter_id in shown:
        state = states[meter_id]
        cells = (state[section][field] for section, field in COLUMNS.values())
        table.add_row(meter_id, state["timestamp"][11:19], *(_text(cell) for cell in cells))
    return table


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else str(value)
