"""Surface fluxes and vertical diffusion: budgets, limits, published coefficients."""

import math

import numpy as np
import pytest
from column_harness import PLANET, column, heights, moist_enthalpy, run, state
from pydantic import ValidationError

from coupler.interface.grid import HybridLevels
from physics.columns.boundary_layer import BulkDiffusion
from physics.columns.diffusivity import depth, k_profile, shear_mixing
from physics.columns.lanes import upward
from physics.columns.surface_layer import louis, reed_jablonowski
from physics.columns.thermo import saturation

LEVELS = HybridLevels.stretched(19)
CHOICES = [
    {},
    {"exchange": "reed_jablonowski", "mixing": "reed_jablonowski"},
    {"exchange": "reed_jablonowski"},
    {"mixing": "reed_jablonowski"},
    {"exchange": "monin_obukhov"},
]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dt", [600.0, 7200.0])
def test_momentum_energy_and_water_change_by_the_reported_fluxes(
    choice: dict[str, str], dt: float
) -> None:
    x = state(LEVELS)
    rates, d = run(BulkDiffusion(BulkDiffusion.Parameters(**choice)), x, LEVELS, dt=dt)
    for of, stress in (("ua", "tauu"), ("va", "tauv")):
        gain, size = column(rates[of], x), column(np.abs(rates[of]), x)
        assert np.all(np.abs(gain + d[stress]) < 1e-12 * size)
        assert np.any(np.abs(gain) > 1e-6 * size)  # control: stress is not nothing
    gain, size = column(rates["hus"], x), column(np.abs(rates["hus"]), x)
    assert np.all(np.abs(gain - d["evspsbl"]) < 1e-12 * size)
    u, v = x["ua"] + dt * rates["ua"], x["va"] + dt * rates["va"]
    kinetic = 0.5 * (u**2 + v**2 - x["ua"] ** 2 - x["va"] ** 2) / dt
    energy = moist_enthalpy(rates)
    size = column(np.abs(energy), x)
    residual = column(energy + kinetic, x) - d["hfss"] - d["hfls"]
    assert np.all(np.abs(residual) < 1e-12 * size)
    # control: without the kinetic energy it does not close
    assert np.all(np.abs(residual - column(kinetic, x)) > 1e-9 * size)
    np.testing.assert_allclose(d["hfls"], PLANET.latent_heat_vaporization * d["evspsbl"])


def test_without_dissipation_enthalpy_alone_closes() -> None:
    x = state(LEVELS)
    cold = BulkDiffusion(BulkDiffusion.Parameters(dissipation=False))
    assert [c.quantity for c in cold.conserves] == ["momentum", "water"]
    assert [c.quantity for c in BulkDiffusion().conserves] == ["momentum", "energy", "water"]
    rates, d = run(cold, x, LEVELS)
    heat = PLANET.cp_dry * rates["ta"]
    assert np.all(np.abs(column(heat, x) - d["hfss"]) < 1e-12 * column(np.abs(heat), x))


def test_dissipation_only_warms() -> None:
    x = state(LEVELS)
    on, _ = run(BulkDiffusion(), x, LEVELS)
    off, _ = run(BulkDiffusion(BulkDiffusion.Parameters(dissipation=False)), x, LEVELS)
    assert (on["ta"] - off["ta"]).min() > -1e-18
    assert (on["ta"] - off["ta"]).max() > 1e-6


def test_fluxes_have_the_signs_of_the_table() -> None:
    x = state(LEVELS)
    x["ua"][:], x["va"][:], x["ts"][:], x["wetness"][:] = 8.0, -3.0, 310.0, 1.0
    x["hus"][:] = 1e-3
    _, d = run(BulkDiffusion(), x, LEVELS)
    assert (d["tauu"] > 0).all()  # westerlies push the ground eastward
    assert (d["tauv"] < 0).all()
    assert (d["hfss"] > 0).all()  # warm ground warms the air
    assert (d["evspsbl"] > 0).all()


def test_bulk_formula_is_met_by_the_state_after_the_step() -> None:
    x = state(LEVELS)
    dt = 1200.0
    p = BulkDiffusion.Parameters(exchange="reed_jablonowski", gustiness=0.5)
    rates, d = run(BulkDiffusion(p), x, LEVELS, dt=dt)
    speed = np.hypot(x["ua"][-1], x["va"][-1])
    wind = np.hypot(speed, 0.5)
    tv = x["ta"][-1] * (1 + PLANET.virtual_factor * x["hus"][-1])
    rho = x["pfull"][-1] / (PLANET.gas_constant_dry * tv)
    u = x["ua"][-1] + dt * rates["ua"][-1]
    q = x["hus"][-1] + dt * rates["hus"][-1]
    cd = np.where(speed < 20, 7e-4 + 6.5e-5 * speed, 2e-3)
    np.testing.assert_allclose(d["tauu"], rho * cd * wind * u, rtol=1e-12)
    args = (PLANET.latent_heat_vaporization, PLANET.gas_constant_dry, PLANET.gas_constant_vapour)
    qs = np.array([saturation(t, ps, *args)[0] for t, ps in zip(x["ts"], x["ps"], strict=True)])
    beta = np.where(qs > x["hus"][-1], x["wetness"], 1.0)
    np.testing.assert_allclose(d["evspsbl"], rho * 1.1e-3 * wind * beta * (qs - q), rtol=1e-9)
    np.testing.assert_allclose(d["uas"], u, rtol=1e-14)
    np.testing.assert_allclose(d["tas"], x["ta"][-1] + dt * rates["ta"][-1], rtol=1e-14)


