r"""What the orographic schemes share: set-up, and limits on the drag that lose no momentum.

From the top down, layer k may take at most

.. math:: |du_k| \le \min(d_{max},\; s \max(u_k, 0)/\Delta t)

with u_k [m s-1] the wind along the one at the source, so that no layer is turned round and one that
blows backwards takes nothing. The stress at its lower interface is recomputed from what it took,

.. math:: \tau_{k+1} \leftarrow \min(\tau_{k+1},\; \tau_k + |du_k|_{max}\, dp_k / g)

which hands the excess to the next layer down and in the end to the ground (the rule of the
Community Atmosphere Model). What is reported is the largest momentum on its way down,
max(tau - tau limited) [Pa].

The flux that is returned, positive upward, is -tau along U; at the ground it is the force of the
mountains on the air. What is left at the top leaves the column.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field as Check

from coupler.interface.component import (
    Array,
    Arrays,
    Conserves,
    Flux,
    Host,
    Now,
    Params,
    flux_of,
    reads,
)
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.fields import COLUMN, Field
from coupler.interface.units import Unit
from physics.columns.jit import njit
from physics.columns.momentum_flux import MomentumFlux

MOVED = Field(
    name="ogwdlimit",
    standard_name=None,
    long_name="Orographic Gravity-wave Stress that Limits on Drag Moved Down",
    units="Pa",
    dims=COLUMN,
)


@njit()
def limit_downward(
    tau: Array,
    along: Array,
    phalf: Array,
    column: int,
    limits: Any,
    direction: Any,
    fx: Array,
    fy: Array,
) -> tuple[float, float]:
    """Fills the flux above every layer; returns the stress at the ground and what was moved [Pa].

    Args:
        tau: Stress above every layer, before limits [Pa], shape [level]; that above the lowest
            layer also is the one at the ground.
        along: Wind along the one at the source [m s-1], shape [level].
        phalf: Interface pressure [Pa], shape [interface, column].
        column: Which one.
        limits: Largest drag [m s-2], share of the wind [1], step [s], gravity [m s-2].
        direction: Unit vector of the wind at the source [1], eastward and northward.
        fx: Eastward flux, positive upward [Pa], shape [level].
        fy: Northward flux, positive upward [Pa], shape [level].
    """
    drag_max, share, dt, g = limits
    ex, ey = direction
    nlev = tau.size
    above = tau[0]
    moved = 0.0
    for k in range(nlev):
        fx[k], fy[k] = -above * ex, -above * ey
        lower = tau[min(k + 1, nlev - 1)]
        dp = np.float64(phalf[k + 1, column]) - np.float64(phalf[k, column])
        most = min(drag_max, share * max(along[k], 0.0) / dt) * dp / g
        if lower - above > most:
            moved = max(moved, lower - above - most)
            lower = above + most
        above = lower
    return above, moved


class MountainParameters(Params):
    """What every orographic scheme has."""

    wavelength: Annotated[float, Unit("m"), Check(gt=0)] = 1.0e5
    """Horizontal, of the waves; the distance between mountains."""
    wind_share: Annotated[float, Check(gt=0, le=1)] = 0.5
    """Largest part of its wind that a layer may lose in one step."""
    largest_drag: Annotated[float, Unit("m s-2"), Check(gt=0)] = 400.0 / SECONDS_PER_DAY


class MountainDrag(MomentumFlux):
    """Momentum flux of a stationary wave over sub-grid mountains."""

    inputs = reads("ua va ta pfull phalf zg zghalf sgh")
    fluxes: ClassVar[tuple[Flux, ...]] = (
        flux_of("ua", "xogwd", top="escape"),
        flux_of("va", "yogwd", top="escape"),
    )
    diagnostics = (MOVED,)
    conserves = (Conserves(quantity="momentum"),)
    columns: ClassVar[Callable[..., None]]
    """The kernel."""

    @abstractmethod
    def settings(self) -> tuple[float, ...]:
        """Numbers that the kernel takes besides share of the wind and largest drag."""

    def setup(self, host: Host) -> None:
        self.prepare(host, 10)
        self._settings = (*self.settings(), self.p.wind_share, self.p.largest_drag)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        type(self).columns(
            self.state(x), x.phalf, x.zghalf, x.sgh, now.dt, self._settings, self._planet,
            self._work, (flux.xogwd, flux.yogwd), diag.ogwdlimit, self._bad,
        )  # fmt: skip
        self.complain(x)
