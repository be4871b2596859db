"""Gate of the spherical harmonic transform: round trip, derivatives and products."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gates.rows import Row, below
from physics.dynamics.core import quadratic_grid
from physics.dynamics.transform import SpectralTransform


def transform(quick: bool) -> Iterator[Row]:
    """Spherical harmonic transform: coefficients to the grid and back, derivatives, products.

    Derivatives in float64, of solid-body rotation and of single harmonics (all m and n up to T21),
    relative to the largest value.
    """
    for dtype, name, gate in ((torch.float64, "float64", 1e-13), (torch.float32, "float32", 2e-6)):
        for truncation in (21, 31, 42, 63, 85):
            nlat, nlon = quadratic_grid(truncation)
            tr = SpectralTransform(truncation=truncation, nlat=nlat, nlon=nlon, dtype=dtype)
            generator = torch.Generator().manual_seed(0)
            spec = torch.randn(tr.spectral_shape(3), dtype=dtype, generator=generator) * tr.inside
            spec[0, 1] = 0.0
            with torch.no_grad():
                again = tr.analysis(tr.synthesis(spec))
            error = float((again - spec).abs().max() / spec.abs().max())
            yield below(f"round trip, T{truncation}, {name}", error, "round-off", gate)
    yield from _derivatives(21)
    yield _product(21)


def _derivatives(truncation: int) -> Iterator[Row]:
    """Errors of curl, divergence and gradient where they are known."""
    (nlat, nlon), radius = quadratic_grid(truncation), 6.371e6
    tr = SpectralTransform(
        truncation=truncation, nlat=nlat, nlon=nlon, radius=radius, dtype=torch.float64
    )
    cos = torch.tensor(tr.cos_lat)[:, None].expand(nlat, nlon)[None].contiguous()
    with torch.no_grad():
        curl, div = tr.curl_divergence_of(30.0 * cos, torch.zeros_like(cos))
        exact = 60.0 / radius * torch.tensor(tr.sin_lat)[:, None].expand(nlat, nlon)
        error = (tr.synthesis(curl)[0] - exact).abs().max() / exact.abs().max()
        yield below("vorticity of solid-body rotation", float(error), "0", 1e-12)
        error = tr.synthesis(div).abs().max() / exact.abs().max()
        yield below("divergence of solid-body rotation", float(error), "0", 1e-12)
        kept = turned = 0.0
        for m in range(truncation + 1):
            for n in range(max(m, 1), truncation + 1):
                spec = tr.zeros(1)
                spec[m, 0, 0, n - m] = 1.0
                curl, div = tr.curl_divergence_of(*tr.gradient_on_grid(spec))
                exact = -n * (n + 1) / radius**2
                kept = max(kept, float((div / exact - spec).abs().max()))
                turned = max(turned, float((curl / exact).abs().max()))
    yield below("divergence of the gradient of a harmonic", kept, "0", 1e-12)
    yield below("curl of the gradient of a harmonic", turned, "0", 1e-12)


def _product(truncation: int) -> Row:
    """Error of a product of two fields against a transform of twice the truncation."""
    sizes = {t: quadratic_grid(t) for t in (truncation, 2 * truncation)}
    small, large = (
        SpectralTransform(truncation=t, nlat=n, nlon=m, dtype=torch.float64)
        for t, (n, m) in sizes.items()
    )
    generator = torch.Generator().manual_seed(1)
    spec = torch.randn(small.spectral_shape(2), dtype=small.dtype, generator=generator)
    spec *= small.inside
    spec[0, 1] = 0.0
    size = truncation + 1
    with torch.no_grad():
        factors = small.to_complex(spec)
        padded = torch.zeros((2, 2 * truncation + 1, 2 * truncation + 1), dtype=factors.dtype)
        padded[:, :size, :size] = factors
        fine = large.synthesis(large.from_complex(padded))
        exact = large.to_complex(large.analysis(fine[:1] * fine[1:]))[:, :size, :size]
        coarse = small.synthesis(spec)
        product = small.to_complex(small.analysis(coarse[:1] * coarse[1:]))
    error = float((product - exact).abs().max() / exact.abs().max())
    return below(f"product of two fields, T{truncation} against T{2 * truncation}", error, "0",
                 1e-12)  # fmt: skip
