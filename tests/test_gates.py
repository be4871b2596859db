"""The page of test cases: what is stored, what is stale, and what the page says about it."""

import ast
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gates import held_suarez, peer
from gates.catalogue import GATES
from gates.endurance import SOURCES, _blocks, carried_out, endurance, finished
from gates.longrun import Work, about, carry_out
from gates.page import PAGE, _anchor, assemble, render
from gates.pictures import Panel, section_panels, sphere_panels
from gates.rows import Data, Picture, Row, Table, at_least, at_most, below, factor, near
from gates.sources import REGISTRY, changed_since, reached
from gates.spectrum import kinetic_energy, sampled, slope, upturn
from gates.store import FOLDER, Result, collect
from gates.zonal import Climate, Sampler

from coupler.interface.source import bare, fingerprint

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "title": "small", "days": 4,
    "atmosphere": {
        "scheme": "spectral", "truncation": 10, "levels": "sigma7", "dt": 3600,
        "initial": "held_suarez", "moist": False,
    },
    "physics": {"radiation": "held_suarez", "boundary_layer": "held_suarez"},
}  # fmt: skip


def test_rows_say_where_a_number_has_to_be_and_whether_it_is():
    rows = [
        below("a", -2e-3, "0", 1e-3), near("b", 9.0, 10.0, 2.0, ".1f"),
        factor("c", 3e-4, 1e-4, 1.5), at_most("d", 0.4, "", 0.5, ".2f"),
        at_least("e", -0.1, "", 0.0, ".1f"), at_most("f", float("nan"), "", 1.0),
    ]  # fmt: skip
    assert [row.good for row in rows] == [False, True, False, True, False, False]
    gates = [row.cells()[3] for row in rows]
    assert gates[:2] == ["below 0.001", "8.0 to 12.0"]
    assert gates[3:5] == ["at most 0.50", "at least 0.0"]
    assert rows[0].cells()[-1] == "**no**"
    for row in rows:
        again = Row.from_json(json.loads(json.dumps(row.to_json(), allow_nan=False)))
        assert again == row or np.isnan(row.ours)


def test_a_result_comes_back_from_its_file(tmp_path):
    items = [
        below("a", 1e-9, "0", 1e-6), Table(caption="t", head=["x"], body=[["1"]]),
        Picture(name="p.png", caption="seen", png=b"PNG"), Data(numbers={"k": [1, 2]}),
        Data(numbers={"seconds": 12.5, "made": {"commit": "abc"}}),
    ]  # fmt: skip
    result = collect("gate", "  what\n it is ", items, tmp_path)
    assert (result.text, result.seconds, result.made) == ("what it is", 12.5, {"commit": "abc"})
    assert (tmp_path / "p.png").read_bytes() == b"PNG"
    stored = replace(result, sources="f00")
    stored.save(tmp_path)
    assert Result.load(tmp_path, "gate") == stored
    assert Result.load(tmp_path, "other") is None
    assert collect("gate", "", items, None).pictures == []


def test_a_result_is_stale_when_code_changes_and_not_when_comments_do(tmp_path):
    source = tmp_path / "a.py"
    source.write_text('"""Doc."""\n\n\ndef f():\n    """Text."""\n    return 1\n')
    first = fingerprint(["*.py"], tmp_path)
    source.write_text('"""Other."""\n\n# why\ndef f():\n    return 1\n')
    assert fingerprint(["*.py"], tmp_path) == first
    source.write_text("def f():\n    return 2\n")
    assert fingerprint(["*.py"], tmp_path) != first
    assert bare("def f():\n    'only text'\n") == bare("def f(): pass")


def test_every_gate_depends_on_files_that_exist_and_says_what_it_is():
    for name, gate in GATES.items():
        assert gate.text, name
        for pattern in gate.sources:
            assert list(ROOT.glob(pattern)), f"{name}: {pattern}"
        assert set(gate.needs) <= set(GATES)
    titles = [_anchor(gate.title) for gate in GATES.values()]
    assert len(set(titles)) == len(titles)


def test_the_page_in_the_documentation_is_made_from_what_is_stored():
    text, _ = render(FOLDER)
    assert PAGE.read_text(encoding="utf-8") == text, "python tools/dynamical_core_results.py --page"
    for picture in FOLDER.glob("*.png"):
        assert picture.stat().st_size < 150_000, picture.name
        assert picture.name in text


