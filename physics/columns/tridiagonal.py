r"""Implicit vertical diffusion of a block of columns, in increments.

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
def factor(mass_rate: Array, conduct: Array, beta: Array, pivot: Array, carried: Array) -> None:
    """Prepares the solution for a block of columns.

    Args:
        mass_rate: Layer masses over the time step [kg m-2 s-1], shape [level, lane].
        conduct: Conductances at interfaces [kg m-2 s-1], shape [interface, lane]; the first and
            the last are taken as zero.
        beta: Filled: pivots without the conductance below [kg m-2 s-1], shape [level, lane].
        pivot: Filled: reciprocals of the pivots [kg-1 m2 s], shape [level, lane]; the last one
            without the surface.
        carried: Scratch, shape [lane].
    """
    last, lanes = mass_rate.shape[0] - 1, mass_rate.shape[1]
    for j in range(lanes):
        carried[j] = mass_rate[0, j]
    for k in range(last):
        for j in range(lanes):
            b, g = carried[j], conduct[k + 1, j]
            reciprocal = 1.0 / (b + g)
            beta[k, j] = b
            pivot[k, j] = reciprocal
            carried[j] = mass_rate[k + 1, j] + b * g * reciprocal
    for j in range(lanes):
        beta[last, j] = carried[j]
        pivot[last, j] = 1.0 / carried[j]


@njit()
def solve(
    x: Array,
    conduct: Array,
    beta: Array,
    pivot: Array,
    surface_conduct: Array,
    surface_value: Array,
    up: Array,
    carried: Array,
    increment: Array,
    surface_flux: Array,
) -> None:
    """Increments of one variable in a block of columns, and its upward surface flux.

    Args:
        x: Old values, shape [level, lane].
        conduct: As given to `factor`.
        beta: From `factor`.
        pivot: From `factor`.
        surface_conduct: G_s [kg m-2 s-1], shape [lane].
        surface_value: x_s, in the units of `x`, shape [lane].
        up: Levels from the lowest to the highest, see `lanes.upward`.
        carried: Scratch, shape [2, lane].
        increment: Filled: x^{+} - x, shape [level, lane].
        surface_flux: Filled: G_s (x_s - x^{+} of the lowest layer), positive upward
            [units of x times kg m-2 s-1], shape [lane].
    """
    last, lanes = x.shape[0] - 1, x.shape[1]
    above, down = carried[0], carried[1]  # flux from above with old values; elimination's part
    for j in range(lanes):
        above[j], down[j] = 0.0, 0.0
    for k in range(last):
        for j in range(lanes):
            below = conduct[k + 1, j] * (x[k, j] - x[k + 1, j])
            rhs = above[j] - below + down[j]
            increment[k, j] = rhs  # overwritten on the way up
            above[j] = below
            down[j] = rhs * (conduct[k + 1, j] * pivot[k, j])
    for j in range(lanes):
        g, target, old = surface_conduct[j], surface_value[j], x[last, j]
        change = (above[j] + down[j] + g * (target - old)) / (beta[last, j] + g)
        increment[last, j] = change
        surface_flux[j] = g * (target - old - change)
        down[j] = change
    for i in range(1, last + 1):
        k = up[i]
        for j in range(lanes):
            change = (increment[k, j] + conduct[k + 1, j] * down[j]) * pivot[k, j]
            increment[k, j] = change
            down[j] = change
