r"""Exponential and logarithm that the compiler can turn into vector instructions.

Vector instructions have neither, and a call of the C library in an inner loop would keep the whole
loop scalar. Here they are as polynomials of full double precision:

.. math:: e^x = 2^n e^r, \quad n = \mathrm{round}(x/\ln 2), \quad |r| \le \tfrac12 \ln 2
          \quad\text{(Taylor to } r^{13})

.. math:: \ln x = e \ln 2 + 2\,\mathrm{artanh}\,s, \quad s = \frac{m - 1}{m + 1}, \quad x = 2^e m,
          \quad \sqrt{1/2} \le m < \sqrt 2 \quad\text{(series to } s^{21})

Their roundings are the same wherever in a vector a number stands.

Source of the reductions: Muller (2016), Elementary Functions, 3rd ed., chapters 10 and 11,
doi:10.1007/978-1-4899-7983-4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from coupler.interface.jit import njit

_LOG2E = 1.4426950408889634
_LN2_HIGH = 0.6931471803691238  # 21 trailing zero bits: n times it is exact
_LN2_LOW = 1.9082149292705877e-10
_SHIFT = 6755399441055744.0  # 1.5 2^52: adding it rounds to an integer, left in the low bits
_EXPONENT = 4503599627370496.0  # 2^52, whose low bits hold an integer as it is
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2)


def _as_bits(typingctx: Any, x: Any) -> Any:
    """The bits of a float64 as int64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), code


def _as_float(typingctx: Any, x: Any) -> Any:
    """The float64 that has the bits of an int64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), code


_bits: Any = intrinsic(_as_bits)
_float: Any = intrinsic(_as_float)


@njit(inline=True)
def _less_one(r: float) -> float:
    """e^r - 1 for a reduced argument."""
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    return p * r * r + r


@njit(inline=True)
def exp(x: float) -> float:
    """e^x to one unit in the last place for -708 <= x <= 709; beyond, that of the bound."""
    x = min(max(x, -708.0), 709.0)
    shifted = x * _LOG2E + _SHIFT
    n = shifted - _SHIFT
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = _less_one(r) + 1.0
    return float(_float(_bits(p) + (_bits(shifted) << np.int64(52))))


@njit(inline=True)
def expm1(x: float) -> float:
    """e^x - 1 to a few units in the last place, also where it is small, for x <= 709."""
    x = min(max(x, -708.0), 709.0)
    shifted = x * _LOG2E + _SHIFT
    n = shifted - _SHIFT
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = _less_one(r)
    scale = _float(_bits(1.0) + (_bits(shifted) << np.int64(52)))
    return float(scale * p + (scale - 1.0))


@njit(inline=True)
def log(x: float) -> float:
    """ln x to two units in the last place for normal positive `x`."""
    # As integers, so that the mantissa is between sqrt(1/2) and sqrt(2).
    moved = _bits(x) - np.int64(_ROOT_HALF_BITS)
    e = moved >> np.int64(52)
    m = _float(_bits(x) - (e << np.int64(52)))
    n = _float((e + np.int64(2048)) | np.int64(0x4330000000000000)) - (_EXPONENT + 2048.0)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    return float(n * _LN2_HIGH + (2.0 * s + (2.0 * s * z * p + n * _LN2_LOW)))
