"""All that is wrong with a recipe, told together before anything is recorded or fitted.

A recording may take hours and a fit a day. So everything is looked at first: what the recipe says,
files that it names, recordings that are there, cases of which the others will be made (built, not
stepped), the network on their levels, the flow to train through. Then one error has all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from coupler.interface.errors import ConfigError, CouplerError, nearest
from coupler.interface.fields import FIELDS, TENDENCY_UNITS
from coupler.interface.grid import HybridLevels
from emulators.bundle import Bundle, load_bundle, same_levels
from emulators.networks import Network, build, configured, no_backbone
from emulators.schema import Levels, Provenance
from emulators.training.data import Columns, read_recording, split_times
from emulators.training.describe import continued, describe
from emulators.training.fit import device_of
from emulators.training.holding import held
from emulators.training.online import Coupled, refuse_cut_gradients
from emulators.training.recipe import Recipe, Recording
from emulators.training.recordings import case_of, file_of


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What a recording of a case will hold, known without a step."""

    names: frozenset[str]
    """Fields."""
    levels: HybridLevels
    columns: int
    """Of the case's grid."""
    interval: float
    """Time from one call to the next [s]."""


class Foresee(Protocol):
    """Looks at a case that is to be recorded: handed in, as emulators do not know the driver."""

    def __call__(
        self,
        process: str,
        case: Path,
        days: float,
        seed: int,
        overrides: Mapping[str, Any],
        out: Path,
    ) -> Foreseen:
        """What a recording of `process` in `case` into `out` would hold.

        Raises:
            ConfigError: with all that is wrong with it.
        """
        ...


class Flow(Protocol):
    """Makes the flow of a case: handed in, because emulators do not know the driver."""

    def __call__(self, case: Path, changes: Mapping[str, Any], process: str) -> Coupled:
        """The flow of `case` with `changes`, in which `process` is emulated."""
        ...


@dataclass(kw_only=True)
class Ahead:
    """What was found on the way."""

    read: list[Columns | None]
    """Recordings that are there, in the order of the recipe; None for those to be made."""
    before: Bundle | None = None
    """The bundle to go on from."""
    coupled: Coupled | None = None
    """The flow to train through."""


