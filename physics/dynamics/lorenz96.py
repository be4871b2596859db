r"""The two-scale model of Lorenz (1996) as the smallest host of parameterizations.

    dX_k/dt = -X_{k-1} (X_{k-2} - X_{k+1}) - X_k + F + U_k,             k on a ring of K
    dY_j/dt = -c b Y_{j+1} (Y_{j+2} - Y_{j-1}) - c Y_j + (h c/b) X_k,   j on a ring of J K
    U_k     = -(h c/b) sum of the J Y that belong to k

in units of five days, the time in which errors of the atmosphere's large scales fade in it. With
``fast: true`` both scales are stepped: the truth. Without it U is what a scheme of the process
``subgrid`` gives as a tendency of ``x_slow``: `physics.dynamics.lorenz96_closures`. Steps are those
of Runge and Kutta, fourth order; a scheme's tendency is held through a step, the fast scale takes
several steps in one of the slow.

Sources: Lorenz (1996), Predictability: a problem partly solved; Wilks (2005),
doi:10.1256/qj.04.03; Arnold, Moroz and Palmer (2013), doi:10.1098/rsta.2011.0479.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Limit

from coupler.interface.component import Array, ColumnModel, Params, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, UnstableError
from coupler.interface.fields import FIELDS, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.jit import njit
from coupler.interface.registry import scheme
from coupler.interface.units import Unit

TIME_UNIT = 5.0 * 86400.0
"""Of the equations [s]."""
F64 = NDArray[np.float64]


class Lorenz96Parameters(Params):
    """Defaults are those of Wilks (2005) and Arnold et al. (2013) with c = 10."""

    slow: Annotated[int, Limit(ge=4, le=10_000)] = 8
    """K."""
    each: Annotated[int, Limit(ge=1, le=1000)] = 32
    """J, fast variables of each slow one."""
    members: Annotated[int, Limit(ge=1, le=100_000)] = 1
    fast: bool = False
    """Whether the fast scale is stepped too."""
    dt: Annotated[float, Unit("s"), Limit(gt=0)] = 0.005 * TIME_UNIT
    substeps: Annotated[int, Limit(ge=1, le=1000)] = 5
    """Steps of both scales in one of dt, with ``fast``."""
    forcing: float = 20.0
    """F [1 per five days]."""
    coupling: float = 1.0
    """h."""
    b: Annotated[float, Limit(gt=0)] = 10.0
    """How much smaller the fast variables are."""
    c: Annotated[float, Limit(gt=0)] = 10.0
    """How much faster they are."""


@njit(allocates=True)
def slow_rate(x: F64, push: F64, forcing: float, out: F64) -> None:
    """dX/dt of one member [1 per time unit]; `push` is U."""
    n = x.size
    for k in range(n):
        out[k] = -x[k - 1] * (x[k - 2] - x[(k + 1) % n]) - x[k] + forcing + push[k]


@njit(allocates=True)
def both_rates(
    x: F64, y: F64, forcing: float, h: float, b: float, c: float, push: F64, dx: F64, dy: F64
) -> None:
    """dX/dt and dY/dt of one member; `push` is overwritten with U."""
    n, each = y.size, y.size // x.size
    scale = h * c / b
    for k in range(x.size):
        total = 0.0
        for j in range(k * each, (k + 1) * each):
            total += y[j]
        push[k] = -scale * total
    slow_rate(x, push, forcing, dx)
    for j in range(n):
        bent = y[(j + 1) % n] * (y[(j + 2) % n] - y[j - 1])
        dy[j] = -c * b * bent - c * y[j] + scale * x[j // each]


@njit(allocates=True)
def step_slow(x: F64, push: F64, forcing: float, dt: float, room: F64) -> None:
    """One step of X in place for all members.

    Args:
        x: [member, K].
        push: U, held [1 per time unit], [member, K].
        forcing: F.
        dt: [time unit].
        room: [3, K].
    """
    stage, rate, total = room[0], room[1], room[2]
    for m in range(x.shape[0]):
        slow_rate(x[m], push[m], forcing, rate)
        total[:] = rate
        for weight, ahead in ((2.0, 0.5), (2.0, 0.5), (1.0, 1.0)):
            stage[:] = x[m] + (ahead * dt) * rate
            slow_rate(stage, push[m], forcing, rate)
            total += weight * rate
        x[m] += (dt / 6.0) * total


@njit(allocates=True)
def step_both(
    x: F64,
    y: F64,
    forcing: float,
    h: float,
    b: float,
    c: float,
    dt: float,
    count: int,
    push: F64,
) -> None:
    """`count` steps of both scales in place for all members; `push` gets U before the last.

    Args:
        x: [member, K].
        y: [member, K J].
        forcing: F.
        h, b, c: as above.
        dt: of one step [time unit].
        count: how many.
        push: [member, K].
    """
    sx, rx, tx = np.empty_like(x[0]), np.empty_like(x[0]), np.empty_like(x[0])
    sy, ry, ty = np.empty_like(y[0]), np.empty_like(y[0]), np.empty_like(y[0])
    room = np.empty_like(x[0])
    for m in range(x.shape[0]):
        for _ in range(count):
            both_rates(x[m], y[m], forcing, h, b, c, push[m], rx, ry)
            tx[:] = rx
            ty[:] = ry
            for weight, ahead in ((2.0, 0.5), (2.0, 0.5), (1.0, 1.0)):
                sx[:] = x[m] + (ahead * dt) * rx
                sy[:] = y[m] + (ahead * dt) * ry
                both_rates(sx, sy, forcing, h, b, c, room, rx, ry)
                tx += weight * rx
                ty += weight * ry
            x[m] += (dt / 6.0) * tx
            y[m] += (dt / 6.0) * ty


@scheme("atmosphere", "lorenz96")
class Lorenz96(ColumnModel):
    """A ring of slow variables, with its fast ones or with a scheme in their place."""

    Parameters = Lorenz96Parameters
    provides: ClassVar[tuple[Field, ...]] = (FIELDS["x_slow"], FIELDS["x_push"])

    def __init__(self, parameters: Params | None = None) -> None:
        super().__init__(parameters)
        p: Lorenz96Parameters = self.p
        self.grid = Grid.plane(1, p.slow, 1.0, members=p.members, units="1")
        self.levels = HybridLevels.layer()
        self.dt = float(p.dt)
        self.planet = Planet()
        self.dtype = np.dtype(np.float64)

    def setup(self, site: Site) -> None:
        """Starts every member from a state of its own.

        Raises:
            ConfigError: for a start from data on pressure levels.
        """
        if site.initial is not None:
            raise ConfigError.of(
                "a start from data on pressure levels for a ring of numbers",
                "initial",
                remedy="leave it out: members start from random numbers of the seed",
            )
        p: Lorenz96Parameters = self.p
        self.planet, self.dtype = site.planet, np.dtype(site.dtype)
        draws = (np.random.default_rng([site.seed, m]) for m in range(p.members))
        both = [(r.standard_normal(p.slow), r.standard_normal(p.slow * p.each)) for r in draws]
        self.x = 0.3 * p.forcing + np.array([x for x, _ in both])
        self.y = 0.1 * np.array([y for _, y in both])
        self.push = np.zeros_like(self.x)
        """U at the last step [1 per time unit]; 0 before the first."""
        self._room = np.zeros((3, p.slow))
        self._arrays = {
            n: np.zeros((1, *self.grid.shape), self.dtype) for n in ("x_slow", "x_push")
        }

    def columns(self) -> Mapping[str, Array]:
        """``x_slow``, and ``x_push``, the U of the last step [s-1]."""
        self._arrays["x_slow"][0] = self.x
        np.divide(self.push, TIME_UNIT, out=self._arrays["x_push"][0], casting="same_kind")
        return self._arrays

    def fields(self) -> Mapping[str, Array]:
        """The same."""
        return self.columns()

    def physics_dt(self) -> float:
        """dt [s]."""
        return self.dt

    def advance(self, tendencies: Mapping[str, Array]) -> None:
        """One step of dt with tendencies of ``x_slow`` [s-1].

        Raises:
            UnstableError: when the state is no longer finite.
        """
        p: Lorenz96Parameters = self.p
        step = p.dt / TIME_UNIT
        given = tendencies.get("x_slow")
        pushed = np.zeros_like(self.x) if given is None else TIME_UNIT * given.reshape(self.x.shape)
        if p.fast:
            self.x += step * pushed  # beside the fast scale, for experiments
            step_both(
                self.x,
                self.y,
                p.forcing,
                p.coupling,
                p.b,
                p.c,
                step / p.substeps,
                p.substeps,
                self.push,
            )
        else:
            self.push[:] = pushed
            step_slow(self.x, self.push, p.forcing, step, self._room)
        if not np.isfinite(self.x.sum()):
            raise UnstableError.of("the state is no longer finite", "x_slow", remedy="shorten dt")

    def budgets(self) -> dict[str, tuple[float, str, str]]:
        """Mean and mean square of the slow variables."""
        return {
            "mean": (float(self.x.mean()), "1", "mean of the slow variables"),
            "energy": (0.5 * float((self.x**2).mean()), "1", "half their mean square"),
        }

    def memory(self) -> dict[str, Any]:
        """Both scales."""
        return {"x": self.x, "y": self.y, "push": self.push}
