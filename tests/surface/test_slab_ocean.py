"""The slab of sea: freezing, a q-flux that keeps a climatology, and depths that cannot be."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import pytest
from pydantic import ValidationError

from coupler.interface.component import Arrays, Now, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, DataError
from physics.surface.parts import FREEZING
from physics.surface.slab_ocean import SlabOcean

SHAPE = (5, 8)
START = cftime.datetime(2001, 1, 1, calendar="noleap")


def ocean(boundary: dict[str, Any] | None = None, **parameters: Any) -> SlabOcean:
    sea = SlabOcean(SlabOcean.Parameters(nlat=SHAPE[0], nlon=SHAPE[1], **parameters))
    land = np.zeros(SHAPE)
    land[2, :3] = 1.0, 0.4, 0.7
    given = {"sftlf": land} | (boundary or {})
    sea.setup(Site(planet=Planet(), dtype=np.dtype(np.float64), seed=0, boundary=given, date=START))
    return sea


def step(sea: SlabOcean, n: int, **fluxes: Any) -> Arrays:
    names = ("hfds_ocean", "evspsbl_ocean", "pr", "sft_ice", "hfsio", "fsitherm", "friver")
    given = Arrays(**{m: np.broadcast_to(fluxes.get(m, 0.0), SHAPE).copy() for m in names})
    date = cftime.num2date(n * sea.dt, "seconds since 2001-01-01", calendar="noleap")
    sea.step(given, Now(date=date, step=n, seconds=n * sea.dt, dt=sea.dt))
    return given


def climatology() -> np.ndarray:
    month = np.arange(12)[:, None, None]
    lat = np.linspace(-80.0, 80.0, SHAPE[0])[None, :, None]
    tos = 301.0 - 34.0 * np.sin(np.radians(lat)) ** 2 + 3.0 * np.sin(2 * np.pi * month / 12)
    return np.broadcast_to(np.maximum(tos, 271.0), (12, *SHAPE)).copy()


def test_a_qflux_of_a_fixed_run_keeps_its_climatology() -> None:
    """Q = rho c h dT_clim/dt - F, by month, makes a free sea follow the climatology again."""
    fixed = ocean({"tos": climatology()}, sea="prescribed", dt=21600.0)
    steps, q, count = 4 * 365, np.zeros((12, *SHAPE)), np.zeros(12)
    rng = np.random.default_rng(3)
    pattern = 60.0 * rng.standard_normal(SHAPE)
    for n in range(1, steps + 1):
        season = pattern * np.cos(2 * np.pi * n / steps)
        step(fixed, n, hfds_ocean=season)
        month = cftime.num2date(n * fixed.dt, "seconds since 2001-01-01", "noleap").month - 1
        q[month] += fixed.fields()["hfcorr"]
        count[month] += 1
    q /= count[:, None, None]
    free = ocean({"tos": climatology(), "qflux": q}, dt=21600.0)
    warm = fixed.fields()["ts_ocean"] > FREEZING + 1.0
    for n in range(1, steps + 1):
        season = pattern * np.cos(2 * np.pi * n / steps)
        step(free, n, hfds_ocean=season)
    drift = free.fields()["ts_ocean"] - fixed.fields()["ts_ocean"]
    # monthly means of the q-flux, straight lines between them: tenths of a kelvin
    assert np.abs(drift[warm]).max() < 0.4
    bare = ocean({"tos": climatology()}, dt=21600.0)
    for n in range(1, steps + 1):
        step(bare, n, hfds_ocean=pattern * np.cos(2 * np.pi * n / steps) - 20.0)
    assert np.abs(bare.fields()["ts_ocean"] - fixed.fields()["ts_ocean"])[warm].max() > 2.0


@pytest.mark.parametrize("wrong", [0.0, 1e-4])
def test_water_freezes_instead_of_cooling_further_and_no_heat_is_lost(wrong: float) -> None:
    sea = ocean(depth=10.0)
    rng = np.random.default_rng(7)
    ice = rng.uniform(0.0, 0.9, SHAPE) * sea.fields()["sftof"]
    frozen = 0.0
    for n in range(1, 60):
        heat, back = rng.uniform(-800.0, 200.0, SHAPE), rng.uniform(0.0, 5.0, SHAPE)
        back *= sea.fields()["sftof"] > 0
        before = sea.stores()["energy"].copy()
        given = step(sea, n, hfds_ocean=heat, sft_ice=ice, hfsio=back)
        got = sea.parts(given)["hfds_ocean"] * heat * (1.0 + wrong) + back - sea.fields()["hfsi"]
        lost = np.abs(sea.stores()["energy"] - before - sea.dt * got).max()
        assert (lost < 1e-3) == (wrong == 0.0), "1e9 J m-2, rounded, are 1e-7"
        assert sea.fields()["ts_ocean"].min() >= FREEZING - 1e-9
        frozen = min(frozen, float(sea.fields()["hfsi"].min()))
    assert frozen < -10.0


def cooled(seed: int = 5, **parameters: Any) -> tuple[SlabOcean, np.ndarray, np.ndarray]:
    """A sea that currents heat and cool, the given flux, and areas of sea."""
    rng = np.random.default_rng(seed)
    q = np.broadcast_to(rng.uniform(-60.0, 60.0, SHAPE), (12, *SHAPE)).copy()
    sea = ocean({"qflux": q}, **parameters)
    return sea, q[0], sea.fields()["sftof"] * sea.grid.cell_weights


def test_currents_cool_open_water_and_not_the_water_below_ice() -> None:
    sea, q, area = cooled()
    part = sea.fields()["sftof"].copy()
    cover = np.zeros(SHAPE)
    cover[0], cover[1] = 1.0, 0.5
    assert (cover * area).sum() < 0.5 * area.sum()
    before = sea.stores()["energy"].copy()
    step(sea, 1, sft_ice=cover * part)
    got, wet, cold = sea.fields()["hfcorr"].copy(), part > 0, q < 0.0
    closed = sea.dt * (sea.sources()["energy"] - sea.fields()["hfsi"])
    np.testing.assert_allclose(sea.stores()["energy"] - before, closed, atol=1e-2)
    assert (got * area).sum() == pytest.approx((q * area).sum(), rel=1e-12)
    spared = (np.minimum(q, 0.0) * cover * area).sum() / ((1.0 - cover) * area).sum()
    assert spared < -1.0
    want = np.where(cold, q * (1.0 - cover), q) + spared * (1.0 - cover)
    np.testing.assert_allclose(got[wet], want[wet], rtol=1e-9)
    assert np.abs(got[wet & cold & (cover == 1.0)]).max() == 0.0
    for n, nothing in ((2, np.zeros(SHAPE)), (3, part)):  # no ice; no open water
        step(sea, n, sft_ice=nothing)
        np.testing.assert_allclose(sea.fields()["hfcorr"][wet], q[wet], rtol=1e-12)
    given = Arrays(**{m: np.zeros(SHAPE) for m in ("evspsbl_ocean", "pr", "hfds_ocean")})
    sea.step(given, Now(date=START, step=4, seconds=0.0, dt=sea.dt))  # no model of ice
    np.testing.assert_allclose(sea.fields()["hfcorr"][wet], q[wet], rtol=1e-12)


@pytest.mark.parametrize("excess", [0.0, 1e-7, -1e-7])
def test_little_open_water_is_not_asked_for_all_that_ice_is_spared(excess: float) -> None:
    sea, q, area = cooled()
    part = sea.fields()["sftof"]
    for n, lone in enumerate((0.0, 0.01, 1.0)):
        cover = np.full(SHAPE, 1.0 + excess)
        cover[3, 3] -= lone
        step(sea, n + 1, sft_ice=cover * part)
        got = sea.fields()["hfcorr"]
        assert np.abs(got).max() < 2.0 * 60.0 + 60.0
        assert (got * area).sum() == pytest.approx((q * area).sum(), rel=1e-6)


def test_a_qflux_without_numbers_is_refused_at_sea_only() -> None:
    q = np.zeros((12, *SHAPE))
    q[:, 2, 0] = np.nan  # land
    sea = ocean({"qflux": q})
    step(sea, 1, sft_ice=0.1)
    assert np.isfinite(sea.fields()["hfcorr"]).all()
    q[4, 1, 3] = np.nan
    with pytest.raises(
        DataError, match=r"sea without heat of currents.*1 others, the first nan in month 5 at "
    ):
        ocean({"qflux": q})


def test_where_the_climatology_is_frozen_what_would_warm_the_water_melts_its_ice() -> None:
    """And the q-flux takes it only where there is no ice: it is no sink for the summer's sun."""
    tos = climatology()
    sea = ocean({"tos": tos}, sea="prescribed", dt=21600.0)
    part = sea.fields()["sftof"]
    ice = 0.5 * part * (np.arange(SHAPE[1]) % 2)  # every other cell
    for n in range(1, 40):
        before = sea.stores()["energy"].copy()
        heat = 120.0 if n % 3 else -80.0
        given = step(sea, n, hfds_ocean=heat, sft_ice=ice)
        f = sea.fields()
        got = sea.parts(given)["hfds_ocean"] * heat + part * f["hfcorr"] - f["hfsi"]
        assert np.abs(sea.stores()["energy"] - before - sea.dt * got).max() < 1e-3
        frozen = (tos.max(axis=0) <= FREEZING) & (part > 0)
        assert frozen.any()
        under = frozen & (ice > 0)
        assert np.abs(f["hfcorr"][under]).max() == 0.0
        share = (part - ice)[under] * heat
        np.testing.assert_allclose(f["hfsi"][under], share, rtol=1e-6)
        bare = frozen & (ice == 0)
        want = -heat if heat > 0.0 else 0.0
        np.testing.assert_allclose(f["hfcorr"][bare], want, atol=1e-6)


