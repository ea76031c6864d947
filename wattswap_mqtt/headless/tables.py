"""Where the rows go: one per home and period, as CSV; as Parquet in parquet.py."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from wattswap_mqtt.headless.homes import COLUMNS, Block

NAMES = [name for name, _ in COLUMNS]
_FORMATS = ["%.3f" if unit == "%" else "%.6f" for _, unit in COLUMNS]


class Table(Protocol):
    """A file that is being written."""

    def write(self, block: Block) -> None:
        """Add the rows of a block, in order of time and then of the homes."""

    def close(self) -> None:
        """Write what is still to be written."""


class CsvTable(Table):
    """Comma-separated; the unit is the end of each column's name."""

    def __init__(self, path: Path, ids: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(",".join(["start", "meter_id", *NAMES]) + "\r\n")
        self._rows = "".join(f"{{start}},{name},{','.join(_FORMATS)}\r\n" for name in ids)

    def write(self, block: Block) -> None:
        """Add the rows of a block, one formatting a period."""
        for start_s, values in zip(block.starts_s, block.values, strict=True):
            rows = self._rows.replace("{start}", datetime.fromtimestamp(start_s, UTC).isoformat())
            self._file.write(rows % tuple(values.T.ravel().tolist()))

    def close(self) -> None:
        """Write what is still in the buffer."""
        self._file.close()
