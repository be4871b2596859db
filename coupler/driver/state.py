"""Everything that a restart holds, gathered from all components under one name each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from coupler.config import Case
from coupler.contracts import BudgetChoice
from coupler.driver.assemble import Assembly
from coupler.driver.behind import may_lack
from coupler.interface.component import Array
from coupler.interface.errors import DataError, Problem
from coupler.interface.parallel import Same, Spread
from coupler.output.restart import Moment, Restart
from coupler.parallel.agreement import from_first, together
from coupler.where import BESIDE


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
        self._clock, self._parallel = model.clock, model.rows.parallel
        self._parts: dict[str, Remembers] = {"atmosphere": model.atmosphere, "suite": model.suite}
        for name, coupling in model.couplings.items():
            self._parts[f"model.{name}"] = coupling.model
            self._parts[f"coupling.{name}"] = coupling
        self.fingerprint = _fingerprint(model)

    def keep(self, name: str, part: Remembers, restart: Restart | None) -> None:
        """Takes another part in, and restores it when there is a restart."""
        self._parts[name] = part
        if restart is not None:
            part.restore(self._own(name, part, restart))

    def take(self, into: Snapshot | None = None) -> Snapshot:
        """A copy of everything.

        Args:
            into: an older copy that nobody needs any more; its memory is used again.
        """
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
                part: _copies(holder.memory(), into.memories.get(part, {}) if into else {})
                for part, holder in self._parts.items()
            },
        )

    def misfits(self, restart: Restart) -> list[str]:
        """What this run remembers that a restart has not, or in another shape: ``name: found``."""
        wrong, spread = [], self.spread() if self._parallel.size > 1 else {}
        for part, holder in self._parts.items():
            found, ways = restart.memory(part), spread.get(part, {})
            for name, array in holder.memory().items():
                shape = ways[name].shape(array) if name in ways else np.shape(array)
                if name not in found and name in may_lack(holder):
                    continue
                if name not in found:
                    wrong.append(f"{part}/{name}: no such array")
                elif found[name].shape != shape:
                    wrong.append(f"{part}/{name}: the shape {found[name].shape}, not {shape},")
        return wrong

    def put(self, restart: Restart, *, step: int | None = None) -> None:
        """Gives everything back to its owner, at the restart's step or another one.

        Raises:
            DataError: when the model remembers other things than the restart holds.
        """
        self._clock.set(restart.moment.step if step is None else step)
        for part, holder in self._parts.items():
            try:
                holder.restore(self._own(part, holder, restart))
            except (KeyError, ValueError) as error:
                raise DataError.of(
                    "restart does not fit the model",
                    str(restart.path),
                    expected=f"the memory of {part} as this version of Isthmus has it",
                    found=str(error),
                    remedy="continue with the version that wrote it, or begin again with "
                    "--overwrite",
                ) from error

    def spread(self) -> dict[str, Mapping[str, Spread]]:
        """How the arrays of each part lie on the ranks; what is not named is the same on all."""
        found = {}
        for name, holder in self._parts.items():
            ask = getattr(holder, "spread", None)
            found[name] = ask() if ask is not None else {}
        return found

    def _own(self, name: str, part: Remembers, restart: Restart) -> dict[str, Array]:
        """What this rank gets of the memory of one part; only rank 0 has a restart's arrays."""
        found = restart.memory(name)
        if self._parallel.size == 1:
            return found
        own, spread, spare = part.memory(), self.spread()[name], may_lack(part)
        for absent in from_first(self._parallel, lambda: [n for n in spare if n not in found]):
            del own[absent]  # who may lack it knows what to do without
        ways = {n: spread.get(n, Same(self._parallel)) for n in own}

        def fits() -> None:
            if self._parallel.rank:
                return
            for n, array in own.items():
                if n not in found or found[n].shape != ways[n].shape(array):
                    raise DataError.of(
                        "restart does not fit the model",
                        str(restart.path),
                        expected=f"{name}/{n} with the shape {ways[n].shape(array)}",
                        found=f"the shape {found[n].shape}" if n in found else "no such array",
                        remedy="continue with the version that wrote it, or begin again with "
                        "--overwrite",
                    )

        together(self._parallel, fits)
        given = {n: np.empty_like(array) for n, array in own.items()}
        for n, array in given.items():
            ways[n].from_first(found.get(n), array)
        return given


def _copies(memory: Mapping[str, Array], room: Mapping[str, Array]) -> dict[str, Array]:
    """Copies of arrays, in the memory of others where these have the same form."""
    copies = {}
    for name, array in memory.items():
        copies[name] = copy = room.get(name, np.empty(0))
        if copy.shape == array.shape and copy.dtype == array.dtype:
            np.copyto(copy, array)
        else:
            copies[name] = np.array(array, copy=True)
    return copies


def _decisive(case: Case) -> dict[str, Any]:
    """What decides whether a restart belongs to a case: all but length, title and transport."""
    data: dict[str, Any] = case.model_dump(mode="json")
    for name in ("title", "description", "days", "restart", "where"):
        data.pop(name)
    data["physics_order"] = list(data["physics"])
    surface = data["surface"]
    if surface is not None and not surface["lag"]:
        del surface["lag"]  # restarts from before there was one belong to the same case
    for name in BESIDE:
        if data[name] is None and name != "surface":
            del data[name]  # nor do they know of models that are not there
    for name, contract in data["budgets"].items():
        if contract["process_tolerance"] == getattr(BudgetChoice(), name).process_tolerance:
            del contract["process_tolerance"]  # restarts from before there was one
    if case.budgets == BudgetChoice():
        del data["budgets"]
    if not case.correctors:
        del data["correctors"]
    return data


def _fingerprint(model: Assembly) -> str:
    text = json.dumps(_decisive(model.case), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(old: Case, new: Case) -> list[Problem]:
    """A sentence for each entry that keeps `new` from going on where `old` stopped."""
    before, after = _entries(_decisive(old)), _entries(_decisive(new))
    return [
        Problem(
            what="not the case of the run to resume",
            name=name,
            expected=repr(before[name]) if name in before else "no such key",
            found=repr(after[name]) if name in after else "no such key",
            remedy="resume with the case that the run was begun with, or give another --out",
        )
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or before[name] != after[name]
    ]


def _entries(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted names; what is not given is left out."""
    if not isinstance(node, dict):
        return {} if node is None else {prefix: node}
    found: dict[str, Any] = {}
    for name, inner in node.items():
        found |= _entries(inner, f"{prefix}.{name}" if prefix else str(name))
    return found
