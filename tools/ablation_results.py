"""Does pretraining help a flux head? Pretrains, fine-tunes, and writes docs/results/ablation.md.

    python tools/ablation_results.py [--preset small|large] [--work DIR] [--seeds 3] [--steps N]

A small Prithvi WxC is pretrained on the states of a long run (masked reconstruction and forecast,
around a climatology). Then flux heads of version 2 are fitted to the momentum fluxes of a shorter
run, at 1, 10 and 100 % of its times, with a backbone that is pretrained, random, zero or the
identity, and scored on another run. There are two kinds of fluxes: those of AD99, which works on
single columns, and those of waves that a finer run resolves, which no single column knows.
Recordings, backbones and heads are kept under their hash in the folder of work, so that an
interrupted call is gone on with. `large` is the same for a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent))

import resolved_fluxes
from ablation_page import BACKBONES, SHARES, page
from kept import digest
from options import asked

from coupler.driver.training import record
from coupler.interface.files import write_json
from coupler.interface.source import fingerprint, reached
from coupler.parallel import threads
from emulators.bundle import sha256
from emulators.networks import build
from emulators.networks.flux_head_v2 import BackboneSize
from emulators.networks.maps import MapGrid
from emulators.schema import Provenance
from emulators.training.data import Columns, read_recording, refuse_leaks, thinned
from emulators.training.data import fingerprint as of_data
from emulators.training.describe import describe
from emulators.training.fit import fit
from emulators.training.pretrain import (
    Normal,
    Pretraining,
    States,
    by_lead,
    persistence,
    pretrain,
    states_of,
    validated,
)
from emulators.training.recipe import Optimizer, Recipe, Recording
from emulators.training.recordings import obtain
from emulators.training.skill import predict, skill

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results" / "ablation.md"
INSIDE = ("emulators/", "coupler/interface/")
"""Where imports are followed to what makes a result stale when it changes."""
TOOLS = ("tools/ablation_results.py", "tools/ablation_held.py")


@dataclass(frozen=True, kw_only=True)
class Fine:
    """Runs whose resolved waves are a target."""

    case: str
    truncation: int
    changes: dict[str, Any]
    days: float
    skip: float
    test_days: float
    every: float = 10800.0


@dataclass(frozen=True, kw_only=True)
class Preset:
    """All that decides how long it takes."""

    case: str
    changes: dict[str, Any]
    nlat: int
    nlon: int
    pretrain_days: float
    days: float
    skip: float
    test_days: float
    test_skip: float
    size: dict[str, Any]
    every: int
    pretraining: dict[str, Any]
    widths: tuple[int, ...]
    steps: int
    batch: int
    learning_rate: float
    test_maps: int
    fine: Fine
    coarse: int = 21
    """Truncation of the grid that resolved fluxes are averaged to."""


PRESETS = {
    "small": Preset(
        case="cases/aquaplanet_t21.yaml", changes={"atmosphere.noise": "1 K"}, nlat=32, nlon=64,
        pretrain_days=370, days=40, skip=10, test_days=25, test_skip=15,
        size={"embed_dim": 64, "n_heads": 4, "n_blocks_encoder": 2, "n_blocks_decoder": 1,
              "patch": 4, "mask_unit": (8, 16), "drop_path": 0.0},
        every=2, pretraining={"steps": 6000, "batch": 4, "learning_rate": 2e-3, "block": 200},
        widths=(16, 32), steps=600, batch=2, learning_rate=3e-3, test_maps=20,
        fine=Fine(case="cases/aquaplanet_t42.yaml", truncation=63, days=60, skip=20, test_days=35,
                  changes={"atmosphere.dt": "10 min", "surface.nlat": 96, "surface.nlon": 192}),
    ),
    "tiny": Preset(  # for its test: nothing is learned
        case="cases/aquaplanet_t21.yaml", changes={"atmosphere.noise": "1 K"}, nlat=32, nlon=64,
        pretrain_days=3.5, days=3, skip=0.5, test_days=2, test_skip=1,
        size={"embed_dim": 8, "n_heads": 2, "n_blocks_encoder": 1, "n_blocks_decoder": 0,
              "patch": 8, "mask_unit": (16, 16), "drop_path": 0.0},
        every=10, pretraining={"steps": 4, "batch": 1, "block": 2, "input_hours": (3.0,),
                               "lead_hours": (0.0, 3.0)},
        widths=(4, 6), steps=2, batch=2, learning_rate=1e-3, test_maps=2,
        fine=Fine(case="cases/aquaplanet_t42.yaml", truncation=31, days=1.5, skip=0.5, test_days=1,
                  changes={"surface.nlat": 48, "surface.nlon": 96}),
    ),
    "large": Preset(
        case="cases/aquaplanet_t21.yaml",
        changes={"atmosphere.noise": "1 K", "atmosphere.truncation": "T42",
                 "atmosphere.dt": "10 min"},
        nlat=64, nlon=128, pretrain_days=3630, days=400, skip=30, test_days=90, test_skip=30,
        size={"embed_dim": 512, "n_heads": 8, "n_blocks_encoder": 6, "n_blocks_decoder": 2,
              "patch": 2, "mask_unit": (8, 16), "drop_path": 0.05},
        every=1, pretraining={"steps": 40000, "batch": 16, "learning_rate": 5e-4},
        widths=(96, 192, 384), steps=20000, batch=8, learning_rate=5e-4, test_maps=200, coarse=42,
        fine=Fine(case="cases/aquaplanet_t42.yaml", truncation=170, days=220, skip=30, test_days=90,
                  changes={"atmosphere.dt": "4 min", "surface.nlat": 256, "surface.nlon": 512}),
    ),
}  # fmt: skip


def files() -> tuple[str, ...]:
    """All code of emulators that results depend on, and what it imports of the interface."""
    heads = ("emulators/networks/flux_head_v2.py", "emulators/networks/forecast_head.py")
    return tuple(p for p in reached(*TOOLS, *heads, inside=INSIDE) if p not in TOOLS)


@cache
def code() -> str:
    """Hash of `files`; heads also depend on `TOOLS`."""
    return fingerprint(files())


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """Recordings of two runs with the fluxes of one target."""

    fit: Columns
    test: Columns
    commits: list[str]
    """Of Isthmus when the runs were made."""


STATES, FLUXES = ["ua", "va", "ta", "lat"], ["xgwdparam", "ygwdparam"]


def states_to_pretrain(preset: Preset, work: Path, console: Console) -> Columns:
    """Of the long run, which is made unless it is there."""
    path = recorded(preset, preset.pretrain_days, 44, work, console)
    return read_recording(path, STATES, skip_days=preset.skip)


def of_ad99(preset: Preset, pretraining: Columns, work: Path, console: Console) -> Data:
    """What AD99 saw and gave in a run to fit and one to score; made unless they are there."""
    runs = [
        (recorded(preset, days, seed, work, console), skip)
        for days, skip, seed in (
            (preset.days, preset.skip, 42), (preset.test_days, preset.test_skip, 43)
        )
    ]  # fmt: skip
    return read(runs, [pretraining])


def of_resolved(preset: Preset, work: Path, console: Console) -> Data:
    """Fluxes of the waves that two finer runs resolve; made unless they are there."""
    fine = preset.fine
    return read(
        [
            (resolved(preset, days, seed, work, console), 0.0)
            for days, seed in ((fine.days, 42), (fine.test_days, 43))
        ],
        [],
    )


def read(runs: Sequence[tuple[Path, float]], before: Sequence[Columns]) -> Data:
    """Two recordings without their first days; the second one repeats nothing of `before`."""
    fitted, test = (
        read_recording(path, STATES + FLUXES, role=role, skip_days=skip)
        for role, (path, skip) in zip(("train", "test"), runs, strict=True)
    )
    refuse_leaks([*before, fitted], test)
    return Data(fit=fitted, test=test, commits=sorted({commit_of(path) for path, _ in runs}))


def recorded(preset: Preset, days: float, seed: int, work: Path, console: Console) -> Path:
    """What AD99 saw and gave in one run."""
    wanted = Recording.model_validate(
        {"case": preset.case, "days": days, "seed": seed, "set": preset.changes, "columns": "all"}
    )
    return obtain(wanted, ROOT, work, partial(record, "gravity_wave"), console)


def resolved(preset: Preset, days: float, seed: int, work: Path, console: Console) -> Path:
    """Coarse states of one finer run and the fluxes of the waves that it resolved."""
    fine, case = preset.fine, ROOT / preset.fine.case
    key = digest([asdict(fine), preset.coarse, days, seed, case.read_text(encoding="utf-8")])
    path = work / f"resolved_{key}" / "recording.nc"
    done = path.with_name("complete")  # written last
    if done.is_file():
        console.print(f"recording {case.name} at T{fine.truncation}: kept, of {commit_of(path)}")
        return path
    console.print(f"recording {case.name} at T{fine.truncation}: {days:g} days, seed {seed}")
    changes = {**fine.changes, "atmosphere.truncation": fine.truncation,
               "atmosphere.noise": "1 K", "seed": seed}  # fmt: skip
    resolved_fluxes.record(
        case, path, days=days, every=fine.every, coarse=preset.coarse, skip_days=fine.skip,
        changes=changes,
    )  # fmt: skip
    done.touch()
    return path


def commit_of(recording: Path) -> str:
    """Of Isthmus when the run was made."""
    run = recording.with_name("run.json")
    if run.is_file():
        made: dict[str, str] = json.loads(run.read_text(encoding="utf-8"))["versions"]
        return made.get("commit", "unknown")
    with netCDF4.Dataset(recording) as file:
        return str(getattr(file, "commit", "unknown"))


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained backbone and what it can do; 1 is the climatology."""

    path: Path
    train: list[float]
    validation: list[float]
    hidden: float
    """Loss with half of the tokens hidden, on states that were not fitted."""
    whole: float
    """With nothing hidden."""
    persistence: float
    leads: dict[str, tuple[float, float]]
    """By lead time [h]: with nothing hidden, and persistence."""
    seconds: float


