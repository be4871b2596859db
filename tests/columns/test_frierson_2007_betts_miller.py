"""Simplified Betts-Miller convection: lifting, reference profiles, budgets, shallow and deep."""

import numpy as np
import pytest
from column_harness import NCOL, PLANET, Bound, column, moist_enthalpy, now, run, state

from coupler.interface.grid import HybridLevels
from physics.columns.betts_miller import SimplifiedBettsMiller, lapse, lift
from physics.columns.lanes import upward
from physics.columns.thermo import saturation, saturation_pressure

LEVELS = HybridLevels.stretched(33)
CP, L = PLANET.cp_dry, PLANET.latent_heat_vaporization
RD, RV = PLANET.gas_constant_dry, PLANET.gas_constant_vapour
DT = 1200.0


def lifted(t: np.ndarray, q: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, int]:
    """Temperature of the parcel of one column, and its highest buoyant layer."""
    out, top = np.zeros((t.size, 1)), np.zeros(1)
    block = (np.asarray(a, float)[:, None] for a in (t, q, p))
    lift(*block, CP, L, RD, RV, upward(t.size), np.zeros((8, 1)), out, top)
    return out[:, 0], int(top[0])


def tropical(humidity: float, *, excess: float = 0.0) -> dict[str, np.ndarray]:
    """About 5.8 K/km up to 15 km, `humidity` relative to saturation everywhere."""
    x = state(LEVELS)
    x["ta"] = 300.0 * np.maximum(x["pfull"] / x["ps"], 0.12) ** 0.17
    x["ta"][-1] += excess
    for k in range(LEVELS.nlev):
        for c in range(NCOL):
            qs = saturation(x["ta"][k, c], x["pfull"][k, c], L, RD, RV)[0]
            x["hus"][k, c] = humidity * min(qs, 0.03)
    return x


def test_deep_convection_rains_and_keeps_energy_and_water() -> None:
    x = tropical(0.85)
    rates, d = run(SimplifiedBettsMiller(), x, LEVELS, dt=DT)
    assert (d["prc"] > 1e-5).all()
    energy, water = moist_enthalpy(rates), rates["hus"]
    size = column(np.abs(energy), x) + L * column(np.abs(water), x)
    assert np.all(np.abs(column(energy, x)) < 1e-12 * size)
    assert np.all(np.abs(column(water, x) + d["prc"]) < 1e-12 * column(np.abs(water), x))
    # control: heat alone is not kept, it is the rain's
    heat = column(CP * rates["ta"], x)
    np.testing.assert_allclose(heat, L * d["prc"], rtol=1e-10)
    assert np.all(heat > 1e-3 * size)


def test_shallow_convection_moves_water_up_without_rain_or_heat() -> None:
    x = tropical(0.4)
    x["hus"][-4:] *= 2.0  # moist below, dry aloft: drying to 70 % would need water from nowhere
    rates, d = run(SimplifiedBettsMiller(), x, LEVELS, dt=DT)
    active = np.abs(rates["hus"]).max(axis=0) > 0
    assert active.sum() > NCOL // 2
    assert not d["prc"].any()
    water, heat = rates["hus"], rates["ta"]
    assert np.all(np.abs(column(water, x)) <= 1e-12 * column(np.abs(water), x))
    assert np.all(np.abs(column(heat, x)) <= 1e-12 * column(np.abs(heat), x))
    assert np.all(water[-1, active] < 0)
    assert np.all(column(np.maximum(water, 0), x)[active] > 0)


def test_deep_convection_relaxes_to_the_shifted_parcel_and_70_percent_of_its_saturation() -> None:
    x = tropical(0.85)
    rates, _ = run(SimplifiedBettsMiller(), x, LEVELS, dt=DT)
    for c in range(0, NCOL, 5):
        t, q, p = (x[n][:, c] for n in ("ta", "hus", "pfull"))
        parcel_t, top = lifted(t, q, p)
        assert 3 < top < LEVELS.nlev - 10
        qs = np.array([saturation(parcel_t[k], p[k], L, RD, RV)[0] for k in range(top, p.size)])
        time = 7200.0 + DT
        np.testing.assert_allclose(rates["hus"][top:, c], (0.7 * qs - q[top:]) / time, rtol=1e-9)
        shift = t[top:] + time * rates["ta"][top:, c] - parcel_t[top:]
        np.testing.assert_allclose(shift, shift[0], rtol=1e-9)
        assert not rates["ta"][:top, c].any()


