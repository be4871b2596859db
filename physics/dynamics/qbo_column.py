r"""The one-dimensional model of the quasi-biennial oscillation (process ``atmosphere``).

.. math:: \partial_t u + w\,\partial_z u - K\,\partial_{zz} u = g\,\partial_p F + G

The zonal-mean wind u [m s-1] over the equator between 17 and 35 km, lifted by the upwelling w
[m s-1], mixed by K [m2 s-1] and pushed by waves of momentum flux F [Pa], which come from whatever
scheme of ``gravity_wave`` the case names. Temperature is constant; u is held at both ends.

    leapfrog   (I + dt A) u(n+1) = (I - dt A) u(n-1) + 2 dt s(n),  A = w d/dz - K d2/dz2, after a
               forward Euler step; no time filter
    split      u* = u(n) + dt s(n);  (I + dt A) u(n+1) = u*

G is a semi-annual forcing of the uppermost part, off by default:
``2 G_sa (z - 28 km)/km omega sin(omega t)`` above 28 km, omega = 2 pi / 180 days.

Sources: Holton and Lindzen (1972), doi:10.1175/1520-0469(1972)029<1076:AUTFTQ>2.0.CO;2, and Plumb
(1977), doi:10.1175/1520-0469(1977)034<1847:TIOTLA>2.0.CO;2. The planet of the published figures has
g = 9.8, R = 287.04 and p0 = 101325 (the case sets them).

On ``levels: height`` the layers are centred on nodes of even spacing, and their pressure is that of
an isothermal atmosphere; they do not reach the ground. With the levels of a global model
(``levels: hybrid40``) the whole column is there, so that any scheme finds its source level, and the
wind is free where it is on ``height``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field as Limit
from pydantic import field_validator, model_validator

from coupler.interface.component import Array, ColumnModel, Params, Site
from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.errors import ConfigError
from coupler.interface.fields import FIELDS, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.dynamics.qbo_kernel import difference_weights, step

_Height = Annotated[float, Unit("m"), Limit(ge=0)]
_YEAR = 360.0 * SECONDS_PER_DAY
_OMEGA = 2.0 * math.pi / (180.0 * SECONDS_PER_DAY)


class QBOParameters(Params):
    """Defaults are those of the two-wave model with a period of 25.7 months."""

    levels: str = "height"
    """``height``: even layers from `bottom` to `top`; ``hybridK``, ``sigmaK``: a whole column."""
    bottom: _Height = 17.0e3
    """Winds at and below this height are held."""
    top: _Height = 35.0e3
    """Winds at and above this height are held."""
    spacing: Annotated[float, Unit("m"), Limit(gt=0)] = 250.0
    """Of the layers of ``height``."""
    columns: Annotated[int, Limit(ge=1, le=10_000)] = 1
    """Independent members, side by side on the equator; they differ by their random numbers."""
    dt: Annotated[float, Unit("s"), Limit(gt=0)] = SECONDS_PER_DAY
    stepping: Literal["leapfrog", "split"] = "leapfrog"
    diffusivity: Annotated[float, Unit("m2 s-1"), Limit(ge=0)] = 0.3
    upwelling: Annotated[float, Unit("m s-1")] = 0.0
    upwelling_annual: Annotated[float, Unit("m s-1")] = 0.0
    """Amplitude of its annual cycle, largest at the start of a 360-day year."""
    semi_annual: Annotated[float, Unit("m s-1")] = 0.0
    """G_sa of the semi-annual forcing above 28 km."""
    temperature: Annotated[float, Unit("K"), Limit(gt=0)] = 204.0
    initial_wind: Annotated[float, Unit("m s-1")] = 14.0
    """Largest value of the initial wind, a parabola between bottom and top."""

    @field_validator("levels")
    @classmethod
    def _levels(cls, value: str) -> str:
        if value != "height":
            try:
                HybridLevels.named(value)
            except ConfigError as error:
                raise ValueError(f"{error}, or 'height'") from error
        return value

    @model_validator(mode="after")
    def _even(self) -> QBOParameters:
        layers = (self.top - self.bottom) / self.spacing
        if layers < 3.0:
            raise ValueError("top must lie at least three spacings above bottom")
        if abs(layers - round(layers)) > 1e-6:
            raise ValueError("spacing must divide the height between bottom and top")
        return self


@scheme("atmosphere", "qbo_1d")
class QBOColumn(ColumnModel):
    """Wind over the equator driven by waves, in one dimension."""

    Parameters = QBOParameters
    provides: ClassVar[tuple[Field, ...]] = tuple(
        FIELDS[n] for n in ("ua", "va", "ta", "hus", "ps", "zg", "zghalf", "pfull", "phalf", "orog")
    )

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid = Grid.column(0.0, count=self.p.columns)
        self.dt = float(self.p.dt)
        self.dtype = np.dtype(np.float64)
        self.place(Planet())

    def place(self, planet: Planet) -> None:
        """Heights, pressures and levels on `planet`."""
        p: QBOParameters = self.p
        self.planet = planet
        scale = planet.gas_constant_dry * p.temperature / planet.gravity
        p0 = planet.reference_pressure
        if p.levels == "height":
            n = round((p.top - p.bottom) / p.spacing)
            z = p.bottom + p.spacing * np.arange(n, -1, -1, dtype=np.float64)
            half = p.bottom + p.spacing * (np.arange(n + 1, -1, -1, dtype=np.float64) - 0.5)
            self._pfull, self._phalf = p0 * np.exp(-z / scale), p0 * np.exp(-half / scale)
            self.levels = HybridLevels.pressure(self._phalf, name=f"height{n + 1}")
        else:
            self.levels = HybridLevels.named(p.levels)
            self._phalf = self.levels.half_pressure(np.asarray(p0))
            self._pfull = 0.5 * (self._phalf[1:] + self._phalf[:-1])
            z = scale * np.log(p0 / self._pfull)
            # An open top is drawn where the global core draws it, one scale height up or so.
            half = scale * np.log(p0 / np.maximum(self._phalf, 0.25 * self._pfull[0]))
        self._z, self._half = z, half
        self.height = z
        """Of the layers' middles [m], shape [level], top first."""

    def setup(self, site: Site) -> None:
        """Places the layers and starts from a parabola of wind.

        Raises:
            ConfigError: when no layer of the chosen levels can move.
        """
        p: QBOParameters = self.p
        self.dtype = np.dtype(site.dtype)
        self.place(site.planet)
        self._first, self._second, self._free = difference_weights(self._z, p.bottom, p.top)
        if np.count_nonzero(self._free) < 3:
            raise ConfigError.of(
                "a QBO without room",
                f"atmosphere.levels={p.levels}",
                expected=f"at least 3 layers between {p.bottom:g} and {p.top:g} m",
                found=f"{np.count_nonzero(self._free):.0f}",
                remedy="take more levels, or levels: height",
            )
        nlev, ncol = self._z.size, self.grid.ncol
        half = 0.5 * (p.top - p.bottom)
        parabola = -(p.initial_wind / half**2) * (self._z - p.bottom) * (self._z - p.top)
        self._now = np.repeat(np.maximum(self._free * parabola, 0.0)[:, None], ncol, axis=1)
        if p.initial_wind < 0.0:
            self._now[...] = np.repeat((self._free * parabola)[:, None], ncol, axis=1)
        self._before, self._next = self._now.copy(), np.zeros_like(self._now)
        self._source, self._w = np.zeros_like(self._now), np.zeros(nlev)
        self._semi = self._free * np.maximum(0.0, self._z - 28.0e3) / 1e3
        self._work = np.zeros((2, nlev))
        self._steps = np.array(0, np.int64)
        self._arrays = self._columns()
        self._fresh = False

    def _columns(self) -> dict[str, Array]:
        p, grid = self.p, self.grid

        def spread(profile: Array) -> Array:
            column = profile.astype(self.dtype)[:, None, None]
            return np.tile(column, (1, *grid.shape))

        calm = np.zeros_like(self._z)
        return {
            "ua": spread(calm),
            "va": spread(calm),
            "ta": spread(np.full_like(self._z, p.temperature)),
            "hus": spread(calm),
            "pfull": spread(self._pfull),
            "phalf": spread(self._phalf),
            "zg": spread(self._z),
            "zghalf": spread(self._half),
            "ps": np.full(grid.shape, self.planet.reference_pressure, self.dtype),
            "orog": np.zeros(grid.shape, self.dtype),
        }

    def columns(self) -> Mapping[str, Array]:
        """See `ColumnModel.columns`; only ``ua`` ever changes. ``ps`` is the reference pressure."""
        if not self._fresh:
            self._arrays["ua"].reshape(self._now.shape)[...] = self._now
            self._fresh = True
        return self._arrays

    def fields(self) -> Mapping[str, Array]:
        """The provided fields."""
        return self.columns()

    def physics_dt(self) -> float:
        """2 dt of the leapfrog step; dt for the first one and for ``split`` [s]."""
        return self.dt if self.p.stepping == "split" or not self._steps else 2.0 * self.dt

    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step of dt; only the tendency of ``ua`` matters."""
        p, dt, source = self.p, self.dt, self._source
        seconds = dt * int(self._steps)
        given = tendencies.get("ua")
        source[...] = 0.0 if given is None else given.reshape(source.shape)
        if p.semi_annual:
            size = 2.0 * p.semi_annual * _OMEGA * math.sin(_OMEGA * seconds)
            source += size * self._semi[:, None]
        cycle = math.cos(2.0 * math.pi * seconds / _YEAR)
        self._w.fill(p.upwelling + p.upwelling_annual * cycle)
        start = self._now
        if p.stepping == "split":
            times = (0.0, dt, dt)
        elif not self._steps:
            times = (dt, dt, 0.0)
        else:
            times, start = (dt, 2.0 * dt, dt), self._before
        step(
            start, source, self._w, p.diffusivity, self._first, self._second, self._free, times,
            self._work, self._next,
        )  # fmt: skip
        self._before, self._now, self._next = self._now, self._next, self._before
        self._steps += 1
        self._fresh = False

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Momentum of the column and the extremes of its wind."""
        mass = np.diff(self._phalf)[:, None] / self.planet.gravity
        momentum = float((mass * self._now).sum(axis=0).mean())
        return {
            "momentum": (momentum, "kg m-1 s-1", "column momentum, mean of the columns"),
            "max_wind": (float(self._now.max()), "m s-1", "largest eastward wind"),
            "min_wind": (float(self._now.min()), "m s-1", "smallest eastward wind"),
        }

    def memory(self) -> dict[str, Array]:
        """Both time levels and the number of steps."""
        return {"before": self._before, "now": self._now, "steps": self._steps}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        super().restore(memory)
        self._fresh = False
