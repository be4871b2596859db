r"""The balanced jets and the wave of Ullrich et al. (2014), test 1-1 of DCMIP-2016.

.. math:: \frac{1}{T_v} = \tau_1(z) - \tau_2(z) F(\phi), \qquad
          p = p_0 \exp\left[-\frac{g}{R} (I_1 - I_2 F)\right], \qquad
          F = \cos^K\phi - \frac{K}{K+2} \cos^{K+2}\phi

with I_i the integral of tau_i over z and the wind in gradient balance; K = 3, 310 K at the equator,
240 K at the pole. The wave begins with a push of the eastward wind around (pi/9, 2 pi/9),

.. math:: u' = u_p \left[1 - 3 (z/z_t)^2 + 2 (z/z_t)^3\right] e^{-(r/r_p)^2}
          \quad\text{where } r < r_p \text{ and } z < z_t,

u_p = 1 m/s, r_p = a/10 along the great circle, z_t = 15 km: cut off at r_p, where it is u_p/e.

Sources: Ullrich, P. A. et al. (2014), Q. J. R. Meteorol. Soc. 140, 1590-1602, doi:10.1002/qj.2241;
Ullrich, P. A. et al. (2017), Geosci. Model Dev. 10, 4477-4509, doi:10.5194/gmd-10-4477-2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from physics.dynamics.initial import Frame, GridState

Float64 = npt.NDArray[np.float64]
_REACH, _HEIGHT = 0.1, 15000.0
"""r_p / a [1] and z_t [m] of the push."""


def push(frame: Frame, z: Float64) -> Float64:
    """u' [m s-1], [K, lat, lon], at heights z [m], [K, lat, lon]."""
    phi, lam = frame.latitude, frame.longitude
    east, north = np.pi / 9.0, 2.0 * np.pi / 9.0
    cosine = np.sin(north) * np.sin(phi) + np.cos(north) * np.cos(phi) * np.cos(lam - east)
    distance = np.arccos(np.clip(cosine, -1.0, 1.0))
    height = np.minimum(z / _HEIGHT, 1.0)
    taper = 1.0 - 3.0 * height**2 + 2.0 * height**3
    bell = np.where(distance < _REACH, np.exp(-((distance / _REACH) ** 2)), 0.0)
    return np.asarray(taper * bell)


def baroclinic_wave(frame: Frame, *, perturbed: bool = True, moist: bool = False) -> GridState:
    """The balanced jets over a flat surface.

    Args:
        frame: grid, levels, planet; its surface geopotential must be 0.
        perturbed: with the push of the wind at 20E, 40N.
        moist: with the humidity of DCMIP-2016, else dry.
    """
    planet, p0 = frame.planet, 1.0e5
    a, omega, gas, g = planet.radius, planet.rotation_rate, planet.gas_constant_dry, planet.gravity
    t_equator, t_pole, b, power, lapse = 310.0, 240.0, 2.0, 3.0, 0.005
    t0 = 0.5 * (t_equator + t_pole)
    c_a, c_b = 1.0 / lapse, (t0 - t_pole) / (t0 * t_pole)
    c_c = 0.5 * (power + 2.0) * (t_equator - t_pole) / (t_equator * t_pole)
    scale = b * gas * t0 / g
    phi = frame.latitude
    cos = np.cos(phi)
    form = cos**power - power / (power + 2.0) * cos ** (power + 2.0)
    ps = np.full(frame.shape[1:], p0)
    pressure = frame.full_pressure(ps)

    def shapes(z: Float64) -> tuple[Float64, Float64]:
        s = (z / scale) ** 2
        tau1 = c_a * lapse / t0 * np.exp(lapse * z / t0) + c_b * (1.0 - 2.0 * s) * np.exp(-s)
        return tau1, c_c * (1.0 - 2.0 * s) * np.exp(-s)

    z = -gas * t0 / g * np.log(pressure / p0)
    for _ in range(100):  # Newton: d ln p / dz = -(g / R) (tau1 - tau2 F)
        bell = z * np.exp(-((z / scale) ** 2))
        integral = c_a * (np.exp(lapse * z / t0) - 1.0) + c_b * bell - c_c * bell * form
        tau1, tau2 = shapes(z)
        step = (integral + gas / g * np.log(pressure / p0)) / (tau1 - tau2 * form)
        z = z - step
        if float(np.abs(step).max()) < 1e-8:
            break
    tau1, tau2 = shapes(z)
    virtual = 1.0 / (tau1 - tau2 * form)
    wind = g / a * power * c_c * z * np.exp(-((z / scale) ** 2))
    wind = wind * (cos ** (power - 1.0) - cos ** (power + 1.0)) * virtual
    ua = -omega * a * cos + np.sqrt((omega * a * cos) ** 2 + a * cos * wind)
    if perturbed:
        ua = ua + push(frame, z)
    hus = np.zeros(frame.shape)
    if moist:
        bell = np.exp(-((phi / (2.0 * np.pi / 9.0)) ** 4))
        hus = 0.018 * bell * np.exp(-(((pressure - p0) / 34000.0) ** 2))
        hus = np.where(pressure > 0.1 * p0, hus, 1e-12)
    return GridState(
        ua=ua,
        va=np.zeros(frame.shape),
        ta=virtual / (1.0 + planet.virtual_factor * hus),
        hus=hus,
        ps=ps,
        surface_geopotential=np.zeros(frame.shape[1:]),
    )


def moist_baroclinic_wave(frame: Frame) -> GridState:
    """:func:`baroclinic_wave` with humidity."""
    return baroclinic_wave(frame, moist=True)
