"""Which fields a case writes."""

import numpy as np
import pytest

from coupler.interface.fields import FIELDS
from coupler.output.writer import choose

LIVE = {
    n: (FIELDS[n], np.zeros([{"level": 3, "interface": 4, "column": 5}[d] for d in FIELDS[n].dims]))
    for n in ("ua", "ta", "ps", "pr", "pfull", "phalf", "xgwdparam")
}


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        ("all", {"ua", "ta", "ps", "pr", "pfull", "phalf", "xgwdparam"}),
        ("default", {"ua", "ta", "ps", "pr", "xgwdparam"}),
        (["pr"], {"pr"}),
        ([], set()),
    ],
)
def test_a_case_writes_what_it_names(wanted: str | list[str], written: set[str]) -> None:
    chosen, problems = choose(LIVE, wanted)
    assert set(chosen) == written
    assert problems == []


@pytest.mark.parametrize("name", ["ta", "phalf"])
def test_surface_pressure_comes_with_a_field_on_levels(name: str) -> None:
    assert set(choose(LIVE, [name])[0]) == {name, "ps"}


def test_an_unknown_field_gets_the_near_ones() -> None:
    chosen, (problem,) = choose(LIVE, ["ta", "pful"])
    assert set(chosen) == {"ta", "ps"}
    assert str(problem) == "unknown output field: pful; did you mean 'pfull'?"
