"""Damped waves (Plumb 1977): flux, closure, symmetry, random numbers that know their column."""

import cftime
import numpy as np
import pytest
from isothermal import NCOL, NLON, Z, host_of, one_of_each, spread
from isothermal import Result as Call

from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.gravity_wave_plumb import PlumbStochastic, PlumbTwoWave
from physics.columns.streams import column_streams

KM17 = int(np.flatnonzero(Z >= 17.0e3)[-1])  # level of the lowest layer above 17 km


def two_wave(x, **options):
    return Call(x, PlumbTwoWave, host=placed(), top="escape", **options)


def placed(grid=None, seed=0):
    host = host_of()
    grid = grid or host.grid
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    return Host(
        grid=grid, levels=host.levels, planet=host.planet, dtype=host.dtype, seed=seed,
        static={"lat": lat.ravel(), "lon": lon.ravel()},
    )  # fmt: skip


def test_in_uniform_wind_the_flux_of_a_wave_decays_as_its_integral_says():
    x = one_of_each("uniform")  # 24 m/s in column 0, calm elsewhere
    result = two_wave(x, cooling_high=1e-6, cooling_low=1e-6)
    n_over_k = 0.0216 * 4e7 / (2 * np.pi)
    height = Z[: KM17 + 1] - Z[KM17]
    expected = 6e-4 * (
        np.exp(-1e-6 * n_over_k * height / 8.0**2) - np.exp(-1e-6 * n_over_k * height / 56.0**2)
    )
    nodes = 0.5 * (expected[1:] + expected[:-1])
    np.testing.assert_allclose(result.flux.xgwdparam[1 : KM17 + 1, 0], nodes, atol=1e-18)
    # below the source nothing happens
    assert not result.flux.xgwdparam[KM17 + 2 :, 0].any()


def test_the_column_closes_on_the_flux_at_its_ends():
    result = two_wave(one_of_each("A", "E", "B", "uniform"))
    residual = result.column["ua"] - (result.flux.xgwdparam[-1] - result.escaped["ua"])
    # the contract: 1e-12 of the absolute column sum, in float64
    assert np.all(np.abs(residual) <= 1e-12 * result.absolute["ua"])
    # control: without what escapes the column does not close
    assert np.abs(result.column["ua"][:4] - result.flux.xgwdparam[-1, :4]).max() > 1e-6


def test_reversed_wind_gives_reversed_drag():
    x = one_of_each("A", "B")
    y = Arrays(**dict(x.items()) | {"ua": -x.ua})
    np.testing.assert_allclose(two_wave(y).tend.ua, -two_wave(x).tend.ua, rtol=0, atol=1e-20)


def test_a_wave_ends_where_the_wind_meets_its_phase_speed():
    wind = np.where(Z > 30e3, 40.0, 0.0)
    wind[int(np.argmin(np.abs(Z - 30.5e3)))] = 32.0  # exactly: the integral diverges
    x = one_of_each("calm")
    x.ua[...] = spread(wind)
    flux = two_wave(x).flux.xgwdparam
    assert np.isfinite(flux).all()
    above = int(np.argmin(np.abs(Z - 33.5e3)))
    assert np.all(flux[:above] <= 0.0)  # only the westward wave is left
    assert flux[above, 0] < -5e-5


def stochastic(host, number=3, x=None):
    scheme = PlumbStochastic()
    scheme.setup(host)
    x = x if x is not None else one_of_each("A", "E", "B")
    flux = Arrays(xgwdparam=np.zeros((81, host.ncol)))
    diag = Arrays(xgwdabs=np.zeros(host.ncol), xgwdwidth=np.zeros(host.ncol))
    when = Now(date=cftime.datetime(2000, 1, 1), step=number, seconds=number * 86400.0, dt=86400.0)
    scheme.compute(x, Arrays(), flux, diag, when)
    return flux.xgwdparam, diag


def test_a_column_draws_the_same_numbers_wherever_it_stands():
    whole, x = placed(), one_of_each("A", "E", "B")
    flux, diag = stochastic(whole, x=x)
    order = np.random.default_rng(1).permutation(NCOL)[:7]
    part = Host(
        grid=Grid.column(count=7), levels=whole.levels, planet=whole.planet, dtype=whole.dtype,
        seed=0, static={n: a[order] for n, a in whole.static.items()},
    )  # fmt: skip
    some = Arrays(**{n: np.ascontiguousarray(a[:, order]) for n, a in x.items()})
    mine, own = stochastic(part, x=some)
    np.testing.assert_array_equal(mine, flux[:, order])
    np.testing.assert_array_equal(own.xgwdwidth, diag.xgwdwidth[order])
    assert np.unique(diag.xgwdwidth).size == NCOL
    assert np.all(stochastic(placed(seed=1), x=x)[1].xgwdwidth != diag.xgwdwidth)
    assert np.all(stochastic(whole, 4, x)[1].xgwdwidth != diag.xgwdwidth)


def test_draws_have_the_wanted_mean_variance_and_correlation():
    grid = Grid.column(count=400)
    host = Host(
        grid=grid, levels=HybridLevels.sigma(3), planet=Planet(), dtype=np.dtype(float), seed=2,
        static={"lat": np.zeros(400), "lon": grid.lon},
    )  # fmt: skip
    scheme = PlumbStochastic()
    scheme.setup(host)
    drawn = []
    for number in range(100):
        scheme._draw(number)
        drawn.append(scheme._drawn.copy())
    stress, width = np.concatenate(drawn, axis=1)
    # 40 000 draws: means are good to 0.5 %, variances to 3 % (three standard errors and a bit)
    assert stress.mean() == pytest.approx(3.7e-3, rel=5e-3)
    assert stress.var() == pytest.approx(1e-8, rel=3e-2)
    assert width.mean() == pytest.approx(32.0, rel=1e-2)
    assert width.var() == pytest.approx(225.0, rel=6e-2)
    assert np.corrcoef(np.log(stress), np.log(width))[0, 1] == pytest.approx(0.75, abs=0.01)
    # successive draws know nothing of each other
    series = np.log(np.stack(drawn)[:, 0])
    assert abs(np.corrcoef(series[1:].ravel(), series[:-1].ravel())[0, 1]) < 0.02


def test_the_launched_stress_is_what_was_drawn_and_nothing_is_launched_on_balance():
    flux, diag = stochastic(placed(), x=one_of_each("calm"))
    assert np.all(diag.xgwdabs > 1e-3)
    # round-off of twenty waves of both signs
    np.testing.assert_allclose(flux, 0.0, atol=1e-17)


def test_streams_differ_between_places_and_seeds():
    lat = np.repeat(np.linspace(-90.0, 90.0, 3), NLON)
    lon = np.tile(np.linspace(0.0, 300.0, NLON), 3)
    streams = np.concatenate([column_streams(s, lat, lon) for s in (0, 1)])
    assert np.unique(streams).size == streams.size
