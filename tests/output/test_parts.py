"""Fields that are per area of a part of a cell: how files describe and average them."""

from __future__ import annotations

import numpy as np
import pytest

from coupler.driver.files import cell_area
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.output.writer import area_means
from coupler.where import BESIDE

GRID = Grid.gaussian(6, 10)


@pytest.mark.parametrize("model", ["atmosphere", *BESIDE])
def test_only_cells_of_the_sea_are_called_so(model: str) -> None:
    assert cell_area(model) == ("areacello" if model in {"ocean", "ice"} else "areacella")


def means_of(**means: np.ndarray) -> dict[str, tuple[float, str, str]]:
    """Global means of fields of the table, given as columns."""
    live = {n: (FIELDS[n], a) for n, a in means.items()}
    return area_means({n: a.reshape(-1) for n, a in means.items()}, live, GRID)


def test_a_mean_over_the_globe_is_over_the_part_that_a_field_is_per_area_of() -> None:
    rng = np.random.default_rng(1)
    ice, ts = rng.uniform(size=(2, *GRID.shape))
    ice[1:5] = 0.0
    found = means_of(ts_ice=ts, sft_ice=ice, pr=ts)
    weights = ice * GRID.cell_weights
    assert found["ts_ice"][0] == pytest.approx((weights * ts).sum() / weights.sum(), rel=1e-12)
    assert found["pr"][0] == pytest.approx(np.average(ts, weights=GRID.cell_weights), rel=1e-12)
    assert found["sft_ice"][0] == pytest.approx(weights.sum(), rel=1e-12)
    assert found["ts_ice"][1:] == ("K", "mean, weighted with sft_ice, of Temperature of Ice")


@pytest.mark.parametrize("fraction", [{}, {"sft_ice": np.zeros(GRID.shape)}])
def test_there_is_no_mean_over_a_part_that_is_unknown_or_nowhere(
    fraction: dict[str, np.ndarray],
) -> None:
    assert set(means_of(ts_ice=np.full(GRID.shape, 271.35), **fraction)) == set(fraction)
