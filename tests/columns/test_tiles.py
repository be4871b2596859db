"""Types of surface in a cell: one alone is as the plain scheme; what they get is what air gave."""

from __future__ import annotations

import numpy as np
import pytest
from column_harness import column, host, moist_enthalpy, now, run, state

from coupler.interface.component import Arrays
from coupler.interface.constants import STEFAN_BOLTZMANN, Planet
from coupler.interface.errors import UnstableError
from coupler.interface.fields import TILES
from coupler.interface.grid import HybridLevels
from physics.columns.boundary_layer import BulkDiffusion
from physics.columns.boundary_layer_tiled import TiledDiffusion
from physics.columns.tiles import Mosaic, TileBalance

LEVELS = HybridLevels.stretched(11)
NAMES = ("sft_ocean", "sft_ice", "sft_land", "sft_snow")


def tiled_state(seed: int = 3) -> dict[str, np.ndarray]:
    x = state(LEVELS, seed=seed)
    rng = np.random.default_rng(seed)
    n = x["ps"].size
    parts = rng.dirichlet(np.ones(4), n).T
    parts[0] += parts[1] * (parts[1] < 0.15)
    parts[1] *= parts[1] >= 0.15
    x |= dict(zip(NAMES, parts, strict=True))
    x["sftof"] = parts[0] + parts[1]
    for tile in TILES:
        x[f"ts_{tile}"] = x["ts"] + 8.0 * rng.standard_normal(n)
        x[f"albs_{tile}"] = rng.uniform(0.1, 0.8, n)
    x["wetness_land"] = rng.uniform(0.0, 1.0, n)
    return x


@pytest.mark.parametrize("exchange", ["louis", "monin_obukhov"])
def test_a_cell_of_one_type_is_as_with_the_plain_scheme(exchange: str) -> None:
    x = tiled_state()
    for name in NAMES:
        x[name] = np.zeros_like(x["ps"])
    half = np.arange(x["ps"].size) % 2 == 0
    x["sft_land"], x["sft_ocean"] = np.where(half, 1.0, 0.0), np.where(half, 0.0, 1.0)
    x["sftlf"] = x["sft_land"]
    x["ts"] = np.where(half, x["ts_land"], x["ts_ocean"])
    x["wetness"] = np.where(half, x["wetness_land"], 1.0)
    plain, seen = run(BulkDiffusion(BulkDiffusion.Parameters(exchange=exchange)), x, LEVELS)
    tiles = TiledDiffusion(TiledDiffusion.Parameters(exchange=exchange))
    rates, found = run(tiles, x, LEVELS)
    # coefficients by similarity are iterated to one part in a thousand here
    close = {"rtol": 1e-9, "atol": 1e-12} if exchange == "louis" else {"rtol": 5e-3, "atol": 1e-5}
    for name in ("hfss", "evspsbl", "tauu"):
        scale = np.abs(seen[name]).max()
        np.testing.assert_allclose(found[name] / scale, seen[name] / scale, **close)
    if exchange == "louis":
        np.testing.assert_allclose(rates["ta"], plain["ta"], rtol=1e-9, atol=1e-15)
    kind = np.where(half, found["hfss_land"], found["hfss_ocean"])
    np.testing.assert_allclose(kind, found["hfss"], rtol=1e-9, atol=1e-10)


