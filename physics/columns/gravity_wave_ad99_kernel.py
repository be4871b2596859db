"""Kernels of the Alexander and Dunkerton (1999) scheme; equations in `gravity_wave_ad99`.

Columns are independent: they are dealt out in blocks, levels are the inner loop, and the order of
columns or the number of threads changes no bit. Arithmetic is float64.

The waves of one column and wind component are taken in two families, faster (+) and slower (-)
than the wind at the source, each sorted by the intrinsic speed at launch ``a = |c - u_s|``. With
``d = +-(u_k - u_s)`` the intrinsic speed at level k is ``a - d`` and a wave breaks there when

    a - d <= 0    or    (a - d)^3 <= fac_k B,    fac_k = 2 N_k rho_s / (k rho_k).

If B falls with a (a Gaussian in the intrinsic speed) then ``a - d - (fac_k B)^(1/3)`` rises with a:
at every level the slowest active waves break, the fastest reflect, and the active ones stay a
contiguous range. Both ends only move inward, so a column costs (waves + levels) tests instead of
waves x levels. Otherwise (`ordered` false) a compact list of the active waves is kept.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from coupler.interface.component import Array
from physics.columns.blocks import BLOCK, State, gather, scatter, senseless
from physics.columns.jit import njit

FIELDS = 9
"""Rows of column scratch: ua va ta pfull zg, breaking factor, speed limit, deposits of u and v."""

TO_FLUX, TO_MIMA_DRAG = 0, 1


@njit()
def march(
    sign: float,
    u: Array,
    s: int,
    fac: Array,
    lim: Array,
    speed: Array,
    amplitude: Array,
    share: Array,
    n: int,
    ordered: bool,
    split: bool,
    active: Array,
    deposit: Array,
) -> tuple[float, float, float]:
    """Sends the `n` waves of one family up from level `s`; adds what they leave to `deposit`.

    Returns (launched, reflected, escaped), sums of `share`, all positive.
    """
    us = u[s]
    lo, hi = 0, n
    if ordered:
        while lo < hi and speed[hi - 1] >= lim[s]:
            hi -= 1
        while lo < hi and speed[lo] ** 3 <= fac[s] * amplitude[lo]:
            lo += 1
        launched = 0.0
        for j in range(lo, hi):
            launched += share[j]
    else:
        hi = 0
        launched = 0.0
        for j in range(n):
            if speed[j] < lim[s] and speed[j] ** 3 > fac[s] * amplitude[j]:
                active[hi] = j
                hi += 1
                launched += share[j]
    reflected = 0.0
    for k in range(s - 1, -1, -1):
        if lo >= hi:
            break
        d = sign * (u[k] - us)
        broken = 0.0
        if ordered:
            while lo < hi and speed[hi - 1] - d >= lim[k]:
                hi -= 1
                reflected += share[hi]
            while lo < hi:
                ci = speed[lo] - d
                if ci > 0.0 and ci * ci * ci > fac[k] * amplitude[lo]:
                    break
                broken += share[lo]
                lo += 1
        else:
            kept = 0
            for m in range(hi):
                j = active[m]
                ci = speed[j] - d
                if ci >= lim[k]:
                    reflected += share[j]
                elif ci <= 0.0 or ci * ci * ci <= fac[k] * amplitude[j]:
                    broken += share[j]
                else:
                    active[kept] = j
                    kept += 1
            hi = kept
        if split and k < s - 1:  # never into the source layer, which lies below the launch
            deposit[k] += 0.5 * sign * broken
            deposit[k + 1] += 0.5 * sign * broken
        else:
            deposit[k] += sign * broken
    escaped = 0.0
    for m in range(lo, hi):
        escaped += share[m] if ordered else share[active[m]]
    return launched, reflected, escaped


@njit()
def spectrum(
    us: float,
    speeds: Array,
    intrinsic_grid: bool,
    intrinsic_frame: bool,
    wide: float,
    wide_width: float,
    narrow: float,
    narrow_width: float,
    speed: Array,
    amplitude: Array,
    share: Array,
) -> tuple[int, int]:
    """Fills the two families [2, wave] for the source wind `us`; returns their sizes.

    `speeds` is the ascending grid of c - u_s (intrinsic grid) or c. `share` is the part of the
    total launched stress that a wave carries; both families together sum to 1.
    """
    faster, slower = 0, 0
    total = 0.0
    n = speeds.size
    for j in range(n):
        ci = speeds[j] if intrinsic_grid else speeds[j] - us
        if ci > 0.0:
            ct = ci if intrinsic_frame else ci + us
            b = wide * 0.5 ** ((ct / wide_width) ** 2) + narrow * 0.5 ** ((ct / narrow_width) ** 2)
            speed[0, faster], amplitude[0, faster] = ci, b
            faster += 1
            total += b
    for j in range(n - 1, -1, -1):  # from the source wind downward, so that speeds ascend
        ci = speeds[j] if intrinsic_grid else speeds[j] - us
        if ci < 0.0:
            ct = ci if intrinsic_frame else ci + us
            b = wide * 0.5 ** ((ct / wide_width) ** 2) + narrow * 0.5 ** ((ct / narrow_width) ** 2)
            speed[1, slower], amplitude[1, slower] = -ci, b
            slower += 1
            total += b
    for j in range(faster):
        share[0, j] = amplitude[0, j] / total
    for j in range(slower):
        share[1, j] = amplitude[1, j] / total
    return faster, slower


@njit()
def profile(
    t: Array, p: Array, z: Array, s: int, wavenumber: float, floor: float, planet: Any,
    fac: Array, lim: Array,
) -> None:  # fmt: skip
    """Breaking factor [s] and largest intrinsic speed [m s-1] that is not reflected, levels 0..s.

    The density scale height follows from the hydrostatic ideal gas, 1/H = g/(R T) + (dT/dz)/T.
    """
    g, r, cp = planet
    last = t.size - 1
    for k in range(s + 1):
        up, down = max(k - 1, 0), min(k + 1, last)
        dtdz = (t[up] - t[down]) / (z[up] - z[down])
        buoyancy = np.sqrt(max(g / t[k] * (dtdz + g / cp), floor))
        alpha = 0.5 * (g / r + dtdz) / t[k]
        fac[k] = 2.0 * buoyancy / wavenumber * (p[s] * t[k]) / (p[k] * t[s])
        lim[k] = buoyancy / np.sqrt(wavenumber * wavenumber + alpha * alpha)


@njit()
def mima_drag(
    t: Array, p: Array, z: Array, s: int, r: float, dump_above: float, escaped: float,
    deposit: Array,
) -> None:  # fmt: skip
    """Turns deposits [Pa] of layers into the acceleration [m s-2] that MiMA derives from them.

    Not conservative, on purpose: half-level accelerations are averaged without their masses, and
    the acceleration at the half-level below a fictitious level above the top, where the escaped
    flux is left, is shared among the layers above `dump_above` instead of entering that average.
    """
    dz = z[0] - z[1]  # the fictitious level continues height linearly, density geometrically
    rho_above, rho = p[0] / (r * t[0]), p[1] / (r * t[1])
    top = escaped / (np.sqrt(rho_above**3 / rho) * dz)
    above = 0.0
    for k in range(s):
        rho_here, rho_below = p[k] / (r * t[k]), p[k + 1] / (r * t[k + 1])
        below = deposit[k] / (np.sqrt(rho_here * rho_below) * (z[k] - z[k + 1]))
        deposit[k] = 0.5 * (above + below)
        above = below
    deposit[s] = 0.5 * above
    n = 1
    while n < t.size and p[n] < dump_above:
        n += 1
    for k in range(n):
        deposit[k] += top / n


@njit(parallel=True)
def columns(
    kind: int,
    state: State,
    phalf: Array,
    source: Array,
    stress: Array,
    band: Array,
    speeds: Array,
    tables: tuple[Array, Array, Array],
    widths: Array,
    settings: Any,
    planet: Any,
    work: Array,
    waves: Array,
    active: Array,
    out: tuple[Array, Array],
    sums: Array,
    bad: Array,
) -> None:
    """All columns, both wind components.

    Args:
        kind: `TO_FLUX` or `TO_MIMA_DRAG`: what `out` receives.
        state: ua va ta pfull zg, shape [level, column].
        phalf: Interface pressure [Pa], shape [interface, column].
        source: Source level, shape [column]; -1 asks for the one of the source pressure.
        stress: Total launched stress [Pa], shape [column].
        band: Which of the two half widths, shape [column].
        speeds: Ascending grid of phase speeds [m s-1], shape [wave].
        tables: Speed [wave], amplitude and share [band, wave] of a family if they are the same in
            all columns; empty otherwise.
        widths: Half width of the wide Gaussian [m s-1], shape [band].
        settings: (source pressure, wavenumber, floor of N^2, intrinsic grid, intrinsic frame,
            split, wide amplitude, narrow amplitude, narrow half width, dump pressure).
        planet: (g, R, c_p).
        work: Scratch, shape [worker, FIELDS, BLOCK, level].
        waves: Scratch, shape [worker, 3, 2, wave].
        active: Scratch, shape [worker, wave].
        out: Results for u and v, shape [interface or level, column].
        sums: Launched net, launched absolute, reflected net flux [Pa]; shape [2, 3, column].
        bad: 1 + the first level where a column makes no sense, else 0; shape [column].
    """
    (p_src, wavenumber, floor, own_grid, own_frame, split, wide, narrow, nwidth, dump) = settings
    nlev, ncol = state[0].shape
    nworker = work.shape[0]
    shared = tables[0].size > 0
    table_speed, table_amplitude, table_share = tables
    nblock = (ncol + BLOCK - 1) // BLOCK
    for w in numba.prange(nworker):
        fac, lim = work[w, 5, 0], work[w, 6, 0]
        speed, amplitude, share = waves[w, 0], waves[w, 1], waves[w, 2]
        for block in range(w, nblock, nworker):
            start, stop = block * BLOCK, min((block + 1) * BLOCK, ncol)
            gather(state, start, stop, work[w])
            for i in range(start, stop):
                c = i - start
                t, p, z = work[w, 2, c], work[w, 3, c], work[w, 4, c]
                bad[i] = senseless(work[w], c)
                for component in range(2):
                    work[w, 7 + component, c, :] = 0.0
                if bad[i]:
                    continue
                s = source[i]
                if s < 0:
                    s = 1
                    while s < nlev - 1 and p[s] <= p_src:
                        s += 1
                profile(t, p, z, s, wavenumber, floor, planet, fac, lim)
                for component in range(2):
                    u = work[w, component, c]
                    deposit = work[w, 7 + component, c]
                    launched = reflected = escaped = absolute = 0.0
                    faster = slower = table_speed.size
                    if not shared:
                        faster, slower = spectrum(
                            u[s], speeds, own_grid, own_frame, wide, widths[band[i]],
                            narrow, nwidth, speed, amplitude, share,
                        )  # fmt: skip
                    for family in range(2):
                        sign = 1.0 - 2.0 * family
                        if shared:
                            a, b, f = table_speed, table_amplitude[band[i]], table_share[band[i]]
                        else:
                            a, b, f = speed[family], amplitude[family], share[family]
                        one, two, three = march(
                            sign, u, s, fac, lim, a, b, f, faster if family == 0 else slower,
                            own_frame, split, active[w], deposit,
                        )  # fmt: skip
                        launched += sign * one
                        absolute += one
                        reflected += sign * two
                        escaped += sign * three
                    sums[component, 0, i] = stress[i] * launched
                    sums[component, 1, i] = stress[i] * absolute
                    sums[component, 2, i] = stress[i] * reflected
                    for k in range(nlev):
                        deposit[k] *= stress[i]
                    escaped *= stress[i]
                    if kind == TO_MIMA_DRAG:
                        mima_drag(t, p, z, s, planet[1], dump, escaped, deposit)
                    else:
                        # From the top down: F is exactly zero above the last breaking wave.
                        for k in range(s):
                            here = deposit[k]
                            deposit[k] = escaped
                            escaped += here
                        # Round-off of a spectrum whose sum is zero must not become a flux of noise.
                        if abs(escaped) < 1e-14 * stress[i]:
                            escaped = 0.0
                        # The source takes its momentum from the column below, by mass.
                        slope = escaped / (phalf[nlev, i] - phalf[s, i])
                        for k in range(s, nlev):
                            deposit[k] = slope * (phalf[nlev, i] - phalf[k, i])
            scatter(work[w, 7], start, stop, out[0])
            scatter(work[w, 8], start, stop, out[1])
