"""Other people's schemes: functions, torch modules, components of sympl and climt."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import cftime
import numpy as np
import pytest
import sympl
import torch
from tiny import COUPLED, DRY

from coupler import Simulation
from coupler.driver.discovery import discover
from coupler.interface.adapters import from_function, from_module
from coupler.interface.component import Arrays, Host, Now, reads
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, ContractError, UnstableError
from coupler.interface.fields import FIELDS, LEVEL, Field
from coupler.interface.grid import Grid, HybridLevels
from coupler.interface.registry import SCHEMES
from coupler.interface.sympl_call import SymplCall, field_of, from_sympl, unit_of

LEVELS = HybridLevels.named("hybrid9")
GRID = Grid.regular(5, 7)
NOW = Now(date=cftime.datetime(2001, 3, 21), step=0, seconds=0.0, dt=1800.0)


@pytest.fixture(autouse=True)
def own_schemes() -> Iterator[None]:
    """What a test registers is gone after it."""
    discover()
    known = {process: dict(schemes) for process, schemes in SCHEMES.items()}
    yield
    SCHEMES.clear()
    SCHEMES.update(known)


def host(dtype: str = "float64") -> Host:
    return Host(grid=GRID, levels=LEVELS, planet=Planet(), dtype=np.dtype(dtype), seed=0)


def columns(dtype: str = "float64") -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(4)
    ps = 1e5 + 1e3 * rng.standard_normal(GRID.ncol)
    phalf = LEVELS.half_pressure(ps)
    pfull = 0.5 * (phalf[1:] + phalf[:-1])
    ta = np.maximum(205.0, 290.0 * (pfull / ps) ** 0.19) + rng.standard_normal(pfull.shape)
    lat = np.repeat(GRID.lat, GRID.lon.size)
    x = {
        "ta": ta, "pfull": pfull, "phalf": phalf, "ps": ps, "lat": lat,
        "hus": 0.012 * (pfull / ps) ** 3, "ts": ta[-1] + 1.0,
        "albs": np.full(GRID.ncol, 0.3), "ua": 10.0 * rng.standard_normal(pfull.shape),
    }  # fmt: skip
    return {name: a.astype(dtype) for name, a in x.items()}


def compute(cls: Any, x: dict[str, Any], dtype: str = "float64") -> tuple[Arrays, Arrays, Arrays]:
    component, h = cls(), host(dtype)
    component.setup(h)
    tend = Arrays(**{of: h.empty("level", "column") for of in cls.tendencies})
    flux = Arrays(**{f.name: h.empty("interface", "column") for f in cls.fluxes})
    diag = Arrays(**{f.name: h.empty(*f.dims) for f in cls.diagnostics})
    given = Arrays(**{p.name: x[p.name] for p in cls.inputs if p.name in x})
    component.compute(given, tend, flux, diag, NOW)
    return tend, flux, diag


# -- functions and modules ----------------------------------------------------------------------


def test_a_function_is_a_scheme_of_a_run(tmp_path: Path) -> None:
    from_function(
        "drag", "linear", lambda ua, va: (-ua / 86400.0, -va / 86400.0),
        reads=reads("ua va"), tendencies="ua va",
    )  # fmt: skip
    winds = {}
    for name in ("with", "without"):
        raw = copy.deepcopy(DRY)
        raw["atmosphere"]["initial"] = "jablonowski_williamson"
        raw["physics"] = {"drag": "linear"} if name == "with" else {}
        sim = Simulation.from_case(raw, out=tmp_path / name).run(quiet=True)
        winds[name] = np.abs(sim.model.atmosphere.columns()["ua"]).mean()
    # exp(-1/4) of the drag alone; pressure gradients hold against it
    assert math.exp(-0.25) < winds["with"] / winds["without"] < 0.95


class Relax(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.target = torch.nn.Parameter(torch.tensor(250.0))

    def forward(self, ta: torch.Tensor, pfull: torch.Tensor) -> torch.Tensor:
        return (self.target - ta) * (pfull < 2e4) / 1e5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_module_gets_the_memory_of_the_fields_and_gives_tendencies(dtype: str) -> None:
    cls = from_module("cooling", "relax", Relax, reads=reads("ta pfull"), tendencies="ta")
    x = columns(dtype)
    tend, _, _ = compute(cls, x, dtype)
    expected = (250.0 - x["ta"].astype(float)) * (x["pfull"] < 2e4) / 1e5
    np.testing.assert_allclose(tend.ta, expected, rtol=1e-5 if dtype == "float32" else 1e-14)
    assert np.count_nonzero(tend.ta) > 0


def test_an_answer_that_does_not_fit_is_said() -> None:
    one = from_function("x", "one", lambda ta: ta, reads=reads("ta"), tendencies="ta hus")
    with pytest.raises(ContractError, match=r"does not fit: x=one; expected arrays of .*\(9, 35\)"):
        compute(one, columns())
    flat = from_function("x", "flat", lambda ta: ta[:3], reads=reads("ta"), tendencies="ta")
    with pytest.raises((ContractError, ValueError), match=r"\(3, 35\)|broadcast"):
        compute(flat, columns())


# -- sympl --------------------------------------------------------------------------------------


class Cool(sympl.TendencyComponent):  # type: ignore[misc]
    """Newtonian cooling in degrees and days, on levels that go upward."""

    input_properties: ClassVar[dict[str, Any]] = {
        "air_temperature": {"dims": ["mid_levels", "*"], "units": "mK"},
        "air_pressure": {"dims": ["mid_levels", "*"], "units": "mbar"},
        "air_pressure_on_interface_levels": {"dims": ["interface_levels", "*"], "units": "mbar"},
        "surface_temperature": {"dims": ["*"], "units": "degK"},
        "rate": {"dims": ["bands"], "units": "day^-1"},
    }
    tendency_properties: ClassVar[dict[str, Any]] = {
        "air_temperature": {"dims": ["mid_levels", "*"], "units": "degK day^-1"}
    }
    diagnostic_properties: ClassVar[dict[str, Any]] = {
        "mass": {"dims": ["mid_levels", "*"], "units": "mbar"}
    }

    def array_call(self, state: Any) -> Any:
        p, half = state["air_pressure"], state["air_pressure_on_interface_levels"]
        assert np.all(np.diff(p, axis=0) < 0.0), "from the ground upward"
        assert np.all(half[0] > p[0]) and state["surface_temperature"].ndim == 1
        rate = state["rate"].sum() * (p < 300.0)
        return {"air_temperature": (213.15 - 1e-3 * state["air_temperature"]) * rate}, {
            "mass": half[:-1] - half[1:]
        }


MASS = Field(name="mass", standard_name=None, long_name="Mass", units="Pa", dims=LEVEL)


def cool(**more: Any) -> Any:
    made = {
        "reads": reads("ta pfull phalf ts"), "tendencies": {"air_temperature": "ta"},
        "gives": {"mass": MASS}, "constants": {"rate": 0.05}, "sizes": {"bands": 4},
    }  # fmt: skip
    return from_sympl("cooling", "theirs", Cool, **(made | more))


def test_a_sympl_component_is_given_its_units_order_and_dimensions_and_answers_in_ours() -> None:
    x = columns()
    before = {name: a.copy() for name, a in x.items()}
    tend, _, diag = compute(cool(), x)
    expected = (213.15 - x["ta"]) * 0.2 / 86400.0 * (x["pfull"] < 3e4)
    np.testing.assert_allclose(tend.ta, expected, rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(diag.mass, np.diff(x["phalf"], axis=0), rtol=1e-12)
    for name, a in before.items():
        np.testing.assert_array_equal(x[name], a, err_msg=name)


def test_blocks_of_columns_give_what_all_at_once_give() -> None:
    x, answers = columns(), []
    for block in (4, 35, 512):
        call = SymplCall(Cool(), host(), constants={"rate": 0.05}, sizes={"bands": 4}, block=block)
        call.bind("air_temperature", FIELDS["ta"], kind="tendency")
        tend = Arrays(ta=np.zeros_like(x["ta"]))
        call(x.__getitem__, tend, Arrays(), NOW)
        answers.append(tend.ta)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[2], answers[1])


def test_sympls_own_component_gets_all_points_as_one_list() -> None:
    relax = sympl.RelaxationTendencyComponent("air_temperature", "degK")
    constants = {n: 250.0 if n.startswith("equilibrium") else 4e5 for n in relax.input_properties}
    del constants["air_temperature"]
    x = columns()
    call = SymplCall(relax, host(), constants=constants, block=11)
    call.bind("air_temperature", FIELDS["ta"], kind="tendency")
    tend = Arrays(ta=np.zeros_like(x["ta"]))
    call(x.__getitem__, tend, Arrays(), NOW)
    np.testing.assert_allclose(tend.ta, (250.0 - x["ta"]) / 4e5, rtol=1e-12)


def test_what_nothing_gives_and_what_does_not_fit_are_said_together() -> None:
    class Wants:
        input_properties: ClassVar[dict[str, Any]] = {
            "air_temperature": {"dims": ["mid_levels", "*"], "units": "Pa"},
            "eastward_wnd": {"dims": ["mid_levels", "*"], "units": "m s^-1"},
            "hat": {"dims": ["hats"], "units": "1"},
            "northward_wind": {"dims": ["*", "mid_levels"], "units": "m s^-1"},
        }

    with pytest.raises(ContractError) as error:
        SymplCall(Wants(), host(), constants={"hat": 1.0})
    text = str(error.value)
    assert "a unit that does not fit: air_temperature of Wants" in text and "found 'Pa'" in text
    assert "nothing gives: eastward_wnd of Wants" in text and "did you mean 'eastward_wind'" in text
    assert "a dimension without a size: hats of hat" in text
    assert "dimensions that do not fit: northward_wind" in text
    call = SymplCall(Cool(), host(), constants={"rate": 0.05}, sizes={"bands": 1})
    with pytest.raises(ContractError, match=r"not given: heat of Cool; known: mass"):
        call.bind("heat", MASS)
    with pytest.raises(ContractError, match=r"does not fit: mass of Cool.*found 'mbar'"):
        call.bind("mass", FIELDS["ta"])
    with pytest.raises(ContractError, match=r"no tendency of this field: ps"):
        cool(tendencies={"air_temperature": "ps"})


def test_what_is_not_finite_is_refused_before_compiled_code_looks_it_up() -> None:
    x = columns()
    x["pfull"][3, 17] = np.nan
    with pytest.raises(UnstableError, match=r"not finite: pfull of Cool; found step 0, date 2001"):
        compute(cool(), x)


def test_names_and_units_of_sympl_are_found_in_the_table() -> None:
    for theirs, ours in (
        ("air_pressure", "pfull"), ("air_pressure_on_interface_levels", "phalf"),
        ("eastward_wind", "ua"), ("surface_temperature", "ts"), ("surface_air_pressure", "ps"),
        ("mole_fraction_of_carbon_dioxide_in_air", "co2"),
    ):  # fmt: skip
        found = field_of(theirs, {})
        assert found is not None and found.name == ours
    assert field_of("anything", {}) is None
    assert unit_of("dimensionless") == "1" and unit_of("degK day^-1") == "K day^-1"


# -- climt --------------------------------------------------------------------------------------


def test_rrtmg_has_the_sun_of_the_case_black_ground_and_the_forcing_of_carbon_dioxide() -> None:
    cls = SCHEMES["radiation"]["rrtmg"]
    x = columns()
    _, flux, diag = compute(cls, x)
    sun = compute(SCHEMES["radiation"]["grey"], x)[2]
    np.testing.assert_allclose(diag.rsdt, sun.rsdt, rtol=1e-12)
    # The bands of the longwave end at 3250 cm-1: what is beyond is 1e-4 of a black body at 290 K.
    np.testing.assert_allclose(diag.rlus, 5.670374e-8 * x["ts"] ** 4, rtol=1e-3)
    np.testing.assert_allclose(diag.rsus, 0.3 * diag.rsds, rtol=1e-6)
    np.testing.assert_allclose(flux.rnl[0], diag.rlut, rtol=1e-12)
    np.testing.assert_allclose(flux.rns[-1], diag.rsus - diag.rsds, rtol=1e-12)
    assert np.all((diag.rlut > 150.0) & (diag.rlut < 320.0))
    twice = compute(cls, {**x, "co2": np.full(GRID.ncol, 720e-6)})[2]
    forcing = (diag.rlut - twice.rlut).mean()
    assert 1.5 < forcing < 4.0  # Myhre et al. (1998): 3.7 at the tropopause; less at the top


def test_rrtmg_without_climt_is_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("physics.columns.rrtmg.find_spec", lambda name: None)
    raw = copy.deepcopy(COUPLED)
    raw["physics"]["radiation"] = "rrtmg"
    with pytest.raises(ConfigError, match=r"another package: radiation=rrtmg.*isthmus\[climt"):
        Simulation.from_case(raw, out=tmp_path / "x")
