"""An output folder that cannot be used is refused before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tiny import DRY, write_case

from coupler.cli import main

Refused = Callable[..., list[str]]


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
