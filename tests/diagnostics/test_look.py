"""A quick look at one variable: the right numbers on the right side."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from coupler.cli import main
from coupler.diagnostics.look import in_terminal, picture, view
from coupler.interface.errors import ConfigError, DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lat, lon, p = np.linspace(-75.0, 75.0, 11), np.arange(0.0, 360.0, 24.0), [10.0, 300.0, 900.0]
    t = np.arange(4.0)
    deep = lat[None, None, :, None] + 0.0 * t[:, None, None, None] + np.zeros((4, 3, 11, 15))
    deep = deep + np.array([100.0, 0.0, -100.0])[None, :, None, None]
    flat = lon[None, None, :] + 10.0 * t[:, None, None] + np.zeros((4, 11, 15))
    data = xr.Dataset(
        {"ua": (("time", "lev", "lat", "lon"), deep, {"units": "m s-1", "long_name": "Wind"}),
         "pr": (("time", "lat", "lon"), flat), "mass": (("time",), 3.0 + t),
         "number": ((), 1.0)},
        coords={"time": ("time", t, {"units": "days since 2000-01-01"}),
                "lev": ("lev", p, {"units": "hPa"}),
                "lat": ("lat", lat, {"units": "degrees_north"}),
                "lon": ("lon", lon, {"units": "degrees_east"})},
    )  # fmt: skip
    data.to_netcdf(tmp_path / "atmosphere.nc")
    return tmp_path / "atmosphere.nc"


def test_a_section_has_the_top_up_and_a_map_the_north(file: Path) -> None:
    section = view(file, "ua")
    assert section.y.tolist() == [10.0, 300.0, 900.0]
    assert section.values[0, -1] == pytest.approx(175.0)
    level = view(file.parent, "ua", level=3.1e4)
    assert "300 hPa" in level.title
    assert (level.y[0], level.values[0, 0]) == (75.0, pytest.approx(75.0))
    rain = view(file, "pr", skip_days=2.0)
    assert rain.values[3, 2] == pytest.approx(48.0 + 25.0)  # the mean of days 2 and 3
    assert view(file, "mass", skip_days=1.0).values.tolist() == [4.0, 5.0, 6.0]


def test_the_terminal_shows_the_extremes_where_they_are(file: Path) -> None:
    lines = in_terminal(view(file, "ua")).splitlines()
    assert lines[0] == "ua: Wind [m s-1]"
    assert lines[1] == "from -175 to 175"
    assert lines[2].rstrip().endswith("@")  # strongest at the top in the north
    assert lines[4][8] == " "  # weakest at the bottom in the south
    assert max(map(len, lines)) <= 80
    assert "▁" in in_terminal(view(file, "mass"))


def test_a_picture_and_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.parent / "pictures" / "ua.png"
    assert main(["plot", str(file), "ua", "--level", "300", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    picture(view(file, "mass"), file.parent / "mass.png")
    assert main(["plot", str(file.parent), "pr"]) == 0
    assert "latitude longitude 0 to 336" in capsys.readouterr().out


def test_a_field_of_no_numbers_or_none_that_is_finite_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with xr.open_dataset(file, decode_times=False) as data:
        data.load()
    data["names"] = ("time", ["a", "b", "c", "d"])
    data["nothing"] = np.nan * data["pr"]
    data.to_netcdf(file)
    for name, sentence in (("names", "not a field of numbers: names"),
                           ("nothing", "nothing to draw: nothing")):  # fmt: skip
        for more in ([], ["--out", str(file.parent / "x.png")]):
            assert main(["plot", str(file), name, *more]) == 2
            assert sentence in capsys.readouterr().err
    assert not (file.parent / "x.png").exists()


def test_damage_within_a_file_is_said_when_its_values_are_read(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with xr.open_dataset(file, decode_times=False) as data:
        data.load()
    data["sum"] = ("time", np.full(4, np.pi))
    data.to_netcdf(file, encoding={"sum": {"fletcher32": True}})
    content, pi = file.read_bytes(), np.float64(np.pi).tobytes()
    assert pi in content
    file.write_bytes(content.replace(pi, bytes(8)))
    assert main(["plot", str(file), "sum"]) == 2
    assert "values that cannot be read: " + str(file) in capsys.readouterr().err
    assert main(["plot", str(file), "mass"]) == 0


def test_what_cannot_be_shown_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such variable: uas; .*did you mean 'ua'"):
        view(file, "uas")
    with pytest.raises(ConfigError, match="nothing to draw along: number"):
        view(file, "number")
    with pytest.raises(DataError, match="no such file"):
        view(file.parent / "none.nc", "ua")
    (file.parent / "cut.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match="not a readable netCDF file"):
        view(file.parent / "cut.nc", "ua")


@pytest.mark.parametrize("name", ["seen", "seen.gif", "folder.png"])
def test_a_name_that_is_none_of_a_picture_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (file.parent / "folder.png").mkdir()
    before = sorted(file.parent.rglob("*"))
    assert main(["plot", str(file), "pr", "--out", str(file.parent / name)]) == 2
    told = capsys.readouterr()
    assert "picture" in told.err and name in told.err and not told.out
    assert sorted(file.parent.rglob("*")) == before


def test_an_interrupted_picture_leaves_the_one_that_was_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    def broken(self: Figure, out: Any, **how: Any) -> None:
        if isinstance(out, Path):
            out.write_bytes(b"half")
        raise KeyboardInterrupt

    out = file.parent / "mass.png"
    picture(view(file, "mass"), out)
    before = out.read_bytes()
    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(KeyboardInterrupt):
        picture(view(file, "mass"), out)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pr", "--skip-days", "99"], "nothing left of a run: .*expected more than 99 days; found"),
        (["mass", "--skip-days", "99"], "nothing left of a run: .*found 3 days"),
        (["pr", "--skip-days", "nan"], "no days to leave out: nan"),
        (["pr", "--skip-days", "-3"], "no days to leave out: -3"),
        (["ua", "--level", "-5"], "no such pressure: -5 hPa"),
        (["ua", "--level", "nan"], "no such pressure: nan hPa"),
        (["pr", "--level", "300"], "no levels to choose from: pr; found time, lat, lon"),
        (["section", "--level", "300"], "nothing to draw along: section"),
    ],
)
def test_days_and_levels_that_are_not_there_are_said_in_a_sentence(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with xr.open_dataset(file, decode_times=False) as data:
        data.load()
    data["section"] = data["ua"].mean("lon")
    data.to_netcdf(file)
    assert main(["plot", str(file), *arguments]) == 2
    told = capsys.readouterr()
    assert re.search(sentence, told.err) and not told.out
