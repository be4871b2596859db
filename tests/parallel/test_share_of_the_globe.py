"""Rows and wavenumbers of ranks, and the transform that ranks share: the same bits as alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from team import on_ranks

from coupler.interface.errors import ConfigError
from coupler.interface.parallel import ALONE, Rows, wavenumbers
from coupler.parallel.agreement import summed
from physics.dynamics.distributed import Share
from physics.dynamics.transform import SpectralTransform

HERE = Path(__file__).parent
# Truncation, latitudes, longitudes: sizes that ranks do not divide, and sides of the FFT crossover.
# In the last one products leave out latitudes near the poles.
SIZES = {
    "small": (13, 20, 40),
    "matrix": (21, 32, 64),
    "fft": (17, 28, 54),
    "groups": (37, 56, 112),
}


class Silent:
    """A rank that never has to speak."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("nlat", [14, 20])
def test_every_row_has_one_owner_who_also_has_its_mirror_image(nlat, size):
    owned = [Rows(parallel=Silent(r, size), nlat=nlat).own for r in range(size)]
    assert sorted(np.concatenate(owned).tolist()) == list(range(nlat))
    for rows in owned:
        assert rows.size > 0
        assert set(rows.tolist()) == {nlat - 1 - j for j in rows.tolist()}
        assert np.all(np.diff(rows) > 0)


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_rows_are_dealt_out_so_that_work_in_the_tropics_is_shared(size):
    nlat = 64
    owned = [Rows(parallel=Silent(r, size), nlat=nlat) for r in range(size)]
    degrees = 90.0 * (2.0 * np.arange(nlat) + 1.0 - nlat) / nlat
    # Falls from the equator to the pole, as convection does; blocks of neighbours would give the
    # rank at the equator between 1.6 and 2.6 times the mean of all.
    work = np.cos(np.radians(degrees)) ** 2
    shares = np.array([work[rows.own].sum() for rows in owned]) * size / work.sum()
    assert shares.max() < 1.35
    for rows in owned:
        blocks = rows.blocks[rows.parallel.rank]
        together = np.concatenate([np.arange(a, b) for a, b in blocks])
        assert together.tolist() == rows.own.tolist()
        assert len(blocks) <= 4


@pytest.mark.parametrize("size", [1, 2, 3, 4, 11])
def test_wavenumbers_are_dealt_out_evenly_by_their_number_of_coefficients(size):
    truncation = 31
    dealt = wavenumbers(truncation + 1, Silent(0, size))
    assert sorted(np.concatenate(dealt).tolist()) == list(range(truncation + 1))
    coefficients = [int((truncation + 1 - m).sum()) for m in dealt]
    # One wavenumber's worth, the most that dealing to and fro can be off.
    assert max(coefficients) - min(coefficients) <= truncation + 1


def test_more_ranks_than_latitude_pairs_are_refused_in_one_sentence():
    Rows(parallel=Silent(0, 10), nlat=20)
    with pytest.raises(ConfigError, match=r"more ranks than latitude pairs: 11 ranks; expected at"):
        Rows(parallel=Silent(0, 11), nlat=20)


def test_an_odd_number_of_latitudes_is_for_one_rank_only():
    assert Rows(parallel=ALONE, nlat=21).own.size == 21
    with pytest.raises(ConfigError, match="21 latitudes; expected an even number"):
        Rows(parallel=Silent(0, 2), nlat=21)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_rows_of_the_globe_come_together_and_go_apart_again(size):
    nlat, field = 14, np.random.default_rng(1).standard_normal((3, 14, 5)).astype(np.float32)

    def work(parallel):
        rows = Rows(parallel=parallel, nlat=nlat)
        own = field[:, rows.own]
        back = np.zeros_like(own)
        first = rows.on_first(own, -2)
        rows.from_first(field if parallel.rank == 0 else None, back, -2)
        return rows.globe(own), first, np.array_equal(back, own), rows.each(own[..., 2])

    for rank, (whole, first, returned, column) in enumerate(on_ranks(size, work)):
        assert np.array_equal(whole, field)
        assert first is None if rank else np.array_equal(first, field)
        assert returned
        assert np.array_equal(column, field[..., 2])


def transformed(parallel, size, dtype, longitude, fields=7):
    """Rows on the grid of this rank, and coefficients of its wavenumbers."""
    truncation, nlat, nlon = size
    share = None
    if parallel.size > 1:
        share = Share(parallel=parallel, truncation=truncation, nlat=nlat)
    transform = SpectralTransform(
        truncation=truncation, nlat=nlat, nlon=nlon, dtype=dtype, longitude=longitude, share=share
    )
    generator = torch.Generator().manual_seed(5)
    shape = (truncation + 1, 2, fields, truncation + 2)
    spec = torch.randn(shape, dtype=dtype, generator=generator)[transform.wavenumbers]
    field = torch.randn((fields, nlat, nlon), dtype=dtype, generator=generator)
    with torch.no_grad():
        again = transform.analysis(field[:, transform.rows].contiguous(), extended=True).numpy()
        grid = transform.synthesis(spec).numpy()  # scratch memory is no longer what it was at first
    return grid, again, transform.rows, transform.wavenumbers


def check_bits(ranks: int) -> None:
    for size in SIZES.values():
        for dtype in (torch.float32, torch.float64):
            for longitude in ("matrix", "fft"):
                grid, spec, _, _ = transformed(ALONE, size, dtype, longitude)
                found = on_ranks(
                    ranks, lambda p, s=size, d=dtype, o=longitude: transformed(p, s, d, o)
                )
                for part, coefficients, rows, m in found:
                    assert np.array_equal(part, grid[:, rows]), (size, dtype, longitude)
                    assert np.array_equal(coefficients, spec[m]), (size, dtype, longitude)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_a_shared_transform_gives_the_bits_of_the_whole_one(ranks):
    check_bits(ranks)


@pytest.mark.parametrize("instructions", ["AVX2", "SSE4_2"])
def test_the_bits_are_the_same_with_other_kernels_of_the_matrix_library(instructions):
    """Where this processor's own kernels happen not to depend on sizes, older ones do."""
    code = "from test_share_of_the_globe import check_bits; check_bits(3)"
    environment = os.environ | {
        "MKL_ENABLE_INSTRUCTIONS": instructions,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_shared_transform_refuses_gradients():
    share = Share(parallel=Silent(0, 2), truncation=5, nlat=8)
    transform = SpectralTransform(truncation=5, nlat=8, nlon=16, share=share)
    with pytest.raises(ValueError, match="without gradients"):
        transform.synthesis(transform.zeros(1))


def test_counts_of_ranks_are_added_also_where_only_one_has_them() -> None:
    own = [{"gw": {"calls": 8, "late": 1}}, {"gw": {"calls": 8}, "radiation": {"gone": 2}}]
    total = {"gw": {"calls": 16, "late": 1}, "radiation": {"gone": 2}}
    assert on_ranks(2, lambda parallel: summed(parallel, own[parallel.rank])) == [total, total]
