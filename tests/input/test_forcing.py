"""Numbers that a case prescribes in time: carbon dioxide from tables and netCDF files."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
from tiny import COUPLED

from coupler import Simulation
from coupler.driver.assemble import assemble, check
from coupler.driver.loop import step
from coupler.input.forcing import Forcing, decimal_year, read_series
from coupler.interface.errors import ConfigError, DataError

TABLE = "# measured\ndate,co2 [ppm],other\n2000-01-01,360,1\n2000-03-01,720,2\n2001,400,3\n"


def table(folder: Path, text: str = TABLE, name: str = "co2.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def netcdf(folder: Path, *, calendar: str = "360_day", units: str = "1e-6") -> Path:
    path = folder / "co2.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 3)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 2000-01-01", calendar
        time[:] = [0.0, 60.0, 540.0]
        values = file.createVariable("co2", "f4", ("time",))
        values.units = units
        values[:] = [360.0, 720.0, 400.0]
    return path


@pytest.mark.parametrize("make", [table, netcdf])
def test_between_two_dates_the_value_is_interpolated_on_any_calendar(make, tmp_path):
    series = read_series(make(tmp_path), "co2", Forcing(file="x"))
    assert series.values == pytest.approx([360e-6, 720e-6, 400e-6])
    for calendar in ("noleap", "standard", "360_day"):
        middle = series.at(cftime.datetime(2000, 1, 30, calendar=calendar))
        assert middle == pytest.approx(540e-6, rel=0.03)  # a day is a sixtieth of the way
        late = cftime.datetime(2030, 1, 1, calendar=calendar)
        with pytest.raises(ConfigError, match=r"ends before the run: forcing\.co2=x; .* a last"):
            series.at(late)
        early = cftime.datetime(1950, 1, 1, calendar=calendar)
        with pytest.raises(ConfigError, match=r"begins after the run: forcing\.co2=x"):
            series.at(early)
        held = replace(series, choice=Forcing(file="x", before="hold", after="hold"))
        assert held.at(late) == pytest.approx(400e-6), "beyond the end the last value, never NaN"
        assert held.at(early) == pytest.approx(360e-6)


def test_dates_are_read_as_years_months_days_and_decimal_years(tmp_path):
    text = "date,co2\n1999,1\n2000-01,2\n2000-02-15,3\n2000.5,4\n"
    series = read_series(table(tmp_path, text), "co2", Forcing(file="x", units="ppm"))
    expected = [1999.5, 2000.0 + 15.5 / 366.0, 2000.0 + 45.0 / 366.0, 2000.5]
    assert series.years == pytest.approx(expected)
    assert decimal_year(cftime.datetime(2001, 7, 2, 12, calendar="noleap")) == 2001.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,ch4 [ppb]\n2000,1\n", "no such column: co2 in .*known: ch4"),
        ("date,co2\n2000,360\n", "values without a unit: co2 in .*forcing.co2.units"),
        ("date,co2 [kg]\n2000,360\n", "a unit that does not fit: .*convertible to '1'; found 'kg'"),
        ("date,co2 [ppm]\n2000-02-31,360\n", "no date and number: line 2 of .*'2000-02-31,360'"),
        ("date,co2 [ppm]\n2000,many\n", "no date and number: line 2"),
        ("date,co2 [ppm]\n2000,nan\n", "a value that is none: .*found nan at 2000"),
        ("date,co2 [ppm]\n2000,1\n2001,-9999\n", "a value that is none: .*found -0.009999 at 2001"),
        ("date,co2 [ppm]\n2001,1\n2000,2\n", "dates that do not increase: .*2000 after 2001"),
        ("date,co2 [ppm]\n", "no values: co2 in "),
        ("", "no such column: co2"),
    ],
)
def test_a_table_with_something_wrong_is_refused(text, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_series(table(tmp_path, text), "co2", Forcing(file="x"))


def test_a_netcdf_file_with_something_wrong_is_refused(tmp_path):
    path = netcdf(tmp_path)
    with pytest.raises(DataError, match=r"no such variable: CO2 in .*known: co2, time"):
        read_series(path, "co2", Forcing(file="x", variable="CO2"))
    with netCDF4.Dataset(path, "a") as file:
        file["time"].calendar = "lunar"
    with pytest.raises(DataError, match=r"no dates: time in .*calendar 'lunar'"):
        read_series(path, "co2", Forcing(file="x"))
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("flat", "f4", ())
    with pytest.raises(DataError, match=r"not a series in time: flat in .*dimensions none"):
        read_series(path, "co2", Forcing(file="x", variable="flat"))
    with pytest.raises(DataError, match=r"no such file: .*co3.nc; did you mean 'co2.nc'"):
        read_series(tmp_path / "co3.nc", "co2", Forcing(file="x"))


def case(**forcing: object) -> dict[str, Any]:
    raw = copy.deepcopy(COUPLED)
    raw["physics"]["radiation"] = "byrne_ogorman"
    raw["start"], raw["days"] = "2000-01-01", 30.0
    raw["forcing"] = {"co2": forcing}
    return raw


def problems(raw: dict[str, Any], folder: Path) -> str:
    return "\n".join(map(str, check(raw, folder)))


def test_a_file_that_ends_before_the_run_is_refused_unless_its_last_value_may_stay(tmp_path):
    table(tmp_path, "date,co2 [ppm]\n1990,350\n2000-01-15,360\n", "short.csv")
    found = problems(case(file="short.csv"), tmp_path)
    assert "a file that ends before the run: forcing.co2=short.csv" in found
    assert "a last date of 2000-01-15" in found and "up to 2000-01-31" in found
    assert problems(case(file="short.csv", after="hold"), tmp_path) == ""
    table(tmp_path, "date,co2 [ppm]\n2000-01-15,350\n2010,360\n", "late.csv")
    assert "a first date of 2000-01-15" in problems(case(file="late.csv"), tmp_path)
    assert problems(case(file="late.csv", before="hold"), tmp_path) == ""


def test_a_run_that_is_asked_to_go_on_beyond_its_file_is_refused_before_it_begins(tmp_path):
    table(tmp_path, "date,co2 [ppm]\n1990,350\n2000-01-03,360\n", "short.csv")
    raw = case(file=str(tmp_path / "short.csv")) | {"days": 1.0}
    sim = Simulation.from_case(raw, out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"ends before the run: .*up to 2000-01-04, the end"):
        sim.run(days=3.0, quiet=True)
    assert not (tmp_path / "run").exists()
    held = case(file=str(tmp_path / "short.csv"), after="hold") | {"days": 1.0}
    Simulation.from_case(held, out=tmp_path / "x")._refuse_beyond_files(3.0)


def test_what_nobody_reads_or_cannot_be_prescribed_is_said(tmp_path):
    table(tmp_path)
    raw = case(file="co2.csv")
    raw["physics"]["radiation"] = "grey"
    assert "no scheme of the case reads: forcing.co2; take" in problems(raw, tmp_path)
    raw = case(file="co2.csv")
    raw["forcing"]["ch4"] = {"file": "co2.csv"}
    assert "cannot be prescribed in time: forcing.ch4; known: co2" in problems(raw, tmp_path)
    assert "unknown key: forcing.co2.fil" in problems(case(fil="co2.csv"), tmp_path)


def test_a_setting_that_a_file_overrides_is_said(tmp_path):
    table(tmp_path)
    raw = case(file="co2.csv")
    radiation = {"scheme": "byrne_ogorman", "co2": "500 ppm", "co2_growth": 1}
    raw["physics"]["radiation"] = radiation
    for setting, value in (("co2", "500.0"), ("co2_growth", "1.0")):
        expected = (
            "a setting that has no effect: the file of the forcing is taken instead: "
            f"physics.radiation.{setting}; expected either this setting or forcing.co2; "
            f"found {setting} = {value} and co2.csv"
        )
        assert expected in [str(p) for p in assemble(raw, tmp_path).advice]
    assert not assemble(case(file="co2.csv"), tmp_path).advice, "a default is no setting"
    del raw["forcing"]
    assert not assemble(raw, tmp_path).advice


def test_radiation_takes_the_value_of_the_day_instead_of_its_own(tmp_path):
    table(tmp_path)
    sent = {}
    for name, raw in (("file", case(file="co2.csv")), ("own", case())):
        if name == "own":
            del raw["forcing"]
            raw["physics"]["radiation"] = {"scheme": "byrne_ogorman", "co2": "360 ppm"}
        model = assemble(raw, tmp_path)
        step(model)
        first = model.suite.pool["rlut"].copy()
        model.clock.set(round(60.0 * model.steps_per_day))
        step(model)
        sent[name] = (first, model.suite.pool["rlut"].copy())
    np.testing.assert_allclose(sent["file"][0], sent["own"][0], rtol=1e-6)
    less = (sent["own"][1] - sent["file"][1]).mean()
    assert less > 0.5, "twice the carbon dioxide lets less through [W m-2]"
