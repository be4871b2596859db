"""Energy and water of each process: what a scheme says comes in is what the air gains."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from small_earth import small_earth
from tiny import COUPLED, DRY, assert_same, changed, contents, plugin, run

from coupler import Simulation
from coupler.driver.assemble import Assembly, assemble
from coupler.driver.loop import step
from coupler.driver.process_budgets import ProcessBudget, gains
from coupler.interface.errors import UnstableError

ALL = changed(
    COUPLED,
    {
        "precision": "float64",
        "physics.convection": "betts_miller",
        "physics.sponge": "rayleigh",
        "physics.precipitation": "total",
    },
)
"""Every kind of process that conserves."""
RAISE = {"water": {"policy": "raise"}, "energy": {"policy": "raise"}}
SCHEMES_ONLY = RAISE | {"water": {"policy": "raise", "tolerance": 1.0}}
"""No exchange ends the run before the first record."""
SPOILT = """
from coupler.interface.registry import scheme
from physics.columns.{module} import {base}

@scheme("{process}", "spoilt")
class Spoilt({base}):
    def compute(self, x, tend, flux, diag, now):
        super().compute(x, tend, flux, diag, now)
        {body}
"""


def spoilt(folder: Path, process: str, module: str, base: str, body: str) -> dict[str, Any]:
    """All processes, one of them with a scheme that does not keep what it promises."""
    file = folder / f"spoilt_{process}.py"
    file.write_text(SPOILT.format(process=process, module=module, base=base, body=body))
    return changed(ALL, {"plugins": [str(file)], f"physics.{process}": "spoilt"})


def books(model: Assembly) -> dict[str, ProcessBudget]:
    return {b.name: b for b in model.suite.books()}


def stepped(raw: dict[str, Any], steps: int, folder: Path = Path()) -> Assembly:
    model = assemble(raw, folder)
    for _ in range(steps):
        step(model)
    return model


def last(out: Path) -> dict[str, float]:
    """The last record of budgets."""
    with netCDF4.Dataset(out / "budgets.nc") as file:
        return {n: float(v[-1]) for n, v in file.variables.items() if v.dimensions == ("time",)}


CHOICES = {
    "as they are": {},
    "mass flux": {"physics.convection": "mass_flux"},
    "dry adjustment": {"physics.convection": "dry_adjustment"},
    "rain evaporates": {"physics.condensation": {"scheme": "large_scale", "reevaporation": 1.0}},
    "radiation with humidity": {"physics.radiation": "byrne_ogorman"},
    "radiation is held": {"physics.radiation": {"scheme": "grey", "interval": "60 min"}},
    "mixing is held": {
        "physics.boundary_layer": {"scheme": "bulk_diffusion", "interval": "40 min"}
    },
    "similarity": {
        "physics.boundary_layer": {"scheme": "bulk_diffusion", "exchange": "monin_obukhov"}
    },
    "other waves": {"physics.gravity_wave": "wms"},
    "waves that leave": {"physics.gravity_wave": {"scheme": "ad99", "top": "escape"}},
}


def assert_closed(model: Assembly) -> None:
    """Every promise is kept: some 1e2 W m-2 and 1e-4 kg m-2 s-1, summed in float64."""
    for name, book in books(model).items():
        for q, limit in (("energy", 1e-9), ("water", 1e-16)):
            if q in book.promised:
                assert book.gap(q, model.suite.host.mean) < limit, (name, q)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
def test_every_scheme_keeps_what_it_promises(choice: dict[str, Any]) -> None:
    model = stepped(changed(ALL, choice), 8)
    assert_closed(model)
    for name, book in books(model).items():
        assert book.promised == {*book.quantities}, name


def test_types_of_surface_keep_what_they_promise(tmp_path: Path) -> None:
    model = stepped(small_earth(tmp_path), 8)
    assert_closed(model)
    assert books(model)["boundary_layer"].promised == {"energy", "water"}


def test_the_gains_of_all_processes_are_those_of_the_air(tmp_path: Path) -> None:
    """What it is compared with are the fluxes at both ends, in the same file."""
    found = last(run(tmp_path / "run", ALL | {"days": 0.125}).folder.path)
    water = sum(v for n, v in found.items() if n.startswith("water_") and n.endswith("_gain"))
    energy = sum(v for n, v in found.items() if n.startswith("energy_") and n.endswith("_gain"))
    assert water == pytest.approx(found["evspsbl"] - found["pr"], rel=1e-6)
    net = found["rsdt"] - found["rsut"] - found["rlut"]
    net -= found["rsds"] - found["rsus"] + found["rlds"] - found["rlus"]
    assert energy == pytest.approx(net + found["hfss"] + found["hfls"], rel=1e-6)
    assert abs(energy) > 1.0


def test_gains_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(7)
    ua, va, hus, dua, dva, dta, dhus = rng.standard_normal((7, 6, 35))
    phalf = np.cumsum(rng.uniform(1.0, 2.0, (7, 35)), axis=0)
    mass, none, out = np.diff(phalf, axis=0), np.zeros((0, 35)), np.empty((3, 35))
    work = (ua + 0.3 * dua) * dua + (va + 0.3 * dva) * dva
    heat = 2.0 * dta + 5.0 * dhus
    for winds, warm, wet, want in (
        (True, dta, dhus, heat + work),
        (False, dta, dhus, heat),
        (False, none, dhus, 5.0 * dhus),
        (False, dta[:4], none, 2.0 * dta * (np.arange(6) < 4)[:, None]),
        (True, none, none, work),
    ):
        u, v, x, y = (ua, va, dua, dva) if winds else (none, none, none, none)
        gains(u, v, hus, x, y, warm, wet, phalf, 0.3, 2.0, 5.0, 0.1, out)
        np.testing.assert_allclose(out[1], 0.1 * (mass * want).sum(axis=0), atol=1e-12)
        given = wet if wet.size else np.zeros_like(dhus)
        np.testing.assert_allclose(out[0], 0.1 * (mass * given).sum(axis=0), atol=1e-12)
        np.testing.assert_allclose(out[2], 0.1 * (mass * hus).sum(axis=0), atol=1e-12)


WRONG = {
    "too much rain": (
        ("convection", "betts_miller", "SimplifiedBettsMiller", "diag.prc *= 1.01"),
        "convection=spoilt does not conserve water",
    ),
    "water from nowhere": (
        ("condensation", "condensation", "LargeScaleCondensation", "tend.hus += 1e-11"),
        "condensation=spoilt does not conserve water",
    ),
    "heat from nowhere": (
        ("convection", "betts_miller", "SimplifiedBettsMiller", "tend.ta += 1e-8"),
        "convection=spoilt does not conserve energy",
    ),
    "a flux with the wrong sign": (
        ("radiation", "grey_radiation", "GreyRadiation", "diag.rlds *= -1.0"),
        "radiation=spoilt does not conserve energy",
    ),
    "a flux of the ground": (
        ("boundary_layer", "boundary_layer", "BulkDiffusion", "diag.hfss += 0.1"),
        "boundary_layer=spoilt does not conserve energy",
    ),
}


@pytest.mark.parametrize(("how", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_scheme_that_breaks_its_promise_ends_the_run_with_its_name(
    tmp_path: Path, how: tuple[str, str, str, str], said: str
) -> None:
    raw = spoilt(tmp_path, *how) | {"days": 0.25}
    with pytest.raises(UnstableError, match=said):
        run(tmp_path / "run", raw | {"budgets": SCHEMES_ONLY})
    assert last(tmp_path / "run")["time"] >= 0.125, "the record that shows it is written"


def test_an_exchange_that_does_not_close_names_the_scheme(tmp_path: Path) -> None:
    raw = spoilt(tmp_path, *WRONG["too much rain"][0]) | {"days": 0.25}
    with pytest.raises(UnstableError, match="not conserved in the air") as caught:
        run(tmp_path / "run", raw | {"budgets": RAISE})
    assert "convection=spoilt does not conserve water" in str(caught.value)
    assert str(caught.value).count("does not conserve") == 1


@pytest.mark.parametrize("policy", ["warn", "fix"])
def test_other_policies_say_it_once_and_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    raw = spoilt(tmp_path, *WRONG["heat from nowhere"][0]) | {"days": 0.25}
    with caplog.at_level(logging.WARNING, "coupler"):
        simulation = run(tmp_path / "run", raw | {"budgets": {"energy": {"policy": policy}}})
    said = [r.getMessage() for r in caplog.records if "as it promises" in r.getMessage()]
    assert len(said) == 1
    assert "convection=spoilt does not conserve energy" in said[0]
    assert "at most 0.01 W m-2" in said[0]
    report = json.loads((tmp_path / "run" / "run.json").read_text())["residuals_of_schemes"]
    # 1e-8 K s-1 of 1e4 kg m-2 of air with 1004 J kg-1 K-1
    assert report["energy"]["convection=spoilt"] == pytest.approx(0.1, rel=0.05)
    assert report["energy"]["radiation=grey"] < 1e-9
    (line,) = (x for x in simulation.closing_lines() if x.startswith("largest residual of a sc"))
    assert "W m-2 of energy by convection=spoilt" in line


def test_a_tolerance_of_a_case_is_taken(tmp_path: Path) -> None:
    raw = spoilt(tmp_path, *WRONG["heat from nowhere"][0]) | {"days": 0.125}
    run(
        tmp_path / "run",
        raw | {"budgets": {"energy": {"policy": "raise", "process_tolerance": 0.2}}},
    )


def test_a_source_has_a_gain_and_no_residual(tmp_path: Path) -> None:
    how = {"held": DRY | {"days": 0.125}}
    made = plugin(tmp_path, "warming", "tend.ta[...] = 1e-5")
    how["warming"] = changed(DRY, made | {"days": 0.125, "budgets": RAISE})
    for name, raw in how.items():
        found = last(run(tmp_path / name, raw).folder.path)
        assert found["energy_radiation_gain"] != 0.0
        assert "energy_radiation_residual" not in found
        assert not any(n.startswith("water_radiation") for n in found)
    assert found["energy_test_forcing_gain"] == pytest.approx(1e-5 * 1004.6 * 1.02e4, rel=0.02)
    assert "energy_test_forcing_residual" not in found


def test_who_makes_water_without_a_word_has_a_residual_and_no_promise(tmp_path: Path) -> None:
    file = tmp_path / "wet.py"
    file.write_text(
        "from coupler.interface.component import Tendency, reads, tendencies_of\n"
        "from coupler.interface.registry import scheme\n"
        '@scheme("test_wet", "wet")\n'
        "class Wet(Tendency):\n"
        '    inputs = reads("hus")\n'
        '    tendencies = tendencies_of("hus")\n'
        "    def compute(self, x, tend, flux, diag, now):\n"
        "        tend.hus[...] = 1e-11\n"
    )
    raw = changed(ALL, {"plugins": [str(file)], "physics.test_wet": "wet"})
    raw |= {"days": 0.125, "budgets": SCHEMES_ONLY}
    found = last(run(tmp_path / "run", raw).folder.path)
    assert found["water_test_wet_residual"] == found["water_test_wet_gain"] > 1e-8
    assert "energy_test_wet_residual" not in found


def test_a_blend_of_two_that_conserve_conserves_and_a_shadow_does_not_count() -> None:
    two = {"scheme": "byrne_ogorman", "reference": "grey"}
    mixed = stepped(changed(ALL, {"physics.radiation": two | {"mode": "blend", "weight": 0.3}}), 6)
    assert_closed(mixed)
    assert books(mixed)["radiation"].promised == {"energy"}
    shadow = stepped(changed(ALL, {"physics.radiation": two | {"mode": "shadow"}}), 6)
    plain = stepped(ALL, 6)
    mean = plain.suite.host.mean
    want = {b.name: b.take(mean) for b in plain.suite.books()}
    assert {b.name: b.take(mean) for b in shadow.suite.books()} == want


def test_a_lag_is_no_breach_of_a_promise() -> None:
    model = stepped(
        changed(ALL, {"physics.boundary_layer": {"scheme": "bulk_diffusion", "lag": 1}}), 4
    )
    book = books(model)["boundary_layer"]
    assert not book.promised
    assert book.residuals == {"energy", "water"}


def test_a_restart_inside_an_output_interval_keeps_the_budgets(tmp_path: Path) -> None:
    raw = changed(ALL, {"days": 0.25, "output.interval": "6 h"})
    run(tmp_path / "whole", raw)
    first = Simulation.from_case(raw, out=tmp_path / "parts")
    first.run(7 / 72, quiet=True)
    Simulation.from_case(raw, out=tmp_path / "parts", resume=True).run(quiet=True)
    one, two = (contents(tmp_path / n / "budgets.nc") for n in ("whole", "parts"))
    assert "energy_radiation_residual_abs" in one
    assert_same(two, one)
    reports = [json.loads((tmp_path / n / "run.json").read_text()) for n in ("whole", "parts")]
    assert reports[0]["residuals_of_schemes"] == reports[1]["residuals_of_schemes"]


def test_a_restart_of_before_there_were_these_budgets_is_gone_on_with() -> None:
    model = stepped(ALL, 3)
    memory = {n: a.copy() for n, a in model.suite.memory().items()}
    own = {n for n in memory if n.startswith("book.")}
    assert own <= {*model.suite.may_lack()}
    model.suite.restore({n: a for n, a in memory.items() if n not in own})
    book = books(model)["radiation"]
    assert not book.take(model.suite.host.mean)
    model.suite.restore(memory)
    assert book.take(model.suite.host.mean)
