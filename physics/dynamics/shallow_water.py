r"""One layer of fluid on the sphere: shallow water, and barotropic vorticity.

    d zeta/dt = curl(A, B),   d D/dt = div(A, B) - lap(Phi + (u^2 + v^2)/2)
    d Phi/dt  = -div((Phi - Phi_s) V),   A = (zeta + f) v + F_u,  B = -(zeta + f) u + F_v

Phi = g h is the geopotential of the free surface [m2 s-2], Phi_s that of the ground, (F_u, F_v)
what schemes push with [m s-2]. Barotropic vorticity is the first equation alone, with D = 0.
Coefficients hold Phi minus the mean depth Phi_r, about which gravity waves are linear.

    rk4       the classical Runge-Kutta scheme, then diffusion exactly: X <- X exp(-nu_n dt)
    leapfrog  X+ = (X- + 2 dt N) / (1 + 2 dt nu_n), lap Phi and Phi_r D averaged over X-, X+:
              (1 + dt^2 b Phi_r) D+ = D* + dt b (Phi* - dt Phi_r D-),  b = n(n+1)/a^2;
              then the filter of Robert, Asselin and Williams; the first step by rk4

with nu_n = nu (n(n+1)/a^2)^p. Mass is conserved to round-off: the mean coefficient of a divergence
is zero.

Source: Williamson, D. L. et al. (1992), J. Comput. Phys. 102, 211-224,
doi:10.1016/S0021-9991(05)80016-6; Hack, J. J. and R. Jakob (1992), NCAR/TN-343+STR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from coupler.interface.constants import Planet
from coupler.interface.errors import UnstableError
from physics.dynamics.core import quadratic_grid
from physics.dynamics.leapfrog import TimeFilter
from physics.dynamics.transform import SpectralTransform

Tensor = torch.Tensor
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class LayerDiffusion:
    """``nu (-lap)^p`` on vorticity, divergence and, when asked, height.

    Attributes:
        coefficient: nu [m^(2p) s-1].
        power: p [1].
        height: whether the free surface is smoothed too.
    """

    coefficient: float = 0.0
    power: int = 2
    height: bool = False


class LayerCore:
    """State and time step of one layer.

    Args:
        truncation: triangular truncation T.
        planet: radius, rotation, gravity.
        dt: time step [s].
        divergent: shallow water; False is barotropic vorticity.
        stepping: ``leapfrog`` (semi-implicit) or ``rk4``.
        tilt: angle between the axis of rotation and that of the grid [rad].
        diffusion, time_filter: damping and time filter (of leapfrog).
        nlat, nlon: Gaussian grid; by default the quadratic grid of the truncation.
        dtype: torch.float32 or torch.float64.
        device: torch device.
    """

    def __init__(
        self,
        *,
        truncation: int,
        planet: Planet,
        dt: float,
        divergent: bool = True,
        stepping: Literal["leapfrog", "rk4"] = "leapfrog",
        tilt: float = 0.0,
        diffusion: LayerDiffusion | None = None,
        time_filter: TimeFilter | None = None,
        nlat: int | None = None,
        nlon: int | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        default_nlat, default_nlon = quadratic_grid(truncation)
        self.planet, self.dt, self.divergent, self.stepping = planet, dt, divergent, stepping
        self.diffusion = diffusion or LayerDiffusion()
        self.time_filter = time_filter or TimeFilter()
        self.transform = tr = SpectralTransform(
            truncation=truncation,
            nlat=nlat or default_nlat,
            nlon=nlon or default_nlon,
            radius=planet.radius,
            dtype=dtype,
            device=device,
        )
        lon = (2.0 * np.pi / tr.nlon) * np.arange(tr.nlon)
        axis = np.cos(tilt) * tr.sin_lat[:, None] - np.sin(tilt) * (
            tr.cos_lat[:, None] * np.cos(lon)[None, :]
        )
        self._coriolis = self._tensor(2.0 * planet.rotation_rate * axis)
        fields = 3 if divergent else 1
        self._now, self._before = tr.zeros(fields), tr.zeros(fields)
        self._none = tr.zeros(1)
        self.surface = tr.zeros(1)
        """Geopotential of the ground [m2 s-2], coefficients [T+1, 2, 1, T+2]."""
        self._ground = self._tensor(np.zeros((tr.nlat, tr.nlon)))
        self._batch = tr.zeros(4 if divergent else 3)
        self._grid = self._tensor(np.zeros((self._batch.shape[2], tr.nlat, tr.nlon)))
        self._weights = torch.tensor(
            np.repeat(0.5 * tr.gauss_weights[:, None] / tr.nlon, tr.nlon, axis=1), device=tr.device
        )
        self._factors: dict[tuple[str, float], Tensor] = {}
        self.reference = 0.0
        """Phi_r [m2 s-2]."""
        self.steps = 0
        self._exposed = False

    def _tensor(self, array: NDArray[np.floating[Any]]) -> Tensor:
        tensor = torch.tensor(np.asarray(array, np.float64))
        return tensor.to(dtype=self.transform.dtype, device=self.transform.device)

    # -- state --------------------------------------------------------------------------------

    def start(
        self,
        ua: Array,
        va: Array,
        geopotential: Array | None = None,
        ground: Array | None = None,
    ) -> None:
        """Begins a run.

        Args:
            ua, va: wind [m s-1], [lat, lon].
            geopotential: g h of the free surface [m2 s-2], [lat, lon]; for shallow water.
            ground: geopotential of the ground [m2 s-2], [lat, lon].
        """
        tr = self.transform
        with torch.no_grad():
            curl, div = tr.curl_divergence_of(self._tensor(ua)[None], self._tensor(va)[None])
            self._now[:, :, 0:1] = curl
            if self.divergent:
                if ground is not None:
                    self.surface.copy_(tr.analysis(self._tensor(ground)[None]))
                height = np.zeros((tr.nlat, tr.nlon)) if geopotential is None else geopotential
                self._now[:, :, 1:2] = div
                self._now[:, :, 2:3] = tr.analysis(self._tensor(height)[None])
                self.reference = float(self._now[0, 0, 2, 0] - self.surface[0, 0, 0, 0])
                self._now[0, 0, 2, 0] -= self.reference
                self._synthesize_ground()
            self._before.copy_(self._now)
            self.steps, self._exposed = 0, False
            self._factors.clear()
            self.expose()

    def _synthesize_ground(self) -> None:
        self._ground.copy_(self.transform.synthesis(self.surface)[0])

    def expose(self) -> None:
        """Brings the grid fields to the state that physics starts from.

        For ``rk4`` the newest; for leapfrog the older level, which the step has had as its centre.
        """
        if self._exposed:
            return
        with torch.no_grad():
            self._to_grid(self._now, self._grid)
        self._exposed = True

    def _to_grid(self, spec: Tensor, out: Tensor) -> None:
        """Fills `out` with u, v [m s-1], zeta [s-1] and, if divergent, Phi - Phi_r."""
        tr, batch = self.transform, self._batch
        divergence = spec[:, :, 1:2] if self.divergent else self._none
        batch[:, :, :2] = tr.wind(spec[:, :, :1], divergence)
        batch[:, :, 2] = spec[:, :, 0]
        if self.divergent:
            batch[:, :, 3] = spec[:, :, 2]
        out.copy_(tr.synthesis(batch))
        out[:2] *= tr.secant

    def grid_state(self) -> dict[str, Array]:
        """``ua va rv`` [m s-1], [s-1], each [1, lat, lon]: views of fixed memory, see `expose`."""
        names = ("ua", "va", "rv")
        return {n: self._grid[i : i + 1].cpu().numpy() for i, n in enumerate(names)}

    def height(self) -> Array:
        """Height of the free surface of the exposed state [m], [lat, lon]."""
        return ((self._grid[3] + self.reference) / self.planet.gravity).cpu().numpy()

    def ground_height(self) -> Array:
        """Height of the ground as truncated [m], [lat, lon]."""
        return (self._ground / self.planet.gravity).cpu().numpy()

    def newest(self) -> dict[str, Array]:
        """``ua va rv`` and ``zg`` of the newest time level, float64, [lat, lon] (a transform)."""
        with torch.no_grad():
            grid = torch.empty_like(self._grid)
            self._to_grid(self._now, grid)
        values = grid.cpu().numpy().astype(np.float64)
        state = dict(zip(("ua", "va", "rv"), values[:3], strict=True))
        if self.divergent:
            state["zg"] = (values[3] + self.reference) / self.planet.gravity
        return state

    def coefficients(self) -> Tensor:
        """Copy of the newest coefficients, [T+1, 2, 3 or 1, T+2]: zeta, D, Phi - Phi_r."""
        return self._now.clone()

    # -- right-hand side ----------------------------------------------------------------------

    def _tendency(self, grid: Tensor, forcing: tuple[Tensor, Tensor] | None) -> Tensor:
        tr = self.transform
        u, v = grid[0], grid[1]
        absolute = grid[2] + self._coriolis
        east, north = absolute * v, -absolute * u
        if forcing is not None:
            east, north = east + forcing[0], north + forcing[1]
        if not self.divergent:
            return tr.curl_divergence_of(east[None], north[None])[0]
        depth = grid[3] - self._ground + self.reference
        vectors = torch.stack([east, depth * u, north, depth * v]) * tr.secant
        energy = 0.5 * (u * u + v * v) + grid[3]
        spec = tr.analysis(torch.cat([vectors, energy[None]]), extended=True)
        curl, div = tr.vorticity_divergence(spec[:, :, 0:2], spec[:, :, 2:4])
        out = torch.empty_like(self._now)
        out[:, :, 0] = curl[:, :, 0]
        out[:, :, 1] = div[:, :, 0] - tr.laplacian(spec[:, :, 4:5])[:, :, 0]
        out[:, :, 2] = -div[:, :, 1]
        return out

    def _tendency_at(self, spec: Tensor, forcing: tuple[Tensor, Tensor] | None) -> Tensor:
        grid = torch.empty_like(self._grid)
        self._to_grid(spec, grid)
        return self._tendency(grid, forcing)

    def _damping(self, kind: str, span: float) -> Tensor:
        """Factor of diffusion over `span` seconds: ``exact`` or ``implicit``."""
        key = (kind, span)
        if key not in self._factors:
            tr, d = self.transform, self.diffusion
            eigenvalue = tr.degree * (tr.degree + 1.0) / self.planet.radius**2
            loss = span * d.coefficient * eigenvalue**d.power
            factor = np.exp(-loss) if kind == "exact" else 1.0 / (1.0 + loss)
            fields = [factor, factor, factor if d.height else np.ones_like(factor)]
            used = fields if self.divergent else fields[:1]
            self._factors[key] = self._tensor(np.stack(used, axis=1)[:, None])
        return self._factors[key]

    # -- one step -----------------------------------------------------------------------------

    def physics_dt(self) -> float:
        """Time over which the next step applies physics tendencies [s]."""
        return self.dt if self.stepping == "rk4" or self.steps == 0 else 2.0 * self.dt

    def step(self, tendencies: Mapping[str, Array] | None = None) -> None:
        """Advances by dt with tendencies of ``ua`` and ``va`` [m s-2], [1, lat, lon].

        Raises:
            UnstableError: when the wind is no longer finite.
        """
        given = tendencies or {}
        pushes = [given.get(n) for n in ("ua", "va")]
        with torch.no_grad():
            forcing = None
            if any(p is not None and p.any() for p in pushes):
                zero = np.zeros(self._coriolis.shape)
                forced = [self._tensor(zero if p is None else p[0]) for p in pushes]
                forcing = (forced[0], forced[1])
            if self.stepping == "leapfrog" and self.steps:
                self._leapfrog(forcing)
            else:
                self._runge_kutta(forcing)
        self.steps += 1

    def _check(self) -> None:
        if not bool(torch.isfinite(self._grid[0].sum())):
            raise UnstableError.of(
                "the state is no longer finite",
                "ua",
                found=f"step {self.steps}",
                remedy="shorten dt or strengthen the diffusion",
            )

    def _runge_kutta(self, forcing: tuple[Tensor, Tensor] | None) -> None:
        self.expose()
        self._check()
        dt, x = self.dt, self._now
        k1 = self._tendency(self._grid, forcing)
        k2 = self._tendency_at(torch.add(x, k1, alpha=0.5 * dt), forcing)
        k3 = self._tendency_at(torch.add(x, k2, alpha=0.5 * dt), forcing)
        k4 = self._tendency_at(torch.add(x, k3, alpha=dt), forcing)
        self._before.copy_(x)
        rate = k1.add_(k2, alpha=2.0).add_(k3, alpha=2.0).add_(k4)
        x.add_(rate, alpha=dt / 6.0).mul_(self._damping("exact", dt))
        # The first step of leapfrog leaves the start exposed: it is the older level.
        self._exposed = self.stepping == "leapfrog"

    def _leapfrog(self, forcing: tuple[Tensor, Tensor] | None) -> None:
        self._exposed = False
        self.expose()
        self._check()
        dt, before, now = self.dt, self._before, self._now
        tendency = self._tendency(self._grid, forcing)
        after = torch.add(before, tendency, alpha=2.0 * dt)
        if self.divergent:
            self._implicit(before, now, after)
        after *= self._damping("implicit", 2.0 * dt)
        shift = (before + after).sub_(now, alpha=2.0).mul_(0.5 * self.time_filter.strength)
        torch.add(now, shift, alpha=self.time_filter.alpha, out=before)
        torch.add(after, shift, alpha=self.time_filter.alpha - 1.0, out=now)

    def _implicit(self, before: Tensor, now: Tensor, after: Tensor) -> None:
        """Replaces the centred linear terms in `after` by the mean of both ends."""
        dt, ref, lap = self.dt, self.reference, self.transform.eigenvalue[:, :, 0]
        d0, p0 = before[:, :, 1], before[:, :, 2]
        # Take out what the explicit step did with the centre; leave the older half in.
        div = after[:, :, 1] + lap * (2.0 * now[:, :, 2] - p0) * dt
        phi = after[:, :, 2] + (2.0 * now[:, :, 1] - d0) * (dt * ref)
        new = (div - lap * phi * dt) / (1.0 - dt * dt * ref * lap)
        after[:, :, 1] = new
        after[:, :, 2] = phi - new * (dt * ref)

    # -- integrals ----------------------------------------------------------------------------

    def mean(self, field: Array) -> float:
        """Area mean of [lat, lon] in float64."""
        return float(
            (torch.as_tensor(field, dtype=torch.float64).cpu() * self._weights.cpu()).sum()
        )

    def integrals(self) -> dict[str, float]:
        """Global means of the newest state: ``depth`` [m], ``energy``, ``enstrophy``.

        Energy is ``h V^2/2 + g (H^2 - h_s^2)/2`` [m3 s-2] with depth h = H - h_s, enstrophy the
        potential one, ``(zeta + f)^2/(2 h)`` [m-1 s-2]. Barotropic vorticity has ``V^2/2`` [m2 s-2]
        and ``zeta^2/2`` [s-2] instead. Also ``max_wind`` [m s-1].
        """
        x = self.newest()
        kinetic = 0.5 * (x["ua"] ** 2 + x["va"] ** 2)
        wind = {"max_wind": float(np.sqrt(2.0 * kinetic.max()))}
        if not self.divergent:
            square = 0.5 * x["rv"] ** 2
            return {"energy": self.mean(kinetic), "enstrophy": self.mean(square), **wind}
        ground = self.ground_height().astype(np.float64)
        depth = x["zg"] - ground
        absolute = x["rv"] + self._coriolis.cpu().numpy().astype(np.float64)
        potential = 0.5 * self.planet.gravity * (x["zg"] ** 2 - ground**2)
        return {
            "depth": self.mean(depth),
            "energy": self.mean(depth * kinetic + potential),
            "enstrophy": self.mean(0.5 * absolute**2 / depth),
            **wind,
        }

    # -- restart ------------------------------------------------------------------------------

    def memory(self) -> dict[str, Array]:
        """Everything a bit-for-bit restart needs. Not copied: the next step overwrites it."""
        return {
            "spectral_before": self._before.numpy(),
            "spectral_now": self._now.numpy(),
            "ground": self.surface.numpy(),
            "grid": self._grid.numpy(),
            "exposed": np.array(self._exposed, np.int64),
            "reference": np.array(self.reference, np.float64),
            "steps": np.array(self.steps, np.int64),
        }

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Continues from what :meth:`memory` gave."""
        with torch.no_grad():
            for name, own in self.memory().items():
                if own.ndim:
                    own[...] = memory[name]
            self._synthesize_ground()
        self._exposed = bool(memory["exposed"])
        self.reference, self.steps = float(memory["reference"]), int(memory["steps"])
