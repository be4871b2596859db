"""What every registered component must do, whatever it computes: one battery for all of them.

A scheme that is added to the tree, or a bundle that is shipped, is held to it without a line here.
Schemes are bound as the driver binds them, on random but plausible columns; fields that this file
does not know are drawn from their valid range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cftime
import numpy as np
import pytest
from pydantic import ValidationError

from coupler.driver.discovery import discover, shipped_bundles
from coupler.driver.suite import Bound
from coupler.interface.component import (
    Arrays,
    ColumnModel,
    Diagnostic,
    Host,
    Model,
    Now,
    Site,
    Tendency,
)
from coupler.interface.constants import Planet
from coupler.interface.errors import CouplerError
from coupler.interface.fields import DIMS, FIELDS, SMALL_STATE, STATE, TILES, TRACERS
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import SCHEMES
from coupler.interface.units import convertible, is_unit
from emulators.component import EmulatorTendency, emulator_class

PLANET = Planet()
GRID = Grid.regular(5, 7)
LEVELS = HybridLevels.stretched(23, scale_heights=9.0)
DT = 1200.0
DTYPES = ("float64", "float32")

Array = np.ndarray[Any, Any]
Scheme = type[Tendency] | type[Diagnostic]


def _all() -> tuple[dict[str, Scheme], dict[str, type[Model]]]:
    """Schemes and models by ``process=name``; not those that other tests register."""
    problems = discover()
    assert not problems
    schemes: dict[str, Scheme] = {}
    models: dict[str, type[Model]] = {}
    for process, known in SCHEMES.items():
        for name, cls in known.items():
            if not cls.__module__.startswith("physics."):
                continue
            if issubclass(cls, Model):
                models[f"{process}={name}"] = cls
            elif issubclass(cls, Tendency | Diagnostic):
                schemes[f"{process}={name}"] = cls
    for name, folder in shipped_bundles().items():
        cls = emulator_class(folder)
        schemes[f"{cls.process}={name}"] = cls
    return schemes, models


ALL, MODELS = _all()
TENDENCIES = {n: c for n, c in ALL.items() if issubclass(c, Tendency)}
every = pytest.mark.parametrize("cls", ALL.values(), ids=ALL.keys())


def on_a_plane(cls: Scheme) -> bool:
    """Whether it belongs to an atmosphere on a plane; such schemes see their neighbours."""
    return issubclass(cls, Tendency) and bool({*SMALL_STATE} & {*cls.tendencies})


COLUMNWISE = {n: c for n, c in ALL.items() if not on_a_plane(c)}
every_of_columns = pytest.mark.parametrize("cls", COLUMNWISE.values(), ids=COLUMNWISE.keys())
both_precisions = pytest.mark.parametrize("dtype", DTYPES)


def test_the_battery_sees_every_process_of_the_tree() -> None:
    # A lower bound by name, so that a broken discovery does not leave an empty battery.
    have = {name.split("=")[0] for name in ALL}
    assert have >= {"radiation", "boundary_layer", "convection", "condensation", "gravity_wave"}
    assert {"atmosphere=spectral", "surface=slab"} <= MODELS.keys()


# -- columns ----------------------------------------------------------------------------------


def levels_of(cls: Scheme) -> HybridLevels:
    """A bundle runs on its own levels, a scheme for two layers of fluid on those."""
    if on_a_plane(cls):
        return HybridLevels.layers(2)
    return cls.bundle.spec.levels.hybrid() if issubclass(cls, EmulatorTendency) else LEVELS


def columns(levels: HybridLevels, dtype: str, seed: int = 4) -> dict[str, Array]:
    """Every field of the table: jets, unstable layers, wet and dry air, varied surfaces."""
    rng = np.random.default_rng(seed)
    n, k = GRID.ncol, levels.nlev
    lat, lon = np.meshgrid(GRID.lat, GRID.lon, indexing="ij")
    x: dict[str, Array] = {"lat": lat.ravel(), "lon": lon.ravel()}
    warm = 300.0 - 45.0 * np.sin(np.radians(x["lat"])) ** 2
    x["ps"] = 1.0e5 + 2.0e3 * rng.standard_normal(n)
    x["orog"] = rng.uniform(0.0, 500.0, n)
    x["phalf"] = levels.half_pressure(x["ps"])
    x["pfull"] = 0.5 * (x["phalf"][1:] + x["phalf"][:-1])
    sigma = x["pfull"] / x["ps"]
    x["ta"] = np.maximum(205.0, warm * sigma**0.19) + 2.0 * rng.standard_normal((k, n))
    x["hus"] = 0.017 * sigma**3 * np.cos(np.radians(x["lat"])) ** 2
    x["hus"] *= rng.uniform(0.2, 1.4, (k, n))
    x["ua"] = 25.0 * (1.0 - sigma) + 4.0 * rng.standard_normal((k, n))
    x["va"] = 3.0 * rng.standard_normal((k, n))
    x["ts"] = warm + 3.0 * rng.standard_normal(n)
    x["sgh"] = rng.uniform(0.0, 600.0, n)
    thick = PLANET.gas_constant_dry / PLANET.gravity * x["ta"]
    x["zg"], x["zghalf"] = np.zeros((k, n)), np.zeros((k + 1, n))
    x["zghalf"][k] = x["orog"]
    for i in range(k - 1, -1, -1):
        upper = np.maximum(x["phalf"][i], 0.25 * x["pfull"][i])
        below, p = x["zghalf"][i + 1], x["phalf"][i + 1]
        x["zg"][i] = below + thick[i] * np.log(p / x["pfull"][i])
        x["zghalf"][i] = below + thick[i] * np.log(p / upper)
    size = {"level": k, "interface": k + 1, "column": n}
    parts = rng.dirichlet(np.ones(len(TILES)), n).T  # of a cell, among which some are empty
    parts[0] += parts[1] * (parts[1] < 0.1)
    parts[1] *= parts[1] >= 0.1
    x |= dict(zip(("sft_ocean", "sft_ice", "sft_land", "sft_snow"), parts, strict=True))
    x["sftof"] = parts[0] + parts[1]
    x |= {f"ts_{tile}": warm + 3.0 * rng.standard_normal(n) for tile in TILES}
    for name, field in FIELDS.items():
        if name not in x:
            low, high = field.valid or (0.0, 1.0)
            x[name] = rng.uniform(max(low, 0.0), high, [size[d] for d in field.dims])
    return {name: np.ascontiguousarray(a, dtype) for name, a in x.items()}


def host(x: Mapping[str, Array], levels: HybridLevels) -> Host:
    static = {n: x[n] for n in ("lat", "lon", "orog", "sftlf")}
    grid = GRID if levels.has_pressure else Grid.plane(*GRID.shape, 15000.0)
    return Host(grid=grid, levels=levels, planet=PLANET, dtype=x["ta"].dtype, seed=0, static=static)


def now(step: int = 0) -> Now:
    date = cftime.datetime(2001, 3, 1, calendar="noleap")
    return Now(date=date, step=step, seconds=step * DT, dt=DT)


class Tried:
    """A scheme with its default parameters, bound to columns as the driver does it."""

    def __init__(self, cls: Scheme, x: dict[str, Array]) -> None:
        levels = levels_of(cls)
        self.x = x
        self.component = cls()
        where = host(x, levels)
        self.component.setup(where)
        self.bound = Bound(self.component, "tried", 1, x, where)

    def __call__(self, step: int = 0) -> dict[str, Array]:
        """Copies of all outputs after one call, and of the rates that follow from them."""
        self.bound.call(now(step), self.x["phalf"])
        parts = {"tend": self.bound.tend, "flux": self.bound.flux, "diag": self.bound.diag}
        out = {f"{p}.{n}": a.copy() for p, arrays in parts.items() for n, a in arrays.items()}
        return out | {f"rate.{n}": a.copy() for n, a in self.bound.rate.items()}


def same(cls: Scheme) -> Callable[[Array, Array, str], None]:
    """Equality of bits; of a network to float32 round-off, because a matrix product over a batch
    may sum in another order at another place of the batch."""

    def bits(a: Array, b: Array, name: str) -> None:
        np.testing.assert_array_equal(a, b, err_msg=name)

    def near(a: Array, b: Array, name: str) -> None:
        scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * scale, err_msg=name)

    return near if issubclass(cls, EmulatorTendency) else bits


# -- declarations -----------------------------------------------------------------------------


@every
def test_declarations_are_complete(cls: Scheme) -> None:
    assert cls.process
    assert cls.scheme
    assert cls.__doc__
    assert cls.diagnostics or (issubclass(cls, Tendency) and (cls.tendencies or cls.fluxes))
    for port in cls.inputs:
        assert convertible(port.field.units, port.units), port.name
    for field in cls.diagnostics:
        assert is_unit(field.units), field.name
        assert field.dims in DIMS, field.name
        assert field.long_name, field.name
        # A name of the table means what the table says.
        assert FIELDS.get(field.name, field) == field
    if issubclass(cls, Tendency):
        assert set(cls.tendencies) <= {*STATE, *TRACERS, *SMALL_STATE}
        for flux in cls.fluxes:
            assert flux.of in {*STATE, *TRACERS}
            assert flux.field.positive == "up"
            assert flux.field.dims == ("interface", "column")


@every
def test_unknown_parameters_are_refused_and_parameters_cannot_be_changed(cls: Scheme) -> None:
    with pytest.raises(ValidationError, match="no_such_parameter"):
        cls.Parameters.model_validate({"no_such_parameter": 1})
    parameters = cls.Parameters()
    for name in type(parameters).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(parameters, name, getattr(parameters, name))


# -- calls ------------------------------------------------------------------------------------


@every
@both_precisions
def test_outputs_are_finite_in_the_hosts_type_and_valid_and_inputs_are_untouched(
    cls: Scheme, dtype: str
) -> None:
    x = columns(levels_of(cls), dtype)
    before = {name: a.copy() for name, a in x.items()}
    tried = Tried(cls, x)
    out = tried()
    assert any(a.any() for a in out.values()), "these columns must make the scheme act"
    valid = {f"diag.{f.name}": f.valid for f in cls.diagnostics}
    for name, array in out.items():
        assert array.dtype == dtype, name
        assert np.isfinite(array).all(), name
        low, high = valid.get(name) or (-np.inf, np.inf)
        assert array.min() >= low, name
        assert array.max() <= high, name
    for name, array in x.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@every
@both_precisions
def test_a_call_depends_on_its_inputs_alone(cls: Scheme, dtype: str) -> None:
    levels = levels_of(cls)
    tried = Tried(cls, columns(levels, dtype))
    # what it declares as memory counts among its inputs: put back before each call
    start = {name: np.array(a, copy=True) for name, a in tried.bound.memory().items()}
    first = tried()
    tried.bound.restore(start)
    # a scheme that says it fills its outputs must, and others find them zeroed
    for arrays in (tried.bound.flux, tried.bound.diag):
        for _, array in arrays.items():
            array.fill(np.nan)
    for _, array in tried.bound.tend.items():  # nobody writes below the levels that it reaches
        assert not array[tried.bound.reach :].any()
        array[: tried.bound.reach].fill(np.nan)
    again = tried(step=1)
    # Other columns in between, then the first ones: nothing may be left of either.
    other = columns(levels, dtype, seed=5)
    kept = {name: a.copy() for name, a in tried.x.items()}
    for name, array in tried.x.items():
        if name not in ("lat", "lon", "orog", "sftlf"):
            array[...] = other[name]
    tried.bound.restore(start)
    different = tried(step=2)
    for name, array in tried.x.items():
        array[...] = kept[name]
    tried.bound.restore(start)
    third = tried(step=3)
    fresh = Tried(cls, columns(levels, dtype))()
    assert any(not np.array_equal(different[name], first[name]) for name in first)
    for name, array in first.items():
        for what in (again, third, fresh):
            np.testing.assert_array_equal(what[name], array, err_msg=name)


@every_of_columns
@both_precisions
def test_columns_are_independent_of_their_order(cls: Scheme, dtype: str) -> None:
    x = columns(levels_of(cls), dtype)
    order = np.random.default_rng(2).permutation(GRID.ncol)
    shuffled = {name: np.ascontiguousarray(a[..., order]) for name, a in x.items()}
    straight, mixed = Tried(cls, x)(), Tried(cls, shuffled)()
    for name, array in straight.items():
        same(cls)(mixed[name], array[..., order], name)


@every_of_columns
def test_a_column_that_is_not_finite_is_refused_or_stays_alone(cls: Scheme) -> None:
    levels = levels_of(cls)
    clean = Tried(cls, columns(levels, "float64"))()
    others = np.arange(GRID.ncol) != 11
    for name in {p.name for p in cls.inputs} - {"lat", "lon", "orog", "sftlf"}:
        x = columns(levels, "float64")
        x[name][..., 11] = np.nan
        tried = Tried(cls, x)
        try:
            out = tried()
        except CouplerError as error:
            assert name in str(error), "the refusal must name the field"
            continue
        for key, array in out.items():
            same(cls)(array[..., others], clean[key][..., others], f"{key} with NaN in {name}")
        if issubclass(cls, EmulatorTendency):
            assert tried.component.counts()["not_finite"] == 1, name


@every
@both_precisions
def test_memory_brings_a_component_back(cls: Scheme, dtype: str) -> None:
    x = columns(levels_of(cls), dtype)
    tried = Tried(cls, x)
    tried()
    tried(step=1)
    kept = {name: np.array(a, copy=True) for name, a in tried.bound.memory().items()}
    want = tried(step=2)
    fresh = Tried(cls, x)
    fresh.bound.restore(kept)
    for name, array in fresh.bound.memory().items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
    for name, array in fresh(step=2).items():
        np.testing.assert_array_equal(array, want[name], err_msg=name)
    assert fresh.component.counts() == tried.component.counts()


# -- promises ---------------------------------------------------------------------------------


def column_sum(rate: Array, x: Mapping[str, Array]) -> Array:
    return np.asarray((rate * np.diff(x["phalf"], axis=0)).sum(axis=0) / PLANET.gravity)


def residual(quantity: str, rate: Mapping[str, Array], tried: Tried) -> list[tuple[Array, Array]]:
    """What a column gained less what came through its ends, and the sum of absolute values.

    Momentum: the stress on the ground leaves. Water: evaporation comes, rain leaves. Energy is
    c_p T + L q + |v|^2/2: sensible and latent heat come; rain takes none, it is L q until it falls.
    """
    x, diag, bound = tried.x, tried.bound.diag, tried.bound
    zero = np.zeros(GRID.ncol)

    def ground(name: str) -> Array:
        return np.asarray(diag.__dict__.get(name, zero))

    def ends(of: str) -> Array:
        total = zero.copy()
        for f in bound.fluxes:
            if f.of == of:
                total += bound.flux.__dict__[f.name][-1] - bound.escaped[f.name]
        return total

    zeros = np.zeros_like(x["ta"])
    du, dv, dt, dq = (rate.get(n, zeros) for n in STATE)
    if quantity == "momentum":
        pairs = [(du, "ua", -ground("tauu")), (dv, "va", -ground("tauv"))]
        return [
            (column_sum(d, x) - surface - ends(of), column_sum(np.abs(d), x) + np.abs(surface))
            for d, of, surface in pairs
        ]
    rain = ground("prl") + ground("prc")
    if quantity == "water":
        net = ground("evspsbl") - rain
        size = column_sum(np.abs(dq), x) + np.abs(net)
        return [(column_sum(dq, x) - net - ends("hus"), size)]
    kinetic = (x["ua"] + 0.5 * DT * du) * du + (x["va"] + 0.5 * DT * dv) * dv
    heat, latent = PLANET.cp_dry * dt, PLANET.latent_heat_vaporization * dq
    net = ground("hfss") + ground("hfls")
    size = column_sum(np.abs(heat) + np.abs(latent) + np.abs(kinetic), x) + np.abs(net)
    return [(column_sum(heat + latent + kinetic, x) - net - ends("ta"), size)]


@pytest.mark.parametrize("cls", TENDENCIES.values(), ids=TENDENCIES.keys())
def test_what_is_promised_is_conserved_and_the_check_would_see_a_leak(
    cls: type[Tendency],
) -> None:
    tried = Tried(cls, columns(levels_of(cls), "float64"))
    tried()
    rate = {name: a.copy() for name, a in tried.bound.rate.items()}
    leaking = {name: a.copy() for name, a in rate.items()}
    for array in leaking.values():
        array[-2] += 1e-6 * np.abs(array).max(axis=0)
    for promise in tried.component.conserves:
        closed, leaks = (
            [
                np.abs(rest) <= promise.tolerance * size
                for rest, size in residual(promise.quantity, rates, tried)
            ]
            for rates in (rate, leaking)
        )
        for one in closed:
            assert one.all(), promise
        assert not all(one.all() for one in leaks), promise


def test_fluxes_of_momentum_alone_are_promised_to_conserve_it() -> None:
    """A scheme whose winds change by fluxes only closes by construction, and has to say so."""
    for name, cls in TENDENCIES.items():
        by_flux = {f.of for f in cls.fluxes} & {"ua", "va"}
        if by_flux and not {"ua", "va"} & set(cls.tendencies):
            assert "momentum" in {c.quantity for c in cls().conserves}, name


# -- models -----------------------------------------------------------------------------------


def made(cls: type[Model], dtype: str) -> Model:
    model = cls()
    date = cftime.datetime(2001, 3, 1, calendar="noleap")
    model.setup(Site(planet=PLANET, dtype=np.dtype(dtype), seed=0, date=date))
    return model


def advance(model: Model, step: int) -> dict[str, Array]:
    """One step with steady forcing; copies of all that is provided."""
    if isinstance(model, ColumnModel):
        state = model.columns()  # a layer of fluid has no temperature, a ring no wind
        of = next(name for name in ("ta", "ua", *state) if name in state)
        model.advance({of: np.full_like(model.columns()[of], 1e-5)})
    else:
        given = {p.name: np.full(model.grid.shape, 50.0 + step) for p in model.receives}
        model.step(Arrays(**given), now(step))
    return {name: a.copy() for name, a in model.fields().items()}


@pytest.mark.parametrize("cls", MODELS.values(), ids=MODELS.keys())
@both_precisions
def test_a_model_provides_what_it_says_in_fixed_memory(cls: type[Model], dtype: str) -> None:
    model = made(cls, dtype)
    fields = dict(model.fields())
    carried = [n for n in getattr(model, "tracers", ()) if n in fields]  # as the case says
    assert sorted(fields) == sorted([*(f.name for f in cls.provides), *carried])
    # those that give water and heat to each other, or share cells, do so in float64
    shares = any(f.carries or f.part for f in cls.provides)
    precision = "float64" if shares else dtype
    for f in cls.provides:
        assert fields[f.name].dtype == precision, f.name
        assert fields[f.name].shape[-2:] == model.grid.shape, f.name
        assert np.isfinite(fields[f.name]).all(), f.name
    before = {name: a.copy() for name, a in fields.items()}
    for step in range(3):
        advance(model, step)
    for name, array in model.fields().items():
        assert array is fields[name], f"{name} moved"
        assert np.isfinite(array).all(), name
    assert any(not np.array_equal(before[name], a) for name, a in fields.items())


@pytest.mark.parametrize("cls", MODELS.values(), ids=MODELS.keys())
@both_precisions
def test_memory_brings_a_model_back_at_any_step(cls: type[Model], dtype: str) -> None:
    model, twin = made(cls, dtype), made(cls, dtype)
    for step in range(3):  # the first step of a leapfrog is of another kind
        kept = {name: np.array(a, copy=True) for name, a in model.memory().items()}
        want = advance(model, step)
        twin.restore(kept)
        for name, array in advance(twin, step).items():
            np.testing.assert_array_equal(array, want[name], err_msg=f"{name}, step {step}")
