"""Where a scheme has skill, at which scales, and what it does to columns, against known values."""

import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import xskillscore
from made_up_run import write_run
from made_up_study import FACTOR, FINE, STRONG

from coupler.compare import column_budgets, forecasts, places, scales
from coupler.compare.answers import in_run, judge
from coupler.compare.findings import Findings
from coupler.compare.sample import read_run
from coupler.compare.starts import Parting, parting
from coupler.interface.constants import Planet

RNG = np.random.default_rng(5)
LAT, LON = np.array([-60.0, -10.0, 35.0]), np.arange(0.0, 360.0, 45.0)
TIMES, LEVELS = 7, 4
SAME = 1e-9
"""Round-off of sums over some hundred numbers in double precision, divided by each other."""


def _fields() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A truth, a prediction and a mass of layers, shape [time, level, lat x lon]."""
    t = RNG.normal(size=(TIMES, LEVELS, LAT.size * LON.size))
    return t, 0.8 * t + 0.5 * RNG.normal(size=t.shape), 1e4 * (1.0 + RNG.random(t.shape))


def _spots() -> tuple[np.ndarray, np.ndarray]:
    lat, lon = (x.ravel() for x in np.meshgrid(LAT, LON, indexing="ij"))
    return np.tile(lat, (TIMES, 1)), np.tile(lon, (TIMES, 1))


# -- places ----------------------------------------------------------------------------------------


def test_maps_and_sections_of_skill_are_those_of_xskillscore() -> None:
    t, p, w = _fields()
    (got,) = places.skill_by_place({"ua": t}, {"ua": p}, w, *_spots(), np.arange(4.0))
    dims = ("time", "level", "lat", "lon")
    x, y, m = (xr.DataArray(z.reshape(TIMES, LEVELS, 3, 8), dims=dims) for z in (t, p, w))
    for r2, r, over, rest in (
        (got.map_r2, got.map_r, ["time", "level"], ["lat", "lon"]),
        (got.section_r2, got.section_r, ["time", "lon"], ["level", "lat"]),
    ):
        for i, j in np.ndindex(r2.shape):  # its weights have no axes but those of the mean
            at = dict(zip(rest, (i, j), strict=True))
            one = (x.isel(at), y.isel(at))
            want = [f(*one, dim=over, weights=m.isel(at))
                    for f in (xskillscore.r2, xskillscore.pearson_r)]  # fmt: skip
            np.testing.assert_allclose((r2[i, j], r[i, j]), want, rtol=SAME)
    np.testing.assert_array_equal(got.lat, LAT)


def test_columns_that_were_drawn_anew_are_gathered_by_their_place() -> None:
    t, p, w = _fields()
    lat, lon = _spots()
    (want,) = places.skill_by_place({"ua": t}, {"ua": p}, w, lat, lon, np.arange(4.0))
    order = np.stack([RNG.permutation(t.shape[2]) for _ in range(TIMES)])
    drawn = [np.take_along_axis(x, order[:, None], axis=2) for x in (t, p, w)]
    spots = [np.take_along_axis(x, order, axis=1) for x in (lat, lon)]
    (got,) = places.skill_by_place({"ua": drawn[0]}, {"ua": drawn[1]}, drawn[2], *spots, [1.0] * 4)
    np.testing.assert_allclose(got.map_r2, want.map_r2, rtol=SAME)
    np.testing.assert_allclose(got.section_r, want.section_r, rtol=SAME)
    # One place is left out of all calls but two: it has no number, its neighbours keep theirs.
    few = [np.delete(x[:, ...], 0, axis=-1) for x in (t, p, w, lat, lon)]
    few = [np.concatenate([x[..., :1], y], axis=-1) for x, y in zip((t, p, w, lat, lon), few,
                                                                    strict=True)]  # fmt: skip
    few[4][2:, 0] = LON[1]
    (got,) = places.skill_by_place({"ua": few[0]}, {"ua": few[1]}, few[2], *few[3:], [1.0] * 4)
    assert math.isnan(got.map_r2[0, 0])
    assert np.isfinite(got.map_r2).sum() == got.map_r2.size - 1


def test_a_wrong_half_of_the_globe_shows_in_the_map_and_not_in_the_other_half() -> None:
    t, _, w = _fields()
    lat, lon = _spots()
    wrong = np.where(lon[:, None] < 180.0, t, -t)
    (got,) = places.skill_by_place({"ua": t}, {"ua": wrong}, w, lat, lon, np.arange(4.0))
    np.testing.assert_allclose(got.map_r2[:, LON < 180.0], 1.0)
    np.testing.assert_allclose(got.map_r[:, LON >= 180.0], -1.0)


def test_a_prediction_that_is_no_number_has_no_skill_where_it_is_none_and_some_elsewhere() -> None:
    t, p, w = _fields()
    lat, lon = _spots()
    p[2, 1, 0] = np.nan
    (got,) = places.skill_by_place({"ua": t}, {"ua": p}, w, lat, lon, np.arange(4.0))
    assert math.isnan(got.map_r2[0, 0])
    assert np.isfinite(got.map_r2[1:]).all()
    assert math.isnan(got.section_r2[1, 0])
    assert np.isfinite(got.section_r2[0]).all()


def test_without_enough_times_or_places_the_reason_is_given() -> None:
    lat, lon = _spots()
    assert places.reason_against(lat, lon) == ""
    assert "take 3 times, here there are 2" in places.reason_against(lat[:2], lon[:2])
    apart = 40.0 * RNG.random((TIMES, 24))
    assert "no place was recorded 3 times" in places.reason_against(apart, apart)
    line = np.tile(np.arange(30.0), (TIMES, 1))
    assert "not on latitudes and longitudes" in places.reason_against(line, line)


# -- scales ----------------------------------------------------------------------------------------


def _waves(*parts: tuple[int, float]) -> np.ndarray:
    """Sum of waves of wavenumber and amplitude, shape [time, level, lat x lon], 24 longitudes."""
    x = np.arange(24) / 24.0
    one = sum(a * np.cos(2 * np.pi * k * x + 0.7) for k, a in parts)
    return np.broadcast_to(np.tile(one, 3), (2, LEVELS, 72)).copy()


def test_the_ratio_of_the_power_is_that_of_squared_amplitudes_at_each_wavenumber() -> None:
    truth, answer = _waves((0, 1.0), (2, 3.0), (6, 2.0)), _waves((0, 1.0), (2, 6.0), (6, 0.5))
    pressure = np.array([50e2, 90e2, 400e2, 900e2])
    thickness = np.array([1.0, 2.0, 3.0, 4.0])[:, None]
    got = scales.skill_by_scale({"ua": truth}, {"ua": answer}, thickness, [0.2, 0.5, 0.3], pressure,
                                24, {"ua": "m s-1 day-1"})  # fmt: skip
    assert [s.layer for s in got] == ["above 100 hPa", "100 to 700 hPa", "below 700 hPa"]
    assert [s.share for s in got] == pytest.approx([0.3, 0.3, 0.4])
    for s in got:
        assert s.truth.size == 9  # 0 ... two thirds of 12
        # A wave of amplitude a has a mean square of a^2/2; rates are per day.
        assert s.truth[2] / 86400.0**2 == pytest.approx(4.5)
        assert s.truth[6] / 86400.0**2 == pytest.approx(2.0)
        # The mean 1 cos(0.7) is the same in both.
        assert s.bands[:3] == pytest.approx((1.0, 4.0, 1.0 / 16.0))
        assert math.isnan(s.bands[3])
        assert s.units == "(m s-1 day-1)2"


def test_the_right_power_in_the_wrong_place_is_no_fault_of_the_spectrum() -> None:
    truth = _waves((3, 2.0))
    turned = np.roll(truth.reshape(2, LEVELS, 3, 24), 4, axis=-1).reshape(truth.shape)
    p = np.full(4, 500e2)
    got = scales.skill_by_scale({"ta": truth}, {"ta": turned}, 1.0, np.ones(3), p, 24, {})
    assert got[0].bands[1] == pytest.approx(1.0)
    whole = judge("shadow", {"ta": truth}, {"ta": turned}, 1.0, np.ones(72), p)
    assert whole.outputs[0].r < 0.9  # which r sees


def test_circles_count_by_their_area() -> None:
    truth = _waves((2, 1.0)).reshape(2, LEVELS, 3, 24)
    answer = truth * np.array([0.0, 1.0, 2.0])[:, None]
    got = scales.skill_by_scale({"ua": truth.reshape(2, LEVELS, 72)},
                                {"ua": answer.reshape(2, LEVELS, 72)}, 1.0, [0.5, 0.3, 0.2],
                                np.full(4, 500e2), 24, {})  # fmt: skip
    assert got[0].bands[1] == pytest.approx(0.3 + 0.2 * 4.0)


# -- columns ---------------------------------------------------------------------------------------


def test_column_integrals_are_those_by_hand_and_the_residual_is_their_difference() -> None:
    planet, thickness = Planet(), np.array([200e2, 800e2])[:, None]
    push = np.array([1.0, -0.25])[:, None] * np.array([1.0, 3.0]) / 86400.0  # no net momentum
    dry, warm = np.full((2, 2), -2e-8), np.full((2, 2), 1.0 / 86400.0)
    truth = {"ua": push[None], "hus": dry[None], "ta": warm[None]}
    answer = {"ua": push[None] + 1e-5, "hus": 0.5 * dry[None], "ta": warm[None]}
    wind = {"ua": np.full((1, 2, 2), 20.0), "va": np.zeros((1, 2, 2))}
    got = {b.short: b for b in column_budgets.column_budgets(
        truth, answer, thickness, np.array([1.0, 2.0]), wind, planet)}  # fmt: skip
    momentum = got["eastward momentum"]
    mass = 1000e2 / planet.gravity
    assert momentum.truth_rms == pytest.approx(0.0, abs=1e-12)  # which the residual must show
    assert momentum.residual_mean == pytest.approx(1e-5 * mass)
    assert momentum.residual_rms == pytest.approx(1e-5 * mass)
    water = got["water"]
    assert water.truth_mean == pytest.approx(-2e-8 * mass * 86400.0)
    assert water.residual_mean == pytest.approx(1e-8 * mass * 86400.0)
    energy = got["energy"]
    assert energy.quantity == "energy (thermal, latent, kinetic)"
    heat = planet.cp_dry / 86400.0 * mass
    latent = -2e-8 * planet.latent_heat_vaporization * mass
    assert energy.truth_mean == pytest.approx(heat + latent)
    assert energy.mean == pytest.approx(heat + 0.5 * latent + 20.0 * 1e-5 * mass)
    assert "northward momentum" not in got


def test_kinetic_energy_is_left_out_and_said_so_where_the_wind_is_not_known() -> None:
    rates = {"ua": np.ones((1, 2, 3)), "ta": np.ones((1, 2, 3))}
    got = column_budgets.column_budgets(rates, rates, 1.0, np.ones(3))
    assert [b.quantity for b in got] == ["eastward momentum", "energy (thermal)"]
    alone = column_budgets.column_budgets({"ua": rates["ua"]}, {}, 1.0, np.ones(3))
    assert [b.quantity for b in alone] == ["eastward momentum"]
    assert alone[0].residual_mean == -alone[0].truth_mean


def test_the_area_of_columns_weighs_their_budgets() -> None:
    rate = np.array([1.0, 0.0, 0.0])[None, None] * np.ones((2, 4, 1))
    got = column_budgets.column_budgets({}, {"va": rate}, 1.0, np.array([1.0, 2.0, 5.0]))[0]
    assert got.mean / got.rms == pytest.approx(math.sqrt(1.0 / 8.0))


# -- absolute errors -------------------------------------------------------------------------------


def test_the_mean_absolute_error_is_by_mass_and_in_watts_by_area() -> None:
    thickness, area = np.array([100e2, 900e2])[:, None], np.array([1.0, 2.0, 5.0])
    wrong = np.array([2.0, -1.0])[:, None] / 86400.0 * np.ones((1, 2, 3))
    got = judge("offline", {"ta": 0.0 * wrong}, {"ta": wrong}, thickness, area, np.ones(2)).outputs[
        0
    ]
    assert got.mae == pytest.approx(0.1 * 2.0 + 0.9 * 1.0)
    layers = Planet().cp_dry * np.array([2.0 * 100e2, 900e2]) / Planet().gravity / 86400.0
    assert got.mae_watts == pytest.approx(layers.mean())
    assert got.mae_watts < got.watts  # never above the root mean square
    moved = judge("offline", {"ua": wrong}, {"ua": 0.0 * wrong}, thickness, area, np.ones(2))
    assert math.isnan(moved.outputs[0].mae_watts)


# -- what a study has of it ------------------------------------------------------------------------


def test_runs_have_maps_spectra_and_budgets_of_the_factor(found: Findings) -> None:
    strong, fine = found.shadow[STRONG], found.shadow[FINE]
    assert strong.lacks == ()
    assert {p.of for p in strong.places} == {"ua", "va"}
    assert np.nanmax(strong.places[0].map_r2) < 0.0
    assert np.nanmedian(fine.places[0].map_r2) > 0.9
    by = {b.short: b for b in strong.budgets}
    momentum = by["eastward momentum"]
    assert momentum.rms / momentum.truth_rms == pytest.approx(FACTOR, rel=0.03)
    assert "thermal" not in by["energy"].quantity  # heat of a drag is nobody's skill in a run
    zonal = strong.scales[0].bands[0]
    assert zonal == pytest.approx(FACTOR**2, rel=0.03)  # a tenth of noise on each point


def test_two_records_are_too_few_for_maps_and_the_reason_is_told(tmp_path: Path) -> None:
    def edit(data: xr.Dataset) -> xr.Dataset:
        return data.assign(utendnogw_x=data["utendnogw"])

    run = write_run(tmp_path / "run", records=2, edit=edit)
    got = in_run(run, "gravity_wave", "x", where="shadow", applied_is_truth=True, skip_days=0.0)
    assert got.places == ()
    assert "take 3 times" in got.lacks[0]
    assert got.scales  # of which one time is enough


# -- forecasts -------------------------------------------------------------------------------------


def test_errors_on_days_and_drifts_are_those_of_curves_that_are_known() -> None:
    days = np.arange(0.5, 8.0)
    curve = {"ua": 2.0 * days}
    some = {m: _parting(days, {"ua": m * curve["ua"]}) for m in (1, 3)}
    means = {m: (days, {"ua": 5.0 - m * days, "ta": 280.0 + 0.5 * days}) for m in (1, 3)}
    wind, heat = forecasts.forecasts(some, means)
    assert (wind.day_3, wind.day_5) == pytest.approx((2 * 6.0, 2 * 10.0))  # mean of factors 1 and 3
    assert wind.days_3_to_7 == pytest.approx(2 * 2.0 * np.mean([3.5, 4.5, 5.5, 6.5]))
    assert wind.drift == pytest.approx(-2.0)
    assert heat.drift == pytest.approx(0.5)
    assert math.isnan(heat.day_3)
    assert forecasts.forecasts({}, {}) == ()
    (short,) = forecasts.forecasts({1: _parting(days[:2], {"ua": days[:2]})}, {})
    assert math.isnan(short.day_3)


def _parting(days: np.ndarray, globe: dict[str, np.ndarray]) -> Parting:
    return Parting(days=days, globe=globe, cells={})


def test_a_global_mean_leaves_out_what_is_below_the_ground_at_any_time(tmp_path: Path) -> None:
    def edit(data: xr.Dataset) -> xr.Dataset:
        data["ta"] = 0.0 * data["ta"] + 250.0
        ps = data["ps"].values.copy()
        ps[1, 4, 3] = 600e2
        return data.assign(ps=(data["ps"].dims, ps))

    s = read_run(write_run(tmp_path / "run", records=4, edit=edit), "x")
    # Of a constant the mean is the constant, to float32.
    np.testing.assert_allclose(forecasts.global_means(s)["ta"], 250.0, rtol=1e-6)
    assert parting(s, s).globe["ta"].max() == 0.0


def test_a_study_has_forecasts_of_all_from_the_same_start(found: Findings) -> None:
    assert set(found.forecasts) == {"reference", FINE, STRONG}
    wind = {n: of[0] for n, of in found.forecasts.items()}
    assert wind[STRONG].day_3 > 1.3 * wind["reference"].day_3  # its jets stand elsewhere
    assert wind[FINE].days_3_to_7 == pytest.approx(wind["reference"].days_3_to_7, rel=0.2)
