"""Random launch of Alexander and Dunkerton (1999): each column its own numbers, the mean kept."""

from dataclasses import replace

import cftime
import numpy as np
import pytest
from isothermal import NCOL, weather
from pydantic import ValidationError

from coupler.interface.component import Arrays, Now
from coupler.interface.errors import ContractError
from physics.columns.gravity_wave_ad99 import AD99Parameters, AlexanderDunkerton1999


def placed(order=None):
    """The host of random weather, with a longitude for every column."""
    x, host = weather()
    static = {"lat": host.static["lat"], "lon": np.linspace(0.0, 330.0, NCOL)}
    if order is not None:
        static = {n: a[order] for n, a in static.items()}
        x = Arrays(**{n: np.ascontiguousarray(a[:, order]) for n, a in x.items()})
    return x, replace(host, static=static)


def call(x, host, seconds=10800.0, scheme=None, **options):
    if scheme is None:
        scheme = AlexanderDunkerton1999(AD99Parameters(**options))
        scheme.setup(host)
    shape = (x.phalf.shape[0], NCOL)
    flux = Arrays(xgwdparam=np.zeros(shape), ygwdparam=np.zeros(shape))
    diag = Arrays(**{f.name: np.zeros(NCOL) for f in scheme.diagnostics})
    when = Now(date=cftime.datetime(2000, 1, 1), step=9, seconds=seconds, dt=1200.0)
    scheme.compute(x, Arrays(), flux, diag, when)
    return flux.xgwdparam, diag, scheme


def test_drag_is_scaled_column_by_column_and_moved_nowhere():
    x, host = placed()
    steady, _, _ = call(x, host)
    random, _, scheme = call(x, host, stress_deviation=0.7)
    factor = scheme.memory()["stress"] / AD99Parameters().stress_at(host.static["lat"])
    assert np.unique(factor).size == NCOL
    # the stress is a factor of the flux: round-off
    np.testing.assert_allclose(random, steady * factor, rtol=1e-12, atol=1e-25)


def test_the_mean_over_many_draws_is_the_steady_stress():
    x, host = placed()
    scheme = AlexanderDunkerton1999(AD99Parameters(stress_deviation=0.5))
    scheme.setup(host)
    drawn = []
    for number in range(400):
        call(x, host, seconds=10800.0 * number, scheme=scheme)
        drawn.append(scheme.memory()["stress"].copy())
    ratio = np.array(drawn) / AD99Parameters().stress_at(host.static["lat"])
    # 6000 draws: four standard errors of the mean, and of the standard deviation of this skew
    assert ratio.mean() == pytest.approx(1.0, abs=4 * 0.5 / np.sqrt(ratio.size))
    assert ratio.std() == pytest.approx(0.5, rel=0.1)


def test_the_order_of_columns_and_a_restart_change_no_bit():
    order = np.random.default_rng(4).permutation(NCOL)
    there, _, _ = call(*placed(), stress_deviation=0.7)
    here, _, scheme = call(*placed(order), stress_deviation=0.7)
    np.testing.assert_array_equal(here, there[:, order])
    later, _, _ = call(*placed(order), seconds=21600.0, scheme=scheme)
    fresh, _, _ = call(*placed(order), seconds=21600.0, stress_deviation=0.7)
    np.testing.assert_array_equal(fresh, later)
    assert np.abs(later - here).max() > 1e-6


def test_without_randomness_there_is_nothing_to_remember():
    x, host = weather()  # without longitudes
    _, _, scheme = call(x, host)
    assert scheme.memory() == {}


def test_randomness_needs_places_and_a_deviation_that_is_possible():
    x, host = weather()
    with pytest.raises(ContractError, match=r"missing static field.*expected lon"):
        call(x, host, stress_deviation=0.3)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        AD99Parameters(stress_deviation=-0.1)
