"""`train(recipe)`: record -> fit -> offline skill -> bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import stdev
from typing import Any, Protocol, TypeVar

import torch
from rich.console import Console
from rich.table import Table

from coupler.interface.errors import ConfigError, DataError, Problem, nearest
from coupler.interface.fields import FIELDS
from coupler.interface.files import write_json, write_whole
from coupler.interface.source import commit
from coupler.interface.source import fingerprint as code_of
from emulators.bundle import load_bundle, read_spec, same_levels, sha256, write_bundle
from emulators.domain import fit_domain
from emulators.networks import build
from emulators.schema import BundleSpec, Channel, Output
from emulators.training.data import (
    Columns,
    fingerprint,
    joined,
    read_recording,
    refuse_duplicates,
    refuse_leaks,
    refuse_other_levels,
    split,
    thinned,
)
from emulators.training.describe import describe
from emulators.training.fit import fit
from emulators.training.holding import held
from emulators.training.made import provenance
from emulators.training.online import Coupled, refuse_cut_gradients, tune
from emulators.training.recipe import Recipe, Recording, read_recipe
from emulators.training.skill import predict, print_skill, skill

REFERENCE_COLUMNS = 33


class Record(Protocol):
    """Makes a recording of a case: handed in, because emulators do not know the driver."""

    def __call__(
        self,
        case: Path,
        days: float,
        seed: int,
        overrides: Mapping[str, Any],
        out: Path,
        columns: int | None,
    ) -> Path:
        """Runs `case` for `days` and writes a recording at or below `out`; returns its path.

        `columns` of each call are recorded, all of them for None.
        """
        ...


class Flow(Protocol):
    """Makes the flow of a case: handed in, because emulators do not know the driver."""

    def __call__(self, case: Path, changes: Mapping[str, Any], process: str) -> Coupled:
        """The flow of `case` with `changes`, in which `process` is emulated."""
        ...


def train(
    recipe_path: Path | str,
    *,
    record: Record | None = None,
    flow: Flow | None = None,
    out: Path | None = None,
    work: Path | None = None,
    overwrite: bool = True,
    console: Console | None = None,
    seed: int | None = None,
) -> Path:
    """Follows a recipe to its bundle; an interrupted fit is resumed.

    Args:
        recipe_path: the recipe.
        record: makes recordings of cases; needed unless all are files.
        flow: makes what a recipe with `online` trains through.
        out: folder that the bundle becomes, instead of the recipe's.
        work: folder of recordings and checkpoints, instead of the recipe's.
        overwrite: whether a bundle that is there already is replaced.
        console: where progress goes.
        seed: instead of the recipe's; its checkpoints lie apart.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: for a recipe that is wrong.
        DataError: for recordings that are missing, wrong or not independent.
    """
    recipe_path, console = Path(recipe_path), console or Console()
    recipe = read_recipe(recipe_path)
    _check_names(recipe, recipe_path)
    if recipe.online is not None and flow is None:
        raise ConfigError.of(
            "cannot train through the dynamics here",
            str(recipe_path),
            remedy="use `isthmus train`, or leave `online` out",
        )
    if work is None:
        work = Path(recipe.work) if recipe.work else Path("runs") / f"train_{recipe.name}"
    checkpoint = work / "checkpoint.safetensors"
    if seed is not None:
        recipe = recipe.model_copy(update={"seed": seed})
        checkpoint = work / f"seed_{seed}" / "checkpoint.safetensors"
    names = [*recipe.inputs, *recipe.outputs]
    roles = [(r, "train") for r in (*recipe.train, *recipe.replay)] + [(recipe.test, "test")]
    recordings = []
    for recording, role in roles:
        path = obtain(recording, recipe_path.parent, work, record, console)
        found = read_recording(path, names, role=role, skip_days=recording.skip_days)
        if recipe.target == "mean":
            assert recipe.interval is not None
            found = held(found, recipe.interval, list(recipe.outputs))
        recordings.append(found)
    sources = [r.source for r in recordings]
    refuse_duplicates(sources)
    refuse_other_levels(recordings)
    *training, test = recordings
    refuse_leaks(training, test)
    fitting, validation = _parts(training, recipe)
    for r in recordings:
        s = r.source
        console.print(f"{s.role:5s} {s.file}: case {s.case}, seed {s.seed}, {r.n} columns")

    made = provenance(fingerprint(sources), sources, recipe.seed, recipe)
    spec = describe(recipe, fitting, test.levels, made)
    before = None
    if recipe.start is not None:
        before = load_bundle(recipe_path.parent / recipe.start)
        spec = continued(before.spec, spec)
    torch.manual_seed(recipe.seed)
    network = build(spec)
    if recipe.online is not None:
        refuse_cut_gradients(network, spec, recipe.online)
    together = getattr(network, "columns_together", 1)
    if together > 1:
        _refuse_samples(recordings, together)
        fitting, validation = _parts(training, recipe, together)
    if before is not None:
        network.load_state_dict(before.network.state_dict())
    if recipe.pretrained is not None:
        console.print(f"backbone: {network.load_backbone(recipe_path.parent / recipe.pretrained)}")
    size = sum(p.numel() for p in network.parameters())
    console.print(f"{recipe.architecture.name}: {size} weights, {4e-6 * size:.2f} MB")
    fit(
        network,
        spec,
        fitting,
        validation,
        optimizer=recipe.optimizer,
        seed=recipe.seed,
        checkpoint=checkpoint,
        identity=_identity(spec, recipe, recipe_path.parent),
        console=console,
    )
    if recipe.online is not None:
        assert flow is not None
        case = recipe_path.parent / recipe.online.case
        coupled = flow(case, recipe.online.set, recipe.process)
        tuned = tune(network, spec, coupled, recipe.online, seed=recipe.seed, console=console)
        write_json(checkpoint.with_name("online.json"), vars(tuned))
    truth = {n: test.fields[n] for n in recipe.outputs}
    estimate = predict(network, {n: test.fields[n] for n in recipe.inputs})
    result = skill(truth, estimate, test.levels)
    print_skill(console, result, truth, test.levels)
    some = torch.arange(together)  # one map
    if together == 1:
        some = torch.linspace(0, test.n - 1, min(REFERENCE_COLUMNS, test.n)).long()
    return write_bundle(
        (out or recipe_path.parent / recipe.bundle).resolve(),
        spec.model_copy(update={"skill": result}),
        network,
        {n: test.fields[n][..., some] for n in recipe.inputs},
        overwrite=overwrite,
        domain=fit_domain(spec, fitting),
    )


def train_seeds(
    recipe_path: Path | str,
    seeds: Sequence[int],
    *,
    record: Record | None = None,
    flow: Flow | None = None,
    out: Path | None = None,
    work: Path | None = None,
    console: Console | None = None,
) -> list[Path]:
    """One bundle for each seed, ``BUNDLE_seedN``, on the same recordings; then their scores.

    Raises:
        ConfigError: for a recipe that is wrong.
        DataError: for recordings that are missing, wrong or not independent.
    """
    recipe_path, console = Path(recipe_path), console or Console()
    base = (out or recipe_path.parent / read_recipe(recipe_path).bundle).resolve()
    found = []
    for seed in seeds:
        console.print(f"seed {seed}")
        to = base.with_name(f"{base.name}_seed{seed}")
        found.append(
            train(
                recipe_path,
                record=record,
                flow=flow,
                out=to,
                work=work,
                console=console,
                seed=seed,
            )
        )
    table = Table(title="Offline R2 on the held-out run")
    for head in ("seed", "flux", "drag"):
        table.add_column(head, justify="right")
    scores = []
    for seed, path in zip(seeds, found, strict=True):
        result = read_spec(path).skill
        assert result is not None
        scores.append((result.flux_overall, result.drag_overall))
        table.add_row(str(seed), *(f"{v:.4f}" for v in scores[-1]))
    if len(scores) > 1:
        spread = [f"{stdev(v):.4f}" for v in zip(*scores, strict=True)]
        table.add_row("deviation", *spread)
    console.print(table)
    return found


def continued(before: BundleSpec, now: BundleSpec) -> BundleSpec:
    """The description of a bundle that goes on from `before`: its normalization, a wider domain.

    Args:
        before: of the bundle to go on from.
        now: what the new recordings alone would give.

    Raises:
        ConfigError: when architecture, channels or levels differ.
    """
    problems = []
    for what, one, other in (
        ("architecture", before.architecture, now.architecture),
        ("inputs", [c.name for c in before.inputs], [c.name for c in now.inputs]),
        ("outputs", [c.name for c in before.outputs], [c.name for c in now.outputs]),
    ):
        if one != other:
            problems.append(
                Problem(
                    what=f"other {what} than those of the bundle to go on from",
                    name=now.name,
                    expected=str(one),
                    found=str(other),
                    remedy="leave `start` out to train from scratch",
                )
            )
    if not same_levels(before.levels.hybrid(), now.levels.hybrid()):
        problems.append(
            Problem(
                what="other levels than those of the bundle to go on from",
                name=now.name,
                expected=before.levels.name,
                found=now.levels.name,
            )
        )
    if problems:
        raise ConfigError(*problems)
    inputs = [_widened(a, b) for a, b in zip(before.inputs, now.inputs, strict=True)]
    outputs = [
        _widened(a, b).model_copy(update={"bound": max(a.bound, b.bound)})
        for a, b in zip(before.outputs, now.outputs, strict=True)
    ]
    return now.model_copy(update={"inputs": inputs, "outputs": outputs, "levels": before.levels})


C = TypeVar("C", Channel, Output)


def _widened(before: C, now: C) -> C:
    low = [min(a, b) for a, b in zip(before.minimum, now.minimum, strict=True)]
    high = [max(a, b) for a, b in zip(before.maximum, now.maximum, strict=True)]
    return before.model_copy(update={"minimum": low, "maximum": high})


def _check_names(recipe: Recipe, path: Path) -> None:
    problems = [
        Problem(what="unknown field in a recipe", name=f"{path}: {n}", remedy=nearest(n, FIELDS))
        for n in (*recipe.inputs, *recipe.outputs)
        if n not in FIELDS
    ]
    if problems:
        raise ConfigError(*problems)


def obtain(
    recording: Recording, here: Path, work: Path, record: Record | None, console: Console
) -> Path:
    """The recording's file, made where needed; one that is made is kept for the next time."""
    if recording.file is not None:
        return here / recording.file
    assert recording.case is not None and recording.days is not None
    case = here / recording.case
    if record is None:
        raise ConfigError.of(
            "recordings cannot be made here",
            str(case),
            remedy="use `isthmus train`, or give a file instead of a case",
        )
    if not case.is_file():
        raise ConfigError.of("no such case", str(case), remedy="paths are relative to the recipe")
    said = recording.model_dump_json(exclude={"skip_days", "case"})
    made_of = said + case.read_text(encoding="utf-8")
    out = work / f"record_{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    done = out / "recording.path"  # written last: a recording without it was interrupted
    if done.is_file() and (kept := out / done.read_text(encoding="utf-8")).is_file():
        console.print(f"recording {case.name}: kept, {_age(kept)}")
        return kept
    console.print(f"recording {case.name}: {recording.days:g} days, seed {recording.seed}")
    columns = None if recording.columns == "all" else recording.columns
    path = record(case, recording.days, recording.seed, recording.set, out, columns)
    write_whole(done, str(path.resolve().relative_to(out.resolve())))
    return path


