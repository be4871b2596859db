"""Non-orographic gravity-wave drag by a saturated spectrum (hydrostatic Warner-McIntyre-Scinocca).

Warner and McIntyre (1996), doi:10.1175/1520-0469(1996)053<3213:OTPADO>2.0.CO;2; Scinocca (2003),
doi:10.1175/1520-0469(2003)060<0667:AASNGW>2.0.CO;2; Orr and others (2010),
doi:10.1175/2010JCLI3490.1.

In each azimuth the flux density f [Pa per m s-1] is followed up from the launch interface L over
bins of intrinsic phase speed at launch c, with U the wind along the azimuth minus that at L:

    f_L(c) = A (rho/N)_L c / (1 + (m* c / N_L)^4)      sum(f_L dc) = launched flux
    f = 0                                              where c < max(U) on the way up
    f <= C* A (rho/N) (c - U)^2 / c                    saturation

Bins are uniform in X from 1/c_max to 1/c_min, which a stretching G crowds towards fast waves:
with D the span of X and B1 = D / (exp(D/G) - 1),

    1/c = B1 (exp((X - X_min)/G) - 1) + X_min,    dc = c^2 (B1/G) exp((X - X_min)/G) dX.

Everything sits on interfaces: wind and temperature are means of the neighbouring layers,
rho = p/(R T), N^2 = (g/T)(dT/dz + g/c_p). Azimuths are summed as vectors with weight
2 / sum|cos|. All azimuths launch the same flux, so that no net momentum leaves the source; what
is left below the top layer is absorbed in it (flux policy ``zero``).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numba
import numpy as np
from pydantic import Field as Check
from pydantic import model_validator

from coupler.interface.component import (
    Array,
    Arrays,
    Conserves,
    Flux,
    Host,
    Now,
    Params,
    Tendency,
    flux_of,
    reads,
)
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns import blocks
from physics.columns.blocks import BLOCK, State, gather, scatter, senseless
from physics.columns.jit import njit


class WMSParameters(Params):
    """Defaults as run at ECMWF."""

    launch_pressure: Annotated[float, Unit("Pa"), Check(gt=0)] = 45000.0
    """Waves start at the upper edge of the highest layer with more than this pressure."""
    launch_flux: Annotated[float, Unit("Pa"), Check(ge=0)] = 3.75e-3
    """Launched flux of one azimuth."""
    tropical_reduction: Annotated[float, Check(ge=0, le=1)] = 0.25
    """The launched flux is scaled by ``1 - this exp(-lat^2 / (2 width^2))``."""
    tropical_width: Annotated[float, Unit("degrees_north"), Check(gt=0)] = 20.0
    azimuths: Annotated[int, Check(ge=4)] = 4
    bins: Annotated[int, Check(ge=3)] = 20
    phase_speed_min: Annotated[float, Unit("m s-1"), Check(gt=0)] = 0.5
    phase_speed_max: Annotated[float, Unit("m s-1"), Check(gt=0)] = 100.0
    stretching: Annotated[float, Unit("s m-1"), Check(gt=0)] = 0.25
    vertical_wavelength: Annotated[float, Unit("m"), Check(gt=0)] = 2000.0
    """2 pi / m*, where the launched spectrum bends."""
    saturation: Annotated[float, Check(gt=0)] = 1.0
    """C*."""
    buoyancy_floor: Annotated[float, Unit("s-2"), Check(gt=0)] = 2.5e-5
    """Smallest N^2."""

    @model_validator(mode="after")
    def _possible(self) -> WMSParameters:
        if self.phase_speed_min >= self.phase_speed_max:
            raise ValueError("phase_speed_min must be smaller than phase_speed_max")
        if self.azimuths % 2:
            raise ValueError("azimuths must be even: waves are launched in opposite pairs")
        return self

    def grid(self) -> tuple[Array, Array]:
        """Phase speeds, descending, and their widths [m s-1], shape [bin]."""
        low, high = 1.0 / self.phase_speed_max, 1.0 / self.phase_speed_min
        span, g = high - low, self.stretching
        offset = np.linspace(0.0, span, self.bins)
        b1 = span / np.expm1(span / g)
        c = 1.0 / (b1 * np.expm1(offset / g) + low)
        return c, c**2 * (b1 / g) * np.exp(offset / g) * span / (self.bins - 1)


@njit()
def _azimuth(
    cos: float, sin: float, u: Array, v: Array, ratio: Array, launch: int, level: float, cap: float,
    c: Array, dc: Array, shape: Array, f: Array, fx: Array, fy: Array,
) -> None:  # fmt: skip
    """Adds the fluxes of one azimuth to `fx` and `fy` on interfaces 1 .. launch.

    `ratio` is rho/N, `shape` the launched spectrum before normalization, `level` the constant
    that normalizes it, `cap` the one of saturation.
    """
    n = c.size  # speeds descend: the active bins are the first n
    total = 0.0
    for j in range(n):
        f[j] = level * ratio[launch] * shape[j]
        total += f[j] * dc[j]
    fx[launch] += cos * total
    fy[launch] += sin * total
    base = cos * u[launch] + sin * v[launch]
    highest = 0.0
    for i in range(launch - 1, 0, -1):
        wind = cos * u[i] + sin * v[i] - base
        highest = max(highest, wind)
        while n > 0 and c[n - 1] < highest:
            n -= 1
        if n == 0:
            break
        total = 0.0
        for j in range(n):
            f[j] = min(f[j], cap * ratio[i] * (c[j] - wind) ** 2 / c[j])
            total += f[j] * dc[j]
        fx[i] += cos * total
        fy[i] += sin * total


@njit(parallel=True)
def _columns(
    state: State,
    phalf: Array,
    flux: Array,
    directions: Array,
    bins: tuple[Array, Array, Array],
    settings: Any,
    planet: Any,
    work: Array,
    spectra: Array,
    out: tuple[Array, Array],
    bad: Array,
) -> None:
    """All columns. `directions` cos and sin of the azimuths."""
    launch_pressure, weight, saturation, floor = settings
    g, r, cp = planet
    c, dc, bend = bins
    nlev, ncol = state[0].shape
    nworker, nblock = work.shape[0], (ncol + BLOCK - 1) // BLOCK
    for w in numba.prange(nworker):
        f, shape = spectra[w, 0], spectra[w, 1]
        ui, vi, ratio = work[w, 5, 0], work[w, 6, 0], work[w, 7, 0]
        for block in range(w, nblock, nworker):
            start, stop = block * BLOCK, min((block + 1) * BLOCK, ncol)
            gather(state, start, stop, work[w])
            for i in range(start, stop):
                m = i - start
                u, v, t = work[w, 0, m], work[w, 1, m], work[w, 2, m]
                p, z = work[w, 3, m], work[w, 4, m]
                fx, fy = work[w, 8, m], work[w, 9, m]
                fx[:] = 0.0
                fy[:] = 0.0
                bad[i] = senseless(work[w], m)
                if bad[i]:
                    continue
                launch = 1
                while launch < nlev - 1 and p[launch] <= launch_pressure:
                    launch += 1
                n4 = 0.0
                for k in range(1, launch + 1):
                    ti = 0.5 * (t[k - 1] + t[k])
                    dtdz = (t[k - 1] - t[k]) / (z[k - 1] - z[k])
                    n2 = max(g / ti * (dtdz + g / cp), floor)
                    ui[k] = 0.5 * (u[k - 1] + u[k])
                    vi[k] = 0.5 * (v[k - 1] + v[k])
                    ratio[k] = phalf[k, i] / (r * ti * np.sqrt(n2))
                    n4 = n2 * n2
                total = 0.0
                for j in range(c.size):
                    shape[j] = c[j] / (1.0 + bend[j] / n4)
                    total += shape[j] * dc[j]
                level = weight * flux[i] / (total * ratio[launch])
                for d in range(directions.shape[1]):
                    _azimuth(
                        directions[0, d], directions[1, d], ui, vi, ratio, launch, level,
                        saturation * level, c, dc, shape, f, fx, fy,
                    )  # fmt: skip
                fx[0], fy[0] = fx[1], fy[1]
            scatter(work[w, 8], start, stop, out[0])
            scatter(work[w, 9], start, stop, out[1])


@scheme("gravity_wave", "wms")
class WarnerMcIntyreScinocca(Tendency):
    """Momentum fluxes of the hydrostatic spectral scheme; columns close to round-off."""

    Parameters = WMSParameters
    inputs = reads("ua va ta pfull phalf zg")
    fluxes: ClassVar[tuple[Flux, ...]] = (
        flux_of("ua", "xgwdparam", top="zero"),
        flux_of("va", "ygwdparam", top="zero"),
    )
    conserves = (Conserves(quantity="momentum"),)
    interval = 3600.0

    def setup(self, host: Host) -> None:
        p: WMSParameters = self.p
        name = f"{self.process}.{self.scheme}"
        blocks.layers_above(host, p.launch_pressure, f"{name}.launch_pressure")
        self._lat = blocks.latitudes(host, name)
        angle = 2.0 * np.pi * np.arange(p.azimuths) / p.azimuths
        # Rounded, so that the four main directions are exact and opposite pairs cancel exactly.
        self._directions = np.round(np.stack([np.cos(angle), np.sin(angle)]), 15)
        c, dc = p.grid()
        self._bins = (c, dc, (2.0 * np.pi / p.vertical_wavelength * c) ** 4)
        self._flux = p.launch_flux * (
            1.0 - p.tropical_reduction * np.exp(-0.5 * (self._lat / p.tropical_width) ** 2)
        )
        weight = 2.0 / float(np.abs(self._directions[0]).sum())
        self._settings = (p.launch_pressure, weight, p.saturation, p.buoyancy_floor)
        self._planet = (host.planet.gravity, host.planet.gas_constant_dry, host.planet.cp_dry)
        nworker = blocks.workers(self._lat.size)
        self._work = np.zeros((nworker, 10, BLOCK, host.nlev))
        self._spectra = np.zeros((nworker, 2, p.bins))
        self._bad = np.zeros(self._lat.size, np.int64)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        _columns(
            (x.ua, x.va, x.ta, x.pfull, x.zg), x.phalf, self._flux, self._directions, self._bins,
            self._settings, self._planet, self._work, self._spectra,
            (flux.xgwdparam, flux.ygwdparam), self._bad,
        )  # fmt: skip
        if self._bad.any():
            raise blocks.complaint(f"{self.process}.{self.scheme}", self._bad, x, self._lat)
