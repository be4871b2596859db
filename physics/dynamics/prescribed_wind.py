"""Prescribed winds as the host of parameterizations: the published tests of transport as runs.

Two schemes of the process ``atmosphere``: one layer of air, and an isothermal atmosphere under the
lid of DCMIP 2012. Winds and starts are those of ``prescribed``, moved by the transport that carries
humidity in the spectral atmosphere; the winds do not feel the tracers. A step first adds dt times
the rates of schemes (``chemistry``, say), then moves. ``budgets.nc`` has the mass, the least and
the greatest value of every tracer: what transport must keep.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field as Limit
from pydantic import field_validator

from coupler.interface.component import Array, ColumnModel, Params, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import BadValue, ConfigError, nearest
from coupler.interface.fields import FIELDS, Field, tracer
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.terminator import balanced, photolysis
from physics.dynamics import prescribed
from physics.dynamics.prescribed import TAU, Flow, Wind

_TEMPERATURE = 300.0
"""Of the isothermal atmosphere [K]."""


def _reactant(number: int) -> Callable[[Flow, Array], Array]:
    def start(flow: Flow, p: Array) -> Array:
        k1 = photolysis(np.degrees(flow.lat), np.degrees(flow.lon))
        return balanced(k1)[number][None]

    return start


def _curve(flow: Flow, p: Array) -> Array:
    return np.asarray(0.9 - 0.8 * prescribed.blobs(flow, p) ** 2)


def _uniform(flow: Flow, p: Array) -> Array:
    return np.ones((flow.b.size - 1, flow.nlat, 2 * flow.nlat))


LAYER_STARTS: dict[str, Callable[[Flow, Array], Array]] = {
    "hills": lambda flow, p: prescribed.hills(flow),
    "cylinders": lambda flow, p: prescribed.cylinders(flow),
    "bell": lambda flow, p: prescribed.bell(flow),
    "cl": _reactant(0),
    "cl2": _reactant(1),
    "uniform": _uniform,
}
"""Initial mixing ratio [1], [1, lat, lon], by name of the tracer."""
AIR_STARTS: dict[str, Callable[[Flow, Array], Array]] = {
    "blobs": prescribed.blobs,
    "curve": _curve,
    "uniform": _uniform,
}
"""The same of DCMIP 2012 1-1, [K, lat, lon]: q1, q2 = 0.9 - 0.8 q1^2."""


def _known(value: tuple[str, ...], starts: Mapping[str, object]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise BadValue(
            "no tracers to move", expected="names, each once", found=repr(list(value)),
            remedy=nearest("", starts),
        )  # fmt: skip
    for name in value:
        if name not in starts:
            raise BadValue("no start for a tracer", found=repr(name), remedy=nearest(name, starts))
    return value


class PrescribedParameters(Params):
    """What both schemes share."""

    latitudes: int = Limit(default=64, ge=8, le=1024, multiple_of=2)
    """Gaussian latitudes, half as many as longitudes: 32 is the grid of T21, 64 of T42."""
    dt: Annotated[float, Unit("s"), Limit(ge=1.0)] = 4050.0
    period: Annotated[float, Unit("s"), Limit(gt=0.0)] = TAU
    """After which everything is back."""


class PrescribedLayerParameters(PrescribedParameters):
    """The default is the deformation of Nair and Lauritzen (2010), of their two hills."""

    flow: Literal["deformation", "rotation"] = "deformation"
    """Deformation that swings back (their case 4), or the solid rotation of Williamson et al.
    (1992), case 1."""
    angle: Annotated[float, Unit("degree"), Limit(ge=-90.0, le=90.0)] = 0.0
    """Between the axis of `rotation` and that of the grid; 90 carries over the poles."""
    tracers: tuple[str, ...] = ("hills", "uniform")
    """``hills``, ``cylinders``, ``bell``, ``uniform``, or ``cl`` and ``cl2`` for `terminator`."""

    @field_validator("tracers")
    @classmethod
    def _tracers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, LAYER_STARTS)


class PrescribedAirParameters(PrescribedParameters):
    """DCMIP 2012, test 1-1."""

    layers: int = Limit(default=30, ge=3, le=200)
    """Of equal pressure, from 254.944 hPa to the ground."""
    dt: Annotated[float, Unit("s"), Limit(ge=1.0)] = 1800.0
    tracers: tuple[str, ...] = ("blobs", "curve", "uniform")

    @field_validator("tracers")
    @classmethod
    def _tracers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, AIR_STARTS)


class _Prescribed(ColumnModel):
    """What both schemes share."""

    starts: ClassVar[Mapping[str, Callable[[Flow, Array], Array]]]

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid = Grid.gaussian(self.p.latitudes, 2 * self.p.latitudes)
        self.levels = self._levels()
        self.dt = float(self.p.dt)
        self.planet = Planet()
        self.dtype = np.dtype(np.float32)
        self.tracers = tuple(self.p.tracers)
        for name in self.tracers:
            tracer(name)

    @abstractmethod
    def _levels(self) -> HybridLevels:
        """The model's levels."""

    @abstractmethod
    def _wind(self, flow: Flow, pressure: Array) -> Wind:
        """Wind of the test on the flow's grid."""

    def setup(self, site: Site) -> None:
        """Builds the flow and its tracers.

        Raises:
            ConfigError: for a start from data.
        """
        if site.initial is not None:
            raise ConfigError.of(
                "a start from data for a prescribed wind",
                "initial",
                remedy="leave it out and name atmosphere.tracers",
            )
        self.planet, self.dtype = site.planet, np.dtype(site.dtype)
        self.flow = flow = Flow(
            self.grid.shape[0],
            radius=site.planet.radius,
            a=self.levels.a,
            b=self.levels.b,
            dtype=self.dtype,
        )
        half = self.levels.half_pressure(np.array(prescribed.SURFACE))[:, None, None]
        full = 0.5 * (half[1:] + half[:-1])
        self._at = self._wind(flow, full)
        found = [self.starts[name](flow, full) for name in self.tracers]
        self._q = np.stack(found).astype(self.dtype)
        self._steps = 0
        self._arrays = self._columns(half, full) | dict(zip(self.tracers, self._q, strict=True))
        self._show()

    def _columns(self, half: Array, full: Array) -> dict[str, Array]:
        shape = self._q.shape[1:]
        return {"ua": np.zeros(shape, self.dtype), "va": np.zeros(shape, self.dtype)}

    def _show(self) -> None:
        """Brings the winds to the time of the tracers."""
        for name, wind in zip(("ua", "va"), self._at(self._steps * self.dt), strict=True):
            self._arrays[name][...] = wind

    def columns(self) -> Mapping[str, Array]:
        """See `ColumnModel.columns`; one layer has wind and tracers."""
        return self._arrays

    def fields(self) -> Mapping[str, Array]:
        """The provided fields, and the tracers."""
        return {n: self._arrays[n] for n in (*(f.name for f in self.provides), *self.tracers)}

    def physics_dt(self) -> float:
        """dt [s]."""
        return self.dt

    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step of dt; only tendencies of tracers matter."""
        transport, ps, dt = self.flow.transport, self.flow.surface, self.dt
        for name, q in zip(self.tracers, self._q, strict=True):
            if name in tendencies:
                transport.add_source(q, tendencies[name].reshape(q.shape), ps, dt)
        transport.clear()
        transport.add_wind(self._arrays["ua"], self._arrays["va"], ps, 0.5 * dt)
        self._steps += 1
        self._show()
        transport.add_wind(self._arrays["ua"], self._arrays["va"], ps, 0.5 * dt)
        transport.advance(self._q, ps, ps, reverse=self._steps % 2 == 0)

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Mass, least and greatest value of every tracer."""
        found = {}
        for name, q in zip(self.tracers, self._q, strict=True):
            mass = self.flow.mass(q) / self.planet.gravity
            found[f"mass_of_{name}"] = (mass, "kg m-2", f"global mean of the mass of {name}")
            found[f"least_{name}"] = (float(q.min()), "1", f"least mixing ratio of {name}")
            found[f"greatest_{name}"] = (float(q.max()), "1", f"greatest mixing ratio of {name}")
        return found

    def memory(self) -> dict[str, Any]:
        """The tracers and how many steps they were moved."""
        return {"tracers": self._q, "steps": np.array(self._steps, dtype=np.int64)}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        self._q[...] = memory["tracers"]
        self._steps = int(memory["steps"])
        self._show()


