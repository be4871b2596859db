"""What bad input gets: a clear sentence, exit status 2, and nothing written."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import COUPLED, DRY, changed, write_case, write_orography, write_small_bundle

from coupler.cli import main
from coupler.interface.grid import HybridLevels

Refused = Callable[..., list[str]]
REST = {"scheme": "spectral", "truncation": "T10", "levels": "sigma5", "initial": "standard_rest"}
"""An atmosphere that takes the orography of a file."""


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a changed case, sees that it is refused and nothing written; returns the sentences."""

    def run(*arguments: str, base: dict[str, Any] = DRY, **changes: Any) -> list[str]:
        case = write_case(tmp_path / "case.yaml", changed(base, changes.pop("change", changes)))
        out = tmp_path / "out"
        before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
        if "--out" not in arguments:
            arguments = (*arguments, "--out", str(out))
        status = main(["run", str(case), "--quiet", *arguments])
        said = capsys.readouterr()
        assert status == 2, said
        assert said.out == ""
        assert "Traceback" not in said.err
        assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
        text = said.err.rstrip("\n").replace(str(tmp_path), "TMP")
        if text.startswith("isthmus: "):
            return [text.removeprefix("isthmus: ")]
        first, *rest = text.split("\n  - ")
        assert re.fullmatch(rf"isthmus run: {len(rest)} problems", first)
        return rest

    return run


# -- what stands in the case --------------------------------------------------------------------

