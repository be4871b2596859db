r"""Mean columns of a run, and a scheme as a function of the state in them.

Columns are zonal means at every latitude of the model, and means of all places of a kind (`kinds`).
Whatever of a scheme's inputs follows from the state is made from it, so that a warmer layer lifts
the ones above and a higher surface pressure thickens all: on hybrid levels p_{k+1/2} = A + B ps,

    L_k = ln(p_{k+1/2} / p_{k-1/2}),   alpha_k = 1 - p_{k-1/2} L_k / dp_k
    g z_k = Phi_s + sum_{j>k} R Tv_j L_j + alpha_k R Tv_k,   p_k = p_{k+1/2} exp(-alpha_k)

(Simmons and Burridge 1981, doi:10.1175/1520-0493(1981)109<0758:AEAAMC>2.0.CO;2; alpha = ln 2 in a
layer that reaches p = 0, as columns are shown it in a run). All other inputs stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coupler.compare.jobs import Run
from coupler.config import TopPolicy, read_yaml, with_changes
from coupler.driver.assemble import assemble
from coupler.driver.bound import Bound
from coupler.driver.discovery import find_scheme
from coupler.driver.state import Memory
from coupler.interface.component import Array, Host, Now, Tendency
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError
from coupler.interface.grid import Grid, HybridLevels
from coupler.output.restart import newest_good

F64 = NDArray[np.float64]
STATE = ("ua", "va", "ta", "hus", "ps")
"""What a response is taken to; `ps` is one number a column."""
UNITS = {"ua": "m s-1", "va": "m s-1", "ta": "K", "hus": "1", "ps": "Pa"}
_BELTS = {
    "tropics": (-20.0, 20.0), "20N-50N": (20.0, 50.0), "20S-50S": (-50.0, -20.0),
    "50N-90N": (50.0, 90.0), "50S-90S": (-90.0, -50.0),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Mean columns and what a scheme needs around them."""

    levels: HybridLevels
    planet: Planet
    dtype: np.dtype[Any]
    now: Now
    span: float
    """Time from one call of the process to the next [s]; 0: every step."""
    names: tuple[str, ...]
    """Of the columns; a zonal mean is named by its latitude."""
    zonal: int
    """How many of them, the first ones, are zonal means, from south to north."""
    fields: Mapping[str, F64]
    """Everything the process could ask for, [level|interface, column] or [column]."""
    atmosphere: Any
    """The model that they come from."""
    day: float
    """Of the run."""
    top: TopPolicy | None = None
    """The case's policy at the model top for the fluxes of the process; None: what each scheme
    declares."""

    @property
    def ncol(self) -> int:
        return len(self.names)

    def state(self) -> dict[str, F64]:
        """``ua va ta hus ps``; a dry atmosphere has a humidity of zero."""
        dry = np.zeros_like(self.fields["ta"])
        return {n: np.array(self.fields.get(n, dry), np.float64) for n in STATE}

    def completed(self, state: Mapping[str, Tensor], orog: Tensor) -> dict[str, Tensor]:
        """`state` with ``pfull phalf`` [Pa], ``zg zghalf`` [m]; differentiable."""
        a, b = (torch.from_numpy(np.array(x))[:, None] for x in (self.levels.a, self.levels.b))
        half = a + b * state["ps"]
        open_top = bool(self.levels.a[0] == 0.0)
        above = torch.cat([half[1:2], half[1:-1]]) if open_top else half[:-1]
        ratio = torch.log(half[1:] / above)
        alpha = 1.0 - half[:-1] * ratio / half.diff(dim=0)
        if open_top:
            alpha = torch.cat([torch.full_like(alpha[:1], math.log(2.0)), alpha[1:]])
        planet = self.planet
        heavy = planet.gas_constant_dry * state["ta"] * (1.0 + planet.virtual_factor * state["hus"])
        step = heavy * ratio
        below = step.flip(0).cumsum(0).flip(0) - step + planet.gravity * orog
        full = below + alpha * heavy
        top = 2.0 * full[:1] - below[:1] if open_top else below[:1] + step[:1]
        return {
            **state,
            "phalf": half,
            "pfull": half[1:] * torch.exp(-alpha),
            "zg": full / planet.gravity,
            "zghalf": torch.cat([top, below]) / planet.gravity,
        }


