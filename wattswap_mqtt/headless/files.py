"""Files that are whole or not there: what is written lies beside its place until it is done."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattswap_mqtt.core.errors import StorageError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield where to write; a failure, or Ctrl-C, leaves at `path` what was there before.

    Raises:
        StorageError: it cannot be written.

    """
    place = path.resolve()
    apart = place.is_file() or not place.exists()  # a pipe or a device takes it as it comes
    part = place.with_name(f"{place.name}.part") if apart else place
    try:
        yield part
        if apart:
            part.replace(place)
    except OSError as error:
        raise StorageError(f"{path}: {os.strerror(error.errno) if error.errno else error}") from None
    finally:
        if apart:
            part.unlink(missing_ok=True)
