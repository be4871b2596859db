"""What is wrong with a case is said once, all of it, and nothing that only follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import DRY, changed

from coupler import Simulation
from coupler.driver.assemble import check
from coupler.driver.places import Elsewhere
from coupler.interface.errors import ConfigError, Problem

CASES = Path(__file__).parents[2] / "cases"


def problems(case: str, out: Path, **change: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        Simulation.from_case(CASES / case, out=out, **change)
    assert not out.exists()
    return [str(p) for p in error.value.problems]


def test_a_wrong_key_of_a_model_does_not_make_its_boundary_fields_orphans(
    data: Path, tmp_path: Path
) -> None:
    found = problems("earth_t31.yaml", tmp_path / "run", set={"atmosphere.dt": "20 K"})
    assert len(found) == 1
    assert found[0].startswith("wrong unit: atmosphere.dt; expected a unit convertible to 's'")


def test_a_boundary_field_that_no_model_takes_gets_the_near_ones(tmp_path: Path) -> None:
    source = {"boundary.orgo": {"file": "any.nc", "variable": "z"}}
    found = problems("aquaplanet_t21.yaml", tmp_path / "run", set=source)
    assert found == ["boundary field that no model takes: boundary.orgo; did you mean 'orog'?"]


def test_what_is_refused_after_the_models_were_built_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Elsewhere] = []
    monkeypatch.setattr(Elsewhere, "close", lambda self: closed.append(self))
    late = Problem(what="known only now", name="output.fields")
    monkeypatch.setattr("coupler.driver.simulation.unknown_fields", lambda model: [late])
    with pytest.raises(ConfigError, match="known only now"):
        Simulation.from_case(DRY, out=tmp_path / "out")
    assert len(closed) == 1


def test_what_is_to_be_written_and_where_it_begins_is_told_beside_all_else(tmp_path: Path) -> None:
    changes = {
        "physics.gravity_wave": "ad98",
        "output.fields": ["ua", "taa", "xgwdparam", "utendnogw_mine", "hfls"],
        "branch": str(tmp_path / "none"),
        "days": -1.0,
    }
    with pytest.raises(ConfigError) as error:
        Simulation.from_case(changed(DRY, changes), out=tmp_path / "out")
    told = [str(p).split(";")[0] for p in error.value.problems]
    # What the scheme that is not known would give, or models of its fields, is not known either.
    assert sorted(told) == [
        "bad value: days",
        f"nothing to branch from: branch={tmp_path / 'none'}",
        "unknown output field: taa",
        "unknown scheme: gravity_wave=ad98",
    ]


def test_fields_that_a_case_does_not_give_are_told_before_it_is_built() -> None:
    fields = ["ua", "xgwdparam", "xgwdparam_escaped", "tntnogw", "utendnogw_ad99", "hfls"]
    raw = changed(DRY, {"output.fields": fields, "physics.gravity_wave": "ad99"})
    assert [p.name for p in check(raw, Path())] == ["utendnogw_ad99", "hfls"]
    beside = {"gravity_wave": {"scheme": "ad99", "beside": {"other": "ad99"}}}
    raw["physics"] |= beside
    raw["output"]["fields"] = ["utendnogw_ad99", "utendnogw_other", "xgwdparam_escaped_other"]
    assert check(raw, Path()) == []
