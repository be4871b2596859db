"""Which signs foretell that a network goes wrong in the coupled run: hits and false alarms.

    python tools/foretelling_results.py [--seeds 3] [--families N] [--work DIR] [--out FILE.md]

Trains networks for the fast scale of the two-scale model of Lorenz (1996), some good and some not,
measures what could warn of it (offline, by linear analyses, in ten days with each), lets each drive
the slow scale for 250 days, and writes docs/results/foretelling.md. What is made lies in DIR and is
not made again for the same settings, code and versions; a line says of each what is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kept
from foretelling.after import UNITS, after, noise
from foretelling.before import before
from foretelling.networks import FAMILIES, HOME, Family, bundle, of_forcing
from foretelling.page import write_page
from foretelling.runs import CASE
from foretelling.truth import truth_file

from coupler.driver.info import versions
from coupler.interface.files import write_json

ROOT = Path(__file__).resolve().parents[1]
STARTS = ("tools/foretelling/before.py", "tools/foretelling/after.py")
"""What results depend on beside the model."""
SEEDS = 3
PAGE = ROOT / "docs" / "results" / "foretelling.md"


def result(work: Path, name: str, of: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is kept of these settings and this code, or made now; it says with which commit.

    Args:
        work: the folder of all that is kept.
        name: of the result.
        of: the bundle whose result it is, or the truth for one without.
        make: gives it.
    """
    code = kept.code(*STARTS, inside=("tools/",))
    made_of = [name, of.name, UNITS, code, kept.model(CASE.relative_to(ROOT).as_posix())]
    path = kept.place(work / "results", name, made_of, ".json")
    if not kept.there(path):
        write_json(path, make() | {"commit": versions().get("commit", "unknown")})
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def network(family: Family, seed: int, work: Path) -> dict[str, Any]:
    """Everything of one network."""
    folder = bundle(family, seed, work, UNITS)
    name = folder.name.rpartition("_")[0]
    return {
        "family": family.name,
        "kind": family.kind,
        "seed": seed,
        "before": result(work, f"{name}_before", folder, lambda: before(family, seed, work, UNITS)),
        "after": result(work, f"{name}_after", folder, lambda: after(str(folder), work)),
    }  # fmt: skip


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
    work = args.work
    truth = truth_file(work, **of_forcing(HOME, UNITS))
    references = {
        "polynomial": result(work, "polynomial", truth, lambda: after("polynomial", work)),
        "none": result(work, "none", truth, lambda: after("", work)),
        "noise": result(work, "noise", truth, lambda: noise(work)),
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
