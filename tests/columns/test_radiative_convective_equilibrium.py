"""Grey radiation, boundary layer, convection and condensation together, over a fixed surface.

Columns over water of fixed temperature in a fixed wind are run to equilibrium. Whatever that is,
its budgets are known: what leaves at the top enters at the ground, rain is evaporation.
"""

import numpy as np
import pytest
from column_harness import PLANET, Bound, column, heights, now, run, state

from coupler.interface.component import Tendency
from coupler.interface.grid import HybridLevels
from physics.columns.betts_miller import SimplifiedBettsMiller
from physics.columns.boundary_layer import BulkDiffusion
from physics.columns.condensation import LargeScaleCondensation
from physics.columns.dry_adjustment import DryAdjustment
from physics.columns.grey_radiation import GreyRadiation
from physics.columns.thermo import saturation

LEVELS = HybridLevels.stretched(20, scale_heights=5.0)
DT = 1200.0
CP, L = PLANET.cp_dry, PLANET.latent_heat_vaporization
SURFACE = ("rlus", "rlds", "rsds", "rsus", "hfss", "hfls", "rlut", "rsdt", "rsut", "evspsbl")


def march(convection: type[Tendency], days: int) -> dict[str, np.ndarray]:
    """Means over the last fifth, the worst energy residual of a step, and the final state."""
    x = state(LEVELS, dtype="float64")
    x["orog"][:], x["wetness"][:], x["sftlf"][:], x["albs"][:] = 0.0, 1.0, 0.0, 0.31
    x["lat"][:] = np.linspace(0.0, 60.0, x["lat"].size)
    x["ts"][:] = 300.0 - 30.0 * np.sin(np.radians(x["lat"])) ** 2
    x["ta"] = x["ts"] * np.maximum(x["pfull"] / x["ps"], 0.2) ** 0.19
    x["hus"] *= 0.5
    x["ua"][:], x["va"][:] = 5.0, 0.0
    still = BulkDiffusion.Parameters(dissipation=False)  # the wind is held, so is its energy
    schemes = [
        Bound(s, x, LEVELS)
        for s in (
            GreyRadiation(GreyRadiation.Parameters(tau_sw=0.1)),
            BulkDiffusion(still),
            convection(),
            LargeScaleCondensation(),
        )
    ]
    steps = int(days * 86400 / DT)
    late = steps - steps // 5
    means = {name: np.zeros(x["ps"].shape) for name in (*SURFACE, "rain", "gain")}
    worst = 0.0
    when = now(DT)
    for step in range(steps):
        if step % 12 == 0:
            heights(x)
        check = step % 500 == 0
        before = column(CP * x["ta"] + L * x["hus"], x) if check or step == late else None
        if step == late:
            start = before
        diag: dict[str, np.ndarray] = {}
        for b in schemes:
            rates = b(when)
            for name in ("ta", "hus"):
                if name in rates:
                    x[name] += DT * rates[name]
            diag.update(b.diag)
        rain = diag["prl"] + diag.get("prc", 0.0)
        entering = (
            *("rlus", "rsus", "rsdt", "hfss", "hfls"),
            *("rlds", "rsds", "rlut", "rsut"),
        )
        net = sum(diag[n] * (1 if i < 5 else -1) for i, n in enumerate(entering))
        if check:
            gain = column(CP * x["ta"] + L * x["hus"], x) - before
            # energy of a column is 3e9 J/m2, its change in a step 1e5: round-off of the sum
            worst = max(worst, float(np.abs(gain - DT * net).max() / 3e9))
        if step >= late:
            for name in SURFACE:
                means[name] += diag[name] / (steps - late)
            means["rain"] += rain / (steps - late)
    means["gain"] = (column(CP * x["ta"] + L * x["hus"], x) - start) / (DT * (steps - late))
    return {**means, "worst": np.array(worst), **{f"final.{n}": x[n] for n in x}}


@pytest.mark.parametrize("convection", [SimplifiedBettsMiller, DryAdjustment])
def test_columns_reach_an_equilibrium_with_closed_budgets(convection: type[Tendency]) -> None:
    m = march(convection, 200)
    assert m["worst"] < 1e-13
    assert np.abs(m["gain"]).max() < 0.5  # [W m-2], of fluxes of 200 to 300
    top = m["rsdt"] - m["rsut"] - m["rlut"]
    ground = m["rsds"] - m["rsus"] + m["rlds"] - m["rlus"] - m["hfss"] - m["hfls"]
    # the surface is held, so that the whole column is not closed: but what goes in at the top
    # less what goes out at the ground is the gain of the air
    np.testing.assert_allclose(top - ground, m["gain"], atol=1e-6)
    np.testing.assert_allclose(m["rain"], m["evspsbl"], rtol=2e-2)
    assert (m["rain"] * 86400.0 > 0.3).all()  # [mm day-1]
    ta, p = m["final.ta"], m["final.pfull"]
    theta = ta * (1e5 / p) ** PLANET.kappa
    # what condensed last may have left a layer unstable by the heat of one step, not by more
    assert (np.diff(theta, axis=0) < 1.5).all()
    assert ta.min() > 150.0
    assert m["final.hus"].min() > -1e-15
    warm = 0  # the column at the equator: a tropical troposphere
    at_500 = np.interp(5e4, p[:, warm], ta[:, warm])
    assert 245.0 < at_500 < 285.0
    assert 180.0 < m["rlut"][warm] < 330.0
    args = (L, PLANET.gas_constant_dry, PLANET.gas_constant_vapour)
    rh = m["final.hus"][-1, warm] / saturation(ta[-1, warm], p[-1, warm], *args)[0]
    assert 0.5 < rh <= 1.001


def test_moist_convection_makes_the_tropics_more_stable_than_dry() -> None:
    moist, dry = march(SimplifiedBettsMiller, 60), march(DryAdjustment, 60)
    for m in (moist, dry):
        m["aloft"] = np.interp(3e4, m["final.pfull"][:, 0], m["final.ta"][:, 0])
    assert moist["aloft"] > dry["aloft"] + 2.0


def test_without_a_surface_the_air_only_cools() -> None:
    x = state(LEVELS)
    x["ta"][:] = 260.0
    x["ts"][:] = 1e-3  # no emission
    x["albs"][:] = 1.0
    rates, d = run(GreyRadiation(), x, LEVELS)
    assert (rates["ta"] < 0).all()
    assert (d["rlut"] > 0).all()
