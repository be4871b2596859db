"""Maps of one layer of fluid: what they show, and what cannot be shown."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from coupler import Simulation
from coupler.cli import main
from coupler.compare.pictures import linear_levels
from coupler.diagnostics.maps import (
    HEIGHT,
    PRESSURE,
    VORTICITY,
    WIND,
    _at_pressure,
    map_figure,
)
from coupler.diagnostics.plots import plot
from coupler.interface.errors import DataError

CASES = Path(__file__).resolve().parents[2] / "cases"
SMALL = {"atmosphere.truncation": 15, "output.interval": 0.25}


@pytest.fixture(scope="module")
def mountain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps") / "mountain"
    case = CASES / "tests" / "williamson_1992_5_t42.yaml"
    Simulation.from_case(case, set=SMALL | {"days": 3}, out=folder).run(quiet=True)
    return folder


def test_three_maps_end_with_the_last_record(mountain):
    titles = [a.get_title(loc="left") for a in map_figure(mountain, HEIGHT).axes[:3]]
    assert titles == [f"Height of the free surface, day {d}" for d in (1, 2, 3)]
    late = map_figure(mountain, VORTICITY, skip_days=2.5).axes
    assert [a.get_title(loc="left") for a in late[:2]] == [
        f"Relative vorticity, day {d}" for d in (2.75, 3)
    ]


def test_the_command_writes_maps(mountain, tmp_path, capsys):
    out = tmp_path / "height.png"
    assert main(["plot", str(mountain), "--kind", "height", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    plain = tmp_path / "vorticity.png"
    plot(mountain, "vorticity", plain)
    assert plain.read_bytes() != out.read_bytes()


def test_what_cannot_be_shown_is_said(mountain, tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*none"):
        map_figure(tmp_path / "none", HEIGHT)
    with pytest.raises(DataError, match=r"nothing left of a run.*expected more than 9 days"):
        map_figure(mountain, HEIGHT, skip_days=9.0)
    with pytest.raises(DataError, match=r"nothing observed for this kind"):
        plot(mountain, "height", tmp_path / "x.png", observed=tmp_path / "y")
    column = tmp_path / "column"
    Simulation.from_case(CASES / "qbo_1d.yaml", set={"days": 60}, out=column).run(quiet=True)
    with pytest.raises(DataError, match=r"missing variable: rv"):
        map_figure(column, VORTICITY)
    with pytest.raises(DataError, match=r"no map of a single column"):
        map_figure(column, HEIGHT)
    with pytest.raises(DataError, match=r"no levels to choose from: zg"):
        map_figure(mountain, HEIGHT, level=5.0e4)
    with pytest.raises(DataError, match=r"no such day: 4; expected days to 3"):
        map_figure(mountain, HEIGHT, days=(1.0, 4.0))


def test_the_file_of_a_layer_has_no_vertical_axis_and_continues(tmp_path):
    case = CASES / "tests" / "williamson_1992_5_t42.yaml"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for stepping in ("leapfrog", "rk4"):
        change = SMALL | {"atmosphere.stepping": stepping, "days": 1}
        want = Simulation.from_case(case, set=change, out=whole, overwrite=True).run(quiet=True)
        Simulation.from_case(case, set=change, out=parts, overwrite=True).run(days=0.5, quiet=True)
        again = Simulation.from_case(case, set=change, out=parts, resume=True).run(quiet=True)
        one, two = want.dataset(), again.dataset()
        assert one["zg"].dims == one["ua"].dims == ("time", "lat", "lon")
        assert not {"ps", "lev", "ap"} & set(one.variables)
        for name in ("ua", "va", "rv", "zg"):
            np.testing.assert_array_equal(one[name], two[name], err_msg=f"{name} {stepping}")
        one.close()
        two.close()


@pytest.fixture(scope="module")
def rossby_wave(tmp_path_factory):
    """A quarter of a day of isothermal air at 288 K that turns with 20 m/s over a mountain."""
    folder = tmp_path_factory.mktemp("maps") / "rossby_wave"
    case = CASES / "tests" / "asp_2008_5_0_0_t42.yaml"
    small = {"atmosphere.truncation": 15, "atmosphere.levels": "sigma9", "days": 0.25}
    Simulation.from_case(case, set=small | {"output.interval": 0.125}, out=folder).run(quiet=True)
    return folder


def test_fields_on_levels_are_shown_at_a_pressure_and_blank_below_the_ground(rossby_wave):
    data = xr.open_dataset(rossby_wave / "atmosphere.nc")
    ps = data["ps"].values[[-1]]
    p = data["ap"].values[:, None, None] + data["b"].values[:, None, None] * ps
    linear = np.log(p)[None]  # a field that is linear in ln p is found without error
    at_700 = _at_pressure(data, [1], linear, 7.0e4)
    inside = ps[0] > 8.5e4  # above the lowest level there
    np.testing.assert_allclose(at_700[0][inside], np.log(7.0e4), rtol=1e-12)
    at_900 = _at_pressure(data, [1], linear, 9.0e4)
    np.testing.assert_array_equal(np.isnan(at_900), ps < 9.0e4)
    assert np.isnan(at_900).any()
    data.close()


def test_maps_of_an_atmosphere_name_their_pressure_and_days(rossby_wave, tmp_path):
    height = map_figure(rossby_wave, HEIGHT, level=7.0e4, days=(0.125, 0.25))
    titles = [a.get_title(loc="left") for a in height.axes[:2]]
    assert titles == [f"Height of the 700 hPa surface, day {d}" for d in (0.125, 0.25)]
    wind = map_figure(rossby_wave, WIND, days=(0.25,))
    assert wind.axes[0].get_title(loc="left") == "Eastward wind at 850 hPa, day 0.25"
    pressure = map_figure(rossby_wave, PRESSURE, days=(0.25,))
    assert "Surface pressure, day 0.25" in pressure.axes[0].get_title(loc="left")
    out = tmp_path / "t.png"
    arguments = ["plot", str(rossby_wave), "--kind", "temperature", "--level", "700"]
    assert main([*arguments, "--days", "0.25", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_pressure_below_all_ground_is_refused_with_the_range(rossby_wave, tmp_path, capsys):
    out = tmp_path / "wind.png"
    arguments = ["plot", str(rossby_wave), "--kind", "wind", "--out", str(out), "--level"]
    assert main([*arguments, "99999"]) == 2
    told = capsys.readouterr().err
    most = float(xr.load_dataset(rossby_wave / "atmosphere.nc")["ps"].max()) / 100.0
    assert "no such pressure in the records shown: 99999 hPa; expected 0 to " in told
    assert float(told.split("expected 0 to ")[1].split()[0]) == pytest.approx(most, rel=1e-3)
    assert main([*arguments, "0.001"]) == 0  # above the highest level its value is shown


def test_contours_of_a_field_without_a_finite_value_are_refused():
    for diverging in (False, True):
        with pytest.raises(DataError, match="a field without a finite value"):
            linear_levels([np.full((2, 3), np.nan)], diverging=diverging)
