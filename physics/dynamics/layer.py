"""One layer of fluid as the host of parameterizations: shallow water, barotropic vorticity.

Two schemes of the process ``atmosphere``; the equations are in ``shallow_water``. A layer has wind
and no temperature, humidity or pressure: schemes that need those are refused by name, schemes that
push the wind alone act on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field as Limit
from pydantic import field_validator

from coupler.interface.component import Array, ColumnModel, Params, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import BadValue, ConfigError, Problem, nearest
from coupler.interface.fields import FIELDS, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.dynamics.atmosphere import Truncation
from physics.dynamics.core import quadratic_grid
from physics.dynamics.leapfrog import TimeFilter
from physics.dynamics.shallow_water import LayerCore, LayerDiffusion
from physics.dynamics.shallow_water_initial import LAYER_STATES, TILTED, LayerFrame
from physics.dynamics.step_limit import courant_numbers

_WIND = 100.0
"""Wind that the advice on the time step allows for [m s-1]."""
_RK4 = 2.83
"""The Runge-Kutta scheme is stable for frequencies up to this / dt on the imaginary axis."""


class LayerParameters(Params):
    """What both equations share."""

    truncation: Truncation = 42
    """Triangular truncation, ``T42`` or 42; the grid is the quadratic one."""
    dt: Annotated[float, Unit("s"), Limit(ge=1.0)] = 600.0
    initial: str = "rossby_haurwitz"
    """Initial state by name."""
    stepping: Literal["leapfrog", "rk4"] = "leapfrog"
    """Semi-implicit leapfrog with a time filter, or the classical Runge-Kutta scheme."""
    tilt: Annotated[float, Unit("degree"), Limit(ge=-180.0, le=180.0)] = 0.0
    """Angle between the axis of rotation and that of the grid."""
    diffusion: float = Limit(default=5e15, ge=0.0)
    """Coefficient nu of ``nu (-lap)^p`` [m^(2p) s-1]; the default is for T42 and p = 2."""
    diffusion_power: int = Limit(default=2, ge=1, le=16)
    """p, half the order of the diffusion: 2 is del^4."""
    filter_strength: float = Limit(default=0.1, ge=0.0, le=0.5)
    """Of the Robert-Asselin-Williams filter."""
    filter_alpha: float = Limit(default=0.53, ge=0.5, le=1.0)

    @field_validator("initial")
    @classmethod
    def _initial(cls, value: str) -> str:
        if value not in LAYER_STATES:
            raise BadValue(
                "unknown initial state", found=repr(value), remedy=nearest(value, LAYER_STATES)
            )
        return value


class ShallowWaterParameters(LayerParameters):
    """Defaults are those of Williamson et al. (1992), case 6, at T42."""

    diffuse_height: bool = False
    """Whether diffusion smooths the free surface too."""


class _Layer(ColumnModel):
    """What both equations share."""

    divergent: ClassVar[bool]

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        self.grid = Grid.gaussian(*quadratic_grid(self.p.truncation))
        self.levels = HybridLevels.layer()
        self.dt = float(self.p.dt)
        self.planet = Planet()
        self.dtype = np.dtype(np.float32)

    def setup(self, site: Site) -> None:
        """Builds the core and its initial state.

        Raises:
            ConfigError: for a tilt that the initial state is not meant for, or a start from data.
        """
        p = self.p
        if p.tilt and p.initial not in TILTED:
            raise ConfigError.of(
                "initial state that no tilted axis goes with",
                f"atmosphere.initial={p.initial}",
                expected=" or ".join(TILTED),
                found=f"tilt = {p.tilt:g} degree",
                remedy="leave the tilt out",
            )
        if site.initial is not None:
            raise ConfigError.of(
                "a start from data for one layer of fluid",
                "initial",
                remedy="leave it out and name atmosphere.initial",
            )
        self.planet, self.dtype = site.planet, np.dtype(site.dtype)
        tilt = float(np.radians(p.tilt))
        self.core = core = LayerCore(
            truncation=p.truncation,
            planet=site.planet,
            dt=self.dt,
            divergent=self.divergent,
            stepping=p.stepping,
            tilt=tilt,
            diffusion=LayerDiffusion(
                coefficient=p.diffusion,
                power=p.diffusion_power,
                height=getattr(p, "diffuse_height", False),
            ),
            time_filter=TimeFilter(strength=p.filter_strength, alpha=p.filter_alpha),
            dtype=torch.float64 if self.dtype == np.float64 else torch.float32,
        )
        tr, g = core.transform, site.planet.gravity
        frame = LayerFrame(
            sin_lat=tr.sin_lat,
            weights=tr.gauss_weights,
            nlon=tr.nlon,
            planet=site.planet,
            tilt=tilt,
        )
        start = LAYER_STATES[p.initial](frame)
        core.start(start.ua, start.va, g * start.height, g * start.ground)
        self._arrays = self._columns()
        self._fresh = False

    def _columns(self) -> dict[str, Array]:
        return self.core.grid_state()

    def columns(self) -> Mapping[str, Array]:
        """``ua va rv``, each ``[1, lat, lon]``, and what the equations have besides."""
        if not self._fresh:
            self.core.expose()
            self._fresh = True
        return self._arrays

    def fields(self) -> Mapping[str, Array]:
        """The provided fields."""
        return self.columns()

    def physics_dt(self) -> float:
        """dt for ``rk4`` and the first step, 2 dt for leapfrog [s]."""
        return self.core.physics_dt()

    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step of dt; only tendencies of ``ua`` and ``va`` matter."""
        self.core.step(tendencies)
        self._fresh = False

    def advice(self) -> list[Problem]:
        """Says when the step is probably too long."""
        limit, why = self._longest_step()
        if self.dt <= limit:
            return []
        return [
            Problem(
                what="step probably too long for the truncation, the run may blow up",
                name="atmosphere.dt",
                expected=f"at most about {limit:.0f} s at T{self.p.truncation} with {why}",
                found=f"{self.dt:g} s",
            )
        ]

    def strain(self, memory: Mapping[str, Array]) -> tuple[float, Problem] | None:
        """The largest Courant number of a state; Runge-Kutta follows the gravity waves too."""
        ua, va = memory["grid"][:2, None]
        if not (np.isfinite(ua).all() and np.isfinite(va).all()):
            return None
        p, explicit = self.p, self.p.stepping == "rk4"
        waves = float(np.sqrt(memory["reference"])) if explicit and self.divergent else 0.0
        per_speed = self.dt * p.truncation / self.planet.radius
        wind = float(courant_numbers(ua, va, self.dt, p.truncation, self.planet.radius)[0])
        number = wind + per_speed * waves
        carried = f"{wind / per_speed:.0f} m/s" + (f" and waves of {waves:.0f} m/s" * (waves > 0.0))
        problem = Problem(
            what="Courant number of the last state that was finite",
            name="atmosphere",
            expected=f"dt T |V| / a below {_RK4 if explicit else 1.0:.3g}",
            found=f"{number:.2f}: {carried}, atmosphere.dt = {self.dt:g} s, T{p.truncation}",
        )
        return number, problem

    def _longest_step(self) -> tuple[float, str]:
        """Longest step [s], from the shortest wave's frequency, and what it follows from."""
        p, wavenumber = self.p, self.p.truncation / self.planet.radius
        if p.stepping == "leapfrog":
            return 1.0 / (wavenumber * _WIND), f"winds up to {_WIND:g} m/s"
        waves = np.sqrt(self.core.reference) if self.divergent else 0.0
        speed = waves + _WIND
        return _RK4 / (wavenumber * speed), f"stepping rk4 and speeds up to {speed:.0f} m/s"

    def memory(self) -> dict[str, Any]:
        """Both spectral time levels, the grid fields physics starts from, counters."""
        return self.core.memory()

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        self.core.restore(memory)
        self._fresh = False


