"""How far a column is from those of the training data, as a whole: the Mahalanobis distance.

Every value of a column can be within its range while the column is like none that was seen: a wind
profile with the shear turned round, a cold column under a warm one. With z the normalized values of
all channels on levels, mu their mean and Q the leading eigenvectors of their covariance,

    d2 = sum_i (Q_i . (z - mu))^2 / lambda_i + (|z - mu|^2 - |Q (z - mu)|^2) / sigma^2

where sigma^2 is the mean of the eigenvalues left out: the probabilistic form of principal
components (Mahalanobis 1936; Tipping and Bishop 1999, doi:10.1111/1467-9868.00196). d is given in
units of that distance which one training column in a thousand exceeds, so 1 is unusual and 3 is
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from emulators.schema import BundleSpec, Channel

KEPT = 0.995
"""Share of the variance that the leading eigenvectors carry."""
MOST_COLUMNS = 100_000
QUANTILE = 0.999
NAMES = ("mean", "axes", "deviation", "rest", "unit")


def level_channels(spec: BundleSpec) -> list[Channel]:
    """Inputs that make up a column: on levels or interfaces, and not pressures.

    Pressure follows from the surface pressure alone: its many equal numbers would rule the rest.
    """
    return [c for c in spec.inputs if c.dims != "column" and c.transform == "none"]


class Domain:
    """The training columns as a cloud, and the distance from it."""

    def __init__(self, spec: BundleSpec, tensors: Mapping[str, Tensor], ncol: int) -> None:
        """Takes the cloud that `fit_domain` measured.

        Args:
            spec: of the bundle.
            tensors: what `fit_domain` returned.
            ncol: columns of the host; the work space is kept.
        """
        self._channels = level_channels(spec)
        mean, axes, deviation, rest, unit = (tensors[n].float() for n in NAMES)
        self._mean = mean[:, None]
        self._axes = axes / deviation[:, None]
        self._plain = axes
        self._rest, self._unit = float(rest), float(unit)
        self._scale = {c.name: _columns(c) for c in self._channels}
        self._z = torch.zeros(mean.shape[0], ncol)

    def distance(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Of each column, float32, shape [column]; NaN where an input is."""
        z, at = self._z, 0
        for c in self._channels:
            x = inputs[c.name]
            mean, scale = self._scale[c.name]
            part = z[at : at + x.shape[0]]
            torch.sub(x.float(), mean, out=part).div_(scale)
            at += x.shape[0]
        z.sub_(self._mean)
        along = torch.linalg.vector_norm(self._axes @ z, dim=0).square_()
        left = z.square().sum(dim=0) - (self._plain @ z).square_().sum(dim=0)
        left.clamp_min_(0.0)  # round-off; NaN stays NaN
        d: Tensor = along.add_(left, alpha=self._rest).sqrt_().mul_(1.0 / self._unit)
        return d


def _columns(c: Channel) -> tuple[Tensor, Tensor]:
    return torch.tensor(c.mean)[:, None], torch.tensor(c.scale)[:, None]


def fit_domain(
    spec: BundleSpec, columns: Mapping[str, Tensor], kept: float = KEPT
) -> dict[str, Tensor]:
    """Mean, axes, deviations along them, 1/sigma^2 of the rest and the unit of distance.

    Args:
        spec: of the bundle: which channels, and how they are normalized.
        columns: training columns in channel units, shape [level, n].
        kept: share of the variance that the axes carry; 1 for all.
    """
    parts = []
    for c in level_channels(spec):
        mean, scale = _columns(c)
        x = columns[c.name]
        parts.append(((x - mean) / scale)[:, :: -(-x.shape[1] // MOST_COLUMNS)])
    z = torch.cat(parts).double()
    mean = z.mean(dim=1)
    values, vectors = torch.linalg.eigh(torch.cov(z, correction=0))
    values, vectors = values.flip(0).clamp_min(0.0), vectors.flip(1)
    share = values.cumsum(0) / values.sum()
    number = min(int((share < kept).sum()) + 1, int((values > 1e-9 * values[0]).sum()))
    left = values[number:]
    # Values that never varied may vary by a hundredth of a deviation before they count.
    sigma2 = max(float(left.mean()) if left.numel() else 0.0, 1e-4)
    found = {
        "mean": mean.float(),
        "axes": vectors[:, :number].T.float().contiguous(),
        "deviation": values[:number].sqrt().float(),
        "rest": torch.tensor(1.0 / sigma2),
        "unit": torch.tensor(1.0),
    }
    seen = {c.name: columns[c.name][:, :: -(-columns[c.name].shape[1] // MOST_COLUMNS)]
            for c in level_channels(spec)}  # fmt: skip
    d = Domain(spec, found, z.shape[1]).distance(seen)
    return found | {"unit": torch.quantile(d, QUANTILE).clamp_min(1e-6)}
