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


@pytest.mark.parametrize("forcing", [None, relax], ids=["free", "forced"])
@pytest.mark.parametrize("tracers", [0, 1])
def test_unrolled_steps_are_the_steps_of_the_core(tracers, forcing):
    core, spec, _ = start(tracers)
    with torch.no_grad():
        ours = unroll(core, spec, 4, forcing)
    core.start(spec)
    for _ in range(4):
        with torch.no_grad():
            rates = {} if forcing is None else forcing(core._fields)
        core.step({name: rate.numpy().copy() for name, rate in rates.items()})
    scale = core._now.abs().amax((0, 1, 3), keepdim=True) + 1e-30
    assert ((ours - core._now).abs() / scale).max() < 1e-11


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize(("steps", "tracers"), [(1, 0), (1, 1), (4, 0), (4, 1), (24, 1)])
def test_the_gradient_is_that_of_central_differences(steps, tracers, checkpoint):
    core, spec, direction = start(tracers)
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


def test_a_parameter_of_the_forcing_has_a_gradient():
    core, spec, _ = start()

    def after(rate):
        return scalar(core, unroll(core, spec, 3, lambda g: {"ua": -rate * g.ua}))

    rate = torch.tensor(1e-5, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(after(rate), rate)
    with torch.no_grad():
        h = 1e-7
        difference = (after(rate + h) - after(rate - h)) / (2.0 * h)
    assert abs(float(slope) / float(difference) - 1.0) < 1e-6


def test_checkpoints_keep_less_memory():
    core, spec, _ = start()

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
