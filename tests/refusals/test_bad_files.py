"""Bad files get a clear sentence; what can be understood is not refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from tiny import DRY, REST, changed, write_case, write_orography

from coupler.cli import main

Refused = Callable[..., list[str]]


def orography(variable: str = "orog", file: str = "z.nc") -> dict[str, Any]:
    return {"atmosphere": REST, "boundary": {"orog": {"file": file, "variable": variable}}}


def test_a_truncated_or_foreign_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    file = write_orography(tmp_path / "z.nc")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    (sentence,) = refused(change=orography())
    assert sentence.startswith("truncated or damaged netCDF file: TMP/z.nc; found ")
    assert sentence.endswith("; remove it and fetch it again")
    file.write_bytes(b"")
    assert refused(change=orography()) == [
        "not a netCDF file: TMP/z.nc; found an empty file; check the path"
    ]


def test_a_missing_variable_is_refused_with_the_near_one(refused: Refused, tmp_path: Path) -> None:
    write_orography(tmp_path / "z.nc")
    assert refused(change=orography("orogr")) == [
        "no such variable: orogr in TMP/z.nc; did you mean 'orog'?"
    ]


@pytest.mark.parametrize("dims", [("station", "lon"), ("member", "lat", "lon")])
def test_unknown_dimensions_are_refused(
    refused: Refused, tmp_path: Path, dims: tuple[str, ...]
) -> None:
    write_orography(tmp_path / "z.nc", dims=dims)
    assert refused(change=orography()) == [
        "wrong dimensions: orog in TMP/z.nc; expected lat, lon in any order; found "
        f"{', '.join(dims)}; name the dimensions lat, lon, level, time, or choose another variable"
    ]


def test_a_wrong_unit_in_a_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    write_orography(tmp_path / "z.nc", units="kg")
    assert refused(change=orography()) == [
        "wrong unit: orog in TMP/z.nc; expected a unit convertible to 'm'; found 'kg'; state the "
        "true unit in the case with `units:` if the file is wrong"
    ]


def write_analysis(
    path: Path,
    *,
    hole: bool = False,
    lacks: str = "",
    southward: bool = False,
    order: str = "lev lat lon",
) -> Path:
    """An isothermal atmosphere at rest but for one solid rotation, on 4 pressure levels."""
    lat, lon = np.linspace(-80.0, 80.0, 9), np.arange(12) * 30.0
    level = np.array([50.0, 300.0, 700.0, 1000.0])
    if southward:
        lat = lat[::-1]
    shape = (4, 9, 12)
    wind = (
        10.0
        * np.cos(np.radians(lat))[None, :, None]
        * (1.0 + 0.3 * np.sin(np.radians(lat)))[None, :, None]
    )
    fields = {
        "u": np.broadcast_to(wind, shape),
        "v": np.zeros(shape),
        "t": np.full(shape, 270.0),
        "q": np.full(shape, 1e-3),
        "z": np.broadcast_to(-287.04 * 270.16 * np.log(level / 1010.0)[:, None, None], shape),
    }
    dims = order.split()
    with netCDF4.Dataset(path, "w") as file:
        for name, values, unit in (
            ("lev", level, "hPa"),
            ("lat", lat, "degrees_north"),
            ("lon", lon, "degrees_east"),
        ):
            file.createDimension(name, values.size)
            file.createVariable(name, "f8", (name,)).units = unit
            file[name][:] = values
        for name, values in fields.items():
            if name == lacks:
                continue
            values = np.array(values)
            if hole and name == "t":
                values[2, 3, 4] = np.nan
            axes = [("lev", "lat", "lon").index(d) for d in dims]
            file.createVariable(name, "f8", tuple(dims))[:] = values.transpose(axes)
    return path


ANALYSIS = {"initial": {"file": "start.nc"}, "atmosphere.moist": True}


def test_nan_in_the_initial_state_is_refused_with_the_place(
    refused: Refused, tmp_path: Path
) -> None:
    write_analysis(tmp_path / "start.nc", hole=True)
    assert refused(change=ANALYSIS) == [
        "missing values (NaN): t in TMP/start.nc; expected a number everywhere above the ground; "
        "found 1 missing of 432, the first at level 700 hPa, lat -20, lon 120"
    ]


def test_a_variable_that_the_initial_state_lacks_is_named(refused: Refused, tmp_path: Path) -> None:
    write_analysis(tmp_path / "start.nc", lacks="q")
    assert refused(change=ANALYSIS) == [
        "no such variable for the initial state: specific_humidity in TMP/start.nc; expected "
        "specific_humidity or q or hus or shum or relative_humidity or r or hur or rh or rhum; "
        "name it with initial.variables; the file has lev, lat, lon, u, v, t, z"
    ]


def run(tmp_path: Path, name: str, raw: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a good run writes."""
    case = write_case(tmp_path / "case.yaml", raw)
    assert main(["run", str(case), "--quiet", "--out", str(tmp_path / name)]) == 0
    with netCDF4.Dataset(tmp_path / name / "atmosphere.nc") as file:
        return {n: np.asarray(v[...]) for n, v in file.variables.items()}


def test_descending_latitude_and_another_order_of_dimensions_give_the_same_run(
    tmp_path: Path,
) -> None:
    fields = {"output.fields": ["ua", "ta", "ps"], "days": 0.125}
    raw = changed(DRY, orography() | fields)
    write_orography(tmp_path / "z.nc")
    want = run(tmp_path, "plain", raw)
    assert np.ptp(want["ps"]) > 1e4, "the ridge must be seen"
    for name, how in {
        "descending": {"southward": True},
        "turned": {"dims": ("lon", "lat")},
    }.items():
        write_orography(tmp_path / "z.nc", **how)  # type: ignore[arg-type]
        got = run(tmp_path, name, raw)
        assert got.keys() == want.keys()
        for variable, values in want.items():
            np.testing.assert_array_equal(got[variable], values)
    raw = changed(DRY, ANALYSIS | fields)
    write_analysis(tmp_path / "start.nc")
    want = run(tmp_path, "analysis", raw)
    write_analysis(tmp_path / "start.nc", southward=True, order="lon lat lev")
    got = run(tmp_path, "turned_analysis", raw)
    assert want["ua"].max() > 8.0
    for variable, values in want.items():
        np.testing.assert_array_equal(got[variable], values)
