"""A recording holds what the scheme saw when it was called, so that its fluxes follow from it."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from tiny import COUPLED, changed

from coupler import Simulation
from coupler.cli import main
from coupler.driver.replay import RecordedScheme, replay
from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.errors import DataError
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


def test_the_recorded_scheme_by_its_name_has_the_recorded_parameters(tmp_path: Path) -> None:
    case, own = CASE.with_name("qbo_1d.yaml"), {"scheme": "plumb_two_wave", "wavenumber": 2.0}
    Simulation.from_case(case, set={"days": 3, "gravity_wave": own}, out=tmp_path / "run",
                         record=["gravity_wave"]).run(quiet=True)  # fmt: skip
    with RecordedScheme(tmp_path / "run" / "record_gravity_wave.nc", case.parent) as recorded:
        given, again, other = (
            recorded.answer(2, scheme).rates["ua"]
            for scheme in (None, "plumb_two_wave", "plumb_stochastic")
        )
    assert given.any()
    np.testing.assert_array_equal(again, given)
    assert (other != given).any()


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


SMALL = {"atmosphere.truncation": 10, "surface.nlat": 13, "surface.nlon": 22}


def recorded(out: Path, case: str, process: str, swap: dict[str, str] | None = None, **changes):
    made = Simulation.from_case(
        CASE.parent / case,
        set={k.replace("__", "."): v for k, v in changes.items()},
        swap=swap,
        out=out / "run",
        record=[process],
        record_columns=37,
    )
    return made.run(quiet=True).folder.record(process)


@pytest.mark.parametrize(
    ("case", "process", "swap", "changes"),
    [
        ("aquaplanet_t21.yaml", "gravity_wave", None, {"gravity_wave__stress_deviation": 0.5}),
        ("aquaplanet_t21.yaml", "gravity_wave", {"gravity_wave": "wms"}, {"precision": "float64"}),
        ("aquaplanet_t21.yaml", "gravity_wave", {"gravity_wave": "ad99_mima"}, {}),
        ("aquaplanet_t21.yaml", "convection", None, {}),
        ("qbo_1d.yaml", "gravity_wave", {"gravity_wave": "plumb_stochastic"}, {"days": 5}),
    ],
    ids=lambda v: str(v) if isinstance(v, str) else None,
)
def test_a_replayed_recording_gives_the_same_bits(tmp_path, case, process, swap, changes) -> None:
    if case.startswith("aqua"):
        changes = SMALL | {"days": 0.25} | changes
    path = recorded(tmp_path, case, process, swap, **changes)
    found = replay(path)
    assert found and all(d.values > 0 for d in found.values())
    assert {n: d.different for n, d in found.items()} == dict.fromkeys(found, 0)
    # the control: another input; a wave breaks in the same layer if only its last bit changes
    with netCDF4.Dataset(path, "a") as f:
        name = "ua" if process == "gravity_wave" else "ta"
        f[name][...] = 1.01 * f[name][...]
    assert any(d.different for d in replay(path).values())


def test_a_diagnostic_is_replayed_too(tmp_path: Path) -> None:
    raw = changed(COUPLED, {"days": 0.125, "physics.precipitation": "total"})
    made = Simulation.from_case(raw, out=tmp_path, record=["precipitation"]).run(quiet=True)
    path = made.folder.record("precipitation")
    found = replay(path)
    assert found["pr"].values > 0 == found["pr"].different
    with netCDF4.Dataset(path, "a") as f:  # the control
        f["prl"][...] = f["prl"][...] + 1e-6
    assert replay(path)["pr"].different > 0


def test_what_is_no_recording_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="not a recording that can be replayed"):
        replay(tmp_path / "none.nc")
    netCDF4.Dataset(tmp_path / "other.nc", "w").close()
    with pytest.raises(DataError, match="not a recording that can be replayed"):
        replay(tmp_path / "other.nc")


@pytest.fixture
def column(tmp_path: Path) -> Path:
    """A recording of three calls in one column."""
    return recorded(tmp_path, "qbo_1d.yaml", "gravity_wave", days=3)


def test_a_recording_with_a_flipped_block_is_named(column: Path, capsys) -> None:
    with netCDF4.Dataset(column, "a") as f:
        u = f.createVariable("u10m", "f4", ("time", "column"), fletcher32=True)
        u[:] = np.float32(np.pi)
    content = column.read_bytes()
    pi = np.float32(np.pi).tobytes()
    assert pi in content
    column.write_bytes(content.replace(pi, bytes(4)))
    with pytest.raises(DataError, match=r"not a recording that can be replayed.*record_gravity"):
        replay(column)
    assert main(["replay", str(column)]) == 2
    assert "NetCDF: HDF error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("case", "a: [1", "not a recording that can be replayed"),
        ("case", "3", "not a recording that can be replayed.*no mapping"),
        ("process", "magic", "a recorded process that its case has not: .*magic"),
    ],
)
def test_a_case_that_is_not_the_recordings_is_said(
    column: Path, attribute: str, value: str, sentence: str
) -> None:
    with netCDF4.Dataset(column, "a") as f:
        f.setncattr(attribute, value)
    with pytest.raises(DataError, match=sentence):
        replay(column)


def test_what_the_scheme_raises_itself_is_not_taken_for_a_damaged_file(
    column: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("of the scheme")

    with RecordedScheme(column, CASE.parent) as scheme:
        monkeypatch.setattr(scheme._class(scheme._choice), "compute", broken)
        with pytest.raises(IndexError, match="of the scheme"):
            scheme.call(0)
        with pytest.raises(IndexError, match="of the scheme"):
            scheme.answer(0, scheme._choice.scheme)
