"""Water and energy among air, sea, ice, land and rivers; what is wrong is named."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from small_earth import small_earth
from tiny import COUPLED

from coupler import Simulation
from coupler.driver.assemble import Assembly, assemble
from coupler.driver.loop import step
from coupler.interface.errors import ConfigError, CouplerError, UnstableError

RAISE = {
    "water": {"tolerance": 1e-12, "policy": "raise"},
    "energy": {"tolerance": 1e-4, "policy": "raise"},
}


def total_water(model: Assembly) -> float:
    """All water, added up without the ledger."""
    water = model.atmosphere.water()
    assert water is not None
    way = 0.0
    for c in model.couplings.values():
        stores = c.model.stores()
        water += c.model.grid.mean(stores["water"]) if "water" in stores else 0.0
        parts = c.model.parts(c.received)
        sums = c.sums.memory()
        for name in c.sums.names:
            if name == "pr" or name.startswith("evspsbl"):
                share = c.back.apply(parts[name])
                sign = 1.0 if name == "pr" else -1.0
                way += sign * model.atmosphere.grid.mean(share * sums[f"{name}.sum"])
        for link in c.between:
            if link.name in ("mrro", "friver", "fsitherm"):
                way += link.giver.grid.mean(link.total)
    return water + way


def test_water_closes_at_every_step_to_1e_12_and_energy_in_every_exchange(tmp_path: Path) -> None:
    model = assemble(small_earth(tmp_path, budgets=RAISE), tmp_path)
    water, ran_off = total_water(model), 0.0
    for n in range(28):  # through several steps of every model; a breach would raise
        step(model)
        now = total_water(model)
        made = model.atmosphere.water_made()
        assert abs(now - made - water) < 1e-12 * now, n
        water = now
        ran_off += float(model.couplings["land"].model.fields()["mrro"].max())
    assert ran_off > 0.0, "rivers must have had something to carry"
    worst = model.ledger.worst()
    assert worst["water_residual_worst"] < 1e-12
    # 1e10 J m-2 in the sea, rounded, over half an hour
    assert worst["energy_residual_worst"] < 1e-6
    stored = {n: c.model.stores() for n, c in model.couplings.items()}
    assert stored["rivers"]["water"].max() > 0.0
    assert stored["ice"]["energy"].min() < 0.0


@pytest.mark.parametrize(
    ("own", "weight"), [("mass_flux", 0.3), ("mass_flux", 1.0), ("dry_adjustment", 0.3)]
)
def test_a_blend_of_convections_rains_what_it_takes_from_the_air(
    tmp_path: Path, own: str, weight: float
) -> None:
    """Where others saw the rain of one scheme alone, this raised at the first exchange."""
    raw = small_earth(tmp_path, budgets=RAISE)
    raw["physics"]["convection"] = {
        "scheme": own, "mode": "blend", "weight": weight, "reference": "betts_miller",
    }  # fmt: skip
    model = assemble(raw, tmp_path)
    process = next(p for p in model.suite.processes if p.name == "convection")
    water, apart = total_water(model), 0.0
    for n in range(14):
        step(model)
        now, made = total_water(model), model.atmosphere.water_made()
        assert abs(now - made - water) < 1e-12 * now, n
        water = now
        seen, (one, other) = process.shared["prc"]
        assert model.suite.pool["prc"] is seen
        one, other = (np.zeros_like(seen) if a is None else a for a in (one, other))
        np.testing.assert_allclose(seen, weight * one + (1.0 - weight) * other, rtol=1e-14)
        apart = max(apart, float(np.abs(one - other).max()))
    assert apart > 1e-7, "two schemes that rain alike show nothing"
    assert {"prc", "prc_betts_miller"} <= model.suite.outputs().keys()


def test_float32_stays_inside_its_stated_tolerance(tmp_path: Path) -> None:
    model = assemble(small_earth(tmp_path, precision="float32"), tmp_path)
    for _ in range(12):
        step(model)
    worst = model.ledger.worst()
    assert 0.0 < worst["water_residual_worst"] < 1e-7
    assert worst["energy_residual_worst"] < 1e-2


def flip_received(name: str, field: str) -> Callable[[Assembly], None]:
    """Turns the sign of a flux on its way into a model."""

    def tamper(model: Assembly) -> None:
        coupling = model.couplings[name]
        receive = coupling.receive

        def wrong() -> None:
            receive()
            np.negative(getattr(coupling.received, field), out=getattr(coupling.received, field))

        coupling.receive = wrong  # type: ignore[method-assign]

    return tamper


def flip_inside(name: str, field: str) -> Callable[[Assembly], None]:
    """A model that takes one of its fluxes with the wrong sign."""

    def tamper(model: Assembly) -> None:
        inner = model.couplings[name].model
        right = inner.step

        def wrong(received: Any, now: Any) -> None:
            array = getattr(received, field)
            np.negative(array, out=array)
            right(received, now)
            np.negative(array, out=array)

        inner.step = wrong  # type: ignore[method-assign]

    return tamper


def flip_tile(name: str, field: str) -> Callable[[Assembly], None]:
    """A flux of one type of surface that is not what the air felt."""

    def tamper(model: Assembly) -> None:
        coupling = model.couplings[name]
        collect, array = coupling.collect, model.suite.pool[field]
        sums = coupling.sums.memory()[f"{field}.sum"]

        def wrong(dt: float) -> None:
            collect(dt)
            sums[...] -= 2.0 * dt * array.reshape(sums.shape)

        coupling.collect = wrong  # type: ignore[method-assign]

    return tamper


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (flip_received("land", "evspsbl_land"), "water is not conserved in the exchange between "),
        (flip_inside("land", "pr"), "water is not conserved in land"),
        (flip_inside("ocean", "hfds_ocean"), "energy is not conserved in ocean"),
        (flip_inside("ice", "hfsi"), "energy is not conserved in ice"),
        (flip_inside("rivers", "mrro"), "water is not conserved in rivers"),
        (flip_tile("ice", "evspsbl_ice"), "water is not conserved in the sharing of the air's"),
        (flip_received("ocean", "hfds_ocean"), "energy is not conserved in the exchange between"),
    ],
)
def test_one_flux_with_a_wrong_sign_is_found_and_named(
    tmp_path: Path, tamper: Callable[[Assembly], None], named: str
) -> None:
    model = assemble(small_earth(tmp_path, budgets=RAISE), tmp_path)
    tamper(model)
    with pytest.raises(UnstableError, match=named):
        for _ in range(24):
            step(model)


def test_what_fix_does_not_mend_is_still_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budgets = {"water": {"tolerance": 1e-12, "policy": "fix"}}
    for tampered in (False, True):
        model = assemble(small_earth(tmp_path, budgets=budgets), tmp_path)
        if tampered:
            flip_tile("ice", "evspsbl_ice")(model)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            for _ in range(8):
                step(model)
        said = [r for r in caplog.records if "in the sharing of the air's fluxes" in r.message]
        assert len(said) == tampered


def aquaplanet(**changes: Any) -> dict[str, Any]:
    """A slab that receives the heat of whole cells, stepped with the air's second step."""
    raw = copy.deepcopy(COUPLED)
    raw["physics"]["precipitation"] = "total"
    del raw["physics"]["gravity_wave"]
    raw["surface"]["dt"] = "40 min"
    return raw | {"precision": "float64", "budgets": RAISE} | changes


