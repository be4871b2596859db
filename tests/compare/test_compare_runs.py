"""Two run folders in, a table and a page out."""

import html.parser
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up_run import NLAT, NLEV, fields, write_run
from rich.console import Console

from coupler.compare import differences, pictures
from coupler.compare.climate import Climate
from coupler.compare.numerals import number, signed
from coupler.compare.reading import read_climate
from coupler.compare.report import Comparison, compare_runs
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError
from coupler.interface.grid import HybridLevels


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("runs")
    a = write_run(base / "physics")
    b = write_run(
        base / "emulator",
        seed=2,
        shift=3.0,
        drag=0.5,
        settings={"physics": {"gravity_wave": {"scheme": "<script>alert(1)</script>"}}},
    )
    return a, b


@pytest.fixture(scope="module")
def printed() -> StringIO:
    return StringIO()


@pytest.fixture(scope="module")
def comparison(folders: tuple[Path, Path], printed: StringIO) -> Comparison:
    report = folders[0].parent / "reports" / "report.html"
    return compare_runs(*folders, report, console=Console(file=printed, width=120))


@pytest.fixture(scope="module")
def physics(folders: tuple[Path, Path]) -> Climate:
    return read_climate(folders[0])


def _row(comparison: Comparison, name: str) -> differences.Row:
    return next(r for r in comparison.rows if r.name == name)


def _pattern(comparison: Comparison, name: str) -> float:
    return next(p.value for p in comparison.patterns if p.name == name)


# -- reading a run --------------------------------------------------------------------------------


def test_pressure_and_thickness_are_those_of_the_hybrid_levels(physics: Climate) -> None:
    levels = HybridLevels.named(f"hybrid{NLEV}")
    half = levels.half_pressure(physics.band("ps"))
    # The file holds a, b and ps in float64: round-off of sums around 1e5 Pa.
    np.testing.assert_allclose(physics.dp, np.diff(half, axis=0), atol=1e-9)
    np.testing.assert_allclose(physics.p, 0.5 * (half[1:] + half[:-1]), atol=1e-9)


def test_without_level_bounds_the_thickness_still_fills_the_column(tmp_path: Path) -> None:
    def bare(data: xr.Dataset) -> xr.Dataset:
        del data["lev"].attrs["bounds"]
        return data.drop_vars(["lev_bnds", "ap_bnds", "b_bnds"])

    run = read_climate(write_run(tmp_path / "run", edit=bare))
    np.testing.assert_allclose(run.dp.sum(axis=0), run.band("ps"), rtol=1e-12)  # a telescoping sum
    assert (run.dp > 0.0).all()


def test_a_file_upside_down_and_north_first_gives_the_same_climate(
    tmp_path: Path, physics: Climate
) -> None:
    def turned(data: xr.Dataset) -> xr.Dataset:
        return data.isel(lev=slice(None, None, -1), lat=slice(None, None, -1))

    run = read_climate(write_run(tmp_path / "run", edit=turned))
    for name in physics.sections:
        np.testing.assert_array_equal(run.section(name), physics.section(name))
    np.testing.assert_allclose(run.dp, physics.dp, rtol=1e-12)  # order of a sum
    np.testing.assert_allclose(run.air["thermal"], physics.air["thermal"], rtol=1e-12)
    assert differences.jet(run, 1) == differences.jet(physics, 1)


def test_levels_of_pressure_need_no_formula(tmp_path: Path) -> None:
    def on_pressure(data: xr.Dataset) -> xr.Dataset:
        p = np.linspace(10.0, 990.0, NLEV)
        data = data.drop_vars(["lev_bnds", "ap_bnds", "b_bnds", "ap", "b"])
        data["lev"] = xr.DataArray(p, dims="lev", attrs={"units": "hPa"})
        return data

    run = read_climate(write_run(tmp_path / "run", edit=on_pressure))
    np.testing.assert_allclose(run.p[:, 4], 100.0 * np.linspace(10.0, 990.0, NLEV))


