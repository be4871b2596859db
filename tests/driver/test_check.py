"""What is wrong with a case is said once, all of it, and nothing that only follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coupler import Simulation
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
