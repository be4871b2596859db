"""The compiler of the column kernels, see `coupler.interface.jit`."""

from coupler.interface.jit import njit as njit