def backbone(
    preset: Preset, pretraining: Columns, seed: int, work: Path, console: Console
) -> Backbone:
    """Pretrains on the states of the long run, unless that is done."""
    config = Pretraining.model_validate(
        {"size": preset.size, "every": preset.every, **preset.pretraining}
    )
    key = digest([code(), pretraining.source.sha256, config.model_dump(mode="json"), seed])
    folder = work / "pretrained" / key
    done = folder / "result.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        grid = MapGrid(nlat=preset.nlat, nlon=preset.nlon)
        states = states_of(pretraining, config, grid)
        kept = round(0.85 * states.values.shape[0])
        fitted, later = states.part(slice(0, kept)), states.part(slice(kept, None))
        began = time.process_time()
        model, history = pretrain(
            [fitted], [later], config, seed=seed, checkpoint=folder / "checkpoint.safetensors",
            identity=key, console=console,
        )  # fmt: skip
        save_file(model.state_dict(), folder / "backbone.safetensors")
        said = scores(model, fitted, later, config) | {
            "train": history.train,
            "validation": history.validation,
            "seconds": time.process_time() - began,
        }
        write_json(done, said)
        (folder / "checkpoint.safetensors").unlink()
    return Backbone(path=folder / "backbone.safetensors", **json.loads(done.read_text("utf-8")))


