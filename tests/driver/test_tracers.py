"""Tracers by name: carried, changed by schemes, written, restarted, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import COUPLED, DRY, assert_same, changed, contents, run

from coupler import Simulation
from coupler.interface.component import tendencies_of
from coupler.interface.errors import ConfigError, ContractError
from coupler.interface.fields import FIELDS, tendency_field, tracer

CHEMISTRY: dict[str, Any] = changed(
    DRY,
    {
        "atmosphere.tracers": {"cl": 0.0, "cl2": 2.0e-6, "dye": 0.25},
        "physics.chemistry": "terminator",
        "output.fields": "all",
    },
)
"""Cl and Cl2 in the dry flow of Held and Suarez (1994), and a tracer that nothing changes."""


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_tracers_are_carried_changed_and_written(
    stepper: str, precision: str, tmp_path: Path
) -> None:
    raw = changed(CHEMISTRY, {"atmosphere.stepper": stepper, "precision": precision})
    with run(tmp_path, raw).dataset() as ds:
        total = (ds["cl"] + 2.0 * ds["cl2"]).values / 4.0e-6
        # Uniform, but for the limiters at the edge of the night.
        assert np.abs(total - 1.0).max() < 5e-3
        assert ds["cl"].values.min() >= 0.0
        assert ds["cl"].values.max() > 1e-6 > 1e-8 > ds["cl"].values.min()  # day and night
        assert {"tn_cl_chemistry", "tn_cl2_chemistry"} <= set(ds)
        assert ds["cl"].attrs["long_name"] == "Mass Fraction of Cl in Air"
        assert ds["dye"].attrs["units"] == "1"
        # One value everywhere stays one value, whatever the wind: rounding, and the air's fixer.
        assert np.abs(ds["dye"].values / 0.25 - 1.0).max() < 2e-5
    masses = contents(tmp_path / "budgets.nc")
    chlorine = masses["mass_of_cl"] + 2.0 * masses["mass_of_cl2"]
    assert np.abs(chlorine / (4.0e-6 * masses["dry_air_mass"]) - 1.0).max() < 1e-5


def test_a_moist_atmosphere_carries_tracers_beside_humidity(tmp_path: Path) -> None:
    for moisture in ("grid", "spectral"):
        raw = changed(
            COUPLED,
            {"atmosphere.tracers": ["dye"], "atmosphere.moisture": moisture, "days": "40 min"},
        )
        simulation = Simulation.from_case(raw, out=tmp_path / moisture)
        columns = simulation.model.atmosphere.columns()
        blob = np.zeros_like(columns["dye"])
        blob[4, 5:8, 9:14] = 1e-3
        columns["dye"][...] = blob
        humid = columns["hus"].copy()
        simulation.run(quiet=True)
        dye = simulation.model.atmosphere.columns()["dye"]
        assert 0.0 <= dye.min() < dye.max() <= 1.000001e-3
        assert not np.array_equal(dye, blob)
        assert not np.array_equal(columns["hus"], humid)
        name = "moisture" if moisture == "grid" else "carried"
        assert getattr(simulation.model.atmosphere.core, name).names[-1] == "dye"


def test_a_run_with_tracers_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", CHEMISTRY)
    run(tmp_path / "part", CHEMISTRY, days=0.125)
    again = Simulation.from_case(CHEMISTRY, out=tmp_path / "part", resume=True).run(quiet=True)
    assert_same(dict(again.model.atmosphere.columns()), dict(whole.model.atmosphere.columns()))
    files = [contents(tmp_path / name / "atmosphere.nc") for name in ("part", "whole")]
    assert_same(files[0], files[1])


@pytest.mark.parametrize(
    ("tracers", "words"),
    [
        (["ua"], "no name for a tracer: ua"),
        (["Dye!"], "no name for a tracer: Dye!"),
        ({"dye": -1.0}, "impossible initial mixing ratio of tracer dye"),
        ({"dye": "much"}, "impossible initial mixing ratio of tracer dye"),
        (3, "no tracers"),
        ([3], "no tracers"),
    ],
)
def test_tracers_that_cannot_be_are_refused(tracers: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        Simulation.from_case(changed(DRY, {"atmosphere.tracers": tracers}), out=tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_scheme_whose_tracer_is_not_carried_is_refused_with_what_to_do(tmp_path: Path) -> None:
    raw = changed(CHEMISTRY, {"atmosphere.tracers": ["cl"]})
    with pytest.raises(ConfigError) as refusal:
        Simulation.from_case(raw, out=tmp_path)
    assert [str(p) for p in refusal.value.problems] == [
        "an input that nobody provides: cl2 of chemistry=terminator; add cl2 to atmosphere.tracers"
    ]


def test_the_table_knows_a_tracer_once() -> None:
    first = tracer("soot", "Mass Fraction of Soot in Air")
    assert tracer("soot") is first is FIELDS["soot"]
    assert tendencies_of("ta soot") == ("ta", "soot")
    assert tendency_field("fire", "soot").units == "s-1"
    with pytest.raises(ContractError, match="no tendency of this field: ozone_of_nobody"):
        tendencies_of("ozone_of_nobody")
