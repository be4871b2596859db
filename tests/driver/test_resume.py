"""A run that was interrupted goes on as if it had not been; one that fails can be continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from coupler import Simulation
from coupler.driver.discovery import shipped_bundles
from coupler.interface.errors import DataError, UnstableError
from coupler.interface.registry import SCHEMES
from coupler.output.restart import newest_good

CASES = Path(__file__).parents[2] / "cases"
STEPS_PER_DAY = 72
SMALL = {
    "atmosphere.truncation": 10,
    "surface.nlat": 13,
    "surface.nlon": 22,
    "output.interval": 0.125,
    "output.fields": "all",
    "atmosphere.dt": "20 min",
}
# Output, waves and surface have nine steps (wms has three): no stop is a multiple of them, and the
# first one is right after the Euler step.
STOPS = ((1, 20), (7, 13, 20))


def simulation(out: Path, **more: Any) -> Simulation:
    change = SMALL | more.pop("set", {})
    return Simulation.from_case(
        CASES / "aquaplanet_t21.yaml",
        set=change,
        out=out,
        record=["gravity_wave"],
        record_columns=37,
        **more,
    )


def run(out: Path, stops: tuple[int, ...], **more: Any) -> Path:
    done = 0
    for stop in stops:
        part = simulation(out, resume=done > 0, **more)
        part.run(days=(stop - done) / STEPS_PER_DAY, quiet=True)
        done = stop
    return out


def variables(path: Path) -> dict[str, np.ndarray]:
    with netCDF4.Dataset(path) as f:
        f.set_auto_mask(False)
        return {n: np.asarray(v[...]) for n, v in f.variables.items()}


SWAPS: dict[str, dict[str, Any]] = {
    "physics": {"set": {"precision": "float64"}},
    "shadow": {"swap": {"gravity_wave": "wms"}, "set": {"gravity_wave.mode": "shadow"}},
    "ramp": {
        "swap": {"gravity_wave": "wms"},
        "set": {"gravity_wave.mode": "blend", "gravity_wave.weight": {"over": "5 h"}},
    },
}
for _name in shipped_bundles():
    SWAPS[_name] = {"swap": {"gravity_wave": _name}}


@pytest.mark.parametrize("choice", SWAPS.values(), ids=SWAPS.keys())
def test_an_interrupted_run_equals_an_uninterrupted_one_bit_for_bit(
    choice: dict[str, Any], tmp_path: Path
) -> None:
    straight = run(tmp_path / "straight", (20,), **choice)
    want = newest_good(straight / "restart")
    assert want.moment.step == 20
    for stops in STOPS:
        broken = run(tmp_path / f"broken{len(stops)}", stops, **choice)
        got = newest_good(broken / "restart")
        assert got.moment == want.moment
        assert got.arrays.keys() == want.arrays.keys()
        for name, array in want.arrays.items():
            np.testing.assert_array_equal(got.arrays[name], array, err_msg=name)
        for file in ("atmosphere.nc", "surface.nc", "budgets.nc", "record_gravity_wave.nc"):
            a, b = variables(straight / file), variables(broken / file)
            assert a.keys() == b.keys()
            assert a["time"].size >= 2
            for name in a:
                np.testing.assert_array_equal(b[name], a[name], err_msg=f"{file}: {name}")


def test_a_recording_of_something_else_is_not_continued(tmp_path: Path) -> None:
    out = run(tmp_path / "run", (1,))
    with netCDF4.Dataset(out / "record_gravity_wave.nc", "a") as f:
        f.renameVariable("ua", "wind")
    with pytest.raises(DataError, match=r"recording holds something else: .*record_gravity_wave"):
        simulation(out, resume=True).run(days=1 / STEPS_PER_DAY, quiet=True)


PLUGIN = '''
import numpy as np
from coupler.interface.component import Tendency, tendencies_of
from coupler.interface.registry import scheme


@scheme("gravity_wave", "fails_{step}")
class Fails(Tendency):
    """Fails from one step on."""

    tendencies = tendencies_of("ua")

    def compute(self, x, tend, flux, diag, now):
        if now.step >= {step}:
            {failure}
'''


# 18 steps are 6 hours, after which the state is kept in memory; a restart is written after 5.
@pytest.mark.parametrize("step", [3, 17, 18, 40])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("tend.ua[2, 5] = np.nan", (UnstableError, r"ua of gravity_wave=fails_\d+.* level 2, ")),
        ("raise ZeroDivisionError('a mistake')", (ZeroDivisionError, "a mistake")),
    ],
    ids=["nan", "mistake"],
)
def test_a_run_that_fails_leaves_its_newest_restart_from_before_the_failure(
    failure: str, error: tuple[type[Exception], str], step: int, tmp_path: Path
) -> None:
    plugin = tmp_path / "fails.py"
    plugin.write_text(PLUGIN.format(step=step, failure=failure), encoding="utf-8")
    out = tmp_path / "run"
    SCHEMES.get("gravity_wave", {}).pop(f"fails_{step}", None)
    failing = Simulation.from_case(
        CASES / "aquaplanet_t21.yaml",
        set=SMALL | {"restart.interval": 5 / STEPS_PER_DAY, "restart.keep": 1},
        swap={"gravity_wave": f"fails_{step}"},
        plugins=[plugin],
        out=out,
    )
    kind, words = error
    with pytest.raises(kind, match=words) as e:
        failing.run(days=1.0, quiet=True)
    found = newest_good(out / "restart")
    said = str(e.value) + " ".join(getattr(e.value, "__notes__", []))
    assert str(found.path) in said
    assert found.moment.step <= step
    for name, array in found.arrays.items():
        assert np.isfinite(array).all(), name


def test_a_run_that_fails_leaves_every_finished_record(tmp_path: Path) -> None:
    made = Simulation.from_case(
        CASES / "qbo_1d.yaml", set={"days": 60, "output.interval": 3}, out=tmp_path / "run"
    )
    bound = made.model.suite.processes[0].schemes[0]

    def fail(now: Any) -> None:
        if now.step == 31:
            raise DataError.of("a scheme that fails", "gravity_wave")

    bound.on_call = fail
    with pytest.raises(DataError, match="a scheme that fails"):
        made.run(quiet=True)
    for name in ("atmosphere.nc", "budgets.nc"):
        assert variables(tmp_path / "run" / name)["time"].size == 10
