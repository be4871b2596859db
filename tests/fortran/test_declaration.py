"""What a wrong declaration of a Fortran routine gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fortran_harness import COLUMN, RELAX, declare, with_argument

from coupler.interface.errors import ConfigError
from fortran_bridge.declaration import read_declaration


def flux(**entries: Any) -> dict[str, Any]:
    base = {"tendency": None, "flux": "xgwdparam", "of": "ua"}
    return with_argument(RELAX, "rate", **(base | entries))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("arguments: [", "not valid YAML"),
        ("- a list", "not a declaration"),
        ({"process": "radiation"}, "missing key: PATH: arguments"),
        (RELAX | {"proces": "x"}, "unknown key: PATH: proces; did you mean 'process'?"),
        (RELAX | {"call": "row"}, "bad value: PATH: call; expected 'block' or 'column'"),
        (
            with_argument(RELAX, "t", inptu="ta"),
            "unknown key: PATH: arguments.t.inptu; did you mean 'input'?",
        ),
        (
            with_argument(RELAX, "t", input=None),
            "an argument without one role: PATH: arguments.t; expected exactly one of size, input",
        ),
        (with_argument(RELAX, "t", tendency="ta"), "found input, tendency"),
        (with_argument(RELAX, "t", input="temp"), "unknown field: PATH: arguments.t"),
        (with_argument(RELAX, "t", units="Pa"), "expected a unit convertible from 'K'"),
        (with_argument(RELAX, "t", units="Kelwin"), "unknown unit: PATH: arguments.t"),
        (with_argument(RELAX, "t", top="dump"), "expected top only with flux; found top of t"),
        (with_argument(RELAX, "t", kind="int32"), "expected real32, real64 or host; found int32"),
        (with_argument(RELAX, "ncol", kind="real64"), "expected int32 or int64; found real64"),
        (with_argument(RELAX, "t", by="value"), "a input cannot be passed by value"),
        (with_argument(RELAX, "rate", tendency="ps"), "tendency: one of ua, va, ta, hus"),
        (flux(of="ps"), "of: one of ua, va, ta, hus"),
        (flux(flux="ps"), "a flux that does not lie on interfaces"),
        (flux(dump_above=-1), "arguments.rate.dump_above; expected greater than 0"),
        (
            with_argument(RELAX, "dt", time=None, constant="gravty"),
            "unknown constant: PATH: arguments.dt; found gravty of dt; did you mean 'gravity'?",
        ),
        (with_argument(COLUMN, "coldest", units=None), "a field that the table does not have"),
        (with_argument(COLUMN, "coldest", dims=["lat"]), "unknown dims"),
        (with_argument(COLUMN, "coldest", diagnostic="prc"), "another unit than the table's"),
        (with_argument(RELAX, "tau", name="T"), "two arguments with one name: PATH: "),
        (with_argument(COLUMN, "ps", input="ta"), "two arguments with one input"),
        (with_argument(COLUMN, "dt", time=None, status=True), "two arguments with the role status"),
        (
            with_argument(RELAX, "rate", tendency=None, input="ua"),
            "a routine that returns nothing",
        ),
    ],
)
def test_a_wrong_declaration_is_refused_in_a_sentence(
    wrong: Any, said: str, tmp_path: Path
) -> None:
    path = declare(tmp_path, wrong)
    with pytest.raises(ConfigError) as caught:
        read_declaration(Path(path))
    assert said.replace("PATH", path) in str(caught.value)
    assert "\n" not in str(caught.value) or len(caught.value.problems) > 1


def test_a_missing_declaration_is_refused_with_the_near_ones(tmp_path: Path) -> None:
    declare(tmp_path, RELAX, "libmine.yaml")
    with pytest.raises(ConfigError, match=r"did you mean 'libmine\.yaml'") as caught:
        read_declaration(tmp_path / "libmin.yaml")
    assert "no declaration of the Fortran routine" in str(caught.value)


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    wrong = with_argument(with_argument(RELAX, "t", input="temp"), "rate", tendency="ps")
    with pytest.raises(ConfigError) as caught:
        read_declaration(Path(declare(tmp_path, wrong)))
    assert len(caught.value.problems) == 2
