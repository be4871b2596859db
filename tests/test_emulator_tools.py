"""The scripts behind docs/results/ablation.md, ablation-held.md and thirty-days.md."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from coupler.interface.errors import DataError
from emulators.schema import Levels, Source
from emulators.training.data import Columns
from emulators.training.holding import calls_within, held

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tools() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools"))
    import thirty_days

    return thirty_days


def scores(tools: ModuleType, gain: float) -> list[object]:
    """Three seeds that differ far more from each other than backbones do."""
    import ablation_page

    ablation = tools.ablation_results
    return [
        ablation.Score(
            target=target, backbone=kind, share=share, seed=seed, maps=7, held=1, drag=0.1,
            trained=5, frozen=6, seconds=1.0,
            flux=0.2 * seed + 0.001 * seed * len(kind) % 0.003
            + (gain if kind == "pretrained" and share == 0.01 else 0.0),
        )
        for seed in (1, 2, 3)
        for target in ablation_page.TARGETS
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


@pytest.mark.parametrize("maps", [8, 9, 80, 240])
def test_what_validates_a_head_is_a_block_away_from_what_is_fitted(
    tools: ModuleType, maps: int
) -> None:
    ablation = tools.ablation_results
    fitted, held = ablation.apart(maps)
    assert held.size == max(1, maps // 9) and (np.diff(held) == 1).all()
    distance = np.abs(fitted[:, None] - held).min()
    assert distance > held.size / 2
    assert fitted.size + held.size + 2 * (distance - 1) == maps
    for share in ablation.SHARES:
        some = [ablation.share_of(fitted, share, seed) for seed in (1, 2, 3)]
        for one in some:
            assert one.size == np.unique(one).size == max(1, round(share * fitted.size))
            assert np.isin(one, fitted).all()
        if 1 < fitted.size * share < fitted.size:
            assert not np.array_equal(some[0], some[1])


def test_the_page_says_how_few_maps_the_smallest_share_is(tools: ModuleType) -> None:
    import ablation_page

    found = scores(tools, 0.1)
    assert "At 1 % that is 7 map(s) to fit and 1 to choose" in ablation_page.fewest(found)
    assert "| 1 % | 7 + 1 |" in "\n".join(ablation_page.table(found, "ad99", "flux"))


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


def test_a_run_of_other_code_or_another_case_is_not_taken_for_one_of_now(
    tools: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    class Simulation:
        @staticmethod
        def from_case(*args: object, out: Path, **more: object) -> None:
            started.append(out)
            raise InterruptedError

    monkeypatch.setattr(tools, "Simulation", Simulation)
    monkeypatch.setattr(tools.kept, "model", lambda *also: "of this code")

    def folder() -> Path:
        with pytest.raises(InterruptedError):
            tools.coupled("ad99", None, 2.0, 61, tmp_path)
        return started[-1]

    first = folder()
    assert folder() == first
    (first / "thirty_days.json").parent.mkdir(parents=True)
    (first / "thirty_days.json").write_text('{"step": 1.0, "call": 2.0, "guard": {}}')
    assert tools.coupled("ad99", None, 2.0, 61, tmp_path).step == 1.0  # kept
    monkeypatch.setattr(tools.kept, "model", lambda *also: "of other code")
    assert folder() != first
    monkeypatch.setattr(tools.kept, "model", lambda *also: "of this code")
    monkeypatch.setattr(tools, "CHANGES", {"atmosphere.noise": "2 K"})
    assert folder() != first


def test_the_commits_of_bundles_are_said(tools: ModuleType, tmp_path: Path) -> None:
    import yaml

    said = tools.made_with({"gw_column": tools.SHIPPED}, tmp_path)
    made = yaml.safe_load((tools.SHIPPED / "bundle.yaml").read_text())["provenance"]["commit"]
    assert len(made) == 40 and f"column network `{made[:12]}`" in said
    assert tools.short("0123456789ab-dirty") == "0123456789ab-dirty"


def test_heads_depend_on_all_code_of_emulators_that_is_loaded_for_them(tools: ModuleType) -> None:
    ablation = tools.ablation_results
    program = (
        "import sys; import ablation_held; from emulators.networks import ARCHITECTURES as all\n"
        "from importlib import import_module\n"
        "for name in ('flux_head', 'forecast_head'): import_module(all[name].partition(':')[0])\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('emulators')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "tools", capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    loaded = {str(Path(f).relative_to(ROOT)) for f in done.stdout.split()}
    empty = {"emulators/__init__.py"}
    assert len(loaded) > 20 and loaded - empty <= set(ablation.files())
    for name in ("recipe", "averaging"):
        assert f"emulators/training/{name}.py" in ablation.files()


def calls(times: int, each: int, every: float = 3.0) -> Columns:
    """A recording of fluxes that only depend on time and level, every three hours."""
    when = torch.arange(float(times)).repeat_interleave(each)
    place = torch.arange(float(each)).repeat(times)
    flux = torch.stack((when, when.square(), 0.0 * when))
    fields = {"ua": torch.stack((when + 100.0 * place,) * 2), "lat": place,
              "xgwdparam": flux, "ygwdparam": -flux}  # fmt: skip
    return Columns(
        fields=fields, levels=Levels(a=[0.0, 0.0, 0.0], b=[0.0, 0.5, 1.0]), times=times,
        source=Source(file="r.nc", sha256="0", times=times, columns=each),
        days=np.arange(times) * every / 24.0,
    )  # fmt: skip


def test_a_held_answer_is_the_mean_of_its_own_hours() -> None:
    found = held(calls(20, 5), 86400.0, ["xgwdparam", "ygwdparam"])
    assert found.times == found.source.times == found.days.size == 13  # seven are not whole
    assert found.n == 13 * 5
    flux = found.fields["xgwdparam"].reshape(3, 13, 5)
    assert (flux == flux[..., :1]).all()
    assert flux[0, :, 0].tolist() == [t + 3.5 for t in range(13)]
    want = [np.mean([(t + j) ** 2 for j in range(8)]) for t in range(13)]
    assert np.allclose(flux[1, :, 0], want)
    assert torch.equal(found.fields["ygwdparam"], -found.fields["xgwdparam"])
    # The state is that of the call.
    assert torch.equal(found.fields["ua"], calls(20, 5).fields["ua"][:, : 13 * 5])
    assert calls_within(calls(20, 5, every=6.0), 86400.0) == 4
    for recording, why in (
        (replace(calls(20, 5), fixed=False), "other columns at every call"),
        (calls(20, 5, every=7.0), "do not divide"),
        (calls(1, 5), "a single call"),
        (calls(7, 5), "expected at least 8 calls; found 7"),
    ):
        with pytest.raises(DataError, match=why):
            held(recording, 86400.0, ["xgwdparam"])


def test_holding_the_answer_of_a_call_costs_what_the_flux_changes(tools: ModuleType) -> None:
    import ablation_held

    now = tools.ablation_results.Data(fit=calls(20, 5), test=calls(20, 5), commits=[])
    mean = ablation_held.as_held(now, 6.0)
    flux, _ = ablation_held.of_the_call(now, mean, 100)
    # Two calls: t and t + 1/2 on one level, t^2 and t^2 + t + 1/2 on the other.
    t = np.arange(19.0)
    want = np.stack((t + 0.5, t**2 + t + 0.5))
    wrong = ((want - np.stack((t, t**2))) ** 2).sum()
    total = ((want - want.mean(axis=1, keepdims=True)) ** 2).sum()
    assert flux == pytest.approx(1.0 - wrong / total, rel=1e-6)
    same = ablation_held.as_held(now, 3.0)
    assert ablation_held.of_the_call(now, same, 100) == (1.0, 1.0)


def test_heads_of_the_held_target_differ_in_the_backbone_alone(tools: ModuleType) -> None:
    import ablation_held

    of = ablation_held.forecast_heads(ablation_held.HELD["small"])
    one, two = of("pretrained"), of("zero")
    assert one["config"].pop("backbone") == "pretrained"
    assert two["config"].pop("backbone") == "zero"
    assert one == two


def test_errors_of_the_wind_are_weighted_with_mass(tools: ModuleType) -> None:
    import held_online

    rng = np.random.default_rng(3)
    pressure, weight = np.array([40e2, 300e2, 900e2]), np.array([[[1.0]], [[4.0]], [[5.0]]])
    weight = weight * np.array([0.5, 1.0])[:, None]
    truth = held_online.Run(
        wind=rng.standard_normal((4, 3, 2, 6)), weight=weight, pressure=pressure, call=1.0
    )
    apart = np.array([3.0, 1.0, 2.0])[:, None, None] * np.ones((4, 3, 2, 6))
    all_air, high = held_online.errors(replace(truth, wind=truth.wind + apart), truth)
    np.testing.assert_allclose(all_air, np.sqrt((9.0 + 4.0 * 1.0 + 5.0 * 4.0) / 10.0))
    np.testing.assert_allclose(high, 3.0)
    good = {"held": (2.0, 1.0), "zero": (1.5, 1.0), "pretrained": (1.0, 0.8)}
    text = held_online.reading(good, 3)
    assert "pretrained backbone, once a day: 0.50 and 0.80" in text
    assert "at the call: head with a pretrained backbone, once a day." in text
    assert "No head has" in held_online.reading({**good, "pretrained": (1.0, 1.2)}, 3)


@pytest.mark.slow
def test_the_pages_are_written_from_nothing_and_then_from_what_is_there(tmp_path: Path) -> None:
    common = ["--preset", "tiny", "--work", str(tmp_path / "work")]
    short = ["--days", "2", "--skip-days", "1", "--shadow-days", "1.5"]
    heads, two = ["--seeds", "2"], ["--days", "2", "--starts", "2"]
    for script, more in (
        ("ablation_results", heads), ("ablation_held", heads), ("thirty_days", short),
        ("held_online", two),
    ):  # fmt: skip
        page = tmp_path / f"{script}.md"
        command = [sys.executable, ROOT / "tools" / f"{script}.py", *common, *more]
        for _ in range(2):
            done = subprocess.run(
                [*command, "--out", page], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        words = ("| 1 % |", "Attention U-Net", "Errors of day 1 in those of AD99")
        assert any(w in page.read_text() for w in words)
        assert "days, seed" not in done.stdout  # the second time nothing is run
        assert "kept, of" in done.stdout
