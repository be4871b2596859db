"""The guard of a learned component: which columns are not to be believed, and what then.

A column is not believed when its flux is not finite or larger than the bundle's bound, when an
input is not finite, or when it is far outside the training domain. How far is said in up to three
ways, each with a narrow and a wide margin of the bundle's (`emulators.schema.GuardRule`):

- the range of each level [lo, hi], and of fields without levels but for angles:
  ``max(x - hi, lo - x) / (hi - lo)``;
- the z-score of the same: ``|t(x) - mean| / scale``;
- the Mahalanobis distance of the whole column (`emulators.domain`).

Beyond a narrow margin a column is counted as outside; beyond a wide one it is handed over, and
taken back only when it is within all narrow ones again, so that a column on the edge does not
alternate. When too large a share of the globe is not believed, nothing is.

Such columns take the flux of the named physical scheme. Without one, fluxes that are not finite
become zero, those beyond the bound are cut to it, and the others stay. All of it is counted. What
is left may still push a thin layer too hard: `limited` hands the excess down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.errors import ContractError, Problem, UnstableError
from emulators.domain import Domain
from emulators.networks.maps import is_angle
from emulators.normalization import transformed
from emulators.schema import BundleSpec, Channel
from emulators.watching import largest, widen_distance

COUNTS = (
    "calls",
    "columns",
    "outside",
    "far",
    "not_finite",
    "beyond_bound",
    "guarded",
    "limited",
    "calls_given_up",
)
"""Names of the entries of `Guard.counts`: columns, summed over calls, but for the first and last.
``guarded`` are those that were not believed, all of a call in which too many were not;
``calls_given_up`` counts such calls."""
NARROW = 0.02
"""Smallest training range relative to the values, 5 K of temperature: a level that hardly varied in
training, or one of constant pressure, is not left by a small change."""


class Guard:
    """Watches one emulator on one host."""

    def __init__(
        self,
        spec: BundleSpec,
        fallback: Tendency | None,
        host: Host,
        domain: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Allocates and sets up the fallback.

        Args:
            spec: of the bundle.
            fallback: what takes over columns.
            host: the columns.
            domain: the training columns as `emulators.domain.fit_domain` measured them.

        Raises:
            ContractError: for margins of a distance that the bundle holds nothing to measure with.
        """
        self.spec, self.fallback, self._parallel = spec, fallback, host.parallel
        self.counts = np.zeros(len(COUNTS), np.int64)
        self.given_up = np.zeros(1, np.int8)
        """1 while too large a share of the globe is not believed."""
        self._first = int(host.parallel.rank == 0)  # a call of all ranks is one call
        self.held = np.zeros(host.ncol, np.int8)
        """1 where the domain was left and not yet entered again, shape [column]."""
        self._not_finite = np.zeros(host.ncol, bool)
        self._gravity = host.planet.gravity
        dtype = torch.from_numpy(np.zeros(0, host.dtype)).dtype
        # An angle has no domain to leave; the globe is its range.
        self._watched = [c for c in spec.inputs if not is_angle(c)]
        self._domain = {c.name: _domain(c, host.dtype) for c in self._watched}
        self._normal = {c.name: _normal(c, dtype) for c in self._watched}
        self._cloud: Domain | None = None
        if spec.guard.mahalanobis_margin is not None:
            if not domain:
                raise ContractError.of(
                    "margins of a Mahalanobis distance without the training columns",
                    spec.name,
                    expected="tensors domain.* in the bundle",
                    remedy="retrain it, or leave mahalanobis_margin out of its guard",
                )
            self._cloud = Domain(spec, domain, host.ncol)
        self._size = torch.zeros(host.ncol, dtype=dtype)
        self._worst = torch.zeros(host.ncol, dtype=dtype)
        if fallback is not None:
            fallback.setup(host)
            self._flux = Arrays(**{f.name: host.empty(*f.field.dims) for f in fallback.fluxes})
            self._diag = Arrays(**{f.name: host.empty(*f.dims) for f in fallback.diagnostics})

    def distance(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Largest distance of each column from the domain, in training ranges, shape [column]."""
        worst = self._worst.fill_(-torch.inf)
        for name, (low, high, per_range) in self._domain.items():
            widen_distance(_rows(inputs[name]).numpy(), low, high, per_range, worst.numpy())
        return worst

    def watch(
        self,
        inputs: Mapping[str, Tensor],
        fluxes: Mapping[str, Tensor],
        x: Arrays,
        now: Now,
        *,
        hand_over: bool = True,
    ) -> Tensor:
        """Corrects `fluxes` in place where they are not to be believed.

        Args:
            inputs: the emulator's inputs, shape [level, column].
            fluxes: what it returned, shape [interface, column]; corrected.
            x: the inputs as the driver bound them, for the fallback.
            now: when.
            hand_over: whether columns far outside the domain are handed over, or only counted.

        Returns:
            Which columns were not believed, bool, shape [column].
        """
        outside, far = self._left(inputs)
        wild = torch.from_numpy(self._not_finite)
        large = torch.zeros_like(wild)
        for output in self.spec.outputs:
            size = self._size
            largest(fluxes[output.name].numpy(), size.numpy())
            wild |= ~torch.isfinite(size)
            large |= size > output.bound
        large &= ~wild
        guarded = wild | large | far if hand_over else wild | large
        given_up = self._too_many(guarded, now)
        if given_up:
            guarded = torch.ones_like(guarded)
        numbers = [outside, far, wild, large, guarded]
        self.counts[:7] += [
            self._first,
            guarded.numel(),
            *(int(torch.count_nonzero(n)) for n in numbers),
        ]
        self.counts[-1] += self._first * given_up
        if bool(guarded.any()):
            self._correct(fluxes, guarded, x, now)
        return guarded

    def _left(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Which columns are outside the domain and which are far out, or still held."""
        rule = self.spec.guard
        distances = [(self.distance(inputs), rule.margin, rule.wide_margin)]
        if rule.z_margin is not None and rule.z_wide_margin is not None:
            distances.append((self.z_score(inputs), rule.z_margin, rule.z_wide_margin))
        if self._cloud is not None:
            assert rule.mahalanobis_margin is not None and rule.mahalanobis_wide_margin is not None
            d = self._cloud.distance(inputs)
            distances.append((d, rule.mahalanobis_margin, rule.mahalanobis_wide_margin))
        held = torch.from_numpy(self.held)
        outside = torch.zeros(held.shape, dtype=torch.bool)
        far, wild = torch.zeros_like(outside), torch.zeros_like(outside)
        for distance, narrow, wide in distances:
            outside |= distance > narrow
            far |= distance > wide
            wild |= ~torch.isfinite(distance)
        far |= held.bool() & outside
        held.copy_(far)
        torch.from_numpy(self._not_finite).copy_(wild)
        return outside, far

    def z_score(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Largest normalized value of each column, shape [column]."""
        worst = torch.full_like(self._worst, -torch.inf)
        for c in self._watched:
            mean, scale = self._normal[c.name]
            z = (
                transformed(_rows(inputs[c.name]), "log" if c.transform == "log" else "none")
                .sub(mean)
                .mul_(scale)
            )
            torch.maximum(worst, z.abs_().amax(dim=0), out=worst)  # NaN stays NaN
        return worst

    def _too_many(self, guarded: Tensor, now: Now) -> bool:
        """Whether nothing is to be believed, on all ranks alike."""
        limit = self.spec.guard.fraction
        if limit >= 1.0:
            return False
        own = (int(torch.count_nonzero(guarded)), guarded.numel())
        bad, of_all = (sum(n) for n in zip(*self._parallel.collect(own), strict=True))
        share = bad / of_all
        # Held until the share is half of the limit: no alternation here either.
        given_up = bool(share > (0.5 * limit if self.given_up[0] else limit))
        self.given_up[0] = given_up
        if given_up and self.fallback is None:
            raise UnstableError.of(
                "too many columns of an emulator are not to be believed",
                self.spec.name,
                expected=f"at most {100.0 * limit:g} % of the columns",
                found=f"{100.0 * share:.1f} %, step {now.step}, date {now.date}",
                remedy="give it a reference to fall back on, or train it on states like these",
            )
        return given_up

    def limit(self, fluxes: Mapping[str, Tensor], half_pressure: Array) -> Tensor:
        """Applies `limited` where the bundle has a largest drag, counts, and says what it moved.

        Returns:
            Momentum flux that went to lower layers, largest over interfaces and outputs [Pa],
            shape [column].
        """
        most = self.spec.guard.largest_drag
        moved = torch.zeros_like(self._worst)
        if most is None:
            return moved
        mass = torch.from_numpy(half_pressure).diff(dim=0).div_(self._gravity)
        for output in self.spec.outputs:
            change = limited(fluxes[output.name], most * mass)
            torch.maximum(moved, change, out=moved)
        self.counts[COUNTS.index("limited")] += int(torch.count_nonzero(moved))
        return moved

    def _correct(self, fluxes: Mapping[str, Tensor], guarded: Tensor, x: Arrays, now: Now) -> None:
        columns = guarded.nonzero()[:, 0]
        if self.fallback is None:
            for output in self.spec.outputs:
                flux = fluxes[output.name]
                flux[:, columns] = (
                    flux[:, columns]
                    .nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
                    .clamp(-output.bound, output.bound)
                )
            return
        for _, array in self._flux.items():
            array.fill(0.0)
        # All columns are computed: a physical scheme is set up for its host, not for a part of it.
        self.fallback.compute(x, Arrays(), self._flux, self._diag, now)
        for output in self.spec.outputs:
            theirs = torch.from_numpy(getattr(self._flux, output.name))
            fluxes[output.name][:, columns] = theirs[:, columns]

    def memory(self) -> dict[str, Array]:
        """For the restart: counts since the start of the run, and who is handed over."""
        own: dict[str, Array] = {
            "guard_counts": self.counts,
            "guard_held": self.held,
            "guard_given_up": self.given_up,
        }
        if self.fallback is not None:
            own |= {f"fallback_{k}": v for k, v in self.fallback.memory().items()}
        return own


def _rows(x: Tensor) -> Tensor:
    """Shape [level, column], also of a field without levels."""
    return x if x.dim() == 2 else x[None]


def _domain(channel: Channel, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    low, high = np.array(channel.minimum), np.array(channel.maximum)
    size = np.maximum(np.abs(low), np.abs(high))
    span = np.maximum(np.maximum(high - low, NARROW * size), 1e-30)
    return low.astype(dtype), high.astype(dtype), (1.0 / span).astype(dtype)


def _normal(channel: Channel, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and 1/scale, shape [level, 1]."""
    mean = torch.tensor(channel.mean, dtype=torch.float64)[:, None]
    scale = torch.tensor(channel.scale, dtype=torch.float64)[:, None]
    return mean.to(dtype), (1.0 / scale).to(dtype)


def limited(flux: Tensor, most: Tensor) -> Tensor:
    """Hands down what would change a layer's momentum by more than `most`; in place.

    From the top, a layer's ``F_{k+1} - F_k`` plus what it was handed is cut to +-`most` and the
    rest handed on; the lowest layer takes what arrives. Fluxes at the top and the ground stay, and
    with them the momentum of the column.

    Args:
        flux: positive upward [Pa], shape [level + 1, column]; changed.
        most: [Pa], shape [level, column].

    Returns:
        Largest change of the flux over interfaces [Pa], shape [column].
    """
    wanted = flux.diff(dim=0)
    if not bool((wanted.abs() > most).any()):
        return torch.zeros_like(flux[0])
    carried, largest = torch.zeros_like(flux[0]), torch.zeros_like(flux[0])
    for k in range(most.shape[0] - 1):
        due = wanted[k] + carried
        given = torch.maximum(torch.minimum(due, most[k]), -most[k])
        carried = due - given
        # Where nothing is carried the flux keeps its bits.
        flux[k + 1] -= carried
        torch.maximum(largest, carried.abs(), out=largest)
    return largest


def check_fallback(component: Tendency, fallback: Tendency) -> None:
    """The fallback must need and return what the emulator does.

    Raises:
        ContractError: with all that does not fit.
    """
    who = f"{component.process}.{component.scheme}: {fallback.scheme or type(fallback).__name__}"
    problems = []
    have = {p.name: p.units for p in component.inputs}
    for port in fallback.inputs:
        if not port.optional and have.get(port.name) != port.units:
            problems.append(
                Problem(
                    what="fallback needs an input in another unit than the emulator",
                    name=f"{who}: {port.name}",
                    expected=port.units,
                    found=have.get(port.name, "none"),
                    remedy="train the emulator on the fallback's units",
                )
            )
    mine = {f.name: (f.of, f.top, f.dump_above) for f in component.fluxes}
    theirs = {f.name: (f.of, f.top, f.dump_above) for f in fallback.fluxes}
    if mine != theirs or fallback.tendencies:
        problems.append(
            Problem(
                what="fallback returns something else than the emulator",
                name=who,
                expected=f"fluxes {mine}",
                found=f"fluxes {theirs}, tendencies {fallback.tendencies or 'none'}",
                remedy="give it a reference with the same fluxes and policy at the top",
            )
        )
    if problems:
        raise ContractError(*problems)
