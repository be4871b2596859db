"""What offline and shadow scores say of answers that are known, and the order of candidates."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up_run import write_run
from made_up_study import STRONG, made_up_study

from coupler.compare.answers import Answers, OutputSkill, in_run, judge
from coupler.compare.findings import examine
from coupler.compare.order import Standing, order
from coupler.compare.verdict import Facts, offline_evidence, shift_evidence
from coupler.interface.constants import Planet


def test_an_output_that_is_no_number_or_that_only_the_candidate_changes_is_judged() -> None:
    rng = np.random.default_rng(4)
    u, q = rng.normal(size=(2, 3, 7, 5))
    holes = np.where(u > 1.0, np.nan, u)

    def offline(**prediction: np.ndarray) -> Answers:
        return judge("offline", {"ua": u}, prediction, 1.0, np.ones(5), np.arange(7.0))

    assert offline(ua=u).mean("r2") == 1.0
    for spoilt in (offline(ua=holes), offline(ua=np.where(u > 1.0, np.inf, u)),
                   offline(ua=u, hus=1e-9 * q)):  # fmt: skip
        assert spoilt.mean("r2") == -math.inf
        told = offline_evidence(Facts(name="x", offline=spoilt))[0]
        assert (told.found, told.grade) == ("−∞", "bad")
        assert shift_evidence(Facts(name="x", shadow=spoilt, own_states=spoilt)) == []
    assert [o.of for o in offline(ua=u, hus=0.0 * q).outputs] == ["ua"]  # nothing is no output
    assert offline(hus=q).mean("r2") == -math.inf  # of ua it has about 0


def test_an_output_that_only_the_candidate_has_counts_in_a_run_and_heat_of_its_drag_does_not(
    tmp_path: Path,
) -> None:
    def asked(name: str, **more: str) -> Answers:
        def edit(data: xr.Dataset) -> xr.Dataset:
            for own, like in {"utendnogw_x": "utendnogw", **more}.items():
                data[own] = 1.0 * data[like]
            return data

        return in_run(write_run(tmp_path / name, records=3, edit=edit), "gravity_wave", "x",
                      where="shadow", applied_is_truth=True, skip_days=0.0)  # fmt: skip

    moist = asked("moist", tnhus_gravity_wave_x="utendnogw", vtendnogw_x="vtendnogw")
    heats = asked("heats", tntnogw_x="utendnogw", vtendnogw_x="vtendnogw")
    still = asked("still")  # changes nothing of va, which the truth does
    r2 = {o.of: o.r2 for o in moist.outputs}
    assert r2 == {"ua": 1.0, "va": 1.0, "hus": -math.inf}
    assert {o.of: o.r2 for o in heats.outputs} == {"ua": 1.0, "va": 1.0}
    assert still.outputs[1].of == "va" and still.outputs[1].r2 <= 0.0


def test_an_error_in_watts_is_weighted_with_area_alone() -> None:
    # 1 K a day wrong in layers of 100 and 900 hPa: 1004 J/kg/K dp/g / 86400 s = 11.8 and 106 W m-2,
    # root mean square 75.6 (with the mass once more it would be 101).
    def wrong(heating: np.ndarray) -> OutputSkill:
        thickness, area = np.array([100e2, 900e2])[:, None], np.array([1.0, 2.0, 5.0])
        truth = {"ta": np.zeros((1, 2, 3))}
        return judge("offline", truth, {"ta": heating}, thickness, area, np.ones(2)).outputs[0]

    got = wrong(np.full((1, 2, 3), 1.0 / 86400.0))
    planet = Planet()
    layers = planet.cp_dry * np.array([100e2, 900e2]) / planet.gravity / 86400.0
    assert got.watts == pytest.approx(np.sqrt(np.mean(layers**2)))
    assert got.watts == pytest.approx(75.6, abs=0.5)
    assert got.rmse == pytest.approx(1.0)
    part = wrong(np.array([[[0.0, 0.0, 1.0 / 86400.0]] * 2]))  # in five eighths of the area
    assert part.watts == pytest.approx(got.watts * math.sqrt(5 / 8))


def test_extremes_of_outputs_are_by_mass() -> None:
    rng = np.random.default_rng(2)
    truth, thickness = rng.normal(size=(50, 2, 40)), np.array([0.5e2, 995e2])[:, None]
    wild = truth * np.array([30.0, 1.0])[:, None]  # in a twentieth of a percent of the mass
    got = judge("offline", {"ua": truth}, {"ua": wild}, thickness, np.ones(40), np.ones(2))
    assert got.outputs[0].p99 == pytest.approx(1.0, abs=0.05)


def test_a_score_that_is_unknown_is_no_bad_one() -> None:
    spoilt = replace(
        judge("shadow", {"ua": np.eye(3)[None]}, {"ua": np.eye(3)[None]}, 1.0, np.ones(3),
              np.ones(3)).outputs[0], r=math.nan, r2=math.nan, amplitude=math.nan)  # fmt: skip
    told = offline_evidence(Facts(name="x", shadow=Answers(where="shadow", outputs=(spoilt,))))
    assert [e.grade for e in told] == ["open"] * 3
    assert "means over an output interval" in told[0].expected  # another quantity than offline
    good = offline_evidence(Facts(name="x", offline=Answers(where="offline", outputs=(
        replace(spoilt, r=0.9, r2=0.8, amplitude=1.9),))))  # fmt: skip
    assert [e.grade for e in good] == ["good", "good", "doubtful"]
    assert "means" not in good[0].expected


# -- the order -------------------------------------------------------------------------------------


def _standing(name: str, r2: float, lost: float, over: float, relative: float = 0.1) -> Standing:
    return Standing(name=name, r2=r2, lost=lost, over_noise=over, relative=relative)


def test_whoever_lost_members_stands_behind_whoever_is_far_away() -> None:
    standings = [_standing("dead", 0.9, 1.0, math.nan, math.nan), _standing("far", 0.8, 0.0, 400.0),
                 _standing("some", 0.95, 0.25, 1.0), _standing("near", 0.7, 0.0, 1.1),
                 _standing("missing", 0.2, math.nan, math.nan, math.nan)]  # fmt: skip
    got = order(standings)
    assert got.online == ("near", "far", "some", "dead")
    assert got.by == "distance over that of weather"
    assert [name for name, _ in got.offline] == ["some", "dead", "far", "near", "missing"]
    # Offline 2 3 1 4 of near far some dead reversed: rho of (4 3 1 2) against (1 2 3 4) by hand.
    assert got.rho[0] == pytest.approx(1.0 - 6.0 * (9 + 1 + 4 + 4) / (4 * 15))
    assert got.both == 4


def test_without_noise_the_size_of_the_reference_decides_the_order() -> None:
    got = order([_standing("a", 0.1, 0.0, math.nan, 0.5), _standing("b", 0.9, 0.0, math.nan, 0.2)])
    assert got.online == ("b", "a")
    assert got.by == "distance over the reference's size"
    assert order([_standing("a", 0.1, 0.0, math.nan, math.nan)]).online == ()


def test_the_worst_offline_counts_and_the_reference_itself_does_not(tmp_path: Path) -> None:
    def rho(r2: float) -> tuple[float, int]:
        got = order([_standing("a", 0.9, 0.0, 1.0), _standing("b", 0.5, 0.0, 2.0),
                     _standing("c", 0.2, 0.0, 3.0), _standing("d", r2, 0.0, 0.5)])  # fmt: skip
        return got.rho[0], got.both

    assert rho(-math.inf) == (pytest.approx(-0.2), 4)  # it ran best of all
    assert rho(-math.inf) == rho(-1e9)
    assert rho(math.nan) == (pytest.approx(1.0), 3)  # which was not asked
    plan, runs = made_up_study(tmp_path, members=2)
    plan = replace(plan, candidates=(replace(plan.candidates[0], repeats=True), plan.candidates[1]))
    assert examine(plan, runs).order.online == (STRONG,)