def test_global_means_and_energies_are_those_of_the_fields(physics: Climate) -> None:
    data, grid = fields(1, 9, 0.0, 1.0)
    rain = [grid.mean(day) for day in data["pr"].values]
    # Same sum in another order; Gaussian weights from the bounds agree to round-off.
    np.testing.assert_allclose(physics.bands["pr"].global_mean(), rain, rtol=1e-12)

    planet = Planet()
    mass = physics.dp[None, :, :, None] / planet.gravity
    heat = planet.cp_dry * data["ta"] + planet.latent_heat_vaporization * data["hus"]
    motion = 0.5 * (data["ua"] ** 2 + data["va"] ** 2)
    for name, density in (("thermal", heat), ("kinetic", motion), ("water", data["hus"])):
        expected = grid.mean((density.values * mass).sum(axis=1).mean(axis=0))
        assert physics.air[name].mean() == pytest.approx(expected, rel=1e-12)


def test_a_missing_longitude_does_not_spoil_a_mean(tmp_path: Path, physics: Climate) -> None:
    def with_land(data: xr.Dataset) -> xr.Dataset:
        data["pr"] = data["pr"].where((data["lat"] > -70.0) & (data["lon"] > 40.0))
        return data

    run = read_climate(write_run(tmp_path / "run", edit=with_land))
    land = run.lat < -70.0
    assert np.isnan(run.band("pr")[land]).all()
    assert np.isfinite(run.band("pr")[~land]).all()
    assert np.isfinite(run.bands["pr"].global_mean()).all()


def test_spin_up_is_left_out(folders: tuple[Path, Path], physics: Climate) -> None:
    later = read_climate(folders[0], spinup_days=4.0)
    assert later.days.tolist() == physics.days.tolist()[4:]
    np.testing.assert_array_equal(later.sections["ua"], physics.sections["ua"][4:])
    assert later.start.startswith("2001-03-05")
    assert later.bands["ts"].values.shape[0] == later.days.size


def test_an_interval_counts_by_its_length(physics: Climate) -> None:
    run = replace(physics, length=np.where(np.arange(9) == 2, 1.0, 1e-12))
    np.testing.assert_allclose(run.section("ua"), physics.sections["ua"][2], atol=1e-6)


# -- numbers --------------------------------------------------------------------------------------


def test_the_jet_is_found_between_grid_rows() -> None:
    lat = np.linspace(-85.0, 85.0, 35)
    p = np.repeat(np.geomspace(2e3, 9.5e4, 19)[:, None], lat.size, axis=1)
    log_p = np.log(p / 2.5e4)
    u = 40.0 - ((lat - 43.2) / 10.0) ** 2 - 8.0 * log_p**2
    u = np.where(lat > 0.0, u, 25.0 - ((lat + 51.7) / 10.0) ** 2 - 8.0 * log_p**2)
    u = np.where(p < 1.4e4, 90.0, u)  # what blows in the stratosphere is not the jet
    run = Climate(
        title="", folder=Path(), start="", end="", days=np.ones(1), length=np.ones(1), lat=lat,
        area=np.cos(np.radians(lat)), p=p, dp=p, sections={"ua": u[None]}, bands={}, air={},
    )  # fmt: skip
    north, south = differences.jet(run, 1), differences.jet(run, -1)
    # A parabola is recovered exactly but for round-off of the fit.
    assert (north.lat, north.speed) == (pytest.approx(43.2), pytest.approx(40.0))
    assert (south.lat, south.speed) == (pytest.approx(-51.7), pytest.approx(25.0))
    assert north.p == pytest.approx(2.5e4)


