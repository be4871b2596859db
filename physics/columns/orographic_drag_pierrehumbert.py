r"""Orographic gravity-wave drag with a saturation flux that depends on the Froude number.

Pierrehumbert (1986), An essay on the parameterization of orographic gravity wave drag, ECMWF
Seminar on Observation, Theory and Modelling of Orographic Effects, vol. 1, 251-282, in the form of
the GFDL models (Stern and Pierrehumbert, 1988, 8th Conference on Numerical Weather Prediction).

Over the lowest 23 % of the pressure, at least two layers, U is the mass-weighted wind and N the
buoyancy frequency between its highest and lowest layer. With h the standard deviation of the
orography, the wave that leaves it has the stress

.. math:: \tau_b = \frac{\rho_0 U^3}{N L} G, \qquad
          G = G_{max} \frac{Fr^2}{Fr^2 + a^2}, \quad Fr = \frac{N h}{U} \quad [Pa]

(0 where N^2 <= 0), and above that layer it is at most

.. math:: \tau_{sat} = \rho u^2 D G_{max} / L, \qquad D^{-2} = N^2/u^2 - u_{zz}/u

on interfaces, u [m s-1] being the mean of the absolute winds along U of the two layers, u_zz the
change of the layers' shears, N^2 = g^2 (p_t + p_b)(th_t - th_b) / [R (th_t + th_b)(p_b - p_t) T]
between the layers t above and b below, T the mean of theirs. D is unbounded where its inverse
vanishes, 0 where u is, and an unstable interface limits nothing. The top interface has the stress
of the next one: what reaches it leaves the column.

The original has no limits on the drag; here those of `orographic_drag` act.
"""

from __future__ import annotations

from typing import Annotated, Any

import numba
import numpy as np
from pydantic import Field as Check

from coupler.interface.component import Array
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.blocks import BLOCK, State, gather, scatter, senseless
from physics.columns.jit import njit
from physics.columns.orographic_drag import MountainDrag, MountainParameters, limit_downward


class PierrehumbertParameters(MountainParameters):
    """Defaults of the GFDL models, and the limits of `mcfarlane1987`."""

    largest_flux: Annotated[float, Check(gt=0)] = 2.0
    """G_max; older versions have 1."""
    froude_scale: Annotated[float, Check(gt=0)] = 1.0
    """a."""
    density: Annotated[float, Unit("kg m-3"), Check(gt=0)] = 1.13
    """rho_0."""
    low_level: Annotated[float, Check(gt=0, lt=1)] = 0.23
    """Share of the surface pressure that the low-level layer takes."""


@njit()
def _buoyancy2(
    tt: float, tb: float, pt: float, pb: float, kappa: float, g: float, r: float
) -> float:
    """N^2 [s-2] between a layer above (t) and one below (b): temperatures [K], pressures [Pa]."""
    ratio = (pb / pt) ** kappa  # theta_t / theta_b = (T_t / T_b) ratio
    top, bottom = tt * ratio, tb
    heavy = r * (top + bottom) * (pb - pt) * 0.5 * (tt + tb)
    return float(g * g * (pt + pb) * (top - bottom) / heavy)


@njit(parallel=True)
def _columns(
    state: State,
    phalf: Array,
    zghalf: Array,
    sgh: Array,
    dt: float,
    settings: Any,
    planet: Any,
    work: Array,
    out: tuple[Array, Array],
    moved: Array,
    bad: Array,
) -> None:
    """All columns: momentum fluxes on interfaces."""
    (length, gmax, a2, rho0, low_level, share, drag_max) = settings
    g, r, cp = planet
    kappa = r / cp
    nlev, ncol = state[0].shape
    nworker, nblock = work.shape[0], (ncol + BLOCK - 1) // BLOCK
    for w in numba.prange(nworker):
        tau, along, wind = work[w, 5, 0], work[w, 6, 0], work[w, 9, 0]
        for block in range(w, nblock, nworker):
            start, stop = block * BLOCK, min((block + 1) * BLOCK, ncol)
            gather(state, start, stop, work[w])
            for i in range(start, stop):
                m = i - start
                u, v, t = work[w, 0, m], work[w, 1, m], work[w, 2, m]
                p, z = work[w, 3, m], work[w, 4, m]
                fx, fy = work[w, 7, m], work[w, 8, m]
                fx[:] = 0.0
                fy[:] = 0.0
                out[0][nlev, i] = 0.0
                out[1][nlev, i] = 0.0
                moved[i] = 0.0
                bad[i] = senseless(work[w], m)
                if bad[i] or not sgh[i] > 0.0:
                    continue

                # The low-level layer, s its highest model layer.
                s = nlev - 2
                while s > 1 and p[s - 1] > (1.0 - low_level) * phalf[nlev, i]:
                    s -= 1
                mass = us = vs = 0.0
                for k in range(s, nlev):
                    dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                    mass += dp
                    us += dp * u[k]
                    vs += dp * v[k]
                us, vs = us / mass, vs / mass
                speed = np.hypot(us, vs)
                b = nlev - 1
                n2 = _buoyancy2(t[s], t[b], p[s], p[b], kappa, g, r)
                if not speed > 0.0 or not n2 > 0.0:
                    continue
                ex, ey = us / speed, vs / speed
                n = np.sqrt(n2)
                froude2 = (n * sgh[i] / speed) ** 2
                base = rho0 * speed**3 * gmax * froude2 / (froude2 + a2) / (n * length)

                for k in range(nlev):
                    along[k] = ex * u[k] + ey * v[k]
                for k in range(1, nlev):
                    wind[k] = 0.5 * (abs(along[k - 1]) + abs(along[k]))
                wind[0] = wind[1]
                for k in range(s, nlev):
                    tau[k] = base
                stress = base
                for k in range(s - 1, 0, -1):
                    n2 = _buoyancy2(t[k - 1], t[k], p[k - 1], p[k], kappa, g, r)
                    here = wind[k]
                    if n2 > 0.0:
                        upper = (wind[k - 1] - here) / (zghalf[k - 1, i] - zghalf[k, i])
                        lower = (here - wind[k + 1]) / (zghalf[k, i] - zghalf[k + 1, i])
                        bend = (upper - lower) / (z[k - 1] - z[k])
                        depth = 0.0
                        if here > 0.0:
                            inverse2 = n2 / (here * here) - bend / here
                            depth = 1.0e30 if inverse2 <= 1.0e-30 else 1.0 / np.sqrt(inverse2)
                        rho = phalf[k, i] / (r * 0.5 * (t[k - 1] + t[k]))
                        stress = min(stress, rho * here * here * depth * gmax / length)
                    tau[k] = stress
                tau[0] = tau[1]

                above, moved[i] = limit_downward(
                    tau, along, phalf, i, (drag_max, share, dt, g), (ex, ey), fx, fy
                )
                out[0][nlev, i] = -above * ex
                out[1][nlev, i] = -above * ey
            scatter(work[w, 7], start, stop, out[0])
            scatter(work[w, 8], start, stop, out[1])


@scheme("orographic_drag", "pierrehumbert1986")
class Pierrehumbert1986(MountainDrag):
    """Momentum flux of one stationary wave whose launch saturates with the Froude number."""

    Parameters = PierrehumbertParameters
    columns = _columns

    def settings(self) -> tuple[float, ...]:
        """As the kernel takes them."""
        p: PierrehumbertParameters = self.p
        return (
            p.wavelength,
            p.largest_flux,
            p.froude_scale**2,
            p.density,
            p.low_level,
        )
