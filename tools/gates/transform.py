"""Gate of the spherical harmonic transform: round trip and products."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gates.rows import Row, below
from physics.dynamics.core import quadratic_grid
from physics.dynamics.transform import SpectralTransform


def transform(quick: bool) -> Iterator[Row]:
    """Spherical harmonic transform: coefficients to the grid and back, and products on the grid."""
    for dtype, name, gate in ((torch.float64, "float64", 1e-13), (torch.float32, "float32", 2e-6)):
        for truncation in (21, 42, 63, 85):
            nlat, nlon = quadratic_grid(truncation)
            tr = SpectralTransform(truncation=truncation, nlat=nlat, nlon=nlon, dtype=dtype)
            generator = torch.Generator().manual_seed(0)
            spec = torch.randn(tr.spectral_shape(3), dtype=dtype, generator=generator) * tr.inside
            spec[0, 1] = 0.0
            with torch.no_grad():
                again = tr.analysis(tr.synthesis(spec))
            error = float((again - spec).abs().max() / spec.abs().max())
            yield below(f"round trip, T{truncation}, {name}", error, "round-off", gate)
    yield _product(21)


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
