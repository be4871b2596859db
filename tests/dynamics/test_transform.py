"""The spherical harmonic transform: round trips, identities, two independent oracles, gradients."""

import ducc0
import numpy as np
import pytest
import torch

from physics.dynamics.legendre import gaussian_nodes
from physics.dynamics.transform import SpectralTransform

SIZES = [(21, 32, 64), (31, 48, 96), (42, 64, 128), (85, 128, 256), (13, 21, 45)]
# Round-off of sums over up to 256 terms: a few hundred units in the last place at most.
ROUND_TRIP = {torch.float64: 1e-13, torch.float32: 2e-6}


def make(t, nlat, nlon, dtype=torch.float64, **options):
    return SpectralTransform(truncation=t, nlat=nlat, nlon=nlon, dtype=dtype, **options)


def random_spec(transform, fields, seed=0, slope=0.0):
    generator = torch.Generator().manual_seed(seed)
    spec = torch.randn(transform.spectral_shape(fields), dtype=transform.dtype, generator=generator)
    weight = torch.tensor((1.0 + transform.degree) ** -slope)[:, None, None, :]
    spec = spec * transform.inside * weight.to(transform.dtype)
    spec[0, 1] = 0.0
    return spec


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("longitude", ["matrix", "fft"])
@pytest.mark.parametrize("size", SIZES)
def test_coefficients_survive_a_round_trip(size, longitude, dtype):
    transform = make(*size, dtype, longitude=longitude)
    spec = random_spec(transform, 3)
    with torch.no_grad():
        again = transform.analysis(transform.synthesis(spec))
    assert (again - spec).abs().max() < ROUND_TRIP[dtype] * spec.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", SIZES)
def test_vorticity_and_divergence_survive_the_way_over_the_wind(size, dtype):
    transform = make(*size, dtype)
    spec = random_spec(transform, 4)
    spec[0, :, :, 0] = 0.0  # a wind has no mean vorticity
    with torch.no_grad():
        u, v = transform.wind_on_grid(spec[:, :, :2], spec[:, :, 2:])
        curl, div = transform.curl_divergence_of(u, v)
    # The division by cos(latitude) amplifies rounding at the rows next to the poles: a factor of 2.
    limit = 2.0 * ROUND_TRIP[dtype] * spec.abs().max()
    assert (curl - spec[:, :, :2]).abs().max() < limit
    assert (div - spec[:, :, 2:]).abs().max() < limit


def test_the_two_ways_along_longitude_agree():
    spec = random_spec(make(42, 64, 128), 5)
    grids = [make(42, 64, 128, longitude=way).synthesis(spec) for way in ("matrix", "fft")]
    assert (grids[0] - grids[1]).abs().max() < 1e-12 * grids[0].abs().max()


def test_buffers_do_not_leak_between_calls():
    transform = make(21, 32, 64)
    first, second = random_spec(transform, 4, seed=1), random_spec(transform, 4, seed=2)
    with torch.no_grad():
        grid = transform.synthesis(first)
        kept = grid.clone()
        transform.synthesis(second)
        transform.analysis(transform.synthesis(second))
    assert torch.equal(grid, kept)


@pytest.mark.parametrize("size", SIZES)
def test_synthesis_equals_that_of_ducc(size):
    t, nlat, nlon = size
    transform = make(*size)
    coefficients = transform.to_complex(random_spec(transform, 2)).numpy()
    theta = np.arccos(transform.sin_lat)
    rows = np.arange(nlat, dtype=np.uint64) * np.uint64(nlon)
    for field in range(2):
        # ducc: orthonormal on the sphere, Condon-Shortley phase, m-major.
        alm = np.concatenate(
            [(-1.0) ** m * np.sqrt(4.0 * np.pi) * coefficients[field, m, m:] for m in range(t + 1)]
        )
        flat = ducc0.sht.synthesis(
            alm=alm[None], theta=theta, nphi=np.full(nlat, nlon, np.uint64),
            phi0=np.zeros(nlat), ringstart=rows, lmax=t, spin=0,
        )  # fmt: skip
        ours = transform.synthesis(transform.from_complex(torch.tensor(coefficients)))[field]
        assert np.abs(flat.reshape(nlat, nlon) - ours.numpy()).max() < 1e-12 * np.abs(flat).max()