ENTRIES = [
    ({"dayz": 3}, "unknown key: dayz; did you mean 'days'?"),
    (
        {"atmosphere.trunction": "T21"},
        "unknown key: atmosphere.trunction; did you mean 'truncation'?",
    ),
    ({"output.intervall": 1}, "unknown key: output.intervall; did you mean 'interval'?"),
    ({"planet.gravty": 9.8}, "unknown key: planet.gravty; did you mean 'gravity'?"),
    (
        {"days": [3]},
        "not a number: days; expected a number [day], or text with a number and a unit convertible "
        "to 'day'; found [3]",
    ),
    ({"seed": "many"}, "bad value: seed; expected a whole number; found 'many'"),
    (
        {"atmosphere.moist": "maybe"},
        "bad value: atmosphere.moist; expected true or false; found 'maybe'",
    ),
    ({"title": 3}, "bad value: title; expected text; found 3; put it in quotes"),
    ({"output": 3}, "bad value: output; expected a mapping of keys; found 3"),
    (
        {"physics.radiation": 3},
        "bad value: physics.radiation; expected the name of a scheme, or a mapping with the key "
        "'scheme'; found 3",
    ),
    (
        {"output.fields": 3},
        "not a choice of output fields: output.fields; expected 'default', 'all', or a list of "
        "names; found 3",
    ),
    (
        {"physics.radiation": {"scheme": "held_suarez", "mode": "aply"}},
        "bad value: physics.radiation.mode; expected 'apply', 'shadow', 'blend' or 'off'; found "
        "'aply'",
    ),
    (
        {"physics.radiation": {"mode": "off"}},
        "missing key: physics.radiation.scheme; add it to the case",
    ),
    ({"days": "3 kg"}, "wrong unit: days; expected a unit convertible to 'day'; found '3 kg'"),
    (
        {"atmosphere.dt": "20 m"},
        "wrong unit: atmosphere.dt; expected a unit convertible to 's'; found '20 m'",
    ),
    (
        {"atmosphere.dt": "20 minuts"},
        "unknown unit: atmosphere.dt; expected a unit convertible to 's'; found '20 minuts'",
    ),
    ({"days": float("inf")}, "bad value: days; expected a finite number; found inf"),
    ({"days": -1}, "bad value: days; expected greater than 0; found -1"),
    (
        {"days": "20 min"},
        "run shorter than a step: days; expected at least the atmosphere's step of 3600 s; found "
        "1200 s",
    ),
    ({"planet.gravity": 0}, "bad value: planet.gravity; expected greater than 0; found 0"),
    (
        {"start": "soon"},
        "not a date: start; expected YYYY-MM-DD, or YYYY-MM-DD hh:mm[:ss]; found 'soon'",
    ),
    (
        {"start": "2000-02-30"},
        "no such date: start; expected a date of the calendar 'noleap'; found 2000-02-30",
    ),
    (
        {"output.interval": "100 min"},
        "interval is not a whole number of steps: output.interval; expected a multiple of the "
        "atmosphere's step of 3600 s; found 6000 s; use 3600 s or 7200 s",
    ),
    (
        {"output.fields": ["ua", "tas2"]},
        "unknown output field: tas2; did you mean 'ta'?",
    ),
    # grids and truncations
    *(
        (
            {"atmosphere.truncation": value},
            "impossible truncation: atmosphere.truncation; expected a triangular truncation from "
            f"T5 to T400, such as T21; found {value!r}",
        )
        for value in ("T3", "TL21", 21.5, 4000, True)
    ),
    (
        {"atmosphere.levels": "sigma1"},
        "unknown set of levels: atmosphere.levels; expected 'sigmaK' or 'hybridK' with K from 2 to "
        "200, for example 'hybrid30'; found 'sigma1'",
    ),
    (
        {"surface": {"scheme": "slab", "nlat": 1}},
        "bad value: surface.nlat; expected greater than or equal to 2; found 1",
    ),
    # processes and schemes
    ({"physics.gravty_wave": "ad99"}, "unknown process: gravty_wave; did you mean 'gravity_wave'?"),
    (
        {"physics.gravity_wave": "ad98"},
        "unknown scheme: gravity_wave=ad98; did you mean 'ad99'? (or the path of a folder with a "
        "bundle, or FILE.py:NAME)",
    ),
    (
        {"physics.gravity_wave": "bundles/mine"},
        "unknown scheme: gravity_wave=bundles/mine; there is no bundle in such a folder either; "
        "known: ad99, ad99_mima, wms",
    ),
    (
        {"atmosphere.scheme": "spctral"},
        "unknown scheme: atmosphere=spctral; did you mean 'spectral'?",
    ),
    (
        {"atmosphere.initial": "held_saurez"},
        "unknown initial state: atmosphere.initial; found 'held_saurez'; did you mean "
        "'held_suarez'?",
    ),
    (
        {"physics.radiation": {"scheme": "held_suarez", "mode": "blend"}},
        "blend needs a reference: radiation; add --swap radiation=SCHEME or a reference to the "
        "case",
    ),
    # files that are not there
    (
        {"boundary.orog": {"file": "none.nc", "variable": "z"}},
        "no such data file: none.nc; expected a file at TMP/none.nc or STORE/none.nc; check the "
        "path; `isthmus data list` names files that can be fetched",
    ),
    (
        {"initial.file": "neuralgcm/era5_tl31_19590102T00.nc"},
        "no such data file: neuralgcm/era5_tl31_19590102T00.nc; expected a file at "
        "TMP/neuralgcm/era5_tl31_19590102T00.nc or STORE/neuralgcm/era5_tl31_19590102T00.nc; run "
        "`isthmus data fetch neuralgcm/era5_tl31_19590102T00.nc`, or set ISTHMUS_DATA to a folder "
        "that has it",
    ),
    (
        {"boundary.orgo": {"file": "none.nc", "variable": "z"}},
        "boundary field that no model takes: boundary.orgo; did you mean 'orog'?",
    ),
]


@pytest.mark.parametrize(
    ("change", "sentence"), ENTRIES, ids=[str(change) for change, _ in ENTRIES]
)
def test_an_entry_is_refused_with_one_sentence(
    refused: Refused,
    change: dict[str, Any],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "store"))
    assert [s.replace("TMP/store", "STORE") for s in refused(change=change)] == [sentence]


