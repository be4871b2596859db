"""Fluxes of waves that are written down, and training pairs from a run."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny import DRY

from coupler.exchange.regrid import Regridder
from coupler.interface.errors import ConfigError
from coupler.interface.grid import Grid
from emulators.training.data import read_recording
from physics.dynamics.resolved_flux import on_interfaces, resolved_flux, small_divergent_wind
from physics.dynamics.transform import SpectralTransform

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import resolved_fluxes

A, G = 6.371e6, 9.80665
NLAT, NLON, T = 50, 100, 31
GRID = Grid.gaussian(NLAT, NLON)
LAT, LON = (np.radians(x) for x in np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
COS, SIN = np.cos(LAT), np.sin(LAT)


@pytest.fixture(scope="module")
def transform() -> SpectralTransform:
    return SpectralTransform(truncation=T, nlat=NLAT, nlon=NLON, radius=A, dtype=torch.float64)


def sectoral(n: int, chi: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of chi cos(lat)^n cos(n lon), a harmonic of total wavenumber n, in m/s."""
    u = -(n * chi / A) * COS ** (n - 1) * np.sin(n * LON)
    v = -(n * chi / A) * COS ** (n - 1) * SIN * np.cos(n * LON)
    return u[None], v[None]


def torched(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(a, np.float64)) for a in arrays]


def test_the_flux_of_a_wave_that_is_written_down(transform) -> None:
    n, chi, w0 = 26, 3e6, 0.2
    u, v = sectoral(n, chi)
    # Large scales, rotation and a zonal mean of omega carry no gravity waves.
    big_u, big_v = sectoral(9, 4e7)
    spin_u, spin_v = sectoral(25, 5e6)
    wap = w0 * COS * np.sin(n * LON) + 0.05 * SIN
    found = resolved_flux(
        transform, *torched(u + big_u - spin_v, v + big_v + spin_u, wap[None]), gravity=G
    )
    size = n * chi * w0 / (A * G)
    want_x = size * COS**n * np.sin(n * LON) ** 2
    want_y = size * COS**n * SIN * np.sin(n * LON) * np.cos(n * LON)
    # float64 round-off of transforms with winds of 60 m/s in them, fluxes of 0.2 Pa
    np.testing.assert_allclose(found[0][0], want_x, atol=1e-11)
    np.testing.assert_allclose(found[1][0], want_y, atol=1e-11)
    assert size > 0.1 and want_x.max() > 0.2
    # The control: with the large scales left in, the flux is another one.
    all_of_it = resolved_flux(
        transform, *torched(u + big_u, v + big_v, wap[None]), gravity=G, beyond=-1
    )
    assert np.abs(all_of_it[0][0].numpy() - want_x).max() > 0.1 * size


def test_over_wide_cells_it_is_half_the_amplitude_and_keeps_its_integral(transform) -> None:
    n, chi, w0 = 26, 3e6, 0.2
    u, v = sectoral(n, chi)
    wap = w0 * COS * np.sin(n * LON)
    fine = resolved_flux(transform, *torched(u, v, wap[None]), gravity=G)[0][0].numpy()
    coarse = Grid.gaussian(10, 8)
    mean = Regridder(GRID, coarse).apply(fine)
    assert coarse.mean(mean) == pytest.approx(GRID.mean(fine), rel=1e-12)
    half = 0.5 * n * chi * w0 / (A * G) * COS**n
    want = Regridder(GRID, coarse).apply(half)
    # 3.25 waves to a cell: what is left of the wave is some 2 % of its mean.
    np.testing.assert_allclose(mean, want, atol=0.05 * want.max())
    np.testing.assert_allclose(mean.mean(axis=1), want.mean(axis=1), atol=1e-12)


def test_rotation_and_large_scales_are_removed_and_nothing_else(transform) -> None:
    u, v = sectoral(23, 2e6)
    spin_u, spin_v = sectoral(28, 5e6)
    kept = small_divergent_wind(transform, *torched(u - spin_v, v + spin_u))
    np.testing.assert_allclose(kept[0], u, atol=1e-9)
    np.testing.assert_allclose(kept[1], v, atol=1e-9)
    gone = small_divergent_wind(transform, *torched(*sectoral(21, 2e7)))
    assert float(gone[0].abs().max()) < 1e-9
    with pytest.raises(ValueError, match="nothing is resolved beyond wavenumber 31 at T31"):
        small_divergent_wind(transform, *torched(u, v), 31)


def test_a_flux_linear_in_the_logarithm_of_pressure_stays_so_between_levels() -> None:
    phalf = np.array([0.0, 1e3, 7e3, 3e4, 1e5])[:, None] * np.array([1.0, 0.9])
    pfull = np.array([4e2, 3e3, 1.6e4, 6e4])[:, None] * np.array([1.0, 0.9])
    half = on_interfaces(2.0 + np.log(pfull), pfull, phalf)
    np.testing.assert_allclose(half[1:-1], 2.0 + np.log(phalf[1:-1]))
    np.testing.assert_array_equal(half[0], 2.0 + np.log(pfull[0]))
    assert not half[-1].any()


def test_a_run_gives_pairs_that_training_reads(tmp_path) -> None:
    case = DRY | {
        "atmosphere": DRY["atmosphere"] | {"truncation": 14, "noise": "1 K", "dt": "30 min"}
    }
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case))
    arguments = [str(tmp_path / "case.yaml"), "--days", "0.25", "--every", "1 h"]
    arguments += ["--coarse", "5", "--beyond", "8", "--skip-days", "0.1"]
    out = tmp_path / "made" / "pairs.nc"
    assert resolved_fluxes.main([*arguments, "--out", str(out)]) == 0
    names = ("ua", "va", "ta", "pfull", "ps", "lat", "xgwdparam", "ygwdparam")
    pairs = read_recording(out, names)
    coarse = Grid.gaussian(*resolved_fluxes.quadratic_grid(5))
    assert pairs.times == 4 and pairs.n == 4 * coarse.ncol  # 3, 4, 5 and 6 hours
    assert pairs.source.scheme == "resolved_beyond_8"
    flux = pairs.fields["xgwdparam"]
    assert float(flux.abs().max()) > 0.0 and not flux[-1].any()
    np.testing.assert_allclose(
        pairs.fields["lat"][: coarse.ncol], np.repeat(coarse.lat, coarse.lon.size), atol=1e-5
    )
    assert 9e4 < float(pairs.fields["ps"].mean()) < 1.05e5


def test_a_run_that_is_not_finer_is_refused(tmp_path) -> None:
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(DRY))
    with pytest.raises(ConfigError, match=r"not finer .* expected a truncation above T21"):
        resolved_fluxes.record(
            tmp_path / "case.yaml", tmp_path / "x.nc", days=0.1, every=3600.0, coarse=10
        )
    column = {"title": "c", "calendar": "360_day", "days": 1, "atmosphere": {"scheme": "qbo_1d"}}
    column |= {"precision": "float64", "physics": {"gravity_wave": "plumb_two_wave"}}
    (tmp_path / "column.yaml").write_text(yaml.safe_dump(column))
    with pytest.raises(ConfigError, match="no spectral atmosphere"):
        resolved_fluxes.record(
            tmp_path / "column.yaml", tmp_path / "x.nc", days=1, every=86400.0, coarse=10
        )
