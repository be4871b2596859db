"""Output files: CF conformance, contents, continuation."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray

from coupler.interface import fields as table
from coupler.interface.errors import ContractError, DataError
from coupler.interface.fields import (
    AREAS,
    COLUMN,
    FIELDS,
    INTERFACE,
    LEVEL,
    Field,
    tendency_field,
)
from coupler.interface.grid import Grid, HybridLevels
from coupler.output.netcdf import OutputFile, run_attributes
from coupler.output.series import SeriesFile

GRID = Grid.gaussian(6, 10)
LEVELS = HybridLevels.named("hybrid5")
START = cftime.datetime(1959, 1, 2, 6, calendar="noleap")
NAMES = ("ua", "ta", "ps", "pr", "hfss", "tauu", "phalf", "xgwdparam")
CASE = "title: A test\nphysics:\n  gravity_wave: ad99\n"
DAY = 86400.0
SIZES = {LEVEL: (5, 6, 10), INTERFACE: (6, 6, 10), COLUMN: (6, 10)}
OWN = Field(name="guard", standard_name=None, long_name="Guarded Columns", units="1", dims=COLUMN)


def some_fields() -> list[Field]:
    return [
        *(FIELDS[n] for n in NAMES),
        tendency_field("gravity_wave", "ua"),
        tendency_field("held_suarez", "ta"),
        OWN,
    ]


def values(record: int, fields=None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(record)
    fields = some_fields() if fields is None else fields
    return {f.name: rng.normal(size=SIZES[f.dims]).astype(np.float32) for f in fields}


def new_file(path: Path, **options) -> OutputFile:
    return OutputFile(
        path,
        GRID,
        LEVELS,
        some_fields(),
        START,
        attrs=run_attributes(title="A test", case=CASE, versions={"isthmus": "0.1.0"}),
        static={"orog": np.full(GRID.shape, 12.5), "sftlf": np.zeros(GRID.ncol)},
        **options,
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file with three records of a day."""
    file = new_file(tmp_path / "atmosphere.nc")
    for i in range(3):
        file.append(values(i), i * DAY, (i + 1) * DAY)
    return tmp_path / "atmosphere.nc"


