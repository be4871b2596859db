"""Novelty: how far inputs are from those that a network was trained on.

Three measures, of a sample x against training samples s:

    outside        whether a value is beyond the smallest or the largest of its kind
    mahalanobis    sqrt((x - m)' C^-1 (x - m)), m and C the mean and covariance of s
    nearest        distance to the k-th nearest s, in deviations of each value

Each of the last two in units of what one training sample in a thousand exceeds, so that beyond 1 is
new (Mahalanobis 1936; nearest neighbours as by Loftsgaarden and Quesenberry 1965,
doi:10.1214/aoms/1177700079). A share of new samples online means little by itself; `compare` sets
it against the share on held-out samples of the truth, with an interval over members, which are
independent where samples of one run are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from coupler.compare.statistics.student import mean_interval
from coupler.interface.errors import DataError

F64 = NDArray[np.float64]
BEYOND = 0.999
"""Quantile of the training samples that is the unit."""
_MOST = 20_000
"""Training samples that neighbours are looked for in."""


class Seen:
    """The training samples of a network."""

    def __init__(self, training: ArrayLike, neighbours: int = 5, seed: int = 0) -> None:
        """Measures them.

        Args:
            training: shape [sample, value].
            neighbours: k.
            seed: of the choice of samples where there are very many.

        Raises:
            DataError: for fewer samples than neighbours or values.
        """
        s = np.asarray(training, np.float64)
        if s.ndim != 2 or s.shape[0] <= max(neighbours, s.shape[1]):
            raise DataError.of(
                "too few training samples to measure a distance from",
                "novelty",
                expected=f"more than {max(neighbours, s.shape[-1])} samples [sample, value]",
                found=f"shape {s.shape}",
            )
        self.low, self.high = s.min(axis=0), s.max(axis=0)
        self._mean = s.mean(axis=0)
        spread = s.std(axis=0)
        self._per_spread = 1.0 / np.where(spread > 0.0, spread, 1.0)
        values, vectors = np.linalg.eigh(np.cov(self._scaled(s), rowvar=False).reshape(
            s.shape[1], s.shape[1]))  # fmt: skip
        # A combination that never varied may vary by a thousandth of a deviation before it counts.
        self._whiten = vectors / np.sqrt(np.maximum(values, 1e-6))
        if s.shape[0] > _MOST:
            s = s[np.random.default_rng(seed).choice(s.shape[0], _MOST, replace=False)]
        self._tree, self._k = cKDTree(self._scaled(s)), neighbours
        own = self._tree.query(self._scaled(s), k=neighbours + 1)[0][:, -1]  # itself is the nearest
        self.far = float(np.quantile(self._length(s), BEYOND))
        self.lonely = max(float(np.quantile(own, BEYOND)), 1e-12)

    def _scaled(self, x: F64) -> F64:
        return np.asarray((x - self._mean) * self._per_spread)

    def _length(self, x: F64) -> F64:
        return np.asarray(np.linalg.norm(self._scaled(x) @ self._whiten, axis=-1))

    def outside(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Whether any value of a sample is beyond the training range, shape [sample]."""
        z = np.asarray(x, np.float64)
        return np.asarray(~((z >= self.low) & (z <= self.high)).all(axis=-1))

    def mahalanobis(self, x: ArrayLike) -> F64:
        """In units of what one training sample in a thousand exceeds, shape [sample].

        Infinite for what is not finite: nothing is as new.
        """
        z = np.asarray(x, np.float64)
        length = self._length(np.where(np.isfinite(z), z, self._mean))
        return np.asarray(np.where(np.isfinite(z).all(axis=-1), length / self.far, np.inf))

    def nearest(self, x: ArrayLike) -> F64:
        """The same of the distance to the k-th nearest; infinite for what is not finite."""
        z = self._scaled(np.asarray(x, np.float64))
        finite = np.isfinite(z).all(axis=-1)
        found = np.full(z.shape[0], np.inf)
        if finite.any():
            found[finite] = np.atleast_2d(self._tree.query(z[finite], k=[self._k])[0].T)[0]
        return found / self.lonely


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Share of new samples online less that offline."""

    offline: float
    online: float
    low: float
    high: float
    """The interval of their difference, over members; infinitely wide with one."""

    @property
    def difference(self) -> float:
        return self.online - self.offline


def compare(offline: ArrayLike, online: ArrayLike, level: float = 0.95) -> Shift:
    """Sets the two shares against each other.

    Args:
        offline: whether held-out samples of the truth are new, any shape.
        online: whether those of coupled runs are, shape [member, ...].
        level: of the interval.
    """
    known = float(np.asarray(offline, np.float64).mean())
    members = np.asarray(online, np.float64)
    shares = members.reshape(members.shape[0], -1).mean(axis=1)
    found, low, high = mean_interval(shares, level)
    return Shift(offline=known, online=found, low=low - known, high=high - known)
