"""Snapshots as one matrix: a row for each quantity, a column for each meter."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, get_type_hints

import numpy as np

from wattswap_mqtt.core.arrays import Floats
from wattswap_mqtt.core.quantities import QUANTITIES, SECTIONS, Snapshot


def _values_of(record: type) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values of a record in the order of their declaration."""
    return itemgetter(*get_type_hints(record))


_TOP, _SECTIONS = _values_of(Snapshot), [_values_of(record) for record in SECTIONS.values()]
_FIELDS = [hint for record in SECTIONS.values() for hint in get_type_hints(record).values()]
_NESTED = [(place, _values_of(hint)) for place, hint in reversed([*enumerate(_FIELDS)]) if isinstance(hint, type)]
"""The fields of the sections that are records themselves, the last one first."""


def stack(snapshot: Snapshot) -> Floats:
    """Return a snapshot as one matrix (quantities, n) in the order of `QUANTITIES`; words and flags as numbers."""
    found: list[Any] = []
    for values_of, section in zip(_SECTIONS, _TOP(snapshot), strict=True):
        found += values_of(section)
    for place, values_of in _NESTED:
        found[place : place + 1] = values_of(found[place])
    return np.concatenate(found, dtype=np.float64, casting="unsafe").reshape(len(found), -1)


def rounded(values: Floats, *, for_hubs: bool = False) -> Floats:
    """Return stacked readings with each quantity rounded to its decimals, and no negative zero."""
    result = np.empty_like(values)
    height = max(_BLOCK // values.shape[1], 1)  # rows at a time that stay in the processor's cache
    all_scales = _HUB_SCALES if for_hubs else _SCALES
    for top in range(0, len(values), height):
        block, scales = result[top : top + height], all_scales[top : top + height]
        np.multiply(values[top : top + height], scales, out=block)
        np.rint(block, out=block)
        block += 0.0  # -0.0 becomes 0.0
        block /= scales
    return result


_BLOCK = 32_768
_SCALES = np.array([[10.0**path.quantity.decimals] for path in QUANTITIES])
_HUB_SCALES = np.array([[10.0**path.quantity.hub_decimals] for path in QUANTITIES])
