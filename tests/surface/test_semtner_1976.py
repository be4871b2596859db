"""Zero-layer sea ice: Semtner (1976), Stefan's law, the cycle of Maykut and Untersteiner (1971)."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import pytest
from pydantic import ValidationError

from coupler.driver.behind import BehindModel
from coupler.driver.connect import differing
from coupler.exchange.remote_model import RemoteModel
from coupler.interface.component import Site
from coupler.interface.constants import Planet
from physics.surface.parts import FREEZING, FUSION, MELTING
from physics.surface.sea_ice import RHO_ICE, RHO_SNOW, SemtnerIce, freeze_and_melt
from physics.surface.slab_ocean import SlabOcean

Array = np.ndarray[Any, Any]
CONDUCTIVITY = 2.04
SETTINGS = (2.0e5, CONDUCTIVITY, 0.31, 0.5, 0.05, 1.0, FREEZING, FUSION)


class Floe:
    """Cells of sea under ice."""

    def __init__(self, thickness: float, *, n: int = 1, snow: float = 0.0, cover: float = 1.0):
        self.cover = np.full(n, cover)
        self.ice, self.snow = self.cover * RHO_ICE * thickness, np.full(n, snow)
        self.skin, self.sea = np.full(n, FREEZING), np.ones(n)
        self.to_sea, self.water = np.zeros(n), np.zeros(n)

    def step(
        self,
        dt: float,
        heat: Any,
        *,
        base: Any = 0.0,
        evaporation: Any = 0.0,
        rain: Any = 0.0,
        air: Any = 250.0,
    ) -> None:
        def full(x: Any) -> Array:
            return np.broadcast_to(np.asarray(x, float), self.cover.shape).copy()

        state = self.cover, self.ice, self.snow, self.skin, self.sea
        fluxes = full(heat), full(evaporation), full(rain), full(air), full(base)
        freeze_and_melt(*state, *fluxes, dt, SETTINGS, self.to_sea, self.water)

    def close_leads(self) -> None:
        """A column of Semtner's has no leads: what melts at its sides is melted below."""
        self.cover[:] = 1.0

    @property
    def thickness(self) -> float:
        return float(self.ice[0] / (self.cover[0] * RHO_ICE))

    def energy(self) -> Array:
        skin = SETTINGS[0] * self.cover * (self.skin - MELTING)
        return np.asarray(skin - FUSION * (self.ice + self.snow))


def test_ice_grows_by_stefans_law() -> None:
    """h^2/(2k) + h/lambda = (T_f - T_a) t/(rho L): Stefan (1891) with a linear surface balance."""
    floe, reaction, cold, dt = Floe(0.3), 25.0, 243.15, 3600.0
    years, start = 0.5, 0.3
    for _ in range(int(years * 8760)):
        floe.step(dt, -reaction * (floe.skin - cold))
    grown = (FREEZING - cold) * years * 8760 * dt / (RHO_ICE * FUSION)
    k = CONDUCTIVITY
    expected = start**2 / (2 * k) + start / reaction + grown
    h = k * (-1 / reaction + np.sqrt(1 / reaction**2 + 2 / k * expected))
    # the skin's heat takes some hours of the first growth
    assert floe.thickness == pytest.approx(h, rel=2e-3)
    assert h > 1.5, "the law must be tried where conduction limits the growth"


def test_ice_in_balance_conducts_what_the_sea_gives() -> None:
    """h = k (T_f - T_s)/F_w with T_s = T_a + F_w/lambda: the zero-layer model's steady state."""
    reaction, cold, base = 20.0, 263.15, 20.0
    floe = Floe(1.2)
    for _ in range(8000):
        floe.step(10800.0, -reaction * (floe.skin - cold), base=base)
        floe.close_leads()
    expected = CONDUCTIVITY * (FREEZING - cold - base / reaction) / base
    assert floe.thickness == pytest.approx(expected, rel=2e-3)
    assert floe.skin[0] == pytest.approx(cold + base / reaction, abs=5e-3)