@pytest.fixture
def no_network(monkeypatch):
    """The checker must use the table of names that it brings."""

    def refuse(*_: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.socket.connect", refuse)


# The checker warns about its own use of old interfaces.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("kind", ["atmosphere", "ocean", "parts", "budgets"])
def test_the_cf_checker_finds_no_error_and_no_warning_but_one_of_its_own(kind, written, tmp_path):
    from compliance_checker.runner import CheckSuite, ComplianceChecker

    path, known = written, {"'lev_bnds' has attr 'formula_terms'"}
    if kind == "ocean":
        path, known = tmp_path / "ocean.nc", set()
        ocean = OutputFile(
            path, Grid.regular(7, 9), None, [FIELDS["tos"], FIELDS["hfds"]], START, area="areacello"
        )
        field = np.full((7, 9), 290.0)
        field[3, 4] = np.nan
        ocean.append({"tos": field, "hfds": field}, 0.0, DAY)
    elif kind == "parts":
        path, known = tmp_path / "parts.nc", set()
        parts = [f for f in FIELDS.values() if f.part is not None]
        assert {f.part for f in parts} == set(AREAS)
        file = OutputFile(path, GRID, None, parts, START)
        file.append({f.name: np.full(GRID.shape, 280.0) for f in parts}, 0.0, DAY)
    elif kind == "budgets":
        path, known = tmp_path / "budgets.nc", set()
        series = SeriesFile(path, "1959-01-02", "noleap", {"title": "test"})
        series.append(1.0, {"energy": (1 / 3, "J m-2", "Energy")})
    CheckSuite.load_all_available_checkers()
    report = tmp_path / "report.json"
    _, errors = ComplianceChecker.run_checker(
        str(path), ["cf:1.10"], 0, "strict", output_filename=str(report), output_format="json"
    )
    assert not errors
    result = json.loads(report.read_text())["cf:1.10"]
    assert result["high_count"] == 0
    messages = [
        m
        for priority in ("high", "medium", "low")
        for check in result[f"{priority}_priorities"]
        for m in check["msgs"]
    ]
    # CF 1.10 section 7.1 demands what the checker complains of: the formula terms of the bounds of
    # a parametric coordinate name the bounds of the terms, not the terms.
    assert {m.split(" with value")[0] for m in messages} == known


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_cf_checker_does_find_errors_where_there_are_some(written, tmp_path):
    import netCDF4
    from compliance_checker.runner import CheckSuite, ComplianceChecker

    with netCDF4.Dataset(written, "a") as nc:
        nc["ua"].standard_name = "wind_of_the_east"
        nc["ta"].units = "furlong"
    CheckSuite.load_all_available_checkers()
    report = tmp_path / "report.json"
    ComplianceChecker.run_checker(
        str(written), ["cf:1.10"], 0, "strict", output_filename=str(report), output_format="json"
    )
    assert json.loads(report.read_text())["cf:1.10"]["high_count"] >= 2


def test_every_standard_name_of_the_fields_table_is_one_of_cf_with_a_fitting_unit():
    import compliance_checker
    from cf_units import Unit

    path = Path(compliance_checker.__file__).parent / "data" / "cf-standard-name-table.xml"
    entries = ElementTree.parse(path).getroot().findall("entry")
    known = {e.get("id"): e.findtext("canonical_units") for e in entries}
    everything = [
        *FIELDS.values(),
        *(tendency_field(process, of) for process, of in table._TENDENCY_NAMES),
    ]
    named = [f for f in everything if f.standard_name is not None]
    assert len(named) > 50
    wrong = [
        f.name
        for f in named
        if f.standard_name not in known
        or not Unit(known[f.standard_name]).is_convertible(Unit(f.units))
    ]
    assert wrong == []


def test_water_that_rivers_hold_is_not_called_what_flows_in_them():
    """CMIP6 has ``rivo`` for discharge [m3 s-1], and of what is stored its change, ``drivw``."""
    assert "rivo" not in FIELDS
    assert FIELDS["rivw"].units == "kg m-2"


def test_the_heat_that_a_surface_of_sea_and_land_takes_is_not_called_one_in_sea_water():
    assert FIELDS["hfds"].standard_name == "surface_downward_heat_flux_in_air"


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("pr", None),
        ("simass", None),
        ("siconc", "sea"),
        ("mlotst", "sea"),
        ("hfcorr", "sea"),
        ("ts_ocean", "sea"),
        ("hfds_ocean", "ice_free_sea"),
        ("mrso", "land"),
        ("snw", "land"),
        ("ts_land", "land (without snow)"),
        ("hfds_snow", "snow (on land)"),
        ("sithick", "sea_ice"),
        ("ts_ice", "sea_ice"),
    ],
)
def test_what_is_per_area_of_a_part_of_a_cell_says_of_which(name, area, tmp_path):
    import netCDF4

    OutputFile(tmp_path / "parts.nc", GRID, None, [FIELDS[name]], START)
    with netCDF4.Dataset(tmp_path / "parts.nc") as nc:
        lead = "" if area is None else f"area: mean where {area} "
        assert nc[name].cell_methods == f"{lead}time: mean"


