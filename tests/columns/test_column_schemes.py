"""What every column scheme here must do, whatever it computes."""

from typing import Any

import numpy as np
import pytest
from column_harness import NCOL, Bound, heights, now, state

from coupler.interface.component import Tendency
from coupler.interface.grid import HybridLevels
from coupler.interface.registry import SCHEMES
from physics.columns.betts_miller import SimplifiedBettsMiller
from physics.columns.boundary_layer import BulkDiffusion
from physics.columns.byrne_ogorman import ByrneOGorman
from physics.columns.condensation import LargeScaleCondensation
from physics.columns.dry_adjustment import DryAdjustment
from physics.columns.grey_radiation import GreyRadiation
from physics.columns.held_suarez import HeldSuarezFriction, HeldSuarezRelaxation
from physics.columns.mass_flux import MassFlux
from physics.columns.sponge import RayleighSponge

LEVELS = HybridLevels.stretched(23, scale_heights=9.0)
ALL: list[tuple[type[Tendency], dict[str, Any]]] = [
    (HeldSuarezRelaxation, {}),
    (HeldSuarezFriction, {"heat": True}),
    (GreyRadiation, {}),
    (GreyRadiation, {"seasonal": True, "tau_sw": 0.22}),
    (ByrneOGorman, {}),
    (ByrneOGorman, {"diurnal": True, "ozone": 0.3, "co2": 720.0}),
    (BulkDiffusion, {}),
    (BulkDiffusion, {"exchange": "reed_jablonowski", "mixing": "reed_jablonowski"}),
    (BulkDiffusion, {"exchange": "monin_obukhov"}),
    (DryAdjustment, {}),
    (SimplifiedBettsMiller, {}),
    (MassFlux, {"inhibition": 100.0}),
    (LargeScaleCondensation, {"reevaporation": 0.5}),
    (RayleighSponge, {}),
]
IDS = [f"{c.__name__}-{'-'.join(map(str, p.values())) or 'default'}" for c, p in ALL]
every = pytest.mark.parametrize(("cls", "choice"), ALL, ids=IDS)


def outputs(b: Bound) -> dict[str, np.ndarray]:
    return {
        f"{kind}.{name}": a.copy()
        for kind in ("tend", "flux", "diag")
        for name, a in getattr(b, kind).items()
    }


def bind(cls: type[Tendency], choice: dict[str, Any], x: dict[str, np.ndarray]) -> Bound:
    return Bound(cls(cls.Parameters(**choice)), x, LEVELS)


@every
def test_any_order_of_columns_gives_the_same_bits(
    cls: type[Tendency], choice: dict[str, Any]
) -> None:
    for dtype in ("float64", "float32"):
        x = state(LEVELS, dtype=dtype)
        order = np.random.default_rng(2).permutation(NCOL)
        shuffled = {n: np.ascontiguousarray(a[..., order]) for n, a in x.items()}
        a, b = bind(cls, choice, x), bind(cls, choice, shuffled)
        a(now())
        b(now())
        for name, array in outputs(a).items():
            np.testing.assert_array_equal(array[..., order], outputs(b)[name], err_msg=name)


@every
def test_single_precision_agrees_with_double(cls: type[Tendency], choice: dict[str, Any]) -> None:
    x = state(LEVELS)
    # the same numbers to both, so that no switch flips: only arithmetic and storage differ
    x32 = {n: a.astype(np.float32) for n, a in x.items()}
    x64 = {n: a.astype(np.float64) for n, a in x32.items()}
    a, b = bind(cls, choice, x64), bind(cls, choice, x32)
    a(now())
    b(now())
    assert outputs(b)
    for name, array in outputs(a).items():
        other = outputs(b)[name]
        assert other.dtype == np.float32
        # kernels compute in float64: what is left is rounding of what is stored, 6e-8 relative
        np.testing.assert_allclose(
            other, array, rtol=1e-6, atol=1e-7 * np.abs(array).max(), err_msg=name
        )


@every
def test_inputs_are_left_alone_and_outputs_do_not_depend_on_what_was_there(
    cls: type[Tendency], choice: dict[str, Any]
) -> None:
    x = state(LEVELS)
    before = {n: a.copy() for n, a in x.items()}
    b = bind(cls, choice, x)
    b(now())
    first = outputs(b)
    for array in b.diag.values():  # the host zeroes tendencies and fluxes, diagnostics stay
        array.fill(np.nan)
    b(now())
    for name, array in outputs(b).items():
        np.testing.assert_array_equal(array, first[name], err_msg=name)
    for name, array in x.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@every
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_calm_dry_isothermal_columns_give_finite_numbers(
    cls: type[Tendency], choice: dict[str, Any], dtype: str
) -> None:
    x = state(LEVELS)
    for name, value in (("ua", 0.0), ("va", 0.0), ("hus", 0.0), ("ta", 250.0), ("ts", 250.0)):
        x[name][:] = value
    x["orog"][:] = 0.0
    x["lat"][:7], x["lat"][-7:] = -90.0, 90.0
    heights(x)
    b = bind(cls, choice, {n: a.astype(dtype) for n, a in x.items()})
    b(now())
    for name, array in outputs(b).items():
        assert np.isfinite(array).all(), name


@every
def test_extreme_but_legal_columns_give_finite_numbers(
    cls: type[Tendency], choice: dict[str, Any]
) -> None:
    for ta, ts, hus, wind in (
        (380.0, 380.0, 0.1, 300.0),
        (90.0, 380.0, 0.0, 0.0),
        (300.0, 150.0, -0.01, -300.0),
    ):
        x = state(LEVELS)
        for name, value in (("ta", ta), ("ts", ts), ("hus", hus), ("ua", wind), ("va", wind)):
            x[name][:] = value
        heights(x)
        b = bind(cls, choice, x)
        b(now(7200.0))
        for name, array in outputs(b).items():
            assert np.isfinite(array).all(), name


def test_every_scheme_is_registered_under_its_process() -> None:
    expected = {
        "radiation": {"held_suarez", "grey", "byrne_ogorman"},
        "boundary_layer": {"held_suarez", "bulk_diffusion"},
        "convection": {"dry_adjustment", "betts_miller", "mass_flux"},
        "condensation": {"large_scale"},
        "sponge": {"rayleigh"},
    }
    for process, names in expected.items():
        assert names <= SCHEMES[process].keys()