MONTHLY = {
    # kcal cm-2 a month, January to December: Fletcher (1965) as Maykut and Untersteiner took it
    "sun": (0.0, 0.0, 1.9, 9.9, 17.7, 19.2, 13.6, 9.0, 3.7, 0.4, 0.0, 0.0),
    "longwave": (10.4, 10.3, 10.3, 11.6, 15.1, 18.0, 19.1, 18.7, 16.5, 13.9, 11.2, 10.9),
    "sensible": (1.18, 0.76, 0.72, 0.29, -0.45, -0.39, -0.30, -0.40, -0.17, 0.10, 0.56, 0.79),
    "latent": (0.0, -0.02, -0.03, -0.09, -0.46, -0.70, -0.64, -0.66, -0.39, -0.19, -0.01, -0.01),
}
ALBEDO = (0.84, 0.84, 0.83, 0.81, 0.82, 0.78, 0.64, 0.69, 0.84, 0.85, 0.85, 0.85)
SNOWFALL = (0.8, 0.8, 0.8, 0.8, 5.0, 0.0, 0.0, 7.0, 11.5, 11.5, 0.8, 0.8)
"""[cm of snow a month]"""


def test_the_central_arctic_has_the_cycle_of_maykut_and_untersteiner_1971() -> None:
    """Their ice is 2.88 m thick on average, thickest in May or June, thinnest in September.

    Here no sun gets into the ice and no brine stores it: all of it melts at the surface, and the
    ice is thinner, with its extremes in their months.
    """
    unit, month = 4.184e7 / (30.0 * 86400.0), 30.0 * 86400.0  # W m-2 of a kcal cm-2 a month
    floe, dt = Floe(2.5), 6 * 3600.0
    for year in range(20):
        cycle = []
        for m in range(12):
            down = (1.0 - ALBEDO[m]) * MONTHLY["sun"][m] + MONTHLY["longwave"][m]
            down += MONTHLY["sensible"][m] + MONTHLY["latent"][m]
            snow = SNOWFALL[m] * 0.01 * 330.0 / month
            for _ in range(120):
                # the snowfall's own heat is not in their forcing
                heat = unit * down - 0.97 * 5.670374e-8 * floe.skin**4 - FUSION * snow
                floe.step(dt, heat, base=2.0, rain=snow)
                floe.close_leads()
            cycle.append(floe.thickness)
        if year == 18:
            before = list(cycle)
    assert np.abs(np.subtract(cycle, before)).max() < 0.01, "must have come to rest"
    mean = float(np.mean(cycle))
    assert 0.9 < mean < 2.88, mean
    assert int(np.argmax(cycle)) + 1 in (4, 5, 6), cycle
    assert int(np.argmin(cycle)) + 1 in (8, 9), cycle
    assert 0.3 < max(cycle) - min(cycle) < 1.2


def wild(n: int = 400) -> tuple[Floe, dict[str, Array]]:
    rng = np.random.default_rng(5)
    floe = Floe(1.0, n=n)
    floe.cover[:] = rng.choice([0.0, 0.3, 0.97, 1.0], n)
    floe.ice[:] = floe.cover * RHO_ICE * rng.choice([0.06, 0.2, 3.0], n)
    floe.snow[:] = np.where(floe.cover > 0, rng.choice([0.0, 2.0, 100.0], n), 0.0)
    floe.skin[:] = np.where(floe.cover > 0, rng.uniform(240.0, MELTING, n), FREEZING)
    return floe, {
        "heat": rng.uniform(-300.0, 600.0, n),
        "base": rng.choice([-1000.0, -20.0, 0.0, 30.0, 3000.0], n),
        "evaporation": rng.uniform(-2e-5, 2e-3, n),
        "rain": rng.uniform(0.0, 1e-3, n),
        "air": rng.uniform(265.0, 280.0, n),
    }


def test_ice_loses_no_energy_and_no_water() -> None:
    dt = 7200.0
    for tampered in (False, True):
        floe, forcing = wild()
        for _ in range(6):
            energy, water, cover = floe.energy(), floe.ice + floe.snow, floe.cover.copy()
            floe.step(dt, **forcing)
            given = cover * forcing["heat"] + forcing["base"] - floe.to_sea
            if tampered:
                given -= 2.0 * np.minimum(forcing["base"], 0.0) * 1e-6
            rained = cover * (forcing["rain"] - forcing["evaporation"]) - floe.water
            scale = np.abs(energy) + dt * (np.abs(forcing["heat"]) + np.abs(forcing["base"]))
            lost = np.abs(floe.energy() - energy - dt * given) / (scale + 1.0)
            # a few roundings of numbers of this size
            assert (lost.max() > 1e-10) if tampered else (lost.max() < 1e-14)
            gone = np.abs(floe.ice + floe.snow - water - dt * rained)
            assert gone.max() < 1e-11
            assert ((floe.cover >= 0) & (floe.cover <= 1)).all()
            assert (floe.ice >= 0).all() and (floe.snow > -1e-12).all()
            assert (floe.skin <= MELTING).all()