def test_convection_dries_the_column_until_it_no_longer_rains() -> None:
    x = tropical(0.85)
    rain = []
    for _ in range(60):
        rates, d = run(SimplifiedBettsMiller(), x, LEVELS, dt=DT)
        rain.append(d["prc"].mean())
        x["ta"] += DT * rates["ta"]
        x["hus"] += DT * rates["hus"]
    assert rain[-1] < 1e-3 * rain[0]
    assert x["hus"].min() >= 0


def test_a_stable_column_is_left_alone() -> None:
    x = tropical(0.8)
    x["ta"] = np.maximum(x["ta"], 299.0)
    x["hus"] *= 0.5
    rates, d = run(SimplifiedBettsMiller(), x, LEVELS)
    assert not rates["ta"].any()
    assert not d["prc"].any()


def test_rain_of_the_call_before_is_forgotten() -> None:
    x = tropical(0.85)
    b = Bound(SimplifiedBettsMiller(), x, LEVELS)
    b(now())
    assert (b.diag["prc"] > 0).all()
    x["hus"][:] = 0.0
    b(now())
    assert not b.diag["prc"].any()


def test_pseudo_adiabat_cools_at_the_textbook_rate_and_dry_when_cold() -> None:
    # Wallace and Hobbs (2006), section 3.5.2: about 4 K/km near the ground in warm humid air,
    # 6 to 7 K/km in the middle troposphere, dry adiabatic when there is hardly water
    def per_km(t: float, p: float) -> float:
        return lapse(t, p, CP, L, RD, RV) * PLANET.gravity / (RD * t) * 1e3

    assert per_km(299.0, 1e5) == pytest.approx(3.8, abs=0.4)
    assert per_km(263.0, 5e4) == pytest.approx(6.5, abs=0.7)
    assert per_km(200.0, 2e4) == pytest.approx(PLANET.gravity / CP * 1e3, rel=0.01)


def theta_e(t: float, p: float, q: float) -> float:
    """Bolton (1980), equations 21 and 43 [K]."""
    r = 1e3 * q / (1 - q)
    e = p / 100 * q / (0.622 + 0.378 * q)
    t_lcl = 2840 / (3.5 * np.log(t) - np.log(e) - 4.805) + 55
    dry = t * (1e5 / p) ** (0.2854 * (1 - 0.28e-3 * r))
    return float(dry * np.exp((3.376 / t_lcl - 0.00254) * r * (1 + 0.81e-3 * r)))


def parcel(levels: HybridLevels) -> tuple[np.ndarray, np.ndarray, int]:
    half = levels.half_pressure(np.array([1e5]))[:, 0]
    p = 0.5 * (half[1:] + half[:-1])
    t = np.full(p.size, 150.0)
    t[-1] = 300.0 * (p[-1] / 1e5) ** PLANET.kappa
    q = np.full(p.size, 0.016)
    out, top = lifted(t, q, p)
    return p, out, top


def test_lifted_parcel_converges_and_keeps_its_moist_entropy() -> None:
    at = []
    for k in (20, 60, 180):
        p, t, top = parcel(HybridLevels.sigma(k))
        assert top <= k // 5
        at.append(np.interp(3e4, p, t))
    assert abs(at[1] - at[2]) < 0.3
    assert abs(at[1] - at[2]) < abs(at[0] - at[2])
    # Bolton's equivalent potential temperature is of the real latent heat, which grows by a tenth
    # from 25 C to -50 C: kept to 1.5 K of 348 K
    start = theta_e(t[-1], p[-1], 0.016)
    assert start == pytest.approx(347.8, abs=0.5)
    for k in (40, 80, 120, 160):
        q = min(0.016, saturation(t[k], p[k], L, RD, RV)[0])
        assert theta_e(t[k], p[k], q) == pytest.approx(start, abs=1.5)


def test_saturation_is_that_of_the_tables_within_the_constant_latent_heat() -> None:
    # Bolton (1980) table: 6.112 hPa at 0 C, 23.37 at 20 C, 42.43 at 30 C, 1.254 at -20 C;
    # a constant L overestimates its fall with temperature by 2.5 % of e_s over 30 K
    for celsius, e in ((0.0, 611.2), (20.0, 2337.0), (30.0, 4243.0), (-20.0, 125.4)):
        assert saturation_pressure(celsius + 273.15, L, RV) == pytest.approx(e, rel=0.03)
    t = np.array([220.0, 273.0, 305.0])
    for temperature in t:
        up, _ = saturation(temperature + 1e-3, 8e4, L, RD, RV)
        down, _ = saturation(temperature - 1e-3, 8e4, L, RD, RV)
        slope = saturation(temperature, 8e4, L, RD, RV)[1]
        assert slope == pytest.approx((up - down) / 2e-3, rel=1e-5)
    assert saturation(300.0, 1000.0, L, RD, RV) == (1.0, 0.0)
