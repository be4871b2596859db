"""Closures of two-layer turbulence, and what a coarse grid is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coupler.interface.component import Arrays, Host
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, ContractError, DataError
from coupler.interface.grid import Grid, HybridLevels
from physics.dynamics.plane_waves import PlaneWaves
from physics.dynamics.qg_closures import (
    FITTED,
    TERMS,
    Smagorinsky,
    Symbolic,
    SymbolicParameters,
    backscatter,
    fit_symbolic,
    read_coefficients,
    smagorinsky,
    strain,
    symbolic,
    symbolic_terms,
    write_coefficients,
)
from physics.dynamics.qg_coarsen import OPERATORS, Coarsener, Operator, forcing
from physics.dynamics.qg_core import EDDY, QGCore, noise


def eddies(nx: int, members: int = 3, steep: float = 1.0) -> tuple[QGCore, torch.Tensor]:
    """A core, and random coefficients of q whose size falls with K as that of eddies does."""
    core = QGCore(replace(EDDY, nx=nx))
    draw = np.random.default_rng(8).standard_normal((2, members, nx, nx))
    qh = core.to_waves(torch.tensor(1e-5 * draw))
    unit = 2.0 * np.pi / core.config.length
    falling = (1.0 + (core.wavenumber / (6.0 * unit)) ** 2) ** steep
    return core, qh / falling * core.filter


def plane_of(core: QGCore, members: int = 3) -> PlaneWaves:
    return PlaneWaves(core.config.nx, core.config.nx, core.config.dx, members)


def test_smagorinsky_takes_the_energy_of_its_stress_at_every_point() -> None:
    core, qh = eddies(26)
    plane = plane_of(core)
    ph = core.streamfunction(qh)
    dq = smagorinsky(plane, core.to_grid(ph), 0.15)
    s = strain(plane, ph)
    rate = 2.0 * (s[0] ** 2 + s[1] ** 2).sqrt()
    taken = (0.15 * plane.spacing) ** 2 * (rate**3).mean(dim=(-2, -1))
    expected = -torch.tensordot(core.shares, taken, dims=1)
    found = core.work(ph, core.to_waves(dq))
    # The curl has lost the mean and the highest wave, which the filter took from psi: round-off.
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0.0)


@pytest.mark.parametrize(("returned", "kept"), [(0.0, 1.0), (1.0, 0.0), (1.2, -0.2)])
def test_backscatter_returns_the_share_of_energy_that_it_is_told_to(
    returned: float, kept: float
) -> None:
    core, qh = eddies(26)
    plane, ph = plane_of(core), core.streamfunction(qh)
    psi = core.to_grid(ph)
    thickness = torch.tensor([500.0, 2000.0], dtype=torch.float64)
    lost = core.work(ph, core.to_waves(backscatter(plane, psi, thickness, 0.08, 0.0)))
    assert (lost < 0.0).all()
    found = core.work(ph, core.to_waves(backscatter(plane, psi, thickness, 0.08, returned)))
    # Round-off of the sum of both parts, which are of the size of `lost`.
    torch.testing.assert_close(found, kept * lost, rtol=1e-11, atol=1e-11 * float(lost.abs().max()))


def test_backscatter_gives_a_flow_at_rest_nothing() -> None:
    core, _ = eddies(16, members=1)
    rest = backscatter(plane_of(core, 1), torch.zeros(2, 1, 16, 16), torch.ones(2), 0.1, 1.0)
    assert bool((rest == 0.0).all())


def test_symbolic_terms_are_those_of_a_wave_on_paper() -> None:
    n, dx = 24, 2.0
    plane = PlaneWaves(n, n, dx, 1)
    x = dx * torch.arange(n, dtype=torch.float64)
    k = 2.0 * np.pi * 2 / (n * dx)
    x_ = x.expand(n, n)
    q, u, v = torch.cos(k * x_), torch.full_like(x_, 3.0), torch.sin(k * x_)
    found = symbolic_terms(plane, *(f.expand(2, 1, n, n) for f in (q, u, v)))
    carried = -3.0 * k * torch.sin(k * x_)  # u dq/dx; q has no slope along y
    expected = {
        0: -(k**2) * carried * dx**2,
        1: k**4 * carried * dx**4,
        2: -(k**6) * carried * dx**6,
        3: k**4 * q * dx**4,
        4: -(k**6) * q * dx**6,
        5: 9.0 * -(k**2) * -(k**3) * torch.cos(k * x_) * dx**2,
        6: torch.zeros_like(q),
    }
    for term, values in expected.items():
        torch.testing.assert_close(
            found[term, 1, 0],
            values,
            rtol=0.0,
            atol=1e-10,
            msg=lambda m, t=term: f"{TERMS[t]}: {m}",
        )


def test_a_fit_finds_the_coefficients_that_made_the_data(tmp_path: Path) -> None:
    core, qh = eddies(26)
    grid = core.flow(core.streamfunction(qh), qh)
    terms = symbolic_terms(plane_of(core), grid[2], grid[0], grid[1])
    sizes = terms.square().mean(dim=(1, 2, 3, 4)).sqrt()
    wanted = torch.tensor(np.random.default_rng(1).standard_normal((2, 7))) / sizes
    target = torch.einsum("ln,nlmyx->lmyx", wanted, terms)
    found = fit_symbolic(terms, target)
    # Terms 2 and 3 and terms 4 and 5 are much alike: the normal equations lose some eight digits.
    torch.testing.assert_close(found * sizes, wanted * sizes, rtol=0.0, atol=1e-6)
    path = tmp_path / "seven.yaml"
    write_coefficients(path, found, "a test")
    torch.testing.assert_close(read_coefficients(path), found, rtol=1e-8, atol=0.0)


def host_on(grid: Grid, levels: HybridLevels) -> Host:
    return Host(grid=grid, levels=levels, planet=Planet(), dtype=np.dtype("f8"), seed=0)


def test_a_scheme_sees_members_apart_and_gives_no_mean() -> None:
    core, qh = eddies(16)
    grid = Grid.plane(16, 16, core.config.dx, members=3)
    scheme = Symbolic()
    scheme.setup(host_on(grid, HybridLevels.layers(2)))
    flow = core.flow(core.streamfunction(qh), qh).numpy()
    x = Arrays(**dict(zip(("ua", "va", "qgpv"), flow.reshape(3, 2, -1), strict=True)))
    tend = Arrays(qgpv=np.zeros((2, grid.ncol)))
    now = None
    scheme.compute(x, tend, Arrays(), Arrays(), now)  # type: ignore[arg-type]
    all_three = tend.qgpv.reshape(2, 3, 16, 16)
    assert np.abs(all_three.mean(axis=(-1, -2))).max() < 1e-14 * np.abs(all_three).max()
    alone = Symbolic()
    alone.setup(host_on(Grid.plane(16, 16, core.config.dx), HybridLevels.layers(2)))
    one = [np.ascontiguousarray(f[:, 1]).reshape(2, -1) for f in flow]
    tend = Arrays(qgpv=np.zeros((2, 256)))
    alone.compute(
        Arrays(**dict(zip(("ua", "va", "qgpv"), one, strict=True))),
        tend,
        Arrays(),
        Arrays(),
        now,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(tend.qgpv.reshape(2, 16, 16), all_three[:, 1], rtol=1e-9, atol=1e-25)


def test_a_sphere_is_refused() -> None:
    with pytest.raises(ContractError, match="a scheme for periodic planes"):
        Smagorinsky().setup(host_on(Grid.gaussian(8, 16), HybridLevels.sigma(2)))


def test_the_coefficients_that_come_with_us_say_what_they_are_fitted_to() -> None:
    assert read_coefficients(FITTED).shape == (2, 7)
    assert "about:" in FITTED.read_text()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "no such file of coefficients"),
        ("[1, 2", "not a file of coefficients"),
        ("{terms: [a], coefficients: [[1.0], [2.0]]}", "do not fit the terms"),
        ("{terms: [a]}", "not a file of coefficients"),
    ],
)
def test_wrong_coefficients_are_refused(tmp_path: Path, content: str | None, match: str) -> None:
    path = tmp_path / "seven.yaml"
    if content is not None:
        path.write_text(content)
    scheme = Symbolic(SymbolicParameters(file=str(path)))
    with pytest.raises(DataError, match=match):
        scheme.setup(host_on(Grid.plane(8, 8, 1.0), HybridLevels.layers(2)))


# -- from fine to coarse ----------------------------------------------------------------------


def both(
    operator: Operator, fine: int = 48, coarse: int = 12, steep: float = 1.0
) -> tuple[Coarsener, torch.Tensor]:
    core, qh = eddies(fine, steep=steep)
    return Coarsener(core, QGCore(core.config.at(coarse)), operator), qh


@pytest.mark.parametrize("operator", OPERATORS)
def test_coarsening_keeps_means_and_the_longest_waves(operator: Operator) -> None:
    found, _ = both(operator)
    x = np.arange(48) * 2.0 * np.pi / 48
    wave = torch.tensor(2.0 + np.cos(x)[None, :] + np.sin(x)[:, None])
    coarse = found.field(wave[None, None])
    assert float(coarse.mean()) == pytest.approx(2.0, rel=1e-13)
    amplitude = float(coarse.std(correction=0)) / float(wave.std(correction=0))
    # The Gaussian of two cells leaves exp(-(2 pi/12)^2 4/24) of the longest wave, the others more.
    least = np.exp(-((2.0 * np.pi / 12) ** 2) / 6.0)
    assert least - 1e-12 <= amplitude <= 1.0 + 1e-12


def test_a_flow_of_eddies_that_the_coarse_grid_holds_needs_no_closure() -> None:
    fine, coarse = QGCore(EDDY.at(48)), QGCore(EDDY.at(24))
    q = noise(EDDY.at(48), 2, 1, shortest=4)
    found = forcing(Coarsener(fine, coarse, "spectral"), fine.to_waves(torch.tensor(q)))
    # Products of waves up to 4 reach 8, which 24 points hold and the filter there leaves alone
    # (0.65 of the Nyquist wave 12 is 7.8, and hypot(8, 8) is beyond: those alone are missed).
    size = found["q"].abs().max() * found["v"].abs().max() / 1e4
    assert float(found["q_forcing_total"].abs().max()) < 0.05 * float(size)


@pytest.mark.parametrize("operator", OPERATORS)
def test_forcing_is_the_divergence_of_its_flux_where_the_operator_commutes(
    operator: Operator,
) -> None:
    coarsener, qh = both(operator, 72, 24, 1.5)
    found = forcing(coarsener, qh)
    core = coarsener.coarse
    flux = core.to_waves(torch.stack([found["uq_subgrid_flux"], found["vq_subgrid_flux"]]))
    divergence = core.to_grid(core.ik * flux[0] + core.il * flux[1])
    forced = found["q_subgrid_forcing"]
    for layer in range(2):
        pair = torch.stack([divergence[layer].flatten(), forced[layer].flatten()])
        likeness = float(torch.corrcoef(pair)[0, 1])
        # The highest wave of the coarse grid has no derivative there, and the Gaussian leaves some
        # of it; the filter of the core does not. Means of blocks alias, and these random waves are
        # rougher than eddies.
        assert likeness > {"spectral": 0.9999, "gaussian": 0.95, "block": 0.3}[operator]


@pytest.mark.parametrize("operator", OPERATORS)
def test_total_forcing_is_what_a_closure_has_to_add(operator: Operator) -> None:
    coarsener, qh = both(operator)
    found = forcing(coarsener, qh)
    fine, coarse = coarsener.fine, coarsener.coarse
    rate = coarse.tendency(coarse.to_waves(found["q"]))
    wanted = coarsener.field(fine.to_grid(fine.tendency(qh)))
    torch.testing.assert_close(
        coarse.to_grid(rate) + found["q_forcing_total"],
        wanted,
        rtol=1e-9,
        atol=1e-12 * float(wanted.abs().max()),
    )
    pair = torch.stack([found["q_forcing_total"].flatten(), -found["q_subgrid_forcing"].flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.5


def test_a_step_with_its_forcing_lands_on_the_coarse_image_of_the_fine_step() -> None:
    coarsener, qh = both("spectral")
    found = forcing(coarsener, qh)
    fine, coarse = coarsener.fine, coarsener.coarse
    target = coarsener.field(fine.to_grid(fine.step(fine.begin(fine.to_grid(qh))).qh))
    bare = coarse.to_grid(coarse.step(coarse.begin(found["q"])).qh)
    dt = coarse.config.dt
    torch.testing.assert_close(
        bare + dt * found["q_forcing_step"],
        target,
        rtol=1e-9,
        atol=1e-12 * float(target.abs().max()),
    )
    assert float((bare - target).abs().max()) > 1e-6 * float(target.abs().max())


@pytest.mark.parametrize(
    ("coarse", "operator"),
    [(replace(EDDY, nx=48), "spectral"), (replace(EDDY, nx=18), "block")],
)
def test_impossible_coarsening_is_refused(coarse: object, operator: Operator) -> None:
    with pytest.raises(ConfigError, match="cannot coarsen"):
        Coarsener(QGCore(EDDY.at(48)), QGCore(coarse), operator)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="two flows that are not the same"):
        Coarsener(QGCore(EDDY.at(48)), QGCore(replace(EDDY, nx=12, rek=0.0)), operator)


def test_the_symbolic_closure_is_the_sum_of_its_terms() -> None:
    core, qh = eddies(26)
    plane = plane_of(core)
    u, v, q = core.flow(core.streamfunction(qh), qh)
    terms = symbolic_terms(plane, q, u + core.mean_flow, v)
    size = terms.square().mean(dim=(1, 2, 3, 4)).sqrt()
    a = torch.tensor(np.random.default_rng(3).standard_normal((2, 7))) / size
    expected = torch.einsum("ln,nlmyx->lmyx", a, terms)
    expected -= expected.mean(dim=(-2, -1), keepdim=True)
    found = symbolic(plane, q, u + core.mean_flow, v, a)
    # Sums in another order.
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-12)
