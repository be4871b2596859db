"""A deliberately bad emulator, to see whether a comparison finds it out.

    python tools/spoil_bundle.py emulators/bundles/gw_column /tmp/strong --drag 5
    python tools/spoil_bundle.py emulators/bundles/gw_column /tmp/upside_down --flip

``--drag F`` multiplies its fluxes: the pattern stays right, so that a correlation sees nothing.
``--flip`` turns its output levels upside down, as a network trained on fields with scrambled levels
would give them. The bundle is whole: its reference is that of the spoilt network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from emulators.bundle import load_bundle, write_bundle
from emulators.schema import BundleSpec


def spoil(source: Path, target: Path, *, drag: float = 1.0, flip: bool = False) -> Path:
    """Writes the spoilt bundle, named after its folder.

    Args:
        source: folder of a bundle.
        target: folder to be.
        drag: factor of all fluxes.
        flip: whether the output levels are turned upside down.
    """
    bundle = load_bundle(source)
    outputs = [
        o.model_copy(
            update={
                "scale": [drag * s for s in (o.scale[::-1] if flip else o.scale)],
                "minimum": [drag * v for v in (o.minimum[::-1] if flip else o.minimum)],
                "maximum": [drag * v for v in (o.maximum[::-1] if flip else o.maximum)],
                "bound": drag * o.bound,
            }
        )
        for o in bundle.spec.outputs
    ]
    spec: BundleSpec = bundle.spec.model_copy(update={"name": target.name, "outputs": outputs})
    network = bundle.network
    if flip:
        rows = len(outputs[0].scale)
        last = [p for p in network.state_dict().values() if p.ndim == 2 and p.shape[0] == rows][-1]
        last.copy_(torch.flip(last, dims=(0,)))
    inputs = {c.name: bundle.reference[f"input.{c.name}"] for c in spec.inputs}
    return write_bundle(target, spec, network, inputs, domain=bundle.domain, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--drag", type=float, default=1.0, metavar="F")
    parser.add_argument("--flip", action="store_true")
    args = parser.parse_args()
    print(f"bundle written to {spoil(args.source, args.target, drag=args.drag, flip=args.flip)}")


if __name__ == "__main__":
    main()
