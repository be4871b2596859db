"""Correctors: whatever the schemes did, no air below zero, no water or energy from nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import tiny
from small_earth import small_earth

from coupler import Simulation
from coupler.driver.assemble import Assembly, assemble
from coupler.driver.correctors import ALL
from coupler.driver.loop import step
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError

PLANET = Planet()
RAISE = {"water": {"tolerance": 1e-12, "policy": "raise"}}
Array = np.ndarray[Any, Any]


def own(folder: Path, body: str) -> dict[str, Any]:
    """The small Earth with a scheme of its own for humidity."""
    raw = small_earth(folder, precision="float64")
    file = folder / "own.py"
    file.write_text(
        "from coupler.interface.component import Tendency, reads, tendencies_of\n"
        "from coupler.interface.registry import scheme\n"
        '@scheme("test_humidity", "own")\n'
        "class Own(Tendency):\n"
        '    inputs = reads("hus")\n'
        '    tendencies = tendencies_of("hus")\n'
        "    def compute(self, x, tend, flux, diag, now):\n"
        f"        {body}\n"
    )
    raw["plugins"] = [str(file)]
    raw["physics"]["test_humidity"] = "own"
    return raw


def case(folder: Path, correctors: Any = (), **changes: Any) -> dict[str, Any]:
    """The small Earth with a scheme that makes water, and its heat, of nothing."""
    return own(folder, "tend.hus[...] = 1e-8 * x.hus") | {"correctors": correctors} | changes


def gaps(model: Assembly) -> tuple[float, float]:
    """What a step's rates made of nothing, by formulas of our own: water [kg m-2 s-1], energy
    [W m-2]."""
    suite, dt = model.suite, model.atmosphere.physics_dt()
    x, r, pool = suite.start, suite.total, suite.pool
    mass = np.diff(suite.phalf, axis=0) / PLANET.gravity

    def energy(after: float) -> Array:
        new = {n: x[n] + after * r[n] for n in ("ua", "va", "ta", "hus")}
        heat = PLANET.cp_dry * new["ta"] + PLANET.latent_heat_vaporization * new["hus"]
        return np.asarray((heat + 0.5 * (new["ua"] ** 2 + new["va"] ** 2)) * mass)

    def mean(columns: Array) -> float:
        return model.atmosphere.grid.mean(columns.reshape(model.atmosphere.grid.shape))

    top = pool["rsdt"] - pool["rsut"] - pool["rlut"]
    ground = pool["rsds"] - pool["rsus"] + pool["rlds"] - pool["rlus"] - pool["hfss"] - pool["hfls"]
    gained = ((energy(dt) - energy(0.0)) / dt).sum(axis=0)
    water = (r["hus"] * mass).sum(axis=0) - pool["evspsbl"] + pool["pr"]
    return mean(water), mean(gained - (top - ground))


def watched(model: Assembly) -> list[tuple[float, float]]:
    """`gaps` of every step, taken where the dynamics take the rates."""
    found: list[tuple[float, float]] = []
    advance = model.atmosphere.advance

    def looked(tendencies: Any) -> None:
        found.append(gaps(model))
        advance(tendencies)

    model.atmosphere.advance = looked  # type: ignore[method-assign]
    return found


def test_a_scheme_that_makes_water_breaks_budgets_and_the_correctors_close_them(
    tmp_path: Path,
) -> None:
    plain = assemble(case(tmp_path), tmp_path)
    before = watched(plain)
    for _ in range(8):
        step(plain)
    assert plain.ledger.worst()["water_residual_worst"] > 1e-8
    assert abs(before[-1][0]) > 1e-9
    assert abs(before[-1][1]) > 1e-2

    model = assemble(case(tmp_path, "all", budgets=RAISE), tmp_path)
    after = watched(model)
    for _ in range(8):
        step(model)  # a gap of water in the air beyond 1e-12 would raise
    # rain of 1e-5 kg m-2 s-1 and fluxes of 1e2 W m-2, beside energies of 2e9 J m-2 in an hour
    assert max(abs(w) for w, _ in after) < 1e-19
    assert max(abs(e) for _, e in after) < 1e-8
    did = model.correctors.mean()
    pool = model.suite.pool
    np.testing.assert_allclose(pool["prl"] + pool["prc"], pool["pr"], rtol=1e-14, atol=1e-22)
    assert pool["pr"].max() > 1e-7
    assert abs(did["corrector_energy"]) > 1e-2
    assert model.correctors.record()["corrector_energy_largest"] > abs(did["corrector_energy"])
    assert abs(did["corrector_moisture"] + did["corrector_moisture_of_air"]) > 1e-9


@pytest.mark.parametrize("left_out", ["moisture", "energy"])
def test_without_one_of_them_its_budget_stays_open(tmp_path: Path, left_out: str) -> None:
    asked = [name for name in ALL if name != left_out]
    model = assemble(case(tmp_path, asked), tmp_path)
    found = watched(model)
    for _ in range(4):
        step(model)
    water, energy = found[-1]
    assert (abs(water) > 1e-9) == (left_out == "moisture")
    assert (abs(energy) > 1e-2) == (left_out == "energy")


def test_schemes_that_conserve_leave_them_nothing_to_do(tmp_path: Path) -> None:
    model = assemble(small_earth(tmp_path, correctors="all"), tmp_path)
    for _ in range(6):
        step(model)
    did = model.correctors.mean()
    assert did["corrector_clamp_hus"] == 0.0
    assert did["corrector_moisture_of_air"] == 0.0
    assert abs(did["corrector_moisture"]) < 1e-19
    assert abs(did["corrector_energy"]) < 1e-8


def test_float32_is_corrected_to_its_rounding(tmp_path: Path) -> None:
    model = assemble(case(tmp_path, "all", precision="float32"), tmp_path)
    for _ in range(8):
        step(model)
    worst = model.ledger.worst()
    assert 0.0 < worst["water_residual_worst"] < 1e-7


def test_the_clamp_leaves_nothing_for_the_dynamics_to_fill(tmp_path: Path) -> None:
    # a third of all columns is dried twice over, which a column cannot make good by itself
    raw = own(tmp_path, "tend.hus[:, ::3] = -2.0 * x.hus[:, ::3] / now.dt")
    made, filled = {}, {}
    for asked in ((), ("clamp",), ("clamp", "moisture")):
        model = assemble(raw | {"correctors": list(asked)}, tmp_path)
        found = watched(model)
        for _ in range(3):
            step(model)
        filled[asked] = model.atmosphere.budgets()["water_filled"][0]
        made[asked] = model.correctors.mean().get("corrector_clamp_hus", 0.0)
        assert (abs(found[-1][0]) < 1e-18) == ("moisture" in asked)
    assert filled[()] > 0.01
    assert filled["clamp",] == filled["clamp", "moisture"] == 0.0
    assert made["clamp",] > 1e-5


def test_what_rain_cannot_bear_the_humidity_does(tmp_path: Path) -> None:
    raw = own(tmp_path, "tend.hus[...] = 1e-6 * x.hus") | {"correctors": ["moisture"]}
    for scheme in ("convection", "condensation"):
        del raw["physics"][scheme]
    model = assemble(raw | {"budgets": RAISE}, tmp_path)
    found = watched(model)
    for _ in range(4):
        step(model)
    did = model.correctors.mean()
    assert did["corrector_moisture"] == 0.0
    # 1e-6 of some 20 kg m-2 in a second
    assert -1e-4 < did["corrector_moisture_of_air"] < -1e-6
    assert max(abs(w) for w, _ in found) < 1e-18


def test_air_without_water_has_none_taken(tmp_path: Path) -> None:
    raw = small_earth(tmp_path, correctors="all")
    raw["atmosphere"] |= {"relative_humidity": 0.0}
    model = assemble(raw, tmp_path)
    for _ in range(4):
        step(model)
        assert model.suite.total["hus"].min() > -1e-20
    assert all(np.isfinite(v) for v in model.correctors.mean().values())


def test_dry_air_is_that_of_the_start_and_a_loss_is_seen(tmp_path: Path) -> None:
    model = assemble(small_earth(tmp_path, correctors=["dry_air"]), tmp_path)
    for _ in range(10):
        step(model)
    assert abs(model.correctors.mean()["corrector_dry_air"]) < 1e-7  # of 1e5 Pa
    core: Any = model.atmosphere
    core.core.dry_mass -= 10.0
    for _ in range(10):
        step(model)
    assert model.correctors.take()["corrector_dry_air"][0] == pytest.approx(-4.5, abs=0.6)


def test_efforts_are_in_the_files_and_go_on_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = case(tmp_path, "all", days=0.375, restart={"interval": 0.25})
    with caplog.at_level(logging.INFO, logger="coupler"):
        whole = tiny.run(tmp_path / "whole", raw)
    assert "corrector energy" in caplog.text
    tiny.run(tmp_path / "parts", raw, days=0.25)
    parts = tiny.run(tmp_path / "parts", raw, resume=True)
    for name in ("budgets", "atmosphere", "ocean"):
        one, two = (tiny.contents(s.folder.path / f"{name}.nc") for s in (whole, parts))
        tiny.assert_same(two, one)
    assert parts.model.correctors.mean() == whole.model.correctors.mean()
    with netCDF4.Dataset(whole.folder.path / "budgets.nc") as file:
        assert file["corrector_energy"].units == "W m-2"
        assert np.abs(file["corrector_energy"][:]).min() > 1e-2
        assert np.abs(file["water_residual_air"][:]).max() < 1e-15


def refused(folder: Path, match: str, change: Callable[[dict[str, Any]], Any]) -> None:
    raw = small_earth(folder)
    change(raw)
    with pytest.raises(ConfigError, match=match):
        assemble(raw, folder)


def test_what_cannot_be_corrected_is_refused(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "correctors in an order in which they cannot act.*clamp, dry_air, moisture, energy",
        lambda raw: raw.update(correctors=["energy", "clamp"]),
    )
    refused(tmp_path, "'clamp', 'dry_air'", lambda raw: raw.update(correctors=["clip"]))

    def without_rain(raw: dict[str, Any]) -> None:
        raw["correctors"] = ["moisture"]
        for name in ("precipitation", "land", "rivers", "ocean", "ice", "tiles", "tile_balance"):
            raw.pop(name, None)
            raw["physics"].pop(name, None)
        raw["physics"]["boundary_layer"] = "bulk_diffusion"
        raw["surface"] = "slab"

    refused(
        tmp_path, "without the fluxes that it closes: correctors: moisture.*no pr", without_rain
    )

    def rarely(raw: dict[str, Any]) -> None:
        raw["correctors"] = ["moisture"]
        raw["physics"]["precipitation"] = {"scheme": "total", "interval": "1 h"}

    refused(tmp_path, "rain that is held between calls.*3600 s", rarely)


def test_they_are_switched_on_by_one_line(tmp_path: Path) -> None:
    raw = tiny.changed(tiny.COUPLED, {"physics.precipitation": "total"})
    on = Simulation.from_case(raw, set={"correctors": "all"}, out=tmp_path / "on")
    assert on.model.correctors.asked == ALL
    assert Simulation.from_case(raw, out=tmp_path / "off").model.correctors.asked == ()