def test_what_is_wrong_with_options_is_said_too(refused: Refused, tmp_path: Path) -> None:
    assert refused("--days", "soon") == [
        "not a number: days; expected a number [day], or text with a number and a unit convertible "
        "to 'day'; found 'soon'"
    ]
    assert refused("--swap", "gravity_wave=wms") == [
        "cannot swap a process that the case does not have: gravity_wave; known: boundary_layer, "
        "radiation"
    ]
    assert refused("--set", "radiaton.tau=3") == [
        "cannot set what is neither a key nor a process of the case: radiaton.tau; did you mean "
        "'radiation'?"
    ]
    assert refused("--record", "radiaton") == [
        "cannot record a process that the case does not have: radiaton; did you mean 'radiation'?"
    ]
    assert refused("--plugin", str(tmp_path / "mine.py")) == [
        "no such plugin file: TMP/mine.py; none is known"
    ]
    (tmp_path / "mine.py").write_text("x = 1\nraise RuntimeError('no luck')\n")
    assert refused("--plugin", str(tmp_path / "mine.py")) == [
        "plugin does not run: TMP/mine.py; found RuntimeError: no luck (line 2)"
    ]
    (tmp_path / "mine.py").write_text("x = 1\n")
    assert refused("--swap", f"radiation={tmp_path}/mine.py:new") == [
        "no such scheme in the file: radiation=TMP/mine.py:new; expected a class under "
        '@scheme("radiation", "new"); known: grey, held_suarez'
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title: a\n\tb: c\n", "not valid YAML: TMP/case.yaml; found while scanning"),
        ("", "not a case: TMP/case.yaml; expected a mapping of keys; found NoneType"),
        (
            "title: a\nphysics:\n  sponge: rayleigh\n  sponge: rayleigh\n",
            "a key that stands twice: sponge; found both in the mapping that begins in line 3; "
            "remove one of them",
        ),
    ],
)
def test_a_file_that_is_no_case_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    case = tmp_path / "case.yaml"
    case.write_text(text)
    assert main(["check", str(case)]) == 2
    said = capsys.readouterr().err.replace(str(tmp_path), "TMP")
    assert said.startswith(f"isthmus: {sentence}")
    assert main(["check", str(tmp_path / "cse.yaml")]) == 2
    said = capsys.readouterr().err.replace(str(tmp_path), "TMP")
    assert said == "isthmus: no such case file: TMP/cse.yaml; did you mean 'case.yaml'?\n"
    assert main(["check", str(tmp_path)]) == 2
    assert "; found a folder; " in capsys.readouterr().err


def test_everything_that_is_wrong_comes_in_one_report(refused: Refused, tmp_path: Path) -> None:
    write_orography(tmp_path / "hole.nc", hole=True)
    found = refused(
        "--record",
        "gw",
        base=changed(DRY, {"atmosphere": REST}),
        change={
            "dayz": 3,
            "days": "3 kg",
            "physics.gravity_wave": "ad98",
            "physics.radiation": {"scheme": "held_suarez", "tua": 3},
            "atmosphere.dt": "50 min",
            "boundary.orog": {"file": "hole.nc", "variable": "orog"},
        },
    )
    for n, part in enumerate(
        (
            "cannot record a process that the case does not have: gw",
            "wrong unit: days",
            "unknown key: dayz",
            "unknown key: radiation.tua",
            "unknown scheme: gravity_wave=ad98",
            "missing values (NaN): orog in TMP/hole.nc",
            "interval is not a whole number of steps: output.interval",
        )
    ):
        assert found[n].startswith(part)
    assert len(found) == 7


# -- files --------------------------------------------------------------------------------------


def orography(variable: str = "orog", file: str = "z.nc") -> dict[str, Any]:
    return {"atmosphere": REST, "boundary": {"orog": {"file": file, "variable": variable}}}


def test_a_truncated_or_foreign_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    file = write_orography(tmp_path / "z.nc")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    (sentence,) = refused(change=orography())
    assert sentence.startswith("truncated or damaged netCDF file: TMP/z.nc; found ")
    assert sentence.endswith("; remove it and fetch it again")
    file.write_bytes(b"")
    assert refused(change=orography()) == [
        "not a netCDF file: TMP/z.nc; found an empty file; check the path"
    ]


