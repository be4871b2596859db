"""A bundle on a host with other levels: state there, fluxes back, and what continues above it.

Where the bundle's uppermost interface lies at a pressure p_t above zero, the physical scheme S of
the process continues the network's flux F to the host's top:

    F(p) = S(p) + [F(p_t) - S(p_t)] p / p_t        for p < p_t

It is continuous at the joint, ends as the physical scheme does, and what the two differ by at
the joint is taken up by the layers above with one and the same acceleration, so that no thin layer
gets all of it. The column's momentum closes whatever F and S are, because only fluxes are changed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
import torch
from torch import Tensor

from coupler.interface.component import Array, Arrays, Host, Now, Tendency
from coupler.interface.errors import ContractError
from coupler.interface.jit import njit
from emulators.regrid import to_interfaces, to_levels
from emulators.schema import NOMINAL_SURFACE, BundleSpec


class Regrid:
    """State on the bundle's levels and fluxes on its interfaces, for a host with others."""

    def __init__(self, spec: BundleSpec, host: Host) -> None:
        self._a, self._b = np.asarray(spec.levels.a), np.asarray(spec.levels.b)
        self._names = [c.name for c in spec.inputs if c.dims == "level" and c.name != "pfull"]
        wrong = [c.name for c in spec.inputs if c.dims == "interface"]
        if wrong:
            raise ContractError.of(
                "levels of a bundle differ from the host's and an input is on interfaces",
                f"{spec.name}: {', '.join(wrong)}",
                remedy="use the bundle's levels in the case",
            )
        nlev = spec.levels.nlev
        self._state = {n: np.zeros((nlev, host.ncol), np.float32) for n in self._names}
        self._pressure = np.zeros((nlev, host.ncol), np.float32)
        self._flux = {o.name: np.zeros((nlev + 1, host.ncol), np.float32) for o in spec.outputs}
        self.fluxes = {n: torch.from_numpy(f) for n, f in self._flux.items()}
        self._tensors = {n: torch.from_numpy(f) for n, f in self._state.items()}
        self._tensors["pfull"] = torch.from_numpy(self._pressure)

    def inputs(self, own: Mapping[str, Tensor], x: Arrays) -> dict[str, Tensor]:
        """The emulator's inputs on its own levels; columns without levels as they are."""
        fields = tuple(getattr(x, n) for n in self._names)
        state = tuple(self._state.values())
        to_levels(self._a, self._b, x.pfull, x.phalf[-1], fields, state, self._pressure)
        return dict(own) | {n: t for n, t in self._tensors.items() if n in own}

    def back(self, fluxes: Mapping[str, Tensor], x: Arrays) -> None:
        """The emulator's fluxes on the host's interfaces."""
        for name, flux in self._flux.items():
            to_interfaces(self._a, self._b, flux, x.phalf, fluxes[name].numpy())


@njit(parallel=True)
def continue_above(a: float, b: float, phalf: Array, physical: Array, flux: Array) -> None:
    """Replaces `flux` above the bundle's top by the physical scheme's, continuous there.

    Args:
        a, b: the bundle's uppermost interface is at the pressure ``a + b ps`` [Pa].
        phalf: pressure of the host's interfaces [Pa], shape [interface, column].
        physical: the physical scheme's flux, shape [interface, column].
        flux: the network's, constant above its top; changed there, shape [interface, column].
    """
    nhost, ncol = phalf.shape
    for i in numba.prange(ncol):
        n, top = 0, a + b * phalf[-1, i]
        while n < nhost and phalf[n, i] < top:
            n += 1
        if 0 < n < nhost:
            upper, lower = np.float64(phalf[n - 1, i]), np.float64(phalf[n, i])
            w = (top - upper) / (lower - upper)
            at_joint = (1.0 - w) * physical[n - 1, i] + w * physical[n, i]
            excess = flux[0, i] - at_joint
            for k in range(n):
                flux[k, i] = physical[k, i] + excess * phalf[k, i] / top


class Above:
    """Continues a bundle's fluxes above its top with those of a physical scheme."""

    def __init__(self, spec: BundleSpec, scheme: Tendency, host: Host) -> None:
        self._scheme, self._top = scheme, (spec.levels.a[0], spec.levels.b[0])
        self._names = [o.name for o in spec.outputs]
        self._flux = Arrays(**{f.name: host.empty(*f.field.dims) for f in scheme.fluxes})
        self._diag = Arrays(**{f.name: host.empty(*f.dims) for f in scheme.diagnostics})

    @classmethod
    def where_needed(cls, spec: BundleSpec, scheme: Tendency, host: Host) -> Above | None:
        """One for a host that reaches above the bundle; `scheme` is set up already.

        Raises:
            ContractError: for a scheme with a memory, which cannot be called twice in a step.
        """
        top = spec.levels.half_pressure()[0]
        host_top = host.levels.half_pressure(np.array(NOMINAL_SURFACE))[0]
        if host_top >= 0.999 * top:
            return None
        if scheme.memory():
            raise ContractError.of(
                "a reference with a memory cannot continue an emulator above its top",
                f"{spec.name}: {scheme.scheme or type(scheme).__name__}",
                expected="a scheme that the guard may call as well",
                remedy="set `above: constant`, or give it a reference without random numbers",
            )
        return cls(spec, scheme, host)

    def join(self, x: Arrays, flux: Arrays, now: Now) -> None:
        """Changes `flux` above the bundle's top."""
        for _, array in self._flux.items():
            array.fill(0.0)
        self._scheme.compute(x, Arrays(), self._flux, self._diag, now)
        for name in self._names:
            continue_above(*self._top, x.phalf, getattr(self._flux, name), getattr(flux, name))
