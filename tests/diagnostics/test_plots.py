"""Pictures of a run: what they show, and what cannot be shown."""

from pathlib import Path

import numpy as np
import pytest

from coupler import Simulation
from coupler.cli import main
from coupler.diagnostics.plots import observed_time_height, plot, qbo_figure, read_time_height
from coupler.interface.errors import DataError

CASE = Path(__file__).resolve().parents[2] / "cases" / "qbo_1d.yaml"


@pytest.fixture(scope="module")
def qbo_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qbo") / "two_waves"
    Simulation.from_case(CASE, set={"days": 3240}, out=folder).run(quiet=True)
    return folder


@pytest.fixture
def observed(tmp_path):
    """Thirty years of a wave of 28 months that sinks, as the observed table is written."""
    rows = ["IIIII YYMM  70hPaN 50hPaN 30hPaN 20hPaN 10hPaN"]
    for month in range(360):
        phase = 2 * np.pi * month / 28.0
        winds = [200 * np.sin(phase - lag) for lag in (4.0, 3.0, 2.0, 1.0, 0.0)]
        year, of_year = 1981 + month // 12, month % 12 + 1
        fields = "".join(f"{w:>5.0f}  " for w in winds)
        rows.append(f"48698 {year % 100:02d}{of_year:02d} {fields}")
    path = tmp_path / "observed.dat"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_section_of_a_run_has_its_period_and_heights(qbo_run):
    section = read_time_height(qbo_run)
    assert section.wind.shape == (73, 108)
    assert section.years[0] == pytest.approx(15.0 / 360.0)
    # 17 km and 35 km in an isothermal atmosphere of 204 K; layer means against mid-points: 1e-3
    assert section.pressure[[-1, 0]] == pytest.approx([5889.0, 289.5], rel=1e-3)
    at, found = section.oscillation_at(2500.0)
    assert at == pytest.approx(2500.0, rel=0.05)
    # three cycles, the first of them still from the initial state
    assert found.crossing_period == pytest.approx(25.66, abs=0.6)
    later = read_time_height(qbo_run, skip_days=720.0)
    np.testing.assert_array_equal(later.wind, section.wind[:, 24:])


def test_run_and_observation_stand_over_equally_many_years(qbo_run, observed):
    run, seen = read_time_height(qbo_run), observed_time_height(observed)
    assert seen.oscillation_at(3000.0)[1].crossing_period == pytest.approx(28.0, abs=0.05)
    figure = qbo_figure(run, seen)
    above, below = figure.axes[:2]
    assert "period 25." in above.get_title(loc="left")
    assert "period 28.0 months" in below.get_title(loc="left")
    widths = [a.get_xlim()[1] - a.get_xlim()[0] for a in (above, below)]
    assert widths[1] == pytest.approx(widths[0], abs=1e-9)
    assert below.get_xlim()[1] == pytest.approx(2010.96, abs=0.01)
    assert len(qbo_figure(run).axes) == 2  # the section and its colours


def test_the_command_writes_the_picture(qbo_run, observed, tmp_path, capsys):
    out = tmp_path / "pictures" / "qbo.png"
    arguments = ["plot", str(qbo_run), "--kind", "qbo", "--out", str(out)]
    assert main([*arguments, "--observed", str(observed)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert str(out) in capsys.readouterr().out


def test_without_observations_there_is_one_panel(qbo_run, tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "empty"))
    small = plot(qbo_run, "qbo", tmp_path / "one.svg").stat().st_size
    assert small > 1000


def test_a_run_too_short_for_a_period_is_drawn_without_numbers(tmp_path):
    folder = tmp_path / "short"
    Simulation.from_case(CASE, set={"days": 90}, out=folder).run(quiet=True)
    section = read_time_height(folder)
    assert section.oscillation_at(2500.0)[1] is None
    assert "period" not in qbo_figure(section).axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kind", "qob"], "unknown kind of picture: qob"),
        (["--kind", "qbo", "--out", "x.gif"], "unknown format of a picture"),
        (["--kind", "qbo", "--skip-days", "4000"], "nothing left of a run"),
        (["--kind", "qbo", "--observed", "none.dat"], "no such file: none.dat"),
        (["--kind", "sections", "--skip-days", "-3"], "no days to leave out: -3"),
        (["--kind", "qbo", "--skip-days", "nan"], "no days to leave out: nan"),
        (["--kind", "wind", "--level", "-5"], "no such pressure: -5 hPa"),
        (["--kind", "sections"], "no section of a single column"),
        (["--kind", "sections", "--observed", "x"], "nothing observed for this kind"),
        (["--kind", "sections", "--days", "3"], "no single days in this kind: sections"),
        (["--kind", "qbo", "--level", "30"], "no level in this kind: qbo"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(
    qbo_run, tmp_path, monkeypatch, capsys, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(qbo_run), *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_time_height(tmp_path)
