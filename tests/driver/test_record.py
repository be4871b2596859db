"""A recording holds what the scheme saw when it was called, so that its fluxes follow from it."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from coupler import Simulation
from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid, HybridLevels
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

CASE = Path(__file__).parents[2] / "cases" / "aquaplanet_t21.yaml"
NAMES = ("ua", "va", "ta", "pfull", "phalf", "zg")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    simulation = Simulation.from_case(
        CASE,
        set={"seed": 5},
        out=tmp_path_factory.mktemp("run") / "run",
        record=["gravity_wave"],
        record_columns=131,
    )
    simulation.run(days=0.25, quiet=True)
    return simulation.folder.record("gravity_wave")


def fluxes(inputs: dict[str, np.ndarray], levels: HybridLevels) -> tuple[np.ndarray, np.ndarray]:
    n = inputs["ua"].shape[1]
    host = Host(
        grid=Grid.regular(2, 4),
        levels=levels,
        planet=Planet(),
        dtype=np.dtype("float64"),
        seed=0,
        static={"lat": inputs["lat"]},
    )
    scheme = AlexanderDunkerton1999()
    scheme.setup(host)
    out = Arrays(xgwdparam=np.zeros((31, n)), ygwdparam=np.zeros((31, n)))
    diag = Arrays(**{d.name: np.zeros(n) for d in scheme.diagnostics})
    now = Now(date=None, step=0, seconds=0.0, dt=1200.0)  # type: ignore[arg-type]
    scheme.compute(Arrays(**inputs), Arrays(), out, diag, now)
    return out.xgwdparam, out.ygwdparam


def test_the_scheme_gives_the_recorded_fluxes_from_the_recorded_inputs(recording: Path) -> None:
    with netCDF4.Dataset(recording) as f:
        f.set_auto_mask(False)
        levels = HybridLevels(a=f["ap"][:], b=f["b"][:])
        np.testing.assert_allclose(f["time"][:], [0.0, 0.125])  # every three hours
        for t in range(2):
            inputs = {n: np.asarray(f[n][t], np.float64) for n in (*NAMES, "lat")}
            x, y = fluxes(inputs, levels)
            size = float(np.abs(x).max())
            assert size > 1e-4
            # Single waves at the edge of breaking may switch layer by a rounding to float32.
            for name, want in (("xgwdparam", x), ("ygwdparam", y)):
                error = np.sqrt(((f[name][t] - want) ** 2).mean())
                assert error < 1e-4 * size
        # The control: as the state is one step of drag and sponge later, it does not fit.
        inputs["ua"] = inputs["ua"] + 0.01 * inputs["ua"]
        assert np.sqrt(((f["xgwdparam"][1] - fluxes(inputs, levels)[0]) ** 2).mean()) > 1e-4 * size


def test_columns_are_drawn_anew_at_every_call_and_know_their_latitude(recording: Path) -> None:
    grid = Grid.gaussian(32, 64)
    with netCDF4.Dataset(recording) as f:
        index = np.asarray(f["index"][:])
        assert index.shape == (2, 131)
        assert (index[0] != index[1]).any()
        assert all(len(set(row.tolist())) == 131 for row in index)
        want = np.repeat(grid.lat, 64)[index]
        np.testing.assert_allclose(f["lat"][:], want, atol=1e-4)  # degrees, rounded to float32
        assert f.seed == "5"
        assert f.scheme == "ad99"
