"""What is wrong with a case is said once, all of it, and nothing that only follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import DRY, changed

from coupler import Simulation
from coupler.driver.places import Elsewhere
from coupler.interface.errors import ConfigError

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
    for changes, sentence in (
        ({"output.fields": ["taa"]}, "unknown output field: taa"),
        ({"branch": str(tmp_path / "none")}, "nothing to branch from"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            Simulation.from_case(changed(DRY, changes), out=tmp_path / "out")
    assert len(closed) == 2