def _age(recording: Path) -> str:
    """Which code a recording that was kept is of."""
    try:
        said = json.loads(recording.with_name("run.json").read_text(encoding="utf-8"))
        made, now = str(said["versions"]["commit"]), commit() or "unknown"
    except (OSError, ValueError, KeyError):
        return "of code that is not known"
    if made == now and not made.endswith("-dirty"):
        return "of this commit"
    return f"of commit {made}, this is {now}; delete {recording.parent} to make it anew"


def _parts(
    training: list[Columns], recipe: Recipe, together: int = 1
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Columns to fit and to validate, replayed ones thinned to their share of what is fitted.

    Args:
        training: recordings, the replayed ones last.
        recipe: says how.
        together: columns of a map, for a network that sees whole maps.
    """
    slices = [split(r, recipe.validation, recipe.validation_block) for r in training]
    fitted = [r.take(a) for r, (a, _) in zip(training, slices, strict=True)]
    validation = joined([r.take(b) for r, (_, b) in zip(training, slices, strict=True)])
    fitting = thinned(joined(fitted[: len(recipe.train)]), recipe.max_columns, together)
    if recipe.replay:
        share = recipe.replay_share / (1.0 - recipe.replay_share)
        size = next(iter(fitting.values())).shape[-1]
        wanted = max(1, round(share * size))
        old = thinned(joined(fitted[len(recipe.train) :]), wanted, together)
        fitting = joined([fitting, old])
    return fitting, thinned(validation, recipe.max_columns // 5 or 1, together)


def _refuse_samples(training: Sequence[Columns], together: int) -> None:
    """A network on maps needs recordings of whole maps.

    Raises:
        DataError: naming the first recording that holds something else.
    """
    for r in training:
        if (r.n // r.times) % together:
            raise DataError.of(
                "recording without whole maps",
                r.source.file,
                expected=f"calls of {together} columns, the whole grid in its order",
                found=f"{r.n // r.times} columns a call",
                remedy="say `columns: all` of its recordings, or train a network of single columns",
            )


def _identity(spec: BundleSpec, recipe: Recipe, here: Path) -> str:
    """Of a fit: everything that decides its result."""
    what = [
        spec.model_dump(mode="json", exclude={"provenance", "tendency_skill"}),
        spec.provenance.fingerprint,
        recipe.optimizer.model_dump(mode="json"),
        recipe.seed,
        recipe.validation,
        recipe.validation_block,
        recipe.replay_share,
        recipe.max_columns,
    ]
    what += [recipe.target, str(torch.__version__), _code()]
    if recipe.pretrained is not None:
        what.append(sha256(here / recipe.pretrained))
    if recipe.start is not None:
        what.append(sha256(here / recipe.start / "bundle.yaml"))  # which has the weights' hash
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """Of all code of emulators: with other code the same recipe is another fit."""
    return code_of(["emulators/**/*.py"])
