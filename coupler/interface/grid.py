"""Horizontal grids and hybrid sigma-pressure levels.

Horizontal grids are rectilinear: latitudes south to north, longitudes from their first cell
eastward. A Gaussian grid's cell edges in latitude are placed so that each cell's area is its
quadrature weight; conservative remapping and spectral quadrature then agree to round-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from coupler.interface.errors import ConfigError

F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A rectilinear grid on the sphere, or on a periodic plane (see `plane`)."""

    kind: str
    """``gaussian``, ``regular``, ``column`` or ``plane``."""
    lat: F64
    """Cell-centre latitudes [degrees_north], shape [nlat], ascending."""
    lon: F64
    """Cell-centre longitudes [degrees_east], shape [nlon], ascending, first one >= 0."""
    lat_bounds: F64
    """Cell-edge latitudes [degrees_north], shape [nlat + 1]."""
    lon_bounds: F64
    """Cell-edge longitudes [degrees_east], shape [nlon + 1]; the span is 360."""
    weights: F64
    """Area fraction of each row of cells [1], shape [nlat]; sums to 1."""
    members: int = 1
    """Independent planes, one after another along the rows."""
    units: str = "degrees"
    """Of the coordinates; ``m`` or ``1`` on a plane."""

    @classmethod
    def gaussian(cls, nlat: int, nlon: int) -> Grid:
        """The Gaussian grid with `nlat` latitudes, and longitudes from 0.

        Raises:
            ConfigError: for an odd or non-positive number of latitudes or longitudes.
        """
        if nlat < 2 or nlat % 2 or nlon < 4 or nlon % 2:
            raise ConfigError.of(
                "impossible grid",
                f"gaussian {nlat}x{nlon}",
                expected="an even number of latitudes >= 2 and of longitudes >= 4",
                remedy="leave the grid out: it follows from the truncation",
            )
        x, w = np.polynomial.legendre.leggauss(nlat)
        edges = np.concatenate([[-1.0], -1.0 + np.cumsum(w)])
        edges = 0.5 * (edges - edges[::-1])  # exact symmetry about the equator, ends at +-1
        dlon = 360.0 / nlon
        return cls(
            kind="gaussian",
            lat=np.degrees(np.arcsin(x)),
            lon=dlon * np.arange(nlon, dtype=np.float64),
            lat_bounds=np.degrees(np.arcsin(np.clip(edges, -1.0, 1.0))),
            lon_bounds=dlon * (np.arange(nlon + 1, dtype=np.float64) - 0.5),
            weights=0.5 * np.diff(edges),
        )

    @classmethod
    def regular(cls, nlat: int, nlon: int) -> Grid:
        """Equal-angle cells that touch both poles; longitudes of cell centres from half a cell.

        Raises:
            ConfigError: for fewer than 2 latitudes or 4 longitudes.
        """
        if nlat < 2 or nlon < 4:
            raise ConfigError.of(
                "impossible grid",
                f"regular {nlat}x{nlon}",
                expected="at least 2 latitudes and 4 longitudes",
            )
        lat_bounds = np.linspace(-90.0, 90.0, nlat + 1)
        lon_bounds = np.linspace(0.0, 360.0, nlon + 1)
        return cls(
            kind="regular",
            lat=0.5 * (lat_bounds[1:] + lat_bounds[:-1]),
            lon=0.5 * (lon_bounds[1:] + lon_bounds[:-1]),
            lat_bounds=lat_bounds,
            lon_bounds=lon_bounds,
            weights=0.5 * np.diff(np.sin(np.radians(lat_bounds))),
        )

    @classmethod
    def column(cls, lat: float = 0.0, *, count: int = 1) -> Grid:
        """One column, or `count` equal ones on a circle of latitude, that stand for the globe.

        Their cells share the whole sphere between them: remapping to them gives global means, so
        that a surface model on any grid can be coupled to a single column.

        Raises:
            ConfigError: for a latitude beyond the poles or no column at all.
        """
        if not -90.0 <= lat <= 90.0 or count < 1:
            raise ConfigError.of(
                "impossible grid",
                f"{count} columns at {lat:g} degrees_north",
                expected="at least one column between -90 and 90 degrees_north",
            )
        width = 360.0 / count
        return cls(
            kind="column",
            lat=np.array([float(lat)]),
            lon=width * np.arange(count, dtype=np.float64),
            lat_bounds=np.array([-90.0, 90.0]),
            lon_bounds=width * (np.arange(count + 1, dtype=np.float64) - 0.5),
            weights=np.ones(1),
        )

    @classmethod
    def plane(cls, ny: int, nx: int, spacing: float, *, members: int = 1, units: str = "m") -> Grid:
        """A plane that is periodic in both directions; a ring where `ny` is 1.

        Rows are ``lat`` and hold y, columns are ``lon`` and hold x. Members lie side by side along
        y, each with the same coordinates.

        Args:
            ny: rows of a member.
            nx: points of a row.
            spacing: distance of points in both directions [units].
            members: independent planes.
            units: of the coordinates.

        Raises:
            ConfigError: without points or members.
        """
        if ny < 1 or nx < 2 or members < 1 or not spacing > 0.0:
            raise ConfigError.of(
                "impossible grid",
                f"{members} planes of {ny}x{nx} points {spacing:g} {units} apart",
                expected="at least one member, one row and two points, some distance apart",
            )
        y, x = (np.asarray(spacing * (np.arange(n) + 0.5), np.float64) for n in (ny, nx))
        return cls(
            kind="plane",
            lat=np.tile(y, members),
            lon=x,
            lat_bounds=spacing * np.arange(ny * members + 1, dtype=np.float64),
            lon_bounds=spacing * np.arange(nx + 1, dtype=np.float64),
            weights=np.full(ny * members, 1.0 / (ny * members)),
            members=members,
            units=units,
        )

    @property
    def is_plane(self) -> bool:
        """Whether it lies on no sphere."""
        return self.kind == "plane"

    @property
    def spacing(self) -> float:
        """Distance of neighbouring points of a row [units]."""
        return float(self.lon[1] - self.lon[0])

    def point(self, column: int) -> str:
        """Where a column is, in words: ``lat 12.5, lon 30.0`` or ``member 0, y 5e+05, x 1e+05``."""
        j, i = divmod(column, self.lon.size)
        if self.is_plane:
            member = j // (self.lat.size // self.members)
            return f"member {member}, y {self.lat[j]:g}, x {self.lon[i]:g}"
        return f"lat {self.lat[j]:.1f}, lon {self.lon[i]:.1f}"

    def part(self, rows: NDArray[np.intp]) -> Grid:
        """Some rows of cells, ascending; their areas stay fractions of the whole sphere."""
        if rows.size == self.lat.size:
            return self
        return Grid(
            kind=f"part of {self.kind}",
            lat=self.lat[rows],
            lon=self.lon,
            lat_bounds=np.append(self.lat_bounds[rows], self.lat_bounds[rows[-1] + 1]),
            lon_bounds=self.lon_bounds,
            weights=self.weights[rows],
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(nlat, nlon)."""
        return self.lat.size, self.lon.size

    @property
    def ncol(self) -> int:
        """Number of columns."""
        return self.lat.size * self.lon.size

    @cached_property
    def cell_weights(self) -> F64:
        """Area fraction of each cell [1], shape [nlat, nlon]; sums to 1."""
        return np.repeat(self.weights[:, None] / self.lon.size, self.lon.size, axis=1)

    def mean(self, field: NDArray[np.floating]) -> float:
        """Area mean of a field [..., nlat, nlon] over its last two axes, summed in float64."""
        rows = np.asarray(field, dtype=np.float64).mean(axis=-1)
        return float((rows @ self.weights).mean())

    def __str__(self) -> str:
        return f"{self.kind} {self.lat.size}x{self.lon.size}"


@dataclass(frozen=True, kw_only=True, eq=False)
class HybridLevels:
    """Hybrid sigma-pressure levels: interface pressure is ``a + b ps``; level 0 is the top.

    They end at the ground, or they are pure pressure levels that end above it (`pressure`).

    Source: Simmons and Burridge (1981), doi:10.1175/1520-0493(1981)109<0758:AEAAMC>2.0.CO;2.
    """

    a: F64
    """Pressure part of the interfaces [Pa], shape [K + 1]."""
    b: F64
    """Surface-pressure part of the interfaces [1], shape [K + 1]; 0 at the top, 1 at the ground;
    0 everywhere when the levels do not reach the ground."""
    name: str = "custom"

    def __post_init__(self) -> None:
        a, b = self.a, self.b
        thin = np.flatnonzero(np.diff(a) + 5.0e4 * np.diff(b) <= 0.0)
        grounded = a.size > 1 and a[-1] == 0.0 and b.size > 0 and b[-1] == 1.0
        if a.shape != b.shape or a.size < 2 or not (grounded or not b.any()):
            raise ConfigError.of(
                "impossible levels",
                self.name,
                expected="equally long lists a and b, top first, ending with a = 0 and b = 1 at "
                "the ground, or b = 0 everywhere above it",
                found=f"{a.size} values of a, {b.size} of b, ending {a[-1]:g} and {b[-1]:g}",
            )
        if thin.size:
            raise ConfigError.of(
                "levels not increasing downward",
                self.name,
                expected="interface pressure that increases downward, also at ps = 500 hPa",
                found=f"layer {thin[0]} has no thickness",
                remedy="check the order (top first) and the values of a and b",
            )

    @classmethod
    def pressure(cls, interfaces: F64, name: str = "pressure") -> HybridLevels:
        """Pressure levels that end above the ground, for a model of a part of the atmosphere.

        Args:
            interfaces: pressure of the interfaces [Pa], shape [K + 1], top first.
            name: of the levels.
        """
        a = np.asarray(interfaces, np.float64)
        return cls(a=a, b=np.zeros_like(a), name=name)

    @classmethod
    def layer(cls) -> HybridLevels:
        """One layer of fluid in which no pressure is meant, as in shallow-water models."""
        return cls(a=np.zeros(2), b=np.array([0.0, 1.0]), name="layer")

    @classmethod
    def layers(cls, nlev: int) -> HybridLevels:
        """`nlev` layers of fluid, the upper one first, in which no pressure is meant."""
        return cls(a=np.zeros(nlev + 1), b=np.linspace(0.0, 1.0, nlev + 1), name=f"layers{nlev}")

    @property
    def has_pressure(self) -> bool:
        """Whether they are places in the atmosphere, not just layers: see `layer`, `layers`."""
        return not self.name.startswith("layer")

    @property
    def is_layer(self) -> bool:
        """Whether these are no levels at all, see `layer`."""
        return self.name == "layer"

    @property
    def nlev(self) -> int:
        """Number of layers K."""
        return self.a.size - 1

    @classmethod
    def sigma(cls, nlev: int) -> HybridLevels:
        """`nlev` equally thick sigma layers, top at zero pressure."""
        b = np.linspace(0.0, 1.0, nlev + 1)
        return cls(a=np.zeros(nlev + 1), b=b, name=f"sigma{nlev}")

    @classmethod
    def stretched(
        cls,
        nlev: int,
        *,
        scale_heights: float = 7.0,
        linear: float = 0.05,
        exponent: float = 2.0,
        pure_pressure: float = 1.0e4,
        power: float = 1.2,
    ) -> HybridLevels:
        """Levels that thin towards the ground and are pure pressure above `pure_pressure` [Pa].

        Reference interfaces are ``p0 exp(-S [r Z + (1 - r) Z^e])`` with Z uniform from 0 at the
        ground to 1 (the form used with the FMS models), except the top one, which is 0; then
        ``b = ((p - pc)/(p0 - pc))^power`` below pc and 0 above, ``a = p - b p0``.
        """
        p0 = 1.0e5
        z = np.linspace(1.0, 0.0, nlev + 1)
        p = p0 * np.exp(-scale_heights * (linear * z + (1.0 - linear) * z**exponent))
        p[0] = 0.0
        b = np.clip((p - pure_pressure) / (p0 - pure_pressure), 0.0, 1.0) ** power
        a = p - b * p0
        a[-1], b[-1] = 0.0, 1.0
        return cls(a=a, b=b, name=f"hybrid{nlev}")

    @classmethod
    def frierson(cls, nlev: int) -> HybridLevels:
        """`nlev` sigma layers of Frierson, Held and Zurita-Gotor (2006), doi:10.1175/JAS3753.1.

        Interfaces are ``exp(-5 [0.05 Z + 0.95 Z^3])``, except the top one, which is 0.
        """
        z = np.linspace(1.0, 0.0, nlev + 1)
        b = np.exp(-5.0 * (0.05 * z + 0.95 * z**3))
        b[0] = 0.0
        return cls(a=np.zeros_like(b), b=b, name=f"frierson{nlev}")

    @classmethod
    def stratospheric(cls, nlev: int) -> HybridLevels:
        """`nlev` levels for the whole stratosphere.

        Source: Jucker and Gerber (2017), doi:10.1175/JCLI-D-17-0127.1 (S = 7.9, r = 0.1, e = 1.4).
        """
        found = cls.stretched(nlev, scale_heights=7.9, linear=0.1, exponent=1.4)
        return cls(a=found.a, b=found.b, name=f"stratosphere{nlev}")

    @classmethod
    def named(cls, name: str) -> HybridLevels:
        """``sigmaK``: K equal sigma layers; ``hybridK``: K stretched hybrid layers up to about
        1 hPa; ``stratosphereK``: the same up to about 0.2 hPa, spread as in the MiMA model (with 40
        levels the highest interface below the top is at 0.48 hPa); ``friersonK``: see `frierson`.

        Raises:
            ConfigError: for another name or an impossible number of levels.
        """
        for prefix, build in (
            ("sigma", cls.sigma),
            ("hybrid", cls.stretched),
            ("stratosphere", cls.stratospheric),
            ("frierson", cls.frierson),
        ):
            number = name.removeprefix(prefix)
            if name.startswith(prefix) and number.isdigit() and 2 <= int(number) <= 200:
                return build(int(number))
        raise ConfigError.of(
            "unknown set of levels",
            name,
            expected="'sigmaK', 'hybridK', 'stratosphereK' or 'friersonK' with K from 2 to 200, "
            "for example 'hybrid30'",
        )

    def half_pressure(self, ps: NDArray[np.floating]) -> F64:
        """Interface pressure [Pa], shape [K + 1, ...], for surface pressure `ps` [Pa]."""
        shape = (-1,) + (1,) * np.ndim(ps)
        return self.a.reshape(shape) + self.b.reshape(shape) * np.asarray(ps, np.float64)[None]
