"""An emulator on a host with other levels: interpolated state, fluxes that keep their ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_columns import call, columns, host

from coupler.driver.flux import flux_tendency
from coupler.interface.errors import ContractError
from coupler.interface.grid import HybridLevels
from emulators.component import EmulatorParameters, EmulatorTendency, emulator_class
from emulators.regrid import to_interfaces, to_levels
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

N = 43


@pytest.fixture(scope="module")
def cls(folder: Path) -> type[EmulatorTendency]:
    return emulator_class(folder)


def regridding(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any], dtype: str = "float64"
) -> tuple[EmulatorTendency, Any]:
    component = cls(EmulatorParameters(levels="regrid"))
    where = host(levels, c["lat"], dtype)
    component.setup(where)
    return component, where


def test_state_is_linear_in_the_logarithm_of_pressure_and_constant_beyond() -> None:
    levels = HybridLevels.named("hybrid9")
    ps = np.array([1.0e5, 0.8e5])
    pfull = np.geomspace(300.0, 0.9 * ps, 21)
    fields = (3.0 * np.log(pfull) + 1.0, np.sin(np.log(pfull)))
    out = (np.zeros((9, 2)), np.zeros((9, 2)))
    p = np.zeros((9, 2))
    to_levels(levels.a, levels.b, pfull, ps, fields, out, p)
    half = levels.half_pressure(ps)
    np.testing.assert_allclose(p, 0.5 * (half[1:] + half[:-1]), rtol=1e-14)
    for i in range(2):
        for field, got in zip(fields, out, strict=True):
            want = np.interp(np.log(p[:, i]), np.log(pfull[:, i]), field[:, i])
            np.testing.assert_allclose(got[:, i], want, rtol=1e-12, atol=1e-12)
    assert p[-1, 0] > pfull[-1, 0]
    assert out[0][-1, 0] == fields[0][-1, 0]


def test_a_flux_keeps_its_ends_and_makes_no_new_extremes() -> None:
    own, other = HybridLevels.named("hybrid9"), HybridLevels.named("hybrid31")
    ps = np.array([1.0e5, 0.7e5, 1.03e5])
    flux = np.random.default_rng(1).normal(size=(10, 3))
    flux[-1] = 0.0
    p_own, p_host = own.half_pressure(ps), other.half_pressure(ps)
    got = np.full((32, 3), np.nan)
    to_interfaces(own.a, own.b, flux, p_host, got)
    np.testing.assert_array_equal(got[[0, -1]], flux[[0, -1]])
    for i in range(3):
        want = np.interp(p_host[:, i], p_own[:, i], flux[:, i])
        np.testing.assert_allclose(got[:, i], want, rtol=1e-12, atol=1e-14)
    same = np.zeros((10, 3))
    to_interfaces(own.a, own.b, flux, p_own, same)
    np.testing.assert_array_equal(same, flux)


def test_above_the_bundles_top_the_flux_is_constant() -> None:
    a, b = np.array([2000.0, 8000.0, 0.0]), np.array([0.0, 0.3, 1.0])
    phalf = np.array([[0.0], [500.0], [2000.0], [1.0e5]])
    got = np.zeros((4, 1))
    to_interfaces(a, b, np.array([[3.0], [1.0], [0.0]]), phalf, got)
    np.testing.assert_array_equal(got[:, 0], [3.0, 3.0, 3.0, 0.0])


def test_regridding_to_the_same_levels_changes_next_to_nothing(
    cls: type[EmulatorTendency], levels: HybridLevels
) -> None:
    c = columns(N, levels, 51)
    # Just different enough to be regridded: 0.2 % in the pressure part.
    moved = HybridLevels(a=1.002 * levels.a, b=levels.b, name="moved")
    component, where = regridding(cls, moved, c)
    plain = cls()
    plain.setup(host(levels, c["lat"], "float64"))
    want = call(plain, c, host(levels, c["lat"], "float64"))[0]
    got = call(component, c, where)[0]
    scale = np.abs(want.xgwdparam).max()
    # Interfaces 0.2 % apart carry fluxes that differ by some thousandths of the layer's drag.
    np.testing.assert_allclose(got.xgwdparam, want.xgwdparam, rtol=0.0, atol=0.02 * scale)
    assert (got.xgwdparam != want.xgwdparam).any()


def test_on_finer_levels_the_emulator_still_follows_the_physics(
    cls: type[EmulatorTendency],
) -> None:
    fine = HybridLevels.named("hybrid26")
    c = columns(301, fine, 52)
    component, where = regridding(cls, fine, c)
    assert [p.name for p in component.inputs][-1] == "phalf"
    got = call(component, c, where)[0].xgwdparam
    scheme = AlexanderDunkerton1999()
    scheme.setup(where)
    want = call(scheme, c, where)[0].xgwdparam
    used = want.std(axis=1) > 0.1 * want.std(axis=1).max()
    r2 = 1.0 - ((got - want)[used] ** 2).sum() / (want[used] ** 2).sum()
    assert r2 > 0.6  # a network of a thousand weights, trained for a moment, on half the levels
    assert not got[-1].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_momentum_closes_on_other_levels(cls: type[EmulatorTendency], dtype: str) -> None:
    fine = HybridLevels.named("hybrid26")
    c = columns(N, fine, 53)
    component, where = regridding(cls, fine, c, dtype)
    flux, _ = call(component, c, where)
    g, phalf = where.planet.gravity, c["phalf"]
    rate, escaped = np.zeros((26, N)), np.zeros(N)
    values = np.asarray(flux.ygwdparam, np.float64)
    flux_tendency(values, phalf, scale=g, top="dump", dump_above=85.0, out=rate, escaped=escaped)
    dp = np.diff(phalf, axis=0)
    size = np.abs(rate * dp).sum(axis=0) / g
    assert size.min() > 0.0
    assert (np.abs((rate * dp).sum(axis=0) / g) / size).max() < 1e-12  # round-off of 26 layers
    # The control: tendencies interpolated to other masses do not close.
    wrong = np.abs((np.roll(rate, 1, axis=0) * dp).sum(axis=0) / g) / size
    assert np.median(wrong) > 1e-3


def test_it_has_to_be_asked_for(cls: type[EmulatorTendency]) -> None:
    other = HybridLevels.named("hybrid26")
    with pytest.raises(ContractError, match=r"26 levels .* set `levels: regrid`"):
        cls().setup(host(other, np.zeros(3)))
