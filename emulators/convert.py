"""What `isthmus bundle` does: show what a bundle is, verify it, make one of a published checkpoint,
bring an old one up to date, or turn its network into a program (`emulators.programs`).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from coupler.interface.errors import ConfigError, ContractError, DataError, Problem
from emulators.bundle import (
    check_channels,
    load_bundle,
    read_spec,
    replayed,
    sha256,
    write_bundle,
)
from emulators.networks import Network, build
from emulators.networks.maps import MapNetwork
from emulators.networks.pretrained import Taken, read_checkpoint, take
from emulators.programs import FORMATS, SUFFIX, write_program
from emulators.schema import (
    SCHEMA_VERSION,
    Architecture,
    BundleSpec,
    Channel,
    Provenance,
    Source,
    Weights,
)

REFERENCE_COLUMNS = 33


# -- show and verify --------------------------------------------------------------------------


def describe(path: Path | str) -> str:
    """What a bundle is, in lines; nothing but its description is read."""
    path = Path(path)
    spec = read_spec(path)
    version = yaml.safe_load((path / "bundle.yaml").read_text(encoding="utf-8"))["schema_version"]
    with torch.device("meta"):
        network = build(spec)
    weights = sum(p.numel() for p in network.parameters())
    p = spec.levels.half_pressure()
    lines = [
        f"{spec.process}={spec.name}, schema version {version}",
        f"architecture  {spec.architecture.name} {_config(spec)}",
        f"weights       {weights} in {spec.weights.file} ({spec.weights.format})",
        f"levels        {spec.levels.nlev} {spec.levels.name!r}, {p[0] / 100:.4g} to "
        f"{p[-1] / 100:.6g} hPa",
        f"sees          {_sees(network)}",
    ]
    for channel in spec.inputs:
        lines.append(
            f"  in   {channel.name:12} [{channel.units}] on {channel.dims}s, trained on "
            f"{min(channel.minimum):.4g} to {max(channel.maximum):.4g}"
        )
    for output in spec.outputs:
        lines.append(
            f"  out  {output.name:12} [{output.units}] of {output.of}, at most {output.bound:.4g}"
        )
    rule = spec.guard
    lines.append(f"guard         counts beyond {rule.margin:g}, hands over {rule.wide_margin:g}")
    lines.append(f"normalizer    {spec.normalizer[:16]}")
    origin = spec.provenance
    lines.append(
        f"made          {origin.date}, commit {origin.commit[:12]}, seed {origin.seed}, "
        f"data {origin.fingerprint[:16]}"
    )
    for s in origin.sources:
        lines.append(f"  {s.role:5} {s.file}: case {s.case}, scheme {s.scheme}, seed {s.seed}")
    if spec.skill is not None:
        lines.append(
            f"offline R2    flux {spec.skill.flux_overall:.3f}, drag {spec.skill.drag_overall:.3f}"
        )
    if spec.tendency_skill is not None:
        by_level = ", ".join(f"{v:.3f}" for v in spec.tendency_skill.r2)
        lines.append(f"offline R2    tendency {spec.tendency_skill.overall:.3f} ({by_level})")
    return "\n".join(lines)


def _config(spec: BundleSpec) -> str:
    return ", ".join(f"{k}={v}" for k, v in spec.architecture.config.items())


def _sees(network: Network) -> str:
    together = network.columns_together
    return "one column" if together == 1 else f"a whole map, {together} columns at once"


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a bundle was found to do."""

    name: str
    output: str
    worst: float
    """Largest difference from the reference, relative to the output's scale."""
    tolerance: float


def verify(path: Path | str) -> list[Verified]:
    """Loads a bundle and replays its reference, and checks its channels.

    Raises:
        DataError: for files that are damaged or a reference that is not reproduced.
        ContractError: for channels that are not those of the fields table.
    """
    bundle = load_bundle(path)
    check_channels(bundle.spec)
    return [
        Verified(name=bundle.spec.name, output=n, worst=w, tolerance=bundle.tolerance)
        for n, w in replayed(bundle).items()
    ]


# -- convert ----------------------------------------------------------------------------------


def convert(
    source: Path | str,
    out: Path | str,
    *,
    to: str | None = None,
    spec: Path | str | None = None,
    overwrite: bool = False,
) -> str:
    """Makes a bundle of a checkpoint or of another bundle.

    Args:
        source: a bundle, or a checkpoint or program of somebody else's with `spec`.
        out: the folder to be.
        to: format of a program; None keeps what there is, in the present schema version.
        spec: a `bundle.yaml` that says what is in a checkpoint, without hashes.
        overwrite: whether a bundle that is there is replaced.

    Returns:
        What was done, in a sentence.

    Raises:
        DataError: for files that are damaged or do not fit.
        ConfigError: for options that do not go together.
    """
    source = Path(source)
    if source.is_dir():
        if spec is not None:
            raise ConfigError.of(
                "a description for a bundle that has one", str(spec), remedy="leave --spec out"
            )
        if to is None:
            return _rewritten(source, Path(out), overwrite)
        return _as_program(source, Path(out), to, overwrite)
    if spec is None:
        raise ConfigError.of(
            "a checkpoint without a description",
            str(source),
            expected="--spec FILE.yaml: process, architecture, levels and channels as in a "
            "bundle.yaml",
        )
    if to is not None:
        raise ConfigError.of(
            "a checkpoint cannot be made a program at once",
            str(source),
            remedy="make a bundle of it first, then convert that",
        )
    return _of_checkpoint(source, Path(spec), Path(out), overwrite)