def test_a_page_without_results_says_so(tmp_path):
    text, missed = render(tmp_path)
    assert missed == 0 and text.count("not run yet") == len(GATES)
    name = next(iter(GATES))
    made = {"commit": "abc123"}
    Result(name=name, text="What.", rows=[below("x", 2.0, "0", 1.0)], made=made).save(tmp_path)
    text, missed = render(tmp_path)
    assert missed == 1
    assert f"| [{GATES[name].title}]" in text and "**0 of 1**" in text and "`abc123`" in text


def test_the_page_says_which_results_are_of_older_code(tmp_path):
    first, second = list(GATES)[:2]
    for name, sources in ((first, fingerprint(GATES[first].sources)), (second, "0ther")):
        Result(name=name, text="What.", rows=[below("x", 0.0, "0", 1.0)], sources=sources).save(
            tmp_path / "results"
        )
    assert assemble(tmp_path / "page.md", tmp_path / "results") == 0
    text = (tmp_path / "page.md").read_text()
    assert f"| [{GATES[first].title}](#{_anchor(GATES[first].title)}) | 1 of 1 | this |" in text
    assert f"| [{GATES[second].title}](#{_anchor(GATES[second].title)}) | 1 of 1 | older |" in text


class Model:
    """Fields that a sampler reads."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.fields = {n: np.zeros((3, 4, 8)) for n in ("ua", "va", "ta")}
        self.fields["ps"] = np.full((4, 8), 1.0e5)

    def move(self):
        for name in ("ua", "va", "ta"):
            self.fields[name][:] = self.random.standard_normal((3, 4, 8))


def test_samples_are_zonal_means_and_covariances():
    model = Model(3)
    sampler = Sampler(model.fields)
    kept = []
    for _ in range(5):
        model.move()
        sampler.add()
        kept.append({n: a.copy() for n, a in model.fields.items()})
    block = sampler.block()
    u, v, t = (np.array([k[n] for k in kept]) for n in ("ua", "va", "ta"))
    np.testing.assert_allclose(block["ua"], u.mean((0, 3)), atol=1e-14)
    for name, x, y in (("uv", u, v), ("vt", v, t), ("tt", t, t)):
        eddy = (x - x.mean(3, keepdims=True)) * (y - y.mean(3, keepdims=True))
        np.testing.assert_allclose(block[name], eddy.mean((0, 3)), atol=1e-14)
    assert block["fastest"] == np.sqrt((u * u + v * v).max())
    assert block["wind"].shape == (5, 3, 4)


def test_a_long_run_goes_on_where_it_stopped(tmp_path):
    case = tmp_path / "small.yaml"
    case.write_text(json.dumps(SMALL))
    work = Work(folder=tmp_path, sources="code")

    def run(days, name, work=work, **changes):
        return carry_out(case, days, work, name, changes=changes, block=1.0, say=False)

    whole = Climate.load(run(3.0, "whole"))
    parts = run(2.0, "parts")
    # As if it had been stopped while the third block was written.
    (parts / "block_000002.npz").write_bytes(b"half a file")
    other = Climate.load(run(3.0, "parts"))
    for name, values in whole.blocks.items():
        np.testing.assert_array_equal(other.blocks[name], values, err_msg=name)
    assert whole.last == 3.0 and whole.wind.shape == (12, 7, 16)
    late = whole.between(1.0, 3.0)
    np.testing.assert_array_equal(late.mean("ua"), whole.blocks["ua"][1:].mean(0))
    np.testing.assert_array_equal(late.wind, whole.wind[4:])
    said = about(parts, other).numbers
    assert said["seconds"] > 0.0 and said["sources"] == "code"
    first = (parts / "block_000000.npz").stat().st_mtime_ns
    run(3.0, "parts")  # nothing left to do
    run(3.0, "parts", Work(folder=tmp_path, sources="other code", as_is=True))
    assert (parts / "block_000000.npz").stat().st_mtime_ns == first
    with pytest.raises(ValueError, match=r"holds another run: .*changes.*choose another folder"):
        run(3.0, "parts", precision="float64")
    run(1.0, "parts", Work(folder=tmp_path, sources="other code"))
    assert len(list(parts.glob("block_*.npz"))) == 1  # begun anew
    with pytest.raises(ValueError, match="no blocks between"):
        whole.between(5.0, 9.0)
    with pytest.raises(FileNotFoundError, match="no blocks"):
        Climate.load(tmp_path / "none")


def test_a_spectrum_is_sampled_by_the_day_after_a_restart(tmp_path):
    case = tmp_path / "small.yaml"
    case.write_text(json.dumps(SMALL | {"days": 2}))
    changes = {"atmosphere.initial": "baroclinic_wave"}
    work = Work(folder=tmp_path, sources="code")
    folder = carry_out(case, 1.0, work, "run", changes=changes, block=1.0, say=False)
    one, two = (sampled(folder, case, changes, days) for days in (1, 2))
    assert one.shape == (10,) and (one > 0.0).all()
    # The same flow in both hemispheres, eastward: vorticity of odd degrees.
    assert (one[[0, 2, 4]] > 100.0 * one[[1, 3, 5]]).all()
    later = carry_out(case, 2.0, work, "run", changes=changes, block=1.0, say=False)
    np.testing.assert_allclose(2.0 * two - one, sampled(later, case, changes, 1), rtol=1e-12)


def climate_like_the_reference(change=0.0):
    """A climate whose sections go through the reference's table, on 20 levels."""
    lat = np.linspace(-90.0, 90.0, 73)  # the table's latitudes are among them
    sigma = (np.arange(20) + 0.5) / 20.0
    blocks = {}
    for name, table in peer.HELD_SUAREZ.items():
        by_level = np.array([np.interp(sigma, peer.SIGMA, column) for column in table.T]).T
        section = np.array([np.interp(np.abs(lat), peer.LATITUDES, row) for row in by_level])
        sign = np.where(lat < 0.0, -1.0, 1.0) if name in ("uv", "vt") else 1.0
        blocks[name] = np.stack([sign * section] * 4)
    blocks["ua"] = blocks["ua"] + change
    blocks |= {"va": 0.0 * blocks["ua"], "eke": 0.0 * blocks["ua"] + 1.0}
    blocks |= {"ps": np.full((4, 73), 1e5), "fastest": np.full(4, 90.0)}
    return Climate(
        lat=lat, pressure=sigma * 1e5, weights=np.full(73, 1 / 73), thickness=np.full(20, 0.05),
        first=50.0 * np.arange(4), length=50.0, blocks=blocks,
        wind=np.zeros((16, 20, 73), np.float32),
    )  # fmt: skip


