"""The page of published test cases: every gate's number beside the reference's and its tolerance.

    python tools/dynamical_core_results.py              runs what is missing or stale; the page
    python tools/dynamical_core_results.py --only NAME  these, stale or not
    python tools/dynamical_core_results.py --page       makes the page from what is stored
    python tools/dynamical_core_results.py --list       what is stored, stale or missing
    python tools/dynamical_core_results.py --restamp    see below; the page
    python tools/dynamical_core_results.py --quick      short and coarse, as tests; stores nothing

Each gate leaves one JSON file in docs/results/dynamical-core (with command, commit, versions and
seconds); one is stale when the code that it depends on has changed since. The climates take an hour
and more on one core: they keep block means in --work and go on there when they are interrupted.
--restamp keeps a stale result of a clean commit of which all that the result depends on is the
same code as now (what was listed, not what was run, had changed). A gate that ends with an error is
named at the end and leaves what was stored of it. Exit status 1 when a gate is missed or failed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gates.catalogue import GATES, state_of
from gates.longrun import Work
from gates.page import PAGE, assemble
from gates.sources import changed_since
from gates.store import FOLDER, Result, collect

from coupler.interface.source import fingerprint

WORK = Path(__file__).resolve().parents[1] / "runs" / "gates"


def main() -> int:
    """Runs gates and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GATES, metavar="NAME", default=[])
    parser.add_argument("--page", action="store_true", help="run nothing")
    parser.add_argument("--list", action="store_true", help="run nothing, write nothing")
    parser.add_argument("--restamp", action="store_true", help="run nothing; see above")
    parser.add_argument("--quick", action="store_true", help="store nothing")
    parser.add_argument("--work", type=Path, default=WORK, help="blocks of long runs")
    parser.add_argument(
        "--as-is", action="store_true", help="take blocks of long runs, whatever code made them"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.list:
        for name in GATES:
            print(f"{name:20s} {state_of(name)}")
        return 0
    if args.restamp:
        print(*(f"{name:20s} {restamped(name)}" for name in args.only or GATES), sep="\n")
    missed, failed = 0, []
    for name in [] if args.page or args.restamp else args.only or GATES:
        if args.quick or args.only or state_of(name) != "stored":
            try:
                missed += len(carry_out(name, args.quick, args.work, args.as_is).missed)
            except Exception:  # one gate must not take the others' page
                traceback.print_exc()
                failed.append(name)
    if not args.quick:
        missed = assemble(PAGE, FOLDER)
        print(f"{missed} missed; page written to {PAGE}")
    if failed:
        print(f"ended with an error: {', '.join(failed)}")
    return 1 if missed or failed else 0


def restamped(name: str, folder: Path = FOLDER) -> str:
    """Gives a stale result the fingerprint of now if its commit had the same code; says so."""
    state, result = state_of(name, folder), Result.load(folder, name)
    if state != "stale" or result is None:
        return state
    try:
        changed = changed_since(result.made.get("commit", ""), GATES[name].sources)
    except ValueError as error:
        return f"stale: {error}"
    if changed:
        return f"stale, changed since {result.made['commit']}: {', '.join(changed)}"
    replace(result, sources=fingerprint(GATES[name].sources)).save(folder)
    return f"same code as {result.made['commit']}: kept"


def carry_out(name: str, quick: bool, folder: Path, as_is: bool) -> Result:
    """Runs one gate, prints it and stores it, unless it was quick."""
    from coupler.driver.info import versions

    gate = GATES[name]
    sources = fingerprint(gate.sources)
    work = Work(folder=folder / "quick" if quick else folder, sources=sources, as_is=as_is)
    result = collect(name, gate.text, gate.call(quick, work), None if quick else FOLDER)
    command = shlex.join(["python", "tools/dynamical_core_results.py", "--only", name])
    kept = ("isthmus", "python", "torch", "numpy", "numba", "commit")
    made = {n: v for n, v in (result.made or versions()).items() if n in kept}
    result = replace(result, command=command, made=made, sources=result.sources or sources)
    print(f"{name} ({result.seconds:.0f} s)")
    print(*("| " + " | ".join(row.cells()) + " |" for row in result.rows), sep="\n", flush=True)
    if not quick:
        result.save(FOLDER)
    return result


if __name__ == "__main__":
    sys.exit(main())
