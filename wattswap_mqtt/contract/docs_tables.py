"""What the docs say of declarations is generated: tables between markers in `docs/*.md`, and `docs/asyncapi.json`.

A table stands between `<!-- table: switches -->` and `<!-- end -->`; a text begins with `<!-- text: scenarios -->`.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import orjson

from wattswap_mqtt.config import Settings, flag_of, variable_of, wanted
from wattswap_mqtt.contract import fault_pages, scenario_tables
from wattswap_mqtt.contract.asyncapi import asyncapi_document
from wattswap_mqtt.contract.codes import CODES
from wattswap_mqtt.contract.discovery import device_config
from wattswap_mqtt.contract.scenario_files import builtin_scenarios
from wattswap_mqtt.contract.scenario_tables import FIGURES, STATUS, first_figure
from wattswap_mqtt.contract.topics import CHANNELS, Topics
from wattswap_mqtt.core.errors import ConfigError
from wattswap_mqtt.core.faults import FAULTS
from wattswap_mqtt.core.plant import DEMO_METER
from wattswap_mqtt.core.quantities import QUANTITIES
from wattswap_mqtt.core.status import ALARMS
from wattswap_mqtt.core.switches import SWITCHES

DOCS = Path("docs")
ASYNCAPI_FILE = "asyncapi.json"

_BLOCK = re.compile(r"(<!-- (table|text): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(*, check: bool) -> int:
    """Write the docs below the working directory anew, or only say what is out of date; returns the exit code."""
    if not DOCS.is_dir():
        raise ConfigError("there is no docs folder here: run this in the project's folder")
    stale = {
        path: text for path, text in fresh_docs(DOCS).items() if not path.exists() or path.read_text("utf-8") != text
    }
    for path, text in stale.items():
        if not check:
            path.write_text(text, "utf-8")
        sys.stdout.write(f"{path} {'is out of date: run `wattswap docs`' if check else 'written'}\n")
    return 1 if check and stale else 0


def fresh_docs(folder: Path) -> dict[Path, str]:
    """Return every generated file in `folder` with the text it should have."""
    filled = {path: fill(path.read_text("utf-8")) for path in sorted(folder.rglob("*.md"))}
    document = orjson.dumps(asyncapi_document(Topics()), option=orjson.OPT_INDENT_2).decode() + "\n"
    return filled | {folder / ASYNCAPI_FILE: document}


def fill(text: str) -> str:
    """Return `text` with what stands between its markers made anew.

    Raises:
        ConfigError: a marker names something that does not exist.

    """
    return _BLOCK.sub(lambda block: f"{block[1]}{_made(block[2], block[3])}{block[4]}", text)


def _made(kind: str, name: str) -> str:
    known = TABLES if kind == "table" else TEXTS
    if name not in known:
        raise ConfigError(f"the docs ask for a {kind} {name!r}; there are {', '.join(known)}")
    return known[name]()


def _table(header: str, rows: Iterable[Iterable[object]]) -> str:
    names = header.split(" | ")
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _code(value: object) -> str:
    return f"`{value}`"


def _range(minimum: float, maximum: float, unit: str | None) -> str:
    return f"{minimum:.10g} … {maximum:.10g}{f' {unit}' if unit else ''}"


def _topics() -> str:
    of = Topics()
    return _table(
        "topic | from | QoS | retained | payload",
        (
            (_code(of.address(channel)), channel.sent_by, channel.qos, channel.retained, channel.meaning)
            for channel in CHANNELS
        ),
    )


def _quantities() -> str:
    entities = device_config(Topics(), "main", DEMO_METER)["cmps"]
    rows = []
    for path in QUANTITIES:
        quantity = path.quantity
        what = ", ".join(map(_code, quantity.options)) if len(quantity.options) in range(1, 6) else quantity.kind
        rows.append(
            (
                _code(path.dotted),
                quantity.unit or what,
                quantity.meaning + (" (null when not defined)" if quantity.nullable else ""),
                _code(entities[f"{path.section}_{path.field}"]["def_ent_id"]),
            )
        )
    return _table("field | unit or values | meaning | entity", rows)


def _switches() -> str:
    entities = device_config(Topics(), "main", DEMO_METER)["cmps"]
    takes = {"bool": "ON, OFF", "faults": "an object, see the faults"}
    rows = (
        (
            _code(switch.name),
            takes.get(switch.kind) or ", ".join(switch.options) or _range(switch.minimum, switch.maximum, switch.unit),
            _code(orjson.dumps(switch.default).decode()),
            switch.meaning,
            _code(entities[f"switch_{switch.name}"]["def_ent_id"]),
        )
        for switch in SWITCHES.values()
    )
    return _table("switch | takes | default | meaning | entity", rows)


def _faults() -> str:
    takes = {"bool": "true, false", "fields": "a list of fields"}
    rows = (
        (_code(fault.key), takes.get(fault.kind) or _range(fault.minimum, fault.maximum, fault.unit), fault.meaning)
        for fault in FAULTS.values()
    )
    return _table("key | takes | what it does", rows)


def _scenarios() -> str:
    rows = (
        (
            scenario.number,
            _code(scenario.slug),
            ", ".join(f"{name} {orjson.dumps(value).decode()}" for name, value in scenario.changed.items()),
            *(f"{number:g}" for number in (scenario.start.soc_pct, scenario.start.base_load_kw)),
            *(_figure(first_figure(scenario, path)) for path in (*FIGURES.values(), STATUS)),
        )
        for scenario in builtin_scenarios().values()
    )
    header = "# | scenario | switches | SoC % | base load | pv | battery | ev | import | export | net | status line"
    return _table(header, rows)


def _figure(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float | int) else str(value)


def _alarms() -> str:
    return _table("code | level | message", ((_code(alarm.code), alarm.level, alarm.msg) for alarm in ALARMS))


def _codes() -> str:
    return _table("code | meaning", ((_code(code), meaning) for code, meaning in CODES.items()))


def _settings() -> str:
    rows = (
        (_code(flag_of(name)), _code(variable_of(name)), _default(field.default), field.description, wanted(name))
        for name, field in Settings.model_fields.items()
    )
    return _table("flag | variable | default | meaning | takes", rows)


def _default(value: object) -> str:
    return "" if value is None else _code(value)


TABLES: Mapping[str, Callable[[], str]] = {
    "topics": _topics,
    "quantities": _quantities,
    "switches": _switches,
    "faults": _faults,
    "scenarios": _scenarios,
    "alarms": _alarms,
    "codes": _codes,
    "settings": _settings,
}
TEXTS: Mapping[str, Callable[[], str]] = {
    "scenarios": lambda: f"\n{''.join(scenario_tables.pages())}",
    "faults": lambda: f"\n{''.join(fault_pages.pages())}",
}