def test_new_ice_closes_leads_by_hiblers_rule_and_vanishing_ice_leaves_nothing() -> None:
    floe = Floe(0.0, cover=0.0)
    floe.step(3600.0, 0.0, base=-100.0)
    made = 100.0 * 3600.0 / FUSION
    assert floe.ice[0] == pytest.approx(made, rel=1e-12)
    # as thick as h_0 would be, but not thicker than the ice there is over `thinnest`
    assert floe.cover[0] == pytest.approx(made / RHO_ICE / 0.5, rel=1e-12)
    floe.step(3600.0, 0.0, base=1000.0)
    assert floe.cover[0] == floe.ice[0] == floe.snow[0] == 0.0
    assert floe.to_sea[0] == pytest.approx(900.0, rel=0.1)


def test_a_step_that_is_too_long_for_the_skin_is_refused() -> None:
    with pytest.raises(ValidationError, match="step too long for the skin of the ice"):
        SemtnerIce.Parameters(dt=10800.0)


def test_snow_on_ice_that_melts_away_goes_with_it_and_lies_no_deeper_on_the_rest() -> None:
    floe = Floe(0.6, snow=0.9 * 330.0 * 0.3, cover=0.9)
    energy, mass = floe.energy(), floe.ice + floe.snow
    dt = 3600.0
    for _ in range(40):
        floe.step(dt, 0.0, base=400.0)  # warm water below, nothing melts above
        depth = floe.snow / (floe.cover * 330.0)
        np.testing.assert_allclose(depth, 0.3, rtol=1e-12)
        mass -= dt * floe.water
        energy += dt * (400.0 - floe.to_sea)
    assert floe.cover[0] < 0.75
    np.testing.assert_allclose(floe.ice + floe.snow, mass, rtol=1e-12)
    np.testing.assert_allclose(floe.energy(), energy, rtol=1e-12)


@pytest.mark.parametrize(
    ("thickness", "depth", "skin", "expected"),
    [
        (2.0, 0.0, 250.0, 0.55),
        (2.0, 0.0, MELTING, 0.55),  # bare ice is as bright when it melts
        (2.0, 0.3, 250.0, 0.75),
        (2.0, 0.3, MELTING, 0.65),
        (2.0, 0.025, MELTING, 0.60),
        (0.125, 0.0, 250.0, 0.26 + 0.5 * (0.55 - 0.26)),
        (1e-9, 0.3, 250.0, 0.26),  # never darker than the water
    ],
)
def test_albedo_is_that_of_bare_ice_snow_and_the_water_that_shows_through(
    thickness: float, depth: float, skin: float, expected: float
) -> None:
    ice = SemtnerIce(SemtnerIce.Parameters(nlat=8, nlon=16))
    ice.setup(Site(planet=Planet(), dtype=np.dtype("f8"), seed=0, boundary={},
                   date=cftime.datetime(2000, 1, 1)))  # fmt: skip
    ice._cover[:], ice._skin[:] = 0.8, skin
    ice._ice[:], ice._snow[:] = 0.8 * RHO_ICE * thickness, 0.8 * RHO_SNOW * depth
    ice._show()
    np.testing.assert_allclose(ice.fields()["albs_ice"], expected, atol=1e-4)


def test_water_that_is_not_that_of_the_ocean_is_said() -> None:
    sea = SlabOcean(SlabOcean.Parameters(albedo=0.1))
    (said,) = differing({"ocean": sea, "ice": SemtnerIce()})
    assert "two numbers for one thing: ice.albedo_water; expected 0.1" in str(said)
    ice = SemtnerIce(SemtnerIce.Parameters(freezing_point=271.0, albedo_water=0.1))
    (said,) = differing({"ocean": sea, "ice": ice})
    assert "ice.freezing_point" in str(said)
    nobody: Any = object()
    for other in (BehindModel(ice), RemoteModel(ice, nobody, deadline=1.0, greeting=1.0)):
        assert differing({"ocean": sea, "ice": other}) == [said], "with a lag, on another rank"
    assert "found 271" in str(said)
    assert not differing({"ocean": SlabOcean(), "ice": SemtnerIce()})
    assert not differing({"ice": ice})
