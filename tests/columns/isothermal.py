"""The column that the tables of the gravity-wave tests belong to, and one call of a scheme on it.

Isothermal, 240 K, 80 layers of 1 km; winds A (winter jet), E (summer jet), B (an oscillation as in
the equatorial stratosphere).
"""

import cftime
import numpy as np

from coupler.driver.flux import flux_tendency
from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels

PLANET = Planet(gravity=9.80, gas_constant_dry=287.04, cp_dry=1004.64)
DAY = 86400.0
SCALE_HEIGHT = 287.04 * 240.0 / 9.80
Z_HALF = 1e3 * np.arange(80, -1, -1)
Z = 0.5 * (Z_HALF[1:] + Z_HALF[:-1])
P_HALF, P = 1e5 * np.exp(-Z_HALF / SCALE_HEIGHT), 1e5 * np.exp(-Z / SCALE_HEIGHT)
KM = Z / 1e3
WIND = {
    "A": 60 * np.exp(-(((KM - 60) / 18) ** 2)) + 10 * np.exp(-(((KM - 12) / 5) ** 2)),
    "E": -50 * np.exp(-(((KM - 55) / 18) ** 2)) + 10 * np.exp(-(((KM - 12) / 5) ** 2)),
    "B": np.where((KM > 18) & (KM < 39), 20 * np.sin(2 * np.pi * (KM - 18) / 14), 0.0),
    "calm": np.zeros(80),
    "uniform": np.full(80, 24.0),
}
NLAT, NLON = 3, 5
NCOL = NLAT * NLON
NOW = Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=1800.0)


def levels_of(p_half):
    b = np.clip((p_half - 1e3) / (p_half[-1] - 1e3), 0.0, 1.0)
    a = p_half - b * 1e5
    a[-1], b[-1] = 0.0, 1.0
    return HybridLevels(a=a, b=b, name="test")


def host_of(dtype=np.float64, p_half=P_HALF, ncol=None):
    grid = Grid.regular(NLAT, NLON)
    lat = np.repeat(grid.lat, NLON)
    return Host(
        grid=grid,
        levels=levels_of(p_half),
        planet=PLANET,
        dtype=np.dtype(dtype),
        seed=0,
        static={"lat": lat[:ncol]},
    )


def spread(profile, ncol=NCOL):
    return np.repeat(np.asarray(profile, float)[:, None], ncol, axis=1)


def state(ua=None, va=None, dtype=np.float64, **other):
    fields = {
        "ua": spread(WIND["calm"]) if ua is None else ua,
        "va": spread(WIND["calm"]) if va is None else va,
        "ta": np.full((80, NCOL), 240.0),
        "pfull": spread(P),
        "phalf": spread(P_HALF),
        "zg": spread(Z),
    } | other
    return Arrays(**{n: np.ascontiguousarray(a, dtype) for n, a in fields.items()})


def weather(seed=2, nlev=29, dtype=np.float64):
    """Random winds and temperatures, some layers unstable enough to reflect waves."""
    rng = np.random.default_rng(seed)
    z_half = np.linspace(62e3, 0.0, nlev + 1)
    zg = 0.5 * (z_half[1:] + z_half[:-1])
    ta = 240.0 + 25.0 * rng.standard_normal((nlev, NCOL))
    ps = rng.uniform(9.6e4, 1.02e5, NCOL)
    shape = {"ncol": NCOL}
    values = {
        "ua": 40.0 * rng.standard_normal((nlev, NCOL)),
        "va": 40.0 * rng.standard_normal((nlev, NCOL)),
        "ta": ta,
        "pfull": ps * np.exp(-spread(zg, **shape) / 7e3),
        "phalf": ps * np.exp(-spread(z_half, **shape) / 7e3),
        "zg": spread(zg, **shape),
    }
    x = Arrays(**{n: np.ascontiguousarray(a, dtype) for n, a in values.items()})
    return x, host_of(dtype, 1e5 * np.exp(-z_half / 7e3))


class Result:
    """One call of a scheme, and what the coupler makes of its fluxes."""

    def __init__(self, x, cls, host=None, top="dump", **options):
        host = host or host_of(x.ua.dtype)
        ncol = x.ua.shape[1]
        component = cls(cls.Parameters(**options))
        component.setup(host)
        flux = {f.name: np.zeros((x.ua.shape[0] + 1, ncol), x.ua.dtype) for f in cls.fluxes}
        tend = {n: np.zeros_like(x.ua) for n in cls.tendencies}
        diag = {f.name: np.zeros(ncol, x.ua.dtype) for f in cls.diagnostics}
        self.flux, self.diag = Arrays(**flux), Arrays(**diag)
        component.compute(x, Arrays(**tend), self.flux, self.diag, NOW)
        self.escaped = {}
        for declared in cls.fluxes:
            out, escaped = np.zeros_like(x.ua), np.zeros(ncol, x.ua.dtype)
            flux_tendency(
                flux[declared.name],
                x.phalf,
                scale=PLANET.gravity,
                top=top,
                dump_above=declared.dump_above,
                out=out,
                escaped=escaped,
            )
            tend[declared.of], self.escaped[declared.of] = out, escaped
        self.tend = Arrays(**tend)
        mass = np.diff(x.phalf.astype(float), axis=0) / PLANET.gravity
        self.column = {n: (a.astype(float) * mass).sum(0) for n, a in tend.items()}
        self.absolute = {n: (np.abs(a.astype(float)) * mass).sum(0) for n, a in tend.items()}

    def at(self, km, column=0):
        """Eastward drag [m s-1 day-1] at height `km` of the tabulated column."""
        return DAY * self.tend.ua[int(80 - km), column]


def one_of_each(*names, dtype=np.float64):
    ua = spread(WIND["calm"])
    for column, name in enumerate(names):
        ua[:, column] = WIND[name]
    return state(ua=ua, dtype=dtype)
