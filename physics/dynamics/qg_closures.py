r"""What eddies below the grid do to two-layer turbulence: schemes of the process ``subgrid``.

    smagorinsky            dq = 2 [(d_xx - d_yy)(nu S_xy) - 2 d_xy (nu S_xx)],   nu = (C dx)^2 |D|
                           S_xx = -psi_xy, S_xy = (psi_xx - psi_yy)/2, |D|^2 = 4 (S_xx^2 + S_xy^2)
    backscatter_biharmonic dq = -lap(nu dx^2 lap lap psi) + A lap lap psi
    symbolic               dq = sum_n a_n T_n, seven terms of each layer, see `symbolic_terms`

The first is the curl of a stress along the rate of strain: it takes ``nu |D|^2`` of energy at every
point. In the second A is one number per member, such that C_B times the energy that the first term
takes from both layers returns: with C_B = 1 energy is conserved to round-off. Constants are those
of Ross et al. (2023).

Sources: Smagorinsky (1963), doi:10.1175/1520-0493(1963)091<0099:GCEWTP>2.3.CO;2; Jansen and Held
(2014), doi:10.1016/j.ocemod.2014.06.002; Ross et al. (2023), doi:10.1029/2022MS003258.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
import yaml
from pydantic import Field as Limit

from coupler.interface.component import (
    Arrays,
    Host,
    Now,
    Params,
    Tendency,
    reads,
    tendencies_of,
)
from coupler.interface.errors import DataError
from coupler.interface.files import write_whole
from coupler.interface.registry import scheme
from physics.dynamics.plane_waves import PlaneWaves

Tensor = torch.Tensor
TERMS = (
    "lap (u.grad) q",
    "lap^2 (u.grad) q",
    "lap^3 (u.grad) q",
    "lap^2 q",
    "lap^3 q",
    "(u.grad)^2 d_x lap v",
    "(u.grad)^2 d_y lap u",
)
UNITS = ("1", "1", "1", "s-1", "s-1", "s", "s")
"""Of the coefficients."""


def strain(plane: PlaneWaves, ph: Tensor) -> Tensor:
    """S_xx and S_xy [s-1] on the grid, [2, level, member, y, x], of coefficients of psi."""
    shear = 0.5 * (plane.ik * plane.ik - plane.il * plane.il)
    return plane.grid(torch.stack([-plane.ik * plane.il * ph, shear * ph]))


def smagorinsky(plane: PlaneWaves, psi: Tensor, constant: float) -> Tensor:
    """Tendency of q [s-2] of a psi [m2 s-1], both [level, member, y, x]."""
    s = strain(plane, plane.waves(psi))
    rate = 2.0 * torch.sqrt(s[0].square() + s[1].square())
    stress = plane.waves((constant * plane.spacing) ** 2 * rate * s)
    ik, il = plane.ik, plane.il
    return plane.grid(2.0 * ((ik * ik - il * il) * stress[1] - 2.0 * ik * il * stress[0]))


def backscatter(
    plane: PlaneWaves, psi: Tensor, thickness: Tensor, constant: float, returned: float
) -> Tensor:
    """Tendency of q [s-2], biharmonic with backscatter.

    Args:
        plane: operators.
        psi: streamfunction [m2 s-1], [level, member, y, x].
        thickness: of the layers [m], [level].
        constant: C of the viscosity.
        returned: C_B, share of the energy taken that returns.
    """
    ph = plane.waves(psi)
    s = strain(plane, ph)
    rate = 2.0 * torch.sqrt(s[0].square() + s[1].square())
    bilaplacian = plane.grid(plane.k2.square() * ph)
    viscous = (constant * plane.spacing**2) ** 2 * rate * bilaplacian
    sink = plane.grid(plane.k2 * plane.waves(viscous))
    share = (thickness / thickness.sum()).view(-1, 1, 1, 1)
    taken = (share * psi * sink).sum(dim=0, keepdim=True).mean(dim=(-2, -1), keepdim=True)
    given = (share * psi * bilaplacian).sum(dim=0, keepdim=True).mean(dim=(-2, -1), keepdim=True)
    # A state of rest has no energy to take or to give.
    factor = torch.where(given > 0.0, taken / given.clamp_min(torch.finfo(psi.dtype).tiny), 0.0)
    return sink - returned * factor * bilaplacian


def symbolic_terms(plane: PlaneWaves, q: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The seven terms of `TERMS`, each lap times dx^2, [7, level, member, y, x].

    Args:
        plane: operators.
        q: potential vorticity [s-1], [level, member, y, x].
        u, v: wind with its mean [m s-1].
    """
    ik, il = plane.ik, plane.il
    lap = -plane.k2 * plane.spacing**2  # of order one where it counts: its cube is a number

    def along(waves: Tensor) -> Tensor:
        return u * plane.grid(ik * waves) + v * plane.grid(il * waves)

    qh = plane.waves(q)
    carried = plane.waves(along(qh))
    terms = [lap * carried, lap**2 * carried, lap**3 * carried, lap**2 * qh, lap**3 * qh]
    found = [plane.grid(t) for t in terms]
    for wind, slope in ((v, ik), (u, il)):
        inner = along(lap * slope * plane.waves(wind))
        found.append(along(plane.waves(inner)))
    return torch.stack(found)


