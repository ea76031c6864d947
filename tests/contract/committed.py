"""Committed snapshots of the wire: a change of it is a reviewed diff."""

import os
from pathlib import Path

import orjson

FOLDER = Path(__file__).parent / "snapshots"


def check(name, value):
    """Compare `value` with the committed snapshot `name`, or write it if WATTSWAP_UPDATE_SNAPSHOTS is set."""
    path = FOLDER / f"{name}.json"
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"
    if os.environ.get("WATTSWAP_UPDATE_SNAPSHOTS"):
        path.write_text(text, "utf-8")
    assert path.exists(), f"there is no {path.name}; WATTSWAP_UPDATE_SNAPSHOTS=1 pytest tests/contract writes it"
    assert orjson.loads(path.read_bytes()) == orjson.loads(text), (
        f"the wire differs from {path.name}: if that is meant, WATTSWAP_UPDATE_SNAPSHOTS=1 pytest tests/contract "
        "writes it anew; say it in CHANGELOG.md"
    )
