"""What `bundle.yaml` may say: pure data, checked before anything is built from it.

A bundle describes an emulator completely: the channels it reads and writes, by the names of the
fields table and with units, the levels it was trained on, how each channel is normalized, which
values it has seen, and where all of that comes from. A description of an older schema version is
brought up to date when it is read (`migrated`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from coupler.interface.grid import HybridLevels

SCHEMA_VERSION: Literal[3] = 3
Dims = Literal["level", "interface", "column"]
NOMINAL_SURFACE = 1.0e5
"""Surface pressure [Pa] at which levels are told by a pressure."""


FLUX_OF = {
    **dict.fromkeys(("xgwdparam", "xogwd"), "ua"),
    **dict.fromkeys(("ygwdparam", "yogwd"), "va"),
    **dict.fromkeys(("rnl", "rns"), "ta"),
}
"""Which state variable the divergence of an interface flux changes."""


class Data(BaseModel):
    """Base of all parts: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Levels(Data):
    """The training levels: interface pressure is ``a + b ps``, top first."""

    name: str = "custom"
    a: list[float]
    """[Pa], shape [K + 1]."""
    b: list[float]
    """[1], shape [K + 1]."""

    @property
    def nlev(self) -> int:
        """Number of layers K."""
        return len(self.a) - 1

    def hybrid(self) -> HybridLevels:
        """The same as the interface's levels."""
        return HybridLevels(a=np.asarray(self.a), b=np.asarray(self.b), name=self.name)

    def half_pressure(self, dtype: type[np.floating[Any]] = np.float64) -> NDArray[Any]:
        """Nominal interface pressure [Pa], at a surface pressure of 1000 hPa, shape [K + 1].

        Args:
            dtype: of the numbers, and of all that they are computed with.
        """
        a, b = np.asarray(self.a, dtype), np.asarray(self.b, dtype)
        return np.asarray(a + dtype(NOMINAL_SURFACE) * b)

    def size(self, dims: Dims) -> int:
        """Number of values in a column of a channel with these dimensions."""
        return {"level": self.nlev, "interface": self.nlev + 1, "column": 1}[dims]

    @model_validator(mode="after")
    def _possible(self) -> Levels:
        if len(self.a) != len(self.b) or len(self.a) < 2:
            raise ValueError("levels need equally long lists a and b of at least 2 interfaces")
        return self


class _Named(Data):
    name: str
    units: str
    dims: Dims


class Channel(_Named):
    """One named input: its unit, normalization ``(t(x) - mean) / scale`` and training domain.

    Lists hold one value per level, interface, or column; `t` is `transform`. With ``cbrt`` it is
    the cube root of ``(x - mean) / scale``.
    """

    transform: Literal["none", "log", "cbrt"] = "none"
    mean: list[float]
    scale: list[float]
    minimum: list[float]
    """Smallest value of the training data, in `units`, not transformed."""
    maximum: list[float]


class Output(_Named):
    """One named interface flux, positive upward: ``scale`` times what the network returns.

    With ``transform: cbrt`` it is ``mean + scale`` times the cube of that. With ``dims: level`` it
    is no flux but the tendency of a state variable, called ``tn_`` and its name.
    """

    of: str
    """State variable that its divergence changes (`FLUX_OF`), or whose tendency it is."""
    dims: Literal["interface", "level"] = "interface"
    transform: Literal["none", "cbrt"] = "none"
    mean: list[float] = Field(default=[])
    """For ``cbrt`` only; empty: 0."""
    scale: list[float] = Field(min_length=1)
    """0 on interfaces that no flux of the training data reaches: the output is exactly 0 there."""
    minimum: list[float]
    maximum: list[float]
    bound: float = Field(gt=0.0)
    """Largest absolute flux that is believed, in `units`; the guard acts beyond it."""
    top: Literal["escape", "dump", "zero"] = "dump"
    dump_above: float = 85.0


class Architecture(Data):
    """A registered network and its configuration."""

    name: str
    config: dict[str, Any] = Field(default={})