@scheme("atmosphere", "shallow_water")
class ShallowWater(_Layer):
    """Shallow water on the sphere, spectral: the waves and vortices of one layer of fluid."""

    Parameters = ShallowWaterParameters
    divergent = True
    provides: ClassVar[tuple[Field, ...]] = tuple(
        FIELDS[n] for n in ("ua", "va", "rv", "zg", "orog")
    )

    def _columns(self) -> dict[str, Array]:
        arrays = super()._columns()
        arrays["zg"] = np.zeros((1, *self.grid.shape), self.dtype)
        arrays["orog"] = self.core.ground_height()
        return arrays

    def columns(self) -> Mapping[str, Array]:
        """Also ``zg``, the height of the free surface, and ``orog``, that of the ground [m]."""
        if not self._fresh:
            super().columns()
            self._arrays["zg"][0] = self.core.height()
        return self._arrays

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Mean depth, energy and potential enstrophy."""
        x, mean = self.core.integrals(), "global mean of "
        return {
            "depth": (x["depth"], "m", mean + "the depth of the fluid"),
            "total_energy": (x["energy"], "m3 s-2", mean + "kinetic and potential energy"),
            "potential_enstrophy": (x["enstrophy"], "m-1 s-2", mean + "potential enstrophy"),
            "max_wind": (x["max_wind"], "m s-1", "largest wind speed"),
        }


@scheme("atmosphere", "barotropic_vorticity")
class BarotropicVorticity(_Layer):
    """Barotropic vorticity on the sphere, spectral: non-divergent flow of one layer."""

    Parameters = LayerParameters
    divergent = False
    provides: ClassVar[tuple[Field, ...]] = tuple(FIELDS[n] for n in ("ua", "va", "rv"))

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Kinetic energy and enstrophy."""
        x, mean = self.core.integrals(), "global mean of "
        return {
            "kinetic_energy": (x["energy"], "m2 s-2", mean + "kinetic energy"),
            "enstrophy": (x["enstrophy"], "s-2", mean + "half the squared vorticity"),
            "max_wind": (x["max_wind"], "m s-1", "largest wind speed"),
        }