def test_types_get_what_the_column_gives() -> None:
    x = tiled_state()
    rates, found = run(TiledDiffusion(), x, LEVELS)
    for name in ("hfss", "evspsbl", "tauu", "tauv"):
        shared = sum(
            x[part] * found[f"{name}_{tile}"] for part, tile in zip(NAMES, TILES, strict=True)
        )
        scale = np.abs(found[name]).max()
        np.testing.assert_allclose(shared, found[name], rtol=0, atol=1e-12 * scale, err_msg=name)
        wrong = shared - 2.0 * x["sft_ice"] * found[f"{name}_ice"]
        assert np.abs(wrong - found[name]).max() > 1e-3 * scale, "a wrong sign must be seen"
    gained = column(moist_enthalpy(rates), x)
    given = found["hfss"] + found["hfls"]
    kinetic = column(rates["ua"] * x["ua"] + rates["va"] * x["va"], x)
    assert np.abs(gained - given).max() < 2.0 * np.abs(kinetic).max() + 1.0
    np.testing.assert_allclose(column(rates["hus"], x), found["evspsbl"], rtol=0, atol=1e-15)
    assert (found["evspsbl_ocean"][x["sft_ocean"] > 0] != 0.0).all()
    assert (found["hfss_ice"][x["sft_ice"] == 0] == 0.0).all(), "what is not there has no flux"


def test_rougher_types_take_more_momentum() -> None:
    x = tiled_state()
    for tile in TILES:
        x[f"ts_{tile}"] = x["ts"]
    x["wetness_land"] = np.ones_like(x["ps"])
    _, found = run(TiledDiffusion(), x, LEVELS)
    stress = {t: np.hypot(found[f"tauu_{t}"], found[f"tauv_{t}"]) for t in TILES}
    assert (stress["land"] > stress["ice"])[x["sft_ice"] > 0].all()
    assert (stress["ice"] > stress["snow"])[x["sft_ice"] > 0].all()


def arrays(names: str, x: dict[str, np.ndarray]) -> Arrays:
    return Arrays(**{n: x[n] for n in names})


def test_radiation_and_turbulence_are_shared_out_without_a_rest() -> None:
    x = tiled_state()
    planet, n = Planet(), x["ps"].size
    rng = np.random.default_rng(9)
    for name in ("rsds", "rsus", "rlds", "rlus"):
        x[name] = rng.uniform(0.0, 500.0, n)
    _, found = run(TiledDiffusion(), x, LEVELS)
    x |= found
    balance = TileBalance()
    balance.setup(host(LEVELS))
    out = Arrays(**{f"hfds_{t}": np.zeros(n) for t in TILES})
    balance.compute(arrays([p.name for p in balance.inputs], x), out, now())
    shared = sum(x[part] * getattr(out, f"hfds_{t}") for part, t in zip(NAMES, TILES, strict=True))
    latent = planet.latent_heat_vaporization * x["evspsbl"]
    net = x["rsds"] - x["rsus"] + x["rlds"] - x["rlus"] - x["hfss"] - latent
    np.testing.assert_allclose(shared, net, rtol=0, atol=1e-9)
    warm = out.hfds_land - out.hfds_snow
    expected = (x["albs_snow"] - x["albs_land"]) * x["rsds"]
    expected += STEFAN_BOLTZMANN * (x["ts_snow"] ** 4 - x["ts_land"] ** 4)
    expected += x["hfss_snow"] - x["hfss_land"]
    expected += planet.latent_heat_vaporization * (x["evspsbl_snow"] - x["evspsbl_land"])
    np.testing.assert_allclose(warm, expected, rtol=0, atol=1e-9)


def test_the_air_sees_the_emission_and_reflection_of_all_types() -> None:
    x = tiled_state()
    mosaic = Mosaic()
    mosaic.setup(host(LEVELS))
    out = Arrays(**{n: np.zeros_like(x["ps"]) for n in ("sft_ocean", "ts", "albs")})
    mosaic.compute(arrays([p.name for p in mosaic.inputs], x), out, now())
    emitted = sum(x[p] * x[f"ts_{t}"] ** 4 for p, t in zip(NAMES, TILES, strict=True))
    np.testing.assert_allclose(out.ts**4, emitted, rtol=1e-12)
    assert (out.sft_ocean >= 0.0).all()
    x["sft_land"] = x["sft_land"] + 0.01
    with pytest.raises(UnstableError, match="fractions of surface types do not add up"):
        mosaic.compute(arrays([p.name for p in mosaic.inputs], x), out, now())
