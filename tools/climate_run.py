"""A long run of a case for its climate: zonal means and eddy fluxes, four samples a day.

    python tools/climate_run.py CASE --days N --out DIR [--set KEY=VALUE ...] [--block DAYS]

Nothing but block means and a restart is written; called again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gates.longrun import Work, carry_out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", type=Path)
    parser.add_argument("--days", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--block", type=float, default=50.0, help="days")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    changes = dict(item.partition("=")[::2] for item in args.set)
    # Blocks of other code are kept: this is for looking, the gates decide for themselves.
    work = Work(folder=args.out.parent, as_is=True)
    carry_out(args.case.resolve(), args.days, work, args.out.name, changes=changes,
              block=args.block)  # fmt: skip


if __name__ == "__main__":
    main()
