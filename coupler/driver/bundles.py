"""``isthmus bundle show | verify | convert``: what an emulator's folder is, and making one."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    bundle = commands.add_parser("bundle", help="show, verify or convert an emulator's folder")
    steps = bundle.add_subparsers(dest="step", required=True, metavar="STEP")
    show = steps.add_parser("show", help="channels, levels, architecture, origin")
    show.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder, or a shipped name")
    verify = steps.add_parser("verify", help="hashes, channels, and does it give its reference?")
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")
    convert = steps.add_parser(
        "convert",
        help="a bundle of a published checkpoint, of an older bundle, or of a program",
        description="Of a bundle: rewrites it in the present schema version, or with --to as a "
        "program. Of a checkpoint (.pt, read with weights_only, or .safetensors) or a program: "
        "makes a bundle of it that --spec describes.",
    )
    convert.add_argument("source", type=Path, metavar="BUNDLE|CHECKPOINT")
    convert.add_argument("--out", type=Path, required=True, help="the folder to be")
    convert.add_argument("--spec", type=Path, metavar="FILE.yaml", help="what a checkpoint holds")
    convert.add_argument("--to", metavar="FORMAT", help="torchscript, export, aoti or onnx")
    convert.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from coupler.driver.discovery import bundle_path, bundle_tools

    tools = bundle_tools()
    if args.step == "convert":
        source = args.source
        if not source.exists():
            source = bundle_path(str(source), Path()) or source
        done = tools.convert(source, args.out, to=args.to, spec=args.spec, overwrite=args.overwrite)
        print(done)
        return 0
    folder = bundle_path(str(args.bundle), Path()) or args.bundle
    if args.step == "show":
        print(tools.describe(folder))
        return 0
    for found in tools.verify(folder):
        print(
            f"{found.name}: {found.output} reproduced to {found.worst:.2g} "
            f"(allowed {found.tolerance:g})"
        )
    return 0
