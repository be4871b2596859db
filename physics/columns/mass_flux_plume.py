r"""One updraught of the mass-flux scheme: its ascent, its mass flux, and what it does to the air.

Air of the source layers rises, mixes with a share eps dz of the air around it in each layer, and
condenses what exceeds saturation; its moist static energy h = c_p T + g z + L q_v and its total
water q_t [1] are

.. math:: h_u \to \frac{h_u + \epsilon\,\delta z\, h}{1 + \epsilon\,\delta z}, \qquad
          q_t \to \frac{q_t + \epsilon\,\delta z\, q}{1 + \epsilon\,\delta z} - r, \qquad
          r = l \left(1 - e^{-c_0 \delta z}\right)

l [1] is condensate and r the part of it that falls, none from the first part of a cloud. Its
temperature solves c_p T + g z + L q_s(T) = h_u. It is a cloud from the layer in which it is
saturated and lighter
than the air, T_u (1 + 0.61 q_v) > T (1 + 0.61 q), to the last one below where it is not; the work
of buoyancy there is A, what it costs to come there N [J kg-1].

Mass flux eta, relative to that of the cloud's base, grows through the source layers with their
mass, stays, and falls linearly in pressure from the layer of greatest buoyancy to the top. What
is not carried on is detrained, with its condensate, which evaporates. Around it the air sinks by
as much. Per unit of mass flux at the base a layer of mass m [kg m-2] gains

.. math:: m\,\dot h_k = D_k (h_u - h_k) + \eta_k (h_{k-1} - h_k), \qquad
          m\,\dot q_k = D_k (q_t - q_k) + \eta_k (q_{k-1} - q_k),

level k - 1 being the one above, D_k detrainment and eta_k at the interface above layer k. Summed
over the column, h is kept and water lost as it rains. Sources: see `mass_flux`.
"""

from __future__ import annotations

import math

from coupler.interface.component import Array
from physics.columns.jit import njit
from physics.columns.thermo import saturation

FIELDS = 16
"""Rows ``[interface]`` of scratch that a column needs."""


@njit()
def updraught_temperature(
    h: float,
    geopotential: float,
    p: float,
    first: float,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
) -> tuple[float, float]:
    """Temperature [K] and q_s [1] of saturated air of moist static energy `h` [J kg-1].

    `first` [K] is where Newton's method begins; four steps leave less than 1e-6 K of 10 K.
    """
    t = first
    qs, slope = saturation(t, p, latent, rd, rv)
    for _ in range(4):
        t += (h - geopotential - cp * t - latent * qs) / (cp + latent * slope)
        qs, slope = saturation(t, p, latent, rd, rv)
    return t, qs


@njit()
def ascend(
    t: Array,
    q: Array,
    p: Array,
    z: Array,
    zhalf: Array,
    mass: Array,
    source: int,
    entrainment: float,
    conversion: float,
    rainless: float,
    most_inhibition: float,
    gravity: float,
    cp: float,
    latent: float,
    rd: float,
    rv: float,
    h_u: Array,
    q_u: Array,
    rain: Array,
    buoyant: Array,
) -> tuple[int, float, float]:
    """The ascent of one updraught through one column.

    Args:
        t: Temperature [K], shape [level].
        q: Specific humidity [1], shape [level].
        p: Pressure [Pa], shape [level].
        z: Height [m], shape [level].
        zhalf: Height of interfaces [m], shape [interface].
        mass: Of layers [kg m-2], shape [level].
        source: Index of the highest source layer.
        entrainment: eps [m-1].
        conversion: c_0 [m-1].
        rainless: Height above its base from which on a cloud rains [m].
        most_inhibition: N beyond which no cloud is made [J kg-1].
        gravity: g [m s-2].
        cp: Specific heat [J kg-1 K-1].
        latent: Latent heat [J kg-1].
        rd: Gas constant of dry air [J kg-1 K-1].
        rv: Gas constant of vapour [J kg-1 K-1].
        h_u: Filled from the cloud's top down: moist static energy in the layer [J kg-1].
        q_u: Filled: total water that leaves the layer [1].
        rain: Filled: water that falls out [1].
        buoyant: Filled: buoyancy where the layer is cloud [m s-2], else 0.

    Returns:
        Index of the highest cloudy layer (the number of layers without a cloud), A and N [J kg-1].
    """
    n, vf = t.size, rv / rd - 1.0
    energy, water, total = 0.0, 0.0, 0.0
    for k in range(source, n):
        energy += mass[k] * (cp * t[k] + gravity * z[k] + latent * q[k])
        water += mass[k] * q[k]
        total += mass[k]
    h, moist = energy / total, water / total
    work, inhibition, top, base = 0.0, 0.0, n, 1.0e30
    for k in range(source, n):
        h_u[k], q_u[k], rain[k], buoyant[k] = h, moist, 0.0, 0.0
    warm = t[source]
    for i in range(source):
        k = source - 1 - i
        dz = zhalf[k] - zhalf[k + 1]
        mixed = entrainment * dz
        around = cp * t[k] + gravity * z[k] + latent * q[k]
        h = (h + mixed * around) / (1.0 + mixed)
        moist = (moist + mixed * q[k]) / (1.0 + mixed)
        fallen, vapour = 0.0, moist
        warm = (h - latent * moist - gravity * z[k]) / cp
        qs, _ = saturation(warm, p[k], latent, rd, rv)
        saturated = moist > qs
        if saturated:
            warm, vapour = updraught_temperature(h, gravity * z[k], p[k], t[k], cp, latent, rd, rv)
            base = min(base, zhalf[k + 1])
            if z[k] - base > rainless:
                fallen = (moist - vapour) * -math.expm1(-conversion * dz)
        moist -= fallen
        tv = t[k] * (1.0 + vf * q[k])
        lift = gravity * (warm * (1.0 + vf * vapour) - tv) / tv
        cloudy = saturated and lift > 0.0
        if top < n and not cloudy:
            break
        h_u[k], q_u[k], rain[k] = h, moist, fallen
        buoyant[k] = lift if cloudy else 0.0
        if cloudy:
            work += lift * dz
            top = k
        else:
            inhibition += max(-lift, 0.0) * dz
            # inhibited, or without a cloud through half of the air
            if inhibition > most_inhibition or p[k] < 0.5 * p[n - 1]:
                break
    return top, work, inhibition


