"""The checkpoint: plain values and arrays by meter, in one blob."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from wattswap_mqtt.core.errors import StorageError

Arrays = dict[str, NDArray[np.generic]]
"""By name; the last axis is the meter."""

HEAD_STEP = 4096
"""The line of JSON takes a multiple of so many bytes."""


def encode_checkpoint(plain: dict[str, Any], ids: Sequence[str], arrays: Arrays) -> bytes:
    """Return one blob: a line of JSON that describes it, and the arrays one after the other.

    The line is filled up with blanks, so that the blob seldom changes its size: SQLite writes a value of the same size
    in place, in a quarter of the time.
    """
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    head = orjson.dumps({"plain": plain, "ids": list(ids), "arrays": shapes})
    head += b" " * (-len(head) % HEAD_STEP)
    return b"".join((head, b"\n", *(np.ascontiguousarray(array).tobytes() for array in arrays.values())))


def decode_checkpoint(blob: bytes) -> tuple[dict[str, Any], list[str], Arrays]:
    """Read what `encode_checkpoint` wrote; the arrays are read-only.

    Raises:
        StorageError: it is not such a blob.

    """
    try:
        head, _, body = blob.partition(b"\n")
        described = orjson.loads(head)
        arrays: Arrays = {}
        offset = 0
        for name, (dtype, shape) in described["arrays"].items():
            array = np.frombuffer(body, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)
            arrays[name], offset = array, offset + array.nbytes
        return described["plain"], described["ids"], arrays
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"the checkpoint cannot be read: {error}") from error


def column_of(arrays: Arrays, column: int) -> Arrays:
    """Return the arrays of a single meter."""
    return {name: array[..., column : column + 1] for name, array in arrays.items()}
