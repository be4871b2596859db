"""numba's compiler with types that survive it: kernels are compiled once and cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def njit(
    *,
    parallel: bool = False,
    fastmath: bool = False,
    nogil: bool = False,
    inline: bool = False,
    allocates: bool = False,
) -> Callable[[_F], _F]:
    """Compiles a function with numba (no Python objects, cached); its signature stays the same.

    Division by zero gives inf or nan as in numpy: the check that would raise costs a branch per
    division and keeps loops from being vectorized. So does a call: a small function that is called
    in an inner loop asks for `inline`, which makes it part of its callers' machine code. With
    `nogil` other Python threads go on meanwhile.

    A kernel makes no arrays: the compiler refuses one that would, and so need not count references
    to rows of arrays, which costs more than a short loop over them. Nor does it return a view of
    one. One that does says `allocates`; numba's words are "NRT required", "No implementation of
    function zeros" or "Only accept returning of array passed into the function". To copy a row by a
    slice counts as making one, for it might overlap with the other: a loop does not.
    """
    import numba

    compiler: Any = numba.njit

    def compile_it(function: _F) -> _F:
        options = {"parallel": parallel, "fastmath": fastmath, "nogil": nogil, "_nrt": allocates}
        if inline:
            options["forceinline"] = True
        compiled: _F = compiler(cache=True, error_model="numpy", **options)(function)
        return compiled

    return compile_it
