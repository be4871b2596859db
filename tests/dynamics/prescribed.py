"""Tracers in winds that are given as functions of time: grids, norms, one loop."""

from dataclasses import dataclass, field

import numpy as np

from physics.dynamics.transport import GridTransport

EARTH = 6.37122e6
DAY = 86400.0


@dataclass
class Flow:
    """A Gaussian grid of `nlat` x 2 `nlat` with half-level coefficients, and its transport."""

    nlat: int
    radius: float = EARTH
    a: np.ndarray = field(default_factory=lambda: np.zeros(2))
    b: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0]))
    dtype: type = np.float64
    ps: float = 1.0e5

    def __post_init__(self):
        self.mu, self.weights = np.polynomial.legendre.leggauss(self.nlat)
        self.lat = np.arcsin(self.mu)[:, None]
        self.lon = (np.arange(2 * self.nlat) * np.pi / self.nlat)[None]
        self.transport = GridTransport(
            sin_lat=self.mu, weights=self.weights, nlon=2 * self.nlat, a=self.a, b=self.b,
            radius=self.radius, dtype=self.dtype,
        )  # fmt: skip
        self.surface = np.full((self.nlat, 2 * self.nlat), self.ps, self.dtype)

    def mass(self, q):
        return self.transport.mass(q, self.surface)

    def run(self, q, wind, duration, steps, watch=lambda q: None):
        """Moves q [tracer, K, lat, lon] in place; `wind(t)` gives u, v [K, lat, lon]."""
        dt, tr = duration / steps, self.transport
        shape = q.shape[1:]

        def at(t):
            return [np.ascontiguousarray(np.broadcast_to(x, shape), self.dtype) for x in wind(t)]

        new = at(0.0)
        for n in range(steps):
            old, new = new, at((n + 1) * dt)
            tr.clear()
            tr.add_wind(*old, self.surface, 0.5 * dt)
            tr.add_wind(*new, self.surface, 0.5 * dt)
            tr.advance(q, self.surface, self.surface, reverse=n % 2 == 1)
            watch(q)
        return q

    def arc(self, lon, lat):
        """Great-circle distance from a point, on the unit sphere, [lat, lon]."""
        cosine = np.sin(lat) * np.sin(self.lat) + np.cos(lat) * np.cos(self.lat) * np.cos(
            self.lon - lon
        )
        return np.arccos(np.clip(cosine, -1.0, 1.0))

    def mean(self, x):
        return 0.5 * float(self.weights @ x.mean((0, 2)))

    def norms(self, q, truth):
        """l1, l2, linf of Williamson et al. (1992), of fields [K, lat, lon]."""
        error = q - truth
        return (
            self.mean(np.abs(error)) / self.mean(np.abs(truth)),
            np.sqrt(self.mean(error**2) / self.mean(truth**2)),
            np.abs(error).max() / np.abs(truth).max(),
        )
