"""Counter-based randomness."""

import numpy as np
import pytest

from wattswap_mqtt.core import draws

IDS = tuple(f"meter_{number:05d}" for number in range(2, 2002))
KEYS = draws.meter_keys(1, IDS)


def test_a_draw_depends_on_seed_meter_stream_and_counter_and_on_nothing_else():
    alone = draws.meter_keys(1, IDS[7:8])
    assert draws.uniform(alone, 3, 5)[0] == draws.uniform(KEYS, 3, 5)[7]
    others = [
        draws.uniform(draws.meter_keys(2, IDS[7:8]), 3, 5)[0],
        draws.uniform(KEYS, 3, 5)[8],
        draws.uniform(alone, 4, 5)[0],
        draws.uniform(alone, 3, 6)[0],
    ]
    assert draws.uniform(alone, 3, 5)[0] not in others


def test_meters_have_keys_of_their_own():
    many = tuple(f"meter_{number:05d}" for number in range(100_000))
    assert len(np.unique(draws.meter_keys(1, many))) == len(many)


@pytest.mark.parametrize("counter", [0, 1, 2_000_000, 2**40])
def test_uniform_numbers_are_uniform(counter):
    values = draws.uniform(KEYS, 8, counter)
    assert (values >= 0.0).all()
    assert (values < 1.0).all()
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 33.7  # chi square with 9 degrees of freedom, 1 in 10,000


def test_numbers_along_the_counter_are_not_correlated():
    series = np.array([draws.uniform(KEYS[:50], 8, counter) for counter in range(400)])
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(series[lag:].ravel(), series[:-lag].ravel())[0, 1]) < 0.03


def test_neighbouring_streams_and_meters_are_not_correlated():
    first, second = draws.uniform(KEYS, 8, 1), draws.uniform(KEYS, 9, 1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.08
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.08


def test_normal_numbers_have_mean_0_and_variance_1_and_are_independent():
    values = draws.normals(KEYS, 16, 3, 4)
    assert values.shape == (4, len(KEYS))
    assert values.mean(axis=1) == pytest.approx(np.zeros(4), abs=0.1)
    assert values.var(axis=1) == pytest.approx(np.ones(4), abs=0.1)
    assert np.abs(values).max() <= 2.45
    assert np.corrcoef(values) == pytest.approx(np.eye(4), abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, -1])
def test_any_whole_number_is_a_seed(seed):
    assert len(np.unique(draws.meter_keys(seed, IDS))) == len(IDS)
    assert 0.0 <= draws.smooth(seed, 1, 123.456) < 1.0


def test_smooth_noise_is_smooth_and_moves():
    values = np.array([draws.smooth(1, 1, 1e5 + step / 100) for step in range(5000)])
    assert (values >= 0.0).all()
    assert (values < 1.0).all()
    assert np.abs(np.diff(values)).max() < 0.016
    assert values.std() > 0.15
    assert values.mean() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("position", [-3.2, -1.0, 0.0, 0.5, 1.0, 7e6])
def test_smooth_noise_has_no_seams(position):
    left, right = draws.smooth(1, 1, position - 1e-6), draws.smooth(1, 1, position + 1e-6)
    assert left == pytest.approx(right, abs=1e-4)
