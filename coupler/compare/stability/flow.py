r"""The Jacobian of one step of the flow with a scheme in it, and its leading modes.

    x' = S(x, M (g(x) - g(x0)) + r0),      J = dS/dx at x0

S is one step of the spectral core from the coefficients x, g the state on the grid, M the response
of the scheme (`response`) at each latitude, r0 what the other processes do, which is taken as
constant. x0 is the zonal mean of a run's last state: J then keeps zonal wavenumbers apart, and a
mode is exp(im lon + lambda t), growth Re lambda, with lambda = ln mu / dt.

J is exact for the flow: J v = d/dw (v . J^T w), from the graph of J^T w, which is made once
(double reverse mode). The flow is that of the case without moisture, without orography, in float32,
stepped by SIL3 with a step of dt, or of 2 dt for a case with leapfrog, over which its tendencies
act, too: one time level, so that an eigenvalue is a mode of the flow and not of the scheme in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coupler.compare.stability.arnoldi import C128, leading
from coupler.compare.stability.columns import Columns
from coupler.compare.stability.response import Response
from coupler.driver.discovery import unrolling
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import DataError

F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How far Arnoldi's method goes."""

    hours: float = 24.0
    """Model time between two vectors [h]: enough for what grows to outgrow what is neutral."""
    vectors: int = 16
    """For the flow alone."""
    more: int = 10
    """For a flow whose modes are near to those of another."""


EFFORT = Effort()


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """The leading mode of each zonal wavenumber from 1 on."""

    wavenumber: F64
    growth: F64
    """[day-1]"""
    period: F64
    """[day]; inf for a standing mode. Above 0: it travels eastward."""
    uncertainty: F64
    """Of the growth, from the residual of Arnoldi's method [day-1]."""
    wind: C128
    """Zonal wind of each mode, [m, level, lat]; the largest is 1."""
    temperature: C128
    """In units of the wind [K (m s-1)-1], [m, level, lat]."""
    vectors: C128
    """As `Flow` packs them, for the next ones to begin with."""
    step: float
    """Time step [s]."""

    def speed(self, latitude: float, radius: float) -> F64:
        """Eastward phase speed [m s-1] at a latitude [degrees_north]."""
        circle = 2.0 * np.pi * radius * math.cos(math.radians(latitude))
        return np.asarray(circle / (self.wavenumber * self.period * SECONDS_PER_DAY))