def test_a_missing_variable_is_refused_with_the_near_one(refused: Refused, tmp_path: Path) -> None:
    write_orography(tmp_path / "z.nc")
    assert refused(change=orography("orogr")) == [
        "no such variable: orogr in TMP/z.nc; did you mean 'orog'?"
    ]


@pytest.mark.parametrize("dims", [("station", "lon"), ("member", "lat", "lon")])
def test_unknown_dimensions_are_refused(
    refused: Refused, tmp_path: Path, dims: tuple[str, ...]
) -> None:
    write_orography(tmp_path / "z.nc", dims=dims)
    assert refused(change=orography()) == [
        "wrong dimensions: orog in TMP/z.nc; expected lat, lon in any order; found "
        f"{', '.join(dims)}; name the dimensions lat, lon, level, time, or choose another variable"
    ]


def test_a_wrong_unit_in_a_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    write_orography(tmp_path / "z.nc", units="kg")
    assert refused(change=orography()) == [
        "wrong unit: orog in TMP/z.nc; expected a unit convertible to 'm'; found 'kg'; state the "
        "true unit in the case with `units:` if the file is wrong"
    ]


def write_analysis(
    path: Path,
    *,
    hole: bool = False,
    lacks: str = "",
    southward: bool = False,
    order: str = "lev lat lon",
) -> Path:
    """An isothermal atmosphere at rest but for one solid rotation, on 4 pressure levels."""
    lat, lon = np.linspace(-80.0, 80.0, 9), np.arange(12) * 30.0
    level = np.array([50.0, 300.0, 700.0, 1000.0])
    if southward:
        lat = lat[::-1]
    shape = (4, 9, 12)
    wind = (
        10.0
        * np.cos(np.radians(lat))[None, :, None]
        * (1.0 + 0.3 * np.sin(np.radians(lat)))[None, :, None]
    )
    fields = {
        "u": np.broadcast_to(wind, shape),
        "v": np.zeros(shape),
        "t": np.full(shape, 270.0),
        "q": np.full(shape, 1e-3),
        "z": np.broadcast_to(-287.04 * 270.16 * np.log(level / 1010.0)[:, None, None], shape),
    }
    dims = order.split()
    with netCDF4.Dataset(path, "w") as file:
        for name, values, unit in (
            ("lev", level, "hPa"),
            ("lat", lat, "degrees_north"),
            ("lon", lon, "degrees_east"),
        ):
            file.createDimension(name, values.size)
            file.createVariable(name, "f8", (name,)).units = unit
            file[name][:] = values
        for name, values in fields.items():
            if name == lacks:
                continue
            values = np.array(values)
            if hole and name == "t":
                values[2, 3, 4] = np.nan
            axes = [("lev", "lat", "lon").index(d) for d in dims]
            file.createVariable(name, "f8", tuple(dims))[:] = values.transpose(axes)
    return path


ANALYSIS = {"initial": {"file": "start.nc"}, "atmosphere.moist": True}


def test_nan_in_the_initial_state_is_refused_with_the_place(
    refused: Refused, tmp_path: Path
) -> None:
    write_analysis(tmp_path / "start.nc", hole=True)
    assert refused(change=ANALYSIS) == [
        "missing values (NaN): t in TMP/start.nc; expected a number everywhere; found 1 missing of "
        "432, the first at level 700, lat -20, lon 120"
    ]


def test_a_variable_that_the_initial_state_lacks_is_named(refused: Refused, tmp_path: Path) -> None:
    write_analysis(tmp_path / "start.nc", lacks="q")
    assert refused(change=ANALYSIS) == [
        "no such variable for the initial state: specific_humidity in TMP/start.nc; expected "
        "specific_humidity or q or hus; the file has lev, lat, lon, u, v, t, z"
    ]