def test_xarray_reads_values_dates_bounds_and_metadata_back(written):
    with xarray.open_dataset(written) as ds:
        expected = [cftime.DatetimeNoLeap(1959, 1, d, 18) for d in (2, 3, 4)]
        assert list(ds.time.values) == expected
        assert ds.time_bnds.values[1, 1] == cftime.DatetimeNoLeap(1959, 1, 4, 6)
        for i in range(3):
            for name, array in values(i).items():
                assert np.array_equal(ds[name][i].values, array), name
        assert ds.ua.dims == ("time", "lev", "lat", "lon")
        assert ds.phalf.dims == ("time", "ilev", "lat", "lon")
        assert ds.ua.attrs["standard_name"] == "eastward_wind"
        assert ds.ua.attrs["cell_methods"] == "time: mean"
        assert ds.hfss.attrs["positive"] == "up"
        assert "standard_name" not in ds.guard.attrs
        assert ds.attrs["Conventions"] == "CF-1.10"
        assert ds.attrs["case"] == CASE
        assert json.loads(ds.attrs["versions"]) == {"isthmus": "0.1.0"}
        assert float(ds.orog.mean()) == 12.5
        sphere = 4 * np.pi * 6.371e6**2
        assert float(ds.areacella.sum(dtype="f8")) == pytest.approx(sphere, rel=1e-6)  # float32
        np.testing.assert_array_equal(ds.lat_bnds[:, 1], GRID.lat_bounds[1:])


def test_pressure_can_be_computed_from_the_formula_terms(written):
    with xarray.open_dataset(written) as ds:
        ps = ds.ps[0].values.astype(np.float64)
        terms = dict(zip(*[iter(ds.ilev.attrs["formula_terms"].split())] * 2, strict=True))
        assert terms["ps:"] == "ps"
        half = ds[terms["ap:"]].values[:, None, None] + ds[terms["b:"]].values[:, None, None] * ps
        np.testing.assert_allclose(half, LEVELS.half_pressure(ps), rtol=1e-15)
        terms = dict(zip(*[iter(ds.lev.attrs["formula_terms"].split())] * 2, strict=True))
        ap, b = ds[terms["ap:"]].values, ds[terms["b:"]].values
        assert ((ap > ds.ap_bnds.values.min(axis=1)) | (ap > 0)).all()
        np.testing.assert_allclose(ap / 1e5 + b, ds.lev.values, rtol=1e-15)
        np.testing.assert_array_equal(ds.ap_bnds[1:, 0], ds.ap_bnds[:-1, 1])
        assert (np.diff(ds.lev.values) > 0).all()


def test_surface_pressure_is_added_because_pressure_follows_from_it(tmp_path):
    file = OutputFile(tmp_path / "a.nc", GRID, LEVELS, [FIELDS["ta"]], START)
    assert [f.name for f in file.fields] == ["ta", "ps"]
    with pytest.raises(ContractError, match="output field not given: ps"):
        file.append({"ta": np.zeros(SIZES[LEVEL])}, 0.0, DAY)


def test_columns_are_accepted_and_nan_becomes_the_missing_value(tmp_path):
    import netCDF4

    file = OutputFile(tmp_path / "a.nc", GRID, LEVELS, [FIELDS["ta"]], START)
    ta = np.arange(300.0).reshape(5, 60)
    ta[2, 7] = np.nan
    file.append({"ta": ta, "ps": np.full(60, 1e5), "other": np.zeros(3)}, 0.0, 600.0)
    with xarray.open_dataset(tmp_path / "a.nc") as ds:
        np.testing.assert_array_equal(ds.ta[0].values.reshape(5, 60), ta)
    with netCDF4.Dataset(tmp_path / "a.nc") as nc:
        assert np.count_nonzero(nc["ta"][:].mask) == 1


def test_data_are_compressed_float32(written):
    import netCDF4

    with netCDF4.Dataset(written) as nc:
        filters = nc["ua"].filters()
        assert (filters["zlib"], filters["complevel"], filters["shuffle"]) == (True, 1, True)
        assert nc["ua"].dtype == np.float32
        assert nc["ua"].chunking() == [1, 5, 6, 10]


def test_records_are_refused_whole_when_something_is_wrong_with_them(written):
    file = OutputFile.reopen(written, 3 * DAY)
    with pytest.raises(ContractError, match="output field not given: guard"):
        file.append({k: v for k, v in values(3).items() if k != "guard"}, 3 * DAY, 4 * DAY)
    with pytest.raises(ContractError, match=r"wrong shape for output: ua; .*found \(6, 5, 10\)"):
        file.append(values(3) | {"ua": np.zeros((6, 5, 10))}, 3 * DAY, 4 * DAY)
    with pytest.raises(ContractError, match="output interval out of order"):
        file.append(values(3), 2.5 * DAY, 4 * DAY)
    with pytest.raises(ContractError, match="output interval out of order"):
        file.append(values(3), 3 * DAY, 3 * DAY)
    with xarray.open_dataset(written) as ds:
        assert ds.sizes["time"] == file.records == 3