def test_a_slab_under_the_whole_sky_is_in_the_books(tmp_path: Path) -> None:
    model = assemble(aquaplanet(), tmp_path)
    for _ in range(6):  # a breach would raise
        step(model)
    worst = model.ledger.worst()
    assert worst["water_residual_worst"] < 1e-12
    assert worst["energy_residual_worst"] < 1e-6
    found = {n: v for n, (v, _, _) in model.ledger.take().items()}
    residuals = {f"energy_residual_{n}" for n in ("sharing", "surface", "surface_exchange")}
    assert residuals | {"water_residual_air", "water_of_the_sea", "energy_of_surface"} <= set(found)
    assert abs(found["water_residual_air"]) < 1e-15
    assert abs(found["water_of_the_sea"]) > 1e-3
    # What an older restart does not hold is begun anew.
    model.ledger.restore({})
    for _ in range(2):
        step(model)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (flip_inside("surface", "rlds"), "energy is not conserved in surface"),
        (flip_received("surface", "hfls"), "energy is not conserved in the exchange between air"),
        (flip_tile("surface", "rlus"), "energy is not conserved in the sharing"),
    ],
)
def test_a_wrong_sign_under_a_slab_is_named(
    tmp_path: Path, tamper: Callable[[Assembly], None], named: str
) -> None:
    model = assemble(aquaplanet(), tmp_path)
    tamper(model)
    with pytest.raises(UnstableError, match=named):
        for _ in range(4):
            step(model)


def test_gaps_that_cancel_are_gaps(tmp_path: Path) -> None:
    budgets = {"energy": {"tolerance": 1e3, "policy": "warn"}}
    model = assemble(aquaplanet(budgets=budgets), tmp_path)
    coupling = model.couplings["surface"]
    slab: Any = coupling.model
    right, receive, leaked = slab.step, coupling.receive, 5.0

    def wrong(received: Any, now: Any) -> None:  # loses what has come too much
        right(received, now)
        slab._sea -= leaked * slab.dt / (slab.p.depth * slab.p.sea_heat_capacity)

    def tampered() -> None:
        receive()
        coupling.received.rlds[...] += leaked

    slab.step = wrong
    coupling.receive = tampered  # type: ignore[method-assign]
    for _ in range(2):
        step(model)
    found = {n: v for n, (v, _, _) in model.ledger.take().items()}
    parts = found["energy_residual_surface"], found["energy_residual_surface_exchange"]
    assert min(map(abs, parts)) > 4.0
    assert abs(sum(parts)) < 1.0
    assert model.ledger.worst()["energy_residual_worst"] == pytest.approx(max(map(abs, parts)))


