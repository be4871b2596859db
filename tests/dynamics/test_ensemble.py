"""Members of one core in one batch: each is what the core gives it alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cases import wave_2006
from coupler.interface.constants import Planet
from coupler.interface.errors import UnstableError
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.ensemble import Ensemble
from physics.dynamics.unroll import unroll

MEMBERS = 3


def setting(stepper, dtype=torch.float64, tracers=1):
    """A core and coefficients of members that differ by noise of the size of the wave."""
    core = wave_2006(
        10, 5, 1800.0, perturbed=True, tracers=tracers, dtype=dtype, stepper=stepper
    )  # fmt: skip
    spec = core._now.repeat(MEMBERS, 1, 1, 1, 1)
    if tracers:
        spec[:, 0, 0, core.equations.tracer_slice, 0] = 5e-3
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(spec.shape, generator=generator, dtype=dtype) * core.transform.inside
    noise[:, 0, 1] = 0.0
    return core, spec + 1e-3 * noise * spec.abs().amax((1, 2, 4), keepdim=True)


def relax(state):
    return {"ua": -state["ua"] / 86400.0, "ta": -(state["ta"] - 280.0) / 86400.0}


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
@pytest.mark.parametrize("tracers", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_member_is_bit_for_bit_the_core_alone(stepper, tracers, dtype):
    core, specs = setting(stepper, dtype, tracers)
    ensemble = Ensemble(core, MEMBERS)
    ensemble.start(specs)
    for _ in range(5):
        ensemble.step(relax(ensemble.grid_state()))
    batch, exposed = ensemble.coefficients(), ensemble.grid_state()
    for member, spec in enumerate(specs):
        core.start(spec)
        for _ in range(5):
            rates = {n: torch.from_numpy(a) for n, a in core.grid_state().items()}
            core.step({n: rate.numpy() for n, rate in relax(rates).items()})
        assert torch.equal(batch[member], core._now)
        assert ensemble.mass_fix[member] == core.mass_fix
        for name in ("ua", "va", "ta"):
            assert np.array_equal(exposed[name][member].numpy(), core.grid_state()[name]), name
        # The core multiplies by the fixer's factor what here is in the exponent: rounding.
        ps = exposed["ps"][member].numpy()
        assert np.abs(ps / core.grid_state()["ps"] - 1.0).max() < 2 * np.finfo(ps.dtype).eps
    assert not torch.equal(batch[0], batch[1])
    assert ensemble.physics_dt() == core.physics_dt()


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
def test_a_member_does_not_feel_the_others(stepper):
    core, specs = setting(stepper)
    ensembles = [Ensemble(core, MEMBERS), Ensemble(core, MEMBERS)]
    ensembles[0].start(specs)
    ensembles[1].start(torch.stack([specs[0], 0.5 * specs[1], specs[2]]))
    for ensemble in ensembles:
        for _ in range(4):
            ensemble.step()
    one, other = (ensemble.coefficients() for ensemble in ensembles)
    assert torch.equal(one[0], other[0]) and torch.equal(one[2], other[2])
    assert not torch.equal(one[1], other[1])


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
def test_unrolled_members_and_their_gradients_are_those_of_single_runs(stepper):
    core, specs = setting(stepper)
    drag = torch.tensor(1e-5, dtype=torch.float64, requires_grad=True)

    def forcing(g):
        assert g.ua.shape[-3:] == (5, 16, 32)
        return {"ua": -drag * g.ua, "ta": -1e-5 * g.t_prime}

    def energy(spec):
        g = core.equations.to_grid(spec)
        return (g.ua**2 + g.va**2).mean() + (g.scalars**2).mean()

    together = specs.clone().requires_grad_()
    end = unroll(core, together, 4, forcing, checkpoint=True)
    weights = (0.3, 1.0, -2.0)
    total = sum(w * energy(member) for w, member in zip(weights, end, strict=True))
    slopes, drag_slope = torch.autograd.grad(total, (together, drag))
    expected = 0.0
    for member, weight in enumerate(weights):
        alone = specs[member].clone().requires_grad_()
        result = unroll(core, alone, 4, forcing)
        assert torch.equal(result, end[member])
        slope, part = torch.autograd.grad(energy(result), (alone, drag))
        expected += weight * float(part)
        # Backward, sums over rows of the batch may be in another order: rounding.
        scale = slope.abs().amax((0, 1, 3), keepdim=True)
        assert ((slopes[member] - weight * slope).abs() / scale).max() < 1e-11
    assert abs(float(drag_slope) / expected - 1.0) < 1e-11


def test_a_gradient_of_a_batch_is_that_of_central_differences():
    core, specs = setting("sil3")
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(specs.shape, generator=generator, dtype=torch.float64)
    direction = 1e-3 * direction * core.transform.inside * specs.abs().amax((1, 2, 4), keepdim=True)
    direction[:, 0, 1] = 0.0

    def spread(spec):
        """Of temperature between members: no member's gradient is known without the others."""
        end = unroll(core, spec, 4)
        return end[..., core.equations.temperature_slice, :].var(0).sum()

    x = specs.clone().requires_grad_()
    slope = float((torch.autograd.grad(spread(x), x)[0] * direction).sum())
    with torch.no_grad():

        def difference(h):
            return float(spread(specs + h * direction) - spread(specs - h * direction)) / (2 * h)

        expected = (4.0 * difference(0.01) - difference(0.02)) / 3.0
    assert abs(slope / expected - 1.0) < 1e-6


def test_every_member_keeps_its_own_mass():
    core, specs = setting("leapfrog", tracers=0)
    specs[:, 0, 0, -1, 0] += torch.tensor([0.0, 0.01, -0.02], dtype=torch.float64)
    ensemble = Ensemble(core, MEMBERS)
    ensemble.start(specs)
    masses = list(ensemble.dry_mass)
    assert masses[1] > 1.009 * masses[0] and masses[2] < 0.981 * masses[0]
    for _ in range(24):
        ensemble.step()
    ps = ensemble.grid_state()["ps"]
    for member, mass in enumerate(masses):
        now = float((ps[member] * ensemble._batch.weights).sum())
        assert abs(now / mass - 1.0) < 1e-12  # rounding of ps
        assert ensemble.mass_fix[member] != 0.0


def test_a_member_that_blows_up_is_named():
    core, specs = setting("leapfrog")
    specs[2, 0, 0, -1, 0] = float("nan")
    ensemble = Ensemble(core, MEMBERS)
    ensemble.start(specs)
    with pytest.raises(UnstableError, match="member 2"):
        ensemble.step()


def test_what_cannot_be_batched_is_refused():
    core, specs = setting("leapfrog")
    with pytest.raises(ValueError, match="expected 2 members, got 3"):
        Ensemble(core, 2).start(specs)
    with pytest.raises(ValueError, match="at least one member, got 0"):
        Ensemble(core, 0)
    core.rows = SimpleNamespace(parallel=SimpleNamespace(size=2))
    with pytest.raises(ValueError, match="one of 2 ranks"):
        Ensemble(core, 3)
    wet = DynamicalCore(
        truncation=5, levels=HybridLevels.sigma(3), planet=Planet(), dt=1800.0, moisture="grid"
    )
    with pytest.raises(ValueError, match="moisture='spectral'"):
        Ensemble(wet, 2)
