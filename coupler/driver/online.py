"""The flow for training through it: windows of a run, and the same steps with another force.

Built from a case with a dry spectral atmosphere stepped by SIL3: one time level, so that n steps
from a state are the n steps of the run, bit by bit but for the order of sums. What the other
processes did is taken from the run; friction's heat, too, remains that of the scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coupler.config import read_yaml, with_changes
from coupler.driver.assemble import Assembly, assemble
from coupler.interface.errors import ConfigError

Columns = Mapping[str, Tensor]
WINDS = ("ua", "va")


class CoupledFlow:
    """See `emulators.training.online.Coupled`."""

    gives = frozenset({"ua", "va", "ta", "phalf", "pfull", "ps", "lat"})

    def __init__(self, case: Path, changes: Mapping[str, Any], process: str) -> None:
        """Checks that the case can be differentiated.

        Args:
            case: the case.
            changes: of it, as after ``--set``.
            process: whose scheme is emulated.

        Raises:
            ConfigError: for a case with moisture, leapfrog, a surface model, or without `process`.
        """
        self._case, self._changes, self._process = case, dict(changes), process
        model = self._model(0)
        atmosphere: Any = model.atmosphere
        core: Any = getattr(atmosphere, "core", None)
        problem = ""
        if core is None or core.sil3 is None:
            problem = "atmosphere.scheme: spectral with stepper: sil3"
        elif core.equations.tracers or core.carried is not None:
            problem = "a dry atmosphere, moist: false"
        elif model.couplings:
            problem = "an atmosphere alone, without a surface model"
        elif process not in {p.name for p in model.suite.processes}:
            problem = f"a case with {process}"
        if problem:
            raise ConfigError.of(
                "cannot train through the steps of this case", str(case), expected=problem
            )
        self._core = core
        self._unroll = import_module("physics.dynamics.unroll").unroll
        self.gravity = float(core.planet.gravity)
        self.levels = atmosphere.levels
        grid = atmosphere.grid
        self.weights = torch.from_numpy(grid.cell_weights).to(core.transform.dtype)
        lat = np.repeat(grid.lat, grid.lon.size)
        self._lat = torch.from_numpy(lat).to(core.transform.dtype)

    def _model(self, seed: int) -> Assembly:
        settings = {**self._changes, "seed": seed}
        raw, problems = with_changes(read_yaml(self._case), set=settings, swap=None)
        return assemble(raw, self._case.parent, problems)

    def windows(self, online: Any, seed: int, number: int) -> list[Any]:
        """Windows of one run, `online.apart` seconds apart, after `online.spin_up` days."""
        window = import_module("emulators.training.online").Window
        model = self._model(seed)
        atmosphere: Any = model.atmosphere
        process = next(p for p in model.suite.processes if p.name == self._process)
        dt = model.clock.step_length
        shape = (-1, *model.suite.host.grid.shape)

        def step() -> dict[str, Tensor]:
            """One step of the run; what the other processes gave."""
            atmosphere.columns()
            model.clock.now.dt = atmosphere.physics_dt()
            total = model.suite.run(model.clock.now)
            rates = {of: rate.reshape(shape) for of, rate in total.items()}
            own = {of: process.applied[of].reshape(shape) for of in WINDS if of in process.applied}
            others = {
                of: torch.from_numpy(rate - own[of] if of in own else rate.copy())
                for of, rate in rates.items()
                if of in ("ua", "va", "ta")
            }
            atmosphere.advance(rates)
            model.clock.tick()
            return others

        for _ in range(round(online.spin_up * 86400.0 / dt)):
            step()
        found = []
        between = max(online.steps, round(online.apart / dt))
        for _ in range(number):
            start = torch.from_numpy(atmosphere.core.memory()["spectral_now"].copy())
            taken = [step() for _ in range(online.steps)]
            end = atmosphere.core.newest()
            found.append(
                window(start=start, others=taken, end={n: torch.from_numpy(end[n]) for n in WINDS})
            )
            for _ in range(between - online.steps):
                step()
        return found

    def columns(self, g: Any) -> dict[str, Tensor]:
        """What a network may see of the state `g` on the grid, [level|interface, column]."""
        core = self._core
        ps = core.equations.surface_pressure(g.ln_ps)
        layers = core.vertical.layers(ps)
        fields = {
            "ua": g.ua,
            "va": g.va,
            "ta": g.t_prime + core.equations.t_ref,
            "phalf": layers.half_pressure,
            "pfull": layers.half_pressure[1:] * torch.exp(-layers.alpha),
        }
        found = {n: f.reshape(f.shape[0], -1) for n, f in fields.items()}
        return found | {"ps": ps.reshape(-1), "lat": self._lat}

    def march(self, window: Any, force: Callable[[Columns], Columns]) -> dict[str, Tensor]:
        """``ua va`` at the end of `window`, with `force` beside the other processes."""
        at = iter(window.others)

        def forcing(g: Any) -> dict[str, Tensor]:
            rates = dict(next(at))
            for of, rate in force(self.columns(g)).items():
                own = rate.to(g.ua.dtype).reshape(g.ua.shape)
                rates[of] = rates[of] + own if of in rates else own
            return rates

        end = self._unroll(self._core, window.start, len(window.others), forcing)
        g = self._core.equations.to_grid(end)
        return {"ua": g.ua, "va": g.va}