def columns_of(run: Run, process: str) -> Columns:
    """The mean columns at the end of a run, as the process sees them.

    Raises:
        DataError: for a run without a good restart, or an atmosphere without levels of pressure.
    """
    job = run.job
    raw, problems = with_changes(read_yaml(job.case), set=dict(job.changes), swap=dict(job.swap))
    raw["plugins"] = [*(raw.get("plugins") or []), *job.plugins]
    model = assemble(raw, job.case.parent, problems)
    try:
        restart = newest_good(run.folder / "restart")
        Memory(model).put(restart)
        model.atmosphere.columns()
        model.clock.now.dt = model.atmosphere.physics_dt()
        for name, series in model.forcings.items():
            model.suite.pool[name].fill(series.at(model.clock.now.date))
        model.suite.run(model.clock.now)
        bound = next(p for p in model.suite.processes if p.name == process).schemes[0]
        host = model.suite.host
        if "phalf" not in bound.seen or host.grid.is_plane or host.grid.lat.size < 2:
            raise DataError.of(
                "no columns to take a response of",
                str(job.case.name),
                expected="an atmosphere on the sphere with levels of pressure",
                found=f"atmosphere={model.case.atmosphere.scheme}",
            )
        # The state at the start of the step: what a process does not look at is not moved on.
        seen = {
            n: np.asarray(a, np.float64) for n, a in {**bound.seen, **model.suite.start}.items()
        }
        moist = "hus" in {p.name for p in bound.component.inputs}
        means = [_means(host.grid, seen, moist)]
    finally:
        model.elsewhere.close()
    names, fields = means[0]
    found = Columns(
        levels=host.levels,
        planet=host.planet,
        dtype=host.dtype,
        now=replace(model.clock.now),
        span=bound.span,
        names=tuple(names),
        zonal=host.grid.lat.size,
        fields=fields,
        atmosphere=model.atmosphere,
        day=model.clock.now.seconds / 86400.0,
        top=model.case.physics[process].top,
    )
    state = {n: torch.from_numpy(x) for n, x in found.state().items()}
    made = found.completed(state, torch.from_numpy(fields["orog"]))
    fields.update({n: t.numpy() for n, t in made.items() if n not in STATE})
    return found


def _means(grid: Grid, seen: Mapping[str, F64], moist: bool) -> tuple[list[str], dict[str, F64]]:
    nlat, nlon = grid.shape
    kinds_ = kinds(np.repeat(grid.lat, nlon), seen, moist)
    area = grid.cell_weights.reshape(-1)
    names = [f"{abs(y):.1f}{'N' if y >= 0.0 else 'S'}" for y in grid.lat] + list(kinds_)
    fields = {}
    for name, x in seen.items():
        if x.shape[-1] != nlat * nlon:
            continue
        zonal = x.reshape(*x.shape[:-1], nlat, nlon).mean(-1)
        means = [(x[..., m] * area[m]).sum(-1) / area[m].sum() for m in kinds_.values()]
        fields[name] = np.concatenate([zonal, np.stack(means, axis=-1)], axis=-1)
    return names, fields


def kinds(lat: F64, seen: Mapping[str, F64], moist: bool) -> dict[str, NDArray[np.bool_]]:
    """Which columns are of one kind: belts of latitude, or for a scheme that sees humidity thirds
    of mid-tropospheric humidity (400 to 700 hPa) and of lower-tropospheric stability (potential
    temperature near 700 hPa less that of the lowest layer), as in Brenowitz et al. (2020).
    """
    if not moist:
        belts = {n: (lat >= s) & (lat <= e) for n, (s, e) in _BELTS.items()}
        return {n: m for n, m in belts.items() if m.any()}
    p, thick = seen["pfull"], np.diff(seen["phalf"], axis=0)
    middle = thick * ((p > 400e2) & (p < 700e2))
    water = (seen["hus"] * middle).sum(0) / np.maximum(middle.sum(0), 1e-9)
    theta = seen["ta"] * (1e5 / p) ** (2.0 / 7.0)
    at = np.abs(np.log(p / 700e2)).argmin(axis=0)
    stable = np.take_along_axis(theta, at[None], axis=0)[0] - theta[-1]
    found = {}
    for i, wet in enumerate(("dry", "middling", "wet")):
        for j, firm in enumerate(("unstable", "middling", "stable")):
            mask = _third(water, i) & _third(stable, j)
            if mask.any():
                found[f"{wet}, {firm}"] = mask
    return found