def test_without_ice_a_prescribed_sea_follows_its_climatology_where_that_is_frozen() -> None:
    tos = climatology()
    sea = ocean({"tos": tos}, sea="prescribed", dt=21600.0)
    part = sea.fields()["sftof"]
    frozen = (tos.max(axis=0) <= FREEZING) & (part > 0)
    assert frozen.any()
    given = Arrays(**{m: np.zeros(SHAPE) for m in ("evspsbl_ocean", "pr")}, hfds_ocean=-80.0)
    for n in range(1, 40):
        sea.step(given, Now(date=START, step=n, seconds=n * sea.dt, dt=sea.dt))
    np.testing.assert_allclose(sea.fields()["ts_ocean"][frozen], FREEZING, rtol=1e-12)
    np.testing.assert_allclose(sea.fields()["hfcorr"][frozen], 80.0)


def test_a_month_of_impossible_depth_is_refused_and_the_mean_is_taken() -> None:
    depth = np.full((12, *SHAPE), 40.0)
    depth[3:6] = 10.0
    np.testing.assert_allclose(ocean({"mlotst": depth}).fields()["mlotst"][0], 32.5)
    for wrong in (-5.0, 0.0):
        depth[7, 1, 4] = wrong
        with pytest.raises(DataError, match=rf"impossible.*all months.*{wrong:g} m in month 8"):
            ocean({"mlotst": depth})


def test_fresh_water_is_kept_in_an_account() -> None:
    sea = ocean()
    part = sea.fields()["sftof"]
    step(sea, 1, pr=3e-5, evspsbl_ocean=1e-5, friver=2e-6 * (part > 0), fsitherm=1e-6 * (part > 0))
    expected = sea.dt * (2e-5 * part + 3e-6 * (part > 0))
    np.testing.assert_allclose(sea.stores()["water"], expected, rtol=1e-12)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        SlabOcean.Parameters(depth=-5.0)
    with pytest.raises(ValidationError, match="step too long for the mixed layer"):
        SlabOcean.Parameters(depth=0.05)
    depth = np.full(SHAPE, 40.0)
    depth[1, 2] = -40.0
    with pytest.raises(DataError, match=r"mixed layer of impossible depth.*found -40 m"):
        ocean({"mlotst": depth})
    with pytest.raises(ConfigError, match="prescribed sea without data"):
        ocean(sea="prescribed")
    with pytest.raises(DataError, match="climatology does not fit"):
        ocean({"qflux": np.zeros((4, *SHAPE))})
