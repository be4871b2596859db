r"""Leading eigenvalues of an operator that keeps groups apart, by Arnoldi's method in all at once.

A flow that is the same along every circle of latitude lets no zonal wavenumber see another: its
Jacobian is one block for each, and one application of it to a vector with all of them in it is a
step of as many Arnoldi processes. With the operator A = J^p, whose spectrum is spread wider than
that of a step J,

    A V_m = V_m H_m + h_{m+1,m} v_{m+1} e_m^T,      H_m y = theta y,   x = V_m y
    |mu| = |theta|^(1/p),   residual |A x - theta x| / |theta| = |h_{m+1,m}| |y_m| / |theta|

and of the p angles that the power leaves open the one nearest to that of x^H J x. After `vectors`
steps each group begins again with its leading vector until its residual is small or the restarts
are used up (Saad, Y. (2011), Numerical Methods for Large Eigenvalue Problems, SIAM, ch. 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

C128 = NDArray[np.complex128]
F64 = NDArray[np.float64]
Operator = Callable[[C128], C128]
"""From [group, n] to [group, n], linear in each group."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Leading:
    """The leading eigenvalue of each group."""

    values: C128
    """mu of one application of J, shape [group]."""
    vectors: C128
    """Of unit length, [group, n]."""
    residuals: F64
    """|A x - theta x| / |theta|, [group]."""
    applications: int
    """Of J."""


def leading(
    step: Operator,
    start: C128,
    *,
    power: int = 1,
    vectors: int = 20,
    restarts: int = 2,
    tolerance: float = 1e-5,
) -> Leading:
    """The eigenvalue of largest modulus in each group.

    Args:
        step: J.
        start: anything with a part of the wanted vector in every group, [group, n].
        power: p.
        vectors: m, at most.
        restarts: times that all groups may begin again.
        tolerance: residual at which a group is done.
    """
    applied = 0

    def powered(x: C128) -> C128:
        nonlocal applied
        for _ in range(power):
            x = step(x)
        applied += power
        return x

    x = start / np.maximum(np.linalg.norm(start, axis=1, keepdims=True), 1e-300)
    for _ in range(restarts + 1):
        theta, x, residuals = _ritz(*_krylov(powered, x, vectors))
        if residuals.max() <= tolerance:
            break
    about = np.angle(np.einsum("gn,gn->g", x.conj(), step(x)))
    angle = np.angle(theta)
    angle = (angle + 2.0 * np.pi * np.round((power * about - angle) / (2.0 * np.pi))) / power
    return Leading(
        values=np.abs(theta) ** (1.0 / power) * np.exp(1j * angle),
        vectors=x,
        residuals=residuals,
        applications=applied + 1,
    )


def _krylov(apply: Operator, x: C128, vectors: int) -> tuple[C128, C128]:
    """Orthonormal basis [vector, group, n], Hessenberg matrices [group, vector + 1, vector]."""
    groups, n = x.shape
    m = min(vectors, n)
    basis = np.zeros((m + 1, groups, n), np.complex128)
    hessenberg = np.zeros((groups, m + 1, m), np.complex128)
    basis[0] = x
    for j in range(m):
        y = apply(basis[j])
        size = np.linalg.norm(y, axis=1)
        for _ in range(2):  # once more, against round-off
            part = np.einsum("jgn,gn->gj", basis[: j + 1].conj(), y)
            y = y - np.einsum("gj,jgn->gn", part, basis[: j + 1])
            hessenberg[:, : j + 1, j] += part
        left = np.linalg.norm(y, axis=1)
        spent = left <= 1e-12 * np.maximum(size, 1e-300)  # the space holds all there is
        left = np.where(spent, 0.0, left)
        hessenberg[:, j + 1, j] = left
        basis[j + 1] = np.where(spent[:, None], 0.0, y / np.where(spent, 1.0, left)[:, None])
    return basis[:m], hessenberg


def _ritz(basis: C128, hessenberg: C128) -> tuple[C128, C128, F64]:
    """The leading Ritz value of each group, its vector of unit length, its relative residual."""
    m = hessenberg.shape[2]
    values, small = np.linalg.eig(hessenberg[:, :m])
    best = np.abs(values).argmax(axis=1)
    theta = np.take_along_axis(values, best[:, None], axis=1)[:, 0]
    y = np.take_along_axis(small, best[:, None, None], axis=2)[..., 0]
    x = np.einsum("gj,jgn->gn", y, basis)
    size = np.maximum(np.linalg.norm(x, axis=1), 1e-300)
    left = np.abs(hessenberg[:, m, m - 1]) * np.abs(y[:, m - 1])
    return theta, x / size[:, None], left / (size * np.maximum(np.abs(theta), 1e-300))
