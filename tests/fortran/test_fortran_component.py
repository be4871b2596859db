"""A Fortran routine as a scheme: every form of arguments, and what a wrong one gets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fortran_harness import (
    COLUMN,
    DT,
    GRID,
    LEVELS,
    LEVELS_FIRST,
    RELAX,
    SIMPLE,
    Tried,
    columns,
    declare,
    routine,
    with_argument,
)

from coupler.interface.errors import ConfigError, ContractError, UnstableError
from fortran_bridge.component import fortran_class
from fortran_bridge.library import split


def relaxed(x: dict[str, np.ndarray], target: float = 210.0) -> np.ndarray:
    return (target - x["ta"]) / (432000.0 + DT)


def test_a_routine_gives_the_tendency_of_its_formula(routines: Path, tmp_path: Path) -> None:
    x = columns()
    tried = Tried(routine(routines, "relax", declare(tmp_path, RELAX)), x)
    for step in range(3):
        x["ta"] += 1.0 + step
        np.testing.assert_array_equal(tried(step)["tend.ta"], relaxed(x))


def test_arrays_of_its_own_kind_and_order_are_passed_without_a_copy(
    routines: Path, tmp_path: Path
) -> None:
    x = columns()
    tried = Tried(routine(routines, "relax", declare(tmp_path, RELAX)), x)
    tried()
    tried(step=1)
    passed = tried.component._call._arguments
    assert passed[2] == x["ta"].ctypes.data
    assert passed[6] == tried.bound.tend.ta.ctypes.data


def test_levels_first_in_another_precision_is_packed_cast_and_returned(
    routines: Path, tmp_path: Path
) -> None:
    cls = routine(routines, "relax_levels_first", declare(tmp_path, LEVELS_FIRST))
    x = columns()
    got = Tried(cls, x, kinds="convert", target="-60 degC")
    for step in range(3):
        want = relaxed({"ta": x["ta"].astype(np.float32)}, np.float32(213.15))
        # The routine subtracts in float32 and divides in float64.
        np.testing.assert_array_equal(got(step)["tend.ta"], want.astype(np.float32))
        x["ta"] += 3.0
    single = columns("float32")
    np.testing.assert_array_equal(
        Tried(cls, single)()["tend.ta"], relaxed(single).astype(np.float32)
    )


def test_a_routine_for_one_column_is_called_for_each(routines: Path, tmp_path: Path) -> None:
    x = columns()
    tried = Tried(routine(routines, "relax_column", declare(tmp_path, COLUMN)), x)
    for step in range(3):
        x["ta"] += 2.0
        out = tried(step)
        np.testing.assert_array_equal(out["tend.ta"], relaxed(x))
        np.testing.assert_array_equal(out["diag.coldest"], x["ta"].min(axis=0))
        assert np.unique(out["diag.coldest"]).size == GRID.ncol


def test_an_input_that_may_be_missing_is_absent_in_the_routine(
    routines: Path, tmp_path: Path
) -> None:
    optional = with_argument(SIMPLE, "t", name="land", input="sftlf", optional=True)
    cls = routine(routines, "over_land", declare(tmp_path, optional))
    x = columns()
    x["sftlf"][...] = np.linspace(0.0, 1.0, GRID.ncol)
    want = np.broadcast_to(x["sftlf"], (LEVELS.nlev, GRID.ncol))
    np.testing.assert_array_equal(Tried(cls, x)()["tend.ta"], want)
    del x["sftlf"]
    without = Tried(cls, x)
    for step in range(2):
        np.testing.assert_array_equal(without(step)["tend.ta"], np.full_like(x["ta"], 0.5))


def test_a_routine_without_a_binding_label_is_found_by_its_compiled_name(
    routines: Path, tmp_path: Path
) -> None:
    x = columns()
    tried = Tried(routine(routines, "Plain", declare(tmp_path, SIMPLE)), x)
    np.testing.assert_array_equal(tried()["tend.ta"], -x["ta"])


def test_a_status_is_said_with_its_meaning_and_column(routines: Path, tmp_path: Path) -> None:
    x = columns()
    tried = Tried(routine(routines, "relax_column", declare(tmp_path, COLUMN)), x)
    tried()
    x["ta"][3, 17] = 99.0
    with pytest.raises(UnstableError, match=r"status = 7 \(too cold\) in column 17") as caught:
        tried(1)
    assert "a Fortran routine could not go on: stratosphere=relax_column" in str(caught.value)
    x["ta"][3, 17] = 200.0
    tried(2)


def test_another_kind_than_the_cases_is_refused_with_both(routines: Path, tmp_path: Path) -> None:
    cls = routine(routines, "relax", declare(tmp_path, RELAX))
    with pytest.raises(ContractError) as caught:
        Tried(cls, columns("float32"))
    first, second = map(str, caught.value.problems)
    assert first.startswith("a Fortran array of another kind than the case's: t of stratosphere")
    assert "expected kind: real32, as the case's precision float32; found kind: real64" in first
    assert "set precision: float64 in the case, or kinds: convert" in first
    assert "rate of stratosphere=relax" in second
    x = columns("float32")
    converted = Tried(cls, x, kinds="convert")
    np.testing.assert_array_equal(
        converted()["tend.ta"],
        relaxed({"ta": x["ta"].astype(np.float64)}).astype(np.float32),
    )


@pytest.mark.parametrize(
    ("wrong", "name", "dtype", "said"),
    [
        # compiled for real64, declared real32
        ({"kind": "real32"}, "rate", "float32", "written outside of its bounds"),
        # one level too many
        ({}, "rate", "float64", "written outside of its bounds"),
    ],
)
def test_a_routine_that_writes_elsewhere_is_found_at_its_first_call(
    routines: Path, tmp_path: Path, wrong: dict[str, Any], name: str, dtype: str, said: str
) -> None:
    declaration = RELAX | wrong
    for real in ("target", "tau", "dt"):  # these are what they are
        declaration = with_argument(declaration, real, kind="real64")
    if not wrong:
        declaration = with_argument(declaration, "nlev", size="interface")
    cls = routine(routines, "relax", declare(tmp_path, declaration))
    x = columns(dtype)
    before = {n: a.copy() for n, a in x.items()}
    with pytest.raises(ContractError, match=f"{name} of stratosphere=relax.*{said}"):
        Tried(cls, x)()
    for n, array in x.items():
        np.testing.assert_array_equal(array, before[n], err_msg=n)


def test_a_routine_that_changes_an_input_is_found_at_its_first_call(
    routines: Path, tmp_path: Path
) -> None:
    x = columns()
    with pytest.raises(ContractError, match=r"t of stratosphere=meddles.*although it is an input"):
        Tried(routine(routines, "meddles", declare(tmp_path, SIMPLE)), x)()


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("fortran:libnone", "not the name of a Fortran routine: fortran:libnone"),
        ("fortran::relax", "expected fortran:LIBRARY:ROUTINE"),
    ],
)
def test_a_name_without_library_or_routine_is_refused(scheme: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        split(scheme)


def test_a_missing_library_or_routine_is_refused_with_the_near_ones(
    routines: Path, tmp_path: Path
) -> None:
    good = {"declaration": declare(tmp_path, RELAX)}
    base = routines.parent

    def refusal(scheme: str) -> str:
        with pytest.raises(ConfigError) as caught:
            fortran_class(scheme, base, "stratosphere", good)
        return str(caught.value)

    said = refusal("fortran:./libroutine.so:relax")
    assert said.startswith("no such library: ./libroutine.so")
    assert "gfortran -shared -fPIC -o libroutine.so" in said
    assert "did you mean 'libroutines.so'?" in said
    said = refusal("fortran:libnowhere.so:relax")
    assert said.startswith("a library that cannot be loaded: libnowhere.so")
    said = refusal("fortran:./libroutines.so:relaxx")
    assert said.startswith("no such routine in the library: relaxx of ./libroutines.so")
    assert "expected relaxx or relaxx_" in said
    assert "did you mean 'relax'" in said
    text = tmp_path / "text.so"
    text.write_text("not a library")
    said = refusal(f"fortran:{text}:relax")
    assert "a library that cannot be loaded" in said


def test_a_routine_of_another_process_is_refused(routines: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a routine of another process.*found stratosphere"):
        routine(routines, "relax", declare(tmp_path, RELAX), process="radiation")


def test_a_value_argument_in_a_column_routine_is_refused(routines: Path, tmp_path: Path) -> None:
    wrong = with_argument(COLUMN, "tau", by="value")
    with pytest.raises(ConfigError, match=r"by value in a routine.*called for each column: tau"):
        routine(routines, "relax_column", declare(tmp_path, wrong))


def test_parameters_have_the_declared_range_and_unit(routines: Path, tmp_path: Path) -> None:
    cls = routine(routines, "relax", declare(tmp_path, RELAX))
    assert cls.Parameters.model_validate({"tau": "2 h"}).tau == 7200.0
    with pytest.raises(ValueError, match="greater than or equal to 100"):
        cls.Parameters.model_validate({"target": 20.0})
    with pytest.raises(ValueError, match="wrong unit"):
        cls.Parameters.model_validate({"target": "3 m"})