@scheme("atmosphere", "prescribed_layer")
class PrescribedLayer(_Prescribed):
    """One layer of air with a wind from a formula: tests of transport in two dimensions."""

    Parameters = PrescribedLayerParameters
    starts = LAYER_STARTS
    provides: ClassVar[tuple[Field, ...]] = (FIELDS["ua"], FIELDS["va"])

    def _levels(self) -> HybridLevels:
        return HybridLevels.layer()

    def _wind(self, flow: Flow, pressure: Array) -> Wind:
        if self.p.flow == "rotation":
            return prescribed.rotation(flow, float(np.radians(self.p.angle)), self.p.period)
        return prescribed.deformation(flow, self.p.period)


@scheme("atmosphere", "prescribed_air")
class PrescribedAir(_Prescribed):
    """Isothermal air with the three-dimensional wind of DCMIP 2012, test 1-1."""

    Parameters = PrescribedAirParameters
    starts = AIR_STARTS
    provides: ClassVar[tuple[Field, ...]] = tuple(
        FIELDS[n] for n in ("ua", "va", "ta", "hus", "ps", "zg", "zghalf", "pfull", "phalf")
    )

    def _levels(self) -> HybridLevels:
        b = np.linspace(0.0, 1.0, self.p.layers + 1)
        return HybridLevels(a=prescribed.TOP * (1.0 - b), b=b, name="custom")

    def _wind(self, flow: Flow, pressure: Array) -> Wind:
        return prescribed.deformation_3d(flow, pressure, self.p.period)

    def _columns(self, half: Array, full: Array) -> dict[str, Array]:
        shape, planet = self._q.shape[1:], self.planet
        scale = planet.gas_constant_dry * _TEMPERATURE / planet.gravity
        levels = {
            "pfull": full,
            "phalf": half,
            "zg": scale * np.log(prescribed.SURFACE / full),
            "zghalf": scale * np.log(prescribed.SURFACE / half),
        }
        found = super()._columns(half, full) | {
            n: np.broadcast_to(x, (x.shape[0], *shape[1:])).astype(self.dtype)
            for n, x in levels.items()
        }
        found["ta"] = np.full(shape, _TEMPERATURE, self.dtype)
        found["hus"] = np.zeros(shape, self.dtype)
        found["ps"] = self.flow.surface
        return found
