"""A bundle whose network gives tendencies on a periodic plane, as a scheme.

It has the same contract as any scheme, and a watch of its own: what is not finite or beyond the
bundle's bound is cut, columns outside the range of the training data are counted, both by layer and
column. There is no fallback: what a closure gives at one point belongs to what it gives at the
others.
"""

from __future__ import annotations

import warnings
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from coupler.interface.component import Array, Arrays, Host, Needs, Now, Params, Port, Tendency
from coupler.interface.errors import ContractError, Problem
from coupler.interface.fields import FIELDS, SMALL_STATE, STATE
from coupler.interface.grid import HybridLevels
from emulators.bundle import Bundle, level_problem

COUNTS = ("calls", "columns", "outside", "not_finite", "beyond_bound")
"""Entries of `PlaneTendency.counts`."""


class PlaneParameters(Params):
    """Nothing to choose."""


class PlaneTendency(Tendency):
    """Base of the classes that `tendency_class_of` makes."""

    Parameters = PlaneParameters
    bundle: ClassVar[Bundle]
    fills: ClassVar[bool] = True

    @classmethod
    def host_problems(cls, levels: HybridLevels) -> list[Problem]:
        """Why it cannot run on these layers; empty where it can."""
        problem = level_problem(cls.bundle.spec, levels)
        return [problem] if problem else []

    def setup(self, host: Host) -> None:
        """Checks the host.

        Raises:
            ContractError: for other layers, another plane, or no weights.
        """
        spec, network = self.bundle.spec, self.bundle.network
        if not self.bundle.reference:
            raise ContractError.of(
                "a bundle without its weights",
                spec.name,
                remedy="load it with them, or let it run in a worker",
            )
        elsewhere = network.host_problem(spec.name, host.globe or host.grid)
        problems = [*([elsewhere] if elsewhere else []), *self.host_problems(host.levels)]
        if problems:
            raise ContractError(*problems)
        self.tallies = np.zeros(len(COUNTS), np.int64)

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values)[:, None]

        self._range = {c.name: (column(c.minimum), column(c.maximum)) for c in spec.inputs}

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """The tendencies, cut where they are not to be believed, and counted."""
        spec = self.bundle.spec
        with warnings.catch_warnings(), torch.inference_mode():
            # Inputs may be read-only, which a tensor cannot express; nothing writes to them.
            warnings.filterwarnings("ignore", ".*not writable.*", UserWarning)
            inputs = {c.name: torch.from_numpy(getattr(x, c.name)) for c in spec.inputs}
            found = self.bundle.network(inputs)
            tallies = self.tallies
            tallies[0] += 1
            for name, (low, high) in self._range.items():
                field = inputs[name]
                tallies[1] += field.numel()
                tallies[2] += int(torch.count_nonzero((field < low) | (field > high)))
            for output in spec.outputs:
                rate = found[output.name]
                largest = float(rate.abs().amax())  # NaN stays NaN
                if not largest <= output.bound:
                    tallies[3] += int(torch.count_nonzero(~torch.isfinite(rate)))
                    tallies[4] += int(torch.count_nonzero(rate.abs() > output.bound))
                    rate.nan_to_num_(nan=0.0).clamp_(-output.bound, output.bound)
                torch.from_numpy(getattr(tend, output.of)).copy_(rate)

    def counts(self) -> dict[str, int]:
        """What it saw since the start of the run: numbers of layers and columns."""
        return dict(zip(COUNTS, self.tallies.tolist(), strict=True))

    def memory(self) -> dict[str, Array]:
        """The counts."""
        return {"guard_counts": self.tallies}

    def counted(self) -> tuple[str, ...]:
        """The counts are sums over ranks."""
        return ("guard_counts",)


def tendency_class_of(bundle: Bundle) -> type[PlaneTendency]:
    """The scheme of a bundle whose outputs are tendencies.

    Raises:
        ContractError: for fluxes among them, and for tendencies of what is no state.
    """
    spec = bundle.spec
    wrong = [o.name for o in spec.outputs if o.dims != "level"]
    if wrong or bundle.network.columns_together == 1:
        raise ContractError.of(
            "a bundle of tendencies that is not for a plane",
            spec.name,
            expected="outputs with dims: level alone, and a network that sees the whole plane",
            found=", ".join(wrong) or spec.architecture.name,
        )
    foreign = [o.of for o in spec.outputs if o.of not in (*STATE, *SMALL_STATE)]
    if foreign:
        raise ContractError.of(
            "tendency of something that is not state",
            f"{spec.name}: {', '.join(foreign)}",
            expected="one of " + ", ".join((*STATE, *SMALL_STATE)),
        )
    members = {
        "__module__": __name__,
        "__doc__": f"Emulator of {spec.process} from {bundle.path.name}.",
        "process": spec.process,
        "scheme": spec.name,
        "bundle": bundle,
        "interval": spec.interval,
        "needs": Needs(arrays="numpy", deterministic=True),
        "inputs": tuple(Port(field=FIELDS[c.name], units=c.units) for c in spec.inputs),
        "tendencies": tuple(o.of for o in spec.outputs),
    }
    return cast(type[PlaneTendency], type(f"Emulator_{spec.name}", (PlaneTendency,), members))
