"""Training maps of a closure: coarse states of two-layer turbulence and the tendency they miss.

    python tools/resolved_forcing.py cases/qg_eddy.yaml --fine 256 --days 3600 --skip-days 1800
        [--coarse 64] [--every 5] [--operator spectral] [--seed 0] [--set KEY=VALUE ...]
        --out runs/qg_train.nc

Runs the case on the fine grid without a closure; every so many days the states of all members are
filtered and coarsened, and the rate of change of the fine flow, coarsened, less that of the coarse
one is stored beside them (`physics.dynamics.qg_coarsen`): what `isthmus train` learns from with
emulators/recipes/qg_closure.yaml. Ended early (Ctrl-C, SIGTERM), the file has what was stored by
then.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from coupler import Simulation
from coupler.config import parse_value
from coupler.driver import loop
from coupler.interface.errors import ConfigError
from physics.dynamics.qg_coarsen import OPERATORS, Coarsener, Operator
from physics.dynamics.qg_core import QGCore
from physics.dynamics.qg_dataset import ForcingFile

DAY = 86400.0


def record(
    case: Path,
    out: Path,
    *,
    days: float,
    fine: int,
    coarse: int = 64,
    skip_days: float = 0.0,
    every: float = 5.0,
    operator: Operator = "spectral",
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Runs `case` and writes the maps.

    Args:
        case: with two layers of turbulence as its atmosphere.
        out: the file.
        days: length of the run.
        fine: points a side that the run has.
        coarse: points a side that the maps have.
        skip_days: at the start that are not stored.
        every: days between states.
        operator: that filters and coarsens.
        seed: of the run's start.
        changes: of the case, as after ``--set``.

    Raises:
        ConfigError: for a case with another atmosphere, grids that do not fit, or nothing to store.
    """
    settings = {
        **(changes or {}), "days": days, "seed": seed, "atmosphere.nx": fine,
        "subgrid.mode": "off", "output.interval": days, "restart.interval": days,
    }  # fmt: skip
    if skip_days >= days:
        raise ConfigError.of("nothing to store", "--skip-days", expected=f"less than {days:g}",
                             found=f"{skip_days:g}")  # fmt: skip
    run = Simulation.from_case(case, set=settings, out=out.parent / f"{out.stem}_run",
                               overwrite=True)  # fmt: skip
    atmosphere: Any = run.model.atmosphere
    core = getattr(atmosphere, "core", None)
    if not isinstance(core, QGCore):
        raise ConfigError.of("no two layers of turbulence", str(case),
                             expected="atmosphere.scheme: two_layer_qg")  # fmt: skip
    file = ForcingFile(
        out, Coarsener(core, QGCore(core.config.at(coarse), dtype=core.dtype), operator)
    )
    members, step = atmosphere.p.members, run.model.clock.step_length
    between, stored = max(1, round(every * DAY / step)), 0
    steps = round(days * DAY / step)
    ended = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for n in range(1, steps + 1):
            loop.step(run.model)
            if n % between == 0 and n * step > skip_days * DAY:
                q = np.asarray(atmosphere.columns()["qgpv"]).reshape(2, members, fine, fine)
                file.add(0, stored, torch.from_numpy(q))
                stored += 1
            if n % max(1, steps // 20) == 0:
                print(f"day {n * step / DAY:.0f} of {days:g}, {stored} states", flush=True)
    except KeyboardInterrupt:
        print(f"ended early, {stored} states", flush=True)
    finally:
        signal.signal(signal.SIGTERM, ended)
        file.close()
        run.close()
    return out


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", type=Path)
    parser.add_argument("--days", type=float, required=True)
    parser.add_argument("--skip-days", type=float, default=0.0)
    parser.add_argument("--fine", type=int, default=256, metavar="NX")
    parser.add_argument("--coarse", type=int, default=64, metavar="NX")
    parser.add_argument("--every", type=float, default=5.0, metavar="DAYS")
    parser.add_argument("--operator", choices=OPERATORS, default="spectral")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    args = vars(parser.parse_args(argv))
    given = args.pop("set")
    changes = {k: parse_value(v) for k, _, v in (pair.partition("=") for pair in given)}
    path = record(args.pop("case"), args.pop("out"), changes=changes, **args)
    print(f"{path} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
