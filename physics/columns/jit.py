"""numba's compiler with types that survive it: kernels are compiled once and cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def njit(*, parallel: bool = False, fastmath: bool = False) -> Callable[[_F], _F]:
    """Compiles a function with numba (no Python objects, cached); its signature stays the same."""
    import numba

    def compile_it(function: _F) -> _F:
        compiled: _F = numba.njit(parallel=parallel, fastmath=fastmath, cache=True)(function)
        return compiled

    return compile_it
