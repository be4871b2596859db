"""The ladder on a bundle whose network is known, and on the small one with its own scheme."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
from rich.console import Console
from synthetic_columns import FLUXES, call, columns, host, with_truth, write_recording
from tiny import COUPLED

from coupler import Simulation
from coupler.cli import main
from coupler.interface.errors import DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import Bundle, load_bundle
from emulators.evaluation import Evaluation, evaluate
from emulators.evaluation.report import draw, number, print_evaluation, write_json
from emulators.training.skill import predict
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

TIMES, N = 3, 3 * 67


@pytest.fixture(scope="module")
def truth_columns(levels: HybridLevels) -> dict[str, Any]:
    c = with_truth(columns(N, levels, 51), levels)
    return {k: v.astype(np.float32) for k, v in c.items()}


@pytest.fixture(scope="module")
def recording(tmp_path_factory, truth_columns, levels) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "record.nc"
    return write_recording(path, truth_columns, levels, times=TIMES, seed=4)


class Scheme(torch.nn.Module):
    """The scheme itself in the place of a network: times a factor, or with leaking neighbours."""

    def __init__(self, levels: HybridLevels, c: dict[str, Any], factor: float, leak: float) -> None:
        super().__init__()
        self.levels, self.c, self.factor, self.leak = levels, c, factor, leak

    def forward(self, inputs: Any, out: Any = None) -> dict[str, torch.Tensor]:
        given = {k: v.numpy() for k, v in inputs.items()}
        # Heights are no input of the bundle: the columns are found again by their temperature.
        order = [int(np.flatnonzero(self.c["ta"][-1] == t)[0]) for t in given["ta"][-1]]
        held = {k: v[..., order] for k, v in self.c.items()}
        where = host(self.levels, given["lat"].reshape(-1))
        scheme = AlexanderDunkerton1999()
        scheme.setup(where)
        flux, _ = call(scheme, {**held, **given}, where)
        position = torch.linspace(-1.0, 1.0, len(order))
        return {
            n: (self.factor + self.leak * position) * torch.from_numpy(getattr(flux, n)).float()
            for n in FLUXES
        }


def scheme_bundle(folder: Path, levels, c, factor: float = 1.0, leak: float = 0.0) -> Bundle:
    network: Any = Scheme(levels, c, factor, leak)
    return replace(load_bundle(folder), network=network)


@pytest.fixture(scope="module")
def truth(levels, truth_columns):
    def compute(number_of_call: int, changed: Any) -> dict[str, np.ndarray]:
        own = slice(number_of_call * 67, (number_of_call + 1) * 67)
        held = {k: v[..., own] for k, v in truth_columns.items()}
        where = host(levels, held["lat"])
        scheme = AlexanderDunkerton1999()
        scheme.setup(where)
        flux, _ = call(scheme, {**held, **changed}, where)
        return {n: getattr(flux, n) for n in FLUXES}

    return compute


def test_the_scheme_in_the_place_of_the_network_climbs_to_the_top(
    folder, levels, truth_columns, recording, truth
) -> None:
    found = evaluate(scheme_bundle(folder, levels, truth_columns), recording, truth=truth)
    assert found.columns == N and found.times == TIMES
    for label in ("R2 flux, in Pa", "R2 flux, normalized", "R2 drag, in m s-2"):
        # Waves at the edge of breaking switch layer by the rounding of inputs to float32.
        assert found.overall[label] > 0.999
    assert found.overall["roll test, relative change"] < 1e-3
    for scores in found.outputs.values():
        moved = scores.deviation > 1e-2 * scores.deviation.max()
        np.testing.assert_allclose(scores.variance_ratio[moved], 1.0, atol=1e-2)
        np.testing.assert_allclose(scores.ladder[:, moved], 1.0, atol=2e-2)
        assert scores.momentum_residual < 1e-6
        assert scores.net_truth == pytest.approx(scores.net_estimate, rel=1e-2)
    assert {r.graft for r in found.responses} == {
        "rotate",
        "half",
        "more",
        "critical level east",
        "critical level west",
    }
    for r in found.responses:
        assert r.r2 > 0.99 and r.amplitude == pytest.approx(1.0, abs=0.02)


def test_a_damped_network_is_seen_on_every_rung(
    folder, levels, truth_columns, recording, truth
) -> None:
    found = evaluate(scheme_bundle(folder, levels, truth_columns, 0.6), recording, truth=truth)
    for scores in found.outputs.values():
        moved = scores.deviation > 1e-2 * scores.deviation.max()
        np.testing.assert_allclose(scores.variance_ratio[moved], 0.36, atol=1e-2)
        np.testing.assert_allclose(scores.ladder[:, moved], 0.6, atol=2e-2)
        assert (scores.hellinger_squared[moved] > 0.01).all()
    for r in found.responses:
        assert r.amplitude == pytest.approx(0.6, abs=0.02)
        assert r.r2 == pytest.approx(0.84, abs=0.02)  # 1 - 0.4^2


def test_a_network_that_knows_the_place_in_the_batch_fails_the_roll_test(
    folder, levels, truth_columns, recording
) -> None:
    one, leaking = (
        evaluate(scheme_bundle(folder, levels, truth_columns, 1.0, leak), recording)
        for leak in (0.0, 0.3)
    )
    label = "roll test, relative change"
    # Turned by 33 of 67 in a batch of 201: the place changes by a third, the factor by 0.1.
    assert one.overall[label] < 1e-3 < 0.05 < leaking.overall[label] < 0.15
    assert any("left out" in note for note in one.notes) and not one.responses
    scores = {"R²", "R² normalized", "RMSE normalized", "H²", "P90", "P99", "P99.9"}
    for name in FLUXES:
        assert set(one.roll[name]) == scores | {"variance ratio"}
        for before, after in one.roll[name].values():
            assert after == pytest.approx(before, abs=1e-3)
        before, after = leaking.roll[name]["R²"]
        assert before == pytest.approx(
            1.0 - leaking.outputs[name].mse.sum() / (leaking.outputs[name].deviation ** 2).sum()
        )
        assert abs(after - before) > 1e-3
        before, after = leaking.roll[name]["variance ratio"]
        assert abs(after - before) > 1e-3


def test_a_cubic_output_is_scored_in_the_space_of_its_cube_root(
    folder, levels, truth_columns, recording
) -> None:
    bundle = scheme_bundle(folder, levels, truth_columns, 0.6)
    plain = evaluate(bundle, recording)
    outputs = [
        o.model_copy(update={"transform": "cbrt", "mean": [0.02 * s for s in o.scale]})
        for o in bundle.spec.outputs
    ]
    cubic = replace(bundle, spec=bundle.spec.model_copy(update={"outputs": outputs}))
    found = evaluate(cubic, recording)
    for output in outputs:
        one, other = plain.outputs[output.name], found.outputs[output.name]
        np.testing.assert_array_equal(one.r2, other.r2)  # in Pa nothing changes
        k = int(np.argmax(one.deviation))
        t = truth_columns[output.name][k].astype(float)
        w = np.cos(np.radians(truth_columns["lat"].astype(float)))
        w /= w.sum()
        z = [(f * t - output.mean[k]) / output.scale[k] for f in (1.0, 0.6)]
        y, e = (np.sign(x) * np.abs(x) ** (1.0 / 3.0) for x in z)
        mse = float(w @ (e - y) ** 2)
        # float32 fluxes; the cube root is steep near 0
        assert other.mse_normalized[k] == pytest.approx(mse, rel=1e-3)
        r2 = 1.0 - mse / float(w @ (y - w @ y) ** 2)
        assert other.r2_normalized[k] == pytest.approx(r2, abs=1e-3)
        linear = one.mse[k] / output.scale[k] ** 2
        assert one.mse_normalized[k] == pytest.approx(linear)
        assert abs(mse / linear - 1.0) > 0.2
        np.testing.assert_allclose(one.r2_normalized[k], one.r2[k])
    label = "R2 flux, normalized"
    assert abs(found.overall[label] - plain.overall[label]) > 1e-2


def test_bands_of_latitude_sum_up_to_the_whole(folder, recording, truth_columns) -> None:
    found = evaluate(folder, recording)
    lat = truth_columns["lat"].astype(float)
    w = np.cos(np.radians(lat))
    share, _ = np.histogram(lat, found.band_edges, weights=w)
    some = share > 0.0
    for s in found.outputs.values():
        for band, whole in ((s.band_mse, s.mse), (s.band_mse_normalized, s.mse_normalized)):
            np.testing.assert_allclose(band[:, some] @ share[some] / share.sum(), whole, rtol=1e-5)


def test_columns_that_stay_are_correlated_in_time(
    folder, levels, truth_columns, recording, tmp_path
) -> None:
    assert evaluate(folder, recording).outputs["xgwdparam"].time_correlation is None
    fixed = tmp_path / "fixed.nc"
    shutil.copy(recording, fixed)
    with netCDF4.Dataset(fixed, "a") as file:
        file.createVariable("index", "i4", ("time", "column"))[:] = [np.arange(67)] * 3
    found = evaluate(folder, fixed)
    s = found.outputs["xgwdparam"]
    k = int(np.argmax(s.deviation))
    inputs = {c.name: truth_columns[c.name] for c in load_bundle(folder).spec.inputs}
    e = predict(load_bundle(folder).network, {n: torch.from_numpy(v) for n, v in inputs.items()})
    t, e = (v[k].reshape(3, 67).astype(float) for v in (truth_columns["xgwdparam"],
                                                        e["xgwdparam"].numpy()))  # fmt: skip
    each = [np.corrcoef(t[:, j], e[:, j])[0, 1] for j in range(67)]
    assert s.time_correlation[k] == pytest.approx(np.nanmedian(each), abs=1e-3)
    with (tmp_path / "text").open("w") as file:
        print_evaluation(Console(file=file, width=150), found)
    assert "r in time" in (tmp_path / "text").read_text()
    assert draw(found, tmp_path / "p.png").stat().st_size > 20_000


def test_the_numbers_are_printed_drawn_and_written(folder, recording, truth, tmp_path) -> None:
    found = evaluate(folder, recording, truth=truth)
    with (tmp_path / "text").open("w") as file:
        print_evaluation(Console(file=file, width=110), found)
    text = (tmp_path / "text").read_text()
    assert "xgwdparam: R² by latitude" in text and "critical level west" in text
    assert "RMSE mPa, by latitude" in text and "MSE normalized, by latitude" in text
    assert "R² normalized, by latitude" not in text  # no cubic output: it is the same
    assert "xgwdparam: roll test" in text and "turned" in text and "r in time" not in text
    assert number(found.overall["R2 flux, in Pa"], 4) in text
    assert number(float("nan")) == "-"
    kept = json.loads(write_json(found, tmp_path / "a" / "evaluation.json").read_text())
    assert kept["bins"] == {"number": 400, "reach": 4.0}
    assert kept["outputs"]["xgwdparam"]["r2"][-1] is None  # nothing varies at the ground
    assert kept["outputs"]["xgwdparam"]["r2"][3] == pytest.approx(found.outputs["xgwdparam"].r2[3])
    picture = draw(found, tmp_path / "b" / "evaluation.png")
    assert 20_000 < picture.stat().st_size < 300_000


def test_a_recording_that_does_not_fit_is_refused(folder, tmp_path) -> None:
    with pytest.raises(DataError, match="no such recording"):
        evaluate(folder, tmp_path / "none.nc")
    other = HybridLevels.named("hybrid17")
    path = write_recording(
        tmp_path / "o.nc", with_truth(columns(26, other, 3), other), other, times=2, seed=1
    )
    with pytest.raises(DataError, match=r"other levels than the bundle's.*17 levels 'hybrid17'"):
        evaluate(folder, path)
    (tmp_path / "broken.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match="not readable as netCDF"):
        evaluate(folder, tmp_path / "broken.nc")


def test_fewer_columns_are_whole_calls_spread_over_the_recording(folder, recording) -> None:
    found: Evaluation = evaluate(folder, recording, most=140)
    assert (found.times, found.columns) == (2, 134)


def test_the_command_scores_a_bundle_on_the_recording_of_a_run(
    folder, levels, tmp_path, capsys
) -> None:
    case = COUPLED | {
        "days": 0.25,
        "atmosphere": COUPLED["atmosphere"] | {"levels": levels.name},
        "output": {"interval": "3 h"},
    }
    made = Simulation.from_case(
        case, out=tmp_path / "run", record=["gravity_wave"], record_columns=41
    ).run(quiet=True)
    path = made.folder.record("gravity_wave")
    assert main(["evaluate", str(folder), str(path), "--out", str(tmp_path / "scores")]) == 0
    said = capsys.readouterr().out
    assert "Change of the flux when the wind is changed" in said
    kept = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert len(kept["responses"]) == 5 and (tmp_path / "scores" / "evaluation.png").is_file()
    assert main(["evaluate", "nothing_like_it", str(path)]) == 2
    assert "no such bundle: nothing_like_it" in capsys.readouterr().err
    # A recording from elsewhere has no case: scores, but no grafts.
    other = write_recording(
        tmp_path / "x.nc", with_truth(columns(26, levels, 3), levels), levels, times=2, seed=1
    )
    assert main(["evaluate", str(folder), str(other)]) == 0
    assert "not a recording that can be replayed" in capsys.readouterr().out.replace("\n", " ")
    assert main(["evaluate", str(folder), str(path), "--no-grafts"]) == 0
    assert "not wanted" in capsys.readouterr().out
