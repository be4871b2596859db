"""Pieces of one record: how much they know of each other, and what is claimed from them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up_run import write_run
from made_up_study import FINE, made_up_study
from scipy.signal import lfilter

from coupler.compare import online, pieces
from coupler.compare.findings import examine
from coupler.compare.metrics import Vector
from coupler.compare.pages import page
from coupler.compare.sample import read_run
from coupler.compare.statistics.significance import blocks, decorrelation_time


def _record(rng: np.random.Generator, tau: float, *shape: int) -> np.ndarray:
    """Autoregressive series of variance 1 along the first axis."""
    phi = math.exp(-1.0 / tau)
    x = rng.normal(size=(shape[0] + int(20 * tau), *shape[1:]))
    return lfilter([math.sqrt(1.0 - phi * phi)], [1.0, -phi], x, axis=0)[-shape[0] :]


@pytest.mark.parametrize(("tau", "length"), [(2.0, 5), (8.0, 5), (4.0, 30)])
def test_the_correlation_of_pieces_is_that_of_a_long_series(tau: float, length: int) -> None:
    x = _record(np.random.default_rng(3), tau, 600_000)
    means = x[: x.size // length * length].reshape(-1, length).mean(axis=1)
    for apart in (1, 2, 3):
        found = np.corrcoef(means[:-apart], means[apart:])[0, 1]
        # Of 20,000 pieces or more a correlation has a standard error of 0.007.
        assert pieces.piece_correlation(tau, length, apart) == pytest.approx(found, abs=0.03)


def test_pieces_that_are_long_beside_the_memory_all_count() -> None:
    assert pieces.block_of(1, 1) == 1  # no memory
    assert pieces.block_of(2, 30) == 1
    assert pieces.block_of(10, 10) > 1
    assert pieces.block_of(40, 10) > pieces.block_of(10, 10)
    for tau, length in ((3, 7), (25, 10), (90, 30)):
        b = pieces.block_of(tau, length)
        assert pieces.piece_correlation(tau, length, b) <= pieces.ENOUGH
        assert b == 1 or pieces.piece_correlation(tau, length, b - 1) > pieces.ENOUGH


def test_blocks_hold_neighbours_and_are_as_long_as_was_asked() -> None:
    drawn = np.array(list(blocks(12, 3, 200, seed=1)))
    assert drawn.shape == (200, 12)
    assert (np.diff(drawn.reshape(200, 4, 3), axis=2) == 1).all()
    assert set(drawn.ravel()) == set(range(12))


def _members(values: np.ndarray) -> dict[int, dict[str, Vector]]:
    return {
        m: {"m": Vector(values=v, weight=np.full(v.size, 1.0 / v.size), order=2, group="map",
                        units="K")}
        for m, v in enumerate(values, 1)
    }  # fmt: skip


def test_stars_of_pieces_with_memory_are_as_rare_as_they_should_be() -> None:
    # Twelve pieces of a record that remembers itself for two of them, against eight runs: without a
    # difference a twentieth of the tests at 5 % may find one.
    tau, length, trials = 20, 10, 150
    block = pieces.block_of(tau, length)
    assert block > 2
    wrong = {0: 0, block: 0}
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        truth = _record(rng, tau, 18 * length).reshape(18, length).mean(axis=1)
        runs = np.array([_record(rng, tau, length).mean() for _ in range(8)])
        for b in wrong:
            got = online.score("x", _members(runs[:, None]), _members(truth[:, None]), block=b,
                               draws=2)  # fmt: skip
            wrong[b] += got.scores[0].probability <= 0.05
    # Of 150 trials 7.5 are expected, 13 is two standard deviations more.
    assert wrong[block] <= 13
    assert wrong[0] > 1.5 * wrong[block] + 3  # the control: pieces taken as independent


def test_claims_are_those_of_so_many_pieces_as_are_independent() -> None:
    rng = np.random.default_rng(8)
    runs, truth = rng.normal(size=(7, 5)), rng.normal(size=(16, 5)) + 9.0
    got = online.score("x", _members(runs), _members(truth), block=3)
    assert (got.members, got.reference_members, got.independent) == (7, 16, 6)
    s = got.scores[0]
    assert s.probability == pytest.approx(1.0 / math.comb(13, 6))  # dealt among 7 and 6
    assert s.distance == pytest.approx(np.sqrt(np.mean((runs.mean(0) - truth.mean(0)) ** 2)))
    assert s.interval[0] < s.distance + 1.0  # from all of them
    assert s.interval[0] < s.interval[1]
    few = online.score("x", _members(runs), _members(truth), block=16)
    assert few.independent == 1
    assert not few.possible
    assert math.isnan(few.scores[0].probability)
    assert math.isnan(few.scores[0].interval[0])


def test_intervals_of_pieces_with_memory_are_wider_than_without() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.normal(size=(6, 1)), 4, axis=0)  # four pieces in a row are alike
    runs = 20.0 + 0.1 * rng.normal(size=(8, 1))
    width = {}
    for block in (1, 4):
        low, high = (
            online.score("x", _members(runs), _members(truth), block=block).scores[0].interval
        )
        width[block] = high - low
    # Six independent values instead of twenty-four: twice as wide, less what ends of a record lose.
    assert width[4] > 1.4 * width[1]


def test_memory_is_the_longest_of_the_global_means() -> None:
    class Fields:  # what `memory` looks at
        levels, lat, lon = np.array([850e2, 250e2]), np.array([-30.0, 0.0, 30.0]), np.arange(4.0)
        mass, area = np.array([0.4, 0.6]), np.array([0.3, 0.4, 0.3])

    rng = np.random.default_rng(6)
    slow, fast = _record(rng, 15.0, 900), rng.normal(size=900)
    s = Fields()
    s.deep = {"ua": np.broadcast_to(fast[:, None, None, None], (900, 2, 3, 4)),
              "ta": np.broadcast_to(slow[:, None, None, None], (900, 2, 3, 4))}  # fmt: skip
    s.flat = {"pr": np.broadcast_to(fast[:, None, None], (900, 3, 4))}
    assert pieces.memory(s) == decorrelation_time(slow)
    assert pieces.memory(s) > 5
    del s.deep["ta"]
    assert pieces.memory(s) == 1


def test_of_a_truth_that_remembers_itself_fewer_pieces_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coupler.compare.drawings.gallery", lambda found: [])
    plan, runs = made_up_study(tmp_path, members=2)
    s = read_run(write_run(tmp_path / "truth", seed=77, records=24), "truth")
    slow = np.repeat([0.0, 3.0], 12)[:, None, None, None]  # warm for half of the time
    fields = {n: x + slow * (n == "ta") for n, x in s.deep.items()}
    truth = xr.Dataset(
        {n: (("time", "plev", "lat", "lon"), x) for n, x in fields.items()},
        coords={"time": ("time", np.arange(24.0), {"units": "days since 1979-01-01"}),
                "plev": ("plev", s.levels, {"units": "Pa"}), "lat": s.lat, "lon": s.lon},
    )  # fmt: skip
    truth.to_netcdf(tmp_path / "truth.nc")
    runs = [r for r in runs if r.job.candidate != "reference"]
    got = examine(replace(plan, settings=replace(plan.settings, truth=tmp_path / "truth.nc")), runs)
    assert got.block > 1
    o = got.online[FINE]
    assert (o.reference_members, o.independent) == (4, len(range(0, 4, got.block)))
    told = " ".join(got.notes)
    assert f"one piece in {got.block} counts as independent, {o.independent} of 4" in told
    assert f"2 and {o.independent} independent members cannot show" in page(got)
