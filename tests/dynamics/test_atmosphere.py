"""The atmosphere as a component, its restart, and the two forms of its right-hand side."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from cases import begin, wave_2006
from coupler.interface.component import ColumnModel, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, UnstableError
from coupler.interface.grid import HybridLevels
from physics.dynamics import fused_spectral, leapfrog
from physics.dynamics.atmosphere import SpectralAtmosphere, SpectralParameters
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import jablonowski_williamson
from physics.dynamics.initial_states import INITIAL_STATES

MIXED = HybridLevels(
    a=np.array([200.0, 2.0e3, 8.0e3, 1.2e4, 6.0e3, 0.0, 0.0]),
    b=np.array([0.0, 0.0, 0.0, 0.15, 0.5, 0.8, 1.0]),
)
"""Closed top, then layers in pressure, between, and in sigma."""


def atmosphere(dtype=np.float32, boundary=None, seed=5, initial_data=None, **parameters):
    options = {"truncation": "T10", "levels": "hybrid7", "dt": "45 min"} | parameters
    model = SpectralAtmosphere(SpectralParameters.model_validate(options))
    model.setup(
        Site(
            planet=Planet(),
            dtype=np.dtype(dtype),
            seed=seed,
            boundary=boundary or {},
            initial=initial_data,
        )
    )
    return model


def relax(model):
    x = model.columns()
    return {"ua": -x["ua"] / 86400.0, "ta": -(x["ta"] - 270.0) / 86400.0, "hus": -x["hus"] / 1e6}


def advance(model, steps):
    for _ in range(steps):
        model.columns()
        model.advance(relax(model))


PRESSURES = {
    "mountain_rest": (8.0e4, 1.01e5),
    "mountain_rossby_wave": (7.8e4, 1.06e5),
    "solid_rotation": (9.2e4, 1.06e5),
    "rossby_haurwitz": (9.5e4, 1.04e5),
}
"""Range of the surface pressure [Pa]."""


@pytest.mark.parametrize("name", sorted(INITIAL_STATES))
def test_every_initial_state_starts_and_offers_plausible_columns(name):
    model = atmosphere(initial=name)
    advance(model, 3)
    assert isinstance(model, ColumnModel)
    x = model.columns()
    k, shape = model.levels.nlev, model.grid.shape
    for field in ("ua", "va", "ta", "hus", "pfull", "zg", "wap"):
        assert x[field].shape == (k, *shape), field
    for field in ("phalf", "zghalf"):
        assert x[field].shape == (k + 1, *shape), field
    assert x["ps"].shape == x["orog"].shape == shape
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in x.values())
    coldest = 60.0 if name == "rossby_haurwitz" else 120.0  # one lapse rate up to the top
    assert coldest < x["ta"].min() <= x["ta"].max() < 330.0
    # A flat or smooth ground at 1000 hPa, or the published mountains and waves of mass.
    low, high = PRESSURES.get(name, (9.8e4, 1.02e5))
    assert low < x["ps"].min() <= x["ps"].max() < high


def test_columns_are_the_same_memory_at_every_step():
    model = atmosphere()
    before = {n: a.__array_interface__["data"][0] for n, a in model.columns().items()}
    advance(model, 4)
    assert before == {n: a.__array_interface__["data"][0] for n, a in model.columns().items()}


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
@pytest.mark.parametrize("moisture", ["grid", "spectral"])
@pytest.mark.parametrize("stop", [0, 1, 2, 5])
def test_a_restart_continues_bit_for_bit(stop, moisture, stepper):
    whole = atmosphere(initial="moist_baroclinic_wave", moisture=moisture, stepper=stepper)
    advance(whole, stop)
    memory = {n: np.array(a, copy=True) for n, a in whole.memory().items()}
    advance(whole, 6)
    other = atmosphere(initial="standard_rest", noise=1.0, moisture=moisture, stepper=stepper)
    advance(other, 3)
    other.restore(memory)
    advance(other, 6)
    for name, array in whole.memory().items():
        assert np.array_equal(array, other.memory()[name]), name
    for name, array in whole.columns().items():
        assert np.array_equal(array, other.columns()[name]), name


def test_the_first_step_applies_physics_for_dt_and_the_others_for_two():
    model = atmosphere()
    assert model.physics_dt() == 2700.0
    advance(model, 1)
    assert model.physics_dt() == 5400.0


def test_with_sil3_every_step_applies_physics_for_dt_and_shows_its_newest_state():
    model = atmosphere(stepper="sil3")
    for _ in range(2):
        assert model.physics_dt() == 2700.0
        advance(model, 1)
        for name, array in model.core.newest().items():
            if name != "hus":  # on the grid there is one only
                scale = np.abs(array).max()
                assert np.abs(model.columns()[name] - array).max() <= 1e-5 * scale, name
    lifted = model.columns()["wap"].copy()
    model.core.equations.vertical_motion(model.core._fields)
    assert np.array_equal(lifted, model.core.equations.omega_p.numpy() * model.columns()["pfull"])
    assert np.abs(lifted).max() > 1e-3


def test_noise_depends_on_the_seed_alone():
    def noise(seed, **parameters):
        model = atmosphere(initial="isothermal_rest", noise=0.5, seed=seed, **parameters)
        return model.columns()["ta"] - 300.0

    assert np.array_equal(noise(1), noise(1))
    assert np.abs(noise(1) - noise(2)).max() > 0.1
    assert np.allclose(noise(1)[0], noise(1, levels="sigma4")[3], atol=1e-4)
    assert abs(np.sqrt((noise(1) ** 2).mean()) - 0.5) < 0.1


def test_orography_is_tapered_and_surface_pressure_follows_it():
    lat = np.radians(SpectralAtmosphere(SpectralParameters(truncation=10)).grid.lat)
    orog = np.zeros((16, 32)) + 3000.0 * (np.abs(np.degrees(lat) - 30.0) < 15.0)[:, None]
    orog[:, 16:] = 0.0
    model = atmosphere(boundary={"orog": orog}, initial="standard_rest")
    x = model.columns()
    assert 2000.0 < x["orog"].max() < 4000.0
    assert x["orog"].min() > -500.0  # a box still rings a little
    assert abs(np.corrcoef(x["orog"].ravel(), x["ps"].ravel())[0, 1]) > 0.99
    assert np.allclose(x["zghalf"][-1], x["orog"], atol=0.1)


def test_a_state_from_data_is_taken_over():
    def given(orog):
        shape = (7, *orog.shape)
        wave = np.cos(np.linspace(0, 2 * np.pi, 32, endpoint=False))
        return {
            "ua": np.zeros(shape), "va": np.zeros(shape), "ta": 260.0 + wave * np.ones(shape),
            "hus": np.full(shape, 1e-3), "ps": np.full(orog.shape, 9.9e4),
        }  # fmt: skip

    x = atmosphere(initial_data=given).columns()
    assert np.allclose(x["ps"], 9.9e4, rtol=1e-6)
    assert np.allclose(x["hus"], 1e-3, rtol=1e-4)
    middle = 8  # cos(lambda) is not smooth at the poles, but is near the equator
    assert np.allclose(x["ta"][3, middle], given(x["orog"])["ta"][3, middle], atol=0.15)


def test_an_initial_state_with_its_own_orography_is_refused_over_another():
    with pytest.raises(ConfigError, match="standard_rest"):
        atmosphere(boundary={"orog": np.zeros((16, 32))}, initial="jablonowski_williamson")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("initial", "jablonowsky", "jablonowski_williamson"),
        ("levels", "hybrid", "hybrid30"),
        ("truncation", "TL21", "impossible truncation"),
        ("dt", "20 hPa", "hPa"),
        ("diffusion_time", 0, "greater than 0"),
    ],
)
def test_wrong_parameters_are_refused_with_a_sentence(key, value, words):
    with pytest.raises(ValidationError, match=words):
        SpectralParameters.model_validate({key: value})


def test_a_state_that_is_no_longer_finite_is_reported():
    model = atmosphere()
    advance(model, 2)
    bad = {"ta": np.full_like(model.columns()["ta"], np.nan)}
    with pytest.raises(UnstableError, match="ps"):
        for _ in range(4):
            model.advance(bad)


@pytest.mark.parametrize("tracers", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("levels", [HybridLevels.sigma(9), MIXED], ids=["sigma", "mixed"])
def test_the_compiled_right_hand_side_equals_the_reference(dtype, tracers, levels):
    core = DynamicalCore(
        truncation=13, levels=levels, planet=Planet(), dt=1200.0, dtype=dtype, tracers=tracers
    )
    begin(core, jablonowski_williamson(core.frame, perturbed=True))
    eq, inside, k = core.equations, core.transform.inside, levels.nlev
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(core._now.shape, generator=generator, dtype=dtype) * inside
    noise[:, :, : 2 * k] *= 1e-6
    noise[:, :, 3 * k :] *= 1e-3
    with torch.no_grad():
        g = eq.to_grid(core._now + noise)
        forcing = {
            n: torch.randn(g.ua.shape, generator=generator, dtype=dtype)
            for n in ("ua", "va", "ta", "hus")
        }
        reference = eq.grid_tendency(g, forcing)
        omega = eq.omega_p.clone()
        compiled = eq._fused_tendency(g, forcing)
    scale = reference.abs().amax((1, 2), keepdim=True) + 1e-30
    # Same formulas, other order of operations; float32 takes the logarithm of a rounded ratio.
    limit = 1e-12 if dtype == torch.float64 else 3e-4
    assert ((compiled - reference).abs() / scale).max() < limit
    assert (eq.omega_p - omega).abs().max() < limit * omega.abs().max()


@pytest.mark.parametrize("tracers", [0, 1])
def test_the_compiled_passes_over_coefficients_equal_their_references(tracers):
    core = wave_2006(13, 5, 1200.0, perturbed=True, tracers=tracers)
    eq, inside = core.equations, core.transform.inside
    generator = torch.Generator().manual_seed(4)
    spec = torch.randn(core._now.shape, generator=generator, dtype=torch.float64) * inside
    compiled, reference = (core.transform.zeros(eq.batch_shape[0]) for _ in range(2))
    compiled += 7.0 * inside  # every entry must be written
    x, degrees = eq._tables, core.transform.degrees
    fused_spectral.synthesis_batch(
        spec.numpy(), x["east"], x["up"], x["down"], x["inverse"], degrees, 5, compiled.numpy()
    )
    eq._fill_batch(spec, reference)
    scale = reference.abs().amax((0, 1, 3), keepdim=True) + 1e-300
    assert ((compiled - reference).abs() / scale).max() < 1e-14
    batch = torch.randn(core.transform.spectral_shape((4 + tracers) * 5 + 1), generator=generator)
    batch = batch.double()
    results = [
        function(spec, batch, core.surface_geopotential)
        for function in (eq._fused_assemble, eq._assemble)
    ]
    scale = results[1].abs().amax((0, 1, 3), keepdim=True)
    assert ((results[0] - results[1]).abs() / scale).max() < 1e-13


@pytest.mark.parametrize("width", [30, 70, 384])
@pytest.mark.parametrize("tracers", [0, 1])
def test_the_compiled_end_of_a_step_equals_the_reference(tracers, width, monkeypatch):
    # Panels of one wavenumber, of some, and of all.
    monkeypatch.setattr(leapfrog, "WIDTH", width)
    core = wave_2006(13, 7, 1200.0, perturbed=True, tracers=tracers)
    for _ in range(3):
        core.step()
    generator = torch.Generator().manual_seed(2)
    before, now = core._before.clone(), core._now.clone()
    tendency = 1e-4 * torch.randn(now.shape, generator=generator, dtype=now.dtype)
    tendency *= core.transform.inside
    after = core.leapfrog.advance(before, now, tendency, 2400.0)
    expected = core.leapfrog.filtered(before, now, after)
    core.leapfrog.step(before, now, tendency, 2400.0)
    for ours, reference in zip((before, now), expected, strict=True):
        assert torch.allclose(ours, reference, rtol=1e-12, atol=1e-14)


def test_gradients_go_through_a_whole_step():
    core = wave_2006(5, 3, 1200.0, perturbed=True)
    start = core._now.clone()
    direction = torch.randn(start.shape, generator=torch.Generator().manual_seed(3)).double()
    direction = direction * core.transform.inside * start.abs().amax((0, 1, 3), keepdim=True)

    def after(amount):
        x = start + amount * direction
        eq = core.equations
        tendency = eq.tendency(x, eq.to_grid(x), core.surface_geopotential)
        new = core.leapfrog.advance(start, x, tendency, 2400.0)
        return (core.leapfrog.filtered(start, x, new)[1] / start.abs().max()).square().sum()

    amount = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(after(amount), amount)
    with torch.no_grad():
        h = 1e-5
        difference = (after(torch.tensor(h)) - after(torch.tensor(-h))) / (2.0 * h)
    assert abs(float(slope) / float(difference) - 1.0) < 1e-5


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"relative_humidity": 0.5, "moist": False}, "humidity for an atmosphere without water"),
        ({"filter_strength": 0.2, "stepper": "sil3"}, "filter for a stepper of one time level"),
        ({"filter_alpha": 0.6, "stepper": "sil3"}, "filter for a stepper of one time level"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(settings, match):
    with pytest.raises(ValidationError, match=match):
        SpectralParameters.model_validate(settings)


def test_humidity_for_a_start_that_has_its_own_is_refused():
    with pytest.raises(
        ConfigError, match=r"humidity for a start .*moist_baroclinic_wave has water"
    ):
        atmosphere(initial="moist_baroclinic_wave", relative_humidity=0.5)

    def data(orog):
        full = np.full((7, *orog.shape), 1e-3)
        return {"ua": full, "va": full, "ta": full + 260.0, "hus": full, "ps": full[0] + 1e5}

    with pytest.raises(ConfigError, match=r"humidity for a start .*data of `initial`"):
        atmosphere(initial_data=data, relative_humidity=0.5)
    assert atmosphere(initial_data=data).columns()["hus"].max() > 0.0
