"""Means over time of what is per area of sea ice and the like, in the files of a run."""

from pathlib import Path

import netCDF4
import numpy as np
from small_earth import small_earth

from coupler import Simulation
from physics.surface.sea_ice import RHO_ICE

STEP = 1.0 / 48.0
"""[day]; six of them make an output interval."""


def test_they_are_weighted_and_a_restart_within_an_interval_does_not_show(tmp_path: Path) -> None:
    case = small_earth(tmp_path, days=8 * STEP)
    case["restart"] = {"interval": 8 * STEP}
    case["output"] = {
        "interval": "2 h",
        "fields": ["ts_ice", "ts_snow", "sft_ice", "hfds_ocean", "hfss_ice", "pr"],
    }
    Simulation.from_case(case, out=tmp_path / "whole").run(quiet=True)
    Simulation.from_case(case, out=tmp_path / "parts").run(days=3 * STEP, quiet=True)
    Simulation.from_case(case, out=tmp_path / "parts", resume=True).run(quiet=True)
    how = {}
    for name in ("atmosphere", "ice", "ocean", "land"):
        with (
            netCDF4.Dataset(tmp_path / "whole" / f"{name}.nc") as whole,
            netCDF4.Dataset(tmp_path / "parts" / f"{name}.nc") as parts,
        ):
            fields = [v for v in whole.variables.values() if "cell_methods" in v.ncattrs()]
            for v in fields:
                v.set_auto_mask(False)
                parts[v.name].set_auto_mask(False)
                assert v.shape[0] == 2
                np.testing.assert_array_equal(v[:], parts[v.name][:], err_msg=f"{name} {v.name}")
                how[name, v.name] = v.cell_methods
    assert how["atmosphere", "ts_ice"] == "area: time: mean where sea_ice"
    assert how["atmosphere", "ts_snow"] == "area: time: mean where snow (on land)"
    assert how["ocean", "hfds_ocean"] == "area: time: mean where ice_free_sea"
    assert how["ocean", "ts_ocean"] == "area: mean where sea time: mean"
    assert how["ice", "simass"] == how["atmosphere", "pr"] == "time: mean"
    with netCDF4.Dataset(tmp_path / "whole" / "ice.nc") as ice:
        thickness, share, mass = (ice[n][:] for n in ("sithick", "sft_ice", "simass"))
    np.testing.assert_array_equal(np.ma.getmaskarray(thickness), share == 0.0)
    assert 0 < thickness.count() < thickness.size
    # Per area of ice times the ice there was is per area of the cell; files are float32.
    np.testing.assert_allclose(thickness.filled(0.0) * share * RHO_ICE, mass, rtol=1e-6)
    with netCDF4.Dataset(tmp_path / "whole" / "budgets.nc") as budgets:
        assert ((budgets["ts_ice"][:] > 200.0) & (budgets["ts_ice"][:] < 280.0)).all()