class Weights(Data):
    """The file with the weights, and what kind of file it is."""

    format: Literal["safetensors", "torchscript", "export", "aoti", "onnx"] = "safetensors"
    """``safetensors`` for a registered network; the others hold a program, for the architecture
    `program`: TorchScript, `torch.export`, AOTInductor (machine code) or ONNX."""
    file: str = Field(default="weights.safetensors", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")


class GuardRule(Data):
    """When a column is outside the training domain, and what a whole call may cost."""

    margin: float = Field(default=0.1, ge=0.0)
    """A value further out than this counts its column as outside, in training ranges."""
    wide_margin: float = Field(default=0.5, ge=0.0)
    """A value further out than this hands its column to the fallback, until it is back inside
    all narrow margins (hysteresis)."""
    z_margin: float | None = Field(default=None, gt=0.0)
    """The same for the largest normalized value of a column; None: not looked at."""
    z_wide_margin: float | None = Field(default=None, gt=0.0)
    mahalanobis_margin: float | None = Field(default=None, gt=0.0)
    """The same for the Mahalanobis distance (`emulators.domain`), in units of what one training
    column in a thousand exceeds."""
    mahalanobis_wide_margin: float | None = Field(default=None, gt=0.0)
    fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Where more than this share of all columns is not believed, none is, until the share falls
    below half of it. Without a fallback the run ends there."""
    largest_drag: float | None = Field(default=None, gt=0.0)
    """A layer is not pushed harder than this [m s-2]: what exceeds it goes to the layer below, so
    that the column's momentum stays what the fluxes say. None: no limit."""

    @model_validator(mode="after")
    def _ordered(self) -> GuardRule:
        if self.wide_margin < self.margin:
            raise ValueError("wide_margin must not be smaller than margin")
        for lead in ("z", "mahalanobis"):
            narrow, wide = (getattr(self, f"{lead}_{m}") for m in ("margin", "wide_margin"))
            if (narrow is None) != (wide is None) or (narrow is not None and wide < narrow):
                raise ValueError(
                    f"{lead}_margin and {lead}_wide_margin are given together, the narrow one first"
                )
        return self


class Source(Data):
    """One recording that the emulator was trained or tested on."""

    file: str
    sha256: str
    case: str = "unknown"
    scheme: str = "unknown"
    seed: int | None = None
    times: int
    columns: int
    role: Literal["train", "test"] = "train"


class Skill(Data):
    """Offline skill on the held-out recording, by level; None where the truth does not vary."""

    flux: dict[str, list[float | None]]
    """R2 on interfaces by output name."""
    drag: dict[str, list[float | None]]
    """R2 of the layer's flux difference by output name."""
    flux_overall: float
    """R2 of all interfaces and outputs together, in Pa: where the flux varies most counts most."""
    drag_overall: float
    """R2 of all layers and outputs together, of the acceleration."""


class TendencySkill(Data):
    """Offline skill of a closure on maps of another run."""

    r2: list[float]
    """By level, around the mean of the level."""
    overall: float
    """Mean over levels."""
    maps: int


class Provenance(Data):
    """Where a bundle comes from."""

    fingerprint: str
    """SHA-256 over the SHA-256 of all sources: the training data in one number."""
    sources: list[Source]
    seed: int
    commit: str = "unknown"
    date: str = "unknown"
    recipe: dict[str, Any] = Field(default={})
    software: dict[str, str] = Field(default={})


class BundleSpec(Data):
    """All of `bundle.yaml`."""

    schema_version: Literal[3] = SCHEMA_VERSION
    process: str
    name: str
    architecture: Architecture
    weights: Weights = Weights()
    tolerance: float | None = Field(default=None, gt=0.0, le=1e-3)
    """How closely the reference must be reproduced, relative to each output's scale; None: as the
    architecture says."""
    levels: Levels
    inputs: list[Channel] = Field(min_length=1)
    outputs: list[Output] = Field(min_length=1)
    guard: GuardRule = GuardRule()
    interval: float | None = Field(default=None, gt=0.0)
    """Time between calls of the scheme it was trained on [s]."""
    provenance: Provenance
    skill: Skill | None = None
    """Of fluxes."""
    tendency_skill: TendencySkill | None = None
    """Of tendencies."""
    sha256: dict[str, str] = Field(default={})
    """SHA-256 of the bundle's other files, by name."""
    normalizer: str = ""
    """`normalizer_hash` of what the weights were fitted with."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> BundleSpec:
        wrong = []
        if (self.weights.format == "safetensors") == (self.architecture.name == "program"):
            wrong.append(
                f"weights.format {self.weights.format} does not go with the architecture "
                f"{self.architecture.name}: program is the one for files that hold a program"
            )
        for ch in self.channels:
            want = self.levels.size(ch.dims)
            for key in ("mean", "scale", "minimum", "maximum"):
                have = getattr(ch, key, None)
                optional = key == "mean" and isinstance(ch, Output)
                if have is not None and len(have) != want and not (optional and not have):
                    wrong.append(f"{ch.name}.{key} has {len(have)} values, {want} expected")
        for ch in self.inputs:
            if not all(s > 0.0 for s in ch.scale):
                wrong.append(f"{ch.name}.scale has a value that is not positive")
        names = [ch.name for ch in self.channels]
        wrong += [f"two channels are called {n}" for n in set(names) if names.count(n) > 1]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def channels(self) -> list[_Named]:
        """Inputs, then outputs."""
        return [*self.inputs, *self.outputs]

    def input(self, name: str) -> Channel:
        """The input channel called `name`."""
        return next(c for c in self.inputs if c.name == name)

    def output(self, name: str) -> Output:
        """The output channel called `name`."""
        return next(c for c in self.outputs if c.name == name)


def nominal_pressure(levels: HybridLevels) -> NDArray[np.float64]:
    """Interface pressure [Pa], shape [K + 1, 2], at surface pressures of 1000 and 700 hPa."""
    return levels.half_pressure(np.array([NOMINAL_SURFACE, 0.7e5]))


def normalizer_hash(spec: BundleSpec, version: int = SCHEMA_VERSION) -> str:
    """SHA-256 of what stands between the host's fields and the network's numbers.

    Names, units, dimensions, transforms, means and scales of all channels in their order, the
    levels, and what becomes of the outputs: the state they change, their policy at the top and the
    bound that is believed (not before version 3). Whoever fits on data normalized otherwise, or
    runs with other numbers than were fitted with, gets another hash.
    """
    keys = {"name", "units", "dims", "transform", "mean", "scale"}
    ends = {"of", "top", "dump_above", "bound"} if version >= 3 else set()
    what = [
        [c.model_dump(include=keys) for c in spec.inputs],
        [c.model_dump(include=keys | ends) for c in spec.outputs],
        [spec.levels.a, spec.levels.b],
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    """Version 2 names the format of the weights and hashes the normalizer."""
    # There is no hash to compare with; the reference still holds the bundle to what was fitted.
    normalizer = normalizer_hash(_as_it_would_be(content), 2)
    return {**content, "schema_version": 2, "normalizer": normalizer}


def _from_2(content: dict[str, Any]) -> dict[str, Any]:
    """Version 3 hashes what becomes of the outputs, too."""
    spec = _as_it_would_be(content)
    content = {**content, "schema_version": 3}
    # A hash that is wrong stays so, and is refused by whoever compares it.
    if spec.normalizer == normalizer_hash(spec, 2):
        content["normalizer"] = normalizer_hash(spec)
    return content


def _as_it_would_be(content: dict[str, Any]) -> BundleSpec:
    return BundleSpec.model_validate({**content, "schema_version": SCHEMA_VERSION})


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_1,
    2: _from_2,
}
"""What brings a description of a version to the next one."""


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a `bundle.yaml` of a known version, as one of this version.

    Raises:
        ValidationError: when it is no description of the version that it says.
    """
    while content["schema_version"] in MIGRATIONS:
        content = MIGRATIONS[content["schema_version"]](content)
    return content
