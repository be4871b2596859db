"""Orographic gravity-wave drag with one saturated wave.

McFarlane (1987), J. Atmos. Sci. 44, 1775-1800,
doi:10.1175/1520-0469(1987)044<1775:TEOOEG>2.0.CO;2, in the form of the Community Atmosphere Model.

Flow over mountains of height h = 2 sgh (sgh [m], standard deviation of the orography inside a grid
cell) launches a stationary wave of horizontal wavenumber k against the wind. With rho, U, N
averaged by mass over the layers up to h, and u the wind along U, the stress at the source is

    tau_0 = (k/2) min(h^2, Fc^2 U^2/N^2) rho N U    [Pa], 0 unless U > 2 m/s and h > 10 m

and above it, on interfaces, tau is the smaller of its value below and the saturated one,

    tau_sat = k Fc^2 rho |u|^3 / (2 N),    0 from where u changes sign (critical level).

An efficiency multiplies it, and the limits of `orographic_drag` move what a layer cannot take down
to the next one.
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


class McFarlaneParameters(MountainParameters):
    """Defaults of the Community Atmosphere Model."""

    critical_froude: Annotated[float, Check(gt=0)] = 1.0
    """Fc."""
    efficiency: Annotated[float, Check(gt=0, le=1)] = 0.125
    smallest_height: Annotated[float, Unit("m"), Check(ge=0)] = 10.0
    smallest_wind: Annotated[float, Unit("m s-1"), Check(ge=0)] = 2.0
    buoyancy_floor: Annotated[float, Unit("s-2"), Check(gt=0)] = 5.0e-5
    """Smallest N^2."""
    stress_floor: Annotated[float, Unit("Pa"), Check(ge=0)] = 1.0e-10
    """Saturated stress below this counts as zero."""


@njit()
def _buoyancy(
    t: Array, z: Array, upper: int, lower: int, at: float, floor: float, g: float, cp: float
) -> float:
    """N [s-1] from the layers `upper` and `lower` at temperature `at`; isothermal if they agree."""
    dtdz = 0.0 if upper == lower else (t[upper] - t[lower]) / (z[upper] - z[lower])
    return float(np.sqrt(max(g / at * (dtdz + g / cp), floor)))


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
    (k_wave, froude2, efficiency, h_min, u_min, n2_min, tau_min, share, drag_max) = settings
    g, r, cp = planet
    nlev, ncol = state[0].shape
    nworker, nblock = work.shape[0], (ncol + BLOCK - 1) // BLOCK
    for w in numba.prange(nworker):
        tau, along = work[w, 5, 0], work[w, 6, 0]
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
                h = 2.0 * sgh[i]
                if bad[i] or not h > h_min:
                    continue

                # The source: layers from the ground up to h, averaged by mass.
                s = nlev - 1
                zs = zghalf[nlev, i]
                while s > 1 and h * h > (z[s - 1] - zs) * (z[s] - zs):
                    s -= 1
                mass = us = vs = rhos = ns = 0.0
                for k in range(s, nlev):
                    dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                    n = _buoyancy(t, z, k - 1, min(k + 1, nlev - 1), t[k], n2_min, g, cp)
                    mass += dp
                    us += dp * u[k]
                    vs += dp * v[k]
                    rhos += dp * p[k] / (r * t[k])
                    ns += dp * n
                us, vs, rhos, ns = us / mass, vs / mass, rhos / mass, ns / mass
                wind = np.hypot(us, vs)
                if not wind > u_min:
                    continue
                ex, ey = us / wind, vs / wind
                height2 = min(h * h, froude2 * wind * wind / (ns * ns))
                stress = 0.5 * k_wave * height2 * rhos * ns * wind

                # Saturation on the way up; tau[k] belongs to the interface above layer k.
                for k in range(nlev):
                    along[k] = ex * u[k] + ey * v[k]
                for k in range(nlev - 1, s - 1, -1):
                    tau[k] = efficiency * stress
                below = 0.5 * (along[s - 1] + along[s])
                for k in range(s - 1, -1, -1):
                    up = max(k - 1, 0)
                    here = 0.5 * (along[up] + along[k])
                    ti = 0.5 * (t[up] + t[k])
                    n = _buoyancy(t, z, up, k, ti, n2_min, g, cp)
                    saturated = 0.5 * k_wave * froude2 * phalf[k, i] / (r * ti) * abs(here) ** 3 / n
                    if here * below <= 0.0 or saturated < tau_min:
                        saturated = 0.0
                    stress = min(stress, saturated)
                    tau[k] = efficiency * stress
                    below = here

                above, moved[i] = limit_downward(
                    tau, along, phalf, i, (drag_max, share, dt, g), (ex, ey), fx, fy
                )
                out[0][nlev, i] = -above * ex
                out[1][nlev, i] = -above * ey
            scatter(work[w, 7], start, stop, out[0])
            scatter(work[w, 8], start, stop, out[1])


@scheme("orographic_drag", "mcfarlane1987")
class McFarlane1987(MountainDrag):
    """Momentum flux of one stationary wave that breaks by saturation."""

    Parameters = McFarlaneParameters
    columns = _columns

    def settings(self) -> tuple[float, ...]:
        """As the kernel takes them."""
        p: McFarlaneParameters = self.p
        return (
            2.0 * np.pi / p.wavelength,
            p.critical_froude**2,
            p.efficiency,
            p.smallest_height,
            p.smallest_wind,
            p.buoyancy_floor,
            p.stress_floor,
        )
