"""Kinetic energy that diffusion takes comes back as heat, all of it."""

import numpy as np
import pytest
import torch

from cases import begin
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.ensemble import Batch
from physics.dynamics.initial import GridState
from physics.dynamics.leapfrog import Diffusion, TimeFilter

PLANET = Planet()


def stirred(*, return_heat, stepper="leapfrog", dt=1200.0, dtype=torch.float64, **choice):
    """A core with eddies of all sizes in air of even mass."""
    core = DynamicalCore(
        truncation=15, levels=HybridLevels.named("sigma5"), planet=PLANET, dt=dt, dtype=dtype,
        tracers=0, stepper=stepper, diffusion=Diffusion(timescale=7200.0, sponge_levels=1),
        return_heat=return_heat, **choice,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    nlat, nlon = core.transform.nlat, core.transform.nlon
    cos = np.sqrt(1.0 - core.frame.sin_lat**2)[:, None]
    zero, wind = np.zeros((5, nlat, nlon)), rng.standard_normal((2, 5, nlat, nlon)) * cos
    state = GridState(
        surface_geopotential=zero[0], ua=20.0 * cos + 9.0 * wind[0], va=9.0 * wind[1],
        ta=zero + 280.0, hus=zero, ps=zero[0] + 1e5,
    )  # fmt: skip
    return begin(core, state)


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
def test_the_heat_is_the_kinetic_energy_that_a_step_of_diffusion_takes(stepper):
    core = stirred(return_heat=True, stepper=stepper)
    equations, scheme = core.equations, core.sil3 or core.leapfrog
    span = core.dt if core.sil3 else 2.0 * core.dt
    with torch.no_grad():
        core.physics_dt()
        fresh = core._now.clone()
        after = fresh * scheme.damping_factor(span)

        def kinetic(spec):
            g = equations.to_grid(spec)
            return float(core.transform.global_mean(0.5 * (g.ua**2 + g.va**2)).sum())

        lost = kinetic(fresh) - kinetic(after)
        given = {"ta": torch.full((5, *core._ps.shape), 1e-6, dtype=torch.float64)}
        heat = core.dissipation.added(after, equations.to_grid(after), given)["ta"]
        gained = PLANET.cp_dry * span * float(core.transform.global_mean(heat - 1e-6).sum())
    assert lost > 1.0  # [m2 s-2]
    # Differences of kinetic energies of 1e3 m2 s-2, and the 1e-6 K/s that physics gave.
    assert gained == pytest.approx(lost, rel=1e-9)
    assert float(given["ta"].max()) == 1e-6, "what physics gave is not changed"


def test_the_compiled_wind_of_what_is_lost_is_that_of_torch():
    core = stirred(return_heat=True)
    tr, found = core.transform, core.dissipation
    with torch.no_grad():
        core.step()
        found.added(core._now, core.equations.to_grid(core._now), {})
        rate = torch.from_numpy(found._rate)[:, None]
        lost = core._now[:, :, :10] * rate
        expected = tr.wind(lost[:, :, :5], lost[:, :, 5:])
    # Two orders of the same few additions.
    assert (found._wind - expected).abs().max() < 1e-14 * expected.abs().max()
    assert expected.abs().max() > 0.0


def energy_drift(*, return_heat, stepper="leapfrog", days=1.0):
    quiet = TimeFilter(strength=0.02)
    core = stirred(return_heat=return_heat, stepper=stepper, time_filter=quiet)
    core.step()
    start = core.integrals()["energy"]
    steps = round(days * 86400.0 / core.dt)
    for _ in range(steps):
        core.step()
    return (core.integrals()["energy"] - start) / (steps * core.dt)


# What is left is not the diffusion's: the leapfrog's time filter, weak here, takes some, and so do
# gravity waves of a wild start, which it damps. SIL3 has no filter.
@pytest.mark.parametrize(("stepper", "limit"), [("leapfrog", 0.12), ("sil3", 0.03)])
def test_energy_is_kept_while_eddies_are_damped_away(stepper, limit):
    without = energy_drift(return_heat=False, stepper=stepper)
    drift = energy_drift(return_heat=True, stepper=stepper)
    assert without < -1.0, "the control: eddies lose watts per square metre"
    assert abs(drift) < limit * abs(without), (drift, without)


def test_members_are_refused_that_would_not_get_the_heat():
    with pytest.raises(ValueError, match="expected a core without return_heat"):
        Batch(stirred(return_heat=True), 3)
