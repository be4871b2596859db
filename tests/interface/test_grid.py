"""Single columns and levels that end above the ground."""

import numpy as np
import pytest

from coupler.exchange.regrid import Regridder
from coupler.interface.errors import ConfigError
from coupler.interface.grid import Grid, HybridLevels


@pytest.mark.parametrize("count", [1, 3])
def test_columns_share_the_sphere_and_receive_global_means(count):
    column = Grid.column(12.5, count=count)
    assert column.shape == (1, count) and column.lat[0] == 12.5
    assert column.cell_weights.sum() == pytest.approx(1.0, abs=1e-15)
    fine = Grid.regular(9, 12)
    field = np.random.default_rng(1).standard_normal(fine.shape)
    there = Regridder(fine, column, "conservative").apply(field)
    assert column.mean(there) == pytest.approx(fine.mean(field), abs=1e-14)
    back = Regridder(column, fine, "conservative").apply(there)
    assert fine.mean(back) == pytest.approx(fine.mean(field), abs=1e-14)


@pytest.mark.parametrize(("lat", "count"), [(91.0, 1), (0.0, 0), (float("nan"), 1)])
def test_an_impossible_column_is_refused(lat, count):
    with pytest.raises(ConfigError, match="impossible grid"):
        Grid.column(lat, count=count)


def test_pressure_levels_may_end_above_the_ground():
    interfaces = np.array([500.0, 900.0, 2100.0, 6000.0])
    levels = HybridLevels.pressure(interfaces, name="part")
    assert levels.nlev == 3
    for ps in (1.0e5, 7.0e4):
        np.testing.assert_array_equal(levels.half_pressure(np.array(ps)), interfaces)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.0, 100.0, 5.0], [0.0, 0.2, 1.0]),
        ([0.0, 100.0, 500.0], [0.0, 0.2, 0.9]),
        ([0.0], [1.0]),
        ([0.0, 0.0], [0.0, 0.5, 1.0]),
    ],
)
def test_levels_that_end_nowhere_are_refused(a, b):
    with pytest.raises(ConfigError, match="impossible levels"):
        HybridLevels(a=np.array(a), b=np.array(b))


def test_pressure_levels_upside_down_are_refused():
    with pytest.raises(ConfigError, match="not increasing downward"):
        HybridLevels.pressure(np.array([6000.0, 2100.0, 900.0]))
