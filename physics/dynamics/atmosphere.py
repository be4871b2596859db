"""The spectral dynamical core as the host of parameterizations (process ``atmosphere``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, field_validator, model_validator
from pydantic import Field as Limit

from coupler.interface.component import Array, ColumnModel, Params, Port, Site, reads
from coupler.interface.constants import Planet
from coupler.interface.errors import BadValue, ConfigError, CouplerError, Problem, nearest
from coupler.interface.fields import FIELDS, Field, tracer
from coupler.interface.grid import Grid
from coupler.interface.parallel import Along, Rows, Spread
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.dynamics.angular_momentum import SOURCES, AngularMomentum
from physics.dynamics.core import DynamicalCore, quadratic_grid
from physics.dynamics.initial import (
    GridState,
    filtered_orography,
    saturated,
    to_spectral,
    with_noise,
)
from physics.dynamics.initial_states import FLAT, GROUNDS, INITIAL_STATES
from physics.dynamics.leapfrog import Diffusion, TimeFilter
from physics.dynamics.levels import Levels, hybrid_levels
from physics.dynamics.sil3 import STABLE
from physics.dynamics.step_limit import advective_limit, courant_numbers

Positive = Limit(gt=0.0)


def _number(value: object) -> object:
    match = re.fullmatch(r"[Tt]?(\d{1,4})", value) if isinstance(value, str) else None
    number = int(match[1]) if match else value
    if isinstance(number, bool) or not isinstance(number, int) or not 5 <= number <= 400:
        raise BadValue(
            "impossible truncation",
            expected="a triangular truncation from T5 to T400, such as T21",
            found=repr(value),
        )
    return number


Truncation = Annotated[int, BeforeValidator(_number)]
"""A triangular truncation, ``T21`` or 21."""


def _tracers(value: object) -> object:
    """A list of names as a mapping to 0; the names go into the table of fields."""
    given = dict.fromkeys(value, 0.0) if isinstance(value, list | tuple) else value
    if not isinstance(given, Mapping) or not all(isinstance(n, str) for n in given):
        raise BadValue(
            "no tracers", expected="a list of names, or a mixing ratio by name", found=repr(value)
        )
    for name, start in given.items():
        number = isinstance(start, int | float) and not isinstance(start, bool)
        if not number or not 0.0 <= start <= 1.0:
            raise BadValue(
                f"impossible initial mixing ratio of tracer {name}",
                expected="a number from 0 to 1",
                found=repr(start),
            )
        try:
            tracer(name)
        except ConfigError as error:
            (problem,) = error.problems
            raise BadValue(
                f"{problem.what}: {name}", expected=problem.expected, found=problem.found
            ) from error
    return given


class SpectralParameters(Params):
    """Parameters of the spectral atmosphere; defaults are for T21 to T42 with a top near 1 hPa."""

    truncation: Truncation = 21
    """Triangular truncation, ``T21`` or 21."""
    latitudes: int | None = None
    """Gaussian latitudes, half as many as longitudes; by default the quadratic grid's."""
    levels: Levels = "hybrid30"
    """A name, or interfaces from the top to the ground: {sigma: [..]}, or {a: [.. Pa], b: [..]}."""
    dt: Annotated[float, Unit("s"), Limit(ge=1.0)] = 1200.0
    initial: str = "jablonowski_williamson"
    """Initial state by name; unused when the case gives one from data."""
    noise: Annotated[float, Unit("K"), Limit(ge=0.0)] = 0.0
    """Root mean square of temperature noise added to the initial state; the seed is the case's."""
    relative_humidity: float = Limit(default=0.0, ge=0.0, le=1.0)
    """At the ground; falls in proportion to pressure. For initial states that are dry."""
    moist: bool = True
    moisture: Literal["grid", "spectral"] = "grid"
    """Transport of humidity: monotone and conserving on the grid, or spectral, which rings."""
    stepper: Literal["leapfrog", "sil3"] = "leapfrog"
    """Semi-implicit leapfrog with a filter, or SIL3 (Whitaker and Kar 2013): a Runge-Kutta scheme
    of one time level, second order, about three times the cost of a step."""
    tracers: Annotated[Mapping[str, float], BeforeValidator(_tracers)] = {}
    """Further tracers, carried on the grid: names, or the initial mixing ratio by name."""
    diffusion_power: float = Limit(default=4, ge=1, le=20)
    """Half the order of the horizontal diffusion: 4 is del^8."""
    diffusion_start: float = Limit(default=0.0, ge=0.0, lt=1.0)
    """Part of the truncation up to which nothing is damped; above 0 it is a spectral vanishing
    viscosity, which grows from there to the truncation limit."""
    diffusion_time: Annotated[float, Unit("s"), Positive] | None = None
    """E-folding time at the truncation limit; by default 0.1 day (42/T)^2. At T21, 0.1 day halves
    the eddies of Held and Suarez (1994)."""
    diffusion_heat: bool | None = None
    """Whether kinetic energy that the diffusion takes warms the air where it was lost; by default
    where there is moisture (dry tests are defined without)."""
    sponge_levels: int = Limit(default=3, ge=0)
    """Top levels with additional del^2 diffusion, halving downwards."""
    sponge_time: Annotated[float, Unit("s"), Positive] = 17280.0
    filter_strength: float = Limit(default=0.1, ge=0.0, le=0.5)
    """Of the Robert-Asselin-Williams filter."""
    filter_alpha: float = Limit(default=0.53, ge=0.5, le=1.0)
    t_ref: Annotated[float, Unit("K"), Positive] = 300.0
    """Reference temperature of the semi-implicit terms; at or above the air's."""
    off_centring: float = Limit(default=0.0, ge=0.0, le=1.0)
    """Of the semi-implicit terms; 0 is second order, 0.1 damps gravity waves."""
    taper_orography: bool = True
    device: str = "cpu"
    """Where the state lives; the driver's physics and output read it in the memory of the CPU."""

    @model_validator(mode="after")
    def _latitudes_fit(self) -> SpectralParameters:
        n, least = self.latitudes, self.truncation + 1
        if n is not None and (n % 2 or n < least):
            raise BadValue(
                "odd number of latitudes" if n % 2 else "too few latitudes for the truncation",
                expected=f"an even number of at least {least + least % 2} for latitudes at "
                f"T{self.truncation}: the two hemispheres are transformed together",
                found=str(n),
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> SpectralParameters:
        if self.relative_humidity > 0.0 and not self.moist:
            raise BadValue(
                "humidity for an atmosphere without water",
                expected="relative_humidity 0, or moist: true",
                found=f"relative_humidity {self.relative_humidity:g}",
            )
        fields = type(self).model_fields
        names = ("filter_strength", "filter_alpha")
        given = [n for n in names if getattr(self, n) != fields[n].default]
        if given and self.stepper == "sil3":
            raise BadValue(
                "filter for a stepper of one time level, which has none",
                expected="stepper: leapfrog",
                found=f"stepper sil3 and {', '.join(given)}",
                remedy="leave the filter out",
            )
        return self

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        if value != "cpu":
            raise BadValue(
                "no such device for a run: schemes and output share the state's memory on the CPU",
                expected="'cpu'",
                found=repr(value),
                remedy="for gradients and ensembles on a GPU use physics.dynamics.unroll with "
                f"DynamicalCore(device={value!r}, ...)",
            )
        return value

    @field_validator("initial")
    @classmethod
    def _initial(cls, value: str) -> str:
        if value not in INITIAL_STATES:
            raise BadValue(
                "unknown initial state", found=repr(value), remedy=nearest(value, INITIAL_STATES)
            )
        return value


def _humid(p: SpectralParameters, why: str) -> CouplerError:
    return ConfigError.of(
        "humidity for a start that has its own",
        "atmosphere.relative_humidity",
        expected="a dry initial state",
        found=f"{p.relative_humidity:g}, and {why}",
        remedy="leave it out",
    )


@scheme("atmosphere", "spectral")
class SpectralAtmosphere(ColumnModel):
    """Spectral hydrostatic dynamical core on hybrid levels, semi-implicit leapfrog or SIL3."""

    Parameters = SpectralParameters
    boundary: ClassVar[tuple[Port, ...]] = reads("", optional="orog sftlf sgh")
    provides: ClassVar[tuple[Field, ...]] = tuple(
        FIELDS[n]
        for n in ("ua", "va", "ta", "hus", "ps", "wap", "zg", "zghalf", "pfull", "phalf", "orog")
    )

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        latitudes = self.p.latitudes
        self.grid = Grid.gaussian(
            *((latitudes, 2 * latitudes) if latitudes else quadratic_grid(self.p.truncation))
        )
        self.levels = hybrid_levels(self.p.levels)
        self.dt = float(self.p.dt)
        self.most_ranks = self.grid.lat.size // 2
        self.tracers = tuple(self.p.tracers)
        self.planet = Planet()
        self.dtype = np.dtype(np.float32)

    def setup(self, site: Site) -> None:
        """Builds the core and its initial state.

        Raises:
            ConfigError: for an initial state that does not go with the orography given.
        """
        p = self.p
        self.planet, self.dtype = site.planet, np.dtype(site.dtype)
        own = Rows(parallel=site.parallel, nlat=self.grid.lat.size).own
        self.core = core = DynamicalCore(
            truncation=p.truncation,
            levels=self.levels,
            planet=site.planet,
            dt=self.dt,
            nlat=self.grid.shape[0],
            nlon=self.grid.shape[1],
            dtype=torch.float64 if self.dtype == np.float64 else torch.float32,
            tracers=1 if p.moist else 0,
            moisture=p.moisture,
            extra=self.tracers,
            stepper=p.stepper,
            diffusion=Diffusion(
                power=p.diffusion_power,
                start=p.diffusion_start,
                timescale=p.diffusion_time or 8640.0 * (42.0 / p.truncation) ** 2,
                sponge_levels=p.sponge_levels,
                sponge_timescale=p.sponge_time,
            ),
            time_filter=TimeFilter(strength=p.filter_strength, alpha=p.filter_alpha),
            t_ref=p.t_ref,
            off_centring=p.off_centring,
            return_heat=p.moist if p.diffusion_heat is None else p.diffusion_heat,
            parallel=site.parallel,
        )
        if "orog" in site.boundary:
            core.set_surface(
                filtered_orography(
                    core.transform,
                    np.asarray(site.boundary["orog"], np.float64)[own] * site.planet.gravity,
                    taper=p.taper_orography,
                )
            )
        with torch.no_grad():
            # Made whole on every rank: some states iterate until the last point has converged.
            state = _rows_of(self._initial(site), own)
            core.start(to_spectral(core.equations, state), state.hus, p.tracers)
        self.torques = AngularMomentum(core)
        self._arrays = self._columns()
        self._fresh = False
        self._made = 0.0

    def _initial(self, site: Site) -> GridState:
        p, core = self.p, self.core
        frame = core.frame
        if site.initial is not None:
            if p.relative_humidity > 0.0:
                raise _humid(p, "humidity in the data of `initial`")
            given = site.initial(frame.surface_geopotential / site.planet.gravity)
            state = GridState(
                surface_geopotential=frame.surface_geopotential,
                **{n: np.asarray(given[n], np.float64) for n in ("ua", "va", "ta", "hus", "ps")},
            )
        else:
            if "orog" in site.boundary and (p.initial in GROUNDS or p.initial in FLAT):
                raise ConfigError.of(
                    "initial state with an orography of its own",
                    f"atmosphere.initial={p.initial}",
                    expected="a state that takes the orography of boundary.orog",
                    remedy="use standard_rest, or leave boundary.orog out",
                )
            if p.initial in GROUNDS:
                ground = GROUNDS[p.initial]
                taper = p.taper_orography and not ground.smooth
                core.set_surface(
                    filtered_orography(
                        core.transform, ground.geopotential(frame)[core.rows.own], taper=taper
                    )
                )
                frame = core.frame  # the state is built over the ground as it was truncated
            state = INITIAL_STATES[p.initial](frame)
            if p.relative_humidity > 0.0 and state.hus.any():
                raise _humid(p, f"{p.initial} has water of its own")
            if p.relative_humidity > 0.0:
                state = replace(state, hus=saturated(state, frame, p.relative_humidity))
        if p.noise > 0.0:
            state = with_noise(state, frame, seed=site.seed, amplitude=p.noise)
        return state

    def _columns(self) -> dict[str, Array]:
        core, nlon, k = self.core, self.grid.lon.size, self.levels.nlev
        nlat = core.rows.own.size
        full, half = (k, nlat, nlon), (k + 1, nlat, nlon)
        arrays = core.grid_state()
        for name in ("pfull", "zg", "wap"):
            arrays[name] = np.zeros(full, self.dtype)
        for name in ("phalf", "zghalf"):
            arrays[name] = np.zeros(half, self.dtype)
        arrays["orog"] = (core.surface_grid() / self.planet.gravity).astype(self.dtype)
        return arrays

    def columns(self) -> Mapping[str, Array]:
        """See `ColumnModel.columns`; also ``wap`` [Pa s-1] and ``orog`` [m]."""
        if not self._fresh:
            x = self._arrays
            self.core.pressure_and_height(x)
            np.multiply(self.core.equations.omega_p.numpy(), x["pfull"], out=x["wap"])
            self._fresh = True
        return self._arrays

    def fields(self) -> Mapping[str, Array]:
        """The provided fields, and the tracers."""
        columns = self.columns()
        return {n: columns[n] for n in (*(f.name for f in self.provides), *self.tracers)}

    def advice(self) -> list[Problem]:
        """Says when the step is probably too long, see `advective_limit`."""
        top = float(np.sqrt(0.5) * self.levels.half_pressure(np.array(1.0e5))[1])
        wind, limit = advective_limit(self.p.truncation, top, self.planet.radius)
        limit *= STABLE if self.p.stepper == "sil3" else 1.0
        if self.dt <= limit:
            return []
        return [
            Problem(
                what="step probably too long for the truncation, the run may blow up",
                name="atmosphere.dt",
                expected=f"at most about {limit:.0f} s at T{self.p.truncation} with winds up to "
                f"{wind:.0f} m/s (top level near {top / 100.0:.2g} hPa)",
                found=f"{self.dt:g} s",
            )
        ]

    def strain(self, memory: Mapping[str, Array]) -> tuple[float, Problem] | None:
        """The largest Courant number of a state, see `step_limit`."""
        ua, va = memory["ua"], memory["va"]
        if not (np.isfinite(ua).all() and np.isfinite(va).all()):
            return None
        numbers = courant_numbers(ua, va, self.dt, self.p.truncation, self.planet.radius)
        k, limit = int(numbers.argmax()), STABLE if self.p.stepper == "sil3" else 1.0
        number = float(numbers[k])
        wind = number * self.planet.radius / (self.dt * self.p.truncation)
        half = self.levels.half_pressure(np.array(1.0e5))
        problem = Problem(
            what="Courant number of the last state that was finite",
            name=f"level {k}",
            expected=f"dt T |V| / a below {limit:.3g}",
            found=f"{number:.2f}: {wind:.0f} m/s near {0.005 * (half[k] + half[k + 1]):.3g} hPa, "
            f"atmosphere.dt = {self.dt:g} s, T{self.p.truncation}",
        )
        return number, problem

    def physics_dt(self) -> float:
        """2 dt of the leapfrog step, dt for the first one and for SIL3 [s]."""
        return self.core.physics_dt()

    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step of dt."""
        moisture, self._made = self.core.moisture, 0.0
        if moisture is not None and self.core.steps == 0 and self.p.stepper == "leapfrog":
            # The first step of the leapfrog starts wind and temperature; humidity, which is kept at
            # the older time level, stays where it is, and what physics did to it is left out.
            rate = tendencies.get("hus", np.zeros_like(self._arrays["hus"]))
            gained = moisture.transport.mass(rate, self._arrays["ps"]) / self.planet.gravity
            self._made = -self.dt * gained
        self.core.step(tendencies)
        if moisture is not None and not self._made:
            self._made = moisture.made
        self.torques.add(tendencies)
        self._fresh = False

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Global means, and what fixers did in the last step."""
        x, mean = self.core.integrals(), "global mean of "
        mass = x["dry_mass"] / self.planet.gravity
        found = {
            "dry_air_mass": (mass, "kg m-2", mean + "the mass of dry air"),
            "water_vapour": (x["water"], "kg m-2", mean + "the mass of water vapour"),
            "total_energy": (x["energy"], "J m-2", mean + "internal, potential, kinetic energy"),
            "angular_momentum": (x["angular_momentum"], "kg s-1", mean + "axial angular momentum"),
            **{
                f"angular_momentum_from_{source}": (given, "kg s-1", f"{mean}what {source} gave")
                for source, given in zip(SOURCES, self.torques.sums.tolist(), strict=True)
            },
            "mass_fix": (x["mass_fix"], "1", "relative surface pressure change by the mass fixer"),
        }
        if self.core.carried is not None:
            for name in self.tracers:
                amount = self.core.carried.mass(name, self._arrays["ps"])
                found[f"mass_of_{name}"] = (amount, "kg m-2", mean + f"the mass of {name}")
        if self.core.moisture is not None:
            moisture = self.core.moisture
            found["water_filled"] = (
                moisture.filled,
                "kg m-2",
                mean + "water moved within columns in a step to fill negative humidity",
            )
            found["water_made"] = (
                moisture.made,
                "kg m-2",
                mean + "water made in a step where a column had none to fill with",
            )
        return found

    def water(self) -> float | None:
        """Of humidity on the grid, global mean [kg m-2]."""
        moisture = self.core.moisture
        if moisture is None:
            return None
        return moisture.water(self._arrays["ps"]) / self.planet.gravity

    def water_made(self) -> float:
        """See `ColumnModel.water_made`."""
        return self._made

    def memory(self) -> dict[str, Any]:
        """The spectral time levels, the grid fields physics starts from, counters, torques."""
        return {**self.core.memory(), "torques": self.torques.rows}

    def spread(self) -> Mapping[str, Spread]:
        """Rows of the grid and wavenumbers."""
        return {**self.core.spread(), "torques": Along(self.core.rows, -1)}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        self.core.restore(memory)
        self.torques.restore(memory["torques"])
        self._fresh = False


def _rows_of(state: GridState, rows: Array) -> GridState:
    return GridState(
        **{f.name: np.take(getattr(state, f.name), rows, axis=-2) for f in fields(state)}
    )
