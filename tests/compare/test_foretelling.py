"""Linear analyses of closures of Lorenz (1996) on given states, against what is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foretelling import linear
from foretelling.networks import FAMILIES
from foretelling.page import write_page
from foretelling.tables import WHERE, signs

from coupler.compare.stability.arnoldi import leading
from emulators.schema import Architecture
from emulators.training.closure import Closure, ClosureFit, train_closure
from physics.dynamics.lorenz96 import TIME_UNIT, step_slow

K = 8


def states(rings: int, seed: int) -> np.ndarray:
    """(X, last push), as large as those of the model."""
    draw = np.random.default_rng(seed)
    return np.concatenate(
        [3.0 + 5.0 * draw.standard_normal((rings, K)), 6.0 * draw.standard_normal((rings, K))], 1
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With memory and neighbours, hardly trained: any network has a derivative."""
    at = torch.from_numpy(states(300, 1)).float()
    inputs = {"x_slow": at[:, :K], "x_push": at[:, K:] / TIME_UNIT}
    target = (0.9 * at[:, K:] - 0.05 * at[:, :K] ** 2) / TIME_UNIT
    closure = Closure(
        name="remembers", of="x_slow", fit=ClosureFit(epochs=20, batch=600, learning_rate=1e-2),
        architecture=Architecture(name="ring", config={"reach": 1, "widths": [12]}),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("foretelling") / "remembers"
    rings = {n: f[None, :, None] for n, f in inputs.items()}
    train_closure(closure, rings, target[None, :, None], folder)
    return linear.of_bundle(folder, memory=True)


def differences(function: Any, at: np.ndarray, step: float) -> np.ndarray:
    """[ring, out, in] by centred differences."""
    columns = []
    for i in range(at.shape[1]):
        up, down = at.copy(), at.copy()
        up[:, i] += step
        down[:, i] -= step
        with torch.no_grad():
            apart = function(torch.from_numpy(up)) - function(torch.from_numpy(down))
        columns.append(apart.numpy() / (2.0 * step))
    return np.stack(columns, axis=2)


def test_the_coupled_jacobian_of_a_network_with_memory_is_that_of_differences(
    network: Any,
) -> None:
    at, step = states(5, 2), linear.coupled(network)
    exact, by_steps = linear.jacobians(step, at), differences(step, at, 0.03)
    # Pushes of 20 in float32 over steps of 0.06 are off by 4e-5; the bend is of the same order.
    np.testing.assert_allclose(exact, by_steps, atol=1e-3)
    remembered, seen = exact[:, K:, K:], exact[:, K:, :K]
    assert np.abs(remembered).max() > 0.3 and np.abs(seen).max() > 0.1
    # A control: what it remembers is a part of the state, and without it J is another.
    forgets = linear.jacobians(linear.coupled(lambda x, last: network(x, last.detach())), at)
    assert np.abs(forgets - by_steps).max() > 0.3


def test_the_step_that_is_differentiated_is_the_models() -> None:
    both = states(7, 3)
    x, push = both[:, :K].copy(), both[:, K:].copy()
    found = linear.slow_step(torch.from_numpy(x), torch.from_numpy(push), 20.0, 0.005).numpy()
    step_slow(x, push, 20.0, 0.005, np.zeros((3, K)))
    np.testing.assert_allclose(found, x, rtol=1e-13)


def test_a_ring_at_rest_has_the_growth_of_lorenz() -> None:
    """X_k = F: exp(i k theta + lambda t) with lambda = F (e^{i theta} - e^{-2 i theta}) - 1."""
    forcing = 3.0
    theta = 2.0 * np.pi * np.arange(K) / K
    rate = forcing * (np.exp(1j * theta) - np.exp(-2j * theta)) - 1.0

    def step(state: torch.Tensor) -> torch.Tensor:
        return linear.slow_step(state, torch.zeros_like(state), forcing, 0.005)

    found = linear.jacobians(step, np.full((2, K), forcing))
    # Runge and Kutta keep ln|mu|/dt to the fifth order of 0.005 times a rate of 6.
    np.testing.assert_allclose(linear.leading_growth(found, 0.005), rate.real.max(), rtol=1e-6)
    along = linear.growth_along(np.repeat(found[None], 4000, axis=0), 3000, 0.005)
    np.testing.assert_allclose(along, rate.real.max(), rtol=1e-3)  # a pair of modes: it beats


def test_leading_modes_are_those_of_arnoldi(network: Any) -> None:
    found = linear.jacobians(linear.coupled(network), states(3, 4))

    def apply(v: np.ndarray) -> np.ndarray:
        return np.einsum("gij,gj->gi", found, v)

    start = np.random.default_rng(5).standard_normal((3, 2 * K)) + 0j
    arnoldi = leading(apply, start, vectors=2 * K)
    np.testing.assert_allclose(
        np.log(np.abs(arnoldi.values)) / 0.005, linear.leading_growth(found, 0.005), rtol=1e-6
    )


@pytest.mark.parametrize(("slope", "kept", "grows"), [(-1.0, 0.0, False), (-1.0, 1.02, True)])
def test_a_push_that_feeds_on_itself_is_seen_in_the_coupled_step_alone(
    slope: float, kept: float, grows: bool
) -> None:
    def push(x: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        return slope * x + kept * last

    jacobian = linear.jacobians(linear.coupled(push), np.tile([[0.0, 0.0]], (3, K)))
    # At X = 0 nothing else grows; a push that keeps 1.02 of itself does, by ln(1.02)/dt less what
    # X takes from it: mu^2 - (1.02 + 0.99) mu + ... has its larger root below 1.02.
    growth = linear.leading_growth(jacobian)
    assert bool((growth > 1.0).all()) == grows
    response = np.linalg.eigvals(jacobian[:, K:, :K]).real.max(axis=-1)
    np.testing.assert_allclose(response, slope, rtol=1e-12)  # sees no difference


def test_families_that_are_alike_are_of_one_kind() -> None:
    kinds = {f.name: f.kind for f in FAMILIES}
    assert len(kinds) == len(FAMILIES)
    assert all((kinds[f.name] == "memory") == f.memory for f in FAMILIES)
    assert all((kinds[f.name] == "elsewhere") == (f.forcing != 20.0) for f in FAMILIES)


def test_numbers_of_the_polynomial_come_from_its_own_derivative() -> None:
    at = states(4, 6)
    x = at[:, :K]
    found = linear.jacobians(linear.coupled(linear.polynomial), at)[:, K:, :K]
    slope = -1.30 + 2.0 * 0.0136 * x + 3.0 * 0.00235 * x**2
    np.testing.assert_allclose(found, np.einsum("rk,kl->rkl", slope, np.eye(K)), atol=1e-12)


def made_up(ended: int) -> list[dict[str, Any]]:
    """Records of two networks of each family; some with memory went wrong, some of these ended."""
    draw, found = np.random.default_rng(7), []
    for seed in (1, 2):
        for family in FAMILIES:
            wrong = family.memory and family.name != "memory, noisy"
            over = wrong and sum(f["after"]["failed"] != "" for f in found) < ended
            scores = {n: float(wrong + 0.3 * draw.standard_normal()) for n in WHERE}
            modes = {n: float(draw.uniform(0.2, 0.5)) for n in ("response", "step", "along")}
            found.append({
                "family": family.name, "kind": family.kind, "seed": seed,
                "before": {
                    "scores": scores, "r2": 0.9 + 0.05 * draw.uniform(), "failed": "",
                    "linear": {"own": modes, "usual": modes}, "usual growth": [0.3, 0.2, 0.4],
                    "effects": {n: [0.5, 0.5] for n in ("x_slow", "x_push")},
                    "held": dict.fromkeys(("x_slow", "x_push"), 0.5), "commit": "1234",
                },
                "after": {
                    "distance": float("inf") if over else 0.3 if wrong else 0.1,
                    "failed": "no longer finite" if over else "", "commit": "1234",
                },
            })  # fmt: skip
    return found


@pytest.mark.parametrize("ended", [0, 3])
def test_the_page_says_first_whether_anything_ended(ended: int, tmp_path: Path) -> None:
    references = {
        n: {"distance": d, "commit": "1234"}
        for n, d in (("polynomial", 0.12), ("none", 1.9), ("noise", 0.05))
    }
    found = made_up(ended)
    write_page(tmp_path / "page.md", found, references, "python tools/foretelling_results.py")
    text = (tmp_path / "page.md").read_text()
    first, count = text.splitlines()[2], len(found)
    if ended:
        assert first.startswith(f"**{ended} of {count} runs of 250 days ended**")
        assert "## Which ones end" in text and "| ended |" in text
    else:
        assert first.startswith(f"**No run ended (0 of {count})**") and "Which ones" not in text
    assert all(f"| {name} | {where} |" in text for name, where in WHERE.items())
    # Nothing but networks with memory went wrong: none of the other kinds can teach a threshold.
    events = np.array([f["after"]["distance"] > 0.24 for f in found])
    kinds = np.array([f["kind"] for f in found])
    assert not any(row.alarm.any() for row in signs(found, events, kinds) if row.score is not None
                   and row.alarm[events].any())  # fmt: skip
    assert 5_000 < (tmp_path / "page.png").stat().st_size < 150_000
