"""Names for arrays; the last axis is the meter."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int8]
"""Words as their index in a tuple of options."""
Bools = NDArray[np.bool_]
Keys = NDArray[np.uint64]
"""Seeds of random draws, see draws.py."""


def constant(number: float) -> Floats:
    """Return a number of a formula in numpy's own form: with Python's, each operation on a single home takes twice."""
    return np.array(number)


ZERO = constant(0.0)
