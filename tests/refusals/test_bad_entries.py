"""What is wrong in a case gets a clear sentence, exit status 2, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import DRY, REST, changed, plugin, write_case, write_orography

from coupler.cli import main
from coupler.interface.registry import SCHEMES

Refused = Callable[..., list[str]]


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
        "unknown set of levels: atmosphere.levels; expected 'sigmaK', 'hybridK', "
        "'stratosphereK' or 'friersonK' with K from 2 to 200, for example 'hybrid30'; "
        "found 'sigma1'",
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
        "bundle, FILE.py:NAME or fortran:LIBRARY:ROUTINE)",
    ),
    (
        {"physics.sponge": "bundles/mine"},
        "unknown scheme: sponge=bundles/mine; there is no bundle in such a folder either; known: "
        "rayleigh",
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
    assert refused("--record", "radiation", "--set", "radiation.mode=off") == [
        "cannot record a process that is off: radiation; give radiation.mode: apply, shadow or "
        "blend"
    ]
    plane = {**DRY, "atmosphere": {"scheme": "two_layer_qg", "nx": 16}, "physics": {}}
    plane["physics"]["subgrid"] = "smagorinsky"
    assert refused("--record", "subgrid", base=plane) == [
        "cannot record columns that have no place on a globe: subgrid; expected an atmosphere with "
        "latitudes and longitudes; found plane 16x16; leave --record out: the run's own output has "
        "the whole plane"
    ]
    assert refused("--plugin", str(tmp_path / "mine.py")) == [
        "no such plugin file: TMP/mine.py; none is known"
    ]
    (tmp_path / "mine.py").write_text("x = 1\nraise RuntimeError('no luck')\n")
    assert refused("--plugin", str(tmp_path / "mine.py")) == [
        "plugin does not run: TMP/mine.py; found RuntimeError: no luck (line 2)"
    ]
    (tmp_path / "mine.py").write_text("x = 1\nimport sys\nsys.exit(0)\n")
    assert refused("--plugin", str(tmp_path / "mine.py")) == [
        "plugin does not run: TMP/mine.py; found SystemExit: 0 (line 3)"
    ]
    (tmp_path / "mine.py").write_text("x = 1\n")
    (sentence,) = refused("--swap", f"boundary_layer={tmp_path}/mine.py:new")
    # Schemes that other tests registered in this process are known too.
    assert sentence == (
        "no such scheme in the file: boundary_layer=TMP/mine.py:new; expected a class under "
        f'@scheme("boundary_layer", "new"); known: {", ".join(sorted(SCHEMES["boundary_layer"]))}'
    )


def test_a_scheme_in_a_file_is_looked_for_beside_the_case_and_in_the_working_folder(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here, out = tmp_path / "cases", tmp_path / "here", str(tmp_path / "run")
    beside.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    case = write_case(beside / "case.yaml", DRY)

    def resolved(*arguments: str, case: Path = case) -> str:
        assert main(["run", str(case), "--quiet", "--out", out, *arguments]) == 0
        known = yaml.safe_load((Path(out) / "case.resolved.yaml").read_text())
        return str(known["physics"]["test_forcing"]["scheme"])

    swap = ("--swap", "boundary_layer=mine.py:new")
    assert refused(*swap, "--out", out) == [
        "no such plugin file: boundary_layer=mine.py:new; expected TMP/mine.py or "
        "TMP/here/mine.py; none is known"
    ]
    plugin(here, "mine", "pass")
    plugin(here, "asked", "pass")
    plugin(here, "both", "pass")
    both = plugin(beside, "both", "pass")["plugins"][0]
    case = write_case(case, changed(DRY, {"physics.test_forcing": "mine.py:mine"}))
    short = ("--days", "1 h")
    assert resolved(*short, case=case) == f"{here}/mine.py:mine"
    asked = ("--swap", "test_forcing=asked.py:asked", "--overwrite")
    assert resolved(*short, *asked, case=case) == f"{here}/asked.py:asked"
    # With another file of that name beside the case, it is not the same scheme.
    plugin(beside, "asked", "pass")
    again = ("--days", "2 h", "--resume", "--out", out)
    words = ["run", str(case), "--quiet", *again, "--swap"]
    assert main([*words, "test_forcing=asked.py:asked"]) == 2
    assert main([*words, f"test_forcing={here}/asked.py:asked"]) == 0
    first = ("--swap", "test_forcing=both.py:both", "--overwrite")
    assert resolved(*short, *first, case=case) == f"{both}:both"


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