def test_analysis_equals_that_of_torch_harmonics():
    # Its compiled part has to fit the installed torch, which not every release does.
    import torch_harmonics

    t, nlat, nlon = 31, 48, 96
    transform = make(t, nlat, nlon)
    oracle = torch_harmonics.RealSHT(
        nlat, nlon, lmax=t + 1, mmax=t + 1, grid="legendre-gauss", norm="ortho", csphase=False
    ).double()
    grid = transform.synthesis(random_spec(transform, 3))
    theirs = oracle(torch.flip(grid, (1,)))  # north to south, [field, n, m]
    ours = transform.to_complex(transform.analysis(grid)) * np.sqrt(4.0 * np.pi)
    # Their tables are computed in float64 too, stored as such after .double(): 1e-6 if not.
    assert (theirs.transpose(1, 2) - ours).abs().max() < 1e-6 * ours.abs().max()


def test_solid_body_rotation_has_its_vorticity_and_no_divergence():
    transform = make(13, 21, 45, radius=6.371e6)
    cos = torch.tensor(transform.cos_lat)[:, None].expand(21, 45)
    curl, div = transform.curl_divergence_of(30.0 * cos[None], torch.zeros(1, 21, 45).double())
    grid = transform.synthesis(curl)[0, :, 0].numpy()
    expected = 2.0 * 30.0 / 6.371e6 * transform.sin_lat
    assert np.abs(grid - expected).max() < 1e-12 * np.abs(expected).max()
    assert div.abs().max() < 1e-18


@pytest.mark.parametrize(("m", "n"), [(0, 1), (3, 7), (13, 13), (1, 13)])
def test_gradient_of_a_single_harmonic_has_its_laplacian_as_divergence_and_no_curl(m, n):
    transform = make(13, 21, 45, radius=2.0)
    spec = transform.zeros(1)
    spec[m, 0, 0, n - m] = 1.0
    east, north = transform.gradient_on_grid(spec)
    curl, div = transform.curl_divergence_of(east, north)
    expected = -n * (n + 1) / 4.0
    assert abs(float(div[m, 0, 0, n - m]) - expected) < 1e-12 * abs(expected)
    div[m, 0, 0, n - m] = 0.0
    assert max(div.abs().max(), curl.abs().max()) < 1e-12 * abs(expected)


def test_products_of_two_fields_are_free_of_aliasing_on_the_quadratic_grid():
    small, large = make(21, 32, 64), make(42, 64, 128)
    a, b = random_spec(small, 1, seed=1), random_spec(small, 1, seed=2)
    product = small.analysis(small.synthesis(a) * small.synthesis(b))

    def widen(spec):
        return large.from_complex(torch.nn.functional.pad(small.to_complex(spec), (0, 21, 0, 21)))

    exact = large.analysis(large.synthesis(widen(a)) * large.synthesis(widen(b)))
    truncated = large.to_complex(exact)[:, :22, :22]
    difference = (small.to_complex(product) - truncated).abs().max()
    assert difference < 1e-12 * truncated.abs().max()
    # The control: a linear grid is too small for products.
    linear = make(21, 24, 45)
    aliased = linear.analysis(linear.synthesis(a) * linear.synthesis(b))
    assert (small.to_complex(aliased) - truncated).abs().max() > 1e-2 * truncated.abs().max()


def test_coefficient_zero_is_the_global_mean():
    transform = make(13, 21, 45)
    grid = transform.synthesis(random_spec(transform, 2))
    mean = transform.global_mean(grid)
    assert torch.allclose(mean, transform.analysis(grid)[0, 0, :, 0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("longitude", ["matrix", "fft"])
def test_gradients_through_the_transform_equal_finite_differences(longitude):
    transform = make(4, 7, 14, longitude=longitude)
    spec = random_spec(transform, 2).requires_grad_()
    assert torch.autograd.gradcheck(transform.synthesis, (spec,))
    grid = torch.randn(2, 7, 14, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(transform.analysis, (grid,))

    def there_and_back(x):
        u, v = transform.wind_on_grid(x[:, :, :1], x[:, :, 1:])
        return torch.cat(transform.curl_divergence_of(u * v, v))

    assert torch.autograd.gradcheck(there_and_back, (spec,))


@pytest.mark.parametrize("nlat", [2, 7, 32, 129])
def test_gaussian_nodes_equal_those_of_numpy(nlat):
    x, w = gaussian_nodes(nlat)
    reference = np.polynomial.legendre.leggauss(nlat)
    assert np.abs(x - reference[0]).max() < 1e-14
    assert np.abs(w / reference[1] - 1.0).max() < 1e-10  # numpy's weights near the poles
    assert np.array_equal(x, -x[::-1])


def test_a_grid_too_small_for_the_truncation_is_refused():
    with pytest.raises(ValueError, match="nlat >= 22"):
        make(21, 20, 64)
