r"""Zonal-mean statistics of a long run, kept in blocks, so that an interrupted run goes on.

.. math:: [u], [T], [v], \quad [u'v'], [v'T'], [T'^2], \quad
          \tfrac12 [u'^2 + v'^2], \qquad x' = x - [x]

The bracket is the mean around a latitude circle at one moment; the statistics are means of samples
over a block of days. Blocks are what sampling errors are made of: halves, hundreds of days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
MEANS = ("ua", "va", "ta", "uv", "vt", "tt", "eke")
"""[u], [v] [m s-1], [T] [K], [u'v'] [m2 s-2], [v'T'] [K m s-1], [T'^2] [K2], EKE [m2 s-2]."""


class Sampler:
    """Sums up one block.

    Args:
        fields: the model's own arrays ``ua va ta`` [level, lat, lon] and ``ps`` [lat, lon]; they
            are read at each call of `add`.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = {name: fields[name] for name in ("ua", "va", "ta", "ps")}
        nlev, nlat, _ = fields["ua"].shape
        self._sums = {name: np.zeros((nlev, nlat)) for name in MEANS}
        self._ps = np.zeros(nlat)
        self._wind: list[npt.NDArray[np.float32]] = []
        self._fastest, self._count = 0.0, 0

    def add(self) -> None:
        """Takes one sample."""
        u, v, t = (self._fields[n].astype(np.float64) for n in ("ua", "va", "ta"))
        means = {n: x.mean(-1) for n, x in (("ua", u), ("va", v), ("ta", t))}
        self._fastest = max(self._fastest, float(np.sqrt((u * u + v * v).max())))
        for x, name in ((u, "ua"), (v, "va"), (t, "ta")):
            x -= means[name][..., None]
        means |= {
            "uv": (u * v).mean(-1), "vt": (v * t).mean(-1), "tt": (t * t).mean(-1),
            "eke": 0.5 * (u * u + v * v).mean(-1),
        }  # fmt: skip
        for name, value in means.items():
            self._sums[name] += value
        self._ps += self._fields["ps"].mean(-1, dtype=np.float64)
        self._wind.append(means["ua"].astype(np.float32))
        self._count += 1

    def block(self) -> dict[str, npt.NDArray[Any]]:
        """The means of the block, ``wind``: every sample of [u], ``fastest``: wind [m s-1]."""
        found: dict[str, npt.NDArray[Any]] = {n: s / self._count for n, s in self._sums.items()}
        found["ps"] = self._ps / self._count
        found["wind"] = np.stack(self._wind)
        found["fastest"] = np.array(self._fastest)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Climate:
    """Block means of a run.

    Attributes:
        lat: [degrees_north], [lat].
        pressure: of the levels where the surface pressure is 1000 hPa [Pa], [level].
        weights: share of each latitude in the area [1], [lat].
        thickness: share of each level in the mass there [1], [level].
        first: day each block begins, [block].
        length: of a block [day].
        blocks: by name, [block, ...], see `MEANS`, and ``ps`` [Pa], ``fastest`` [m s-1].
        wind: every sample of [u] [m s-1], [sample, level, lat].
    """

    lat: Float64
    pressure: Float64
    weights: Float64
    thickness: Float64
    first: Float64
    length: float
    blocks: Mapping[str, Float64]
    wind: npt.NDArray[np.float32]
    seconds: float = 0.0
    """That all blocks of the run took on one core, with whatever else was running."""

    @classmethod
    def load(cls, folder: Path) -> Climate:
        """The blocks that `climate_run` left in a folder.

        Raises:
            FileNotFoundError: when there are none.
        """
        paths = sorted(folder.glob("block_*.npz"))
        if not paths:
            raise FileNotFoundError(f"no blocks of a climate run in {folder}")
        parts = []
        for path in paths:
            with np.load(path) as file:
                parts.append(dict(file))
        frame = parts[0]
        return cls(
            lat=frame["lat"], pressure=frame["pressure"], weights=frame["weights"],
            thickness=frame["thickness"], first=np.array([float(p["first"]) for p in parts]),
            length=float(frame["length"]),
            blocks={n: np.stack([p[n] for p in parts]) for n in (*MEANS, "ps", "fastest")},
            wind=np.concatenate([p["wind"] for p in parts]),
            seconds=float(sum(p["seconds"] for p in parts)),
        )  # fmt: skip

    @property
    def last(self) -> float:
        """Day on which the last block ends."""
        return float(self.first[-1] + self.length)

    def between(self, begin: float, end: float) -> Climate:
        """The blocks from day `begin` to day `end`."""
        kept = (self.first >= begin - 1e-6) & (self.first + self.length <= end + 1e-6)
        if not kept.any():
            raise ValueError(f"no blocks between days {begin:g} and {end:g} of {self.last:g}")
        samples = self.wind.shape[0] // self.first.size
        return Climate(
            lat=self.lat, pressure=self.pressure, weights=self.weights,
            thickness=self.thickness, first=self.first[kept], length=self.length,
            blocks={n: b[kept] for n, b in self.blocks.items()},
            wind=self.wind[np.repeat(kept, samples)], seconds=self.seconds,
        )  # fmt: skip

    def mean(self, name: str) -> Float64:
        """Mean over all blocks, [level, lat] or [lat]."""
        return np.asarray(self.blocks[name].mean(0))

    def global_mean(self, name: str) -> float:
        """Mean of a section over area and mass."""
        return float(self.thickness @ self.mean(name) @ self.weights)

    def symmetric(self, name: str) -> Float64:
        """Mean of both hemispheres, [level, lat]; fluxes to the north change sign."""
        section = self.mean(name)
        mirrored = section[..., ::-1]
        sign = -1.0 if name in ("va", "uv", "vt") else 1.0
        return 0.5 * (section + sign * mirrored)
