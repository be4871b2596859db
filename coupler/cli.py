"""The command line: ``isthmus run | check | schemes | train | replay | evaluate | bundle |
compare | plot | serve | bridge | data | info``.

Heavy packages are imported by the command that needs them, so that ``--help`` is instant. Exit
status 0: done; 1: the run failed; 2: the request was wrong and nothing was written; 75: there was
not enough disk or memory, or a file could not be read or written: another time it may.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import coupler
from coupler.compare import comparing
from coupler.driver import bundles
from coupler.input import fetch
from coupler.interface.errors import ConfigError, CouplerError, UnstableError
from coupler.interface.parallel import ALONE
from coupler.parallel import launch, mpi, threads

BLEW_UP = 3  # the exit status of that alone: Python ends crashes with 1
_EXAMPLES = """\
examples:
  isthmus run cases/aquaplanet_t21.yaml
  isthmus run cases/earth_t31.yaml --days 10 --out runs/earth
  isthmus run cases/earth_t31.yaml --swap gravity_wave=gw_column
  isthmus run cases/earth_t31.yaml --swap gravity_wave=gw_column --set gravity_wave.mode=shadow
  isthmus run cases/aquaplanet_t21.yaml --set atmosphere.dt='15 min' --set output.interval=0.25
"""

_FAILURES = """
A scheme that fails ends the run with a sentence, or, with ISTHMUS_TRACEBACK=1 in the environment,
with Python's traceback.
"""


def _swap(text: str) -> tuple[str, str]:
    process, equals, scheme = text.partition("=")
    if not process or not equals or not scheme:
        raise argparse.ArgumentTypeError(f"expected PROCESS=SCHEME, found {text!r}")
    return process, scheme


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="isthmus",
        description="Run coupled climate simulations, swap parameterizations by one line, and "
        "compare what the swap did.",
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    parser.add_argument("--version", action="version", version=f"isthmus {coupler.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def case_command(name: str, text: str) -> argparse.ArgumentParser:
        p = commands.add_parser(name, help=text, description=text, formatter_class=raw)
        p.add_argument("case", type=Path, metavar="CASE.yaml", help="the case, see cases/")
        p.add_argument(
            "--set",
            action="append",
            default=[],
            type=comparing.pair,
            metavar="KEY=VALUE",
            help="change a key of the case, dotted: atmosphere.dt='15 min'",
        )
        p.add_argument(
            "--swap",
            action="append",
            default=[],
            type=_swap,
            metavar="PROCESS=SCHEME",
            help="use another scheme, bundle folder, FILE.py:NAME or fortran:LIBRARY:ROUTINE for a "
            "process; the case's own scheme becomes its reference (what acts in mode shadow, and "
            "an emulator's fallback); PROCESS=off leaves the process out",
        )
        p.add_argument("--days", help="how long to run [day], or with a unit: '36 h'")
        p.add_argument("--out", type=Path, help="folder of the run (default: runs/TITLE)")
        p.add_argument(
            "--plugin",
            action="append",
            default=[],
            metavar="FILE.py",
            help="a Python file with schemes, see docs/add-a-component.md",
        )
        return p

    run = case_command("run", "run a case")
    run.epilog = _EXAMPLES + _FAILURES
    again = run.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="go on from the newest good restart in the folder, or begin if it is empty",
    )
    again.add_argument("--overwrite", action="store_true", help="replace the run that is in --out")
    run.add_argument(
        "--record",
        action="append",
        default=[],
        metavar="PROCESS",
        help="store what the scheme of this process sees and gives, to train an emulator",
    )
    run.add_argument(
        "--threads",
        type=threads.count,
        metavar="N",
        help="threads of this process (default: $ISTHMUS_THREADS or 1)",
    )
    run.add_argument(
        "--timeline",
        action="store_true",
        help="write what ran when: timeline.json (for Perfetto) and timeline.png",
    )
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    check = case_command("check", "say everything that is wrong with a case, without a step")
    check.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    check.add_argument("--overwrite", action="store_true", help=argparse.SUPPRESS)

    schemes = commands.add_parser("schemes", help="what can be swapped for what")
    schemes.add_argument(
        "process", nargs="?", help="details of one process: inputs, outputs, parameters"
    )

    train = commands.add_parser("train", help="record, fit, score and bundle an emulator")
    train.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    train.add_argument(
        "--out", type=Path, help="folder of the bundle (default: as the recipe says)"
    )
    train.add_argument("--work", type=Path, help="folder of recordings and checkpoints")
    train.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="N bundles with seeds 1 to N, on the same recordings, and the spread of their scores",
    )

    replay = commands.add_parser(
        "replay", help="call a recorded scheme offline: does it give the recorded bits?"
    )
    replay.add_argument("recording", type=Path, help="record_PROCESS.nc of a run")

    evaluate = commands.add_parser(
        "evaluate", help="scores of a bundle on a recording, from R2 to how it answers to grafts"
    )
    evaluate.add_argument("bundle", metavar="BUNDLE", help="folder or name of a bundle")
    evaluate.add_argument("recording", type=Path, help="record_PROCESS.nc of a run with its scheme")
    evaluate.add_argument("--out", type=Path, help="folder of evaluation.png and evaluation.json")
    evaluate.add_argument(
        "--skip-days", type=float, default=0.0, help="days at the start to leave out"
    )
    evaluate.add_argument(
        "--no-grafts", action="store_true", help="do not call the recorded scheme"
    )
    bundles.add_arguments(commands)

    comparing.add_arguments(commands)
    plot = commands.add_parser("plot", help="a picture of one run, or a look at one variable")
    plot.add_argument("run", type=Path, help="folder of a run, or a netCDF file or zarr store")
    plot.add_argument(
        "variable", nargs="?", help="show this field: in the terminal, or as a picture with --out"
    )
    plot.add_argument(
        "--kind",
        default="sections",
        help="sections: zonal-mean wind, temperature and drag (default); qbo: wind over the "
        "equator against time and height, beside the observed one; height, vorticity: maps of one "
        "layer of fluid; pressure, precipitation, and temperature, wind, height at a --level: maps "
        "of an atmosphere; tracer: maps of the tracer --name",
    )
    plot.add_argument("--name", default="", help="of a tracer")
    plot.add_argument("--out", type=Path, metavar="FILE.png", help="default: plot.png")
    plot.add_argument("--skip-days", type=float, default=0.0, help="days at the start to leave out")
    plot.add_argument("--days", type=float, nargs="+", default=[], help="of maps (default: three)")
    plot.add_argument("--level", type=float, metavar="HPA", help="pressure of maps [hPa]")
    plot.add_argument(
        "--observed", type=Path, help="table of observed equatorial winds (default: the data store)"
    )

    serve = commands.add_parser(
        "serve", help="a scheme or emulator for other programs on this node, see docs/channel.md"
    )
    serve.add_argument(
        "what",
        nargs="?",
        metavar="SCHEME",
        help="PROCESS=SCHEME, or the folder or name of a bundle",
    )
    serve.add_argument(
        "--socket", type=Path, help="where to listen (default: a private folder, printed)"
    )
    serve.add_argument(
        "--set",
        action="append",
        default=[],
        type=comparing.pair,
        metavar="KEY=VALUE",
        help="a parameter of the scheme",
    )
    serve.add_argument(
        "--fallback", metavar="SCHEME", help="scheme that takes over columns from an emulator"
    )
    serve.add_argument("--plugin", action="append", default=[], metavar="FILE.py")
    serve.add_argument("--threads", type=threads.count, metavar="N", help="threads (default: 1)")
    serve.add_argument(
        "--spin",
        type=float,
        default=50e-6,
        metavar="S",
        help="how long to look for the next call before sleeping [s]",
    )
    serve.add_argument(
        "--lifeline",
        type=int,
        metavar="FD",
        help="an inherited end of a socket pair: the server ends when the other end is closed",
    )
    serve.add_argument("--worker", type=int, help=argparse.SUPPRESS)

    bridge = commands.add_parser(
        "bridge", help="the library for C and Fortran, see docs/fortran.md"
    )
    steps = bridge.add_subparsers(dest="step", required=True, metavar="STEP")
    build = steps.add_parser(
        "build", help="compile it with $CC and $FC, by default cc and gfortran"
    )
    build.add_argument("--to", type=Path, default=Path("isthmus-bridge"), metavar="FOLDER")

    data = commands.add_parser("data", help="the observed data that some cases start from")
    fetch.add_arguments(data)
    commands.add_parser("info", help="versions, machine, threads, schemes")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    args = _parser().parse_args(argv)
    threads.prepare(getattr(args, "threads", None))
    if args.command != "run":  # the others have nothing that ranks could share
        return _status(args) if mpi.launched_rank() == 0 else 0
    ranks = mpi.world()
    if isinstance(ranks, mpi.Ranks):
        return launch.as_one(ranks, lambda: _on_ranks(args, ranks))
    return _status(args)


def _on_ranks(args: argparse.Namespace, ranks: mpi.Ranks) -> int:
    """`_status` on the ranks of the run; the others serve them until it ends."""
    from coupler.driver import services

    raw, base = _raw(args)
    own = services.share_out(raw, ranks)
    if isinstance(own, mpi.Served):
        return services.serve(own, raw, base)
    args.parallel = own
    status = _status(args)
    services.dismiss(own, status)
    return status


def _raw(args: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """The case with its changes, and the folder that its file names are relative to.

    Empty where it cannot be read: `_run` says why.
    """
    from coupler.config import read_yaml
    from coupler.driver.asked import asked_for

    base, how = args.case.parent, {"set": _changes(args), "swap": dict(args.swap)}
    try:
        return asked_for(read_yaml(args.case), base, **how, plugins=args.plugin)[0], base
    except CouplerError:
        return {}, Path()


def _status(args: argparse.Namespace) -> int:
    """Runs a command and says what went wrong; returns the exit status."""
    try:
        return int(_COMMANDS[args.command](args) or 0)
    except CouplerError as error:
        _say(error, args.command)
        return BLEW_UP if isinstance(error, UnstableError) else 2
    except MemoryError as error:
        print(f"isthmus: not enough memory: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except OSError as error:  # a full disk, a folder without permission
        where = f" ({error.filename})" if error.filename else ""
        print(f"isthmus: cannot read or write: {error.strerror or error}{where}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except KeyboardInterrupt as stop:
        print(f"isthmus: {str(stop) or 'stopped by you'}", file=sys.stderr)
        return int(getattr(stop, "status", 130))


def _say(error: CouplerError, command: str) -> None:
    n = len(error.problems)
    lead = "isthmus: " if n == 1 else f"isthmus {command}: {n} problems\n  - "
    print(lead + "\n  - ".join(str(p) for p in error.problems), file=sys.stderr)


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    from coupler.config import parse_value

    changes = {k: parse_value(v) for k, v in args.set}
    if args.days is not None:
        changes["days"] = parse_value(args.days)
    return changes


def _simulation(args: argparse.Namespace, **options: Any) -> Any:
    from coupler.driver.simulation import Simulation

    return Simulation.from_case(
        args.case,
        set=_changes(args),
        swap=dict(args.swap),
        plugins=args.plugin,
        out=args.out,
        overwrite=args.overwrite,
        resume=args.resume,
        record=getattr(args, "record", []),
        timeline=getattr(args, "timeline", False),
        **options,
    )


def _run(args: argparse.Namespace) -> int:
    from coupler.driver.crashes import in_a_scheme

    made = _simulation(args, parallel=getattr(args, "parallel", ALONE))
    with contextlib.closing(made) as simulation:
        if idle := simulation.nothing_to_do():
            print(idle)
            return 0
        try:
            simulation.run(quiet=args.quiet)
        except CouplerError as error:  # status 2 is for what is refused before anything is written
            _say(error, args.command)
            return BLEW_UP if isinstance(error, UnstableError) else 1
        except Exception as error:
            crash = in_a_scheme(error, simulation.model.rows.parallel.size)
            if crash is None:
                raise
            print(f"isthmus: {crash}", file=sys.stderr)
            return 1
    if not args.quiet:
        for line in simulation.closing_lines():
            print(line)
    return 0


def _check(args: argparse.Namespace) -> int:
    if args.out is None:  # what lies in the default folder is no fault of the case
        args.overwrite = True
    simulation = _simulation(args)
    print(f"{args.case}: nothing wrong found; {simulation.describe()}")
    return 0


def _schemes(args: argparse.Namespace) -> int:
    from coupler.driver.catalogue import print_catalogue

    print_catalogue(args.process)
    return 0


def _train(args: argparse.Namespace) -> int:
    from coupler.driver.training import train, train_seeds

    where = {"out": args.out, "work": args.work}
    if args.seeds is None:
        folders = [train(args.recipe, **where)]
    elif args.seeds < 1:
        raise ConfigError.of("too few seeds", "--seeds", expected="at least 1")
    else:
        folders = train_seeds(args.recipe, range(1, args.seeds + 1), **where)
    for folder in folders:
        print(f"bundle written to {folder}")
    return 0


def _replay(args: argparse.Namespace) -> int:
    from coupler.driver.replay import replay

    found = replay(args.recording)
    for name, d in found.items():
        print(f"{name:24} {d.different} of {d.values} values differ, by {d.largest:g} at most")
    return 1 if any(d.different for d in found.values()) else 0


def _evaluate(args: argparse.Namespace) -> int:
    from coupler.driver.evaluation import evaluate

    evaluate(
        args.bundle,
        args.recording,
        out=args.out,
        skip_days=args.skip_days,
        with_grafts=not args.no_grafts,
    )
    if args.out is not None:
        print(f"picture and numbers written to {args.out}")
    return 0


def _plot(args: argparse.Namespace) -> int:
    level = None if args.level is None else 100.0 * args.level
    if args.variable is not None:
        from coupler.diagnostics import figures, look

        if args.out is not None:
            figures.refuse_format(args.out)
        seen = look.view(args.run, args.variable, level=level, skip_days=args.skip_days)
        if args.out is None:
            print(look.in_terminal(seen))
            return 0
        look.picture(seen, args.out)
        print(f"picture written to {args.out}")
        return 0
    from coupler.diagnostics.plots import plot

    out = args.out or Path("plot.png")
    plot(
        args.run,
        args.kind,
        out,
        skip_days=args.skip_days,
        observed=args.observed,
        days=args.days,
        level=level,
        name=args.name,
    )
    print(f"picture written to {out}")
    return 0


def _bridge(args: argparse.Namespace) -> int:
    from coupler.driver.discovery import bridge

    written = bridge().build(args.to, version=coupler.__version__)
    print("\n".join(map(str, written)))
    print(f"compile with: gfortran -I{args.to}/include MODEL.f90 {args.to}/lib/libisthmus.a")
    return 0


def _serve(args: argparse.Namespace) -> int:
    from coupler.config import parse_value
    from coupler.driver import serving

    if args.worker is not None:
        return serving.worker(args.worker)
    if args.what is None:
        raise ConfigError.of("nothing to serve", "serve", expected="PROCESS=SCHEME, or a bundle")
    return serving.serve(
        args.what,
        path=args.socket,
        parameters={k: parse_value(v) for k, v in args.set},
        fallback=args.fallback,
        plugins=args.plugin,
        spin=args.spin,
        lifeline=args.lifeline,
    )


def _info(args: argparse.Namespace) -> int:
    from coupler.driver.info import print_info

    print_info()
    return 0


_COMMANDS = {
    "run": _run,
    "check": _check,
    "schemes": _schemes,
    "train": _train,
    "replay": _replay,
    "evaluate": _evaluate,
    "bundle": bundles.run,
    "compare": comparing.run,
    "plot": _plot,
    "serve": _serve,
    "bridge": _bridge,
    "data": fetch.run,
    "info": _info,
}


if __name__ == "__main__":
    sys.exit(main())