def test_the_climate_of_the_reference_meets_its_gates_and_another_does_not():
    rows = {row.what: row for row in held_suarez.gates(climate_like_the_reference())}
    named = [w for w in rows if w.startswith("rms difference")]
    assert len(named) == 2 and all(rows[w].ours < 0.4 and rows[w].good for w in named)
    off = {row.what: row for row in held_suarez.gates(climate_like_the_reference(1.5))}
    assert not next(r for w, r in off.items() if "zonal mean from the reference, u" in w).good
    # Warmer jets in one hemisphere alone: half the difference is 1 m/s in the rms.
    even = climate_like_the_reference()
    lopsided = {**even.blocks, "ua": even.blocks["ua"] + 2.0 * (even.lat > 0.0)}
    found = {r.what: r for r in held_suarez.gates(replace(even, blocks=lopsided))}
    assert not next(r for w, r in found.items() if "hemispheres" in w).good
    assert next(r for w, r in rows.items() if "hemispheres" in w).good
    turned = {**even.blocks, "ua": even.blocks["ua"] + np.array([0, 0, 3, 3])[:, None, None]}
    assert held_suarez.halves(replace(even, blocks=turned)) == pytest.approx(3.0)


def test_rows_of_the_climate_compare_numbers_of_the_same_level_and_latitude():
    body = held_suarez.table(climate_like_the_reference()).body
    rows = {what: (ours, reference) for what, ours, reference in body}
    assert "32.3" in rows["jet, north [m/s]"][1]
    # The climate goes through the reference's table: numbers of one place are the same.
    for what in ("[T] at sigma 0.475: equator, 45 [K]", "[T] at sigma 0.975: equator, 45, 85 [K]"):
        assert rows[what][0] == rows[what][1], what
    assert rows["[T] at sigma 0.475: equator, 45 [K]"][1] == "256.0, 243.8"


def test_pictures_are_small_pngs():
    lat, lon = np.linspace(-80, 80, 9), np.arange(0.0, 360.0, 30.0)
    values = np.sin(np.radians(lon))[None] * np.ones((9, 1))
    panel = Panel(title="t", values=values, levels=np.linspace(-1, 1, 6), lat=lat, lon=lon)
    section = Panel(
        title="s", values=values, levels=np.linspace(-1, 1, 6), lat=lon / 4 - 45,
        pressure=np.linspace(1.0, 1000.0, 9), middle=0.0, colours="RdBu_r",
    )  # fmt: skip
    for png in (sphere_panels([panel] * 3, columns=2), section_panels([section], columns=2)):
        assert png.startswith(b"\x89PNG") and len(png) < 150_000


