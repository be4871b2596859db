"""Other people's schemes in a few lines: a plain function, a ``torch.nn.Module``.

    Cooling = from_function(
        "stratosphere", "cool", lambda ta, pfull: (210.0 - ta) / 4e5 * (pfull < 1e4),
        reads=reads("ta pfull"), tendencies="ta",
    )

Each registers a scheme that a case can name, under the same contract as any other: units, checks,
restarts and output follow from what is declared. For components of sympl see `sympl_call`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from coupler.interface.component import (
    Array,
    Arrays,
    Host,
    Needs,
    Now,
    Port,
    Tendency,
    gives,
    tendencies_of,
)
from coupler.interface.errors import ContractError
from coupler.interface.registry import scheme


def from_function(
    process: str,
    name: str,
    function: Callable[..., Any],
    *,
    reads: tuple[Port, ...],
    tendencies: str = "",
    diagnostics: str = "",
) -> type[Tendency]:
    """Registers a function of arrays as a scheme.

    Args:
        process: of which it is a scheme.
        name: its name in a case.
        function: gets the fields of `reads` in their order, [level or interface, column]; what it
            gets it must not change. Returns one array, or a tuple of them: the tendencies and then
            the diagnostics, in their order.
        reads: what it reads, ``reads("ta pfull")``.
        tendencies: state variables that it returns rates of [SI s-1], ``"ta hus"``.
        diagnostics: further fields that it returns.
    """
    changed, given = tendencies_of(tendencies), gives(diagnostics)

    class FromFunction(Tendency):
        inputs = reads
        tendencies = changed
        diagnostics = given
        fills = True

        def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
            found = function(*(getattr(x, p.name) for p in reads if p.name in x))
            _spread(found, (*dict(tend.items()).values(), *dict(diag.items()).values()), self)

    FromFunction.__doc__ = (function.__doc__ or f"{name}, a function").splitlines()[0]
    FromFunction.__name__ = FromFunction.__qualname__ = f"{process}_{name}"
    return scheme(process, name)(FromFunction)


def from_module(
    process: str,
    name: str,
    module: Callable[[], Any],
    *,
    reads: tuple[Port, ...],
    tendencies: str = "",
    diagnostics: str = "",
) -> type[Tendency]:
    """Registers a ``torch.nn.Module`` as a scheme.

    Args:
        process: of which it is a scheme.
        name: its name in a case.
        module: makes it; called once for each run. The module gets tensors that share the memory of
            the fields of `reads`, [level or interface, column], and returns a tensor or a tuple, as
            `from_function` says.
        reads: what it reads.
        tendencies: state variables that it returns rates of [SI s-1].
        diagnostics: further fields that it returns.
    """
    changed, given = tendencies_of(tendencies), gives(diagnostics)

    class FromModule(Tendency):
        inputs = reads
        tendencies = changed
        diagnostics = given
        fills = True
        needs = Needs(differentiable=True)

        def setup(self, host: Host) -> None:
            import torch

            made = module()
            self._module = made.eval().to(getattr(torch, host.dtype.name))

        def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
            import torch

            with torch.no_grad():
                tensors = [torch.from_numpy(getattr(x, p.name)) for p in reads if p.name in x]
                found = self._module(*tensors)
            many = found if isinstance(found, tuple) else (found,)
            arrays = tuple(t.numpy() for t in many)
            _spread(arrays, (*dict(tend.items()).values(), *dict(diag.items()).values()), self)

    FromModule.__doc__ = f"{name}, a torch module"
    FromModule.__name__ = FromModule.__qualname__ = f"{process}_{name}"
    return scheme(process, name)(FromModule)


def _spread(found: Any, targets: tuple[Array, ...], owner: Tendency) -> None:
    """What was returned into the outputs that it is for."""
    many = found if isinstance(found, tuple) else (found,)
    shapes = [np.shape(a) for a in many]
    if len(many) != len(targets) or any(
        np.broadcast_shapes(s, t.shape) != t.shape for s, t in zip(shapes, targets, strict=False)
    ):
        raise ContractError.of(
            "an answer that does not fit",
            f"{owner.process}={owner.scheme}",
            expected=f"arrays of the shapes {', '.join(str(t.shape) for t in targets)}",
            found=", ".join(map(str, shapes)),
            remedy="return the tendencies and then the diagnostics, in the order declared",
        )
    for array, target in zip(many, targets, strict=True):
        target[...] = array
