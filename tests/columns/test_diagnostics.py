"""Diagnostics: sums of rain, pressure reduced to sea level."""

from __future__ import annotations

import cftime
import numpy as np

from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.precipitation import TotalPrecipitation
from physics.columns.sea_level_pressure import SeaLevelPressure

NOW = Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=1.0)


def test_rain_of_all_kinds_is_summed_and_none_is_zero() -> None:
    pr = np.full(5, 9.0)
    rain = TotalPrecipitation()
    rain.compute(Arrays(prl=np.arange(5.0), prc=np.ones(5)), Arrays(pr=pr), NOW)
    np.testing.assert_array_equal(pr, np.arange(5.0) + 1.0)
    rain.compute(Arrays(), Arrays(pr=pr), NOW)
    np.testing.assert_array_equal(pr, 0.0)


def test_the_standard_atmosphere_has_standard_pressure_at_sea_level_from_any_height() -> None:
    planet = Planet()
    z = np.array([0.0, 300.0, 1500.0, 4000.0, -20.0] * 2 + [0.0] * 14)
    grid = Grid.gaussian(4, 6)
    levels = HybridLevels.sigma(20)
    power = planet.gravity / (planet.gas_constant_dry * 0.0065)
    ps = 101325.0 * (1.0 - 0.0065 * z / 288.15) ** power
    pfull = 0.5 * (levels.half_pressure(ps)[1:] + levels.half_pressure(ps)[:-1])
    ta = 288.15 * (pfull / 101325.0) ** (1.0 / power)
    host = Host(grid=grid, levels=levels, planet=planet, dtype=np.dtype("float64"), seed=0)
    reduced = SeaLevelPressure()
    reduced.setup(host)
    psl = np.zeros(24)
    reduced.compute(Arrays(ta=ta, pfull=pfull, ps=ps, orog=z), Arrays(psl=psl), NOW)
    # The formula is exact in this atmosphere; what is left is rounding.
    np.testing.assert_allclose(psl, 101325.0, rtol=1e-12)
