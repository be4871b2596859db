"""`train(recipe)`: record -> fit -> offline skill -> bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import stdev

import torch
from rich.console import Console
from rich.table import Table

from coupler.interface.errors import ConfigError, DataError
from coupler.interface.files import write_json
from coupler.interface.source import fingerprint as code_of
from emulators.bundle import read_spec, sha256, write_bundle
from emulators.domain import fit_domain
from emulators.networks import build
from emulators.schema import BundleSpec
from emulators.training.beforehand import Faults, Flow, Foresee, Look
from emulators.training.data import (
    Columns,
    fingerprint,
    joined,
    refuse_duplicates,
    refuse_leaks,
    refuse_other_levels,
    split,
    thinned,
)
from emulators.training.describe import continued, describe
from emulators.training.fit import fit
from emulators.training.made import provenance
from emulators.training.online import tune
from emulators.training.recipe import REQUIRED, Recipe, as_far_as_sound
from emulators.training.recordings import Record, obtain
from emulators.training.skill import predict, print_skill, skill

__all__ = ["REFERENCE_COLUMNS", "Record", "train", "train_seeds"]
REFERENCE_COLUMNS = 33


def train(
    recipe_path: Path | str,
    *,
    record: Record | None = None,
    foresee: Foresee | None = None,
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
        foresee: says what they will hold before any is made; without it that is not looked at.
        flow: makes what a recipe with `online` trains through.
        out: folder that the bundle becomes, instead of the recipe's.
        work: folder of recordings and checkpoints, instead of the recipe's.
        overwrite: whether a bundle that is there already is replaced.
        console: where progress goes.
        seed: instead of the recipe's; its checkpoints lie apart.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: for a recipe that is wrong, with all that is, before anything is recorded.
        ContractError: for a network that cannot be built.
        DataError: for recordings that are missing, wrong or not independent.
    """
    recipe_path, console = Path(recipe_path), console or Console()
    recipe, lacking, problems = as_far_as_sound(recipe_path, Recipe, REQUIRED)
    if recipe is None:
        raise ConfigError(*problems)
    if work is None:
        work = Path(recipe.work) if recipe.work else Path("runs") / f"train_{recipe.name}"
    checkpoint = work / "checkpoint.safetensors"
    if seed is not None:
        recipe = recipe.model_copy(update={"seed": seed})
        checkpoint = work / f"seed_{seed}" / "checkpoint.safetensors"
    look = Look(
        recipe=recipe,
        path=recipe_path,
        lacking=lacking,
        faults=Faults(errors=[ConfigError(*problems)] if problems else []),
        work=work,
        records=record is not None,
        foresee=foresee,
        flow=flow,
    )
    ahead = look.ahead()
    recordings = []
    for (recording, role), there in zip(look.roles, ahead.read, strict=True):
        path = obtain(recording, recipe_path.parent, work, record, console)
        recordings.append(look.read(path, recording, role) if there is None else there)
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
    before = ahead.before
    if before is not None:
        spec = continued(before.spec, spec)
    torch.manual_seed(recipe.seed)
    network = build(spec)
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
    if recipe.online is not None and ahead.coupled is not None:
        tuned = tune(network, spec, ahead.coupled, recipe.online, seed=recipe.seed, console=console)
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
    foresee: Foresee | None = None,
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
    recipe, _, problems = as_far_as_sound(recipe_path, Recipe, REQUIRED)
    if recipe is None:
        raise ConfigError(*problems)
    base = (out or recipe_path.parent / recipe.bundle).resolve()
    found = []
    for seed in seeds:
        console.print(f"seed {seed}")
        to = base.with_name(f"{base.name}_seed{seed}")
        found.append(
            train(
                recipe_path,
                record=record,
                foresee=foresee,
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
