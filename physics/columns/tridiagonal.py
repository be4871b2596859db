r"""Implicit vertical diffusion of one column, in increments.

Layer k of mass m_k [kg m-2] exchanges with its neighbours through conductances G_k
[kg m-2 s-1] at the interfaces above it (k) and below it (k + 1), and the lowest layer with the
surface through G_s. Backward Euler over dt for the increment d = x^{+} - x:

.. math:: \frac{m_k}{\Delta t} d_k = G_k (x^+_{k-1} - x^+_k) - G_{k+1} (x^+_k - x^+_{k+1})
          \; [+\, G_s (x_s - x^+_{K-1}) \text{ for the lowest layer}]

Solved from the top downward. With beta_k the pivot less G_{k+1},

.. math:: \beta_k = \frac{m_k}{\Delta t} + \frac{\beta_{k-1} G_k}{\beta_{k-1} + G_k},

which is a sum of positive terms: no cancellation, whatever the conductances are, so that the
column sum of m d closes to round-off. The same factors serve every variable that has the same
conductances inside the column, whatever its exchange with the surface.

Source: the Thomas algorithm, here in the form of conductances in series; Press et al. (2007),
Numerical Recipes, section 2.4.
"""

from __future__ import annotations

from coupler.interface.component import Array
from physics.columns.jit import njit


@njit()
def factor(mass: Array, conduct: Array, dt: float, beta: Array, pivot: Array) -> None:
    """Prepares the solution for one column.

    Args:
        mass: Layer masses [kg m-2], shape [level].
        conduct: Conductances at interfaces [kg m-2 s-1], shape [interface]; the first and the
            last are taken as zero.
        dt: Time step [s].
        beta: Filled: pivots without the conductance below [kg m-2 s-1], shape [level].
        pivot: Filled: reciprocals of the pivots [kg-1 m2 s], shape [level]; the last one without
            the surface.
    """
    n = mass.size
    beta[0] = mass[0] / dt
    for k in range(n - 1):
        g = conduct[k + 1]
        pivot[k] = 1.0 / (beta[k] + g)
        beta[k + 1] = mass[k + 1] / dt + beta[k] * g * pivot[k]
    pivot[n - 1] = 1.0 / beta[n - 1]


@njit()
def solve(
    x: Array,
    conduct: Array,
    beta: Array,
    pivot: Array,
    surface_conduct: float,
    surface_value: float,
    increment: Array,
) -> float:
    """Increments of one variable in one column; returns its upward surface flux.

    Args:
        x: Old values, shape [level].
        conduct: As given to `factor`.
        beta: From `factor`.
        pivot: From `factor`.
        surface_conduct: G_s [kg m-2 s-1].
        surface_value: x_s, in the units of `x`.
        increment: Filled: x^{+} - x, shape [level].

    Returns:
        G_s (x_s - x^{+} of the lowest layer) [units of x times kg m-2 s-1], positive upward.
    """
    n = x.size
    above = 0.0  # flux from above with old values
    carried = 0.0
    for k in range(n):
        below = conduct[k + 1] * (x[k] - x[k + 1]) if k < n - 1 else 0.0
        carried = above - below + carried
        increment[k] = carried  # right-hand side, overwritten on the way up
        above = below
        if k < n - 1:
            carried *= conduct[k + 1] * pivot[k]
    last = n - 1
    rhs = increment[last] + surface_conduct * (surface_value - x[last])
    increment[last] = rhs / (beta[last] + surface_conduct)
    for k in range(n - 2, -1, -1):
        increment[k] = (increment[k] + conduct[k + 1] * increment[k + 1]) * pivot[k]
    return float(surface_conduct * (surface_value - x[last] - increment[last]))
