"""Files that appear whole or not at all."""

import json
from pathlib import Path

import pytest

from coupler.interface.files import appearing, write_json, write_whole


def test_a_file_is_replaced_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_whole(path, "old")
    write_json(path, {"a": [1, 2]})
    assert json.loads(path.read_text()) == {"a": [1, 2]}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_what_is_interrupted_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.npz"
    with appearing(path) as beside:
        assert beside.suffix == ".npz" and not path.exists()
        beside.write_bytes(b"old")

    def half() -> None:
        with appearing(path) as beside:
            beside.write_bytes(b"half of a n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]
