"""Humidity and tracers of the dynamical core on the grid, at one time level.

The core's other unknowns are a leapfrog pair; what it shows to physics is the older one, X^{n-1},
and physics answers with rates for 2 dt. Humidity q^{n-1} belongs to that state. A step first adds
dt times the rate of physics (so a rate that leaves q + 2 dt P >= 0 leaves q + dt P >= 0 too, and
every step takes from the air exactly what the schemes report as rain), then moves q to the time of
X^n with the mean of the winds of both states and their surface pressures, all of which are on the
grid already. X^n with q^n is what the right-hand side sees and what physics gets next. Nothing is
kept but the grid state itself. With SIL3 the pair is X^n and X^{n+1}, and physics answers for dt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from coupler.interface.constants import Planet
from coupler.interface.parallel import Rows
from physics.dynamics.transform import SpectralTransform
from physics.dynamics.transport import GridTransport
from physics.dynamics.vertical import VerticalGrid

Array = NDArray[Any]


class GridMoisture:
    """Tracers on the grid; specific humidity, if among them, is the first.

    Args:
        transform, vertical, planet: of the core.
        names: of the tracers; ``hus`` is specific humidity.
        rows: latitudes of the transform's part of the globe; None: all.
    """

    def __init__(
        self,
        *,
        transform: SpectralTransform,
        vertical: VerticalGrid,
        planet: Planet,
        names: Sequence[str],
        rows: Rows | None = None,
    ) -> None:
        if "hus" in names[1:] or len(set(names)) != len(names):
            raise ValueError(
                f"tracers on the grid: expected names once each, 'hus' first, got {list(names)}"
            )
        if not names or transform.device.type != "cpu":
            raise ValueError(
                "grid-space moisture: expected at least one tracer on the CPU, got "
                f"{len(names)} on {transform.device.type}; use moisture='spectral'"
            )
        self.names = tuple(names)
        self.wet = names[0] == "hus"
        """Whether specific humidity is among the tracers."""
        plane = (transform.nlat, transform.nlon)
        self.fields = torch.zeros((len(names), vertical.levels, *plane), dtype=transform.dtype)
        """Mixing ratios [1], [tracer, K, lat, lon]."""
        self._q: Array = self.fields.numpy()
        self.transport = GridTransport(
            sin_lat=transform.all_sin_lat,
            weights=transform.all_weights,
            nlon=transform.nlon,
            a=vertical.a,
            b=vertical.b,
            radius=planet.radius,
            dtype=self._q.dtype,
            rows=rows,
        )
        self._ps_before = np.zeros(plane, self._q.dtype)
        self._gravity = planet.gravity
        self.filled = 0.0
        """Water that filled negative values left by physics in the last step, global mean [kg m-2].
        """
        self.made = 0.0
        """The part of it for which the column had no water [kg m-2]."""

    def begin(self, values: Mapping[str, ArrayLike]) -> None:
        """Takes initial mixing ratios [K, lat, lon], or one for all cells; none is 0.

        Negative values become 0.
        """
        for q, name in zip(self._q, self.names, strict=True):
            q[...] = np.maximum(values.get(name, 0.0), 0.0)

    def arrays(self) -> dict[str, Array]:
        """Mixing ratios by name [1], [K, lat, lon]; the same memory at every call."""
        return dict(zip(self.names, self._q, strict=True))

    def mass(self, name: str, ps: Array) -> float:
        """Mass of one tracer, global mean [kg m-2]."""
        return self.transport.mass(self._q[self.names.index(name)], ps) / self._gravity

    def water(self, ps: Array) -> float:
        """Weight of all water vapour, global mean [Pa]."""
        return self.transport.mass(self._q[0], ps)

    def leave(
        self, ua: Array, va: Array, ps: Array, rates: Mapping[str, Array], dt: float
    ) -> float | None:
        """First half of a step, on the state that physics saw.

        Args:
            ua, va: [m s-1], [K, lat, lon]. ps: [Pa], [lat, lon].
            rates: by physics [s-1], [K, lat, lon]; those of tracers matter.
            dt: of the step [s].

        Returns:
            weight of all water vapour afterwards, global mean [Pa], which transport does not
            change; None without humidity.
        """
        self.transport.clear()
        self.transport.add_wind(ua, va, ps, 0.5 * dt)
        self._ps_before[...] = ps
        water = None
        for q, name in zip(self._q, self.names, strict=True):
            if name == "hus":
                water, moved, made = self.transport.add_source(q, rates.get(name), ps, dt)
                self.filled, self.made = moved / self._gravity, made / self._gravity
            elif name in rates:
                self.transport.add_source(q, rates[name], ps, dt)
        return water

    def arrive(self, ua: Array, va: Array, ps: Array, dt: float, *, reverse: bool) -> None:
        """Second half of a step: with the wind and surface pressure of the new centre."""
        self.transport.add_wind(ua, va, ps, 0.5 * dt)
        self.transport.advance(self._q, self._ps_before, ps, reverse=reverse)
