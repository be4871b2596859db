"""What the compiler of kernels refuses, and what it leaves out."""

import numpy as np
import pytest
from numba.core.caching import NullCache
from numba.core.errors import NumbaError

from coupler.interface.jit import njit


def doubled(field, out):
    for k in range(field.shape[0]):
        row, target = field[k], out[k]
        for i in range(row.size):
            target[i] = row[i]
        for _ in range(2):
            add(row, target)


@njit()
def add(row, target):
    for i in range(row.size):
        target[i] += 0.5 * row[i]


def copied(field, out):
    for k in range(field.shape[0]):
        out[k, :] = field[k]


def made(field, out):
    out[0, 0] = np.zeros(3).sum() + field[0, 0]


def compiled(function, **options):
    """Compiled anew: what is cached on disk is of one set of options."""
    kernel = njit(**options)(function)
    kernel._cache = NullCache()
    return kernel


def counted(kernel, field, out):
    """How often compiled code names the function that gives a reference back."""
    kernel(field, out)
    (code,) = kernel.inspect_llvm().values()
    return code.count("NRT_decref")


def test_rows_are_not_counted():
    field, out = np.arange(12.0).reshape(3, 4), np.zeros((3, 4))
    assert counted(compiled(doubled), field, out) == 0
    np.testing.assert_array_equal(out, 2.0 * field)
    assert counted(compiled(doubled, allocates=True), field, out) > 0


def test_a_kernel_that_makes_arrays_may_be_called_by_one_that_makes_none():
    field, out = np.arange(12.0).reshape(3, 4), np.zeros((3, 4))
    inner = compiled(made, allocates=True)

    def outer(field, out):
        inner(field, out)

    compiled(outer)(field + 1.0, out)
    assert out[0, 0] == 1.0


@pytest.mark.parametrize("function", [copied, made])
def test_a_kernel_that_makes_arrays_is_refused_unless_it_says_so(function):
    field, out = np.arange(12.0).reshape(3, 4), np.zeros((3, 4))
    with pytest.raises(NumbaError):
        compiled(function)(field, out)
    compiled(function, allocates=True)(field, out)
    assert out[0, 0] == field[0, 0]
