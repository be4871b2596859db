"""The guard of a learned component: which columns are not to be believed, and what then.

A column is not believed when its flux is not finite or larger than the bundle's bound, when an
input is not finite, or when it is far outside the training domain. The distance of a value x from
the domain [lo, hi] of its level is ``max(x - hi, lo - x) / (hi - lo)``. Beyond `margin` a column is
counted as outside; beyond `wide_margin` it is handed over, and taken back only when it is within
`margin` again, so that a column on the edge does not alternate.

Such columns take the flux of the named physical scheme. Without one, fluxes that are not finite
become zero, those beyond the bound are cut to it, and the others stay. All of it is counted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.errors import ContractError, Problem
from emulators.schema import BundleSpec, Channel

COUNTS = ("calls", "columns", "outside", "far", "not_finite", "beyond_bound", "guarded")
"""Names of the entries of `Guard.counts`: the last five are columns, summed over calls."""
NARROW = 0.02
"""Smallest training range relative to the values, 5 K of temperature: a level that hardly varied in
training, or one of constant pressure, is not left by a small change."""


class Guard:
    """Watches one emulator on one host."""

    def __init__(self, spec: BundleSpec, fallback: Tendency | None, host: Host) -> None:
        self.spec, self.fallback = spec, fallback
        self.counts = np.zeros(len(COUNTS), np.int64)
        self._first = int(host.parallel.rank == 0)  # a call of all ranks is one call
        self.held = np.zeros(host.ncol, np.int8)
        """1 where the domain was left and not yet entered again, shape [column]."""
        dtype = torch.from_numpy(np.zeros(0, host.dtype)).dtype
        # An angle has no domain to leave; the globe is its range.
        self._watched = [c for c in spec.inputs if c.dims != "column"]
        self._domain = {c.name: _domain(c, dtype) for c in self._watched}
        self._scratch = torch.zeros(2, spec.levels.nlev + 1, host.ncol, dtype=dtype)
        self._worst = torch.zeros(host.ncol, dtype=dtype)
        if fallback is not None:
            fallback.setup(host)
            self._flux = Arrays(**{f.name: host.empty(*f.field.dims) for f in fallback.fluxes})
            self._diag = Arrays(**{f.name: host.empty(*f.dims) for f in fallback.diagnostics})

    def distance(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Largest distance of each column from the domain, in training ranges, shape [column]."""
        worst = self._worst.fill_(-torch.inf)
        for name, (low, high, per_range) in self._domain.items():
            x = inputs[name]
            above, below = self._scratch[0, : x.shape[0]], self._scratch[1, : x.shape[0]]
            torch.sub(x, high, out=above)
            torch.sub(low, x, out=below)
            torch.maximum(above, below, out=above).mul_(per_range)
            torch.maximum(worst, above.amax(dim=0), out=worst)  # NaN stays NaN
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
        rule = self.spec.guard
        worst = self.distance(inputs)
        held = torch.from_numpy(self.held)
        far = (worst > rule.wide_margin) | (held.bool() & (worst > rule.margin))
        held.copy_(far)
        wild = ~torch.isfinite(worst)
        large = torch.zeros_like(wild)
        for output in self.spec.outputs:
            flux = fluxes[output.name]
            size = torch.linalg.vector_norm(flux, ord=torch.inf, dim=0)  # NaN stays NaN
            wild |= ~torch.isfinite(size)
            large |= size > output.bound
        large &= ~wild
        guarded = wild | large | far if hand_over else wild | large
        numbers = [worst > rule.margin, far, wild, large, guarded]
        self.counts += [
            self._first,
            guarded.numel(),
            *(int(torch.count_nonzero(n)) for n in numbers),
        ]
        if self.counts[-1] and bool(guarded.any()):
            self._correct(fluxes, guarded, x, now)
        return guarded

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
        own: dict[str, Array] = {"guard_counts": self.counts, "guard_held": self.held}
        if self.fallback is not None:
            own |= {f"fallback_{k}": v for k, v in self.fallback.memory().items()}
        return own


def _domain(channel: Channel, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    low = torch.tensor(channel.minimum, dtype=torch.float64)[:, None]
    high = torch.tensor(channel.maximum, dtype=torch.float64)[:, None]
    size = torch.maximum(low.abs(), high.abs())
    span = torch.maximum(high - low, NARROW * size).clamp_min(1e-30)
    return low.to(dtype), high.to(dtype), (1.0 / span).to(dtype)


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