def scores(model: Any, fitted: States, later: States, config: Pretraining) -> dict[str, Any]:
    """What a backbone can do with states that it was not fitted to."""
    normal = Normal.of(fitted)
    return {
        "hidden": validated(model, [later], config, normal),
        "whole": validated(model, [later], config, normal, ratio=0.0),
        "persistence": persistence([later], config, normal),
        "leads": {f"{h:g}": e for h, e in by_lead(model, [later], config, normal).items()},
    }


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of one head on the run that it was not fitted to."""

    target: str
    backbone: str
    share: float
    seed: int
    maps: int
    """That were fitted."""
    held: int
    """That chose the epoch."""
    flux: float
    drag: float
    trained: int
    frozen: int
    seconds: float


Architectures = Callable[[str], dict[str, Any]]
"""The name and the configuration of a head by its kind of backbone."""


def flux_heads(preset: Preset) -> Architectures:
    """Heads of version 2."""
    size = BackboneSize.model_validate(preset.size).model_dump(mode="json")
    grid = {"nlat": preset.nlat, "nlon": preset.nlon}
    return lambda kind: {
        "name": "flux_head",
        "config": {"grid": grid, "widths": list(preset.widths), "backbone": kind, "size": size},
    }


def head(
    preset: Preset, target: str, data: Data, architecture: dict[str, Any], share: float, seed: int,
    pretrained: Backbone, work: Path,
) -> Score:  # fmt: skip
    """Fits a head, unless that is done."""
    kind = architecture["config"]["backbone"]
    made_of = [
        code(), fingerprint(TOOLS), target,
        data.fit.source.sha256, data.test.source.sha256, architecture, preset.steps, preset.batch,
        preset.learning_rate, preset.test_maps, share, seed,
    ]  # fmt: skip
    if kind == "pretrained":
        made_of.append(sha256(pretrained.path))
    folder = work / "heads" / digest(made_of)
    done = folder / "result.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        began = time.process_time()
        found = fitted_head(preset, data, architecture, share, seed, pretrained, folder)
        found |= {"seconds": time.process_time() - began}
        write_json(done, found)
    said = json.loads(done.read_text("utf-8"))
    return Score(target=target, backbone=kind, share=share, seed=seed, **said)


def fitted_head(
    preset: Preset, data: Data, architecture: dict[str, Any], share: float, seed: int,
    pretrained: Backbone, folder: Path,
) -> dict[str, float]:  # fmt: skip
    """Fits a head on a share of the calls of one run and scores it on another."""
    recipe = Recipe.model_validate(
        {"name": "head", "process": "gravity_wave", "bundle": "head", "seed": seed,
         "inputs": ["ua", "va", "ta", "lat"], "train": [{"file": data.fit.source.file}],
         "test": {"file": data.test.source.file},
         "architecture": architecture}
    )  # fmt: skip
    together = preset.nlat * preset.nlon
    some, held = (share_of(m, share, seed) for m in apart(data.fit.times))
    columns = {n: data.fit.take(index_of(m, together)) for n, m in
               (("fit", some), ("validate", held))}  # fmt: skip
    provenance = Provenance(
        fingerprint=of_data([data.fit.source]), sources=[data.fit.source], seed=seed
    )
    spec = describe(recipe, columns["fit"], data.fit.levels, provenance)
    torch.manual_seed(seed)
    network = build(spec)
    if architecture["config"]["backbone"] == "pretrained":
        network.load_backbone(pretrained.path)
    batches = -(-len(some) // preset.batch)
    optimizer = Optimizer(
        learning_rate=preset.learning_rate, batch=preset.batch * together,
        epochs=max(1, round(preset.steps / batches)), patience=10**6,
    )  # fmt: skip
    fit(network, spec, columns["fit"], columns["validate"], optimizer=optimizer, seed=seed)
    save_file(network.state_dict(), folder / "weights.safetensors")
    test = thinned(data.test.fields, preset.test_maps * together, together)
    estimate = predict(network, {n: test[n] for n in recipe.inputs})
    found = skill({n: test[n] for n in recipe.outputs}, estimate, data.test.levels)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return {
        "maps": len(some), "held": len(held),
        "flux": found.flux_overall, "drag": found.drag_overall,
        "trained": trained, "frozen": sum(p.numel() for p in network.parameters()) - trained,
    }  # fmt: skip


def apart(maps: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a run to fit, and a ninth of it, one block in the middle, that says when to stop.

    Neighbours in time are nearly alike: half a block on either side is used for neither.
    """
    block = max(1, maps // 9)
    first, gap = (maps - block) // 2, (block + 1) // 2
    before, after = np.arange(first - gap), np.arange(first + block + gap, maps)
    return np.concatenate((before, after)), np.arange(first, first + block)


def share_of(maps: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A share of some maps, evenly spread over them, at least one; another seed has others."""
    kept = max(1, round(share * maps.size))
    return np.sort(maps[(np.arange(kept) * maps.size // kept + seed * 7) % maps.size])


def index_of(maps: Sequence[int] | np.ndarray, together: int) -> torch.Tensor:
    """Columns of some maps."""
    first = torch.as_tensor(np.asarray(maps, np.int64))[:, None] * together
    return (first + torch.arange(together)).reshape(-1)


def all_scores(
    preset: Preset, pretraining: Columns, data: Mapping[str, Data], architecture: Architectures,
    work: Path, seeds: int, console: Console,
) -> Iterator[tuple[list[Backbone], list[Score]]]:  # fmt: skip
    """Results as they come; the last ones are all of them."""
    backbones: list[Backbone] = []
    found: list[Score] = []
    began = time.perf_counter()
    cells = [(t, share, kind) for t in data for share in SHARES for kind in BACKBONES]
    for seed in range(1, seeds + 1):
        backbones.append(backbone(preset, pretraining, seed, work, console))
        for target, share, kind in cells:
            s = head(
                preset, target, data[target], architecture(kind), share, seed, backbones[-1], work
            )
            found.append(s)
            console.print(
                f"{len(found):3d}/{seeds * len(cells)}  seed {seed}  {target:8}  "
                f"{100 * share:g} % ({s.maps} + {s.held} maps)  {kind:10}  R2 flux {s.flux:.3f}  "
                f"drag {s.drag:.3f}  {time.perf_counter() - began:.0f} s"
            )
        yield backbones, found


def sized(
    about: str | None, out: Path, presets: Mapping[str, Preset], argv: list[str] | None
) -> tuple[Preset, argparse.Namespace, str]:
    """What the command line says: a preset, all options, and those that are not usual as text."""
    args, said = asked(about, out, {"seeds": 3, "steps": None}, argv, presets)
    preset = presets[args.preset]
    return preset if args.steps is None else replace(preset, steps=args.steps), args, said


def main(argv: list[str] | None = None) -> None:
    """The command."""
    preset, args, said = sized(__doc__, PAGE, PRESETS, argv)
    threads.prepare()
    console = Console()
    pretraining = states_to_pretrain(preset, args.work, console)
    data = {
        "ad99": of_ad99(preset, pretraining, args.work, console),
        "resolved": of_resolved(preset, args.work, console),
    }
    every = all_scores(
        preset, pretraining, data, flux_heads(preset), args.work, args.seeds, console
    )
    for backbones, found in every:
        page(preset, f"python tools/ablation_results.py{said}", backbones, found, pretraining,
             data, args.out)  # fmt: skip
    print(f"{args.out} written")


if __name__ == "__main__":
    main()
