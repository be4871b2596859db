"""Offline against online skill of two closures of two-layer turbulence, at home and moved.

    python tools/reversal_results.py [--quick] [--jobs 2] [--work DIR] [--out FILE.md]

Makes truths at 256 points a side in the regimes of eddies and of jets, data sets of what 64 points
miss, fits a convolutional network and the seven-term symbolic closure to the same target in the
eddy regime, lets each drive coarse runs of both regimes, and writes docs/results/reversal.md.
Everything made lies in DIR and is not made again for the same settings, code and versions; a line
says of each what is kept. An interrupted run goes on. ``--quick`` is a shorter version with its own
folder, which shows the signs and not the numbers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kept
from reversal.online import states_of
from reversal.page import write_page
from reversal.plan import Plan
from reversal.truth import Length

from coupler.driver.info import versions
from coupler.interface.files import write_json

ROOT = Path(__file__).resolve().parents[1]


def full(work: Path) -> Plan:
    """Eddies as published: ten years of 360 days, the last five kept; jets until they are steady.

    From noise, jets gain energy for twelve years and more, and two truths of ten years are as far
    from each other as either is from a run without a closure.
    """
    grown = Length(spin_up=((64, 10.0), (128, 12.0), (256, 2.0)), years=10.0)
    return Plan(
        work=work,
        truth={"eddy": Length(), "jet": grown},
        runs={"eddy": 3, "jet": 2},
        years={"eddy": 10.0, "jet": 20.0},
        kept={"eddy": 5.0, "jet": 10.0},
    )


def quick(work: Path) -> Plan:
    """A year of truth after a spin-up on coarse grids, coarse runs that begin in it."""

    def length(first: float) -> Length:
        return Length(spin_up=((64, first), (128, 1.0), (256, 0.25)), years=1.0, every=2.5)

    return Plan(
        work=work,
        truth={"eddy": length(4.0), "jet": length(8.0)},
        runs={"eddy": 2, "jet": 1},
        seeds=2,
        years={"eddy": 1.0, "jet": 1.0},
        kept={"eddy": 0.75, "jet": 0.75},
        every=2.5,
        epochs=30,
        baselines=2,
        others=(),
        from_truth=True,
    )


def do(plan: Plan, stage: str, arguments: Sequence[Any]) -> float:
    """One piece of work and its minutes; what is there already is not made again."""
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    if stage == "truth":
        plan.make_truth(*arguments)
    elif stage == "data":
        plan.make_data(*arguments)
    elif stage == "fit":
        plan.fit(*arguments)
    else:
        if plan.from_truth:
            plan.make_start(arguments[0])
        states_of(*plan.run(*arguments))
    return (time.perf_counter() - began) / 60.0


class Pieces:
    """With which commit each piece of a folder was made, and how long it took."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pieces.json"
        self._now = versions().get("commit", "unknown")
        self._of: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            self._of = json.loads(self._path.read_text(encoding="utf-8"))

    def add(self, piece: str, file: str, minutes: float, *, made: bool) -> None:
        """Notes a piece that is there now; one that was there before keeps its entry.

        Args:
            piece: which one.
            file: that it is kept in; of other settings or code it would be another one.
            minutes: that it took.
            made: whether it was made now.
        """
        if made or self._of.get(piece, {}).get("file") != file:
            commit = self._now if made else "unknown"
            self._of[piece] = {"commit": commit, "minutes": minutes, "file": file}
        write_json(self._path, self._of)

    @property
    def commits(self) -> str:
        """All of them."""
        return " and ".join(f"`{c}`" for c in sorted({x["commit"] for x in self._of.values()}))

    @property
    def minutes(self) -> float:
        """Of all pieces one after the other."""
        return sum(float(x["minutes"]) for x in self._of.values())


def work(plan: Plan, jobs: int) -> Pieces:
    """All of it, `jobs` pieces at a time; returns what is known of them."""
    pieces = Pieces(plan.work)
    began = time.perf_counter()
    parts: list[list[tuple[str, tuple[Any, ...]]]] = [[]]
    for piece in plan.work_to_do():
        parts.append([]) if piece[0] == "wall" else parts[-1].append(piece)
    files = {p: plan.file_of(*p) for part in parts for p in part}
    before = {p: kept.there(f) for p, f in files.items()}
    done = 0

    def finished(piece: tuple[str, tuple[Any, ...]], took: float) -> None:
        nonlocal done
        done += 1
        what = " ".join([piece[0], *map(str, piece[1])])
        pieces.add(what, files[piece].name, took, made=not before[piece])
        minutes = (time.perf_counter() - began) / 60.0
        print(f"{done:3d} of {len(files)}: {what}, {minutes:.1f} min", flush=True)

    context = multiprocessing.get_context("spawn")
    for part in parts:
        if jobs == 1:
            for piece in part:
                finished(piece, do(plan, *piece))
            continue
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            at_work = {pool.submit(do, plan, *piece): piece for piece in part}
            for future in as_completed(at_work):
                finished(at_work[future], future.result())
    return pieces


def main() -> int:
    """Runs the command; exit status 1 when the reversal is not seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter: signs, not numbers")
    parser.add_argument("--jobs", type=int, default=1, help="pieces of work at a time")
    parser.add_argument("--work", type=Path, help="folder of everything that is made")
    parser.add_argument("--out", type=Path, help="the page")
    args = parser.parse_args()
    folder = args.work or ROOT / "runs" / "reversal" / ("quick" if args.quick else "full")
    page = args.out or (
        folder / "reversal.md" if args.quick else ROOT / "docs" / "results" / "reversal.md"
    )
    plan = (quick if args.quick else full)(folder.resolve())
    pieces = work(plan, args.jobs)
    took = f"{pieces.minutes:.0f} minutes of one core (`--jobs 2` does two pieces at a time)"
    seen = write_page(plan, page, pieces.commits, took)
    print(f"written to {page}")
    return 0 if seen else 1


if __name__ == "__main__":
    sys.exit(main())
