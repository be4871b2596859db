"""The dynamical core: state, one step, restart memory, global integrals.

Physics starts from the older time level of the leapfrog pair. Its grid fields are those the
previous step transformed as its centre (before the time filter), so they cost no transform: one
step is one synthesis and one analysis. With SIL3 there is one time level, on the grid too after
every step: three syntheses and three analyses. ``ua va ta hus ps`` are numpy views of fixed memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from coupler.interface.constants import Planet
from coupler.interface.errors import UnstableError
from coupler.interface.grid import HybridLevels
from coupler.interface.parallel import ALONE, Along, Parallel, Rows, Spread
from physics.dynamics.dissipation import DissipationHeat
from physics.dynamics.distributed import Share
from physics.dynamics.hydrostatic import Hydrostatic
from physics.dynamics.initial import Frame
from physics.dynamics.leapfrog import Diffusion, Leapfrog, TimeFilter
from physics.dynamics.means import column_sum, row_mean, row_sums
from physics.dynamics.moisture import GridMoisture
from physics.dynamics.primitive import PrimitiveEquations
from physics.dynamics.semi_implicit import SemiImplicit
from physics.dynamics.sil3 import Sil3
from physics.dynamics.transform import SpectralTransform
from physics.dynamics.vertical import VerticalGrid

Tensor = torch.Tensor
Array = NDArray[Any]

_SPECTRAL = ("spectral_", "surface_geopotential")
"""How the names of coefficients in the memory of a core begin."""


class DynamicalCore:
    """Spectral hydrostatic core on hybrid levels.

    Args:
        truncation: triangular truncation T.
        levels: hybrid levels.
        planet: constants.
        dt: time step [s].
        nlat, nlon: Gaussian grid; by default the quadratic grid of the truncation.
        dtype: torch.float32 or torch.float64.
        tracers: advected tracers, the first is specific humidity; 0 is a dry model.
        moisture: transport of the tracers: with the other spectral unknowns, or on the grid, see
            ``moisture`` and ``transport`` (not differentiable).
        extra: names of further tracers, always on the grid.
        stepper: ``leapfrog`` (semi-implicit, filtered) or ``sil3`` (Runge-Kutta, see ``sil3``).
        diffusion, time_filter: see ``leapfrog``; SIL3 has no filter.
        t_ref: semi-implicit reference temperature [K].
        ps_ref: semi-implicit reference surface pressure [Pa].
        off_centring: of the semi-implicit terms [1].
        fix_mass: keep the global mass of dry air.
        return_heat: whether kinetic energy that diffusion takes warms the air, see ``dissipation``.
        device: torch device.
        parallel: the ranks that share the globe; arrays are this rank's rows and wavenumbers.
    """

    def __init__(
        self,
        *,
        truncation: int,
        levels: HybridLevels,
        planet: Planet,
        dt: float,
        nlat: int | None = None,
        nlon: int | None = None,
        dtype: torch.dtype = torch.float32,
        tracers: int = 1,
        moisture: Literal["grid", "spectral"] = "spectral",
        extra: Sequence[str] = (),
        stepper: Literal["leapfrog", "sil3"] = "leapfrog",
        diffusion: Diffusion | None = None,
        time_filter: TimeFilter | None = None,
        t_ref: float = 300.0,
        ps_ref: float = 1.0e5,
        off_centring: float = 0.0,
        fix_mass: bool = True,
        return_heat: bool = False,
        device: torch.device | str = "cpu",
        parallel: Parallel = ALONE,
    ) -> None:
        default_nlat, default_nlon = quadratic_grid(truncation)
        self.dt, self.planet, self.levels, self.fix_mass = dt, planet, levels, fix_mass
        nlat = nlat or default_nlat
        share = None
        if parallel.size > 1:
            share = Share(parallel=parallel, truncation=truncation, nlat=nlat)
        self.rows = share.rows if share else Rows(parallel=parallel, nlat=nlat)
        """Which latitudes of the globe the arrays hold."""
        self.transform = SpectralTransform(
            truncation=truncation,
            nlat=nlat,
            nlon=nlon or default_nlon,
            radius=planet.radius,
            dtype=dtype,
            device=device,
            share=share,
        )
        self.vertical = VerticalGrid(a=levels.a, b=levels.b, dtype=dtype, device=device)
        self.equations = PrimitiveEquations(
            transform=self.transform,
            vertical=self.vertical,
            planet=planet,
            tracers=0 if moisture == "grid" else tracers,
            t_ref=t_ref,
        )
        implicit = SemiImplicit(equations=self.equations, ps_ref=ps_ref, off_centring=off_centring)
        damping = diffusion or Diffusion()
        self.leapfrog = Leapfrog(
            equations=self.equations,
            implicit=implicit,
            diffusion=damping,
            time_filter=time_filter or TimeFilter(),
        )
        self.sil3: Sil3 | None = None
        if stepper == "sil3":
            self.sil3 = Sil3(equations=self.equations, implicit=implicit, diffusion=damping)
        self.dissipation: DissipationHeat | None = None
        if return_heat:
            span = dt if self.sil3 else 2.0 * dt
            damped = (self.sil3 or self.leapfrog).damping_factor(span)
            self.dissipation = DissipationHeat(equations=self.equations, damping=damped, span=span)
        eq, tr, k = self.equations, self.transform, self.equations.levels
        self._before, self._now = tr.zeros(eq.fields), tr.zeros(eq.fields)
        self._rate = tr.zeros(eq.fields)
        self.surface_geopotential = tr.zeros(1)
        plane = (tr.nlat, tr.nlon)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=tr.device)

        self._grid = zeros(*eq.batch_shape)
        self._fields = eq.views(self._grid)
        self._ta, self._ps = zeros(k, *plane), zeros(*plane)
        names = ["hus", *(f"tracer{n}" for n in range(1, tracers))] if moisture == "grid" else []
        names = (names if tracers else []) + list(extra)
        self.carried: GridMoisture | None = None
        """Tracers on the grid, humidity among them or not."""
        if names:
            self.carried = GridMoisture(
                transform=tr,
                vertical=self.vertical,
                planet=planet,
                names=names,
                rows=self.rows,
            )
        self.moisture = self.carried if self.carried and self.carried.wet else None
        """The same where humidity is among them."""
        if self.moisture:
            self._hus = eq.humidity = self.moisture.fields[0]
        else:
            self._hus = self._fields.scalars[1] if tracers else zeros(k, *plane)
        self._surface = zeros(*plane)
        self._hydrostatic = Hydrostatic(vertical=self.vertical, planet=planet)
        self._delta_a = torch.tensor(np.diff(levels.a), device=tr.device)
        self._delta_b = torch.tensor(np.diff(levels.b), device=tr.device)
        self.batches: dict[int, Any] = {}
        """Of ``ensemble``, by number of members: made once."""
        self.steps = 0
        self.dry_mass = 0.0
        """Global mean pressure of dry air that the fixer keeps [Pa]."""
        self.mass_fix = 0.0
        """Relative change of surface pressure that the fixer made in the last step [1]."""
        self._level_energy = zeros(k, 1)

    # -- state --------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """What an initial state is built on: the whole globe, on every rank."""
        tr = self.transform
        surface = self.rows.globe(self.surface_grid().astype(np.float64))
        return Frame(
            sin_lat=tr.all_sin_lat,
            nlon=tr.nlon,
            a=self.vertical.a,
            b=self.vertical.b,
            planet=self.planet,
            surface_geopotential=surface,
        )

    def surface_grid(self) -> Array:
        """Surface geopotential of the model [m2 s-2], shape [lat, lon]."""
        with torch.no_grad():
            return self.transform.synthesis(self.surface_geopotential)[0].cpu().numpy()

    def set_surface(self, geopotential: Tensor) -> None:
        """Sets the surface geopotential [m2 s-2] by coefficients, shape [T+1, 2, 1, T+2]."""
        with torch.no_grad():
            self.surface_geopotential.copy_(geopotential)
            self.transform.synthesis(self.surface_geopotential, self._surface[None])

    def start(
        self,
        spec: Tensor,
        hus: Array | None = None,
        tracers: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Begins a run; the first step is Euler's.

        Args:
            spec: coefficients [T+1, 2, (3+n) K + 1, T+2].
            hus: specific humidity [1], [K, lat, lon], for moisture on the grid; none is dry air.
            tracers: of the extra tracers by name [1], [K, lat, lon] or a number; none is 0.
        """
        with torch.no_grad():
            if self.carried:
                wet = {"hus": hus} if hus is not None else {}
                self.carried.begin({**wet, **(tracers or {})})
            self._now.copy_(spec)
            self._before.copy_(spec)
            self.steps, self.mass_fix = 0, 0.0
            self._expose(self._now)
            scaled, fixed = self._dry_mass_terms()
            self.dry_mass = scaled - fixed
            means = self.mean(*self.equations.energy(self._fields)[:, 0])
            self._level_energy.copy_(torch.tensor(means, dtype=torch.float64)[:, None])

    def _expose(self, spec: Tensor) -> None:
        if self.equations.fused:
            self.equations.expose(spec, self._grid, self._ta, self._ps)
            return
        self.equations.to_grid(spec, self._grid)
        torch.add(self._fields.t_prime, self.equations.t_ref, out=self._ta)
        self._ps.copy_(self.equations.surface_pressure(self._fields.ln_ps))

    def grid_state(self) -> dict[str, Array]:
        """``ua va ta hus ps`` that physics starts from, and the tracers by name.

        The same memory at every call.
        """
        f = self._fields
        state = {"ua": f.ua, "va": f.va, "ta": self._ta, "hus": self._hus, "ps": self._ps}
        tracers = self.carried.arrays() if self.carried else {}
        return tracers | {name: tensor.numpy() for name, tensor in state.items()}

    def newest(self) -> dict[str, Array]:
        """``ua va ta hus ps`` of the newest time level, in new arrays (costs a transform).

        Humidity on the grid is that of :meth:`grid_state`: it has no newer time level.
        """
        with torch.no_grad():
            g = self.equations.to_grid(self._now)
            hus = g.scalars[1] if self.equations.tracers else self._hus
            ps = self.equations.surface_pressure(g.ln_ps)
            state = {"ua": g.ua, "va": g.va, "ta": g.t_prime + self.equations.t_ref}
            return {n: t.numpy().copy() for n, t in (state | {"hus": hus, "ps": ps}).items()}

    # -- one step -----------------------------------------------------------------------------

    def physics_dt(self) -> float:
        """Time over which the next step applies physics tendencies [s]."""
        return self.dt if self.sil3 or self.steps == 0 else 2.0 * self.dt

    def step(self, tendencies: Mapping[str, Array] | None = None) -> None:
        """Advances by dt with physics tendencies of the state, ``ua va ta hus`` and tracers.

        Args:
            tendencies: by name [SI s-1], [K, lat, lon].

        Raises:
            UnstableError: when the surface pressure is no longer finite.
        """
        given = (tendencies or {}).items()
        forcing: Mapping[str, Tensor] = {n: torch.from_numpy(array) for n, array in given}
        with torch.no_grad():
            if self.sil3:
                self._sil3_step(self.sil3, forcing)
            elif self.steps == 0:
                self._first_step(forcing)
            else:
                self._move_moisture(forcing)
                forcing = self._with_heat(forcing)
                tendency = self._tendency(self._now, forcing, self._rate)
                self.leapfrog.step(self._before, self._now, tendency, 2.0 * self.dt)
        self.steps += 1

    def _first_step(self, forcing: Mapping[str, Tensor]) -> None:
        start = self._now
        self._center(start)
        exposed = self._grid.clone()
        half = self.leapfrog.advance(start, start, self._tendency(start, forcing), 0.5 * self.dt)
        self.equations.to_grid(half, self._grid)
        after = self.leapfrog.advance(start, half, self._tendency(half, forcing), self.dt)
        self._before.copy_(start)
        self._now.copy_(after)
        self._grid.copy_(exposed)

    def _sil3_step(self, sil3: Sil3, forcing: Mapping[str, Tensor]) -> None:
        now, water = self._now, None
        flow = (self._fields.ua.numpy(), self._fields.va.numpy(), self._ps.numpy())
        if self.carried is not None:
            rates = {name: rate.numpy() for name, rate in forcing.items()}
            water = self.carried.leave(*flow, rates, self.dt)
        if self.steps:
            forcing = self._with_heat(forcing)

        def tendency(spec: Tensor) -> Tensor:
            self.equations.to_grid(spec, self._grid)
            return self._tendency(spec, forcing)

        # The grid holds X already, fixer included: what physics saw.
        now.copy_(sil3.advance(now, self._tendency(now, forcing), tendency, self.dt))
        self._center(now, water)
        if self.carried is not None:
            self.carried.arrive(*flow, self.dt, reverse=self.steps % 2 == 0)

    def _with_heat(self, forcing: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """With the heat of what diffusion took in the step that led to the present state."""
        if self.dissipation is None:
            return forcing
        return self.dissipation.added(self._now, self._fields, forcing)

    def _move_moisture(self, forcing: Mapping[str, Tensor]) -> None:
        """Centres the state; moisture and tracers on the grid go with it."""
        if self.carried is None:
            self._center(self._now)
            return
        flow = (self._fields.ua.numpy(), self._fields.va.numpy(), self._ps.numpy())
        rates = {name: rate.numpy() for name, rate in forcing.items()}
        water = self.carried.leave(*flow, rates, self.dt)
        self._center(self._now, water)
        self.carried.arrive(*flow, self.dt, reverse=self.steps % 2 == 0)

    def _center(self, spec: Tensor, water: float | None = None) -> None:
        self._expose(spec)
        scaled, fixed = self._dry_mass_terms(water)
        if not np.isfinite(scaled) or not np.isfinite(fixed):
            raise UnstableError.of(
                "the state is no longer finite",
                "ps",
                found=f"step {self.steps}",
                remedy="shorten dt or strengthen the diffusion",
            )
        if not self.fix_mass:
            return
        factor = (self.dry_mass + fixed) / scaled
        self.mass_fix = factor - 1.0
        shift = float(np.log(factor))
        if self.transform.wavenumbers[0] == 0:
            spec[0, 0, -1, 0] += shift
        self._fields.ln_ps.add_(shift)
        self._ps *= factor

    def _tendency(
        self, spec: Tensor, forcing: Mapping[str, Tensor], out: Tensor | None = None
    ) -> Tensor:
        surface, usual = self.surface_geopotential, self._level_energy
        return self.equations.tendency(spec, self._fields, surface, forcing, out, usual)

    def _dry_mass_terms(self, water: float | None = None) -> tuple[float, float]:
        """(part proportional to ps, water above on fixed pressure) of the mean dry pressure [Pa].

        Dry pressure = ps - sum_k q_k (dA_k + ps dB_k): the first minus the second value.
        Moisture on the grid keeps its `water` [Pa] whatever ps becomes.
        """
        if self.moisture is not None:
            water = self.moisture.water(self._ps.numpy()) if water is None else water
            return self.mean(self._ps)[0], water
        if not self.equations.tracers:
            return self.mean(self._ps)[0], 0.0
        on_ps, fixed = self.water_weights(self._hus.double())
        scaled, above = self.mean(self._ps.double() * (1.0 - on_ps), fixed)
        return scaled, above

    def water_weights(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """sum_k q_k dB_k [1] and sum_k q_k dA_k [Pa] of humidity [K, lat, lon], [lat, lon]."""
        on_ps = column_sum(self._delta_b[:, None, None] * q)
        return on_ps, column_sum(self._delta_a[:, None, None] * q)

    def mean(self, *fields: Tensor) -> list[float]:
        """Global means of fields [lat, lon], in float64; the same for any number of ranks."""
        tr = self.transform
        sums = np.empty((len(fields), tr.nlat))
        for field, own in zip(fields, sums, strict=True):
            row_sums(field.cpu().numpy(), own)
        return [row_mean(row, tr.all_weights, tr.nlon) for row in self.rows.each(sums)]

    # -- derived fields and integrals ----------------------------------------------------------

    def pressure_and_height(self, out: Mapping[str, Array]) -> None:
        """Fills ``pfull phalf zg zghalf`` [Pa], [m] of the state of :meth:`grid_state`.

        Full-level pressure is p_{k+1/2} exp(-alpha_k), where the hydrostatic equation puts Phi_k.
        The top half level, at p = 0, is given the height 2 ln 2 R T_v/g above the next one.
        """
        eq = self.equations
        with torch.no_grad():
            if self.sil3:
                eq.vertical_motion(self._fields)
            wet = eq.tracers or self.moisture is not None
            fill = self._hydrostatic.compiled if eq.fused else self._hydrostatic.plain
            fill(self._ps, self._ta, self._hus if wet else None, self._surface, out)

    def integrals(self) -> dict[str, float]:
        """Global means of the state of :meth:`grid_state`, summed in float64.

        Returns:
            ``dry_mass`` [Pa], ``water`` [kg m-2], ``energy`` [J m-2] (c_p T + kinetic + Phi_s),
            ``angular_momentum`` [kg s-1] per unit area (kg m-2 x m2 s-1), ``max_wind`` [m s-1],
            ``mass_fix`` [1].
        """
        g, planet, tr = self._fields, self.planet, self.transform
        with torch.no_grad():
            ps = self._ps.double()
            mass = self._delta_a[:, None, None] + self._delta_b[:, None, None] * ps
            mass = mass / planet.gravity
            u, v = g.ua.double(), g.va.double()
            kinetic = 0.5 * (u * u + v * v)
            energy = column_sum(mass * (planet.cp_dry * self._ta.double() + kinetic))
            energy = energy + self._surface.double() * ps / planet.gravity
            arm = torch.tensor(tr.cos_lat * planet.radius, device=tr.device)[:, None]
            spin = column_sum(mass * (u + planet.rotation_rate * arm) * arm)
            scaled, fixed = self._dry_mass_terms()
            water = column_sum(mass * self._hus.double())
            means = self.mean(water, energy, spin)
            fastest = self.rows.each(kinetic.amax(dim=(0, 2)).cpu().numpy())
            return {
                "dry_mass": scaled - fixed,
                "water": means[0],
                "energy": means[1],
                "angular_momentum": means[2],
                "max_wind": float(np.sqrt(2.0 * fastest.max())),
                "mass_fix": self.mass_fix,
            }

    # -- restart ------------------------------------------------------------------------------

    def memory(self) -> dict[str, Array]:
        """Everything a bit-for-bit restart needs. Not copied: the next step overwrites it."""
        f = self._fields
        own = {} if self.carried is None else {"tracers": self.carried.fields.numpy()}
        if self.sil3:
            own["ln_ps"] = f.ln_ps.numpy()
        else:
            own["spectral_before"] = self._before.numpy()
        return own | {
            "spectral_now": self._now.numpy(),
            "surface_geopotential": self.surface_geopotential.numpy(),
            "ua": f.ua.numpy(),
            "va": f.va.numpy(),
            "scalars": f.scalars.numpy(),
            "ta": self._ta.numpy(),
            "ps": self._ps.numpy(),
            "omega_p": self.equations.omega_p.numpy(),
            "level_energy": self._level_energy.numpy(),
            "steps": np.array(self.steps, dtype=np.int64),
            "dry_mass": np.array(self.dry_mass, dtype=np.float64),
            "mass_fix": np.array(self.mass_fix, dtype=np.float64),
        }

    def spread(self) -> dict[str, Spread]:
        """How the arrays of :meth:`memory` lie on the ranks; the numbers are the same on all."""
        rows: Spread = Along(self.rows, -2)
        share = self.transform.share
        spectral = Along(share.dealt, 0) if share else rows
        return {
            name: spectral if name.startswith(_SPECTRAL) else rows
            for name, array in self.memory().items()
            if array.ndim and name != "level_energy"
        }

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Continues from what :meth:`memory` gave."""
        with torch.no_grad():
            if self.sil3:  # winds, vorticity, gradients of the one time level
                self._now.copy_(torch.from_numpy(np.asarray(memory["spectral_now"])))
                self.equations.to_grid(self._now, self._grid)
            for name, own in self.memory().items():
                if own.ndim:
                    own[...] = memory[name]
            self.transform.synthesis(self.surface_geopotential, self._surface[None])
        self.steps = int(memory["steps"])
        self.dry_mass = float(memory["dry_mass"])
        self.mass_fix = float(memory["mass_fix"])


def quadratic_grid(truncation: int) -> tuple[int, int]:
    """(nlat, nlon) with nlon >= 3T + 1, a product of 2, 3 and 5, and nlat = nlon / 2 even."""
    nlon = 3 * truncation + 1
    while True:
        rest = nlon
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and nlon % 4 == 0:
            return nlon // 2, nlon
        nlon += 1
