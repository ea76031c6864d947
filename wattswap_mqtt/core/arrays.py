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
