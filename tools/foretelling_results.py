"""Which signs foretell that a network goes wrong in the coupled run: hits and false alarms.

    python tools/foretelling_results.py [--seeds 3] [--families N] [--work DIR] [--out FILE.md]

Trains networks for the fast scale of the two-scale model of Lorenz (1996), some good and some not,
measures what could warn of it (offline, by linear analyses, in ten days with each), lets each drive
the slow scale for 250 days, and writes docs/results/foretelling.md. What is made lies in DIR and is
not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from foretelling.before import before
from foretelling.networks import FAMILIES, Family, bundle, home
from foretelling.page import write_page
from foretelling.runs import course
from foretelling.truth import DT

from coupler.compare.statistics.distances import wasserstein
from coupler.driver.info import versions

ROOT = Path(__file__).resolve().parents[1]
UNITS = 50.0
"""Units of time of truth and long runs: 250 days."""
_SPIN_UP, _EVERY = 5.0, 10
"""Of a long run, that is no climate, and steps between what is kept."""
SEEDS = 3
PAGE = ROOT / "docs" / "results" / "foretelling.md"


def kept(path: Path, make: Any) -> Any:
    """What is there already, or made now; it says with which commit."""
    if not path.is_file():
        found = make() | {"commit": versions().get("commit", "unknown")}
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        beside.write_text(json.dumps(found, indent=1))
        beside.rename(path)
    return json.loads(path.read_text())


def after(scheme: str, work: Path, *, seed: int = 0) -> dict[str, Any]:
    """A long run from the case's own starts: distance of its climate from the truth's."""
    truth = home(work, UNITS).x
    run = course(scheme, round(UNITS / DT), _EVERY, members=truth.shape[1], seed=seed)
    first = round(_SPIN_UP / DT / _EVERY)
    climate, own = truth[round(_SPIN_UP / DT) :: _EVERY], run.x[first:]
    return {
        "distance": float("inf") if run.failed else wasserstein(own[::3], climate[::3]),
        "energy": float("nan") if run.failed else float((own**2).mean() / (climate**2).mean()),
        "largest": float(np.abs(run.x).max()),
        "failed": run.failed,
    }


def network(family: Family, seed: int, work: Path) -> dict[str, Any]:
    """Everything of one network."""
    folder = bundle(family, seed, work, UNITS)
    results = work / "results"
    return {
        "family": family.name,
        "kind": family.kind,
        "seed": seed,
        "before": kept(results / f"{folder.name}_before.json",
                       lambda: before(family, seed, work, UNITS)),
        "after": kept(results / f"{folder.name}_after.json", lambda: after(str(folder), work)),
    }  # fmt: skip


def noise(work: Path) -> dict[str, float]:
    """Distance of two halves of the truth: what sampling alone gives."""
    climate = home(work, UNITS).x[round(_SPIN_UP / DT) :: _EVERY]
    half = climate.shape[1] // 2
    return {"distance": wasserstein(climate[::3, :half], climate[::3, half:])}


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--families", type=int, default=len(FAMILIES), help="only the first N")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "foretelling")
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args()
    if len({f.kind for f in FAMILIES[: args.families]}) < 2:
        parser.error("thresholds come from other kinds: take families of two kinds at least")
    torch.set_num_threads(1)
    began = time.process_time()
    work, results = args.work, args.work / "results"
    references = {
        "polynomial": kept(results / "polynomial.json", lambda: after("polynomial", work)),
        "none": kept(results / "none.json", lambda: after("", work)),
        "noise": kept(results / "noise.json", lambda: noise(work)),
    }
    found = []
    for seed in range(1, args.seeds + 1):
        for family in FAMILIES[: args.families]:
            one = network(family, seed, work)
            found.append(one)
            minutes = (time.process_time() - began) / 60.0
            print(f"{len(found)}: {family.name}, seed {seed}: R2 {one['before']['r2']:.3f}, "
                  f"distance {one['after']['distance']:.3f}; {minutes:.1f} min of processor time",
                  flush=True)  # fmt: skip
    given = (("seeds", args.seeds, SEEDS), ("families", args.families, len(FAMILIES)))
    options = " ".join(f"--{name} {value}" for name, value, usual in given if value != usual)
    write_page(args.out, found, references,
               f"python tools/foretelling_results.py {options}".strip())  # fmt: skip
    print(f"{args.out} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
