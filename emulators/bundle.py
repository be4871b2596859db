"""A bundle: the folder that is an emulator.

    bundle.yaml             what it is (`emulators.schema`)
    weights.safetensors     the network's weights, or a program (`emulators.programs`)
    reference.safetensors   inputs and the outputs they gave, replayed at every load

Nothing in it is ever unpickled, and nothing but a program that the bundle's description names is
executed. A folder appears whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from coupler.interface.errors import ContractError, DataError, Problem, nearest
from coupler.interface.fields import FIELDS, TENDENCY_UNITS
from coupler.interface.grid import HybridLevels
from coupler.interface.units import convertible
from emulators.networks import Network, build
from emulators.schema import (
    FLUX_OF,
    MIGRATIONS,
    SCHEMA_VERSION,
    BundleSpec,
    Output,
    migrated,
    nominal_pressure,
    normalizer_hash,
)

SPEC, WEIGHTS, REFERENCE = "bundle.yaml", "weights.safetensors", "reference.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A loaded bundle, its reference already replayed."""

    path: Path
    spec: BundleSpec
    network: Network
    reference: dict[str, Tensor]

    @property
    def domain(self) -> dict[str, Tensor]:
        """The training columns as `emulators.domain.fit_domain` measured them; may be empty."""
        lead = "domain."
        return {k.removeprefix(lead): v for k, v in self.reference.items() if k.startswith(lead)}

    @property
    def tolerance(self) -> float:
        """How closely the reference must be reproduced, relative to each output's scale."""
        return self.spec.tolerance or self.network.tolerance


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bundle(
    path: Path | str,
    spec: BundleSpec,
    network: Network,
    reference_inputs: Mapping[str, Tensor],
    *,
    overwrite: bool = False,
    domain: Mapping[str, Tensor] | None = None,
    program: Path | None = None,
) -> Path:
    """Writes a bundle folder; the reference outputs are computed here from the network as stored.

    Args:
        path: the folder to be.
        spec: its description; the file hashes in it are filled in here.
        network: the network that `spec.architecture` describes, with its weights.
        reference_inputs: inputs in channel units, shape [level|interface, n] or [n].
        overwrite: whether a bundle already there is replaced.
        domain: the training columns as `emulators.domain.fit_domain` measured them.
        program: the file that becomes the bundle's weights, for the architecture `program`.

    Raises:
        DataError: when something is already at `path` (unless a bundle may be replaced).
    """
    path = Path(path)
    if path.exists() and not (overwrite and (path / SPEC).is_file()):
        raise DataError.of(
            "there is something already",
            str(path),
            expected="no such folder" if not overwrite else "a bundle or nothing",
            remedy="choose another place" if overwrite else "say overwrite, or another place",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        file = beside / spec.weights.file
        if program is not None:
            shutil.copyfile(program, file)
        else:
            weights = {k: v.detach().contiguous() for k, v in network.state_dict().items()}
            save_file(weights, file)
        # Replay goes through a network built from the files, as every load does.
        stored = build(spec)
        stored.read_weights(file, spec.weights.format)
        inputs = {k: v.to(torch.float32).contiguous() for k, v in reference_inputs.items()}
        with torch.inference_mode():
            outputs = stored.eval()(inputs)
        tensors = {f"input.{k}": v for k, v in inputs.items()}
        tensors |= {f"output.{k}": v.contiguous() for k, v in outputs.items()}
        tensors |= {f"domain.{k}": v.contiguous() for k, v in (domain or {}).items()}
        save_file(tensors, beside / REFERENCE)
        hashes = {name: sha256(beside / name) for name in (spec.weights.file, REFERENCE)}
        own = {"sha256": hashes, "normalizer": normalizer_hash(spec)}
        text = yaml.safe_dump(
            spec.model_copy(update=own).model_dump(mode="json"),
            sort_keys=False,
            width=100,
            default_flow_style=None,
        )
        (beside / SPEC).write_text(text, encoding="utf-8")
        for file in beside.iterdir():
            file.chmod(0o644)  # safetensors writes for the owner alone
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            path.rename(old)
        beside.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def read_spec(path: Path | str) -> BundleSpec:
    """`bundle.yaml` of the folder `path`, checked.

    Raises:
        DataError: for a missing file, an unknown schema version, channels that are not those that
            were fitted, or anything that does not fit.
    """
    path = Path(path)
    if not (path / SPEC).is_file():
        refuse_missing(path, [SPEC, WEIGHTS, REFERENCE])
    try:
        content = yaml.safe_load((path / SPEC).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = str(error).replace("\n", " ")
        raise DataError.of("not readable as YAML", str(path / SPEC), found=where) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int or version not in (*MIGRATIONS, SCHEMA_VERSION):
        raise DataError.of(
            "unknown schema version of a bundle",
            str(path / SPEC),
            expected=f"1 to {SCHEMA_VERSION}",
            found=str(version),
            remedy="retrain it, or use the version of Isthmus that wrote it",
        )
    try:
        spec = BundleSpec.model_validate(migrated(content))
    except ValidationError as error:
        raise DataError(
            *(
                Problem(
                    what="wrong entry in a bundle",
                    name=f"{path / SPEC}: " + (".".join(map(str, e["loc"])) or "bundle"),
                    found=e["msg"],
                )
                for e in error.errors()
            )
        ) from error
    refuse_missing(path, [SPEC, spec.weights.file, REFERENCE])
    found = normalizer_hash(spec)
    if found != spec.normalizer:
        raise DataError.of(
            "another normalizer than the weights were fitted with",
            str(path / SPEC),
            expected=f"channels and levels with the hash {spec.normalizer or 'in its normalizer'}",
            found=found,
            remedy="get the bundle again: names, units, order, means, scales and levels of its "
            "channels belong to its weights, and so do what its outputs change, their policy at "
            "the top and their bounds",
        )
    return spec


def refuse_missing(path: Path, names: Sequence[str]) -> None:
    """A bundle's files must all be there.

    Raises:
        DataError: naming those that are not.
    """
    missing = [n for n in names if not (path / n).is_file()]
    if missing:
        raise DataError.of(
            "not a bundle, files are missing" if path.is_dir() else "no such bundle",
            str(path),
            expected=f"a folder with {names[0]}, {names[1]} and {names[2]}",
            found="no " + ", no ".join(missing) if path.is_dir() else "no folder",
            remedy="train one with `isthmus train RECIPE.yaml`, or correct the path",
        )


def load_bundle(path: Path | str) -> Bundle:
    """Loads a bundle and replays its reference.

    Raises:
        DataError: for missing, corrupted or inconsistent files and a reference not reproduced.
        ContractError: for an unknown architecture or a configuration it does not know.
    """
    path = Path(path)
    spec = read_spec(path)
    for name in (spec.weights.file, REFERENCE):
        found = sha256(path / name)
        if found != spec.sha256.get(name):
            raise DataError.of(
                "corrupted file in a bundle",
                str(path / name),
                expected=f"sha256 {spec.sha256.get(name, 'stated in ' + SPEC)}",
                found=found,
                remedy="get the bundle again, or retrain it",
            )
    network = build(spec)
    network.read_weights(path / spec.weights.file, spec.weights.format)
    try:
        reference = load_file(path / REFERENCE)
    except SafetensorError as error:
        raise DataError.of(
            "unreadable reference of a bundle", str(path / REFERENCE), found=str(error)
        ) from error
    network.eval().requires_grad_(False)
    bundle = Bundle(path=path, spec=spec, network=network, reference=reference)
    _replay(bundle)
    return bundle


def declared_bundle(path: Path | str) -> Bundle:
    """A bundle as it describes itself: its network has no memory for weights, no reference is read.

    Raises:
        DataError: for a description that cannot be read.
        ContractError: for an unknown architecture or a configuration it does not know.
    """
    path = Path(path)
    spec = read_spec(path)
    with torch.device("meta"):
        network = build(spec)
    return Bundle(path=path, spec=spec, network=network.eval(), reference={})


def replayed(bundle: Bundle) -> dict[str, float]:
    """Largest difference from the reference by output, relative to its scale; or inf.

    Raises:
        DataError: for a reference without a channel.
    """
    inputs = {c.name: bundle.reference.get(f"input.{c.name}") for c in bundle.spec.inputs}
    wanted = {c.name: bundle.reference.get(f"output.{c.name}") for c in bundle.spec.outputs}
    absent = [k for k, v in (inputs | wanted).items() if v is None]
    if absent:
        raise DataError.of(
            "reference lacks channels",
            str(bundle.path / REFERENCE),
            found="no " + ", ".join(absent),
        )
    with torch.inference_mode():
        outputs = bundle.network({k: v for k, v in inputs.items() if v is not None})
    found = {}
    for channel in bundle.spec.outputs:
        got, want = outputs[channel.name], wanted[channel.name]
        assert want is not None
        found[channel.name] = float("inf")
        if got.shape == want.shape:
            scale = max(max(channel.scale), 1e-30)
            found[channel.name] = float(((got - want).abs() / (want.abs() + scale)).max())
    return found


def _replay(bundle: Bundle) -> None:
    tolerance = bundle.tolerance
    problems = [
        Problem(
            what="reference is not reproduced",
            name=f"{bundle.path}: {name}",
            expected=f"agreement to {tolerance:g}",
            found=f"{worst:.2g}",
            remedy="the normalization or architecture entries were changed: retrain it",
        )
        for name, worst in replayed(bundle).items()
        if not worst <= tolerance  # also when it is NaN
    ]
    if problems:
        raise DataError(*problems)


def channel_problems(spec: BundleSpec) -> list[Problem]:
    """Where channels differ from the tables: name, unit, dimensions, state that a flux changes."""
    problems = []
    for channel in spec.channels:
        name = f"{spec.name}: {channel.name}"
        if isinstance(channel, Output) and channel.dims == "level":
            problems += _tendency_problems(name, channel)
            continue
        field = FIELDS.get(channel.name)
        if field is None:
            problems.append(
                Problem(
                    what="unknown channel of a bundle",
                    name=name,
                    remedy=nearest(channel.name, FIELDS),
                )
            )
            continue
        # A unit that could be converted is refused for outputs: the coupler differentiates SI.
        fits = convertible(field.units, channel.units)
        if not fits or (channel in spec.outputs and field.units != channel.units):
            problems.append(
                Problem(
                    what="wrong unit of a bundle's channel",
                    name=name,
                    expected=field.units,
                    found=channel.units,
                )
            )
        if isinstance(channel, Output) and channel.of != FLUX_OF.get(channel.name):
            of = FLUX_OF.get(channel.name)
            problems.append(
                Problem(
                    what="wrong state variable of a bundle's flux",
                    name=name,
                    expected=f"of {of}" if of else "a flux, one of " + ", ".join(FLUX_OF),
                    found=f"of {channel.of}",
                )
            )
        dims = field.dims[0]
        if dims != channel.dims:
            problems.append(
                Problem(
                    what="wrong dimension of a bundle's channel",
                    name=name,
                    expected=dims,
                    found=channel.dims,
                )
            )
    return problems


def _tendency_problems(name: str, output: Output) -> list[Problem]:
    """What is wrong with an output that is a tendency."""
    units = TENDENCY_UNITS.get(output.of)
    if units is None or output.name != f"tn_{output.of}":
        expected = ", ".join(f"tn_{n}" for n in TENDENCY_UNITS)
        what = "unknown tendency of a bundle"
        return [Problem(what=what, name=name, expected=expected, found=f"of {output.of}")]
    if output.units != units:
        what = "wrong unit of a bundle's channel"
        return [Problem(what=what, name=name, expected=units, found=output.units)]
    return []


def same_levels(one: HybridLevels, other: HybridLevels) -> bool:
    """Whether interface pressures agree within 0.1 %, at surface pressures of 1000 and 700 hPa."""
    if one.nlev != other.nlev:
        return False
    # 0.1 Pa: the uppermost interface is 0, where a relative measure means nothing.
    return bool(np.allclose(nominal_pressure(one), nominal_pressure(other), rtol=1e-3, atol=0.1))


def level_problem(spec: BundleSpec, host: HybridLevels) -> Problem | None:
    """The sentence naming both sets of levels where they differ, None where they agree."""
    own = spec.levels.hybrid()
    if same_levels(own, host):
        return None
    return Problem(
        what="levels of a bundle differ from the host's",
        name=spec.name,
        expected=_levels_in_words(own),
        found=_levels_in_words(host),
        remedy="use the bundle's levels in the case, set `levels: regrid`, or retrain it on these",
    )


def _levels_in_words(levels: HybridLevels) -> str:
    p = nominal_pressure(levels)[1:, 0] / 100.0
    some = ", ".join(f"{v:.4g}" for v in p[:3])
    return (
        f"{levels.nlev} levels {levels.name!r} with lower interfaces {some} ... {p[-2]:.4g}, "
        f"{p[-1]:.4g} hPa"
    )


def check_channels(spec: BundleSpec) -> None:
    """Raises one error with every channel that does not fit the fields table.

    Raises:
        ContractError: listing all of them.
    """
    problems = channel_problems(spec)
    if problems:
        raise ContractError(*problems)