def test_a_finished_run_is_read_in_blocks_of_days(tmp_path):
    from coupler import Simulation

    Simulation.from_case(SMALL, out=tmp_path / "run").run(quiet=True)
    rows = list(_blocks(tmp_path / "run", 2.0))
    assert [row[0] for row in rows] == ["0 to 2", "2 to 4"]
    assert abs(float(rows[-1][5])) < 1e-5 and float(rows[-1][1]) > 0.0


def test_the_spectrum_of_kinetic_energy_sums_to_the_kinetic_energy():
    import torch

    from physics.dynamics.transform import SpectralTransform

    tr = SpectralTransform(truncation=10, nlat=16, nlon=32, radius=6.371e6, dtype=torch.float64)
    draws = torch.Generator().manual_seed(4)
    spec = 1e-5 * torch.randn(tr.spectral_shape(4), dtype=tr.dtype, generator=draws) * tr.inside
    spec[0, 1] = 0.0
    spec[0, :, :, 0] = 0.0  # no global mean of vorticity and divergence
    u, v = tr.wind_on_grid(spec[:, :, :2], spec[:, :, 2:])
    kinetic = 0.5 * (u**2 + v**2).mean(2).mean(0).numpy() @ tr.gauss_weights / 2.0
    energy = kinetic_energy(spec.numpy(), 2, slice(None))
    assert energy.sum() == pytest.approx(kinetic, rel=1e-12)


def test_slope_and_upturn_of_a_power_law():
    n = np.arange(1.0, 43.0)
    assert slope(n**-3.0) == pytest.approx(-3.0)
    assert upturn(n**-3.0) < 1.0
    piled = n**-3.0
    piled[-1] *= 5.0
    assert upturn(piled) > 4.0


def test_what_a_file_imports_is_followed_through_physics():
    core = reached("physics/dynamics/core.py")
    named = ("fused_step", "hydrostatic", "dissipation", "means", "legendre_products", "initial")
    assert {f"physics/dynamics/{name}.py" for name in named} <= set(core)
    assert "physics/elementary.py" in core and "physics/dynamics/initial_ullrich.py" not in core
    model = reached("physics/dynamics/atmosphere.py")
    assert set(core) < set(model) and REGISTRY not in model
    assert reached("physics/elementary.py", but=("physics/elementary.py",)) == ()


