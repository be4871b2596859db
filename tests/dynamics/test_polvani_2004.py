"""Start of Polvani, Scott and Thomas (2004) against its formulas, and its balance in the core."""

from pathlib import Path

import numpy as np
import pytest
import torch
from frames import PLANET, frame
from scipy.integrate import quad

from coupler.config import read_yaml, with_changes
from coupler.driver.assemble import assemble
from coupler.interface.grid import HybridLevels
from physics.dynamics.core import DynamicalCore
from physics.dynamics.initial import to_spectral
from physics.dynamics.initial_polvani import jet, life_cycle

ROOT = Path(__file__).resolve().parents[2]


def published_wind(phi, z):
    form = 0.5 * (1.0 - np.tanh((z - 22e3) / 5e3) ** 3) * np.sin(np.pi * z / 30e3)
    return 50.0 * np.sin(np.pi * np.sin(phi) ** 2) ** 3 * form if phi > 0.0 else 0.0


def test_the_jet_and_its_shear_are_the_published_ones():
    z = np.array([[500.0], [9000.0], [14000.0], [21000.0], [29000.0]])
    phi = np.radians([-50.0, -1.0, 20.0, 45.0, 70.0])
    wind, shear = jet(phi, z)
    exact = [[published_wind(p, h) for p in phi] for h in z[:, 0]]
    np.testing.assert_allclose(wind, exact, rtol=1e-12, atol=1e-12)
    above, below = ([[published_wind(p, h + d) for p in phi] for h in z[:, 0]] for d in (1.0, -1.0))
    np.testing.assert_allclose(shear, 0.5 * (np.array(above) - below), rtol=1e-5, atol=1e-9)
    assert 43.0 < wind.max() < 50.0  # the paper's jet has its 45 m/s near 10 km


def test_temperature_is_in_gradient_wind_balance_around_the_standard_atmosphere():
    x = frame(48, 10)
    s = life_cycle(x, perturbed=False)
    z = -7340.0 * np.log(x.full_pressure(s.ps)[:, 0, 0] / 1e5)
    assert np.ptp(s.ta, axis=2).max() == 0.0

    def slope(phi, height):
        shear = (published_wind(phi, height + 1.0) - published_wind(phi, height - 1.0)) / 2.0
        turning = 2.0 * PLANET.rotation_rate * PLANET.radius * np.sin(phi)
        return -7340.0 / 287.0 * (turning + 2.0 * published_wind(phi, height) * np.tan(phi)) * shear

    lat = x.latitude[:, 0]
    for k in (1, 4, 8):
        for low, high in ((24, 30), (30, 40), (24, 47)):
            exact = quad(slope, lat[low], lat[high], args=(z[k],), epsabs=1e-9)[0]
            assert s.ta[k, high, 0] - s.ta[k, low, 0] == pytest.approx(exact, abs=1e-5)
    assert np.ptp(s.ta[:, :24], axis=1).max() < 1e-12  # no wind, no gradient
    weights = np.polynomial.legendre.leggauss(48)[1] / 2.0
    mean = (weights[None] * s.ta[:, :, 0]).sum(axis=1)
    standard = np.interp(z, [0, 11e3, 20e3, 32e3], [288.15, 216.65, 216.65, 228.65])
    np.testing.assert_allclose(mean, standard, atol=1e-3)


def test_the_warm_spot_is_one_kelvin_at_0e_45n_at_every_height():
    x = frame(96, 10)
    spot = life_cycle(x).ta - life_cycle(x, perturbed=False).ta
    k, j, i = np.unravel_index(spot.argmax(), spot.shape)
    assert np.ptp(spot, axis=0).max() < 1e-12
    assert i == 0 and abs(x.latitude[j, 0] - np.pi / 4) < np.pi / 96
    assert spot.max() == pytest.approx(1.0, abs=0.01)
    phi = x.latitude[j, 0] - np.pi / 4
    for n in (5, 187):  # west of Greenwich the longitude is negative
        lam = 2 * np.pi * (n if n < 96 else n - 192) / 192
        exact = 1.0 / (np.cosh(3 * lam) * np.cosh(6 * phi)) ** 2
        assert spot[k, j, n] == pytest.approx(exact, rel=1e-12)


def stepped(disturb, hours=24.0):
    """Largest change of the wind [m/s] below 250 hPa, and of surface pressure [Pa]."""
    core = DynamicalCore(
        truncation=31, levels=HybridLevels.sigma(20), planet=PLANET, dt=1800.0,
        dtype=torch.float64, tracers=0,
    )  # fmt: skip
    state = life_cycle(core.frame, perturbed=False)
    disturb(state)
    with torch.no_grad():
        core.start(to_spectral(core.equations, state))
    first = {n: v.copy() for n, v in core.newest().items()}
    for _ in range(round(hours * 3600.0 / core.dt)):
        core.step()
    last = core.newest()
    # In the top layers a scale height lies between two levels: the balance is not resolved there.
    moved = max(np.abs(last[n] - first[n])[5:].max() for n in ("ua", "va"))
    return moved, np.abs(last["ps"] - first["ps"]).max()


def test_the_core_keeps_the_jet_and_not_one_that_is_out_of_balance():
    wind, pressure = stepped(lambda state: None)
    assert wind < 0.2 and pressure < 30.0

    def half(state):
        state.ta[:] = 0.5 * (state.ta + state.ta.mean(axis=1, keepdims=True))

    lost, moved = stepped(half)
    assert lost > 20 * wind and moved > 10 * pressure


def test_the_case_diffuses_with_the_tests_coefficient_on_wind_and_temperature():
    path = ROOT / "cases" / "tests" / "polvani_2004_t85.yaml"
    raw, _ = with_changes(read_yaml(path), set={"atmosphere.truncation": "T21"})
    time = raw["atmosphere"]["diffusion_time"]
    model = assemble(raw, path.parent)
    core = model.atmosphere.core
    seconds = float(time.split()[0])
    assert seconds == pytest.approx(PLANET.radius**2 / (7.0e5 * 85 * 86), rel=1e-4)
    rate = core.leapfrog.diffusion.state_rate(core.equations)
    n = core.transform.degree
    exact = n * (n + 1.0) / (21 * 22) / seconds
    k = core.levels.nlev
    inside = n[1] > 1
    for first in (0, k, 2 * k):  # vorticity, divergence, temperature
        np.testing.assert_allclose(rate[1, 0, first, inside], exact[1, inside], rtol=1e-12)
    assert not rate[:, 0, -1].any()  # surface pressure
