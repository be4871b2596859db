"""Everything that a restart holds, gathered from all components under one name each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from coupler.driver.assemble import Assembly
from coupler.interface.component import Array
from coupler.output.restart import Moment, Restart


class Remembers(Protocol):
    """Something with memory."""

    def memory(self) -> dict[str, Array]: ...

    def restore(self, memory: Mapping[str, Array]) -> None: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """A copy of the memory of a whole run."""

    moment: Moment
    memories: Mapping[str, Mapping[str, Array]]


class Memory:
    """The memory of a whole run: models, schemes, couplings, averages, clock."""

    def __init__(self, model: Assembly) -> None:
        self._clock = model.clock
        self._parts: dict[str, Remembers] = {"atmosphere": model.atmosphere, "suite": model.suite}
        for name, coupling in model.couplings.items():
            self._parts[f"model.{name}"] = coupling.model
            self._parts[f"coupling.{name}"] = coupling
        self.fingerprint = _fingerprint(model)

    def keep(self, name: str, part: Remembers, restart: Restart | None) -> None:
        """Takes another part in, and restores it when there is a restart."""
        self._parts[name] = part
        if restart is not None:
            part.restore(restart.memory(name))

    def take(self) -> Snapshot:
        """A copy of everything."""
        now = self._clock.now
        return Snapshot(
            moment=Moment(
                case=self.fingerprint,
                date=now.date.isoformat(),
                calendar=now.date.calendar,
                step=now.step,
                seconds=now.seconds,
            ),
            memories={
                part: {name: np.array(a, copy=True) for name, a in holder.memory().items()}
                for part, holder in self._parts.items()
            },
        )

    def put(self, restart: Restart) -> None:
        """Gives everything back to its owner."""
        self._clock.set(restart.moment.step)
        for part, holder in self._parts.items():
            holder.restore(restart.memory(part))


def _fingerprint(model: Assembly) -> str:
    """Hash of what decides whether a restart belongs to a case: all but length and title."""
    data: dict[str, Any] = model.case.model_dump(mode="json")
    for name in ("title", "description", "days", "restart"):
        data.pop(name)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