def neutral(x: dict[str, np.ndarray]) -> None:
    """Uniform dry static energy: temperature and heights that agree, by iteration."""
    x["hus"][:] = 0.0
    for _ in range(200):
        heights(x)
        x["ta"] = x["ts"] - PLANET.gravity * (x["zg"] - x["zghalf"][-1]) / PLANET.cp_dry
        x["ta"] = np.maximum(x["ta"], 150.0)


def test_an_adiabatic_calm_column_over_ground_of_its_temperature_is_left_alone() -> None:
    levels = HybridLevels(a=np.zeros(8), b=np.linspace(0.5, 1.0, 8), name="lower half")
    x = state(levels)
    x["ua"][:], x["va"][:], x["wetness"][:] = 0.0, 0.0, 0.0
    neutral(x)
    rates, d = run(BulkDiffusion(), x, levels)
    assert not rates["ua"].any()
    assert not rates["va"].any()
    # round-off of c_p T + g z, 3e5 J/kg, times an exchange of about 1 kg m-2 s-1
    assert np.abs(d["hfss"]).max() < 1e-8
    assert np.abs(rates["ta"]).max() < 1e-12


def test_mirrored_winds_get_mirrored_stress_and_the_same_heat() -> None:
    x, y = state(LEVELS), state(LEVELS)
    y["ua"], y["va"] = -y["ua"], -y["va"]
    a, da = run(BulkDiffusion(), x, LEVELS)
    b, db = run(BulkDiffusion(), y, LEVELS)
    np.testing.assert_array_equal(a["ua"], -b["ua"])
    np.testing.assert_array_equal(a["ta"], b["ta"])
    np.testing.assert_array_equal(da["tauv"], -db["tauv"])
    np.testing.assert_array_equal(da["hfls"], db["hfls"])


def test_warm_ground_exchanges_more_than_cold_ground_that_differs_as_much() -> None:
    x = state(LEVELS)
    x["ts"] = x["ta"][-1] + 8.0
    _, warm = run(BulkDiffusion(), x, LEVELS)
    x["ts"] = x["ta"][-1] - 8.0
    _, cold = run(BulkDiffusion(), x, LEVELS)
    assert (warm["hfss"] > 0.0).all()
    assert (cold["hfss"] < 0.0).all()
    assert (-cold["hfss"] < warm["hfss"]).all()


def test_dry_ground_takes_dew_but_gives_nothing() -> None:
    x = state(LEVELS)
    x["wetness"][:] = 0.0
    x["ts"][:] = 310.0
    _, d = run(BulkDiffusion(), x, LEVELS)
    assert not d["evspsbl"].any()
    x["ts"][:] = 240.0
    x["hus"][-1] = 0.008
    _, d = run(BulkDiffusion(), x, LEVELS)
    assert (d["evspsbl"] < 0).all()


def test_optional_inputs_default_to_a_wet_smooth_surface() -> None:
    x = state(LEVELS)
    without = {n: a for n, a in x.items() if n not in ("wetness", "sftlf")}
    x["wetness"][:], x["sftlf"][:] = 1.0, 0.0
    a, da = run(BulkDiffusion(), without, LEVELS)
    b, db = run(BulkDiffusion(), x, LEVELS)
    np.testing.assert_array_equal(a["ta"], b["ta"])
    np.testing.assert_array_equal(da["evspsbl"], db["evspsbl"])
    x["sftlf"][:] = 1.0
    _, dc = run(BulkDiffusion(), x, LEVELS)
    # at about 60 m over 0.1 m of roughness the neutral drag is fivefold that over the sea
    assert np.median(np.abs(dc["tauu"]) / np.abs(db["tauu"])) > 2.0


def test_louis_coefficients_are_neutral_at_zero_continuous_and_monotone() -> None:
    cn = (0.4 / math.log(1 + 10.0 / 3.21e-5)) ** 2
    assert louis(10.0, 3.21e-5, 0.0) == (cn, cn)
    assert cn == pytest.approx(1.0e-3, rel=0.01)  # the 10 m coefficient over sea
    ri = np.linspace(-3, 3, 601)
    cd, ch = np.array([louis(40.0, 1e-2, r) for r in ri]).T
    assert (np.diff(cd) < 0).all()
    assert (np.diff(ch) < 0).all()
    assert np.abs(np.diff(cd)).max() < 0.1 * cd[300]  # 2 times 4.7 times the step of 0.01
    assert (ch[:300] > cd[:300]).all()  # convection moves heat better than momentum
    assert (cd > 0).all()
    assert louis(40.0, 1e-2, 1.0)[0] == pytest.approx(louis(40.0, 1e-2, 0.0)[0] / 5.7**2)


