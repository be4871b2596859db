"""The flow and the flux head on a GPU: `python benchmarks/gpu.py [--flow T42L40 ..] [--head full]`.

The flow: steps per second of the dry baroclinic wave of Jablonowski and Williamson (2006) in
float32, alone and as an ensemble in one batch. The head: one forward pass of the published flux
head (2.5 billion weights drawn at random, 64x128 columns, 488 channels) in float32 and with weights
and products in bfloat16, as it is, compiled, and replayed as a CUDA graph, with the largest memory
that torch held meanwhile. Numbers are medians; what cannot be done here says why.
`--device cpu --flow T21L10 --members 1 2 --head small` tries all of it without a GPU.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ensemble import starts
from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from emulators.networks.flux_head import FluxHead, published_backbone
from physics.dynamics.core import DynamicalCore
from physics.dynamics.ensemble import Ensemble

STEP = 21.0 * 1800.0
"""Truncation times length of a step [s]: half an hour at T21."""
HEADS: dict[str, dict[str, Any]] = {
    "full": {},
    "small": {
        "n_in": 12, "n_out": 8, "widths": (4, 8),
        "backbone": {"in_channels": 8, "embed_dim": 32, "n_heads": 2, "n_blocks_encoder": 1,
                     "n_blocks_decoder": 0, "checkpoint_encoder": (), "checkpoint_decoder": ()},
    },
}  # fmt: skip


def timed(call: Callable[[], object], repeats: int, wait: Callable[[], None]) -> float:
    """Median time of a call [ms], after three to warm up."""
    found = []
    for turn in range(repeats + 3):
        wait()
        begin = time.perf_counter()
        call()
        wait()
        if turn >= 3:
            found.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(found)


def flow(size: str, members: int, device: str) -> Callable[[], object]:
    """A step of the flow; 1 is the core alone."""
    truncation, levels = map(int, re.fullmatch(r"T(\d+)L(\d+)", size).groups())  # type: ignore[union-attr]
    core = DynamicalCore(
        truncation=truncation, levels=HybridLevels.sigma(levels), planet=Planet(),
        dt=STEP / truncation, tracers=0, stepper="leapfrog", device=device,
    )  # fmt: skip
    first = starts(core, members).to(device)
    if members == 1:
        core.start(first[0])
        return core.step
    ensemble = Ensemble(core, members)
    ensemble.start(first)
    return ensemble.step


def head(size: str, device: str) -> tuple[FluxHead, tuple[Tensor, Tensor]]:
    """The head in evaluation, and its input."""
    given = dict(HEADS[size])
    if "backbone" in given:
        given["backbone"] = published_backbone().model_copy(update=given["backbone"])
    with torch.device(device):
        model = FluxHead(**given, checkpoints=False).eval().requires_grad_(False)
        x = torch.randn(1, given.get("n_in", 488), 64, 128)
        return model, (x, torch.randn(1, 3, 64, 128))


def ways(
    model: FluxHead, given: tuple[Tensor, Tensor], device: str
) -> Iterator[tuple[str, Callable[[], Callable[[], object]]]]:
    """By name what makes the call that is timed; making it may fail."""

    def forward(x: Tensor, static: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=given[0].dtype == torch.bfloat16):
            y: Tensor = model(x, static)
        return y

    def compiled() -> Callable[[], object]:
        call = torch.compile(forward)
        call(*given)
        return lambda: call(*given)

    def graph() -> Callable[[], object]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                forward(*given)
        torch.cuda.current_stream().wait_stream(side)
        made = torch.cuda.CUDAGraph()
        with torch.cuda.graph(made):
            forward(*given)
        return made.replay

    yield "as it is", lambda: lambda: forward(*given)
    yield "compiled", compiled
    if device == "cuda":
        yield "CUDA graph", graph


def main() -> int:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", nargs="*", default=["T42L40", "T85L40", "T170L40"])
    parser.add_argument("--members", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--head", choices=[*HEADS, "none"], default="full")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no GPU that torch can use here; --device cpu tries the commands without one")
        return 1
    torch.set_grad_enabled(False)
    cuda = args.device == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None
    name = torch.cuda.get_device_name() if cuda else "processor"
    print(f"torch {torch.__version__} on {name}")
    for size in args.flow:
        for members in args.members:
            ms = timed(flow(size, members, args.device), args.repeats, wait)
            print(f"{size} {members:3d} member(s): {1e3 / ms:8.1f} steps/s, "
                  f"{1e3 * members / ms:8.1f} of a member", flush=True)  # fmt: skip
    if args.head == "none":
        return 0
    model, given = head(args.head, args.device)
    print(f"flux head of {sum(p.numel() for p in model.parameters())} weights")
    for dtype in (torch.float32, torch.bfloat16):
        model, given = model.to(dtype), (given[0].to(dtype), given[1].to(dtype))
        for way, make in ways(model, given, args.device):
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            label = f"{str(dtype).removeprefix('torch.'):9} {way:11}"
            try:
                ms = timed(make(), args.repeats, wait)
            except Exception as error:  # a compiler or a capture that cannot: that is the result
                print(f"{label} not possible: {str(error).strip().splitlines()[0][:100]}")
                continue
            memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if cuda else ""
            print(f"{label} {ms:8.2f} ms{memory}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
