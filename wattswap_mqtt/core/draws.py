"""Counter-based randomness: a draw depends on the meter's key, the stream and the counter, on nothing else.

So a meter does not change when its neighbours become more, and a run can be repeated or resumed at any tick.

Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195).
"""

import math
import zlib
from functools import lru_cache

import numpy as np

from wattswap_mqtt.core.arrays import Floats, Keys, constant

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M1, _M2 = np.array(0xBF58476D1CE4E5B9, np.uint64), np.array(0x94D049BB133111EB, np.uint64)
_S30, _S27, _S31, _S11 = (np.array(bits, np.uint64) for bits in (30, 27, 31, 11))


def _mix(x: Keys) -> Keys:
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


def meter_keys(seed: int, meter_ids: tuple[str, ...]) -> Keys:
    """Return one key per meter from the run's seed and the meter's id."""
    names = np.array([zlib.crc32(name.encode()) for name in meter_ids], np.uint64)
    return _mix(_mix(names) + np.uint64((seed * _GOLDEN) & _MASK))


def bits(keys: Keys, stream: int, counter: int) -> Keys:
    """Return 64 random bits per key."""
    return _mix(keys + np.array(((stream << 56) + (counter + 1) * _GOLDEN) & _MASK, np.uint64))


def uniform(keys: Keys, stream: int, counter: int) -> Floats:
    """Return a number in [0, 1) per key."""
    return (bits(keys, stream, counter) >> _S11).astype(np.float64) * 2.0**-53


def normals(keys: Keys, stream: int, counter: int, count: int) -> Floats:
    """Return up to four nearly normal numbers per key, shape (count, n): mean 0, variance 1, bounded by ±2.44.

    Each is the sum of two uniform 8-bit numbers: plenty for the noise of a meter's reading, and one draw for all four.
    """
    octets = bits(keys, stream, counter).view(np.uint8).reshape(-1, 8).T.astype(np.float64, order="C")
    sums: Floats = octets[:count] + octets[4 : 4 + count]
    sums -= _MEAN
    sums *= _SCALE
    return sums


_MEAN, _SCALE = constant(255.0), constant(1 / math.sqrt((256**2 - 1) / 6))


def _mix_whole(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def smooth(seed: int, stream: int, position: float) -> float:
    """Return smooth noise in [0, 1): random at whole positions, a cubic blend between them."""
    whole = math.floor(position)
    left, right = _at_whole(seed, stream, whole), _at_whole(seed, stream, whole + 1)
    part = position - whole
    return left + (right - left) * part * part * (3 - 2 * part)


@lru_cache(maxsize=1024)
def _at_whole(seed: int, stream: int, position: int) -> float:
    start = (seed * _GOLDEN + (stream << 56)) & _MASK
    return _mix_whole((start + (position + 1) * _GOLDEN) & _MASK) * 2.0**-64
