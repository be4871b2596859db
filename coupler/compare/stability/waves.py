r"""A scheme coupled to two-dimensional linear gravity waves.

At horizontal wavenumber k over a resting base state, hydrostatic and anelastic between rigid lids,

    w_t = -k^2 L^-1 B - i k L^-1 dz(F_u) - d w        L w = dz[(1/rho) dz(rho w)]
    T_t = -(dz T0 + g/cp) w + F_T                     B = g T/T0
    q_t = -(dz q0) w + F_q                            u = (i/k) (1/rho) dz(rho w)

where F = M (u, T, q) is the linear response of the scheme (`response`), all perturbations in
proportion to exp(ikx + lambda t): growth Re lambda, phase speed |Im lambda|/k. With F = 0, d = 0
and constant N the modes travel at c_n = N / sqrt((n pi/H)^2 + 1/(4 h^2)), h the density scale
height.

This is the system of Brenowitz et al. (2020, doi:10.1175/JAS-D-20-0082.1), who found that schemes
with growing modes faster than 5 m/s blow up in a model and standing ones need not. Two things are
changed: the momentum that a scheme deposits is in it (it is all that a gravity-wave scheme does),
and B has T0 in the place of their static energy, so that g/T0 (dz T0 + g/cp) is the buoyancy
frequency squared.

Waves live on points of w and T, momentum on layers between them. A scheme that changes winds alone
has its winds there: the layers of the host, T on the interfaces between. Any other has T and q on
the points: the host's levels. What is left lies half a layer away and is averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coupler.compare.stability.response import Response
from coupler.interface.constants import SECONDS_PER_DAY

F64 = NDArray[np.float64]
C128 = NDArray[np.complex128]
DAMPING = 1.0 / (5.0 * SECONDS_PER_DAY)
"""d [s-1], of Brenowitz et al. (2020)."""
FAST = 5.0
"""Growing modes above this phase speed [m s-1] are the dangerous ones."""
WAVELENGTHS = np.geomspace(100e3, 40000e3, 100)
"""[m]"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """A resting column, from the ground up."""

    edges: F64
    """Heights [m] of the lids and of the n points between them, shape [n + 2]."""
    density: F64
    """At `edges` [kg m-3]; only its ratios count."""
    layer_density: F64
    """Of the n + 1 layers between [kg m-3]."""
    lift: F64
    """g/T0 at the points [m s-2 K-1]."""
    heating: F64
    """dz T0 + g/cp at the points [K m-1]."""
    moistening: F64
    """dz q0 at the points [m-1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupling:
    """What a scheme does, on the points and layers of a base: M, from the ground up.

    ``ut`` is the response of the wind's rate to temperature, and so on. [SI]
    """

    uu: F64
    ut: F64
    uq: F64
    tu: F64
    tt: F64
    tq: F64
    qu: F64
    qt: F64
    qq: F64


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagram:
    """Growth and phase speed of all modes at every wavelength."""

    wavelengths: F64
    """[m], shape [k]."""
    growth: F64
    """[day-1], shape [k, mode]."""
    speed: F64
    """Absolute phase speed [m s-1], shape [k, mode]."""

    def worst(self, faster: float = FAST) -> tuple[float, float, float]:
        """Growth [day-1], wavelength [m], phase speed [m s-1] of the fastest-growing mode above a
        phase speed."""
        growth = np.where(self.speed > faster, self.growth, -np.inf)
        k, mode = np.unravel_index(int(growth.argmax()), growth.shape)
        return float(growth[k, mode]), float(self.wavelengths[k]), float(self.speed[k, mode])


def uniform(*, buoyancy: float, lid: float, scale_height: float, points: int) -> Base:
    """Constant N^2 [s-2] and density exp(-z/h) below a lid [m], on equal layers."""
    edges = np.linspace(0.0, lid, points + 2)
    middle = 0.5 * (edges[1:] + edges[:-1])
    gravity, temperature = 9.80665, 300.0
    return Base(
        edges=edges,
        density=np.exp(-edges / scale_height),
        layer_density=np.exp(-middle / scale_height),
        lift=np.full(points, gravity / temperature),
        heating=np.full(points, buoyancy * temperature / gravity),
        moistening=np.zeros(points),
    )


def matrix(base: Base, k: float, coupling: Coupling | None, damping: float = DAMPING) -> C128:
    """The operator of (w, T, q), or of (w, T) where nothing looks at moisture.

    Complex, [3n, 3n] or [2n, 2n].
    """
    n = base.lift.size
    thick = np.diff(base.edges)
    centres = 0.5 * (base.edges[1:] + base.edges[:-1])
    # (1/rho) dz(rho w) in the layers, with w = 0 at both lids; and dz of a layer's value at points.
    spread = np.zeros((n + 1, n))
    rho = base.density[1:-1]
    rows = np.arange(n)
    spread[rows, rows] = rho / (base.layer_density[:-1] * thick[:-1])
    spread[rows + 1, rows] = -rho / (base.layer_density[1:] * thick[1:])
    slope = np.zeros((n, n + 1))
    slope[rows, rows + 1] = 1.0 / np.diff(centres)
    slope[rows, rows] = -slope[rows, rows + 1]
    inverse = np.linalg.inv(slope @ spread)
    moist = coupling is not None and any(x.any() for x in (coupling.qq, coupling.tq, coupling.uq))
    a = np.zeros(((3 if moist else 2) * n,) * 2, np.complex128)
    w, t, q = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
    a[w, w] = -damping * np.eye(n)
    a[w, t] = -(k**2) * inverse * base.lift
    a[t, w] = -np.diag(base.heating)
    if moist:
        a[q, w] = -np.diag(base.moistening)
    if coupling is not None:
        push, wind = -1j * k * inverse @ slope, (1j / k) * spread
        a[w, w] += push @ coupling.uu @ wind
        a[w, t] += push @ coupling.ut
        a[t, w] += coupling.tu @ wind
        a[t, t] += coupling.tt
        if moist:
            a[w, q] = push @ coupling.uq
            a[t, q] = coupling.tq
            a[q, w] += coupling.qu @ wind
            a[q, t] = coupling.qt
            a[q, q] = coupling.qq
    return a


def diagram(
    base: Base,
    coupling: Coupling | None,
    wavelengths: F64 = WAVELENGTHS,
    damping: float = DAMPING,
) -> Diagram:
    """All modes at all wavelengths [m]."""
    values = np.stack(
        [np.linalg.eigvals(matrix(base, 2.0 * np.pi / x, coupling, damping)) for x in wavelengths]
    )
    k = 2.0 * np.pi / np.asarray(wavelengths)[:, None]
    return Diagram(
        wavelengths=np.asarray(wavelengths, np.float64),
        growth=values.real * SECONDS_PER_DAY,
        speed=np.abs(values.imag) / k,
    )


def coupled(response: Response, column: int) -> tuple[Base, Coupling]:
    """Base and coupling of one column of a response."""
    c, planet = response.columns, response.columns.planet
    of = {n: x[..., column][::-1] for n, x in c.fields.items() if x.ndim == 2}
    own_winds = set(response.outputs) <= {"ua", "va"} | _heat_of_drag(response)
    # From the ground up: levels [K], interfaces [K + 1].
    z, z_half, t, p_half = of["zg"], of["zghalf"], of["ta"], of["phalf"]
    q = of.get("hus", np.zeros_like(t))
    layer_density = -np.diff(p_half) / (planet.gravity * np.diff(z_half))
    if own_winds:
        to_points, to_layers = _means(t.size - 1, t.size), np.eye(t.size)
        from_points, from_layers = _means(t.size, t.size - 1), np.eye(t.size)
        edges, at = z_half, z_half[1:-1]
        layers = layer_density
    else:
        to_points, to_layers = np.eye(t.size), _means(t.size + 1, t.size)
        from_points, from_layers = np.eye(t.size), _means(t.size, t.size + 1)
        edges, at = np.concatenate([z_half[:1], z, z_half[-1:]]), z
        layers = to_layers @ layer_density
    here = to_points @ t
    density = np.exp(np.interp(edges, z, np.log(layer_density)))
    base = Base(
        edges=edges,
        density=density,
        layer_density=layers,
        lift=planet.gravity / here,
        heating=_slope(t, z, at) + planet.gravity / planet.cp_dry,
        moistening=_slope(q, z, at),
    )
    to = {"ua": to_layers, "ta": to_points, "hus": to_points}
    back = {"ua": from_layers, "ta": from_points, "hus": from_points}
    letters = {"u": "ua", "t": "ta", "q": "hus"}

    def block(pair: str) -> F64:
        a, b = (letters[x] for x in pair)
        return np.asarray(to[a] @ response.block(a, b)[column][::-1, ::-1] @ back[b])

    pairs = ("uu", "ut", "uq", "tu", "tt", "tq", "qu", "qt", "qq")
    return base, Coupling(**{pair: block(pair) for pair in pairs})


def _heat_of_drag(response: Response) -> set[str]:
    """Temperature, where only the heat of the drag changes it."""
    return (
        set() if ("hus" in response.outputs or not {"ua", "va"} & set(response.outputs)) else {"ta"}
    )


def _means(rows: int, columns: int) -> F64:
    """From values to the ones half a step away; the outermost is taken as it is."""
    m = np.zeros((rows, columns))
    for i in range(rows):
        near: Sequence[int] = (i, i + 1) if rows < columns else (i - 1, i)
        inside = [j for j in near if 0 <= j < columns]
        m[i, inside] = 1.0 / len(inside)
    return m


def _slope(x: F64, z: F64, at: F64) -> F64:
    """dx/dz at heights `at`, between the levels that have it at their middles."""
    return np.asarray(np.interp(at, 0.5 * (z[1:] + z[:-1]), np.diff(x) / np.diff(z)))
