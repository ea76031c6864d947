"""The rows as Parquet; units and the run's settings are metadata of the schema."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wattswap_mqtt.headless.homes import COLUMNS, Block
from wattswap_mqtt.headless.tables import NAMES, Table


class ParquetTable(Table):
    """One row group a block."""

    def __init__(self, path: Path, ids: Sequence[str], about: Mapping[str, str]) -> None:
        self._ids = pa.array(ids, pa.string())
        self._schema = pa.schema(
            [
                pa.field("start", pa.timestamp("ms", "UTC"), nullable=False),
                pa.field("meter_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
                *(pa.field(name, pa.float32(), nullable=False, metadata={"unit": unit}) for name, unit in COLUMNS),
            ],
            metadata=dict(about),
        )
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="zstd", compression_level=1, use_dictionary=["start", "meter_id"]
        )

    def write(self, block: Block) -> None:
        """Add the rows of a block."""
        periods, homes = len(block.starts_s), len(self._ids)
        starts = np.repeat(np.array(block.starts_s) * 1000.0, homes).astype(np.int64)
        meters = pa.DictionaryArray.from_arrays(np.tile(np.arange(homes, dtype=np.int32), periods), self._ids)
        values = [pa.array(block.values[:, column, :].ravel()) for column in range(len(NAMES))]
        times = pa.array(starts, pa.timestamp("ms", "UTC"))
        self._writer.write_batch(pa.record_batch([times, meters, *values], schema=self._schema))

    def close(self) -> None:
        """Write the last group and where they all are."""
        self._writer.close()
