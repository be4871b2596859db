"""What a network on maps costs beside the bare network: `python benchmarks/networks.py`.

The Attention U-Net of the published size (366 stacked channels, 244 fluxes) on 64x128 columns: the
bare torch forward on a ready tensor with zeros beyond the map, the same with channels last as ours
has them, the forward between named channels on a sphere, and the whole component, guard included.
Numbers are processor time of one thread, the smallest of `--repeats` rounds in which all are called
in turn, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import torch

from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import Bundle
from emulators.component import EmulatorTendency, class_of
from emulators.networks import build
from emulators.networks.attention_unet import AttentionUNet
from emulators.networks.flux_head import FluxHead
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance


def spec_of(nlev: int, grid: Grid, config: dict[str, Any]) -> BundleSpec:
    """Winds and temperature on `nlev` levels to two fluxes in their middle."""
    levels = HybridLevels.named(f"hybrid{nlev}")
    units = {"ua": "m s-1", "va": "m s-1", "ta": "K"}
    inputs = [
        Channel(
            name=n,
            units=u,
            dims="level",
            mean=[0.0] * nlev,
            scale=[20.0] * nlev,
            minimum=[-1e6] * nlev,
            maximum=[1e6] * nlev,
        )
        for n, u in units.items()
    ]
    outputs = [
        Output(
            name=n,
            of=of,
            units="Pa",
            scale=[*[1e-3] * nlev, 0.0],
            minimum=[-1.0] * (nlev + 1),
            maximum=[1.0] * (nlev + 1),
            bound=1.0,
        )
        for n, of in (("xgwdparam", "ua"), ("ygwdparam", "va"))
    ]
    where = {"kind": "gaussian", "nlat": grid.lat.size, "nlon": grid.lon.size}
    return BundleSpec(
        process="gravity_wave",
        name="benchmark",
        architecture=Architecture(name="attention_unet", config={"grid": where, **config}),
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=inputs,
        outputs=outputs,
        provenance=Provenance(fingerprint="", sources=[], seed=0),
    )


def component_of(spec: BundleSpec, grid: Grid) -> tuple[EmulatorTendency, Callable[[], None]]:
    """The scheme, and one call of it as the driver makes it."""
    network = build(spec).eval().requires_grad_(False)
    some = {"input.ua": torch.zeros(1)}  # not replayed: it was not read from files
    bundle = Bundle(path=Path("benchmark"), spec=spec, network=network, reference=some)
    component = class_of(bundle)()
    levels = spec.levels.hybrid()
    host = Host(
        grid=grid, levels=levels, planet=Planet(), dtype=np.dtype("float32"), seed=0, static={}
    )
    component.setup(host)
    rng = np.random.default_rng(1)
    shape = (levels.nlev, grid.ncol)
    x = Arrays(**{n: rng.normal(0.0, 20.0, shape).astype(np.float32) for n in ("ua", "va", "ta")})
    flux = Arrays(**{o.name: host.empty("interface", "column") for o in spec.outputs})
    diag = Arrays(**{f.name: host.empty("column") for f in component.diagnostics})
    now = Now(date=cftime.DatetimeNoLeap(2000, 1, 1), step=0, seconds=0.0, dt=1200.0)
    return component, lambda: component.compute(x, Arrays(), flux, diag, now)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nlat", type=int, default=64)
    parser.add_argument("--levels", type=int, default=122)
    parser.add_argument("--width", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    grid = Grid.gaussian(args.nlat, 2 * args.nlat)
    config = {"width": args.width, "on": "level", "norm": "batch"}
    spec = spec_of(args.levels, grid, config)
    component, in_loop = component_of(spec, grid)
    network = component.bundle.network
    with torch.inference_mode():
        bare = AttentionUNet(3 * args.levels, 2 * args.levels, width=args.width, poles="zero")
        bare = bare.eval()
        maps = torch.randn(1, 3 * args.levels, args.nlat, 2 * args.nlat)
        named = {n: torch.randn(args.levels, grid.ncol) for n in ("ua", "va", "ta")}
        close = copy.deepcopy(bare).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        closer = maps.contiguous(memory_format=torch.channels_last)
        calls: dict[str, Callable[[], Any]] = {
            "bare torch forward": lambda: bare(maps),
            "bare, channels last": lambda: close(closer),
            "between named channels, on a sphere": lambda: network(named),
            "component with its guard": in_loop,
        }
        times: dict[str, list[float]] = {n: [] for n in calls}
        for call in calls.values():
            call()
        for _ in range(args.repeats):
            for name, call in calls.items():
                start = time.process_time()
                call()
                times[name].append(time.process_time() - start)
    first = next(iter(times.values()))
    print(f"U-Net of {sum(p.numel() for p in network.parameters())} parameters on {grid}")
    for name, found in times.items():
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        print(f"{name:38} {min(found):8.3f} s   {ratio:5.2f} of the bare one (median of pairs)")
    with torch.device("meta"):
        head = FluxHead()
    trained = sum(p.numel() for p in head.parameters() if p.requires_grad)
    total = sum(p.numel() for p in head.parameters())
    print(f"published flux head: {trained} trained of {total} parameters, on the meta device")


if __name__ == "__main__":
    main()
