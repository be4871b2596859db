"""The two-scale model of Lorenz (1996), alone and through the driver, against published numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coupler import Simulation
from coupler.interface.component import Arrays, Host
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, CouplerError
from coupler.interface.grid import Grid, HybridLevels
from physics.dynamics.lorenz96 import TIME_UNIT, both_rates, slow_rate, step_both, step_slow
from physics.dynamics.lorenz96_closures import (
    AutoregressiveParameters,
    PolynomialAutoregressive,
    fit,
    missed,
)

CASE = Path(__file__).resolve().parents[2] / "cases" / "lorenz96.yaml"


def run(out: Path, **more: Any) -> Simulation:
    changes = {"atmosphere.members": 3, "days": 25} | more.pop("set", {})
    return Simulation.from_case(CASE, out=out, set=changes, **more).run(quiet=True)


def truth(c: float, samples: int) -> np.ndarray:
    """X of one member, every 0.005 units of time after a spin-up, [time, 8]."""
    draw = np.random.default_rng(3)
    x, y = 6.0 + draw.standard_normal((1, 8)), 0.1 * draw.standard_normal((1, 256))
    push = np.zeros((1, 8))
    step_both(x, y, 20.0, 1.0, 10.0, c, 0.00125, 8000, push)
    found = np.empty((samples, 8))
    for i in range(samples):
        step_both(x, y, 20.0, 1.0, 10.0, c, 0.00125, 4, push)
        found[i] = x[0]
    return found


@pytest.mark.parametrize(
    ("c", "published", "phi", "sigma"),
    [
        (10.0, (0.341, 1.30, -0.0136, -0.00235), 0.986, 1.99),
        (4.0, (-0.198, 0.575, -0.00550, -0.000223), 0.993, 2.12),
    ],
)
def test_polynomial_and_noise_are_those_of_arnold_et_al_2013(
    c: float, published: tuple[float, ...], phi: float, sigma: float
) -> None:
    x = truth(c, 30000)
    found = fit(x[:-1], missed(x, 20.0, 0.005))
    # Curves over where X is nearly always: coefficients alone trade with each other. 150 units of
    # time hold some 100 independent states of 8 variables: a mean of U is known to 0.1.
    at = np.linspace(*np.quantile(x, [0.05, 0.95]), 20)
    ours = np.polynomial.polynomial.polyval(at, found.coefficients)
    theirs = -np.polynomial.polynomial.polyval(at, published)
    assert np.abs(ours - theirs).max() < 0.35
    assert found.phi == pytest.approx(phi, abs=0.006)
    assert found.sigma == pytest.approx(sigma, rel=0.05)


def test_advection_keeps_energy_and_coupling_only_moves_it() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal(7), draw.standard_normal(35)
    dx, dy, push = np.empty(7), np.empty(35), np.empty(7)
    slow_rate(x, np.zeros(7), 0.0, dx)
    assert x @ dx + x @ x == pytest.approx(0.0, abs=1e-13)
    both_rates(x, y, 0.0, 1.3, 10.0, 4.0, push, dx, dy)
    # d/dt (X^2 + Y^2)/2 = -X^2 - c Y^2: what U takes from X the fast scale gets.
    assert x @ dx + y @ dy == pytest.approx(-x @ x - 4.0 * y @ y, abs=1e-12)
    assert abs(x @ push) > 0.1
    # The control: a coupling that is not felt by the fast scale does not balance.
    both_rates(x, y, 0.0, 1.3, 10.0, 4.0, push, dx, np.empty(35))
    slow_rate(x, 1.01 * push, 0.0, dx)
    assert abs(x @ dx + y @ dy + x @ x + 4.0 * y @ y) > 1e-3


def test_the_step_is_of_fourth_order() -> None:
    start = 6.0 + np.random.default_rng(1).standard_normal((2, 9))

    def after(steps: int) -> np.ndarray:
        x = start.copy()
        for _ in range(steps):
            step_slow(x, np.zeros_like(x), 8.0, 0.2 / steps, np.zeros((3, 9)))
        return x

    exact = after(640)
    errors = [np.abs(after(n) - exact).max() for n in (10, 20)]
    assert 13.0 < errors[0] / errors[1] < 19.0


def test_the_driver_steps_as_the_model_does(tmp_path: Path) -> None:
    settings = {"atmosphere.fast": True, "subgrid.mode": "off", "seed": 4}
    model = run(tmp_path / "run", set=settings).model.atmosphere
    rows = [np.random.default_rng([4, m]) for m in range(3)]
    both = [(r.standard_normal(8), r.standard_normal(256)) for r in rows]
    x, y = 6.0 + np.array([b[0] for b in both]), 0.1 * np.array([b[1] for b in both])
    for _ in range(1000):
        step_both(x, y, 20.0, 1.0, 10.0, 10.0, 0.001, 5, np.zeros_like(x))
    np.testing.assert_array_equal(model.x, x)


def test_a_closure_makes_the_slow_scale_as_energetic_as_the_truth(tmp_path: Path) -> None:
    settings = {"atmosphere.members": 12, "days": 60, "output.interval": 60}
    found = {}
    for name, own in (
        ("truth", {"atmosphere.fast": True, "subgrid.mode": "off"}),
        ("none", {"subgrid.mode": "off"}),
        ("polynomial", {}),
        ("noise", {"subgrid": "polynomial_ar1"}),
    ):
        model = run(tmp_path / name, set=settings | own).model.atmosphere
        found[name] = float((model.x**2).mean())
    missing = abs(found["none"] - found["truth"])
    # 96 numbers, some 30 of them independent: the mean square is known to about a quarter.
    assert missing > 0.5 * found["truth"]
    for name in ("polynomial", "noise"):
        assert abs(found[name] - found["truth"]) < 0.5 * missing


def test_a_resumed_run_with_noise_is_the_whole_run_bit_for_bit(tmp_path: Path) -> None:
    swap = {"subgrid": "polynomial_ar1"}
    whole = run(tmp_path / "whole", swap=swap)
    cut = {"set": {"atmosphere.members": 3, "days": 25}, "swap": swap, "out": tmp_path / "cut"}
    Simulation.from_case(CASE, **cut).run(days=5, quiet=True)
    rest = Simulation.from_case(CASE, resume=True, **cut).run(quiet=True)
    for name, array in whole.model.atmosphere.memory().items():
        np.testing.assert_array_equal(rest.model.atmosphere.memory()[name], array)


def test_noise_has_the_memory_and_size_that_it_is_told() -> None:
    grid = Grid.plane(1, 500, 1.0, units="1")
    levels = HybridLevels.layer()
    host = Host(grid=grid, levels=levels, planet=Planet(), dtype=np.dtype("f8"), seed=7)
    parameters = AutoregressiveParameters(coefficients=(2.0,), phi=0.9, sigma=3.0)
    scheme = PolynomialAutoregressive(parameters)
    scheme.setup(host)
    series = np.empty((200, 500))
    for row in series:
        tend = Arrays(x_slow=np.zeros((1, 500)))
        now = None
        scheme.compute(Arrays(x_slow=np.ones((1, 500))), tend, Arrays(), Arrays(), now)  # type: ignore[arg-type]
        row[:] = TIME_UNIT * tend.x_slow[0] - 2.0
    # 1e5 numbers of which every twentieth is independent: deviation to 1 %, correlation to 0.005.
    assert series.std() == pytest.approx(3.0, rel=0.04)
    assert (series[1:] * series[:-1]).mean() / series.var() == pytest.approx(0.9, abs=0.02)
    assert abs(np.corrcoef(series[:, 0], series[:, 1])[0, 1]) < 0.6


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"atmosphere.slow": 3}, "slow"),
        ({"subgrid": "smagorinsky"}, "nobody provides"),
        ({"subgrid": {"scheme": "polynomial_ar1", "phi": 1.0}}, "phi"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        run(tmp_path / "run", set=changes)


def test_a_step_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(CouplerError, match="x_slow"):
        run(tmp_path / "run", set={"atmosphere.dt": "1 day", "subgrid.mode": "off", "days": 400})
