"""Gradients through whole steps against finite differences, in float64."""

import pytest
import torch

from cases import wave_2006
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.unroll import unroll


def start(tracers=0, **options):
    """A core after some steps of the perturbed wave, its state, and a direction of its size."""
    core = wave_2006(10, 5, 1800.0, perturbed=True, tracers=tracers, **options)
    spec = core._now.clone()
    generator = torch.Generator().manual_seed(3)
    size = spec.abs().amax((0, 1, 3), keepdim=True)
    noise = torch.randn(spec.shape, generator=generator, dtype=spec.dtype)
    direction = 1e-3 * noise * core.transform.inside * size
    if tracers:
        q = core.equations.tracer_slice
        spec[0, 0, q, 0] = 5e-3
        direction[:, :, q] = 1e-4 * noise[:, :, q] * core.transform.inside
    direction[0, 1] = 0.0  # m = 0 is real
    return core, spec, direction


def relax(g):
    return {"ua": -g.ua / 86400.0, "ta": -g.t_prime / 86400.0}


def scalar(core, spec):
    """Kinetic energy and temperature variance of the state: every variable matters."""
    g = core.equations.to_grid(spec)
    return (g.ua**2 + g.va**2).mean() + (g.t_prime**2).mean() + 1e3 * (g.ln_ps**2).mean()


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
@pytest.mark.parametrize("forcing", [None, relax], ids=["free", "forced"])
@pytest.mark.parametrize("tracers", [0, 1])
def test_unrolled_steps_are_the_steps_of_the_core(tracers, forcing, stepper):
    core, spec, _ = start(tracers, stepper=stepper)
    with torch.no_grad():
        ours = unroll(core, spec, 4, forcing)
    core.start(spec)
    for _ in range(4):
        with torch.no_grad():
            rates = {} if forcing is None else forcing(core._fields)
        core.step({name: rate.numpy().copy() for name, rate in rates.items()})
    scale = core._now.abs().amax((0, 1, 3), keepdim=True) + 1e-30
    assert ((ours - core._now).abs() / scale).max() < 1e-11


@pytest.mark.parametrize(
    ("steps", "tracers", "stepper", "checkpoint"),
    [
        *((n, t, "leapfrog", c) for n, t in ((1, 0), (4, 1), (24, 1)) for c in (False, True)),
        *((n, t, "sil3", c) for n, t, c in ((1, 0, False), (4, 1, True), (24, 1, False))),
    ],
)
def test_the_gradient_is_that_of_central_differences(steps, tracers, stepper, checkpoint):
    core, spec, direction = start(tracers, stepper=stepper)
    x = spec.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        scalar(core, unroll(core, x, steps, relax, checkpoint=checkpoint)), x
    )
    slope = float((gradient * direction).sum())

    def difference(h):
        with torch.no_grad():
            high, low = (
                float(scalar(core, unroll(core, spec + s * direction, steps, relax)))
                for s in (h, -h)
            )
        return (high - low) / (2.0 * h)

    # Richardson: an error of fourth order in h, and rounding of 1e-16 / h; seen: 3e-11.
    expected = (4.0 * difference(0.01) - difference(0.02)) / 3.0
    assert abs(slope / expected - 1.0) < 1e-9
    # The control: the gradient of the initial state alone is another number.
    assert (
        abs(float((torch.autograd.grad(scalar(core, x), x)[0] * direction).sum()) / slope - 1.0)
        > 1e-4
    )


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
@pytest.mark.parametrize("steps", [1, 4, 24])
def test_the_gradient_of_a_components_parameters_is_that_of_central_differences(steps, stepper):
    """Drag, relaxation and its target: what a component would learn."""
    core, spec, _ = start(stepper=stepper)

    def after(p):
        def forcing(g):
            return {
                "ua": -p[0] * g.ua, "va": -p[0] * g.va, "ta": -p[1] * (g.t_prime - torch.exp(p[2]))
            }  # fmt: skip

        return scalar(core, unroll(core, spec, steps, forcing, checkpoint=steps > 4))

    parameters = torch.tensor([1e-5, 4e-6, 1.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(after(parameters), parameters)
    with torch.no_grad():
        for n, size in enumerate((1e-7, 1e-7, 1e-2)):
            step = torch.zeros(3, dtype=torch.float64)
            step[n] = size

            def slope(h, step=step, size=size):
                high, low = after(parameters + h * step), after(parameters - h * step)
                return float(high - low) / (2.0 * h * size)

            expected = (4.0 * slope(1.0) - slope(2.0)) / 3.0
            assert abs(float(gradient[n]) / expected - 1.0) < 1e-6
            assert abs(float(gradient[n - 1]) / expected - 1.0) > 1e-2  # the control: another one


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
def test_checkpoints_keep_less_memory(stepper):
    core, spec, _ = start(stepper=stepper)

    def kept(checkpoint):
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            x = spec.clone().requires_grad_()
            unroll(core, x, 4, checkpoint=checkpoint)
        return total

    assert kept(True) < 0.2 * kept(False)


def test_moisture_on_the_grid_is_refused():
    core = DynamicalCore(
        truncation=5, levels=HybridLevels.sigma(3), planet=Planet(), dt=1800.0, moisture="grid"
    )
    with pytest.raises(ValueError, match="moisture='spectral'"):
        unroll(core, core._now, 1)


def test_coefficients_of_another_truncation_are_refused():
    core, spec, _ = start()
    with pytest.raises(ValueError, match=r"expected coefficients of shape \(11, 2, 16, 12\)"):
        unroll(core, spec[:-1], 1)
    with pytest.raises(ValueError, match="member"):
        unroll(core, spec[None, None], 1)
