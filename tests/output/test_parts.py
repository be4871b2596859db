"""Fields that are per area of a part of a cell: how files describe and average them."""

from __future__ import annotations

from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest

from coupler.driver.files import cell_area
from coupler.interface.constants import Planet
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.output.writer import Averages, area_means
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


def test_cells_that_never_had_the_part_are_missing_and_do_not_count() -> None:
    ice = np.zeros(GRID.shape)
    ice[0] = 0.5
    ts = np.where(ice > 0.0, 260.0, np.nan)
    assert means_of(ts_ice=ts, sft_ice=ice)["ts_ice"][0] == pytest.approx(260.0, rel=1e-12)


@pytest.mark.parametrize("weighted", [True, False])
def test_a_file_has_the_mean_over_the_time_that_there_was_ice(
    weighted: bool, tmp_path: Path
) -> None:
    """The fraction need not be written; without it all steps count alike, and the file says so."""
    ice, ts = np.zeros((2, *GRID.shape))
    means = Averages(
        tmp_path / "ice.nc",
        {"ts_ice": (FIELDS["ts_ice"], ts), "pr": (FIELDS["pr"], ts)},
        GRID,
        None,
        start=cftime.DatetimeNoLeap(2001, 1, 1),
        attrs={},
        planet=Planet(),
        fractions={"sft_ice": ice} if weighted else {},
    )
    for fraction, value in ((0.1, 250.0), (0.9, 270.0)):
        ice[1:], ts[...] = fraction, value
        means.add(600.0)
    means.close()
    means.write(0.0, 1200.0)
    with netCDF4.Dataset(tmp_path / "ice.nc") as file:
        assert "sft_ice" not in file.variables
        assert file["pr"].cell_methods == "time: mean"
        np.testing.assert_array_equal(file["pr"][0], np.full(GRID.shape, 260.0))
        found, how = file["ts_ice"][0], file["ts_ice"].cell_methods
    if weighted:
        assert how == "area: time: mean where sea_ice"
        assert np.ma.getmaskarray(found)[0].all()
        np.testing.assert_allclose(found[1:], 268.0, rtol=1e-7)  # float32
    else:
        assert how == "area: mean where sea_ice time: mean"
        np.testing.assert_array_equal(found, np.full(GRID.shape, 260.0))


@pytest.mark.parametrize("fraction", [{}, {"sft_ice": np.zeros(GRID.shape)}])
def test_there_is_no_mean_over_a_part_that_is_unknown_or_nowhere(
    fraction: dict[str, np.ndarray],
) -> None:
    assert set(means_of(ts_ice=np.full(GRID.shape, 271.35), **fraction)) == set(fraction)
