r"""Initial states by name, as fields on the grid, and their spectral coefficients.

Orography is truncated and tapered first; surface pressure and temperature are built over the
surface that the model really has.

Sources: Jablonowski, C. and D. L. Williamson (2006), Q. J. R. Meteorol. Soc. 132, 2943-2975,
doi:10.1256/qj.06.12; Held, I. M. and M. J. Suarez (1994), Bull. Amer. Meteor. Soc. 75, 1825-1830.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from coupler.interface.constants import Planet
from physics.dynamics.legendre import legendre_functions
from physics.dynamics.primitive import PrimitiveEquations
from physics.dynamics.transform import SpectralTransform

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GridState:
    """A state on the grid, float64, level 0 = top, latitudes south to north.

    Attributes:
        ua, va: wind [m s-1], [K, lat, lon].
        ta: temperature [K], [K, lat, lon].
        hus: specific humidity [1], [K, lat, lon].
        ps: surface pressure [Pa], [lat, lon].
        surface_geopotential: [m2 s-2], [lat, lon].
    """

    ua: Float64
    va: Float64
    ta: Float64
    hus: Float64
    ps: Float64
    surface_geopotential: Float64


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What an initial state is built on.

    Attributes:
        sin_lat: [1], [lat].
        nlon: number of longitudes.
        a, b: hybrid coefficients at half levels [Pa], [1], [K+1].
        planet: constants.
        surface_geopotential: as the model has it [m2 s-2], [lat, lon].
    """

    sin_lat: Float64
    nlon: int
    a: Float64
    b: Float64
    planet: Planet
    surface_geopotential: Float64

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, lat, lon)."""
        return (self.a.size - 1, self.sin_lat.size, self.nlon)

    @property
    def latitude(self) -> Float64:
        """[rad], [lat, 1]."""
        return np.arcsin(self.sin_lat)[:, None]

    @property
    def longitude(self) -> Float64:
        """[rad], [1, lon]."""
        return (2.0 * np.pi / self.nlon) * np.arange(self.nlon, dtype=np.float64)[None, :]

    def full_pressure(self, ps: Float64) -> Float64:
        """Layer pressure p_{k+1/2} exp(-alpha_k) [Pa], shape [K, lat, lon]."""
        half = self.a[:, None, None] + self.b[:, None, None] * ps
        dp = np.diff(half, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            alpha = 1.0 - half[:-1] / dp * np.log(half[1:] / half[:-1])
        alpha = np.where(half[:-1] > 0.0, alpha, np.log(2.0))
        return np.asarray(half[1:] * np.exp(-alpha))


def filtered_orography(
    transform: SpectralTransform, geopotential: npt.ArrayLike, *, taper: bool = True
) -> torch.Tensor:
    """Coefficients of surface geopotential, with the top third of n tapered against ringing.

    Args:
        transform: of the model.
        geopotential: [m2 s-2], [lat, lon].
        taper: multiply degree n > 2T/3 by cos^2 falling to 0 at T + 1.

    Returns:
        [m2 s-2], shape [T+1, 2, 1, T+2].
    """
    grid = torch.tensor(np.asarray(geopotential), dtype=transform.dtype, device=transform.device)
    with torch.no_grad():
        spec = transform.analysis(grid[None])
    if taper:
        start, end = 2.0 * transform.truncation / 3.0, transform.truncation + 1.0
        x = np.clip((transform.degree - start) / (end - start), 0.0, 1.0)
        weight = np.cos(0.5 * np.pi * x) ** 2
        spec = spec * torch.tensor(weight, dtype=spec.dtype, device=spec.device)[:, None, None, :]
    return spec


def isothermal_rest(frame: Frame, *, temperature: float = 300.0, p0: float = 1.0e5) -> GridState:
    """No wind, one temperature [K]; ps = p0 exp(-Phi_s / (R T))."""
    zero = np.zeros(frame.shape)
    gas = frame.planet.gas_constant_dry
    return GridState(
        ua=zero,
        va=zero.copy(),
        ta=np.full(frame.shape, temperature),
        hus=zero.copy(),
        ps=p0 * np.exp(-frame.surface_geopotential / (gas * temperature)),
        surface_geopotential=frame.surface_geopotential,
    )


def _jw_mean_temperature(eta: Float64, planet: Planet) -> Float64:
    t0, lapse, eta_t, delta = 288.0, 0.005, 0.2, 4.8e5
    warm = delta * np.maximum(eta_t - eta, 0.0) ** 5
    return np.asarray(t0 * eta ** (planet.gas_constant_dry * lapse / planet.gravity) + warm)


def standard_rest(frame: Frame, *, relative_humidity: float = 0.0) -> GridState:
    """No wind, temperature a function of pressure alone (the area mean of the 2006 test).

    Lapse rate 5 K/km below 200 hPa, warm stratosphere above: a start that no radiation scheme finds
    absurd, in exact balance over any orography lower than the 200 hPa surface.

    Args:
        frame: grid, levels, planet, surface.
        relative_humidity: at the ground [1], falling in proportion to pressure.
    """
    planet, t0, lapse, p0 = frame.planet, 288.0, 0.005, 1.0e5
    height = frame.surface_geopotential / planet.gravity
    exponent = planet.gravity / (planet.gas_constant_dry * lapse)
    ps = p0 * (1.0 - lapse * height / t0) ** exponent
    pressure = frame.full_pressure(ps)
    ta = _jw_mean_temperature(pressure / p0, planet)
    state = GridState(
        ua=np.zeros(frame.shape),
        va=np.zeros(frame.shape),
        ta=ta,
        hus=np.zeros(frame.shape),
        ps=ps,
        surface_geopotential=frame.surface_geopotential,
    )
    if relative_humidity > 0.0:
        state = replace(state, hus=saturated(state, frame, relative_humidity))
    return state


def saturated(state: GridState, frame: Frame, relative_humidity: float) -> Float64:
    """Specific humidity [1], [K, lat, lon], of a relative humidity falling as p / 1000 hPa.

    Args:
        state: temperature and surface pressure are used.
        frame: its grid and levels.
        relative_humidity: at 1000 hPa [1]; over water, Bolton (1980), Mon. Wea. Rev. 108, 1046.
    """
    pressure = frame.full_pressure(state.ps)
    vapour = 611.2 * np.exp(17.67 * (state.ta - 273.15) / (state.ta - 29.65))
    saturation = 0.622 * vapour / np.maximum(pressure, 10.0 * vapour)
    return np.asarray(relative_humidity * np.minimum(pressure / 1.0e5, 1.0) * saturation)


_JW_WIND, _JW_ETA = 35.0, 0.252
"""u_0 [m s-1] and eta_0 [1]."""


def _jw_shapes(frame: Frame) -> tuple[Float64, Float64]:
    """The functions X and Y of latitude, [lat, 1]."""
    sin, cos = np.sin(frame.latitude), np.cos(frame.latitude)
    x = -2.0 * sin**6 * (cos**2 + 1.0 / 3.0) + 10.0 / 63.0
    y = 1.6 * cos**3 * (sin**2 + 2.0 / 3.0) - np.pi / 4.0
    return x, y


def jablonowski_williamson_ground(frame: Frame) -> Float64:
    """Surface geopotential of the test before truncation [m2 s-2], [lat, lon]."""
    x, y = _jw_shapes(frame)
    a, omega, u0 = frame.planet.radius, frame.planet.rotation_rate, _JW_WIND
    c = np.cos((1.0 - _JW_ETA) * np.pi / 2.0) ** 1.5
    surface = u0 * c * (u0 * c * x + a * omega * y)
    return np.broadcast_to(surface, frame.shape[1:]).copy()


def jablonowski_williamson(frame: Frame, *, perturbed: bool = True) -> GridState:
    """The balanced zonal flow of Jablonowski and Williamson (2006), section 2.

    The surface geopotential of `frame` is ignored; the returned one belongs to the test.

    Args:
        frame: grid, levels, planet.
        perturbed: add the Gaussian wind perturbation at 20E, 40N.
    """
    planet, p0 = frame.planet, 1.0e5
    a, omega, gas = planet.radius, planet.rotation_rate, planet.gas_constant_dry
    u0, eta0 = _JW_WIND, _JW_ETA
    phi, lam = frame.latitude, frame.longitude
    sin, cos = np.sin(phi), np.cos(phi)
    x, y = _jw_shapes(frame)
    ps = np.full(frame.shape[1:], p0)
    eta = frame.full_pressure(ps) / p0
    eta_v = (eta - eta0) * np.pi / 2.0
    ua = u0 * np.cos(eta_v) ** 1.5 * np.sin(2.0 * phi) ** 2
    if perturbed:
        centre_lon, centre_lat = np.pi / 9.0, 2.0 * np.pi / 9.0
        cosine = np.sin(centre_lat) * sin + np.cos(centre_lat) * cos * np.cos(lam - centre_lon)
        distance = np.arccos(np.clip(cosine, -1.0, 1.0))
        ua = ua + np.exp(-((10.0 * distance) ** 2))
    ta = _jw_mean_temperature(eta, planet) + 0.75 * (eta * np.pi * u0 / gas) * np.sin(
        eta_v
    ) * np.cos(eta_v) ** 0.5 * (2.0 * u0 * np.cos(eta_v) ** 1.5 * x + a * omega * y)
    return GridState(
        ua=ua,
        va=np.zeros(frame.shape),
        ta=ta,
        hus=np.zeros(frame.shape),
        ps=ps,
        surface_geopotential=jablonowski_williamson_ground(frame),
    )


def with_noise(state: GridState, frame: Frame, *, seed: int, amplitude: float) -> GridState:
    """Adds smooth temperature noise that depends on the seed alone, not on grid or levels.

    Random coefficients of cos/sin(m lambda) times Legendre functions of degree n <= 10, the same
    at every level.

    Args:
        state: to perturb.
        frame: its grid.
        seed: of the generator.
        amplitude: root mean square [K].
    """
    degree = 10
    draws = np.random.default_rng(seed).standard_normal((degree + 1, 2, degree + 1))
    table = legendre_functions(degree, frame.sin_lat)
    field = np.zeros(frame.shape[1:])
    power = 0.0
    for m in range(1, degree + 1):
        for el in range(degree + 1 - m):
            re, im = draws[m, 0, el], draws[m, 1, el]
            wave = re * np.cos(m * frame.longitude) + im * np.sin(m * frame.longitude)
            field += table[m, el][:, None] * wave
            power += 0.5 * (re * re + im * im)
    return replace(state, ta=state.ta + amplitude / np.sqrt(power) * field)


def held_suarez_start(frame: Frame, *, seed: int = 0) -> GridState:
    """Isothermal 280 K at rest with 0.1 K of noise."""
    return with_noise(isothermal_rest(frame, temperature=280.0), frame, seed=seed, amplitude=0.1)


def to_spectral(equations: PrimitiveEquations, state: GridState) -> torch.Tensor:
    """Coefficients of a grid state, shape [T+1, 2, (3+n) K + 1, T+2]."""
    tr = equations.transform

    def tensor(array: Float64) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=tr.dtype, device=tr.device)

    curl, div = tr.curl_divergence_of(tensor(state.ua), tensor(state.va))
    ln_ps = np.log(state.ps / equations.planet.reference_pressure)
    scalars = [tensor(state.ta - equations.t_ref)]
    if equations.tracers:
        scalars.append(tensor(state.hus))
        scalars += [torch.zeros_like(scalars[0])] * (equations.tracers - 1)
    rest = tr.analysis(torch.cat([*scalars, tensor(ln_ps)[None]]))
    return torch.cat([curl, div, rest], dim=2)
