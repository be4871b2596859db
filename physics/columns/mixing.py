r"""Mixing of a block of columns whose exchange with the surface is known.

Momentum, dry static energy and water, backward in time and together with the surface fluxes; see
`boundary_layer` for the equations. The scratch of a block has named rows (`FULL`, `HALF`); of the
flat ones, `mix_block` reads the drag and the exchange coefficient times density, the surface's
humidity and static energy, their throttled exchange, u_*, and the buoyancy flux.
"""

from __future__ import annotations

from coupler.interface.component import Array
from physics.columns.diffusivity import depth, k_profile, pressure_profile
from physics.columns.jit import njit
from physics.columns.lanes import store, store_flat
from physics.columns.tridiagonal import factor, solve

FULL = ("u", "v", "t", "q", "s", "sv", "z", "mass", "beta", "pivot", "inc_u", "inc_v", "inc", "p")
"""Rows of scratch on levels."""
HALF = ("zhalf", "phalf", "k_m", "k_h")
"""Rows of scratch on interfaces."""
FLAT = 26
"""Number of flat rows of scratch."""


@njit()
def friction_heat(
    u: Array,
    v: Array,
    inc_u: Array,
    inc_v: Array,
    conduct: Array,
    mass_rate: Array,
    drag: Array,
    up: Array,
    carried: Array,
    heat: Array,
) -> None:
    """Adds the heat of dissipated kinetic energy [W m-2] to `heat`, shape [level, lane]."""
    last, lanes = u.shape[0] - 1, u.shape[1]
    from_above, below_u, below_v = carried[0], carried[1], carried[2]
    for j in range(lanes):
        below_u[j], below_v[j] = u[last, j] + inc_u[last, j], v[last, j] + inc_v[last, j]
        square = below_u[j] * below_u[j] + below_v[j] * below_v[j]
        from_above[j] = drag[j] * square  # the surface's, below the lowest layer
    for k in up:
        for j in range(lanes):
            new_u, new_v = below_u[j], below_v[j]
            half = 0.0
            if k > 0:
                un, vn = u[k - 1, j] + inc_u[k - 1, j], v[k - 1, j] + inc_v[k - 1, j]
                du, dv = un - new_u, vn - new_v
                half = 0.5 * conduct[k, j] * (du * du + dv * dv)
                below_u[j], below_v[j] = un, vn
            square = inc_u[k, j] * inc_u[k, j] + inc_v[k, j] * inc_v[k, j]
            heat[k, j] += half + from_above[j] + 0.5 * mass_rate[k, j] * square
            from_above[j] = half


@njit()
def prepare(
    ground: Array,
    t: Array,
    q: Array,
    phalf: Array,
    dt: float,
    gravity: float,
    cp: float,
    vf: float,
    z: Array,
    zhalf: Array,
    s: Array,
    sv: Array,
    mass_rate: Array,
) -> None:
    """Heights above `ground` [lane], static energies and layer masses over dt, [level, lane]."""
    lanes = t.shape[1]
    for k in range(t.shape[0]):
        for j in range(lanes):
            z[k, j] -= ground[j]
            zhalf[k, j] -= ground[j]
            mass_rate[k, j] = (phalf[k + 1, j] - phalf[k, j]) * (1.0 / (gravity * dt))
        for j in range(lanes):
            potential = gravity * z[k, j]
            s[k, j] = cp * t[k, j] + potential
            sv[k, j] = cp * t[k, j] * (1.0 + vf * q[k, j]) + potential


@njit()
def mix_block(
    start: int,
    dt: float,
    gravity: float,
    cp: float,
    latent: float,
    critical: float,
    profile: bool,
    dissipation: bool,
    work: Array,
    half: Array,
    lane: Array,
    up: Array,
    dua: Array,
    dva: Array,
    dta: Array,
    dhus: Array,
    tauu: Array,
    tauv: Array,
    hfss: Array,
    hfls: Array,
    evspsbl: Array,
    tas: Array,
    uas: Array,
    vas: Array,
    bldep: Array,
) -> None:
    """Mixes the block at `start`, whose state and exchange with the surface lie in the scratch."""
    nlev, lanes = work.shape[1], work.shape[2]
    last, per_dt = nlev - 1, 1.0 / dt
    u, v, t, q, s, sv, z = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
    mass, beta, pivot = work[7], work[8], work[9]
    inc_u, inc_v, inc, p = work[10], work[11], work[12], work[13]
    zhalf, ph, k_m, k_h = half[0], half[1], half[2], half[3]
    zero, drag, exchange = lane[5], lane[6], lane[7]
    qs, evaporates, s_surface, cp_tv = lane[8], lane[9], lane[10], lane[11]
    u_star, buoyancy, depth_h, spare = lane[12], lane[13], lane[14], lane[15]
    c_m, c_h, flux, other = lane[16], lane[17], lane[18], lane[19]
    carried = lane[21:24]
    # mixing inside the air
    if profile:
        depth(z, u, v, sv, gravity, cp_tv, u_star, critical, up, spare, other, depth_h)
        k_profile(z, zhalf, u, v, sv, gravity, cp_tv, u_star, buoyancy, depth_h, spare, other, k_h)
        for k in range(1, nlev):
            for j in range(lanes):
                k_m[k, j] = k_h[k, j]
    else:
        pressure_profile(ph, c_h, k_h)
        pressure_profile(ph, c_m, k_m)
    for k in range(1, nlev):  # K becomes a conductance rho K/dz, rho dz = dp/g
        for j in range(lanes):
            dz = z[k - 1, j] - z[k, j]
            per = (p[k, j] - p[k - 1, j]) / (gravity * dz * dz)
            k_m[k, j] *= per
            k_h[k, j] *= per
    # momentum
    factor(mass, k_m, beta, pivot, flux)
    solve(u, k_m, beta, pivot, drag, zero, up, carried, inc_u, flux)
    solve(v, k_m, beta, pivot, drag, zero, up, carried, inc_v, other)
    for j in range(lanes):
        flux[j], other[j] = -flux[j], -other[j]
        c_m[j] = u[last, j] + inc_u[last, j]
        c_h[j] = v[last, j] + inc_v[last, j]
    store_flat(flux, start, tauu)
    store_flat(other, start, tauv)
    store_flat(c_m, start, uas)
    store_flat(c_h, start, vas)
    store_flat(depth_h, start, bldep)
    # heat and water
    if not profile:
        factor(mass, k_h, beta, pivot, flux)
    solve(s, k_h, beta, pivot, exchange, s_surface, up, carried, inc, flux)
    for k in range(nlev):
        for j in range(lanes):
            s[k, j] = inc[k, j] * mass[k, j]  # from here on: heat [W m-2]
    solve(q, k_h, beta, pivot, evaporates, qs, up, carried, inc, other)
    if dissipation:
        friction_heat(u, v, inc_u, inc_v, k_m, mass, drag, up, carried, s)
    for k in range(nlev):
        for j in range(lanes):
            inc_u[k, j] *= per_dt
            inc_v[k, j] *= per_dt
            inc[k, j] *= per_dt
            s[k, j] /= mass[k, j] * (cp * dt)
    store(inc_u, start, dua)
    store(inc_v, start, dva)
    store(s, start, dta)
    store(inc, start, dhus)
    store_flat(flux, start, hfss)
    store_flat(other, start, evspsbl)
    for j in range(lanes):
        other[j] *= latent
        t[last, j] += s[last, j] * dt
    store_flat(other, start, hfls)
    store_flat(t[last], start, tas)
