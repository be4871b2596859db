"""Zonal-mean sections of one run."""

from made_up_run import write_run

from coupler.cli import main
from coupler.diagnostics.plots import sections_figure


def test_sections_show_wind_temperature_and_the_drag_that_the_run_has(tmp_path):
    folder = write_run(tmp_path / "run", seed=1)
    figure = sections_figure(folder, skip_days=2.0)
    titles = [a.get_title(loc="left") for a in figure.axes]
    assert [t for t in titles if t] == ["Zonal wind", "Temperature", "Non-orographic drag"]
    assert main(["plot", str(folder), "--out", str(tmp_path / "sections.png")]) == 0
    assert (tmp_path / "sections.png").stat().st_size > 10_000
