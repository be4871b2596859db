r"""Budgets of the atmosphere over an output interval: what changed against what flowed in.

.. math::
   R_W = \frac{\Delta W}{\Delta t} - (E - P), \qquad
   R_E = \frac{\Delta (e + L_v W)}{\Delta t} - (N_{top} - N_{sfc}), \qquad
   R_M = \frac{\Delta (M - M_{physics} - M_{mountains})}{\Delta t}

with W water vapour [kg m-2], e energy c_p T + kinetic + surface potential [J m-2], E evaporation,
P precipitation [kg m-2 s-1], N the net downward flux at the top and at the surface [W m-2],
and M the axial angular momentum [kg s-1] with what each source gave it since the start, all
global means. A residual is what the dynamics, its filters and diffusion lost or gained, and the
difference of one step between the state and the fluxes; R_M is the spurious torque.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from coupler.interface.component import Array

Numbers = Mapping[str, tuple[float, str, str]]
SIGNS = {
    "rsdt": 1.0,
    "rsut": -1.0,
    "rlut": -1.0,
    "rsds": -1.0,
    "rsus": 1.0,
    "rlds": -1.0,
    "rlus": 1.0,
    "hfss": 1.0,
    "hfls": 1.0,
}
"""Sign of each flux as a source of energy of the atmosphere."""

RESIDUALS = {
    "water_residual": (
        "kg m-2 s-1",
        "change of water vapour less evaporation plus precipitation, global mean",
    ),
    "energy_residual": (
        "W m-2",
        "change of moist energy of the air less net flux at top and surface, global mean",
    ),
    "angular_momentum_residual": (
        "kg s-2",
        "spurious torque: change of angular momentum less that by known sources, global mean",
    ),
}
"""Units and long names."""
_GIVEN = tuple(f"angular_momentum_from_{n}" for n in ("physics", "mountains"))


class Residuals:
    """Residuals of water, energy and angular momentum from one output interval to the next."""

    def __init__(self, latent_heat: float) -> None:
        """Begins without a state to compare with.

        Args:
            latent_heat: L_v [J kg-1].
        """
        self._latent = latent_heat
        self._before = np.full(3, np.nan)
        self._sums = np.zeros(len(RESIDUALS))
        self._seconds = np.zeros(())

    def start(self, state: Numbers) -> None:
        """Takes the state that the first interval begins with."""
        self._before[:] = self._content(state)

    def close(self, state: Numbers, means: Numbers, seconds: float) -> dict[str, float]:
        """Residuals of the interval that ends with `state`.

        Args:
            state: integrals of the atmosphere at its end, ``water_vapour`` and ``total_energy``.
            means: global means of surface and top fluxes over it.
            seconds: its length [s].

        Returns:
            ``water_residual`` [kg m-2 s-1], ``energy_residual`` [W m-2] and
            ``angular_momentum_residual`` [kg s-2]; each only where all of its terms are known.
        """
        now = self._content(state)
        rate = (now - self._before) / seconds
        self._before[:] = now
        found = {}
        if "pr" in means and "evspsbl" in means:
            source = means["evspsbl"][0] - means["pr"][0]
            found["water_residual"] = float(rate[0] - source)
        if all(n in means for n in SIGNS):
            source = sum(sign * means[n][0] for n, sign in SIGNS.items())
            found["energy_residual"] = float(rate[1] - source)
        found["angular_momentum_residual"] = float(rate[2])
        found = {name: value for name, value in found.items() if np.isfinite(value)}
        for n, name in enumerate(RESIDUALS):
            self._sums[n] += found.get(name, np.nan) * seconds
        self._seconds += seconds
        return found

    def mean(self) -> dict[str, float]:
        """Mean residuals since `start`, for ``run.json``; only those that are known."""
        if not self._seconds:
            return {}
        means = zip(RESIDUALS, (self._sums / self._seconds).tolist(), strict=True)
        return {name: value for name, value in means if np.isfinite(value)}

    def memory(self) -> dict[str, Array]:
        """What a restart in the middle of an interval needs."""
        return {"before": self._before, "sums": self._sums, "seconds": self._seconds}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        for name, array in self.memory().items():
            array[...] = memory[name]

    def _content(self, state: Numbers) -> Array:
        found = np.full(3, np.nan)
        if "water_vapour" in state and "total_energy" in state:
            found[0] = state["water_vapour"][0]
            found[1] = state["total_energy"][0] + self._latent * found[0]
        if all(n in state for n in ("angular_momentum", *_GIVEN)):
            found[2] = state["angular_momentum"][0] - sum(state[n][0] for n in _GIVEN)
        return found
