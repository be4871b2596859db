"""The reversal's tools: budgets of the spectra, refinement, and all of it at a tiny length."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from physics.dynamics.qg_core import EDDY, QGCore, noise

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tools() -> Iterator[SimpleNamespace]:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import reversal_results
        from reversal import page, plan, scores, truth

        yield SimpleNamespace(page=page, plan=plan, scores=scores, truth=truth,
                              work=reversal_results.work)  # fmt: skip
    finally:
        sys.path.remove(str(ROOT / "tools"))


def smooth(core: QGCore, seed: int) -> torch.Tensor:
    """Waves whose products the rings hold, too: at most a quarter of the points, [2, n, n/2+1]."""
    q = torch.tensor(30.0 * noise(core.config, 1, seed, shortest=8))
    q[1] = 0.3 * q[0].flip(-1) + 0.1 * q[0].roll(5, -2)
    waves = core.to_waves(q.to(core.dtype))[:, 0]
    keep = core.wavenumber <= 2.0 * np.pi / core.config.length * (core.config.nx // 4)
    return waves * keep


def test_spectra_sum_to_means_over_the_plane_and_close_the_budget_of_energy(
    tools: SimpleNamespace,
) -> None:
    core = QGCore(EDDY.at(32), dtype=torch.float64)
    qh, ph = smooth(core, 1), core.streamfunction(smooth(core, 1)[:, None])[:, 0]
    pushed = 1e-7 * core.to_grid(smooth(core, 2))
    state = core.to_grid(qh)
    found = tools.scores.climate(core, state[None].numpy(), pushed[None].numpy())
    u, v, grid = core.flow(ph[:, None], qh[:, None])[:, :, 0]
    for i, layer in enumerate("12"):
        want = float((u[i] ** 2 + v[i] ** 2).mean())
        assert found.spectra[f"KEspec{layer}"].sum() == pytest.approx(want, rel=1e-12)
        want = float((grid[i] ** 2).mean())
        assert found.spectra[f"Ensspec{layer}"].sum() == pytest.approx(want, rel=1e-12)

    # The energy of a state a little later against one a little earlier, by the core's own rate.
    rate = core.tendency(qh[:, None], core.to_waves(pushed)[:, None])
    step = 10.0
    ahead, behind = (core.energy(qh[:, None] + s * step * rate) for s in (1.0, -1.0))
    change = float((ahead - behind).mean()) / (2.0 * step)
    parts = {n: found.spectra[n].sum() for n in ("KEflux", "APEflux", "APEgen", "friction")}
    assert sum(parts.values()) == pytest.approx(change, rel=1e-6)
    # Advection alone moves energy between waves and makes none; without the closure both vanish.
    bare = tools.scores.climate(core, state[None].numpy())
    for name in ("KEflux", "APEflux"):
        size = np.abs(bare.spectra[name]).sum()
        assert abs(bare.spectra[name].sum()) < 1e-10 * size
        assert abs(parts[name]) > 1e-3 * size
    assert parts["friction"] < 0.0


def test_a_climate_is_at_no_distance_from_itself_and_at_some_from_another(
    tools: SimpleNamespace,
) -> None:
    core = QGCore(EDDY.at(32), dtype=torch.float64)
    one, other = (
        tools.scores.climate(core, core.to_grid(smooth(core, s))[None].numpy()) for s in (1, 3)
    )
    assert set(tools.scores.distances(one, one).values()) == {0.0}
    apart = tools.scores.distances(one, other)
    assert len(apart) == 18
    assert min(apart.values()) > 0.0


def test_quantiles_are_those_of_numpy(tools: SimpleNamespace) -> None:
    values = np.random.default_rng(1).normal(size=1237)
    want = np.quantile(values, (np.arange(100) + 0.5) / 100)
    np.testing.assert_allclose(tools.scores.quantiles(values, 100), want, rtol=1e-12)


def test_refining_keeps_the_field(tools: SimpleNamespace) -> None:
    coarse, fine = (QGCore(EDDY.at(n), dtype=torch.float64) for n in (32, 64))
    qh = smooth(coarse, 4)
    field = fine.to_grid(tools.truth.refined(qh, 64))
    torch.testing.assert_close(field[:, ::2, ::2], coarse.to_grid(qh), rtol=0, atol=1e-18)


def test_pieces_of_other_settings_or_code_are_other_files(
    tools: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools.plan.kept, "model", lambda *also: "all code")
    short = tools.truth.Length(nx=80, spin_up=((64, 0.03),), years=0.03, every=3.0)
    settings = {
        "truth": {"eddy": short, "jet": short}, "runs": {"eddy": 2, "jet": 1}, "seeds": 1,
        "years": {"eddy": 1.0, "jet": 1.0}, "kept": {"eddy": 0.5, "jet": 0.5},
    }  # fmt: skip

    def files(work: Path = tmp_path, **changes: object) -> dict[object, Path]:
        plan = tools.plan.Plan(work=work, **{**settings, **changes})
        return {p: plan.file_of(*p).relative_to(work) for p in plan.work_to_do() if p[0] != "wall"}

    def changed(**changes: object) -> set[str]:
        now = files(**changes)
        return {" ".join(map(str, (p[0], *p[1]))) for p in now if now[p] != first[p]}

    first = files()
    assert len(set(first.values())) == len(first)
    assert changed() == changed(work=tmp_path / "elsewhere") == set()
    fitted = {"fit fcnn 0", "fit symbolic 0"}
    theirs = {
        f"run {regime} {kind} 0" for regime in ("eddy", "jet") for kind in ("fcnn", "symbolic")
    }
    assert changed(epochs=3) == fitted | theirs
    longer = tools.truth.Length(nx=80, spin_up=((64, 0.03),), years=0.06, every=3.0)
    assert changed(truth={"eddy": short, "jet": longer}) == {"truth jet 0", "data jet test"}
    of_eddies = {"truth eddy 0", "truth eddy 1", "data eddy fit", "data eddy test"}
    assert changed(truth={"eddy": longer, "jet": short}) == of_eddies | fitted | theirs
    runs = {" ".join(map(str, (p[0], *p[1]))) for p in first if p[0] == "run"}
    assert changed(every=2.0) == runs
    monkeypatch.setattr(tools.plan.kept, "model", lambda *also: "other code")
    assert changed() == runs
    monkeypatch.setattr(tools.plan.kept, "code", lambda *starts, inside: "other code")
    assert len(changed()) == len(first)


def test_all_of_it_runs_once_and_says_what_came_out(
    tools: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    length = tools.truth.Length(nx=80, spin_up=((64, 0.03),), years=0.03, every=3.0)
    plan = tools.plan.Plan(
        work=tmp_path, truth={"eddy": length, "jet": length}, runs={"eddy": 2, "jet": 1}, seeds=2,
        years={"eddy": 0.03, "jet": 0.03}, kept={"eddy": 0.02, "jet": 0.02}, every=2.0, epochs=2,
        baselines=2, others=("smagorinsky",), from_truth=True,
    )  # fmt: skip
    pieces = tools.work(plan, 1)
    said = capsys.readouterr().out
    assert said.count("made anew, none is kept") == len(list(plan.work_to_do())) - 3  # walls
    assert 0.0 < pieces.minutes < 10.0
    page = tmp_path / "page.md"
    seen = tools.page.write_page(plan, page, pieces.commits, "no time")
    assert not seen  # nobody learns the reversal in eleven days
    text = page.read_text(encoding="utf-8")
    assert "| convolutional network | eddy |" in text
    assert "2 of 2 |" in text
    assert "(0.76)" in text  # what was published stands beside
    for name in ("snapshots", "spectra"):
        assert (tmp_path / "page" / f"{name}.png").stat().st_size > 10_000
    capsys.readouterr()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    again = tools.work(plan, 1)
    assert (again.commits, again.minutes) == (pieces.commits, pieces.minutes)
    said = capsys.readouterr().out
    assert "truth eddy 0" in said and "made anew" not in said
    del before[tmp_path / "pieces.json"]
    assert before == {p: p.stat().st_mtime_ns for p in before}
    (tmp_path / "pieces.json").unlink()
    assert "unknown" in tools.work(plan, 1).commits  # of pieces that nobody noted