def test_a_contract_without_anything_to_hold_is_said(tmp_path: Path) -> None:
    assert not assemble(aquaplanet(), tmp_path).ledger.advice()
    dry = aquaplanet()
    del dry["physics"]["precipitation"]
    (said,) = assemble(dry, tmp_path).ledger.advice()
    assert "budgets.water" in str(said)
    assert "found no pr" in str(said)
    behind = aquaplanet(surface={**aquaplanet()["surface"], "lag": 1})
    said = "\n".join(map(str, assemble(behind, tmp_path).ledger.advice()))
    assert "budgets.energy" in said
    assert "no model that keeps account" in said
    assert not assemble({**dry, "budgets": {}}, tmp_path).ledger.advice(), "nobody asked"


def leaky(model: Assembly) -> None:
    """Land that loses a thousandth of its water at each step."""
    land: Any = model.couplings["land"].model
    right = land.step

    def wrong(received: Any, now: Any) -> None:
        right(received, now)
        land._water *= 0.999

    land.step = wrong


def test_a_leak_is_warned_of_once_and_can_be_made_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = {}
    for policy in ("warn", "fix"):
        budgets = {"water": {"tolerance": 1e-12, "policy": policy}}
        model = assemble(small_earth(tmp_path, budgets=budgets), tmp_path)
        step(model)  # of which the air leaves out what physics did to its humidity
        leaky(model)
        before = total_water(model)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            for _ in range(12):
                step(model)
        said = [r for r in caplog.records if "water is not conserved in land" in r.message]
        assert len(said) == (1 if policy == "warn" else 0)
        made = model.ledger.take()
        lost[policy] = abs(total_water(model) - before)
        if policy == "fix":
            assert made["water_fix_land"][0] > 0.0
    # of a leak that lasts, what is still owed is that of the last step of twelve
    assert lost["fix"] < 0.15 * lost["warn"]


def test_a_branch_begins_its_books_with_the_state_of_the_other_run(tmp_path: Path) -> None:
    run = Simulation.from_case(small_earth(tmp_path), out=tmp_path / "run").run(8 / 48, quiet=True)
    held = total_water(run.model)
    raw = small_earth(tmp_path, budgets=RAISE, branch=str(tmp_path / "run"))
    branch = Simulation.from_case(raw, out=tmp_path / "branch")
    # The control: the cold start, which the books were opened with, holds other water.
    cold = total_water(assemble(small_earth(tmp_path), tmp_path))
    assert abs(held - cold) > 1e-6 * held
    branch.run(4 / 48, quiet=True)  # a breach would raise
    assert branch.model.ledger.worst()["water_residual_worst"] < 1e-12


def test_a_branch_from_between_two_steps_of_a_model_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Simulation.from_case(small_earth(tmp_path), out=tmp_path / "run")
    for days, warned in ((7 / 48, True), (1 / 48, False)):
        run.run(days, quiet=True)
        raw = small_earth(tmp_path, branch=str(tmp_path / "run"))
        caplog.clear()
        Simulation.from_case(raw, out=tmp_path / f"branch_{warned}")
        said = [m for m in caplog.messages if "left between two steps" in m]
        assert bool(said) == warned
        assert not warned or ("branch: ocean" in " ".join(said) and "1800 s into one" in said[0])


def test_budgets_are_in_the_file_and_in_the_report(tmp_path: Path) -> None:
    simulation = Simulation.from_case(small_earth(tmp_path), out=tmp_path / "run")
    simulation.run(0.25, quiet=True)
    said = [line for line in simulation.closing_lines() if "residual of an exchange" in line]
    assert len(said) == 1
    report = json.loads((tmp_path / "run" / "run.json").read_text())
    assert report["budgets"]["water_residual_worst"] < 1e-12
    with netCDF4.Dataset(tmp_path / "run" / "budgets.nc") as file:
        for name in ("water_of_land", "energy_of_ice", "water_residual_air", "energy_on_its_way"):
            assert np.isfinite(file[name][:]).all()
        assert file["energy_residual_ocean"].units == "W m-2"
        parts = [file[f"water_residual_{n}"][:] for n in ("air", "land", "ice", "ocean", "rivers")]
        assert np.abs(parts).max() < 1e-15


def refused(folder: Path, match: str, **changes: Any) -> None:
    case = small_earth(folder)
    for dotted, value in changes.items():
        section, key = dotted.split("__")
        case[section] = {**case[section], key: value}
    with pytest.raises((ConfigError, CouplerError), match=match):
        assemble(case, folder)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "fractions of surface types do not add up", land__nlat=31)
    refused(tmp_path, "ocean.depth", ocean__depth=-5.0)
    refused(tmp_path, "step too long for the mixed layer", ocean__depth=0.01)
    refused(tmp_path, "unknown key: ocean.lag", ocean__lag=1)
    refused(tmp_path, "sea and ice on different grids or steps", ice__dt="90 min")
