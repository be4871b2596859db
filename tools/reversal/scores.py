"""Ten distributions and eight spectra of a two-layer flow, and their distances to a truth.

Per layer the distributions of q, u, v, kinetic energy and enstrophy over all points and kept
states (distance of Wasserstein); per layer the spectra of kinetic energy and enstrophy, and of both
the transfer of kinetic and of available potential energy, the production of the latter and the
bottom drag (root mean square difference below two thirds of the Nyquist wavenumber). The closure's
own transfers belong to those of the flow, else budgets do not close. With h_i the shares of the
layers and rings of wavenumbers K as wide as the smallest one:

    KE flux    sum_i h_i Re(psi_i* J(psi_i, zeta_i)) + sum_i h_i K^2 Re(psi_i* p_i)
    APE flux   h_1 F_1 Re((psi_1 - psi_2)* (J(psi_1, psi_2) + p_1 - p_2))
    APE gen.   h_1 F_1 (U_1 - U_2) Re(i k psi_2 psi_1*)
    drag       -h_2 r K^2 |psi_2|^2

p is the streamfunction of what the closure gives. Sources: as for `physics.dynamics.qg_core`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from coupler.compare.statistics.distances import spectral_rmse, wasserstein
from physics.dynamics.qg_core import QGCore

Tensor = torch.Tensor
LAYERS = ("1", "2")
DISTRIBUTIONS = tuple(f"{n}{i}" for n in ("q", "u", "v", "KE", "Ens") for i in LAYERS)
SPECTRA = (
    *(f"{n}{i}" for n in ("KEspec", "Ensspec") for i in LAYERS),
    "KEflux",
    "APEflux",
    "APEgen",
    "friction",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Climate:
    """What a run's scores are made of."""

    samples: dict[str, np.ndarray]
    """Sorted values by distribution; some thousands, evenly in probability."""
    spectra: dict[str, np.ndarray]
    """Means over the run by spectrum, [ring]."""
    wavenumber: np.ndarray
    """Of the rings [rad m-1]."""


def rings(core: QGCore, values: Tensor) -> np.ndarray:
    """Sums over rings of real values [..., n, n/2 + 1] on coefficients, [..., n/2]."""
    n, unit = core.config.nx, 2.0 * np.pi / core.config.length
    index = torch.round(core.wavenumber / unit).long().flatten()
    weighted = (values * core.weights).flatten(-2).double()
    summed = torch.zeros((*values.shape[:-2], int(index.max()) + 1), dtype=torch.float64)
    summed.index_add_(-1, index, weighted)
    return np.asarray(summed[..., : n // 2].numpy())


def climate(core: QGCore, q: np.ndarray, pushed: np.ndarray | None = None) -> Climate:
    """Distributions and mean spectra.

    Args:
        core: of the grid, float64 or float32.
        q: states [time, 2, n, n].
        pushed: by the closure [s-2], the same shape.
    """
    config = core.config
    (h1, h2), f1 = config.shares, config.stretching[0]
    shares = torch.tensor([h1, h2], dtype=core.dtype).view(2, 1, 1)
    fields: dict[str, list[np.ndarray]] = {n: [] for n in DISTRIBUTIONS}
    sums: dict[str, np.ndarray] = {}
    for i, state in enumerate(q):
        with torch.inference_mode():
            qh = core.to_waves(torch.tensor(state, dtype=core.dtype))
            ph = core.streamfunction(qh[:, None])[:, 0]
            u, v, grid = core.flow(ph[:, None], qh[:, None])[:, :, 0]
            found = {"q": grid, "u": u, "v": v}
            found |= {"KE": 0.5 * (u**2 + v**2), "Ens": 0.5 * grid**2}
            for name, field in found.items():
                for layer, values in zip(LAYERS, field, strict=True):
                    fields[name + layer].append(values.numpy().ravel())

            def jacobian(wind: Tensor, other: Tensor) -> Tensor:
                fluxes = core.to_waves(wind * core.to_grid(other))
                return core.ik * fluxes[0] + core.il * fluxes[1]

            zeta, apart = -core.k2 * ph, ph[0] - ph[1]
            kinetic = sum(
                h * (ph[i].conj() * jacobian(torch.stack([u[i], v[i]]), zeta[i])).real
                for i, h in enumerate((h1, h2))
            )
            potential = h1 * f1 * (apart.conj() * jacobian(torch.stack([u[0], v[0]]), ph[1])).real
            if pushed is not None:
                rate = core.to_waves(torch.tensor(pushed[i], dtype=core.dtype))
                p = core.streamfunction(rate[:, None])[:, 0]
                kinetic = kinetic + (shares * core.k2 * (ph.conj() * p).real).sum(dim=0)
                potential = potential + h1 * f1 * (apart.conj() * (p[0] - p[1])).real
            shear = config.u1 - config.u2
            spectra = {
                "KEflux": kinetic,
                "APEflux": potential,
                "APEgen": h1 * f1 * shear * (core.ik * ph[1] * ph[0].conj()).real,
                "friction": -h2 * config.rek * core.k2 * ph[1].abs() ** 2,
            }
            for j, layer in enumerate(LAYERS):
                spectra[f"KEspec{layer}"] = core.k2 * ph[j].abs() ** 2
                spectra[f"Ensspec{layer}"] = qh[j].abs() ** 2
            for name, values in spectra.items():
                ringed = rings(core, values)
                sums[name] = sums[name] + ringed if name in sums else ringed
    return Climate(
        samples={n: quantiles(np.concatenate(v), 20_000) for n, v in fields.items()},
        spectra={n: s / len(q) for n, s in sums.items()},
        wavenumber=2.0 * np.pi / config.length * np.arange(config.nx // 2),
    )


def quantiles(values: np.ndarray, size: int) -> np.ndarray:
    """As many, evenly in probability; one sort is faster than to look for each."""
    place = (np.arange(size) + 0.5) / size * (values.size - 1)
    return np.interp(place, np.arange(values.size), np.sort(values))


def distances(one: Climate, truth: Climate) -> dict[str, float]:
    """Distance of each metric, by name."""
    found = {n: wasserstein(one.samples[n], truth.samples[n]) for n in DISTRIBUTIONS}
    nyquist = len(truth.wavenumber) * truth.wavenumber[1]
    for n in SPECTRA:
        found[n] = spectral_rmse(truth.wavenumber, one.spectra[n], truth.spectra[n], nyquist)
    return found
