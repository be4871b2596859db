"""Two-layer quasi-geostrophic flow against what is known of it on paper."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from coupler.interface.errors import ConfigError
from physics.dynamics.qg_core import EDDY, REGIMES, QGConfig, QGCore, noise
from physics.dynamics.qg_fused import Batch

CALM = replace(EDDY, u1=0.0, rek=0.0, filtered=False)
"""No mean flow, no drag, no filter: nothing but advection and beta."""


def rough(core: QGCore, members: int = 3, shortest: int | None = None) -> torch.Tensor:
    """Coefficients of random q in both layers, of the size that eddies have."""
    n = core.config.nx
    draw = np.random.default_rng(5).standard_normal((2, members, n, n))
    qh = torch.fft.rfft2(torch.tensor(2e-5 * draw, dtype=core.dtype))
    if shortest is not None:
        unit = 2.0 * np.pi / core.config.length
        keep = (core.ik.imag.abs() <= shortest * unit) & (core.il.imag.abs() <= shortest * unit)
        keep[n // 2] = False
        keep[:, -1] = False
        qh = qh * keep
    qh[..., 0, 0] = 0.0
    return qh


def test_inverting_potential_vorticity_gives_the_streamfunction_back() -> None:
    core = QGCore(replace(EDDY, nx=26))
    psi = np.random.default_rng(0).standard_normal((2, 3, 26, 26))
    ph = core.to_waves(torch.tensor(psi - psi.mean(axis=(-1, -2), keepdims=True)))
    back = core.streamfunction(core.vorticity(ph))
    # The longest wave is 26 times as long as the shortest: K^2 spans 700, its inverse is exact to
    # some 700 round-offs.
    torch.testing.assert_close(back, ph, rtol=1e-12, atol=1e-12 * float(ph.abs().max()))


def test_both_layers_alike_move_as_one() -> None:
    core = QGCore(replace(EDDY, nx=16))
    psi = torch.tensor(np.random.default_rng(1).standard_normal((1, 1, 16, 16))).expand(
        2, -1, -1, -1
    )
    ph = core.to_waves(psi)
    torch.testing.assert_close(core.vorticity(ph), -core.k2 * ph, rtol=0.0, atol=1e-20)


@pytest.mark.parametrize("baroclinic", [False, True])
def test_a_rossby_wave_moves_at_its_phase_speed(baroclinic: bool) -> None:
    config = replace(CALM, nx=24, dt=600.0)
    core = QGCore(config)
    f1, f2 = config.stretching
    m, n = 3, -2
    k, el = (2.0 * np.pi * x / config.length for x in (m, n))
    speed = -config.beta / (k**2 + el**2 + (f1 + f2 if baroclinic else 0.0))
    x = np.arange(config.nx) * config.dx
    # Of a wave of this shape the advection of itself is zero.
    layers = np.array([1.0, -config.delta] if baroclinic else [1.0, 1.0])

    def psi(time: float) -> np.ndarray:
        phase = k * (x[None, :] - speed * time) + el * x[:, None]
        return 50.0 * layers[:, None, None, None] * np.cos(phase)

    qh = core.vorticity(core.to_waves(torch.tensor(psi(0.0))))
    state = core.begin(core.to_grid(qh))
    steps = 200
    for _ in range(steps):
        state = core.step(state)
    found = core.to_grid(core.streamfunction(state.qh)).numpy()
    # 200 steps turn the phase by 0.007 rad (baroclinic) or more; Adams-Bashforth is off by
    # (omega dt)^2 in its first step, below 1e-8, and the inversion by round-off.
    assert np.abs(found - psi(steps * config.dt)).max() < 1e-6 * 50.0
    assert np.abs(found - psi(0.0)).max() > 5e-3 * 50.0


def phillips(config: QGConfig, k: float) -> tuple[complex, np.ndarray]:
    """The fastest growing wave exp(ikx + st) of the Phillips problem: s [s-1] and its layers."""
    f1, f2 = config.stretching
    q1, q2 = config.pv_gradients
    stretch = np.array([[-(k**2) - f1, f1], [f2, -(k**2) - f2]])
    drag = np.diag([0.0, config.rek * k**2])
    flow = np.diag([config.u1, config.u2])
    # stretch d psi/dt = (-ik U stretch - ik Q + drag) psi
    right = -1j * k * (flow @ stretch + np.diag([q1, q2])) + drag
    values, vectors = np.linalg.eig(np.linalg.solve(stretch, right))
    fastest = int(np.argmax(values.real))
    return complex(values[fastest]), vectors[:, fastest]


@pytest.mark.parametrize("name", sorted(REGIMES))
def test_unstable_waves_grow_as_in_the_phillips_problem(name: str) -> None:
    config = replace(REGIMES[name], nx=32, dt=900.0, filtered=False)
    core = QGCore(config)
    k = 2.0 * np.pi * 6 / config.length
    rate, layers = phillips(config, k)
    assert rate.real > 3e-8  # a year makes it e times as large, or there is nothing to test

    x = np.arange(config.nx) * config.dx
    wave = 1e-8 * (layers[:, None] * np.exp(1j * k * x)).real
    psi = torch.tensor(wave)[:, None, None, :].expand(2, 1, config.nx, config.nx)
    start = core.vorticity(core.to_waves(psi))
    state = core.begin(core.to_grid(start))
    steps = 300
    for _ in range(steps):
        state = core.step(state)
    found = core.streamfunction(state.qh)[:, 0, 0, 6] / core.streamfunction(start)[:, 0, 0, 6]
    # The step's error is (|s| dt)^2 in the first and (|s| dt)^3 in each later one, below 1e-6.
    expected = np.exp(rate * steps * config.dt)
    np.testing.assert_allclose(found.numpy(), [expected, expected], rtol=2e-6)
    assert abs(expected) > 1.005


def test_short_enough_waves_without_beta_are_stable() -> None:
    config = replace(EDDY, beta=0.0, rek=0.0, delta=1.0)
    f1, f2 = config.stretching
    # Equal layers, no beta, no drag: sigma = k U/2 sqrt((2F - k^2)/(2F + k^2)) (Vallis 2017).
    k = 0.6 * np.sqrt(f1 + f2)
    analytic = 0.5 * k * config.u1 * np.sqrt((2 * f1 - k**2) / (2 * f1 + k**2))
    assert phillips(config, k)[0].real == pytest.approx(analytic, rel=1e-10)
    assert phillips(config, 1.01 * np.sqrt(2 * f1))[0].real < 1e-20


def test_advection_keeps_energy_to_round_off_whatever_is_aliased() -> None:
    core = QGCore(replace(CALM, nx=26))
    qh = rough(core)
    ph = core.streamfunction(qh)
    rate = core.tendency(qh)
    # The scale is what one term alone would do: |psi| |rate|.
    scale = (core.product_mean(ph, ph) * core.product_mean(rate, rate)).sqrt().sum(dim=0)
    assert (core.work(ph, rate).abs() < 1e-13 * scale).all()
    # The control: energy is not kept by a flow that is turned a little against its streamfunction.
    grid = core.flow(ph, qh)
    bent = core.advection(torch.stack([grid[0], grid[1] * 1.001, grid[2]]))
    assert (core.work(ph, bent).abs() > 1e-9 * scale).all()


def test_advection_keeps_enstrophy_when_nothing_is_aliased() -> None:
    core = QGCore(replace(CALM, nx=26, beta=0.0))
    for shortest, kept in ((8, True), (None, False)):
        qh = rough(core, shortest=shortest)
        rate = core.tendency(qh)
        change = core.product_mean(qh, rate).abs()
        scale = (core.product_mean(qh, qh) * core.product_mean(rate, rate)).sqrt()
        # Waves up to 8 of 26 points: products reach 16 and are folded to 10, beyond what is there.
        assert (change < 1e-13 * scale).all() if kept else (change > 1e-6 * scale).all()


def test_energy_changes_by_shear_and_drag_alone() -> None:
    core = QGCore(replace(EDDY, nx=26))
    qh = rough(core)
    ph = core.streamfunction(qh)
    h1, f1 = core.config.shares[0], core.config.stretching[0]
    shear = h1 * f1 * core.config.u1 * core.product_mean(ph[0], core.ik * ph[1])
    drag = -2.0 * core.config.shares[1] * core.config.rek * core.kinetic_energy(ph)[1]
    found = core.work(ph, core.tendency(qh))
    # Advection moves energy about some 1e4 times faster than shear and drag change it.
    torch.testing.assert_close(found, shear + drag, rtol=1e-7, atol=0.0)
    assert (drag < 0.0).all()


def test_the_filter_leaves_long_waves_and_takes_short_ones() -> None:
    core = QGCore(replace(EDDY, nx=64))
    assert (core.filter[:, 0][:20] == 1.0).all()
    assert core.filter[32, 0] < 1e-14
    assert core.filter.min() >= 0.0
    assert core.filter.max() == 1.0


def test_members_do_not_touch_each_other() -> None:
    core = QGCore(replace(EDDY, nx=16))
    q = torch.tensor(noise(core.config, 3, 7))
    together, alone = core.begin(q), core.begin(q[:, 1:2])
    for _ in range(5):
        together, alone = core.step(together), core.step(alone)
    torch.testing.assert_close(together.qh[:, 1:2], alone.qh, rtol=1e-13, atol=0.0)


def test_noise_is_the_same_flow_on_another_grid_and_another_in_each_member() -> None:
    coarse, fine = (noise(EDDY.at(n), 2, 3) for n in (32, 64))
    np.testing.assert_allclose(fine[..., ::2, ::2], coarse, atol=1e-19)
    assert np.abs(coarse[0, 0] - coarse[0, 1]).max() > 1e-7
    assert coarse[0].std() == pytest.approx(1e-6, rel=1e-6)


def test_a_run_of_several_steps_has_the_gradient_of_differences() -> None:
    core = QGCore(replace(EDDY, nx=12, length=1.5e5))

    def outcome(push: torch.Tensor) -> torch.Tensor:
        state = core.begin(torch.tensor(10.0 * noise(core.config, 1, 2)))
        for _ in range(4):
            state = core.step(state, push)
        return core.energy(state.qh).sum() * 1e6

    push = core.to_waves(torch.tensor(1e-4 * noise(core.config, 1, 3))).requires_grad_()
    (gradient,) = torch.autograd.grad(outcome(push), push)
    way = core.to_waves(torch.tensor(1e-4 * noise(core.config, 1, 4)))
    by_difference = (outcome(push + 1e-3 * way) - outcome(push - 1e-3 * way)) / 2e-3
    along = (gradient.conj() * way).real.sum()
    # The outcome is close to quadratic in the push: differences of 1e-3 are good to six digits.
    torch.testing.assert_close(along, by_difference.detach(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(
    ("entry", "value"), [("nx", 63), ("nx", 6), ("dt", 0.0), ("rd", -1.0), ("delta", 0.0)]
)
def test_an_impossible_plane_is_refused(entry: str, value: float) -> None:
    with pytest.raises(ConfigError, match=entry):
        replace(EDDY, **{entry: value})


@pytest.mark.parametrize(("regime", "members"), [("eddy", 1), ("jet", 131)])
def test_the_compiled_step_is_the_differentiable_one(regime: str, members: int) -> None:
    core = QGCore(replace(REGIMES[regime], nx=22))
    start = core.begin(core.to_grid(rough(core, members)))
    push = 1e-3 * core.tendency(start.qh)
    batch = Batch(core, members)
    assert (members > 100) == (len(batch.parts) > 1)
    batch.begin(start)
    state, grid = start, torch.zeros(4, 2, members, 22, 22, dtype=torch.float64)
    for i in range(5):  # the weights change in the first three
        state = core.step(state, push if i > 1 else None)
        batch.flow(grid)
        batch.advance(push if i > 1 else None)
    found = batch.state
    for a, b in zip((found.qh, *found.before), (state.qh, *state.before), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=1e-13 * float(b.abs().max()))
    ph = core.streamfunction(state.qh)
    batch.flow(grid)
    expected = torch.cat([core.flow(ph, state.qh), core.to_grid(ph)[None]])
    expected[0] += core.mean_flow
    for a, b in zip(grid, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=1e-12 * float(b.abs().max()))
    # A batch goes on from where another was, with its earlier tendencies.
    other = Batch(core, members)
    other.begin(found)
    other.step()
    batch.advance()
    torch.testing.assert_close(other.state.qh, batch.state.qh, rtol=0.0, atol=0.0)


def test_no_wave_decays_to_numbers_that_processors_are_slow_with() -> None:
    core = QGCore(EDDY.at(32), dtype=torch.float32)
    batch = Batch(core, 2)
    batch.begin(core.begin(core.to_grid(rough(core, 2))))
    for _ in range(20):
        batch.step()
    parts = torch.view_as_real(batch.state.qh).abs()
    tiny = torch.finfo(torch.float32).tiny
    assert not bool(((parts > 0.0) & (parts < tiny)).any())
