"""Blocks of columns side by side: loading and storing."""

import numpy as np
import pytest

from physics.columns import lanes


@pytest.mark.parametrize("ncol", [1, 5, lanes.LANES - 1, lanes.LANES, 2 * lanes.LANES + 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_column_is_loaded_and_stored_once_whatever_their_number(
    ncol: int, dtype: str
) -> None:
    field = np.random.default_rng(4).standard_normal((3, ncol)).astype(dtype)
    back, flat = np.full_like(field, np.nan), np.full(ncol, np.nan, dtype)
    block, row = np.empty((3, lanes.LANES)), np.empty(lanes.LANES)
    for start in range(0, ncol, lanes.LANES):
        lanes.load(field, start, block)
        lanes.load_flat(field[1], start, row)
        np.testing.assert_array_equal(block[1], row)
        rest = min(lanes.LANES, ncol - start)
        # no lane is without meaning: the last column fills what is left
        np.testing.assert_array_equal(
            block[:, rest:], field[:, [-1]] + np.zeros(lanes.LANES - rest)
        )
        lanes.store(block, start, back)
        lanes.store_flat(row, start, flat)
    np.testing.assert_array_equal(back, field)
    np.testing.assert_array_equal(flat, field[1])


def test_upward_goes_from_the_lowest_level_to_the_highest() -> None:
    np.testing.assert_array_equal(lanes.upward(4), [3, 2, 1, 0])
