"""Maps of one layer of fluid: what they show, and what cannot be shown."""

from pathlib import Path

import numpy as np
import pytest

from coupler import Simulation
from coupler.cli import main
from coupler.diagnostics.maps import HEIGHT, VORTICITY, map_figure
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
    with pytest.raises(DataError, match=r"no map of a variable on levels: zg"):
        map_figure(column, HEIGHT)


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
