"""Everything that a restart holds, gathered from all components under one name each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from coupler.driver.assemble import Assembly
from coupler.interface.component import Array


class Remembers(Protocol):
    """Something with memory."""

    def memory(self) -> dict[str, Array]: ...

    def restore(self, memory: Mapping[str, Array]) -> None: ...


class Memory:
    """The memory of a whole run: models, schemes, couplings, averages, clock."""

    def __init__(self, model: Assembly) -> None:
        self._clock = model.clock
        self._parts: dict[str, Remembers] = {"atmosphere": model.atmosphere, "suite": model.suite}
        for name, coupling in model.couplings.items():
            self._parts[f"model.{name}"] = coupling.model
            self._parts[f"coupling.{name}"] = coupling
        self._later: dict[str, Array] = {}
        self.fingerprint = _fingerprint(model)

    def keep(self, name: str, part: Remembers) -> None:
        """Takes another part into the restart."""
        self._parts[name] = part

    def take(self) -> dict[str, Array]:
        """A copy of everything."""
        arrays = {
            f"{part}/{name}": np.array(array, copy=True)
            for part, holder in self._parts.items()
            for name, array in holder.memory().items()
        }
        arrays["clock/step"] = np.array(self._clock.now.step, dtype=np.int64)
        return arrays

    def put(self, arrays: Mapping[str, Array]) -> None:
        """Gives everything back to its owner; parts that come later wait for `put_kept`."""
        self._later = dict(arrays)
        self._clock.set(int(arrays["clock/step"]))
        for part, holder in self._parts.items():
            self._restore(part, holder)

    def put_kept(self) -> None:
        """Restores the parts that were added after `put`."""
        for part, holder in self._parts.items():
            if part.startswith("output."):
                self._restore(part, holder)
        self._later = {}

    def _restore(self, part: str, holder: Remembers) -> None:
        lead = f"{part}/"
        holder.restore(
            {k.removeprefix(lead): v for k, v in self._later.items() if k.startswith(lead)}
        )


def _fingerprint(model: Assembly) -> str:
    """Hash of what decides whether a restart belongs to a case: all but length and title."""
    data: dict[str, Any] = model.case.model_dump(mode="json")
    for name in ("title", "description", "days", "restart"):
        data.pop(name)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
