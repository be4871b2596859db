"""The words of ``isthmus compare``, and what they lead to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_KINDS = {
    "offline": "schemes or bundles on a recording of the reference, no feedback",
    "shadow": "all candidates called beside the reference's scheme in one run of it",
    "online": "ensembles of coupled runs from the same starts, against the reference's own",
    "stability": "what linear analyses of candidates and flow foretell, without a run of theirs",
    "full": "all of it",
}
_EXAMPLES = """\
examples:
  isthmus compare full cases/aquaplanet_t21.yaml --candidates emulator=gw_column wms=wms \\
      --members 8 --days 60 --report report.html
  isthmus compare offline cases/aquaplanet_t21.yaml --candidates emulator=gw_column
  isthmus compare stability cases/aquaplanet_t21.yaml --candidates emulator=gw_column --days 10
  isthmus compare online cases/aquaplanet_t21.yaml --candidates again=ad99 emulator=gw_column \\
      --baseline off --members 8 --days 60
"""


def add_arguments(commands: Any) -> None:
    """Adds the command to those of `isthmus`."""
    raw = argparse.RawDescriptionHelpFormatter
    compare = commands.add_parser(
        "compare", help="this run against that one, or candidates for a scheme", epilog=_EXAMPLES,
        formatter_class=raw,
    )  # fmt: skip
    kinds = compare.add_subparsers(dest="kind", required=True, metavar="KIND")
    runs = kinds.add_parser("runs", help="two finished runs: table of differences and a report")
    runs.add_argument("first", type=Path, help="folder of a run")
    runs.add_argument("second", type=Path, help="folder of another run")
    runs.add_argument("--report", type=Path, default=Path("report.html"))
    runs.add_argument(
        "--skip-days", type=float, default=0.0, help="days at the start of both to leave out"
    )
    runs.add_argument(
        "--anyway", action="store_true", help="although calendars, starts or units differ"
    )
    for kind, text in _KINDS.items():
        _study(kinds.add_parser(kind, help=text, description=text, epilog=_EXAMPLES,
                                formatter_class=raw))  # fmt: skip


def pair(text: str) -> tuple[str, str]:
    """The key and the value of a word of ``--set``.

    Raises:
        ArgumentTypeError: when there is none.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, found {text!r}")
    return key, value


def _study(p: argparse.ArgumentParser) -> None:
    p.add_argument("case", type=Path, metavar="CASE.yaml", help="its own scheme is the reference")
    p.add_argument(
        "--candidates",
        nargs="+",
        default=[],
        metavar="NAME=SCHEME",
        help="schemes, bundle folders, FILE.py:NAME or fortran:LIBRARY:ROUTINE; the case's own "
        "scheme gets other starts and shows what the reference differs from itself",
    )
    p.add_argument("--process", help="of the candidates, where their names do not tell")
    p.add_argument("--members", type=int, default=4, metavar="N", help="runs of each (default 4)")
    p.add_argument(
        "--twins",
        type=int,
        default=0,
        metavar="N",
        help="members of each that get a twin, whose start differs by a hundredth of the noise "
        "(online, full)",
    )
    p.add_argument("--days", type=float, help="length of a run [day] (default: the case's)")
    p.add_argument(
        "--skip-days", type=float, help="at the start, not part of climates (default: half)"
    )
    p.add_argument(
        "--baseline",
        default="none",
        metavar="off|SCHEME",
        help="what similarity is measured from: the process switched off, or a scheme",
    )
    p.add_argument("--recording", type=Path, help="record_PROCESS.nc (default: made for this)")
    p.add_argument(
        "--truth",
        type=Path,
        metavar="FILE.nc|STORE.zarr",
        help="somebody's output in place of the reference: CF, on latitudes and longitudes and "
        "pressure levels",
    )
    p.add_argument("--regrid", action="store_true", help="remap a truth on another grid")
    p.add_argument("--jobs", type=int, default=0, metavar="N", help="runs at a time (all cores)")
    p.add_argument("--work", type=Path, help="where runs are kept (default: beside the report)")
    p.add_argument("--report", type=Path, default=Path("report.html"))
    p.add_argument("--retry", action="store_true", help="make failed runs again")
    p.add_argument("--set", action="append", default=[], type=pair, metavar="KEY=VALUE")
    p.add_argument("--plugin", action="append", default=[], metavar="FILE.py")


def run(args: argparse.Namespace) -> int:
    """Does what the words say; returns the exit status."""
    if args.kind == "runs":
        from coupler.compare.report import compare_runs

        compare_runs(
            args.first, args.second, args.report, spinup_days=args.skip_days, anyway=args.anyway
        )
    else:
        from coupler.compare.asked import Settings
        from coupler.compare.pages import compare
        from coupler.config import parse_value
        from coupler.driver.signals import terminable

        settings = Settings(
            kind=args.kind,
            case=args.case,
            candidates=args.candidates,
            process=args.process,
            members=args.members,
            twins=args.twins,
            days=args.days,
            skip_days=args.skip_days,
            baseline=args.baseline,
            recording=args.recording,
            truth=args.truth,
            regrid=args.regrid,
            parallel=args.jobs,
            work=args.work,
            report=args.report,
            changes={k: parse_value(v) for k, v in args.set},
            plugins=args.plugin,
            retry=args.retry,
        )
        with terminable():
            compare(settings)
    print(f"report written to {args.report}")
    return 0
