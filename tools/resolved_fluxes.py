"""Training pairs from a fine run: coarse columns and the gravity-wave flux that the run resolved.

    python tools/resolved_fluxes.py CASE.yaml --days 20 [--every '6 h'] [--skip-days 5]
        [--coarse 21] [--beyond 21] [--set KEY=VALUE ...] --out recording.nc

Runs the case; at every interval state and resolved flux (`physics.dynamics.resolved_flux`) are
averaged conservatively to the grid of the coarse truncation and appended to a recording that
`isthmus train` and `isthmus evaluate` read: ``ua va ta pfull ps lat`` and ``xgwdparam ygwdparam``.
All columns of the coarse grid are stored in their order, so that networks on maps can be trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from coupler import Simulation
from coupler.config import parse_value
from coupler.driver import loop
from coupler.driver.info import versions
from coupler.exchange.regrid import Regridder
from coupler.interface.errors import ConfigError
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.output.record import RecordFile
from physics.dynamics.core import quadratic_grid
from physics.dynamics.resolved_flux import LARGE, on_interfaces, resolved_flux

Array = NDArray[Any]
STATE = ("ua", "va", "ta", "pfull", "ps")
NAMES = (*STATE, "lat", "lon", "xgwdparam", "ygwdparam")


def pairs(atmosphere: Any, regrid: Regridder, beyond: int) -> dict[str, Array]:
    """Coarse columns of the present state and its resolved flux, each [level.., column]."""
    x = atmosphere.columns()
    core = atmosphere.core
    u, v, w = (torch.from_numpy(np.ascontiguousarray(x[n])).to(core.transform.dtype)
               for n in ("ua", "va", "wap"))  # fmt: skip
    fluxes = resolved_flux(
        core.transform, u, v, w, gravity=atmosphere.planet.gravity, beyond=beyond
    )
    found = {n: x[n] for n in STATE}
    for name, flux in zip(("xgwdparam", "ygwdparam"), fluxes, strict=True):
        found[name] = on_interfaces(flux.double().numpy(), x["pfull"], x["phalf"])
    return {
        n: regrid.apply(np.asarray(a, np.float64)).reshape(*a.shape[:-2], -1)
        for n, a in found.items()
    }


def record(
    case: Path,
    out: Path,
    *,
    days: float,
    every: float,
    coarse: int,
    skip_days: float = 0.0,
    beyond: int = LARGE,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Runs `case` and writes the recording.

    Args:
        case: with an atmosphere on the spectral transform.
        out: the recording.
        days: length of the run.
        every: between stored states [s].
        coarse: truncation whose grid the columns have.
        skip_days: at the start that are not stored.
        beyond: largest total wavenumber of the wind that is not counted as waves.
        changes: of the case, as after ``--set``.

    Raises:
        ConfigError: for a case without such an atmosphere, or one that is not finer.
    """
    settings = {**(changes or {}), "days": days}
    run = Simulation.from_case(case, set=settings, out=out.parent / f"{out.stem}_run",
                               overwrite=True)  # fmt: skip
    atmosphere: Any = run.model.atmosphere
    if not hasattr(atmosphere, "core"):
        raise ConfigError.of(
            "no spectral atmosphere", str(case), expected="atmosphere.scheme: spectral"
        )
    truncation = atmosphere.core.transform.truncation
    if truncation <= max(coarse, beyond):
        raise ConfigError.of(
            "run not finer than what is left out of it",
            str(case),
            expected=f"a truncation above T{max(coarse, beyond)}",
            found=f"T{truncation}",
            remedy="--set atmosphere.truncation=85",
        )
    grid = Grid.gaussian(*quadratic_grid(coarse))
    regrid = Regridder(atmosphere.grid, grid)
    places = {
        "lat": np.repeat(grid.lat, grid.lon.size),
        "lon": np.tile(grid.lon, grid.lat.size),
    }
    start = run.model.clock.start
    out.parent.mkdir(parents=True, exist_ok=True)
    file = RecordFile(
        out,
        [FIELDS[n] for n in NAMES],
        atmosphere.levels,
        grid.ncol,
        columns=grid.ncol,
        seed=run.case.seed,
        time_units=f"days since {start.strftime('%Y-%m-%d %H:%M:%S')}",
        calendar=start.calendar,
        attrs={
            "title": f"{run.case.title} resolved at T{truncation}",
            "process": "gravity_wave",
            "scheme": f"resolved_beyond_{beyond}",
            "seed": str(run.case.seed),
            "commit": versions().get("commit", "unknown"),
        },
    )
    step = run.model.clock.step_length
    between = max(1, round(every / step))
    for n in range(round(days * 86400.0 / step)):
        loop.step(run.model)
        now = (n + 1) * step / 86400.0
        if (n + 1) % between == 0 and now > skip_days:
            file.append(now, every, pairs(atmosphere, regrid, beyond) | places)
    file.flush()
    run.close()
    return out


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", type=Path)
    parser.add_argument("--days", type=float, required=True)
    parser.add_argument("--every", default="6 h", help="between stored states (default: 6 h)")
    parser.add_argument("--skip-days", type=float, default=0.0)
    parser.add_argument("--coarse", type=int, default=21, metavar="T")
    parser.add_argument("--beyond", type=int, default=LARGE, metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    number, _, unit = args.every.partition(" ")
    seconds = float(number) * {"h": 3600.0, "min": 60.0, "day": 86400.0, "": 1.0}[unit]
    changes = {k: parse_value(v) for k, _, v in (pair.partition("=") for pair in args.set)}
    path = record(
        args.case,
        args.out,
        days=args.days,
        every=seconds,
        coarse=args.coarse,
        skip_days=args.skip_days,
        beyond=args.beyond,
        changes=changes,
    )
    print(f"{path} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
