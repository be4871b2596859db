"""Options that several tools read alike, and what a page says of the command that made it."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path

from coupler.interface.source import ROOT


def asked(
    about: str | None,
    page: Path,
    usual: Mapping[str, int | float | None],
    argv: list[str] | None,
    presets: Collection[str] = ("small", "tiny"),
) -> tuple[argparse.Namespace, str]:
    """What the command line says, and as text what of it is not usual.

    Args:
        about: the tool's own documentation.
        page: that it writes unless told otherwise.
        usual: numbers by the name of their option; None where there is none.
        argv: instead of the command line.
        presets: names of sizes; ``small`` is the usual one.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--preset", choices=sorted(presets), default="small")
    for name, value in usual.items():
        kind = float if isinstance(value, float) else int
        parser.add_argument(f"--{name}", type=kind, default=value)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "emulators")
    parser.add_argument("--out", type=Path, default=page)
    args = parser.parse_args(argv)
    given = {name: getattr(args, name.replace("-", "_")) for name in usual}
    said = "" if args.preset == "small" else f" --preset {args.preset}"
    for name, value in given.items():
        if value != usual[name]:
            said += f" --{name} {value:g}" if isinstance(value, float) else f" --{name} {value}"
    return args, said