def _third(values: F64, part: int) -> NDArray[np.bool_]:
    edges = np.quantile(values, [1.0 / 3.0, 2.0 / 3.0])
    return np.asarray(np.digitize(values, edges) == part)


def built(process: str, scheme: str, base: Path, parameters: Mapping[str, Any]) -> Tendency:
    """A scheme alone, without a fallback; its guard counts and takes nothing.

    Raises:
        CouplerError: when it is not there.
        DataError: when it is no function of one column.
    """
    cls = find_scheme(process, scheme, base, parameters)
    more = {"guard": "count"} if "guard" in cls.Parameters.model_fields else {}
    component = cls(cls.Parameters.model_validate({**parameters, **more}))
    why = "" if isinstance(component, Tendency) else "it changes nothing"
    if isinstance(component, Tendency) and component.needs.globe:
        why = "it sees neighbouring columns"
    if why:
        raise DataError.of("no response of a column", f"{process}={scheme}", found=why)
    assert isinstance(component, Tendency)
    return component


class Function:
    """A scheme as the rates that the coupler makes of what it gives, for changed states."""

    def __init__(self, component: Tendency, columns: Columns, copies: int) -> None:
        """Binds it.

        Args:
            component: not yet set up; it is now.
            columns: of which so many copies stand side by side.
            copies: how many.
        """
        self.columns, self.copies = columns, copies
        self.pool: dict[str, Array] = {
            n: np.ascontiguousarray(np.tile(x, copies), columns.dtype)
            for n, x in columns.fields.items()
        }
        for name, x in columns.state().items():
            self.pool.setdefault(name, np.ascontiguousarray(np.tile(x, copies), columns.dtype))
        self._orog = torch.from_numpy(np.tile(columns.fields["orog"], copies))
        host = Host(
            grid=Grid.column(count=columns.ncol * copies),
            levels=columns.levels,
            planet=columns.planet,
            dtype=columns.dtype,
            seed=0,
            static={n: self.pool[n] for n in ("lat", "lon", "orog", "sftlf") if n in self.pool},
        )
        component.setup(host)
        self.bound = Bound(
            component, "response", 1, self.pool, host, span=columns.span, top=columns.top
        )

    def rates(self, state: Mapping[str, F64]) -> dict[str, F64]:
        """Rates of the state variables [SI s-1], [level, copy, column].

        Args:
            state: ``ua va ta hus`` [level, copy, column], ``ps`` [copy, column].
        """
        flat = {n: x.reshape(*x.shape[:-2], -1) for n, x in state.items()}
        tensors = {n: torch.from_numpy(np.ascontiguousarray(x)) for n, x in flat.items()}
        for name, value in self.columns.completed(tensors, self._orog).items():
            self.pool[name][...] = value.numpy()
        now = replace(self.columns.now)
        self.bound.call(now, self.pool["phalf"])
        shape = (-1, self.copies, self.columns.ncol)
        return {of: r.reshape(shape).astype(np.float64) for of, r in self.bound.rate.items()}


def reads_of(component: Tendency) -> Sequence[str]:
    """State variables that its rates can depend on."""
    names = {p.name for p in component.inputs}
    found = {n for n in STATE if n in names}
    if names & {"zg", "zghalf"}:
        found |= {"ta", "hus", "ps"}
    if names & {"pfull", "phalf"} or component.fluxes:
        found.add("ps")
    if {f.of for f in component.fluxes} & {"ua", "va"}:
        found |= {"ua", "va"}  # the heat of the drag
    return [n for n in STATE if n in found]
