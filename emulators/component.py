"""A bundle as a scheme: `emulator_class(folder)` is a `Tendency` like any physical one.

All columns and both wind components go through the network as one batch, in float32. The driver's
arrays are seen through tensors that share their memory. A float64 host's numbers are rounded once,
where features are formed, and that is recorded in `casts`. On other levels than the bundle's it
refuses to run, unless the case says ``levels: regrid`` (`emulators.other_levels`); where its levels
end below the host's top, the physical scheme of the case continues its fluxes there. A network that
sees neighbouring columns runs on the whole globe (`emulators.globe`), on the grid it was made for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from coupler.interface.component import (
    Array,
    Arrays,
    Conserves,
    Flux,
    Host,
    Needs,
    Now,
    Params,
    Port,
    Tendency,
    reads,
)
from coupler.interface.errors import ContractError, Problem
from coupler.interface.fields import COLUMN, FIELDS, Field
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import (
    Bundle,
    check_channels,
    declared_bundle,
    level_problem,
    load_bundle,
)
from emulators.globe import Globe
from emulators.guard import COUNTS, Guard, check_fallback
from emulators.other_levels import Above, Regrid
from emulators.plane import tendency_class_of
from emulators.schema import BundleSpec


class EmulatorParameters(Params):
    """What a case may say about an emulator."""

    guard: Literal["hand_over", "count"] = "hand_over"
    """What happens to columns far outside the training domain: ``hand_over`` to the fallback, or
    only ``count``. Fluxes that are not finite or beyond the bound are always replaced."""
    levels: Literal["refuse", "regrid"] = "refuse"
    """What a host with other levels gets: a sentence, or state and fluxes interpolated."""
    above: Literal["reference", "constant"] = "reference"
    """What `regrid` gives above the bundle's uppermost interface: the fluxes of the process's
    reference scheme, made continuous there, or (also without a reference) the flux at its top."""


class EmulatorTendency(Tendency):
    """Base of the classes that `emulator_class` makes."""

    Parameters = EmulatorParameters
    bundle: ClassVar[Bundle]
    conserves = (Conserves(quantity="momentum"),)
    casts: tuple[str, ...] = ()
    """Conversions of precision at the border, for the log; none on a float32 host."""

    _fallback: Tendency | None = None

    @property
    def fallback(self) -> Tendency | None:
        """The physical scheme that takes over columns; set before the inputs are bound."""
        return self._fallback

    @fallback.setter
    def fallback(self, scheme: Tendency | None) -> None:
        self._fallback = scheme
        # This instance's ports, beside the class's: what the fallback reads has to be bound too.
        vars(self)["inputs"] = with_ports(type(self).inputs, scheme.inputs if scheme else ())

    @classmethod
    def host_problems(cls, levels: HybridLevels) -> list[Problem]:
        """Why this emulator cannot run on these levels as they are; empty where it can."""
        problem = level_problem(cls.bundle.spec, levels)
        return [problem] if problem else []

    @classmethod
    def grid_problems(cls, grid: Grid) -> list[Problem]:
        """Why this emulator cannot run on this grid of the globe; empty where it can."""
        problem = cls.bundle.network.host_problem(cls.bundle.spec.name, grid)
        return [problem] if problem else []

    def fit_ports(self, levels: HybridLevels) -> None:
        """Declares what it also reads on other levels than its own."""
        if self.host_problems(levels):
            vars(self)["inputs"] = with_ports(self.inputs, reads("pfull phalf"))

    def setup(self, host: Host) -> None:
        """Checks the host and allocates.

        Raises:
            ContractError: for other levels, another grid, no weights, a network in training mode,
                or a fallback that does not fit.
        """
        if not self.bundle.reference:
            raise ContractError.of(
                "a bundle without its weights",
                self.bundle.spec.name,
                remedy="load it with them, or let it run in a worker",
            )
        problems = self.host_problems(host.levels)
        elsewhere = self.grid_problems(host.globe or host.grid)
        if elsewhere or (problems and self.p.levels == "refuse"):
            raise ContractError(*elsewhere, *problems)
        self.fit_ports(host.levels)
        self._regrid = Regrid(self.bundle.spec, host) if problems else None
        self._globe = Globe(self.bundle.spec, host) if self.needs.globe else None
        if self.bundle.network.training:
            raise ContractError.of(
                "network in training mode", self.bundle.spec.name, remedy="call eval() on it"
            )
        if self.fallback is not None:
            check_fallback(self, self.fallback)
        self._guard = Guard(self.bundle.spec, self.fallback, host, self.bundle.domain)
        self._moved = f"guard_moved_{self.process}"
        self._above: Above | None = None
        if self._regrid is not None and self.fallback is not None and self.p.above == "reference":
            self._above = Above.where_needed(self.bundle.spec, self.fallback, host)
        self._flag = f"guard_{self.process}"
        self._views: dict[str, tuple[Array, Tensor]] = {}
        self.casts = ()
        if host.dtype != "float32":
            self.casts = (
                f"{self.bundle.spec.name}: inputs {host.dtype} -> float32 in the features",
                f"{self.bundle.spec.name}: fluxes float32 -> {host.dtype}",
            )

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Fluxes of all columns, checked by the guard."""
        spec = self.bundle.spec
        inputs: Mapping[str, Tensor]
        inputs = {c.name: self._view(c.name, getattr(x, c.name)) for c in spec.inputs}
        fluxes = {c.name: self._view(c.name, getattr(flux, c.name)) for c in spec.outputs}
        with torch.inference_mode():
            if self._regrid is None:
                self._forward(inputs, fluxes)
            else:
                inputs = self._regrid.inputs(inputs, x)
                self._forward(inputs, self._regrid.fluxes)
                self._regrid.back(fluxes, x)
                if self._above is not None:
                    self._above.join(x, flux, now)
            guarded = self._guard.watch(
                inputs, fluxes, x, now, hand_over=self.p.guard == "hand_over"
            )
            self._view(self._flag, getattr(diag, self._flag)).copy_(guarded)
            if spec.guard.largest_drag is not None:
                moved = self._guard.limit(fluxes, x.phalf)
                self._view(self._moved, getattr(diag, self._moved)).copy_(moved)

    def _forward(self, inputs: Mapping[str, Tensor], fluxes: Mapping[str, Tensor]) -> None:
        if self._globe is None or self._globe.alone:
            self.bundle.network(inputs, fluxes)
        else:
            self.bundle.network(self._globe.inputs(inputs), self._globe.fluxes)
            self._globe.back(fluxes)

    def _view(self, name: str, array: Array) -> Tensor:
        """A tensor on the array's memory; made anew only when another array is given."""
        known = self._views.get(name)
        if known is None or known[0] is not array:
            with warnings.catch_warnings():
                # Inputs may be read-only, which a tensor cannot express; nothing writes to them.
                warnings.filterwarnings("ignore", ".*not writable.*", UserWarning)
                known = self._views[name] = (array, torch.from_numpy(array))
        return known[1]

    @property
    def guard(self) -> Guard:
        """The guard with its counts, after set-up."""
        return self._guard

    def counts(self) -> dict[str, int]:
        """What the guard saw since the start of the run."""
        return dict(zip(COUNTS, self.guard.counts.tolist(), strict=True))

    def memory(self) -> dict[str, Array]:
        """The guard's counts and state, and what the fallback remembers."""
        return self._guard.memory()

    def counted(self) -> tuple[str, ...]:
        """The guard counts columns."""
        return ("guard_counts",)