def test_the_runs_differ_as_they_were_made_to(comparison: Comparison) -> None:
    # Jets were moved by 3 degrees poleward; the weather moves them by a few tenths.
    assert _row(comparison, "Jet north, latitude").difference == pytest.approx(3.0, abs=0.8)
    assert _row(comparison, "Jet south, latitude").difference == pytest.approx(-3.0, abs=0.8)
    assert _row(comparison, "Jet north, latitude").beyond
    assert _row(comparison, "Surface wind, 15S to 15N").a < 0.0
    # Drag was halved; its pattern moved only with the jets.
    assert _pattern(comparison, "Zonal drag, amplitude ratio by height") == pytest.approx(0.5, 0.1)
    assert 0.9 < _pattern(comparison, "Zonal drag, correlation by height") < 1.0
    settings = {name: (x, y) for name, x, y in comparison.settings}
    assert settings == {"physics.gravity_wave.scheme": ("ad99", "<script>alert(1)</script>")}


def test_a_run_against_itself_differs_in_nothing(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    same = compare_runs(
        folders[0], folders[0], tmp_path / "r.html", console=Console(file=StringIO())
    )
    assert {row.difference for row in same.rows} == {0.0}
    assert not any(row.beyond for row in same.rows)
    assert _pattern(same, "Zonal wind, rms difference") == 0.0
    assert _pattern(same, "Zonal drag, correlation by mass") == pytest.approx(1.0, abs=1e-12)
    assert same.settings == ()
    assert "Nothing: both runs have the same settings" in same.report.read_text()


def test_drag_of_zero_has_no_correlation_instead_of_a_wrong_one() -> None:
    x, w = np.linspace(-1.0, 1.0, 7), np.full(7, 1 / 7)
    assert np.isnan(differences.correlation(x, 0 * x, w))
    assert np.isnan(differences.amplitude_ratio(0 * x, x, w))
    assert differences.correlation(x, -2.0 * x, w) == pytest.approx(-1.0)
    assert differences.amplitude_ratio(x, -2.0 * x, w) == pytest.approx(2.0)


def test_of_a_longer_and_a_shorter_run_the_days_of_both_are_compared(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    longer = write_run(tmp_path / "longer", records=14, seed=3)
    found = compare_runs(folders[0], longer, tmp_path / "r.html", console=Console(file=StringIO()))
    assert found.a.days.tolist() == found.b.days.tolist() == [d + 0.5 for d in range(9)]
    whole = read_climate(longer)
    np.testing.assert_array_equal(found.b.sections["ta"], whole.sections["ta"][:9])
    np.testing.assert_array_equal(found.b.bands["ts"].values, whole.bands["ts"].values[:9])


def test_runs_that_do_not_go_together_are_refused_with_all_that_differs(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    def other(data: xr.Dataset) -> xr.Dataset:
        data["time"].attrs |= {"units": "days since 1999-05-01", "calendar": "360_day"}
        data["ua"].attrs["units"] = "cm s-1"
        return data

    odd = write_run(tmp_path / "odd", edit=other)
    with pytest.raises(DataError) as refused:
        compare_runs(folders[0], odd, tmp_path / "r.html", console=Console(file=StringIO()))
    told = str(refused.value)
    assert len(refused.value.problems) == 3
    for words in ("two calendars", "two starts", "two units of ua", "found cm s-1", "--anyway"):
        assert words in told
    assert not (tmp_path / "r.html").exists()
    quiet = Console(file=StringIO())
    compare_runs(folders[0], odd, tmp_path / "r.html", anyway=True, console=quiet)
    assert (tmp_path / "r.html").exists()
    high = write_run(tmp_path / "high", edit=lambda data: _shorter(other(data)))
    with pytest.raises(DataError) as refused:
        compare_runs(folders[0], high, tmp_path / "r.html", console=quiet)
    assert [p.what for p in refused.value.problems] == [
        "two calendars that do not go together", "two starts that do not go together",
        "two units of ua that do not go together", "two runs on different grids"]  # fmt: skip
    with pytest.raises(DataError) as refused:  # which no option makes comparable
        compare_runs(folders[0], high, tmp_path / "r.html", anyway=True, console=quiet)
    assert [p.what for p in refused.value.problems] == ["two runs on different grids"]


def test_precipitation_is_the_sum_of_its_parts_where_a_run_has_only_those(
    tmp_path: Path, physics: Climate
) -> None:
    def parts(data: xr.Dataset) -> xr.Dataset:
        data["prc"], data["prl"] = 0.25 * data["pr"], 0.75 * data["pr"]
        return data.drop_vars("pr")

    run = read_climate(write_run(tmp_path / "run", edit=parts))
    np.testing.assert_allclose(run.band("pr"), physics.band("pr"), rtol=1e-12)  # round-off
    alone = read_climate(write_run(tmp_path / "alone", edit=lambda d: parts(d).drop_vars("prl")))
    assert "pr" not in alone.bands  # a part is not the whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (33.774, "33.77"), (-0.5375, "−0.5375"), (0.0, "0.0"), (1.5e-12, "1.50e−12"), (17, "17"),
        (234567.8, "2.35e+05"), (np.nan, "–"), (None, "–"), (True, "True"), ("T21", "T21"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_people_do(value: object, text: str) -> None:
    assert number(value) == text


def test_a_difference_shows_its_sign() -> None:
    assert (signed(1.5), signed(-1.5), signed(0.0)) == ("+1.500", "−1.500", "+0.0")


# -- the page and the table -----------------------------------------------------------------------


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_stands_alone_and_shows_every_picture(comparison: Comparison) -> None:
    page = _Page()
    text = comparison.report.read_text()
    page.feed(text)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 6  # wind, temperature, two drags, latitude lines, time series
    assert all(str(i["src"]).startswith("data:image/png;base64,iVBOR") and i["alt"] for i in images)
    addresses = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href")]
    assert all(str(v).startswith("data:") for v in addresses)
    assert not re.search(r"url\(|@import|http", re.sub(r"base64,[^\"]+", "", text))
    assert len(text) < 4e6  # fits into a mail


def test_text_from_a_run_is_escaped(comparison: Comparison) -> None:
    page = _Page()
    page.feed(comparison.report.read_text())
    assert "script" not in [tag for tag, _ in page.tags]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in comparison.report.read_text()


def test_the_page_says_what_was_changed_and_what_it_cannot_tell(comparison: Comparison) -> None:
    text = " ".join(comparison.report.read_text().split())
    assert "<code>physics.gravity_wave.scheme</code>" in text
    assert "What it cannot tell" in text
    assert "jet north, latitude (+" in text  # named among those beyond the yardstick
    assert "dry air mass at the end [kg m-2]" in text
    assert "dry air mass, relative change" in text
    assert "2.00e−11" in text  # as the made-up budgets drift
    assert "guard, gravity wave, columns" in text
    assert "versions.torch" in text


def test_the_terminal_gets_the_numbers(comparison: Comparison, printed: StringIO) -> None:
    text = printed.getvalue()
    assert re.search(r"Jet north, latitude \[degrees\] +\d\d\.\d\d +\d\d\.\d\d +\+\d", text)
    assert re.search(r"Speed \[simulated years/day\] +1\.750 +1\.750", text)
    assert "own change" in text


def test_nothing_is_left_beside_the_report(comparison: Comparison) -> None:
    assert [p.name for p in comparison.report.parent.iterdir()] == ["report.html"]


def test_dry_runs_of_one_record_compare_without_rain_drag_or_yardstick(tmp_path: Path) -> None:
    def dry(data: xr.Dataset) -> xr.Dataset:
        return data[["ua", "ta", "ps", "ap", "b", "ap_bnds", "b_bnds", "lev_bnds", "lat_bnds",
                     "time_bnds"]]  # fmt: skip

    runs = [write_run(tmp_path / n, records=1, seed=s, edit=dry) for n, s in (("a", 1), ("b", 2))]
    for run in runs:
        for name in ("surface.nc", "budgets.nc", "run.json", "case.resolved.yaml"):
            (run / name).unlink()
    found = compare_runs(*runs, tmp_path / "r.html", console=Console(file=StringIO()))
    assert {row.yardstick for row in found.rows} == {None}
    assert [row.name for row in found.rows][-1] == "Surface pressure"
    assert [p.name for p in found.patterns] == [
        "Zonal wind, rms difference",
        "Temperature, rms difference",
    ]
    page = (tmp_path / "r.html").read_text()
    assert "too few output intervals" in page
    assert "Neither run left a" in page
    assert page.count("<img") == 3


# -- pictures -------------------------------------------------------------------------------------


def test_colours_of_a_difference_are_centred_on_zero() -> None:
    x = np.linspace(-3.0, 17.0, 101)
    levels = pictures.linear_levels([x], diverging=True)
    np.testing.assert_allclose(levels, -levels[::-1])
    assert 15.0 < levels[-1] <= 25.0
    plain = pictures.linear_levels([x + 250.0], diverging=False)
    assert plain[0] <= 247.1
    assert plain[-1] >= 266.9


@pytest.mark.parametrize("largest", [0.0, 0.7, 3.0, 47.0])
def test_steps_of_drag_are_half_decades_of_both_signs(largest: float) -> None:
    levels = pictures.decade_levels([np.array([0.2 * largest, -largest])])
    assert (np.diff(levels) > 0.0).all()
    np.testing.assert_allclose(levels, -levels[::-1])
    assert levels[-1] >= largest
    ratio = levels[levels > 0.0][1:] / levels[levels > 0.0][:-1]
    assert set(np.round(ratio, 3)) <= {3.0, 3.333}


# -- refusals -------------------------------------------------------------------------------------


def _shorter(data: xr.Dataset) -> xr.Dataset:
    return data.isel(lev=slice(2, None))


def test_different_grids_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", edit=_shorter)
    with pytest.raises(DataError, match=f"different grids.*found {NLEV}x{NLAT} and {NLEV - 2}x"):
        compare_runs(folders[0], other, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_everything_wrong_with_both_runs_is_said_at_once(tmp_path: Path) -> None:
    lacking = write_run(tmp_path / "lacking", edit=lambda d: d.drop_vars(["ua", "ta"]))
    with pytest.raises(DataError) as caught:
        compare_runs(tmp_path / "nowhere", lacking, tmp_path / "r.html")
    said = str(caught.value)
    assert re.search(r"no such file: .*nowhere/atmosphere.nc; correct the path", said)
    assert "missing variable: ua" in said
    assert "missing variable: ta" in said
    assert not (tmp_path / "r.html").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("name", "spoil", "sentence"),
    [
        ("atmosphere.nc", _cut, "not a readable netCDF file: .*it may be cut short"),
        ("surface.nc", _cut, "not a readable netCDF file: .*surface.nc"),
        ("budgets.nc", _cut, "not a readable netCDF file: .*budgets.nc"),
        ("run.json", _cut, "not readable: .*run.json"),
        ("run.json", lambda p: p.write_text("{"), "not readable: .*run.json"),
        ("case.resolved.yaml", lambda p: p.write_text("a: [1"), "not readable: .*resolved.yaml"),
    ],
)
def test_a_spoiled_file_is_named(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], sentence: str
) -> None:
    run = write_run(tmp_path / "run", records=3)
    if spoil is _cut and name == "run.json":
        (run / name).write_text((run / name).read_text() * 9)
    spoil(run / name)
    with pytest.raises(DataError, match=sentence):
        read_climate(run)


def test_damage_within_a_file_is_said_when_its_values_are_read(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", records=3) / "budgets.nc"
    data = xr.load_dataset(path)
    data["sum"] = ("time", np.full(data.sizes["time"], np.pi))
    data.to_netcdf(path, encoding={"sum": {"fletcher32": True}})
    content, pi = path.read_bytes(), np.float64(np.pi).tobytes()
    assert pi in content
    path.write_bytes(content.replace(pi, bytes(8)))
    with pytest.raises(DataError, match=r"values that cannot be read: .*budgets\.nc"):
        read_climate(path.parent)


def test_more_spin_up_than_run_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"nothing left of a run.*more than 9 days; found 9 days"):
        read_climate(folders[0], spinup_days=9.0)
