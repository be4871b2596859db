"""Linear waves with known speed."""

import numpy as np
import pytest
import torch

from cases import begin
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import isothermal_rest
from physics.dynamics.leapfrog import Diffusion, TimeFilter


def quiet_core(nlev, dt, truncation=7):
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.sigma(nlev),
        planet=Planet(rotation_rate=0.0), dt=dt, dtype=torch.float64, tracers=0,
        diffusion=Diffusion(timescale=1e15), time_filter=TimeFilter(strength=0.0), fix_mass=False,
    )  # fmt: skip
    return begin(core, isothermal_rest(core.frame, temperature=300.0))


def test_the_fastest_wave_is_the_lamb_wave():
    speed = quiet_core(200, 600.0).leapfrog.implicit.wave_speeds[0]
    planet = Planet()
    lamb = np.sqrt(planet.gas_constant_dry * 300.0 / (1.0 - planet.kappa))
    # 200 layers of equal mass below a top at zero pressure: first order in the top layer.
    assert abs(speed / lamb - 1.0) < 1e-2
    coarse = quiet_core(50, 600.0).leapfrog.implicit.wave_speeds[0]
    assert abs(speed / lamb - 1.0) < 0.6 * abs(coarse / lamb - 1.0)


@pytest.mark.parametrize("dt", [300.0, 3600.0])
@pytest.mark.parametrize("mode", [0, 2])
def test_gravity_waves_travel_with_their_speed_as_the_implicit_scheme_slows_it(mode, dt):
    """tan(theta) = omega dt for the trapezoidal leapfrog, omega = c sqrt(n(n+1))/a."""
    core = quiet_core(7, dt)
    implicit, eq = core.leapfrog.implicit, core.equations
    profile = implicit._from_modes[:, -1 - mode]
    m, n, amplitude = 2, 5, 1e-12
    core._now[m, 0, eq.divergence_slice, n - m] = amplitude * profile
    core._before.copy_(core._now)
    series = []
    for _ in range(13):
        core.step()
        series.append(core._now[m, 0, eq.divergence_slice, n - m].clone())
    x = torch.stack(series)[1:] / amplitude
    omega = implicit.wave_speeds[mode] * np.sqrt(n * (n + 1)) / Planet().radius
    theta = np.arctan(omega * dt)
    # Two steps apart, X obeys the recurrence of a pure oscillation of angle 2 theta.
    left, right = x[4:] + x[:-4], 2.0 * np.cos(2.0 * theta) * x[2:-2]
    # Nonlinear terms are of order amplitude x period = 1e-8.
    assert (left - right).abs().max() < 1e-6 * x.abs().max()
    # The other vertical modes stay out of it.
    shares = torch.matmul(implicit._to_modes, x.T)
    shares[-1 - mode] = 0.0
    assert shares.abs().max() < 1e-6
