"""Barotropic instability of a jet: Galewsky, Scott and Polvani (2004), Tellus A 56, 429-440.

Diffusion of 1e5 m2/s on vorticity, divergence and height. Numbers to compare with are those of an
independent spectral model at the same truncation.
"""

import pytest
from layers import layer, relative_change, run

from physics.dynamics.shallow_water import LayerDiffusion

CONVERGENCE = LayerDiffusion(coefficient=1.0e5, power=1, height=True)


def test_the_balanced_height_has_the_published_maximum():
    core, state = layer(42, 600.0, "galewsky_steady")
    assert state.height.max() == pytest.approx(10158.1862, abs=1e-4)
    assert core.mean(state.height) == pytest.approx(1.0e4, abs=1e-8)
    assert state.ua.max() == pytest.approx(80.0, rel=0.03)  # between two rows


def _waves(core):
    """Largest coefficient of vorticity that is not zonal [s-1]."""
    return float(core.transform.to_complex(core.coefficients()).abs()[0, 1:].max())


def test_the_balanced_jet_stays_zonal_to_round_off():
    calm, _ = layer(42, 600.0, "galewsky_steady", diffusion=CONVERGENCE)
    assert _waves(run(calm, 3)) < 1e-15  # the jet's own coefficients are 1e-5
    # The control: the bump gives waves that the instability makes grow.
    pushed, _ = layer(42, 600.0, "galewsky", diffusion=CONVERGENCE)
    assert _waves(run(pushed, 1)) > 1e-8


def _published(core, days, vorticity, height, tolerance):
    before = core.integrals()
    x = run(core, days).newest()
    for name, (low, high) in (("rv", vorticity), ("zg", height)):
        assert x[name].min() == pytest.approx(low, abs=tolerance[name])
        assert x[name].max() == pytest.approx(high, abs=tolerance[name])
    return relative_change(core, before)


def test_the_perturbed_jet_rolls_up_as_published_at_t42():
    core, _ = layer(42, 600.0, "galewsky", diffusion=CONVERGENCE)
    # The printed digits.
    change = _published(
        core, 6, (-8.10e-5, 8.91e-5), (8942.0, 10207.2), {"rv": 1e-7, "zg": 0.2}
    )  # fmt: skip
    assert abs(change["depth"]) < 1e-13
    assert change["energy"] == pytest.approx(-5.84e-4, rel=0.01)
    assert change["enstrophy"] == pytest.approx(-4.12e-2, rel=0.02)  # that of T85 and finer


@pytest.mark.slow
def test_the_perturbed_jet_rolls_up_as_published_at_t85():
    core, _ = layer(85, 300.0, "galewsky", diffusion=CONVERGENCE)
    change = _published(
        core, 6, (-7.33e-5, 9.25e-5), (8907.3, 10209.9), {"rv": 1e-7, "zg": 0.2}
    )  # fmt: skip
    assert abs(change["depth"]) < 1e-13
    assert change["energy"] == pytest.approx(-5.84e-4, rel=0.005)
    assert change["enstrophy"] == pytest.approx(-4.12e-2, rel=0.005)