@njit()
def carry(
    t: Array,
    q: Array,
    p: Array,
    z: Array,
    zhalf: Array,
    mass: Array,
    source: int,
    top: int,
    entrainment: float,
    gravity: float,
    cp: float,
    latent: float,
    h_u: Array,
    q_u: Array,
    rain: Array,
    buoyant: Array,
    eta: Array,
    heat: Array,
    water: Array,
) -> tuple[float, float]:
    """What a cloud does to its column per unit of mass flux at its base.

    Args:
        t: As in `ascend`, like all that is not said here.
        q: Specific humidity [1].
        p: Pressure [Pa].
        z: Height [m].
        zhalf: Height of interfaces [m].
        mass: Of layers [kg m-2].
        source: Index of the highest source layer.
        top: Index of the highest cloudy layer.
        entrainment: eps [m-1].
        gravity: g [m s-2].
        cp: Specific heat [J kg-1 K-1].
        latent: Latent heat [J kg-1].
        h_u: From `ascend`.
        q_u: From `ascend`.
        rain: From `ascend`.
        buoyant: From `ascend`.
        eta: Filled: mass flux at interfaces [1], shape [interface].
        heat: Filled: c_p dT/dt of layers, times their mass [J kg-1], shape [level].
        water: Filled: dq/dt of layers, times their mass [1], shape [level].

    Returns:
        Rain [1] and the largest share of a layer that is exchanged [m2 kg-1].
    """
    n = t.size
    strongest, total = top, 0.0
    for k in range(top, source):
        if buoyant[k] > buoyant[strongest]:
            strongest = k
    for k in range(source, n):
        total += mass[k]
    for k in range(n + 1):
        eta[k] = 0.0
    for i in range(n - source):
        k = n - 1 - i
        eta[k] = eta[k + 1] + mass[k] / total
    reach = p[strongest] - p[top]
    for k in range(top + 1, source):
        eta[k] = 1.0
        if k <= strongest:  # the interface above layer k, by the pressures of layers
            eta[k] = min(1.0, (p[k] - p[top]) / reach)
    fallen, fastest = 0.0, 0.0
    for k in range(n):
        heat[k], water[k] = 0.0, 0.0
        if k < top:
            continue
        above = max(k - 1, 0)
        here = cp * t[k] + gravity * z[k] + latent * q[k]
        over = cp * t[above] + gravity * z[above] + latent * q[above]
        energy, gain = eta[k] * (over - here), eta[k] * (q[above] - q[k])
        detrained = 0.0
        if k < source:
            rising = eta[k + 1] * (1.0 + entrainment * (zhalf[k] - zhalf[k + 1]))
            detrained = rising - eta[k]
            energy += detrained * (h_u[k] - here)
            gain += detrained * (q_u[k] - q[k])
            fallen += rising * rain[k]
        heat[k], water[k] = energy - latent * gain, gain
        fastest = max(fastest, (eta[k] + detrained) / mass[k])
    return fallen, fastest
