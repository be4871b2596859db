r"""Tracers in prescribed winds: published tests of transport, as numbers.

Deformation that returns (Nair and Lauritzen 2010, case 4), with lambda' = lambda - 2 pi t/T:

    u = k sin^2(lambda') sin(2 phi) cos(pi t/T) + (2 pi/T) cos(phi),
    v = k sin(2 lambda') cos(phi) cos(pi t/T),  k = 2, T = 5 on the unit sphere

DCMIP 2012 test 1-1 adds a vertical motion and a divergent wind that goes with it; see
:func:`deformation_3d`. Terminator chemistry runs in the first flow, stretched to 12 days on the
Earth. Each function below gives :class:`Numbers` of every tracer, with the transport on the grid
that the model uses or, for contrast, spectral transport of the same flow (Runge-Kutta of fourth
order, no diffusion).

Sources: Nair, R. D. and P. H. Lauritzen (2010), J. Comput. Phys. 229, 8868-8887,
doi:10.1016/j.jcp.2010.08.014; Kent, J., P. A. Ullrich, C. Jablonowski (2014), Q. J. R. Meteorol.
Soc. 140, 1279-1293, doi:10.1002/qj.2208 (DCMIP 2012 1-1); Williamson et al. (1992), J. Comput.
Phys. 102, 211-224 (norms); Lauritzen et al. (2015), see ``physics.columns.terminator``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

from physics.columns.terminator import TOTAL, balanced, photolysis, react
from physics.dynamics.transform import SpectralTransform
from physics.dynamics.transport import GridTransport

Array = NDArray[Any]
Wind = Callable[[float], tuple[Array, Array]]
Scheme = Literal["grid", "spectral"]

EARTH = 6.37122e6
"""Radius [m] of Williamson et al. (1992) and DCMIP 2012."""
DAY = 86400.0
TAU, TOP, SURFACE = 12.0 * DAY, 25494.4, 1.0e5
"""Period [s], pressure at the top and at the ground [Pa] of DCMIP 2012 1-1."""
LIFT, SCALE = 23000.0 * np.pi / TAU, 0.2 * TOP
"""w0 [Pa s-1] and P [Pa]."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a test of transport prints of one tracer.

    Attributes:
        l1, l2, linf: normalized errors of Williamson et al. (1992) [1].
        low, high: least and greatest value at any step [1].
        beyond: how far these are outside the values that it began with [1].
        drift: relative change of its mass [1].
    """

    l1: float
    l2: float
    linf: float
    low: float
    high: float
    beyond: float
    drift: float


class Flow:
    """A Gaussian grid of `nlat` x 2 `nlat` with hybrid levels, and transport over it.

    Args:
        nlat: number of latitudes, even.
        radius: [m], or 1.
        a, b: half-level coefficients [Pa], [1], [K+1]; one layer by default.
        dtype: of the tracers.
        ps: surface pressure, everywhere [Pa].
    """

    def __init__(
        self,
        nlat: int,
        *,
        radius: float = EARTH,
        a: ArrayLike = (0.0, 0.0),
        b: ArrayLike = (0.0, 1.0),
        dtype: DTypeLike = np.float64,
        ps: float = SURFACE,
    ) -> None:
        self.nlat, self.radius, self.dtype = nlat, radius, np.dtype(dtype)
        self.a, self.b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        self.mu, self.weights = np.polynomial.legendre.leggauss(nlat)
        self.lat = np.arcsin(self.mu)[:, None]
        self.lon = (np.arange(2 * nlat) * np.pi / nlat)[None]
        self.transport = GridTransport(
            sin_lat=self.mu,
            weights=self.weights,
            nlon=2 * nlat,
            a=self.a,
            b=self.b,
            radius=radius,
            dtype=self.dtype,
        )
        self.surface = np.full((nlat, 2 * nlat), ps, self.dtype)

    def mass(self, q: Array) -> float:
        """g times the global mean mass of a tracer [K, lat, lon] [Pa]."""
        return self.transport.mass(q, self.surface)

    def run(
        self,
        q: Array,
        wind: Wind,
        duration: float,
        steps: int,
        after: Callable[[Array], object] = lambda q: None,
    ) -> Array:
        """Moves q [tracer, K, lat, lon] in place.

        Args:
            q: mixing ratios.
            wind: u, v [m s-1] at a time [s], broadcast to [K, lat, lon].
            duration: [s]. steps: number of them.
            after: called with q after every step.

        Returns:
            q.
        """
        dt, transport = duration / steps, self.transport
        shape = q.shape[1:]

        def at(t: float) -> list[Array]:
            return [np.ascontiguousarray(np.broadcast_to(x, shape), self.dtype) for x in wind(t)]

        new = at(0.0)
        for n in range(steps):
            old, new = new, at((n + 1) * dt)
            transport.clear()
            transport.add_wind(old[0], old[1], self.surface, 0.5 * dt)
            transport.add_wind(new[0], new[1], self.surface, 0.5 * dt)
            transport.advance(q, self.surface, self.surface, reverse=n % 2 == 1)
            after(q)
        return q

    def run_spectral(
        self,
        q: Array,
        wind: Wind,
        duration: float,
        steps: int,
        after: Callable[[Array], object] = lambda q: None,
    ) -> Array:
        """The same by dq/dt = -V . grad q of truncated fields, on one layer."""
        tr = SpectralTransform(
            truncation=(2 * self.nlat - 1) // 3,
            nlat=self.nlat,
            nlon=2 * self.nlat,
            radius=self.radius,
            dtype=torch.float64,
        )
        dt, plane = duration / steps, (self.nlat, 2 * self.nlat)

        def rate(spec: torch.Tensor, t: float) -> torch.Tensor:
            u, v = (torch.tensor(np.broadcast_to(x, plane).copy()) for x in wind(t))
            count = spec.shape[2]
            grid = tr.synthesis(tr.gradient(spec))
            return -tr.analysis((u * grid[:count] + v * grid[count:]) * tr.secant)

        with torch.no_grad():
            for n in range(steps):
                t, x = n * dt, tr.analysis(torch.tensor(q[:, 0]))
                k1 = rate(x, t)
                k2 = rate(x + 0.5 * dt * k1, t + 0.5 * dt)
                k3 = rate(x + 0.5 * dt * k2, t + 0.5 * dt)
                k4 = rate(x + dt * k3, t + dt)
                x = x + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
                q[:, 0] = tr.synthesis(x).numpy()
                after(q)
        return q

    def arc(self, lon: float, lat: float) -> Array:
        """Great-circle distance from a point [rad], [lat, lon]."""
        cosine = np.sin(lat) * np.sin(self.lat) + np.cos(lat) * np.cos(self.lat) * np.cos(
            self.lon - lon
        )
        return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))

    def mean(self, x: Array) -> float:
        """Area mean, summed over levels, of [K, lat, lon]."""
        return 0.5 * float(self.weights @ x.mean(2).sum(0))

    def norms(self, q: Array, truth: Array) -> tuple[float, float, float]:
        """l1, l2, linf of Williamson et al. (1992), of fields [K, lat, lon]."""
        error = q - truth
        return (
            self.mean(np.abs(error)) / self.mean(np.abs(truth)),
            float(np.sqrt(self.mean(error**2) / self.mean(truth**2))),
            float(np.abs(error).max() / np.abs(truth).max()),
        )

    def numbers(
        self, q: Array, wind: Wind, duration: float, steps: int, scheme: Scheme = "grid"
    ) -> tuple[list[Numbers], Array]:
        """Runs `q` and compares every tracer with its start; also returns the end."""
        start, low, high = q.copy(), q.min((1, 2, 3)), q.max((1, 2, 3))

        def watch(q: Array) -> None:
            np.minimum(low, q.min((1, 2, 3)), out=low)
            np.maximum(high, q.max((1, 2, 3)), out=high)

        move = self.run if scheme == "grid" else self.run_spectral
        move(q, wind, duration, steps, watch)
        found = []
        for n, (before, after) in enumerate(zip(start, q, strict=True)):
            l1, l2, linf = self.norms(after, before)
            drift = self.mass(after) / self.mass(before) - 1.0
            found.append(
                Numbers(
                    l1=l1,
                    l2=l2,
                    linf=linf,
                    low=float(low[n]),
                    high=float(high[n]),
                    beyond=float(max(before.min() - low[n], high[n] - before.max())),
                    drift=drift,
                )
            )
        return found, q


# -- two dimensions -----------------------------------------------------------------------------


def deformation(flow: Flow, period: float = 5.0, strength: float = 2.0) -> Wind:
    """Wind of Nair and Lauritzen (2010), case 4, that brings everything back after `period`.

    On a sphere of another radius and period the flow is the same, with its speeds scaled.
    """
    scale = 5.0 * flow.radius / period

    def wind(t: float) -> tuple[Array, Array]:
        lon, swing = flow.lon - 2.0 * np.pi * t / period, np.cos(np.pi * t / period)
        u = strength * np.sin(lon) ** 2 * np.sin(2.0 * flow.lat) * swing
        u = u + 2.0 * np.pi / 5.0 * np.cos(flow.lat)
        return scale * u, scale * strength * np.sin(2.0 * lon) * np.cos(flow.lat) * swing

    return wind


def rotation(flow: Flow, angle: float, period: float = TAU) -> Wind:
    """Solid rotation of Williamson et al. (1992), case 1, about an axis tilted by `angle` [rad]."""
    speed = 2.0 * np.pi * flow.radius / period
    u = np.cos(flow.lat) * np.cos(angle) + np.sin(flow.lat) * np.cos(flow.lon) * np.sin(angle)
    v = -np.sin(flow.lon) * np.sin(angle) + 0.0 * flow.lat
    return lambda t: (speed * u, speed * v)


def bell(flow: Flow) -> Array:
    """The cosine bell of the same case, of height 1, [1, lat, lon]."""
    r = flow.arc(1.5 * np.pi, 0.0)
    return np.where(r < 1.0 / 3.0, 0.5 * (1.0 + np.cos(3.0 * np.pi * r)), 0.0)[None]


def hills(flow: Flow) -> Array:
    """Two Gaussian hills on the equator, 0.95 exp(-5 r^2) with the chord r, [1, lat, lon]."""
    chord = [2.0 * np.sin(0.5 * flow.arc(lon, 0.0)) for lon in (5 * np.pi / 6, 7 * np.pi / 6)]
    return np.asarray(sum(0.95 * np.exp(-5.0 * r**2) for r in chord))[None]


def cylinders(flow: Flow) -> Array:
    """Two slotted cylinders, 1 on 0.1: the sharp start of the same paper, [1, lat, lon]."""
    found = np.full((1, flow.nlat, 2 * flow.nlat), 0.1)
    for centre, sign in ((5 * np.pi / 6, 1.0), (7 * np.pi / 6, -1.0)):
        far = np.abs(flow.lon - centre) >= 1.0 / 12.0
        end = sign * flow.lat < -5.0 / 24.0
        found[0][(flow.arc(centre, 0.0) <= 0.5) & (far | end)] = 1.0
    return found


def nair_lauritzen(
    nlat: int, steps: int, *, scheme: Scheme = "grid", dtype: DTypeLike = np.float64
) -> dict[str, Numbers]:
    """Gaussian hills, slotted cylinders and a constant after one period."""
    flow = Flow(nlat, radius=1.0, dtype=dtype)
    starts = {"hills": hills(flow), "cylinders": cylinders(flow)}
    starts["constant"] = np.ones_like(starts["hills"])
    q = np.stack(list(starts.values())).astype(dtype)
    found, _ = flow.numbers(q, deformation(flow), 5.0, steps, scheme)
    return dict(zip(starts, found, strict=True))


@dataclass(frozen=True, kw_only=True)
class TerminatorNumbers:
    """What the terminator test prints.

    Attributes:
        l2, linf: of X + 2 X2 against its constant, at the end [1].
        worst: linf at any step [1].
        low: least X or X2 at any step, in units of the total [1].
    """

    l2: float
    linf: float
    worst: float
    low: float


def terminator(
    nlat: int, steps: int, *, scheme: Scheme = "grid", dtype: DTypeLike = np.float64
) -> TerminatorNumbers:
    """Cl and Cl2 in the deformational flow of 12 days on the Earth."""
    flow = Flow(nlat, dtype=dtype)
    dt = TAU / steps
    k1 = photolysis(np.degrees(flow.lat), np.degrees(flow.lon))
    q = np.stack(balanced(k1))[:, None].astype(dtype)
    rate = np.zeros((2, 1, k1.size), q.dtype)
    seen = [0.0, np.inf]

    def chemistry(q: Array) -> None:
        flat = q.reshape(2, 1, -1)
        total = np.abs(q[0] + 2.0 * q[1] - TOTAL).max() / TOTAL
        seen[:] = max(seen[0], float(total)), min(seen[1], float(q.min()) / TOTAL)
        react(flat[0], flat[1], k1.ravel(), 1.0, dt, rate[0], rate[1])
        flat += dt * rate

    move = flow.run if scheme == "grid" else flow.run_spectral
    move(q, deformation(flow, TAU), TAU, steps, chemistry)
    _, l2, linf = flow.norms(q[0] + 2.0 * q[1], np.full_like(q[0], TOTAL))
    return TerminatorNumbers(l2=l2, linf=linf, worst=seen[0], low=seen[1])


# -- three dimensions ---------------------------------------------------------------------------


def dcmip_grid(nlat: int, levels: int) -> tuple[Flow, Array, Array]:
    """Flow, half-level and full-level pressure [Pa], [K+1, 1, 1] and [K, 1, 1]."""
    b = np.linspace(0.0, 1.0, levels + 1)
    flow = Flow(nlat, a=TOP * (1.0 - b), b=b)
    half = flow.a + flow.b * SURFACE
    return flow, half[:, None, None], 0.5 * (half[1:] + half[:-1])[:, None, None]


def deformation_3d(flow: Flow, p: Array, period: float = TAU) -> Wind:
    """Wind of DCMIP 2012 1-1 at pressures `p` [Pa], [K, 1, 1].

    With k = 10 a/tau, P = 0.2 p_top, lambda' = lambda - 2 pi t/tau:
    u = k sin^2 lambda' sin 2phi cos(pi t/tau) + (2 pi a/tau) cos phi
    + (w0 a/P) cos lambda' cos^2 phi cos(2 pi t/tau) [e^((p_top-p)/P) - e^((p-p0)/P)],
    v = k sin 2lambda' cos phi cos(pi t/tau).
    """
    strength, lift = 10.0 * flow.radius / period, LIFT * TAU / period
    cos, column = np.cos(flow.lat), np.exp((TOP - p) / SCALE) - np.exp((p - SURFACE) / SCALE)

    def at(t: float) -> tuple[Array, Array]:
        lon, swing = flow.lon - 2.0 * np.pi * t / period, np.cos(np.pi * t / period)
        u = strength * np.sin(lon) ** 2 * np.sin(2.0 * flow.lat) * swing
        u = u + 2.0 * np.pi * flow.radius / period * cos
        turn = np.cos(2.0 * np.pi * t / period)
        u = u + lift * flow.radius / SCALE * np.cos(lon) * cos**2 * turn * column
        return u, strength * np.sin(2.0 * lon) * cos * swing

    return at


def blobs(flow: Flow, p: Array) -> Array:
    """q1: two cosine blobs 5 km above the ground in air of 300 K, [K, lat, lon]."""
    z = 287.0 * 300.0 / 9.80616 * np.log(SURFACE / p)

    def blob(lon: float) -> Array:
        d = (2.0 * flow.arc(lon, 0.0)) ** 2 + ((z - 5000.0) / 1000.0) ** 2
        return np.asarray(0.5 * (1.0 + np.cos(np.pi * np.minimum(1.0, d))))

    return blob(5.0 * np.pi / 6.0) + blob(7.0 * np.pi / 6.0)


@dataclass(frozen=True, kw_only=True)
class DcmipNumbers:
    """What DCMIP 2012 1-1 prints.

    Attributes:
        q1, q2, constant: of the blobs, of 0.9 - 0.8 q1^2, of 1.
        above, below: how far q2(q1) leaves the region between its curve and the curve's chord,
            where mixing can bring it, upwards and downwards [1].
    """

    q1: Numbers
    q2: Numbers
    constant: Numbers
    above: float
    below: float


def dcmip_11(nlat: int, levels: int, steps: int) -> DcmipNumbers:
    """Three-dimensional deformation that returns after 12 days (DCMIP 2012 1-1)."""
    flow, _, p = dcmip_grid(nlat, levels)
    first = blobs(flow, p)
    top = float(first.max())
    q = np.stack([first, 0.9 - 0.8 * first**2, np.ones_like(first)])
    (q1, q2, constant), end = flow.numbers(q, deformation_3d(flow, p), TAU, steps)
    curve, chord = 0.9 - 0.8 * end[0] ** 2, 0.9 - 0.8 * end[0] * top
    return DcmipNumbers(
        q1=q1,
        q2=q2,
        constant=constant,
        above=float(max(0.0, (end[1] - curve).max())),
        below=float(max(0.0, (chord - end[1]).max())),
    )