class Flow:
    """Steps of the dry core about a zonal mean."""

    def __init__(self, columns: Columns) -> None:
        """Builds a core like the one of the case.

        Raises:
            DataError: where the atmosphere is not a spectral core with levels.
        """
        model = columns.atmosphere
        core = getattr(model, "core", None)
        if core is None or not hasattr(core, "leapfrog") or not hasattr(core, "vertical"):
            raise DataError.of(
                "no Jacobian of this atmosphere",
                type(model).__name__,
                expected="atmosphere: spectral",
                remedy="its response and waves are there without it",
            )
        self.columns, old = columns, core
        self.core: Any = type(core)(
            truncation=old.transform.truncation,
            levels=old.levels,
            planet=old.planet,
            dt=old.dt if old.sil3 else 2.0 * old.dt,
            nlat=old.transform.nlat,
            nlon=old.transform.nlon,
            tracers=0,
            stepper="sil3",
            diffusion=old.leapfrog.diffusion,
            t_ref=old.equations.t_ref,
            fix_mass=False,
        )
        k = old.equations.levels
        state = torch.from_numpy(np.array(old.memory()["spectral_now"], np.float32))
        state[1:] = 0.0
        self.start = torch.cat([state[:, :, : 3 * k], state[:, :, -1:]], dim=2)
        self.scale = torch.from_numpy(self._scale().astype(np.float32))

    def _scale(self) -> F64:
        """Of the coefficients in the square root of energy, [m, field, degree].

        In the norm  sum_k (|u|^2 + (cp/Tr) T^2) dp_k/ps + R Tr (ln ps)^2,  |u|^2 from vorticity and
        divergence by a^2/(n(n+1)), free waves keep their length: the nearer J is to normal, the
        less it takes to tell its leading vector from others.
        """
        tr, planet, levels = self.core.transform, self.core.planet, self.core.levels
        n = np.asarray(tr.degree, np.float64)
        t_ref = float(self.core.equations.t_ref)
        half = levels.half_pressure(np.array([planet.reference_pressure]))[:, 0]
        mass = np.sqrt(np.diff(half) / half[-1])[None, :, None]
        wind = np.sqrt(np.maximum(n * (n + 1.0), 1.0))[:, None] / planet.radius / mass
        warm = np.sqrt(t_ref / planet.cp_dry) / mass + 0.0 * wind
        surface = np.full_like(n[:, None], 1.0 / np.sqrt(planet.gas_constant_dry * t_ref))
        return np.concatenate([wind, wind, warm, surface], axis=1)

    def rates(self, response: Response | None) -> Callable[[Any], Mapping[str, Tensor]] | None:
        """The scheme as a linear force around the start, for `unroll`."""
        if response is None:
            return None
        n, eq = self.columns.zonal, self.core.equations
        with torch.no_grad():
            base = self._fields(eq.to_grid(self.start.clone()))
            base = {of: x.clone() for of, x in base.items()}
        blocks = {
            key: torch.from_numpy(np.ascontiguousarray(x[:n], np.float32))
            for key, x in response.blocks.items()
            if key[0] in ("ua", "va", "ta") and key[1] in base
        }

        def force(g: Any) -> Mapping[str, Tensor]:
            apart = {of: x - base[of] for of, x in self._fields(g).items()}
            found: dict[str, Tensor] = {}
            for (a, b), m in blocks.items():
                rate = torch.einsum("jkl,lji->kji", m, apart[b])
                found[a] = found[a] + rate if a in found else rate
            return found

        return force

    def _fields(self, g: Any) -> dict[str, Tensor]:
        ps = self.core.equations.surface_pressure(g.ln_ps)
        return {"ua": g.ua, "va": g.va, "ta": g.t_prime, "ps": ps[None]}

    def jacobian(self, response: Response | None) -> Callable[[Tensor], Tensor]:
        """J, from coefficients to coefficients."""
        x = self.start.clone().requires_grad_()
        y = unrolling().unroll(self.core, x, 1, self.rates(response))
        w = torch.zeros_like(y, requires_grad=True)
        (turned,) = torch.autograd.grad(y, x, w, create_graph=True)

        def apply(v: Tensor) -> Tensor:
            (out,) = torch.autograd.grad(turned, w, v, retain_graph=True)
            return out

        return apply

    def packed(self, spec: Tensor) -> C128:
        """Coefficients as one complex vector a wavenumber from 1 on, [m, field x degree]."""
        z = (spec / self.scale[:, None]).numpy().astype(np.float64)
        return np.ascontiguousarray((z[1:, 0] + 1j * z[1:, 1]).reshape(z.shape[0] - 1, -1))

    def spread(self, vectors: C128) -> Tensor:
        """The opposite of `packed`; what lies outside the truncation is left out."""
        t, _, fields, size = self.start.shape
        z = vectors.reshape(t - 1, fields, size)
        spec = torch.zeros_like(self.start)
        spec[1:, 0] = torch.from_numpy(z.real.astype(np.float32))
        spec[1:, 1] = torch.from_numpy(z.imag.astype(np.float32))
        inside: Tensor = self.core.transform.inside
        return spec * self.scale[:, None] * inside

    def modes(
        self, response: Response | None, near: Modes | None = None, effort: Effort | None = None
    ) -> Modes:
        """The leading mode of every zonal wavenumber.

        Args:
            response: of a scheme; None for the flow alone.
            near: modes of another flow to begin near to, with as much noise, so that a mode that
                the other has not is found, too.
            effort: that it is worth; `EFFORT` by default.
        """
        apply, dt = self.jacobian(response), self.core.dt
        rng = np.random.default_rng(0)
        shape = self.packed(self.start).shape
        start = self.packed(self.spread(rng.normal(size=shape) + 1j * rng.normal(size=shape)))
        if near is not None:
            start = near.vectors + start / np.linalg.norm(start, axis=1, keepdims=True)
        effort = effort or EFFORT
        power = max(1, round(effort.hours * 3600.0 / dt))
        found = leading(
            lambda x: self.packed(apply(self.spread(x))),
            start,
            power=power,
            vectors=effort.vectors if near is None else effort.more,
            restarts=0,
        )
        rate = np.log(found.values) / dt * SECONDS_PER_DAY
        with np.errstate(divide="ignore"):
            # exp(i m lon + lambda t): eastward where the angle falls.
            period = -2.0 * np.pi / rate.imag
        wind, temperature = self._patterns(found.vectors)
        return Modes(
            wavenumber=np.arange(1.0, shape[0] + 1.0),
            growth=rate.real,
            period=period,
            uncertainty=found.residuals / (power * dt) * SECONDS_PER_DAY,
            wind=wind,
            temperature=temperature,
            vectors=found.vectors,
            step=dt,
        )

    def _patterns(self, vectors: C128) -> tuple[C128, C128]:
        """Amplitude of zonal wind and temperature of each mode, [m, level, lat]."""
        k, eq = self.core.equations.levels, self.core.equations
        with torch.no_grad():
            g = eq.to_grid(self.spread(vectors))
            wind, temperature = (np.fft.rfft(x.numpy(), axis=-1) for x in (g.ua, g.t_prime))
        m = np.arange(1, vectors.shape[0] + 1)
        wind, temperature = (np.moveaxis(x[..., m], -1, 0) for x in (wind, temperature))
        size = np.abs(wind).max(axis=(1, 2), keepdims=True)
        assert wind.shape[1] == k
        return wind / size, temperature / size
