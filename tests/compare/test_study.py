"""What a comparison says of runs whose differences are known."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up_run import write_run
from made_up_study import FACTOR, FINE, MEMBERS, RECORDS, STRONG, made_up_study

from coupler.compare import metrics, online, starts
from coupler.compare.candidates import BASELINE
from coupler.compare.findings import Findings, examine
from coupler.compare.jobs import MISSING
from coupler.compare.pages import dataset, page, stamp, terminal
from coupler.compare.sample import Sample, differences_of, read_foreign, read_run
from coupler.compare.verdict import (
    SOURCES,
    Evidence,
    Facts,
    climate_evidence,
    judge_candidate,
)
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError


def _verdict(found: Findings, name: str):
    return next(v for v in found.verdicts if v.name == name)


# -- who is good, who is bad -----------------------------------------------------------------------


def test_the_bad_one_is_flagged_before_and_after_and_the_reader_is_told_why(
    found: Findings,
) -> None:
    bad = _verdict(found, STRONG)
    assert (bad.before, bad.after, bad.word) == ("bad", "bad", "blows up")
    text = " ".join(f"{e.what} {e.found}" for e in bad.evidence)
    assert "shadow amplitude 4.0" in text  # four times too strong, plus a tenth of noise
    assert "7 of 8" in text
    assert "day 3.0" in text
    assert found.order.online == (FINE, STRONG)
    assert found.order.standings[1].lost == 1 / 8


def test_a_candidate_like_the_reference_is_not_told_apart(found: Findings) -> None:
    fine = _verdict(found, FINE)
    assert (fine.before, fine.word) == ("good", "not told apart from the reference")
    scores = found.online[FINE].scores
    assert len(scores) > 25
    assert found.online[FINE].possible
    # The A/A line: no significant difference in at least 95 % of metrics.
    assert sum(s.significant for s in scores) <= 0.05 * len(scores)
    assert found.online[FINE].mean("over_noise") == pytest.approx(1.0, abs=0.35)


def test_what_was_changed_is_what_is_found(found: Findings) -> None:
    scores = {s.metric: s for s in found.online[STRONG].scores}
    moved = scores["jet north, latitude"]
    assert moved.bias == pytest.approx(4.0, abs=0.8)  # jets were moved by 4 degrees
    assert moved.significant
    assert scores["zonal-mean zonal wind"].significant
    assert scores["zonal-mean zonal wind"].over_noise > 3.0
    rain = scores["mean precipitation"]  # was left alone
    assert not rain.significant
    assert rain.needed > MEMBERS


@pytest.mark.parametrize("descending", [False, True])
def test_the_transport_of_a_wind_alike_at_all_heights_is_that_above_each_level(
    descending: bool,
) -> None:
    levels = np.array([250e2, 500e2, 700e2, 850e2])
    levels = levels[::-1] if descending else levels
    lat, planet = np.array([-60.0, 0.0, 60.0]), Planet()
    wind = np.full((2, 4, 3, 8), 2.0)
    flow = Sample(name="x", days=np.arange(2.0), lat=lat, lon=np.arange(8) * 45.0, levels=levels,
                  area=np.array([0.25, 0.5, 0.25]), deep={"va": wind}, flat={})  # fmt: skip
    arm = 2.0 * np.pi * planet.radius * np.cos(np.radians(lat))
    want = arm * 2.0 * levels[:, None] / planet.gravity
    np.testing.assert_allclose(metrics.streamfunction(flow, planet), want, rtol=1e-12)


def test_skill_in_the_shadow_is_that_of_the_factor(found: Findings) -> None:
    for answers, factor in ((found.shadow[STRONG], FACTOR), (found.own_states[STRONG], FACTOR)):
        u = next(o for o in answers.outputs if o.of == "ua")
        assert u.amplitude == pytest.approx(factor, rel=0.03)
        assert u.r > 0.98
        # Of a truth with little mean; the tenth of noise changes it by a few hundredths.
        assert u.r2 == pytest.approx(1.0 - (factor - 1.0) ** 2, rel=0.06)
    fine = found.shadow[FINE].outputs[0]
    assert fine.r2 == pytest.approx(1.0 - 0.1**2, abs=0.01)


def test_a_failed_member_counts_and_a_missing_one_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coupler.compare.drawings.gallery", lambda found: [])  # seconds each
    plan, runs = made_up_study(tmp_path, members=2)
    runs[3] = replace(runs[3], status=MISSING, why="ended by signal 9")
    got = examine(plan, runs)
    name = runs[3].job.candidate
    assert got.missing[name] == ["member 2: ended by signal 9"]
    text = page(got)
    assert "ended by signal 9" in text
    assert got.survival[STRONG].share[-1] == pytest.approx(2 / 3)
    assert "cannot show a difference among" in text
    assert not any(s.significant for o in got.online.values() for s in o.scores)


def test_a_member_that_is_not_a_number_is_a_failure(tmp_path: Path) -> None:
    plan, runs = made_up_study(tmp_path, members=2)

    def spoilt(data: xr.Dataset) -> xr.Dataset:
        data["ua"] = data["ua"].where(data["time"] < 4.0)
        return data

    bad = next(r for r in runs if r.job.candidate == FINE and r.job.member == 2)
    write_run(bad.folder, seed=3, records=RECORDS, edit=spoilt,
              settings={"calendar": "noleap", "start": "2001-03-01"})  # fmt: skip
    got = examine(plan, runs)
    assert got.failures[FINE] == ["member 2: its output is not a number"]
    assert got.survival[FINE].share[-1] == pytest.approx(0.5)
    assert _verdict(got, FINE).word == "blows up"
    assert got.online[FINE].members == 1


def test_a_member_that_is_another_one_again_is_counted_once(tmp_path: Path) -> None:
    plan, runs = made_up_study(tmp_path, members=3)
    runs = [
        replace(r, job=replace(r.job, folder=tmp_path / "runs" / f"{r.job.candidate}2"))
        if r.job.member == 3 else r for r in runs if r.good
    ]  # fmt: skip
    got = examine(plan, runs)
    assert (got.online[FINE].members, got.online[FINE].reference_members) == (2, 2)
    assert f"member 3 of {FINE} is member 2 to the bit" in " ".join(got.notes)
    assert got.survival[FINE].share[-1] == 1.0


def test_a_poor_similarity_of_a_metric_that_is_not_told_apart_is_no_evidence() -> None:
    def grade(similarity: float) -> str:
        some = {"group": "map", "units": "K", "distance": 1.0, "noise": 1.0, "relative": 0.1,
                "bias": math.nan}  # fmt: skip
        one = online.Score(metric="m", probability=0.5, corrected=1.0, similarity=-3.0, **some)
        scores = [one] * 9 + [replace(one, corrected=0.0, similarity=similarity)]
        got = online.Online(
            name="x", members=8, reference_members=8, independent=8, scores=tuple(scores)
        )
        return climate_evidence(Facts(name="x", online=got))[0].grade

    assert grade(0.5) == "doubtful"
    assert grade(-0.6) == "bad"


def test_another_source_of_evidence_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def alarm(facts: Facts) -> list[Evidence]:
        return [Evidence(when="before", what="growth", found="2 a day", expected="0", grade="bad")]

    assert judge_candidate(Facts(name="x")).before == "open"
    monkeypatch.setattr("coupler.compare.verdict.SOURCES", [*SOURCES, alarm])
    assert judge_candidate(Facts(name="x")).before == "bad"


# -- scores of ensembles ---------------------------------------------------------------------------


def _members(seed: int, shift: float, n: int = 8) -> dict[int, dict[str, metrics.Vector]]:
    rng = np.random.default_rng(seed)
    weight = np.full(40, 1 / 40)
    return {
        m: {
            f"m{k}": metrics.Vector(values=shift + rng.normal(size=40), weight=weight, order=2,
                                    group="map", units="K")
            for k in range(12)
        }
        for m in range(1, n + 1)
    }  # fmt: skip


def test_the_reference_against_its_own_repeat_shows_nothing_in_95_percent_of_metrics() -> None:
    different = total = 0
    for trial in range(40):
        got = online.score("again", _members(2 * trial, 0.0), _members(2 * trial + 1, 0.0))
        different += got.different
        total += len(got.scores)
        assert got.mean("over_noise") == pytest.approx(1.0, abs=0.25)
    # Holm bounds the chance of one alarm in twelve by 5 %: 40 x 5 % = 2 expected at the most.
    assert different <= 6
    assert different / total < 0.05


def test_similarity_and_its_interval_follow_from_the_distances() -> None:
    truth, near, far = _members(1, 0.0), _members(2, 0.6), _members(3, 2.4)
    got = online.score("near", near, truth, far)
    s = got.scores[0]
    # Distances 0.6 and 2.4 with noise sqrt(2/8) = 0.5 added in square.
    assert s.similarity == pytest.approx(1.0 - math.hypot(0.6, 0.5) / math.hypot(2.4, 0.5), abs=0.1)
    octaves = math.log2(math.hypot(2.4, 0.5) / math.hypot(0.6, 0.5))
    assert s.octaves == pytest.approx(octaves, abs=0.5)
    low, high = s.similarity_interval
    assert low < high
    assert high > s.similarity  # the noise in D(candidate) is taken off
    assert s.noise == pytest.approx(0.5, abs=0.1)
    assert all(x.significant for x in online.score("far", far, truth).scores)


def test_a_small_difference_needs_the_members_of_the_formula() -> None:
    got = online.score("near", _members(2, 1.0), _members(1, 0.0)).scores[0]
    # Standard deviation 1 in every cell, effect 1, 5 % shared among twelve metrics: with
    # z(0.0021) = 2.87 in the place of 1.96 it is n = 2 (2.87 + 0.84)^2 = 27.5.
    assert got.needed == pytest.approx(27.5, abs=7.0)


def test_a_large_difference_needs_no_fewer_members_than_can_show_any() -> None:
    got = online.score("far", _members(2, 50.0, 4), _members(1, 0.0, 4))
    assert not got.possible
    assert {s.needed for s in got.scores} == {float(got.needed)}
    assert got.needed == 6  # 12 metrics: 1/(12 choose 6)/2 = 0.2 %, five members give 0.8 %


def test_cells_that_a_member_has_below_the_ground_are_compared_in_none() -> None:
    rng = np.random.default_rng(3)

    def members(low: int) -> dict[int, dict[str, metrics.Vector]]:
        found = {}
        for m in range(1, 6):
            known = np.arange(40) != (low if m == 2 else 0)
            values = np.where(known, 280.0 + rng.normal(size=40), 0.0)
            found[m] = {"map": metrics.Vector(values=values, weight=known / known.sum(), order=2,
                                              group="map", units="K")}  # fmt: skip
        return found

    nowhere, hidden, other = members(0), members(7), members(9)
    for a, b in ((hidden, nowhere), (nowhere, hidden), (hidden, other)):
        s = online.score("x", a, b, members(11)).scores[0]
        assert s.distance < 2.0  # and not 280 K of one of five members in one of forty cells
        assert s.noise < 2.0
    for v in other.values():
        v["map"] = replace(v["map"], weight=0.0 * v["map"].weight)
    assert online.score("x", hidden, other).scores == ()


def test_a_metric_that_one_member_lacks_is_left_out_for_all() -> None:
    a, b = _members(1, 0.0), _members(2, 0.0)
    del a[3]["m5"]
    assert "m5" not in {s.metric for s in online.score("x", a, b).scores}
    assert online.score("none", {}, b).scores == ()


# -- fields ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return read_run(write_run(tmp_path_factory.mktemp("run") / "a", records=6), "a")


def test_fields_on_pressure_levels_are_those_of_the_model_between_its_layers(
    tmp_path: Path,
) -> None:
    def linear(data: xr.Dataset) -> xr.Dataset:
        p = data["ap"] + data["b"] * data["ps"]
        data["ua"] = np.log(p).transpose("time", "lev", "lat", "lon")
        return data

    got = read_run(write_run(tmp_path / "run", edit=linear, records=3), "x")
    assert got.levels.size >= 5
    want = np.log(got.levels)[None, :, None, None] * np.ones(got.deep["ua"].shape)
    # Linear in ln(p) is recovered to float32.
    np.testing.assert_allclose(got.deep["ua"], want, rtol=1e-5)


def test_a_top_that_moves_with_the_ground_is_not_compared_where_some_columns_end(
    tmp_path: Path,
) -> None:
    def sigma(data: xr.Dataset) -> xr.Dataset:
        data["ap"] = 0.0 * data["ap"]
        data["b"] = ("lev", np.linspace(0.0995, 0.99, data.sizes["lev"]))
        return data

    got = read_run(write_run(tmp_path / "run", edit=sigma, records=3), "x")
    assert got.levels.min() == 250e2  # and not 100 hPa, which the ground decides
    assert got.finite()


def test_below_the_ground_there_is_nothing(tmp_path: Path) -> None:
    def mountain(data: xr.Dataset) -> xr.Dataset:
        values = data["ps"].values.copy()
        values[:, 5, 3] = 600e2
        data["ps"] = (data["ps"].dims, values)
        return data

    got = read_run(write_run(tmp_path / "run", edit=mountain, records=3), "x")
    column = got.deep["ta"][:, :, 5, 3]
    assert np.isnan(column[:, got.levels > 620e2]).all()
    assert np.isfinite(column[:, got.levels < 400e2]).all()
    assert got.finite()
    assert "map of temperature 850 hPa" in metrics.measure(got)


def test_somebodys_file_is_read_by_standard_names_units_and_order(
    tmp_path: Path, sample: Sample
) -> None:
    n, levels = sample.days.size, sample.levels
    foreign = xr.Dataset(
        {
            "u_wind": (("time", "plev", "latitude", "longitude"), sample.deep["ua"][:, :, ::-1],
                       {"standard_name": "eastward_wind", "units": "m s**-1"}),
            "T": (("time", "plev", "latitude", "longitude"), sample.deep["ta"][:, :, ::-1] - 273.15,
                  {"units": "degC"}),
            "tp": (("time", "latitude", "longitude"), sample.flat["pr"][:, ::-1] * 86400.0,
                   {"units": "kg m-2 day-1"}),
        },
        coords={
            "time": ("time", np.arange(n), {"units": "days since 1979-01-01"}),
            "plev": ("plev", levels / 100.0, {"units": "hPa", "standard_name": "air_pressure"}),
            "latitude": ("latitude", sample.lat[::-1], {"units": "degrees_north"}),
            "longitude": ("longitude", sample.lon, {"units": "degrees_east"}),
        },
    )  # fmt: skip
    foreign.to_netcdf(tmp_path / "them.nc")
    foreign.to_zarr(tmp_path / "them.zarr", consolidated=False)
    for path in (tmp_path / "them.nc", tmp_path / "them.zarr"):
        got = read_foreign(path, sample)
        np.testing.assert_allclose(got.deep["ua"], sample.deep["ua"], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(got.deep["ta"], sample.deep["ta"], rtol=1e-5)
        np.testing.assert_allclose(got.flat["pr"], sample.flat["pr"], rtol=1e-5)
        np.testing.assert_array_equal(got.lat, sample.lat)

    coarse = foreign.isel(latitude=slice(None, None, 2), longitude=slice(None, None, 2))
    coarse.to_netcdf(tmp_path / "coarse.nc")
    refused = r"on another grid: .*expected 22 x 10 .*found 11 x 5.*--regrid"
    with pytest.raises(DataError, match=refused):
        read_foreign(tmp_path / "coarse.nc", sample)
    even = foreign.copy()
    even["u_wind"][:] = 7.0
    even.isel(latitude=slice(None, None, 2)).to_netcdf(tmp_path / "even.nc")
    got = read_foreign(tmp_path / "even.nc", sample, regrid=True)
    np.testing.assert_allclose(got.deep["ua"], 7.0, rtol=1e-6)  # a constant stays
    assert got.deep["ua"].shape == sample.deep["ua"].shape

    foreign.drop_vars("T").to_netcdf(tmp_path / "cold.nc")
    with pytest.raises(DataError, match=r"missing variable of a reference: .*: ta"):
        read_foreign(tmp_path / "cold.nc", sample)
    foreign["T"].attrs["units"] = "Pa"
    foreign.to_netcdf(tmp_path / "odd.nc")
    with pytest.raises(DataError, match=r"unit of a reference that does not fit: .*: T; .*'Pa'"):
        read_foreign(tmp_path / "odd.nc", sample)
    foreign.rename({"latitude": "y"}).drop_vars("y").to_netcdf(tmp_path / "flat.nc")
    with pytest.raises(DataError, match=r"missing axis of a reference: .*: lat"):
        read_foreign(tmp_path / "flat.nc", sample)


def test_a_file_is_cut_by_its_own_interval(sample: Sample) -> None:
    def cut(interval: float, records: int, days: float) -> list[int]:
        empty = {n: x[:0] for n, x in sample.deep.items()}
        times = 3.0 + interval * np.arange(records)
        own = replace(sample, days=times, deep=empty, flat={})
        return [part.days.size for part in own.pieces(days)]

    assert cut(1.0, 13, 6.0) == [6, 6]
    assert cut(1.0, 12, 6.0) == [6, 6]
    assert cut(1.0, 11, 6.0) == [6]
    assert cut(0.25, 24, 3.0) == [12, 12]
    assert cut(0.25, 23, 3.0) == [12]  # by a day more than its last record it would be two
    assert cut(30.4, 12, 90.0) == [3, 3, 3, 3]
    assert cut(1.0, 5, 6.0) == []


def test_somebodys_file_takes_the_place_of_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coupler.compare.drawings.gallery", lambda found: [])
    plan, runs = made_up_study(tmp_path, members=2)
    s = read_run(write_run(tmp_path / "truth", seed=77, records=13), "truth")
    dims = ("time", "plev", "lat", "lon")
    truth = xr.Dataset(
        {n: (dims, x) for n, x in s.deep.items()},
        coords={"time": ("time", np.arange(13.0), {"units": "days since 1979-01-01"}),
                "plev": ("plev", s.levels, {"units": "Pa"}), "lat": s.lat, "lon": s.lon},
    )  # fmt: skip
    truth.isel(plev=slice(0, -1)).to_netcdf(tmp_path / "truth.nc")  # ends below the model
    runs = [r for r in runs if r.job.candidate != "reference"]
    strong = next(c for c in plan.candidates if c.name == STRONG)
    plan = replace(
        plan,
        settings=replace(plan.settings, truth=tmp_path / "truth.nc"),
        candidates=(plan.candidates[0], replace(strong, name=BASELINE)),
    )
    runs = [
        replace(r, job=replace(r.job, candidate=BASELINE)) if r.job.candidate == STRONG else r
        for r in runs
    ]
    got = examine(plan, runs)
    assert got.online[FINE].reference_members == 2  # thirteen days in pieces of six
    assert "in 2 pieces of 6 days" in " ".join(got.notes)
    s_of = {x.metric: x.similarity for x in got.online[FINE].scores}
    assert s_of["zonal-mean zonal wind"] > 0.5  # the baseline's jets stand elsewhere
    assert "truth.nc" in page(got)
    assert got.shadow == {}
    assert got.forecasts == {}  # pieces of a record have no start in common with runs
    assert got.block == 2  # its weather remembers itself from day to day
    np.testing.assert_array_equal(got.levels, s.levels[:-1])


def test_all_that_differs_between_runs_is_listed_at_once(sample: Sample) -> None:
    other = replace(sample, calendar="360_day", start="1999-01-01", units={"ua": "cm s-1"},
                    lat=sample.lat + 3.0)  # fmt: skip
    told = differences_of({"a": sample, "b": other}, [("precision", "float32", "float64")])
    words = " ".join(str(p) for p in told)
    for text in (
        "different grids",
        "two calendars",
        "two starts",
        "two units of ua",
        "two options",
    ):
        assert text in words
    assert differences_of({"a": sample, "b": sample}) == []
    assert differences_of({"a": sample}) == []


def test_runs_that_part_are_scored_against_the_repeats(tmp_path: Path) -> None:
    a, b, c = (
        read_run(write_run(tmp_path / str(i), seed=i, records=6, shift=s), "x")
        for i, s in ((1, 0.0), (2, 0.0), (3, 5.0))
    )
    near, far = starts.parting(a, b), starts.parting(a, c)
    assert far.globe["ua"].mean() > near.globe["ua"].mean() > 0.0
    assert starts.parting(a, a).globe["ta"].max() == 0.0
    card = starts.scorecard(dict.fromkeys((1, 2, 3), far), dict.fromkeys((1, 2, 3), near))
    cell = card["ua", 250e2, "N extratropics"][3.0]
    assert cell.change < -20.0
    assert starts.scorecard({}, {1: near}) == {}


# -- the files -------------------------------------------------------------------------------------


def test_files_hold_what_the_page_shows(found: Findings, written: Path) -> None:
    report = written
    data = json.loads(report.with_suffix(".json").read_text())
    assert [v["word"] for v in data["verdicts"]] == [v.word for v in found.verdicts]
    assert len(data["runs"]) == len(found.runs)
    fine, strong = (data["spread"][name] for name in (FINE, STRONG))
    assert fine["members"] == MEMBERS - 1
    assert fine["crps"] == pytest.approx(1.0, abs=0.25)  # fields of few degrees of freedom
    # Its jets stand elsewhere; temperature, humidity and rain, most of the fields, are the same.
    assert strong["crps"] > 1.1 * fine["crps"]
    assert strong["ratio"] < fine["ratio"]
    with xr.open_dataset(report.with_suffix(".nc")) as file:
        got = file["distance"].sel(candidate=FINE, metric="zonal-mean temperature")
        own = next(s for s in found.online[FINE].scores if s.metric == "zonal-mean temperature")
        assert float(got) == pytest.approx(own.distance)
        assert file["ua"].dims == ("ensemble", "plev", "lat")
        own = found.shadow[STRONG]
        kept = file["shadow_map_r2"].sel(candidate=STRONG, output="va")
        np.testing.assert_array_equal(kept, own.places[1].map_r2)
        assert kept.dims == ("shadow_lat", "shadow_lon")
        section = file["own_states_section_r"].sel(candidate=FINE, output="ua")
        assert section.dims == ("own_states_plev", "own_states_lat")
        power = file["shadow_power_prediction_above_100"].sel(candidate=STRONG, output="ua")
        np.testing.assert_array_equal(power, own.scales[0].prediction)
        rms = file["shadow_column_eastward_momentum_residual_rms"].sel(candidate=STRONG)
        assert float(rms) == own.budgets[0].residual_rms
        day_5 = file["error_day_5"].sel(forecast="reference", forecast_field="zonal wind")
        assert float(day_5) == data["forecasts"]["reference"][0]["day_5"]
    assert "places" not in data["shadow"][STRONG]  # megabytes of text
    assert data["shadow"][STRONG]["scales"][0]["layer"] == "above 100 hPa"
    text = written.read_text()
    assert "commit 0123abc" in text
    assert "spread over error of these" in text
    for words in ("Column budgets of the tendencies", "Power of the tendencies by scale",
                  "Errors on days 3 and 5, and drift", "Skill by place"):  # fmt: skip
        assert words in text
    assert "seeds 1-8" in text
    assert text.count("<figcaption>") == text.count(stamp(found, 90.0)) - 1  # under each picture
    assert "<b>ua</b>" not in text  # what a run says is escaped
    assert "http" not in text.replace("http-equiv", "")
    assert dataset(found).sizes["candidate"] == 2


def test_the_terminal_has_the_verdicts(found: Findings) -> None:
    table = terminal(found)
    assert table.row_count == 2