def test_impossible_files_are_refused(tmp_path):
    path = tmp_path / "a.nc"
    with pytest.raises(ContractError, match="output field given twice: ua"):
        OutputFile(path, GRID, LEVELS, [FIELDS["ua"], FIELDS["ua"]], START)
    with pytest.raises(ContractError, match="in a file without levels: ua"):
        OutputFile(path, GRID, None, [FIELDS["ua"]], START)
    with pytest.raises(ContractError, match="unknown field: orogg; did you mean 'orog'"):
        OutputFile(path, GRID, None, [], START, static={"orogg": np.zeros(GRID.shape)})


def test_a_continued_file_is_the_same_as_an_uninterrupted_one(written, tmp_path):
    for i in (3, 4):
        OutputFile.reopen(written, 99 * DAY, some_fields()).append(
            values(i), i * DAY, (i + 1) * DAY
        )
    whole = new_file(tmp_path / "whole.nc")
    for i in range(5):
        whole.append(values(i), i * DAY, (i + 1) * DAY)
    with xarray.open_dataset(written) as a, xarray.open_dataset(tmp_path / "whole.nc") as b:
        xarray.testing.assert_equal(a, b)
        assert {k: v.attrs for k, v in a.variables.items()} == {
            k: v.attrs for k, v in b.variables.items()
        }


def test_records_after_the_restart_are_dropped_when_a_run_is_resumed(written):
    with xarray.open_dataset(written, decode_cf=False) as ds:
        before = ds.load()
    file = OutputFile.reopen(written, 2 * DAY, some_fields())
    assert file.records == 2
    file.append(values(7), 2 * DAY, 2.5 * DAY)
    with xarray.open_dataset(written, decode_cf=False) as after:
        first = {"time": slice(0, 2)}
        xarray.testing.assert_identical(after.isel(first), before.isel(first))
        assert after.sizes["time"] == 3
        np.testing.assert_array_equal(after.ua[2], values(7)["ua"])
        np.testing.assert_array_equal(after.time_bnds[2], [2.0, 2.5])
    assert [p.name for p in written.parent.iterdir()] == ["atmosphere.nc"]


def test_a_file_may_be_continued_from_its_very_beginning(written):
    file = OutputFile.reopen(written, 0.0)
    assert file.records == 0
    file.append(values(0), 0.0, DAY)
    with xarray.open_dataset(written) as ds:
        assert ds.sizes["time"] == 1


def test_a_run_killed_after_a_record_leaves_a_whole_file(tmp_path):
    path = tmp_path / "killed.nc"
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_netcdf import new_file, values, DAY
from pathlib import Path
file = new_file(Path({str(path)!r}))
file.append(values(0), 0.0, DAY)
file.append(values(1), DAY, 2 * DAY)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    file = OutputFile.reopen(path, 2 * DAY, some_fields())
    assert file.records == 2
    file.append(values(2), 2 * DAY, 3 * DAY)
    with xarray.open_dataset(path) as ds:
        for i in range(3):
            np.testing.assert_array_equal(ds.ua[i], values(i)["ua"])


def test_a_file_that_cannot_be_continued_is_refused_in_one_sentence(written, tmp_path):
    with pytest.raises(DataError, match="no output file to continue"):
        OutputFile.reopen(tmp_path / "none.nc", DAY)
    with pytest.raises(DataError, match=r"output file holds other fields.*expected ps, ta"):
        OutputFile.reopen(written, DAY, [FIELDS["ta"]])
    raw = written.read_bytes()
    written.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match="output file cannot be continued"):
        OutputFile.reopen(written, DAY)