def symbolic(plane: PlaneWaves, q: Tensor, u: Tensor, v: Tensor, coefficients: Tensor) -> Tensor:
    """The sum of the seven terms without its mean over the plane [s-2], [level, member, y, x].

    What `symbolic_terms` gives, times `coefficients` [level, 7], with half as many transforms:
    powers of the Laplacian are added up as coefficients, and both terms with (u.grad)^2 at once.
    """
    ik, il, dx = plane.ik, plane.il, plane.spacing
    lap = -plane.k2 * dx**2  # of order one where it counts: its cube is a number of float32
    a = coefficients.to(q.dtype)[:, :, None, None, None]
    both = torch.stack([u, v])

    def along(waves: Tensor) -> Tensor:
        slopes = plane.grid(torch.stack([ik * waves, il * waves]))
        return (both * slopes).sum(dim=0)

    qh = plane.waves(q)
    carried = plane.waves(along(qh))
    found = lap * (a[:, 0] + lap * (a[:, 1] + lap * a[:, 2])) * carried
    found += lap * lap * (a[:, 3] + lap * a[:, 4]) * qh
    winds = plane.waves(both)
    bent = lap * (a[:, 5] * ik * winds[1] + a[:, 6] * il * winds[0])
    twice = along(plane.waves(along(bent)))
    result = plane.grid(found) + twice
    return result - result.mean(dim=(-2, -1), keepdim=True)


def fit_symbolic(terms: Tensor, target: Tensor) -> Tensor:
    """Least-squares coefficients of each layer, [level, 7].

    Args:
        terms: what `symbolic_terms` gave, [7, level, ..., y, x].
        target: tendency of q that is missing [s-2], [level, ..., y, x].

    Raises:
        DataError: when a term vanishes, or two cannot be told apart.
    """
    x = terms.transpose(0, 1).flatten(start_dim=2).double()
    y = target.flatten(start_dim=1).double()
    size = x.square().mean(dim=2, keepdim=True).sqrt()
    scaled = x / size  # terms differ by many orders of magnitude
    normal = scaled @ scaled.transpose(1, 2)
    right = scaled @ y[:, :, None]
    found, failed = torch.linalg.solve_ex(normal, right)
    if bool(failed.any()) or not bool(torch.isfinite(found).all()):
        raise DataError.of(
            "states that do not tell the terms of a closure apart",
            f"{x.shape[2]} values of each term",
            found="root mean squares of " + ", ".join(f"{a:.1e}" for a in size.flatten().tolist()),
            remedy="take states of a flow that has spun up, and more of them",
        )
    coefficients: Tensor = (found / size)[:, :, 0]
    return coefficients


def write_coefficients(path: Path, coefficients: Tensor, about: str) -> None:
    """Writes coefficients [level, 7] to a YAML file that ``symbolic`` reads.

    Args:
        path: the file.
        coefficients: of `TERMS`, with the units of `UNITS`.
        about: data and resolution that they are fitted to.
    """
    rows = [[float(f"{a:.9g}") for a in layer] for layer in coefficients.tolist()]
    content = {"about": about, "terms": list(TERMS), "units": list(UNITS), "coefficients": rows}
    write_whole(path, yaml.safe_dump(content, sort_keys=False))


