"""Two-layer quasi-geostrophic turbulence as the host of parameterizations.

The scheme ``two_layer_qg`` of the process ``atmosphere``; the equations are in ``qg_core``. Members
lie side by side along the rows of the grid and differ by their random start. Schemes change the
potential vorticity, or push the wind, of which the curl counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field as Limit
from pydantic import field_validator

from coupler.interface.component import Array, ColumnModel, Params, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import BadValue, ConfigError, DataError, Problem, UnstableError
from coupler.interface.fields import FIELDS, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.dynamics.qg_core import EDDY, QGConfig, QGCore, QGState, noise
from physics.dynamics.qg_fused import Batch

_Length = Annotated[float, Unit("m"), Limit(gt=0)]
_Speed = Annotated[float, Unit("m s-1")]


class TwoLayerParameters(Params):
    """Defaults are the eddy regime of Ross et al. (2023) on a grid that needs a closure."""

    nx: Annotated[int, Limit(ge=8, le=4096)] = EDDY.nx
    """Points in each direction, even."""
    members: Annotated[int, Limit(ge=1, le=1024)] = 1
    """Independent runs, stepped together."""
    length: _Length = EDDY.length
    """Side of the square."""
    dt: Annotated[float, Unit("s"), Limit(gt=0)] = EDDY.dt
    beta: Annotated[float, Unit("m-1 s-1")] = EDDY.beta
    rd: _Length = EDDY.rd
    """Radius of deformation."""
    delta: Annotated[float, Limit(gt=0)] = EDDY.delta
    """Thickness of the upper layer over that of the lower."""
    u1: _Speed = EDDY.u1
    """Mean flow of the upper layer."""
    u2: _Speed = EDDY.u2
    rek: Annotated[float, Unit("s-1"), Limit(ge=0)] = EDDY.rek
    """Drag on the lower layer."""
    depth1: _Length = EDDY.depth1
    """Thickness of the upper layer."""
    initial: str = "noise"
    """``noise``, or a netCDF file with ``q`` [run, lev, y, x], its members the first runs."""

    @field_validator("nx")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise BadValue("odd number of points", expected="an even number", found=str(value))
        return value

    def config(self) -> QGConfig:
        """The plane and its mean state."""
        own = self.model_dump(exclude={"members", "initial"})
        return QGConfig(**own)


def read_start(path: Path, members: int, nx: int) -> Array:
    """Potential vorticity of the first runs in a file.

    Args:
        path: netCDF file with ``q`` [s-1], [run, lev, y, x], or of more times of which the last
            counts, [run, time, lev, y, x].
        members: how many.
        nx: points in each direction.

    Returns:
        q [s-1], [2, member, nx, nx].

    Raises:
        DataError: when the file is missing or its field does not fit.
    """
    import netCDF4

    if not path.is_file():
        raise DataError.of(
            "no such start", str(path), remedy="name a file, or atmosphere.initial: noise"
        )
    with netCDF4.Dataset(path) as data:
        found = np.ma.getdata(data["q"][:]) if "q" in data.variables else np.zeros(0)
    if found.ndim == 5:
        found = found[:, -1]
    if found.ndim != 4 or found.shape[0] < members or found.shape[1:] != (2, nx, nx):
        raise DataError.of(
            "start does not fit",
            str(path),
            expected=f"q of at least {members} runs, [run, 2, {nx}, {nx}]",
            found=str(found.shape) if found.size else "no variable q",
            remedy="coarsen it with physics.dynamics.qg_coarsen, or change nx or members",
        )
    return np.ascontiguousarray(found[:members].swapaxes(0, 1))


@scheme("atmosphere", "two_layer_qg")
class TwoLayerQG(ColumnModel):
    """Two layers of quasi-geostrophic turbulence on a doubly periodic plane."""

    Parameters = TwoLayerParameters
    provides: ClassVar[tuple[Field, ...]] = tuple(
        FIELDS[n] for n in ("qgpv", "ua", "va", "psi", "thkcello")
    )

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        p: TwoLayerParameters = self.p
        self.grid = Grid.plane(p.nx, p.nx, p.length / p.nx, members=p.members)
        self.levels = HybridLevels.layers(2)
        self.dt = float(p.dt)
        self.planet = Planet()
        self.dtype = np.dtype(np.float32)

    def setup(self, site: Site) -> None:
        """Builds the core and its start.

        Raises:
            ConfigError: for a start from data on pressure levels.
            DataError: for a start that cannot be read or does not fit.
        """
        if site.initial is not None:
            raise ConfigError.of(
                "a start from data on pressure levels for two layers of fluid",
                "initial",
                remedy="leave it out and name atmosphere.initial",
            )
        p: TwoLayerParameters = self.p
        self.planet, self.dtype = site.planet, np.dtype(site.dtype)
        kind = torch.float64 if self.dtype == np.float64 else torch.float32
        self.core = core = QGCore(p.config(), dtype=kind)
        if p.initial == "noise":
            q = noise(core.config, p.members, site.seed)
        else:
            q = read_start(Path(p.initial), p.members, p.nx)
        self.start(torch.tensor(q))

    def start(self, q: torch.Tensor) -> None:
        """Begins with q [s-1], [2, member, nx, nx]."""
        p, core = self.p, self.core
        n = p.nx
        self.batch = Batch(core, p.members)
        self.batch.begin(core.begin(q))
        self._grid = torch.zeros((4, 2, p.members, n, n), dtype=core.dtype)
        shape = (4, 2, *self.grid.shape)
        views = self._grid.numpy().reshape(shape)
        self._arrays = dict(zip(("ua", "va", "qgpv", "psi"), views, strict=True))
        thickness = np.array([p.depth1, p.depth1 / p.delta], self.dtype)
        self._arrays["thkcello"] = np.tile(thickness[:, None, None], (1, *self.grid.shape))
        self._fresh = False

    def columns(self) -> Mapping[str, Array]:
        """``ua va`` with the mean flow, ``qgpv`` and ``psi`` without, ``thkcello``."""
        if not self._fresh:
            self.batch.flow(self._grid)
            self._fresh = True
        return self._arrays

    def fields(self) -> Mapping[str, Array]:
        """The provided fields."""
        return self.columns()

    def physics_dt(self) -> float:
        """dt: the step's extrapolation takes schemes along with the advection [s]."""
        return self.dt

    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step of dt with tendencies of ``qgpv`` [s-2] and of ``ua va`` [m s-2].

        Raises:
            UnstableError: when the state is no longer finite.
        """
        self.columns()
        core = self.core
        with torch.no_grad():
            given, du, dv = (self._given(tendencies, n) for n in ("qgpv", "ua", "va"))
            pushed = None if given is None else core.to_waves(given)
            if du is not None or dv is not None:
                zero = torch.zeros_like(self._grid[0])
                curl = core.curl(zero if du is None else du, zero if dv is None else dv)
                pushed = curl if pushed is None else pushed + curl
            self.batch.advance(pushed)
        if not self.batch.finite():
            raise UnstableError.of("the state is no longer finite", "qgpv", remedy="shorten dt")
        self._fresh = False

    def _given(self, tendencies: Mapping[str, Array], name: str) -> torch.Tensor | None:
        array = tendencies.get(name)
        if array is None or not array.any():
            return None
        return torch.from_numpy(np.ascontiguousarray(array)).view(self._grid.shape[1:])

    def advice(self) -> list[Problem]:
        """Says when eddies would cross more than half a cell in a step."""
        p = self.p
        speed = 1.0 + max(abs(p.u1), abs(p.u2))
        limit = 0.5 * self.core.config.dx / speed
        if self.dt <= limit:
            return []
        return [
            Problem(
                what="step probably too long for the grid, the run may blow up",
                name="atmosphere.dt",
                expected=f"at most about {limit:.0f} s with currents up to {speed:g} m/s",
                found=f"{self.dt:g} s",
            )
        ]

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Energy and enstrophy, means of the members, and the largest speed."""
        core, qh = self.core, self.batch.state.qh
        with torch.no_grad():
            kinetic = core.kinetic_energy(core.streamfunction(qh)).mean(dim=1)
            enstrophy = core.enstrophy(qh).mean(dim=1)
            energy = float(core.energy(qh).mean())
        self.columns()
        speed = float(self._grid[:2].square().sum(dim=0).max().sqrt())
        mean = "mean of the members of "
        found = {
            "energy": (energy, "m2 s-2", mean + "kinetic and available potential energy"),
            "max_wind": (speed, "m s-1", "largest speed"),
        }
        for i, layer in enumerate(("upper", "lower")):
            of = f" of the {layer} layer"
            found[f"kinetic_energy_{layer}"] = (
                float(kinetic[i]),
                "m2 s-2",
                mean + "the kinetic energy" + of,
            )
            found[f"enstrophy_{layer}"] = (
                float(enstrophy[i]),
                "s-2",
                mean + "half the squared potential vorticity" + of,
            )
        return found

    def memory(self) -> dict[str, Any]:
        """Coefficients of q and of the two last tendencies, and how many of these there are."""
        state = self.batch.state
        none = torch.zeros_like(state.qh)
        before = (*state.before, none, none)[:2]
        parts = {"q": state.qh, "before_1": before[0], "before_2": before[1]}
        found = {n: torch.view_as_real(t).numpy() for n, t in parts.items()}
        return found | {"steps": np.array(len(state.before), np.int64)}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        own = self.memory()
        for name, array in own.items():
            if memory[name].shape != array.shape:
                raise ValueError(f"{name} has the shape {memory[name].shape}, not {array.shape}")

        def waves(name: str) -> torch.Tensor:
            kept = torch.tensor(np.ascontiguousarray(memory[name]), dtype=self.core.dtype)
            return torch.view_as_complex(kept)

        count = int(memory["steps"])
        before = tuple(waves(f"before_{i + 1}") for i in range(count))
        self.batch.begin(QGState(qh=waves("q"), before=before))
        self._fresh = False