def run(tmp_path: Path, name: str, raw: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a good run writes."""
    case = write_case(tmp_path / "case.yaml", raw)
    assert main(["run", str(case), "--quiet", "--out", str(tmp_path / name)]) == 0
    with netCDF4.Dataset(tmp_path / name / "atmosphere.nc") as file:
        return {n: np.asarray(v[...]) for n, v in file.variables.items()}


def test_descending_latitude_and_another_order_of_dimensions_give_the_same_run(
    tmp_path: Path,
) -> None:
    fields = {"output.fields": ["ua", "ta", "ps"], "days": 0.125}
    raw = changed(DRY, orography() | fields)
    write_orography(tmp_path / "z.nc")
    want = run(tmp_path, "plain", raw)
    assert np.ptp(want["ps"]) > 1e4, "the ridge must be seen"
    for name, how in {
        "descending": {"southward": True},
        "turned": {"dims": ("lon", "lat")},
    }.items():
        write_orography(tmp_path / "z.nc", **how)  # type: ignore[arg-type]
        got = run(tmp_path, name, raw)
        assert got.keys() == want.keys()
        for variable, values in want.items():
            np.testing.assert_array_equal(got[variable], values)
    raw = changed(DRY, ANALYSIS | fields)
    write_analysis(tmp_path / "start.nc")
    want = run(tmp_path, "analysis", raw)
    write_analysis(tmp_path / "start.nc", southward=True, order="lon lat lev")
    got = run(tmp_path, "turned_analysis", raw)
    assert want["ua"].max() > 8.0
    for variable, values in want.items():
        np.testing.assert_array_equal(got[variable], values)


# -- components ---------------------------------------------------------------------------------

RAIN = """
from coupler.interface.component import Tendency, gives, reads
from coupler.interface.registry import scheme

@scheme("drizzle", "{name}")
class Rain(Tendency):
    inputs = reads("{reads}")
    diagnostics = gives("{gives}")

    def compute(self, x, tend, flux, diag, now):
        pass
"""


def test_two_components_that_claim_one_output_are_refused(refused: Refused, tmp_path: Path) -> None:
    plugin = tmp_path / "drizzle.py"
    plugin.write_text(RAIN.format(name="drizzle", reads="ta", gives="rlut pfull"))
    assert refused(
        base=COUPLED, change={"plugins": ["drizzle.py"], "physics.drizzle": "drizzle"}
    ) == [
        "two components claim one output: rlut; found radiation=grey and drizzle=drizzle; leave "
        "one of them out of the case",
        "two components claim one output: pfull; found atmosphere and drizzle=drizzle; leave one "
        "of them out of the case",
    ]


def test_an_input_that_nobody_provides_is_refused_with_who_could(
    refused: Refused, tmp_path: Path
) -> None:
    found = refused(base=COUPLED, surface=None)
    assert found[0] == (
        "an input that nobody provides: ts of radiation=grey; add a component that provides it: "
        "surface=slab"
    )
    assert {s.split(" of ")[0] for s in found} == {
        f"an input that nobody provides: {name}" for name in ("ts", "albs")
    }
    plugin = tmp_path / "thirsty.py"
    plugin.write_text(RAIN.format(name="thirsty", reads="ta tos", gives=""))
    (sentence,) = refused(change={"plugins": ["thirsty.py"], "physics.drizzle": "thirsty"})
    assert sentence.startswith(
        "an input that nobody provides: tos of drizzle=thirsty; add a component that provides it; "
    )
    first = {"drizzle": "wants_rain", **COUPLED["physics"]}
    plugin.write_text(RAIN.format(name="wants_rain", reads="rlut", gives=""))
    assert refused(base=COUPLED, change={"plugins": ["thirsty.py"], "physics": first}) == [
        "an input that nobody provides: rlut of drizzle=wants_rain; radiation=grey provides it: "
        "put radiation before it in the case"
    ]


def test_a_misspelt_surface_is_not_also_missed_by_all_who_need_it(refused: Refused) -> None:
    assert refused(base=COUPLED, surface={"scheme": "slap"}) == [
        "unknown scheme: surface=slap; did you mean 'slab'?"
    ]


# -- bundles ------------------------------------------------------------------------------------

NINE = HybridLevels.named("hybrid9")


def test_a_bundle_whose_channels_do_not_match_is_refused(refused: Refused, tmp_path: Path) -> None:
    folder = write_small_bundle(
        tmp_path / "odd", NINE, ta={"units": "Pa"}, xgwdparam={"units": "hPa"}
    )
    assert refused("--swap", f"gravity_wave={folder}", base=COUPLED) == [
        "wrong unit of a bundle's channel: odd: ta; expected K; found Pa",
        "wrong unit of a bundle's channel: odd: xgwdparam; expected Pa; found hPa",
    ]


def test_a_bundle_on_other_levels_is_refused_unless_it_may_be_interpolated(
    refused: Refused, tmp_path: Path
) -> None:
    folder = write_small_bundle(tmp_path / "five", HybridLevels.named("sigma5"))
    swap = ("--swap", f"gravity_wave={folder}")
    (sentence,) = refused(*swap, base=COUPLED)
    assert sentence.startswith("levels of a bundle differ from the host's: five; expected 5 levels")
    case = write_case(tmp_path / "case.yaml", COUPLED)
    regrid = ("--set", "gravity_wave.levels=regrid", "--out", str(tmp_path / "regrid"))
    assert main(["check", str(case), *swap, *regrid]) == 0


def test_what_is_no_bundle_or_a_damaged_one_is_refused(refused: Refused, tmp_path: Path) -> None:
    folder = write_small_bundle(tmp_path / "small", NINE)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (sentence,) = refused("--swap", f"gravity_wave={folder}", base=COUPLED)
    assert sentence.startswith("corrupted file in a bundle: TMP/small/weights.safetensors")
    weights.unlink()
    (sentence,) = refused("--swap", f"gravity_wave={folder}", base=COUPLED)
    assert sentence.startswith("not a bundle, files are missing: TMP/small; expected a folder with")
    (sentence,) = refused("--swap", f"radiation={folder}", base=COUPLED)
    assert sentence.startswith("not a bundle")


def test_a_bundle_of_another_process_is_refused(refused: Refused, tmp_path: Path) -> None:
    folder = write_small_bundle(tmp_path / "small", NINE)
    assert refused("--swap", f"radiation={folder}", base=COUPLED) == [
        "bundle of another process: radiation=TMP/small; expected radiation; found gravity_wave; "
        "swap gravity_wave for it"
    ]


# -- the output folder --------------------------------------------------------------------------


def test_a_folder_with_another_run_is_refused_unless_one_says_what_to_do(
    refused: Refused, tmp_path: Path
) -> None:
    case = write_case(tmp_path / "case.yaml", DRY)
    out = tmp_path / "out"
    command = ["run", str(case), "--quiet", "--out", str(out)]
    assert main(command) == 0
    taken = [
        "output folder holds another run: TMP/out; give --resume to go on, --overwrite to replace "
        "it, or another --out"
    ]
    assert refused() == taken
    for file in ("case.resolved.yaml", "run.json", "atmosphere.nc", "budgets.nc"):
        (out / file).unlink()
    assert refused() == taken, "a restart alone would be mixed up with those of the new run"
    assert main([*command, "--overwrite"]) == 0
    shutil.rmtree(out / "restart")
    assert refused("--resume") == [
        "nothing to resume: TMP/out; expected a file restart/restart_*.safetensors; found a run "
        "that wrote no restart; begin again with --overwrite, or give another --out"
    ]


def test_a_run_is_resumed_only_with_its_own_case(refused: Refused, tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", DRY)
    assert main(["run", str(case), "--quiet", "--out", str(tmp_path / "out")]) == 0
    lead, tail = (
        "not the case of the run to resume: ",
        "; resume with the case that the run was begun with, or give another --out",
    )
    assert refused("--resume", "--set", "seed=4", "--set", "radiation.t_equator=310") == [
        f"{lead}seed; expected 0; found 4{tail}",
        f"{lead}physics.radiation.parameters.t_equator; expected no such key; found 310{tail}",
    ]
    turned = dict(reversed(DRY["physics"].items()))
    (sentence,) = refused("--resume", physics=turned)
    assert sentence == (
        f"{lead}physics_order; expected ['radiation', 'boundary_layer']; found "
        f"['boundary_layer', 'radiation']{tail}"
    )
    (restart,) = (tmp_path / "out" / "restart").iterdir()
    restart.write_bytes(restart.read_bytes()[:-9])
    (sentence,) = refused("--resume")
    assert sentence.startswith("no good restart: TMP/out/restart; found restart file cannot be")


def test_a_place_where_no_folder_can_be_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remedy = "expected a folder, or a place where one can be made; found the file TMP/file; give "
    assert refused("--out", f"{tmp_path}/file") == [
        f"output folder is a file: TMP/file; {remedy}another --out"
    ]
    assert refused("--out", f"{tmp_path}/file/deep/er") == [
        f"no folder to be: TMP/file/deep/er; {remedy}another --out"
    ]


# -- good, but not as meant ---------------------------------------------------------------------


def test_a_step_that_is_too_long_is_a_warning_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = write_case(tmp_path / "case.yaml", changed(DRY, {"atmosphere.dt": "3 h"}))
    with caplog.at_level(logging.WARNING):
        assert main(["check", str(case)]) == 0
    (record,) = caplog.records
    assert record.getMessage() == (
        "isthmus: warning: step probably too long for the truncation, the run may blow up: "
        "atmosphere.dt; expected at most about 7495 s at T10 with winds up to 85 m/s (top level "
        "near 1.4e+02 hPa); found 10800 s"
    )
    caplog.clear()
    write_case(case, DRY)
    assert main(["check", str(case)]) == 0
    assert not caplog.records


def test_check_names_the_set_up_writes_nothing_and_is_quick(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case.yaml", DRY)
    code = (
        f"import sys; sys.argv[0]='isthmus'; from coupler.cli import main; "
        f"status = main(['check', {str(case)!r}]); import time; print(time.process_time()); "
        f"sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    sentence, seconds = done.stdout.splitlines()
    assert sentence == (
        f"{case}: nothing wrong found; gaussian 16x32, 5 levels, step 3600 s, "
        "radiation=held_suarez, boundary_layer=held_suarez"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["case.yaml"]
    assert float(seconds) < 8.0  # 2.5 s of processor time on a slow core, most of it imports


# -- anything else ------------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 40),
    st.integers(10**5, 10**20),
    st.floats(),
    st.sampled_from(["", "off", "T", "20 min", "3 kg", "-1 s", "slab", "x.nc", ".", "a: b", "é"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["scheme", "mode", "weight", "file", "x"]), st.integers()),
)


def places(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All keys of nested mappings."""
    if not isinstance(node, dict):
        return []
    return [p for k, v in node.items() for p in [(*path, k), *places(v, (*path, k))]]


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_mutation_of_a_case_escapes_as_a_traceback(
    data: st.DataObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = data.draw(st.sampled_from([DRY, COUPLED]))
    full = changed(
        base, {"start": "2000-01-01", "planet": {"gravity": 9.8}, "restart": {"keep": 2}}
    )
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(full)))
        node = full
        for name in path[:-1]:
            node = node[name]
        what = data.draw(st.sampled_from(["value", "typo", "remove", "extra"]))
        if what == "value":
            node[path[-1]] = data.draw(VALUES)
        elif what == "extra":
            node[data.draw(st.sampled_from(["x", 3, "weight", "dt", "initial"]))] = data.draw(
                VALUES
            )
        else:
            kept = node.pop(path[-1])
            at = data.draw(st.integers(0, len(path[-1]) - 1))
            if what == "typo":
                node[path[-1][:at] + path[-1][at + 1 :]] = kept
    case = write_case(tmp_path / "case.yaml", full)
    status = main(["check", str(case)])
    said = capsys.readouterr()
    assert status in (0, 2)
    assert (status == 2) == said.err.startswith("isthmus")
    assert "Traceback" not in said.err
    assert len(list(tmp_path.iterdir())) == 1
