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

Between two interfaces saturation and critical levels take the flux d from the waves of an azimuth.
A limiter keeps it from accelerating the flow past them: with c_d the mean of c weighted by d, and U
the smaller of the wind of the layer and that at its lower edge, the layer takes at most

    max(c_d - U, 0) dp / (g dt),

and the rest is handed to the layer above, with its c_d. It acts in thin layers and at long steps.

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
    flux_of,
)
from coupler.interface.fields import COLUMN, Field
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns import blocks
from physics.columns.blocks import BLOCK, State, gather, scatter, senseless
from physics.columns.jit import njit
from physics.columns.momentum_flux import MomentumFlux

MOVED = Field(
    name="nogwdlimit",
    standard_name=None,
    long_name="Gravity-wave Momentum Flux that Limits on Drag Moved Up",
    units="Pa",
    dims=COLUMN,
)


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
    limited: bool = True
    """Whether what a layer cannot take is handed to the one above."""

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
    cos: float, sin: float, wind: Array, middle: Array, room: Array, ratio: Array, launch: int,
    level: float, cap: float, c: Array, dc: Array, shape: Array, f: Array, fx: Array, fy: Array,
) -> float:  # fmt: skip
    """Adds the fluxes of one azimuth to `fx` and `fy` on interfaces 1 .. launch.

    Args:
        cos: Eastward part of the azimuth.
        sin: Northward part.
        wind: Along the azimuth, minus that at the launch, at interfaces [m s-1], shape [level].
        middle: The same of the layers [m s-1], shape [level].
        room: dp / (g dt) of the layers [Pa s m-1], shape [level]; infinite where nothing limits.
        ratio: rho/N at interfaces, shape [level].
        launch: The launch interface.
        level: The constant that normalizes the spectrum.
        cap: The one of saturation.
        c: Phase speeds [m s-1], shape [bin], descending.
        dc: Their widths [m s-1].
        shape: The launched spectrum before normalization, shape [bin].
        f: Scratch, shape [bin].
        fx: Eastward flux [Pa], shape [level].
        fy: Northward flux [Pa], shape [level].

    Returns:
        The largest flux that was handed up [Pa].
    """
    n = c.size  # speeds descend: the active bins are the first n
    total = 0.0
    for j in range(n):
        f[j] = level * ratio[launch] * shape[j]
        total += f[j] * dc[j]
    fx[launch] += cos * total
    fy[launch] += sin * total
    highest = 0.0
    excess = speed = moved = 0.0  # handed up, its mean phase speed, and the largest so far
    for i in range(launch - 1, 0, -1):
        highest = max(highest, wind[i])
        lost, moment = excess, excess * speed
        while n > 0 and c[n - 1] < highest:
            n -= 1
            lost += f[n] * dc[n]
            moment += f[n] * dc[n] * c[n]
        if n == 0 and lost == 0.0:
            break
        total = 0.0
        for j in range(n):
            most = cap * ratio[i] * (c[j] - wind[i]) ** 2 / c[j]
            if f[j] > most:
                lost += (f[j] - most) * dc[j]
                moment += (f[j] - most) * dc[j] * c[j]
                f[j] = most
            total += f[j] * dc[j]
        excess = 0.0
        if lost > 0.0:
            speed = moment / lost
            most = max(speed - min(wind[i + 1], middle[i]), 0.0) * room[i]
            if lost > most:
                excess = lost - most
                moved = max(moved, excess)
        fx[i] += cos * (total + excess)
        fy[i] += sin * (total + excess)
    return moved


@njit(parallel=True)
def _columns(
    state: State,
    phalf: Array,
    flux: Array,
    directions: Array,
    dt: float,
    bins: tuple[Array, Array, Array],
    settings: Any,
    planet: Any,
    work: Array,
    spectra: Array,
    out: tuple[Array, Array],
    moved: Array,
    bad: Array,
) -> None:
    """All columns. `directions` are cos and sin of the azimuths; `dt` is 0 without a limiter."""
    launch_pressure, weight, saturation, floor = settings
    g, r, cp = planet
    c, dc, bend = bins
    nlev, ncol = state[0].shape
    nworker, nblock = work.shape[0], (ncol + BLOCK - 1) // BLOCK
    for w in numba.prange(nworker):
        f, shape = spectra[w, 0], spectra[w, 1]
        ui, vi, ratio = work[w, 5, 0], work[w, 6, 0], work[w, 7, 0]
        wind, middle, room = work[w, 10, 0], work[w, 11, 0], work[w, 12, 0]
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
                moved[i] = 0.0
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
                    room[k] = np.inf
                    if dt > 0.0:
                        dp = np.float64(phalf[k + 1, i]) - np.float64(phalf[k, i])
                        room[k] = dp / (g * dt)
                total = 0.0
                for j in range(c.size):
                    shape[j] = c[j] / (1.0 + bend[j] / n4)
                    total += shape[j] * dc[j]
                level = weight * flux[i] / (total * ratio[launch])
                for d in range(directions.shape[1]):
                    cos, sin = directions[0, d], directions[1, d]
                    base = cos * ui[launch] + sin * vi[launch]
                    for k in range(1, launch + 1):
                        wind[k] = cos * ui[k] + sin * vi[k] - base
                        middle[k] = cos * u[k] + sin * v[k] - base
                    up = _azimuth(
                        cos, sin, wind, middle, room, ratio, launch, level,
                        saturation * level, c, dc, shape, f, fx, fy,
                    )  # fmt: skip
                    moved[i] = max(moved[i], up)
                fx[0], fy[0] = fx[1], fy[1]
            scatter(work[w, 8], start, stop, out[0])
            scatter(work[w, 9], start, stop, out[1])


@scheme("gravity_wave", "wms")
class WarnerMcIntyreScinocca(MomentumFlux):
    """Momentum fluxes of the hydrostatic spectral scheme; columns close to round-off."""

    Parameters = WMSParameters
    fluxes: ClassVar[tuple[Flux, ...]] = (
        flux_of("ua", "xgwdparam", top="zero"),
        flux_of("va", "ygwdparam", top="zero"),
    )
    diagnostics = (MOVED,)
    conserves = (Conserves(quantity="momentum"),)
    interval = 3600.0

    def setup(self, host: Host) -> None:
        p: WMSParameters = self.p
        self.prepare(host, 13)
        blocks.layers_above(host, p.launch_pressure, f"{self._name}.launch_pressure")
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
        self._spectra = np.zeros((self._work.shape[0], 2, p.bins))

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        dt = now.dt if self.p.limited else 0.0
        _columns(
            self.state(x), x.phalf, self._flux, self._directions, dt, self._bins, self._settings,
            self._planet, self._work, self._spectra, (flux.xgwdparam, flux.ygwdparam),
            diag.nogwdlimit, self._bad,
        )  # fmt: skip
        self.complain(x)
