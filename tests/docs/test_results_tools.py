"""The tools that write the pages of results, on runs of a few steps."""

import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import yaml

from coupler import Simulation
from coupler.interface.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import qbo_results  # noqa: E402
import stratosphere_results as stratosphere  # noqa: E402

SMALL = {
    "atmosphere.truncation": 10,
    "atmosphere.dt": "30 min",
    "atmosphere.noise": "1 K",
    "days": 2,
    "output.interval": 0.25,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, mode in (("with", "apply"), ("without", "off")):
        changes = {**SMALL, "gravity_wave.mode": mode}
        Simulation.from_case(stratosphere.CASE, set=changes, out=folder / name).run(quiet=True)
    return {name: folder / name for name in ("with", "without")}


def test_the_page_of_the_stratosphere_is_made_from_two_runs(runs, tmp_path):
    out = tmp_path / "page" / "stratosphere.md"
    status = stratosphere.main(
        [str(runs["with"]), str(runs["without"]), "--skip-days", "0.5", "--out", str(out)]
    )
    text = out.read_text()
    assert status == 0 and "**no**" not in text and "| yes |" in text
    assert "--skip-days=0.5" in text
    for name in ("wind", "drag", "vortex", "tropics"):
        picture = out.parent / f"stratosphere-{name}.png"
        assert f"({picture.name})" in text
        assert 5_000 < picture.stat().st_size < 150_000


def test_its_zonal_means_are_those_of_the_files(runs):
    climate = stratosphere.read(runs["with"], 0.5)
    with netCDF4.Dataset(runs["with"] / "atmosphere.nc") as file:
        ua = np.asarray(file["ua"][2:])
    np.testing.assert_allclose(climate.mean("ua"), ua.mean(axis=(0, 3), dtype=float), rtol=1e-12)
    k, j = 17, 11
    lat = float(climate.lat[j])
    series = climate.at("ua", float(climate.pressure[k]), lat)
    np.testing.assert_allclose(series, ua[:, k, j].mean(axis=-1, dtype=float), rtol=1e-9)
    drag = climate.budget["momentum_x_gravity_wave_drag"]
    assert 0.0 < climate.budget["momentum_x_gravity_wave_residual_abs"] < 1e-6 * drag
    assert climate.launch["x abs"] > 1.0  # of 4.3 mPa


def test_a_budget_that_does_not_close_is_said(runs):
    climate = stratosphere.read(runs["with"], 0.5)
    assert stratosphere.budget_rows(climate)[1]
    climate.budget["momentum_x_gravity_wave_residual_abs"] = (
        2e-6 * climate.budget["momentum_x_gravity_wave_drag"]
    )
    lines, good = stratosphere.budget_rows(climate)
    assert not good and "**no**" in lines[2]
    climate.budget.clear()
    assert not stratosphere.budget_rows(climate)[1]


def test_standard_errors_know_the_memory_of_a_series_and_reversals_their_distance():
    rng = np.random.default_rng(2)
    white = rng.standard_normal(4000)
    assert stratosphere.uncertainty(white) == pytest.approx(1 / np.sqrt(4000), rel=0.2)
    red = np.zeros(4000)
    for n in range(1, 4000):
        red[n] = 0.9 * red[n - 1] + white[n]
    # variance 1/(1 - a^2), integral time scale (1 + a)/(1 - a)
    expected = np.sqrt(19.0 / (1.0 - 0.81) / 4000)
    assert stratosphere.uncertainty(red) == pytest.approx(expected, rel=0.35)
    assert stratosphere.uncertainty(np.ones(50)) == 0.0
    wind = np.array([20.0] * 8 + [-5.0, 3.0, -4.0] + [20.0] * 8 + [-1.0])
    assert stratosphere.reversals(wind, 5.0) == 2  # the short return is the same event


def test_a_folder_without_a_run_or_with_too_short_a_one_is_refused(runs, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        stratosphere.read(tmp_path, 0.0)
    with pytest.raises(DataError, match="nothing left of a run"):
        stratosphere.read(runs["with"], 50.0)


def test_the_page_of_the_qbo_is_made_and_says_what_it_misses(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(qbo_results, "TABLE", qbo_results.TABLE[:1])
    out = tmp_path / "qbo.md"
    # six years: too short for the figures of ninety-six, which the page has to admit
    status = qbo_results.main(["--years", "6", "--work", str(tmp_path / "w"), "--out", str(out)])
    text = out.read_text()
    assert status == 1 and "**no**" in text and "missed:" in capsys.readouterr().out
    for title in ("Two waves", "The source as a component", "Stall", "Twenty waves"):
        assert f"## {title}" in text
    assert 5_000 < (tmp_path / "qbo.png").stat().st_size < 150_000


def test_emulators_drive_the_qbo_and_a_short_sighted_one_is_expected_to_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(qbo_results.kept, "model", lambda *also: "code")  # all of it takes seconds
    for name in ("RECIPE", "SHORT"):
        recipe = yaml.safe_load(getattr(qbo_results, name).read_text())
        for recording in (*recipe["train"], recipe["test"]):
            recording["days"] = 400
        recipe["train"] = recipe["train"][:1]
        recipe["optimizer"] |= {"epochs": 1, "schedule": "cosine"}
        small = tmp_path / f"{name}.yaml"
        small.write_text(yaml.safe_dump(recipe))
        monkeypatch.setattr(qbo_results, name, small)
    # Two years: nothing oscillates yet, so an emulator cannot be as good as the waves.
    good = qbo_results.learned(2, 1, tmp_path / "w")
    assert [row.good for row in good.rows] == [False, False]
    short = qbo_results.short_sighted(2, 1, tmp_path / "w")
    r2, worst = short.rows
    assert worst.good and worst.ours == float("inf")
    assert r2.ours < 0.9 and not r2.good  # after one epoch
    for section in (good, short):
        assert section.tables[0].body[0][0] == "1"
        assert "offline R2" in "\n".join(section.lines())
    assert short.tables[0].body[0][-1] == "0"  # nothing was handed over: it has no help
    made = list((tmp_path / "w" / "short").glob("seed_1_*/gw_qbo_short/bundle.yaml"))
    assert len(made) == 1
    # Another recipe and other code are other emulators; the same are kept.
    trained: list[Path] = []

    def train_seeds(path: Path, *args: object, **more: object) -> None:
        trained.append(path)
        raise InterruptedError

    monkeypatch.setattr(qbo_results, "train_seeds", train_seeds)
    qbo_results.short_sighted(2, 1, tmp_path / "w")
    assert not trained
    recipe["optimizer"]["epochs"] = 2
    small.write_text(yaml.safe_dump(recipe))
    with pytest.raises(InterruptedError):
        qbo_results.short_sighted(2, 1, tmp_path / "w")
    monkeypatch.setattr(qbo_results.kept, "model", lambda *also: "other code")
    with pytest.raises(InterruptedError):
        qbo_results.learned(2, 1, tmp_path / "w")
    assert [p.parent.parent for p in trained] == [tmp_path / "w" / "short", tmp_path / "w"]