def test_reed_jablonowski_coefficients_are_those_of_the_paper() -> None:
    assert reed_jablonowski(0.0) == (7.0e-4, 1.1e-3)
    assert reed_jablonowski(10.0)[0] == pytest.approx(1.35e-3)
    assert reed_jablonowski(25.0)[0] == 2.0e-3


def test_reed_jablonowski_mixing_is_constant_below_850_hpa_and_falls_with_e_in_100_hpa() -> None:
    from physics.columns.diffusivity import pressure_profile

    half = lanes([1e3, 7.5e4, 8.5e4, 9.5e4, 1e5])
    k = np.zeros((5, 1))
    pressure_profile(half, np.array([30.0]), k)
    np.testing.assert_allclose(k[:, 0], [0.0, 30.0 / math.e, 30.0, 30.0, 0.0])


def lanes(values: object) -> np.ndarray:
    """A block of one column."""
    return np.asarray(values, float)[..., None]


def depth_of(*profiles: np.ndarray, u_star: float) -> float:
    """Depth of one column with g = 9.8, c_p T_v = 3e5 and a critical Richardson number of 0.3."""
    h, z = np.zeros(1), lanes(profiles[0])
    fixed = (9.8, lanes(3e5), lanes(u_star), 0.3, upward(z.size))
    depth(z, *map(lanes, profiles[1:]), *fixed, np.zeros(1), np.zeros(1), h)
    return float(h[0])


def test_boundary_layer_depth_is_found_between_levels_by_linear_richardson() -> None:
    z = np.array([2000.0, 1000.0, 500.0, 100.0])
    u, v = np.array([5.0, 5.0, 5.0, 5.0]), np.zeros(4)
    # neutral to 500 m, then an inversion: Ri at 1000 m is g 900 ds/(cp_tv 100 u*^2) = 0.9
    sv = np.array([2.0e5 + 500.0, 2.0e5 + 0.9 * 3e5 * 4.0 / (9.8 * 900.0), 2.0e5, 2.0e5])
    assert depth_of(z, u, v, sv, u_star=0.2) == pytest.approx(500.0 + 500.0 / 3.0)
    assert depth_of(z, u, v, sv, u_star=1.0) >= 700.0


def test_diffusivity_in_a_neutral_layer_is_the_profile_with_friction_velocity() -> None:
    z = np.array([3000.0, 700.0, 500.0, 300.0, 100.0])
    zhalf = np.array([4000.0, 900.0, 600.0, 400.0, 200.0, 0.0])
    u = np.full(5, 9.0)
    sv = np.array([4.0e5, 3.0e5, 3.0e5, 3.0e5, 3.0e5])
    h = depth_of(z, u, np.zeros(5), sv, u_star=0.4)
    assert h > 700.0
    inside = zhalf[2:5]

    def profile(buoyancy_flux: float) -> np.ndarray:
        columns = map(lanes, (z, zhalf, u, np.zeros(5), sv))
        out = np.zeros((6, 1))
        fixed = (9.8, lanes(3e5), lanes(0.4), lanes(buoyancy_flux), lanes(h))
        k_profile(*columns, *fixed, np.zeros(1), np.zeros(1), out)
        return out[2:5, 0]

    neutral_k = profile(0.0)
    np.testing.assert_allclose(neutral_k, 0.4 * 0.4 * inside * (1 - inside / h) ** 2, rtol=1e-12)
    np.testing.assert_allclose(
        profile(1e-3) / neutral_k, (0.4**3 + 0.6 * 1e-3 * h) ** (1 / 3) / 0.4, rtol=1e-12
    )
    stable = 1.0 + 5.0 * 0.4 * 1e-4 * inside / 0.4**3  # z/L below 1
    np.testing.assert_allclose(profile(-1e-4) * stable, neutral_k, rtol=1e-12)
    very_stable = 5.0 + 0.4 * 1e-2 * inside / 0.4**3  # z/L above 1
    np.testing.assert_allclose(profile(-1e-2) * very_stable, neutral_k, rtol=1e-12)


def test_shear_mixing_dies_out_in_stable_air_and_grows_in_unstable_air() -> None:
    neutral_k = shear_mixing(2000.0, 500.0, 100.0, 0.0)
    length = 1 / (1 / 800.0 + 1 / 30.0)
    assert neutral_k == pytest.approx(length**2 * 10.0 / 500.0)
    assert shear_mixing(2000.0, 500.0, 100.0, 0.2) == pytest.approx(neutral_k / 91.0)
    assert shear_mixing(2000.0, 500.0, 100.0, -0.2) == pytest.approx(neutral_k * math.sqrt(19.0))


def test_a_parameter_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ValidationError, match="louis"):
        BulkDiffusion.Parameters(exchange="monin")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="greater than 0"):
        BulkDiffusion.Parameters(gustiness="0 m s-1")  # type: ignore[arg-type]