def _rewritten(source: Path, out: Path, overwrite: bool) -> str:
    bundle = load_bundle(source)
    program = None
    if bundle.spec.weights.format != "safetensors":
        program = source / bundle.spec.weights.file
    write_bundle(
        out,
        bundle.spec,
        bundle.network,
        _inputs(bundle.reference),
        overwrite=overwrite,
        program=program,
    )
    return f"{out}: schema version {SCHEMA_VERSION}"


def _inputs(reference: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix("input."): t for n, t in reference.items() if n.startswith("input.")}


class _Core(nn.Module):
    """Stacked channels to stacked fluxes, as a program takes and gives them."""

    def __init__(self, network: MapNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Shape [map, channel, lat, lon] to the same."""
        return self.network.through_core(x)


def _as_program(source: Path, out: Path, to: str, overwrite: bool) -> str:
    if to not in FORMATS:
        raise ConfigError.of("unknown format", to, expected=", ".join(FORMATS))
    bundle = load_bundle(source)
    network = bundle.network
    if not isinstance(network, MapNetwork):
        raise ContractError.of(
            "a network with features of its own cannot become a program",
            f"{bundle.spec.name}: {bundle.spec.architecture.name}",
            expected="one between stacked channels, on maps",
            remedy="leave it as it is: safetensors are read everywhere",
        )
    spec = bundle.spec.model_copy(
        update={
            "architecture": Architecture(
                name="program",
                config={"grid": network.grid.model_dump(mode="json"), "on": network.config.on},
            ),
            "weights": Weights.model_validate({"format": to, "file": "program" + SUFFIX[to]}),
        }
    )
    reference = _inputs(bundle.reference)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / spec.weights.file
        example = torch.zeros(1, network.stack.size, network.grid.nlat, network.grid.nlon)
        write_program(_Core(network), example, program, to)
        write_bundle(out, spec, network, reference, overwrite=overwrite, program=program)
    worst = _worst(out, bundle.reference, spec)
    return f"{out}: {to}, differs from {source} by {worst:.2g} of the outputs' scale at most"


def _worst(out: Path, reference: dict[str, Tensor], spec: BundleSpec) -> float:
    made = load_bundle(out)
    worst = 0.0
    for o in spec.outputs:
        name = f"output.{o.name}"
        error = (made.reference[name] - reference[name]).abs().max() / max(o.scale)
        worst = max(worst, float(error))
    if not worst <= made.tolerance:
        raise DataError.of(
            "a program that does not give what the network gives",
            str(out),
            expected=f"agreement to {made.tolerance:g}",
            found=f"{worst:.2g}",
        )
    return worst


def _of_checkpoint(source: Path, spec_path: Path, out: Path, overwrite: bool) -> str:
    spec = _description(spec_path, source)
    check_channels(spec)
    torch.manual_seed(0)
    network = build(spec)
    stored = spec.weights.format == "safetensors"
    said = str(_load(network, source)) if stored else f"a program, {spec.weights.format}"
    program = None if stored else source
    write_bundle(out, spec, network, plausible(spec, network), overwrite=overwrite, program=program)
    return f"{out}: {said}"


def _load(network: Network, source: Path) -> Taken:
    """Strictly, into the network, or into its core where the names are the core's."""
    tensors = read_checkpoint(source)
    core = getattr(network, "core", None)
    inner = isinstance(core, nn.Module) and bool(core.state_dict().keys() & tensors.keys())
    return take(core if inner and core is not None else network, tensors, strict=True)


def _description(path: Path, source: Path) -> BundleSpec:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError.of(
            "not readable as YAML", str(path), found=" ".join(str(error).split())
        ) from error
    if not isinstance(content, dict):
        raise DataError.of("not a description of a bundle", str(path), found=type(content).__name__)
    origin = Provenance(
        fingerprint=sha256(source) if source.is_file() else "",
        sources=[Source(file=source.name, sha256="", times=0, columns=0)],
        seed=0,
    )
    content = {"schema_version": SCHEMA_VERSION, "provenance": origin.model_dump(), **content}
    try:
        return BundleSpec.model_validate(content)
    except ValidationError as error:
        raise DataError(
            *(
                Problem(
                    what="wrong entry in a description",
                    name=f"{path}: " + (".".join(map(str, e["loc"])) or "bundle"),
                    found=e["msg"],
                )
                for e in error.errors()
            )
        ) from error


def plausible(spec: BundleSpec, network: Network, seed: int = 0) -> dict[str, Tensor]:
    """Inputs for a reference, inside the training domain, with the same numbers everywhere."""
    generator = torch.Generator().manual_seed(seed)
    together = network.columns_together
    n = together if together > 1 else REFERENCE_COLUMNS
    grid = getattr(getattr(network, "config", None), "grid", None)

    def drawn(channel: Channel) -> Tensor:
        low, high = (torch.tensor(v)[:, None] for v in (channel.minimum, channel.maximum))
        share = torch.rand(len(channel.mean), n, generator=generator)
        return low + (0.1 + 0.8 * share) * (high - low)

    found = {c.name: drawn(c) for c in spec.inputs}
    if grid is not None:
        own = grid.grid()
        lat, lon = torch.meshgrid(torch.tensor(own.lat), torch.tensor(own.lon), indexing="ij")
        places = {"lat": lat, "lon": lon}
        found |= {k: v.reshape(1, -1).float() for k, v in places.items() if k in found}
    return {c.name: found[c.name][0] if c.dims == "column" else found[c.name] for c in spec.inputs}
