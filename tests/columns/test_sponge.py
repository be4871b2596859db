"""The Rayleigh sponge: where it acts, how strongly, and where the energy goes."""

import numpy as np
import pytest
from column_harness import PLANET, column, run, state

from coupler.interface.grid import HybridLevels
from physics.columns.sponge import RayleighSponge

LEVELS = HybridLevels.stretched(23, scale_heights=11.0)


def test_the_sponge_acts_above_its_pressure_with_the_square_of_the_depth() -> None:
    x = state(LEVELS)
    rates, _ = run(RayleighSponge(), x, LEVELS, dt=1e-6)
    inside = x["pfull"] < 50.0
    assert inside.any(axis=0).all()
    assert not inside.all(axis=0).any()
    expected = -2 / 86400.0 * ((50.0 - x["pfull"]) / 50.0) ** 2 * x["ua"]
    np.testing.assert_allclose(rates["ua"][inside], expected[inside], rtol=1e-9)
    assert not rates["ua"][~inside].any()


@pytest.mark.parametrize("heat", [True, False])
def test_energy_closes_with_the_heat_returned_and_leaks_without(heat: bool) -> None:
    x, dt = state(LEVELS), 3600.0
    rates, _ = run(RayleighSponge(RayleighSponge.Parameters(heat=heat)), x, LEVELS, dt=dt)
    u, v = x["ua"] + dt * rates["ua"], x["va"] + dt * rates["va"]
    kinetic = 0.5 * (u**2 + v**2 - x["ua"] ** 2 - x["va"] ** 2)
    total = column(PLANET.cp_dry * dt * rates["ta"] + kinetic, x)
    size = column(np.abs(kinetic), x)
    assert np.all(size > 0)
    if heat:
        assert np.all(np.abs(total) < 1e-12 * size)
    else:
        assert np.all(np.abs(total) > 0.99 * size)


def test_the_promise_of_energy_is_made_only_with_the_heat_returned() -> None:
    assert [c.quantity for c in RayleighSponge().conserves] == ["energy"]
    assert not RayleighSponge(RayleighSponge.Parameters(heat=False)).conserves


def test_reversed_wind_gets_the_reversed_drag_and_the_same_heat() -> None:
    x, y = state(LEVELS), state(LEVELS)
    y["ua"], y["va"] = -y["ua"], -y["va"]
    a, _ = run(RayleighSponge(), x, LEVELS)
    b, _ = run(RayleighSponge(), y, LEVELS)
    np.testing.assert_array_equal(a["ua"], -b["ua"])
    np.testing.assert_array_equal(a["ta"], b["ta"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_force_on_the_column_is_reported_apart(dtype) -> None:
    x = state(LEVELS, dtype=dtype)
    rates, diag = run(RayleighSponge(), x, LEVELS)
    for name, of in (("xsponge", "ua"), ("ysponge", "va")):
        expected = column(rates[of], x)
        # one rounding of the stored sum
        tolerance = 1e-12 if dtype == "float64" else 1e-6
        np.testing.assert_allclose(diag[name], expected, rtol=tolerance)
        assert np.abs(diag[name]).min() > 0.0