@dataclass(kw_only=True)
class Faults:
    """What is wrong so far."""

    errors: list[CouplerError] = field(default_factory=list)

    def add(self, what: str, name: str, **more: str) -> None:
        """One more problem of the recipe."""
        self.errors.append(ConfigError.of(what, name, **more))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keeps what is raised inside for later."""
        try:
            yield
        except CouplerError as error:
            self.errors.append(error)

    def told(self) -> None:
        """Raises all of it as one error, of its own kind where all are of one kind."""
        problems = list(dict.fromkeys(p for e in self.errors for p in e.problems))
        if not problems:
            return
        kinds = {type(e) for e in self.errors}
        kind = kinds.pop() if len(kinds) == 1 else ConfigError
        raise kind(*problems)


@dataclass(kw_only=True)
class Look:
    """Looks at one recipe."""

    recipe: Recipe
    path: Path
    lacking: set[str]
    """Entries that are required and wrong: something else stands for them."""
    faults: Faults
    work: Path
    """Where recordings are kept."""
    records: bool
    """Whether there is something that makes recordings."""
    foresee: Foresee | None
    flow: Flow | None

    @property
    def roles(self) -> list[tuple[Recording, str]]:
        """Recordings and what they are for, the test last."""
        r = self.recipe
        train = () if "train" in self.lacking else (*r.train, *r.replay)
        test = () if "test" in self.lacking else (r.test,)
        return [(one, "train") for one in train] + [(one, "test") for one in test]

    def ahead(self) -> Ahead:
        """Looks at everything, and raises all that is wrong.

        Raises:
            ConfigError, ContractError, DataError: with all of it.
        """
        sound = all([self._names(), self._network()])
        roles = self.roles
        self._same_twice(roles)
        found = Ahead(read=[self._read(*r) for r in roles])
        expected = self._cases([r for (r, _), c in zip(roles, found.read, strict=True) if not c])
        levels = [(c.source.file, c.levels.hybrid()) for c in found.read if c is not None]
        levels += [(str(r.case), e.levels) for r, e in expected]
        self._bundles(found)
        self._online(found)
        if found.coupled is not None and self.recipe.online is not None:
            levels.append((self.recipe.online.case, found.coupled.levels))
        self._one_set_of(levels)
        if sound and levels:
            with self.faults.gathered():
                self._on(levels[0][1], found, expected)
        self.faults.told()
        return found

    def _names(self) -> bool:
        """Fields of the table, and state variables that fluxes change."""
        outputs = self.recipe.outputs
        unknown = [n for n in (*self.recipe.inputs, *outputs) if n not in FIELDS]
        for name in unknown:
            self.faults.add(
                "unknown field in a recipe", f"{self.path}: {name}", remedy=nearest(name, FIELDS)
            )
        for name, of in outputs.items():
            if of not in TENDENCY_UNITS:
                self.faults.add(
                    "no state variable that a flux changes", f"{self.path}: outputs.{name}",
                    expected=", ".join(TENDENCY_UNITS), found=of,
                )  # fmt: skip
        return not unknown

    def _network(self) -> bool:
        """The architecture, its configuration, a checkpoint for it, and the device."""
        with self.faults.gathered():
            device_of(self.recipe.optimizer.device)
        cls: type[Network] | None = None
        with self.faults.gathered():
            cls, _ = configured(self.recipe.architecture, self.recipe.name)
        if self.recipe.pretrained is not None:
            checkpoint = self.path.parent / self.recipe.pretrained
            if not checkpoint.is_file():
                self.faults.add("no such checkpoint", str(checkpoint))
            if cls is not None and cls.load_backbone is Network.load_backbone:
                self.faults.errors.append(no_backbone(cls))
        return cls is not None

    def _same_twice(self, roles: Sequence[tuple[Recording, str]]) -> None:
        """One run of a case for training and test, or the same part of it twice."""
        runs = [(r, role, _run(r)) for r, role in roles if r.case is not None]
        for i, (one, role, run) in enumerate(runs):
            for other, other_role, other_run in runs[:i]:
                if run == other_run and (role != other_role or one == other):
                    self.faults.add(
                        "the same recording twice",
                        f"{other_role} {other.case} and {role} {one.case}",
                        expected="different runs",
                        found=f"seed {one.seed}",
                        remedy="give another seed or start to one of them",
                    )

    def _read(self, recording: Recording, role: str) -> Columns | None:
        """A recording that is there; None for one that is to be made, or cannot be read."""
        path = file_of(recording, self.path.parent, self.work)
        if path is not None:
            with self.faults.gathered():
                return self.read(path, recording, role)
        return None

    def read(self, path: Path, recording: Recording, role: str) -> Columns:
        """What is learned of a recording.

        Raises:
            DataError: when it cannot be read, or that cannot be made of it.
        """
        r = self.recipe
        names = [n for n in (*r.inputs, *r.outputs) if n in FIELDS]
        found = read_recording(path, names, role=role, skip_days=recording.skip_days)
        if r.target == "mean" and r.interval is not None:
            return held(found, r.interval, [n for n in r.outputs if n in FIELDS])
        return found

    def _cases(self, recordings: Sequence[Recording]) -> list[tuple[Recording, Foreseen]]:
        """What recordings that are to be made will hold."""
        known: dict[str, Foreseen | None] = {}
        found = []
        for r in (r for r in recordings if r.case is not None):
            if (run := _run(r, with_days=True)) not in known:
                known[run] = None
                with self.faults.gathered():
                    known[run] = self._foreseen(r)
            expected = known[run]
            if expected is not None:
                found.append((r, expected))
                self._will_do(r, expected)
        return found

    def _foreseen(self, r: Recording) -> Foreseen | None:
        """What a recording that is to be made will hold; None where that is not known.

        Raises:
            ConfigError: with what is wrong with its case.
        """
        case = case_of(r, self.path.parent, self.records)
        if self.foresee is None or r.days is None or "process" in self.lacking:
            return None
        process = self.recipe.process
        return self.foresee(process, case, r.days, r.seed, r.set, self.work / "to_be_recorded")

    def _will_do(self, r: Recording, expected: Foreseen) -> None:
        """Whether a recording of a case will have what the recipe asks of it."""
        recipe, case = self.recipe, str(self.path.parent / str(r.case))
        for name in (*recipe.inputs, *recipe.outputs):
            if name in FIELDS and name not in expected.names:
                self.faults.add(
                    "field that a recording of the case will not have",
                    f"{case}: {name}",
                    expected=", ".join(sorted(expected.names)),
                    remedy="leave it out, or record a scheme that is given it",
                )
        if recipe.target == "mean" and recipe.interval is not None:
            many = max(1, round(recipe.interval / expected.interval))
            if abs(recipe.interval / many - expected.interval) > 0.5:
                self.faults.add(
                    "calls that do not divide the time for which an answer is held",
                    f"{case}: {recipe.process}",
                    expected=f"a whole part of {recipe.interval:g} s",
                    found=f"{expected.interval:g} s",
                    remedy="record with another interval of the process, or give another interval",
                )
            if r.columns != "all" and r.columns < expected.columns:
                self.faults.add(
                    "other columns at every call, of which no mean over time can be made",
                    case,
                    expected="the same ones",
                    remedy="say `columns: all` of the recording",
                )
        if recipe.validation_block is not None and r in (*recipe.train, *recipe.replay):
            assert r.days is not None
            days = np.arange(0.0, r.days - r.skip_days, expected.interval / 86400.0)
            with self.faults.gathered():
                split_times(days, recipe.validation, recipe.validation_block, case)

    def _bundles(self, found: Ahead) -> None:
        if self.recipe.start is not None:
            with self.faults.gathered():
                found.before = load_bundle(self.path.parent / self.recipe.start)

    def _online(self, found: Ahead) -> None:
        """The flow to train through, and whether it has what the network is to see."""
        online = self.recipe.online
        if online is None:
            return
        if self.flow is None:
            self.faults.add(
                "cannot train through the dynamics here",
                str(self.path),
                remedy="use `isthmus train`, or leave `online` out",
            )
            return
        if "process" not in self.lacking:
            with self.faults.gathered():
                case = self.path.parent / online.case
                found.coupled = self.flow(case, online.set, self.recipe.process)
        for name in self.recipe.inputs:
            if found.coupled is not None and name in FIELDS and name not in found.coupled.gives:
                self.faults.add(
                    "an input that the flow does not give to a network in training",
                    f"{self.path}: {name}",
                    expected=", ".join(sorted(found.coupled.gives)),
                    remedy="leave it out of the inputs, or online out of the recipe",
                )

    def _one_set_of(self, levels: Sequence[tuple[str, HybridLevels]]) -> None:
        for name, other in levels[1:]:
            if not same_levels(levels[0][1], other):
                self.faults.add(
                    "recordings on different levels",
                    f"{levels[0][0]} and {name}",
                    expected=f"{levels[0][1].nlev} levels {levels[0][1].name!r}",
                    found=f"{other.nlev} levels {other.name!r}",
                )
                return

    def _on(
        self, levels: HybridLevels, found: Ahead, expected: Sequence[tuple[Recording, Foreseen]]
    ) -> None:
        """The network as it will be but for its statistics.

        Raises:
            ConfigError, ContractError: when it cannot be built, or not go on from another one.
        """
        recipe, nlev = self.recipe, levels.nlev
        sizes = {"level": nlev, "interface": nlev + 1, "column": 1}
        names = *recipe.inputs, *recipe.outputs
        ones = {n: torch.ones(sizes[FIELDS[n].dims[0]], 2) for n in names}
        own = Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist())
        provenance = Provenance(fingerprint="0" * 64, sources=[], seed=recipe.seed)
        spec = describe(recipe, ones, own, provenance)
        if found.before is not None:
            with self.faults.gathered():
                continued(found.before.spec, spec)
        network = build(spec)
        if recipe.online is not None:
            with self.faults.gathered():
                refuse_cut_gradients(network, spec, recipe.online)
        together = network.columns_together
        for r, e in expected:
            each = e.columns if r.columns == "all" else min(r.columns, e.columns)
            if each % together:
                self.faults.add(
                    "recording without whole maps",
                    str(self.path.parent / str(r.case)),
                    expected=f"calls of {together} columns, the whole grid in its order",
                    found=f"{each} columns a call",
                    remedy="say `columns: all` of its recordings, or train a network of single "
                    "columns",
                )


def _run(r: Recording, with_days: bool = False) -> str:
    """What decides a run of a case: the same for two recordings of one run."""
    what: list[Any] = [r.case, r.set, r.days if with_days else r.seed]
    return json.dumps(what, sort_keys=True, default=str)