def imported(path):
    """Files of physics/dynamics that a file imports, by a second reading."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("physics."):
            names.add(node.module.replace(".", "/") + ".py")
    return {n for n in names if (ROOT / n).is_file()}


def test_every_gate_lists_all_that_its_code_imports():
    free = {REGISTRY, "physics/dynamics/core.py"}  # states by name; of the core a grid's size
    for name, gate in GATES.items():
        for source in set(gate.sources) - free:
            if source.endswith(".py") and source.startswith("physics/"):
                assert imported(source) <= {*gate.sources, *free}, f"{name}: {source}"
        if "physics/dynamics/core.py" in gate.sources:
            assert set(reached("physics/dynamics/core.py")) <= set(gate.sources), name


def test_gates_list_the_file_of_the_start_that_they_name():
    users = {
        n for n, gate in GATES.items() if "physics/dynamics/initial_ullrich.py" in gate.sources
    }
    assert users == {"wave_2014", "moist_wave", "conservation", "torque", "spectrum"}


def repository(folder, **files):
    """A repository with one commit of these files; its id."""

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
        return done.stdout.decode().strip()

    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    return git("rev-parse", "HEAD")


def test_code_is_the_same_as_in_a_commit_when_only_words_or_unused_functions_went(tmp_path):
    text = "import os\nfrom math import pi, tau\n\n\ndef f():\n    return pi\n\n\n"
    commit = repository(
        tmp_path, words=text, less=text + "def g():\n    return f() + tau\n",
        used=text + "def g():\n    return 1\n\n\ndef h():\n    return g()\n", other=text,
        more=text, gone=text, effect=text + "print(f())\n",
    )  # fmt: skip
    assert changed_since(commit, ["*.py"], tmp_path) == []
    (tmp_path / "words.py").write_text("# why\n" + text.replace("f():", 'f():\n    "Doc."'))
    (tmp_path / "less.py").write_text(text.replace(", tau", ""))
    assert changed_since(commit, ["*.py"], tmp_path) == []
    (tmp_path / "used.py").write_text(text + "def h():\n    return g()\n")
    (tmp_path / "other.py").write_text(text.replace("pi\n\n\n", "2 * pi\n\n\n"))
    (tmp_path / "more.py").write_text(text + "def g():\n    return 1\n")
    (tmp_path / "effect.py").write_text(text)
    (tmp_path / "new.py").write_text(text)
    (tmp_path / "gone.py").unlink()
    changed = ["effect.py", "gone.py", "more.py", "new.py", "other.py", "used.py"]
    assert changed_since(commit, ["*.py"], tmp_path) == changed
    for unknown in ("", f"{commit[:12]}-dirty", "0123456789ab"):
        with pytest.raises(ValueError, match="no clean commit"):
            changed_since(unknown, ["*.py"], tmp_path)


def test_a_run_of_many_days_is_begun_gone_on_with_and_taken_as_it_is(tmp_path):
    case = tmp_path / "small.yaml"
    case.write_text(json.dumps(SMALL))
    folder = tmp_path / "run"
    assert finished(folder) == 0.0
    assert carried_out(folder, case, 1.0, {"precision": "float64"}) == folder
    assert finished(folder) == 1.0
    carried_out(folder, case, 2.0, {"precision": "float64"})
    report = json.loads((folder / "run.json").read_text())
    assert finished(folder) == 2.0 and report["days_run"] == 1.0  # since it went on
    before = (folder / "atmosphere.nc").stat().st_mtime_ns
    carried_out(folder, case, 2.0, {})
    assert (folder / "atmosphere.nc").stat().st_mtime_ns == before
    (folder / "run.json").write_text(json.dumps({**report, "outcome": "failed"}))
    assert finished(folder) == 0.0
    with pytest.raises(RuntimeError, match=r"no run in .*status [1-9].*no_such_key"):
        carried_out(tmp_path / "bad", case, 1.0, {"no_such_key": "1"})


def test_the_gate_of_a_thousand_days_reads_finished_runs(tmp_path, monkeypatch):
    from gates import endurance as gate

    case = tmp_path / "small.yaml"
    case.write_text(json.dumps(SMALL))
    monkeypatch.setattr(gate, "CASE", case)
    monkeypatch.setattr(gate, "DAYS", 2.0)
    monkeypatch.setattr(gate, "changed_since", lambda commit, patterns: [])
    items = list(endurance(False, Work(folder=tmp_path, sources="now")))
    assert [i.good for i in items if isinstance(i, Row)] == [True] * 6
    told = next(i for i in items if isinstance(i, Data)).numbers
    assert told["seconds"] > 0.0 and told["made"]["isthmus"]
    assert told["sources"] == "now"

    def unknown(commit, patterns):
        raise ValueError("commit unknown is not here")

    folders = {"float32": next(tmp_path.glob("**/run.json")).parent}
    for found, text in (
        (lambda commit, patterns: [], "now"),
        (lambda commit, patterns: ["x.py"], "older: x.py"),
        (unknown, "older: commit unknown is not here"),
    ):
        monkeypatch.setattr(gate, "changed_since", found)
        assert gate._facts(folders, "now").numbers["sources"] == text
    assert "physics/columns/grey_radiation.py" in SOURCES


def test_a_gate_that_fails_takes_no_page_from_the_others(tmp_path, monkeypatch, capsys):
    import dynamical_core_results as tool

    def breaks(quick, work):
        raise FileNotFoundError("planted")
        yield

    good = replace(GATES["transform"], call=lambda quick, work: iter([below("x", 0.0, "0", 1.0)]))
    gates = {"transform": good, "rest": replace(good, call=breaks)}
    monkeypatch.setattr(tool, "GATES", gates)
    for name, value in (("FOLDER", tmp_path), ("PAGE", tmp_path / "page.md")):
        monkeypatch.setattr(tool, name, value)
    monkeypatch.setattr(tool, "state_of", lambda name: "missing")
    monkeypatch.setattr("sys.argv", ["tool", "--work", str(tmp_path / "work")])
    assert tool.main() == 1
    heard = capsys.readouterr()
    assert "ended with an error: rest" in heard.out and "planted" in heard.err
    assert "1 of 1" in (tmp_path / "page.md").read_text()


def test_a_result_of_the_same_code_is_kept_and_another_is_not(tmp_path, monkeypatch):
    import dynamical_core_results as tool

    made = {"commit": "abc"}
    Result(name="rest", text="", rows=[], sources="old", made=made).save(tmp_path)
    monkeypatch.setattr(tool, "changed_since", lambda commit, patterns: ["a.py"])
    assert tool.restamped("rest", tmp_path) == "stale, changed since abc: a.py"
    assert Result.load(tmp_path, "rest").sources == "old"
    monkeypatch.setattr(tool, "changed_since", lambda commit, patterns: [])
    assert tool.restamped("rest", tmp_path) == "same code as abc: kept"
    assert Result.load(tmp_path, "rest").sources == fingerprint(GATES["rest"].sources)
    assert tool.restamped("rest", tmp_path) == "stored"
    assert tool.restamped("steady", tmp_path) == "missing"
