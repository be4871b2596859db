"""What tools keep of their work: taken for the same settings and code only, written whole."""

import argparse
import ast
from dataclasses import replace
from pathlib import Path

import kept
import pytest
from foretelling import networks, truth
from foretelling_results import result
from options import asked

ROOT = Path(__file__).resolve().parents[1]


def test_a_place_is_another_one_for_other_settings_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kept.place(tmp_path, "truth_F7.5", [1.0, "code"], ".nc")
    assert first == kept.place(tmp_path, "truth_F7.5", [1.0, "code"], ".nc")
    assert first.name.startswith("truth_F7.5_") and first.suffix == ".nc"
    assert first != kept.place(tmp_path, "truth_F7.5", [2.0, "code"], ".nc")
    monkeypatch.setattr(kept, "versions", lambda: {"torch": "0", "commit": "abc"})
    other = kept.place(tmp_path, "truth_F7.5", [1.0, "code"], ".nc")
    assert other != first
    monkeypatch.setattr(kept, "versions", lambda: {"torch": "0", "commit": "def"})
    assert other == kept.place(tmp_path, "truth_F7.5", [1.0, "code"], ".nc")


def test_it_is_said_once_what_is_kept_and_what_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (kept.place(tmp_path, "data", n, ".nc") for n in (1, 2))
    assert not kept.there(one)
    assert capsys.readouterr().out == "data: made anew, none is kept\n"
    one.touch()
    assert kept.there(one) and not kept.there(two)
    said = "data: made anew, 1 kept of other settings, code or versions\n"
    assert capsys.readouterr().out == said
    folder = kept.place(tmp_path, "bundle", 1)
    folder.mkdir()
    (folder / "bundle.yaml").touch()
    assert kept.there(folder, "bundle.yaml")
    assert capsys.readouterr().out.startswith(f"bundle: kept, {folder.name} is of these")


def test_truths_and_networks_of_other_settings_or_code_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Path] = []

    def train(closure: object, rings: object, target: object, folder: Path, source: str) -> None:
        trained.append(folder)
        folder.mkdir(parents=True)
        (folder / "bundle.yaml").touch()

    monkeypatch.setattr(networks, "train_closure", train)
    family = replace(networks.FAMILIES[0], rings=5)

    def made(units: float = 0.5, **changes: object) -> int:
        before = len(trained)
        assert networks.bundle(replace(family, **changes), 1, tmp_path, units).is_dir()
        return len(trained) - before

    assert [made(), made()] == [1, 0]
    truths = sorted(tmp_path.glob("truth_*.npz"))
    assert len(truths) == 1
    assert [made(rings=7), made(rings=7)] == [1, 0]
    assert sorted(tmp_path.glob("truth_*.npz")) == truths
    assert made(closure=networks._closure(epochs=3)) == 1
    assert [made(units=1.0), len(list(tmp_path.glob("truth_*.npz")))] == [1, 2]
    monkeypatch.setattr(kept, "code", lambda *starts, inside: "of other code")
    assert [made(), made()] == [1, 0]
    assert len(list(tmp_path.glob("truth_*.npz"))) == 3


def test_a_result_is_kept_for_the_same_network_and_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def make() -> dict[str, float]:
        calls.append("made")
        return {"distance": float("inf")}

    monkeypatch.setattr(kept, "model", lambda *also: "of this code")
    of = tmp_path / "local_1_0123456789abcdef"
    for _ in range(2):
        found = result(tmp_path, "local_1_after", of, make)
        assert found["distance"] == float("inf") and found["commit"]
    assert len(calls) == 1
    result(tmp_path, "local_1_after", of.with_name("local_1_fedcba9876543210"), make)
    assert len(calls) == 2
    monkeypatch.setattr(kept, "model", lambda *also: "of other code")
    result(tmp_path, "local_1_after", of, make)
    assert len(calls) == 3
    assert not list(tmp_path.rglob("*.part"))


def test_what_runs_and_truths_are_made_with_counts_as_their_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for: list[str] = []
    monkeypatch.setattr(kept, "fingerprint", lambda files, root: asked_for.extend(files) or "x")
    kept.code.__wrapped__("tools/foretelling/truth.py", inside=("tools/", "physics/"))
    assert {"tools/foretelling/truth.py", "physics/dynamics/lorenz96.py"} <= set(asked_for)
    assert truth.truth_file.__module__ == "foretelling.truth"
    kept.model.__wrapped__("cases/lorenz96.yaml")
    assert {"coupler/**/*.py", "emulators/**/*.py", "physics/**/*.py"} <= set(asked_for)


def test_tools_write_what_they_make_whole() -> None:
    """None writes text or bytes in place.

    But the long runs of gates: their tool is a part of what results of months of runs are of, and
    it runs a block again that was written in part.
    """
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "tools").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("write_text", "write_bytes")
    ]
    assert {f.partition(":")[0] for f in found} <= {"tools/gates/longrun.py"}, found


def test_options_that_are_not_usual_are_said(tmp_path: Path) -> None:
    usual: dict[str, int | float | None] = {"days": 30.0, "skip-days": 10.0, "steps": None}
    args, said = asked("About.\n", tmp_path / "page.md", usual, [])
    assert said == "" and args.out == tmp_path / "page.md" and args.steps is None
    args, said = asked(
        "About.", tmp_path, usual, ["--skip-days", "2.5", "--preset", "tiny", "--steps", "1000000"]
    )
    assert said == " --preset tiny --skip-days 2.5 --steps 1000000"
    assert isinstance(args, argparse.Namespace) and (args.days, args.skip_days) == (30.0, 2.5)
    with pytest.raises(SystemExit):
        asked("About.", tmp_path, usual, ["--starts", "3"])
