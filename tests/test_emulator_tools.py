"""The scripts behind docs/results/ablation.md and thirty-days.md."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tools() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools"))
    import thirty_days

    return thirty_days


def scores(tools: ModuleType, gain: float) -> list[object]:
    """Three seeds that differ far more from each other than backbones do."""
    ablation = tools.ablation_results
    return [
        ablation.Score(
            target=target, backbone=kind, share=share, seed=seed, maps=7, drag=0.1, trained=5,
            frozen=6, seconds=1.0,
            flux=0.2 * seed + 0.001 * seed * len(kind) % 0.003
            + (gain if kind == "pretrained" and share == 0.01 else 0.0),
        )
        for seed in (1, 2, 3)
        for target in ablation.TARGETS
        for share in ablation.SHARES
        for kind in ablation.BACKBONES
    ]  # fmt: skip


def test_gains_are_taken_seed_by_seed(tools: ModuleType) -> None:
    import ablation_page

    _, words = ablation_page.gains(scores(tools, 0.1), "resolved")
    assert [w.partition(" +0.")[0] for w in words] == [
        f"at 1 % pretrained over {other}" for other in ("random", "zero", "identity")
    ]
    _, words = ablation_page.gains(scores(tools, -0.1), "resolved")
    assert all(w.startswith("at 1 % pretrained over ") and " -0." in w for w in words)
    assert len(words) == 3
    lines, words = ablation_page.gains(scores(tools, 0.0), "ad99")
    assert not words
    assert len(lines) == 2 + len(ablation_page.SHARES)


def test_an_interval_is_that_of_the_t_distribution(tools: ModuleType) -> None:
    import ablation_page

    mean, half = ablation_page.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    # t(0.975, 2) = 4.3027, standard error 1/sqrt(3).
    assert half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_r2_in_shadow_is_pooled_around_the_mean_of_each_level(tools: ModuleType) -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(5, 40)) * np.array([[3.0], [1.0], [2.0], [0.1], [5.0]]) + 7.0
    estimate = truth + 0.3 * rng.normal(size=truth.shape)
    pooled = tools.Pooled(5)
    for part in (slice(0, 13), slice(13, 40)):
        pooled.add(truth[:, part], estimate[:, part])
    about = truth - truth.mean(axis=1, keepdims=True)
    want = 1.0 - ((truth - estimate) ** 2).sum() / (about**2).sum()
    assert pooled.r2 == pytest.approx(want, rel=1e-12)
    constant = tools.Pooled(5)
    constant.add(truth, np.repeat(truth.mean(axis=1, keepdims=True), 40, axis=1))
    assert constant.r2 == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_both_pages_are_written_from_nothing_and_then_from_what_is_there(tmp_path: Path) -> None:
    common = ["--preset", "tiny", "--work", str(tmp_path / "work")]
    short = ["--days", "2", "--skip-days", "1", "--shadow-days", "1.5"]
    for script, more in (("ablation_results", ["--seeds", "2"]), ("thirty_days", short)):
        page = tmp_path / f"{script}.md"
        command = [sys.executable, ROOT / "tools" / f"{script}.py", *common, *more]
        for _ in range(2):
            done = subprocess.run(
                [*command, "--out", page], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        assert "| 1 % |" in page.read_text() or "Attention U-Net" in page.read_text()
        assert "days, seed" not in done.stdout  # the second time nothing is run
        assert "kept, of" in done.stdout
