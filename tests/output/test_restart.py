"""Restart files: bit for bit, whole or not there, the newest good one."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from coupler.interface.errors import DataError
from coupler.output import restart
from coupler.output.restart import Moment, newest_good, read, write


def moment(step: int, **changes) -> Moment:
    said = {
        "case": "abc123",
        "date": "1959-01-02T06:00:00",
        "calendar": "noleap",
        "step": step,
        "seconds": step * 1200.0 + 0.1,
        "extra": {"rng": [1, 2, 3], "ramp": 1 / 3},
    }
    return Moment(**(said | changes))


def memories(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    spectral = rng.normal(size=(3, 7, 5)) + 1j * rng.normal(size=(3, 7, 5))
    values = rng.normal(size=(3, 5, 8))
    values[0, 0, :3] = [np.nan, -0.0, 5e-324]  # bits, not values, have to come back
    return {
        "atmosphere": {
            "vorticity": spectral,
            "vorticity_old": spectral.astype(np.complex64),
            "ps": np.asfortranarray(rng.normal(size=(5, 8))),
            "ta": values,
            "turned": values.astype(np.float32).transpose(2, 0, 1),
            "weight": np.array(3.5),
            "phase": np.array(1.5 - 2j),
            "empty": np.zeros((0, 4)),
        },
        "surface": {
            "ts": rng.normal(size=(4, 9)).astype(np.float32),
            "count": rng.integers(0, 99, size=6),
            "on": np.array([True, False, True]),
        },
    }


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_everything_comes_back_bit_for_bit_with_its_type(tmp_path):
    given = memories()
    path = write(tmp_path / "restart", given, moment(360))
    assert path.name == "restart_000000360.safetensors"
    (tmp_path / "any").touch()
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode  # as readable as other files
    found = read(path, case="abc123")
    assert found.moment == moment(360)
    for component, arrays in given.items():
        memory = found.memory(component)
        assert memory.keys() == arrays.keys()
        for name, array in arrays.items():
            assert same_bits(memory[name], array), f"{component}/{name}"


def test_only_the_newest_files_are_kept_in_the_order_of_steps(tmp_path):
    for step in (5, 999_999_999, 1_000_000_000, 40):
        write(tmp_path, memories(), moment(step), keep=9)
    write(tmp_path, memories(), moment(1_000_000_001), keep=3)
    steps = sorted(read(p).moment.step for p in tmp_path.iterdir())
    assert steps == [999_999_999, 1_000_000_000, 1_000_000_001]
    assert newest_good(tmp_path).moment.step == 1_000_000_001


def test_young_files_are_kept_beyond_their_number(tmp_path):
    for step in (10, 20, 30, 40):
        write(tmp_path, memories(), moment(step), keep=9)
    write(tmp_path, memories(), moment(50), keep=2, young=25)
    assert sorted(read(p).moment.step for p in tmp_path.iterdir()) == [30, 40, 50]
    write(tmp_path, memories(), moment(60), keep=2, young=60)
    assert sorted(read(p).moment.step for p in tmp_path.iterdir()) == [50, 60]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_passed_over_and_that_is_said(tmp_path, caplog, share):
    write(tmp_path, memories(1), moment(10))
    newer = write(tmp_path, memories(2), moment(20))
    raw = newer.read_bytes()
    newer.write_bytes(raw[: int(share * len(raw))])
    with caplog.at_level(logging.WARNING, "coupler.output.restart"):
        found = newest_good(tmp_path, case="abc123")
    assert found.moment.step == 10
    assert same_bits(found.arrays["surface/ts"], memories(1)["surface"]["ts"])
    assert len(found.passed_over) == 1
    assert "restart file cannot be read" in found.passed_over[0]
    assert newer.name in caplog.text


@pytest.mark.parametrize("where", ["data", "header"])
def test_a_changed_byte_is_found_by_the_checksum(tmp_path, where):
    write(tmp_path, memories(1), moment(10))
    newer = write(tmp_path, memories(2), moment(20))
    raw = bytearray(newer.read_bytes())
    place = len(raw) - 5 if where == "data" else raw.index(b"1959-01-02")
    raw[place] ^= 1
    newer.write_bytes(raw)
    with pytest.raises(DataError, match=r"restart file is damaged.*another checksum"):
        read(newer)
    found = newest_good(tmp_path)
    assert found.moment.step == 10
    assert "damaged" in found.passed_over[0]


def test_a_run_killed_while_writing_leaves_the_older_restart(tmp_path):
    write(tmp_path, memories(1), moment(10))
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_restart as t
t.restart._fsync = lambda path: os.kill(os.getpid(), 9)  # written, not yet synced and renamed
t.write(t.Path({str(tmp_path)!r}), t.memories(2), t.moment(20))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["restart_000000010.safetensors", "restart_000000020.safetensors.partial"]
    assert newest_good(tmp_path).moment.step == 10
    write(tmp_path, memories(3), moment(30))
    assert not list(tmp_path.glob("*.partial"))


def test_the_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(restart, "_fsync", lambda path: events.append(("sync", path.name)))
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (events.append(("rename", a.name)), replace(a, b))[1]
    )
    write(tmp_path, memories(), moment(7))
    partial = "restart_000000007.safetensors.partial"
    assert events == [("sync", partial), ("rename", partial), ("sync", tmp_path.name)]


def test_another_case_or_version_is_refused_and_not_passed_over(tmp_path):
    write(tmp_path, memories(), moment(10))
    newer = write(tmp_path, memories(), moment(20, case="other"))
    with pytest.raises(DataError, match=r"another case.*expected case abc123; found case other"):
        newest_good(tmp_path, case="abc123")
    about = {"schema": 99, "complex": []}
    text = json.dumps(about, sort_keys=True)
    arrays = {"a/b": np.zeros(2)}
    save_file(arrays, newer, metadata={"isthmus": text, "sha256": restart._digest(text, arrays)})
    with pytest.raises(DataError, match=r"another version.*expected schema version 1; found 99"):
        newest_good(tmp_path)


def test_missing_and_foreign_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"no good restart.*found no restart file"):
        newest_good(tmp_path)
    with pytest.raises(DataError, match="no such restart file"):
        read(tmp_path / "restart_000000001.safetensors")
    path = tmp_path / "restart_000000001.safetensors"
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(DataError, match="not a restart of Isthmus"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no good restart.*cannot be read"):
        newest_good(tmp_path)


def test_arrays_that_the_format_cannot_hold_are_refused(tmp_path):
    for array in (np.array(["text"]), np.array([object()]), np.zeros(3, ">f8")):
        with pytest.raises(DataError, match="array cannot go into a restart: ocean/bad"):
            write(tmp_path, {"ocean": {"bad": array}}, moment(1))
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_the_file_can_be_read_without_isthmus(tmp_path):
    path = write(tmp_path, memories(), moment(3))
    plain = load_file(path)
    np.testing.assert_array_equal(plain["surface/ts"], memories()["surface"]["ts"])
    np.testing.assert_array_equal(
        plain["atmosphere/vorticity"][..., 1], memories()["atmosphere"]["vorticity"].imag
    )