def with_ports(own: tuple[Port, ...], more: tuple[Port, ...]) -> tuple[Port, ...]:
    """`own` ports and those of `more` that have other names."""
    have = {p.name for p in own}
    return own + tuple(p for p in more if p.name not in have)


def emulator_class(
    path: Path | str, process: str | None = None, *, weights: bool = True
) -> type[Tendency]:
    """The scheme that a bundle is, with its declared ports.

    Args:
        path: the bundle's folder.
        process: what it is wanted for; None for whatever it is made for.
        weights: False for a class that only declares: it computes in another process, which alone
            holds the weights.

    Raises:
        DataError: for a bundle that cannot be read or does not reproduce its reference.
        ContractError: for an unknown architecture and every channel that does not fit.
    """
    bundle = load_bundle(path) if weights else declared_bundle(path)
    spec = bundle.spec
    check_channels(spec)
    if process is not None and process != spec.process:
        raise ContractError.of(
            "bundle of another process",
            f"{process}={bundle.path}",
            expected=process,
            found=spec.process,
            remedy=f"swap {spec.process} for it",
        )
    if any(o.dims == "level" for o in spec.outputs):
        return tendency_class_of(bundle)
    return class_of(bundle)


def class_of(bundle: Bundle) -> type[EmulatorTendency]:
    """The scheme of a bundle that is in memory."""
    spec = bundle.spec
    members = {
        "__module__": __name__,
        "__doc__": f"Emulator of {spec.process} from {bundle.path.name}.",
        "process": spec.process,
        "scheme": spec.name,
        "bundle": bundle,
        "interval": spec.interval,
        "needs": Needs(
            arrays="numpy", deterministic=True, globe=bundle.network.columns_together > 1
        ),
        "inputs": with_ports(
            tuple(Port(field=FIELDS[c.name], units=c.units) for c in spec.inputs),
            reads("phalf") if spec.guard.largest_drag is not None else (),
        ),
        "fluxes": tuple(
            Flux(field=FIELDS[o.name], of=o.of, top=o.top, dump_above=o.dump_above)
            for o in spec.outputs
        ),
        "diagnostics": _diagnostics(spec),
    }
    return cast(type[EmulatorTendency], type(f"Emulator_{spec.name}", (EmulatorTendency,), members))


def _diagnostics(spec: BundleSpec) -> tuple[Field, ...]:
    """What the guard did, as maps."""
    taken = Field(
        name=f"guard_{spec.process}",
        standard_name=None,
        long_name=f"Share of Columns Taken from the Emulator of {spec.process}",
        units="1",
        dims=COLUMN,
        valid=(0.0, 1.0),
    )
    if spec.guard.largest_drag is None:
        return (taken,)
    moved = Field(
        name=f"guard_moved_{spec.process}",
        standard_name=None,
        long_name=f"Momentum Flux of the Emulator of {spec.process} Handed to Lower Layers",
        units=spec.outputs[0].units,
        dims=COLUMN,
    )
    return (taken, moved)