def read_coefficients(path: Path) -> Tensor:
    """Coefficients [level, 7] of a file.

    Raises:
        DataError: when it is missing or holds something else.
    """
    if not path.is_file():
        raise DataError.of(
            "no such file of coefficients",
            str(path),
            remedy="fit them with physics.dynamics.qg_closures.fit_symbolic, or leave `file` out",
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = torch.tensor(content["coefficients"], dtype=torch.float64)
        same = tuple(content["terms"]) == TERMS
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError.of(
            "not a file of coefficients", str(path), found=f"{type(error).__name__}: {error}"
        ) from error
    if not same or found.shape != (2, len(TERMS)) or not bool(torch.isfinite(found).all()):
        raise DataError.of(
            "coefficients do not fit the terms",
            str(path),
            expected=f"2 layers of {len(TERMS)} finite numbers for {', '.join(TERMS)}",
            found=f"{tuple(found.shape)} numbers for {', '.join(map(str, content['terms']))}",
        )
    return found


class _Closure(Tendency):
    """What the schemes share: they change q, on a plane."""

    tendencies = tendencies_of("qgpv")
    fills: ClassVar[bool] = True

    def setup(self, host: Host) -> None:
        """Makes the operators.

        Raises:
            ContractError: on a grid that is no plane.
        """
        self.plane = PlaneWaves.of(host, f"{self.process}={self.scheme}")


class SmagorinskyParameters(Params):
    """Constants of the viscosity."""

    constant: Annotated[float, Limit(ge=0)] = 0.15
    """C of ``nu = (C dx)^2 |D|``."""


@scheme("subgrid", "smagorinsky")
class Smagorinsky(_Closure):
    """Viscosity by the rate of strain."""

    Parameters = SmagorinskyParameters
    inputs = reads("psi")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """The tendency of q."""
        with torch.inference_mode():
            plane = self.plane
            found = smagorinsky(plane, plane.view(x.psi), self.p.constant)
            plane.view(tend.qgpv).copy_(found)


class BackscatterParameters(Params):
    """Constants of the viscosity and of what comes back."""

    constant: Annotated[float, Limit(ge=0)] = 0.007**0.5
    """C of the viscosity."""
    returned: Annotated[float, Limit(ge=0)] = 1.2
    """C_B, energy that returns over energy taken."""


@scheme("subgrid", "backscatter_biharmonic")
class BackscatterBiharmonic(_Closure):
    """Biharmonic viscosity by the rate of strain, and a return of its energy to longer waves."""

    Parameters = BackscatterParameters
    inputs = reads("psi thkcello")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """The tendency of q."""
        with torch.inference_mode():
            plane, p = self.plane, self.p
            thickness = torch.from_numpy(np.ascontiguousarray(x.thkcello[:, 0]))
            psi = plane.view(x.psi)
            found = backscatter(plane, psi, thickness, p.constant, p.returned)
            plane.view(tend.qgpv).copy_(found)


FITTED = Path(__file__).with_name("qg_symbolic.yaml")
"""Coefficients that come with Isthmus; the file says what they are fitted to."""


class SymbolicParameters(Params):
    """Where the coefficients are."""

    file: str = ""
    """A YAML file made by a fit; empty: the one that comes with Isthmus."""


@scheme("subgrid", "symbolic")
class Symbolic(_Closure):
    """Seven terms found by symbolic regression, with coefficients by least squares."""

    Parameters = SymbolicParameters
    inputs = reads("qgpv ua va")

    def setup(self, host: Host) -> None:
        """Reads the coefficients.

        Raises:
            DataError: when they cannot be read or do not fit.
        """
        super().setup(host)
        numbers = read_coefficients(Path(self.p.file) if self.p.file else FITTED)
        self.coefficients = numbers.to(self.plane.dtype)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """The tendency of q, without a mean over the plane."""
        with torch.inference_mode():
            plane = self.plane
            q, u, v = (plane.view(f) for f in (x.qgpv, x.ua, x.va))
            plane.view(tend.qgpv).copy_(symbolic(plane, q, u, v, self.coefficients))
