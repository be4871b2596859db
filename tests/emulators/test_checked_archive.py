"""What a program may not do: archives forged to run code when they are read, and all refused.

Most were executed by torch 2.13 when it was given the file as it is; the others are neighbours.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from coupler.interface.errors import DataError
from emulators.programs import read_program, write_program


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code of a program was executed",))


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, what in content.items():
            archive.writestr(name, what)
    return path


def forged(path: Path, changes: dict[str, bytes]) -> Path:
    """Another archive with some entries replaced or added below the root, named by their end."""
    content = contents(path)
    root = next(iter(content)).partition("/")[0]
    for end, what in changes.items():
        known = [n for n in content if n.endswith(end)]
        content[known[0] if known else f"{root}/{end}"] = what
    return written(path.with_name("bad.pt2"), content)


def pickled(thing: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "net.pt2"
    write_program(nn.Linear(3, 2), torch.zeros(1, 3), file, "export")
    return file


def graph_of(exported: Path) -> dict[str, Any]:
    return dict(json.loads(contents(exported)["net/models/model.json"]))


def changed(exported: Path, graph: dict[str, Any]) -> Path:
    return forged(exported, {"models/model.json": json.dumps(graph).encode()})


MORE = "a program that can do more than compute"


def test_an_export_without_pickles_is_read(exported: Path) -> None:
    assert read_program(exported, "export")(torch.zeros(1, 3)).shape == (1, 2)
    # The control of what follows: a graph that is only written anew is read.
    again = changed(exported, graph_of(exported))
    assert read_program(again, "export")(torch.zeros(1, 3)).shape == (1, 2)


@pytest.mark.parametrize("part", ["sample_inputs", "weights", "constants"])
def test_a_pickle_with_code_in_an_export_is_refused_unread(exported: Path, part: str) -> None:
    bad = forged(exported, {f"data/{part}/model.pt": pickled(Trap())})
    with pytest.raises(DataError, match=rf"{MORE}: .*{part}/model\.pt; expected tensors only"):
        read_program(bad, "export")


def test_objects_and_pickled_weights_of_an_export_are_refused_unread(exported: Path) -> None:
    for name in ("custom_obj_0", "opaque_obj_0"):
        bad = forged(exported, {f"data/constants/{name}": b"cos\nsystem\n"})
        with pytest.raises(DataError, match=rf"{MORE}: .*{name}; .*an entry that is not known"):
            read_program(bad, "export")
    config = {"config": {"weight": {"path_name": "weight_0", "use_pickle": True}}}
    bad = forged(exported, {"weights_config.json": json.dumps(config).encode()})
    with pytest.raises(DataError, match="pickled entries weight"):
        read_program(bad, "export")


def test_the_older_layout_of_an_export_whose_pickles_are_executed_is_refused(
    exported: Path,
) -> None:
    # torch unpickles these without restriction where it does not find the present layout.
    older = {
        "version": b"8.20",
        "serialized_exported_program.json": contents(exported)["net/models/model.json"],
        "serialized_state_dict.pt": pickled(Trap()),
        "serialized_constants.pt": b"",
        "serialized_example_inputs.pt": b"",
    }
    for content in (older, contents(exported) | older):
        bad = written(exported.with_name("bad.pt2"), content)
        with pytest.raises(DataError, match=rf"{MORE}: .*bad\.pt2: version; .*not known"):
            read_program(bad, "export")
    rooted = {f"net/{name}": what for name, what in older.items()}
    bad = written(exported.with_name("bad.pt2"), contents(exported) | rooted)
    with pytest.raises(DataError, match=rf"{MORE}: .*net/version"):
        read_program(bad, "export")


def test_machine_code_beside_the_graph_of_an_export_is_refused(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISTHMUS_MACHINE_CODE", raising=False)
    bad = forged(exported, {"data/aotinductor/model/a.wrapper.so": b"\x7fELF"})
    with pytest.raises(DataError, match=rf"{MORE}: .*wrapper\.so; .*found machine code"):
        read_program(bad, "export")


def code(tmp_path: Path) -> tuple[str, Path]:
    """Python that leaves a trace, and the trace."""
    trace = tmp_path / "executed"
    return f"__import__('pathlib').Path({str(trace)!r}).touch() is None", trace


def test_text_of_a_graph_that_torch_would_execute_is_refused(
    tmp_path: Path, exported: Path
) -> None:
    python, trace = code(tmp_path)
    graph = graph_of(exported)
    graph["guards_code"] = [python]  # executed when the module is made
    with pytest.raises(DataError, match=rf"{MORE}: .*a graph without guards; found guards_code"):
        read_program(changed(exported, graph), "export")

    graph = graph_of(exported)
    inner = graph["graph_module"]["graph"]
    name = inner["inputs"][-1]["as_tensor"]["name"]
    size = {"as_expr": {"expr_str": python, "hint": {"as_int": 1}}}
    inner["tensor_values"][name]["sizes"][0] = size  # evaluated by sympy
    with pytest.raises(DataError, match=rf"{MORE}: .*expected sizes that are numbers"):
        read_program(changed(exported, graph), "export")

    text = json.dumps(graph_of(exported)).replace(json.dumps(name), json.dumps(f"x={python}"))
    with pytest.raises(DataError, match=rf"{MORE}: .*expected a word in name"):
        read_program(changed(exported, json.loads(text)), "export")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("torch.os.system", "operations torch.ops.aten"),
        ("torch.ops.higher_order.cond", "operations torch.ops.aten"),
        ("torch.ops.aten.__init__.__globals__", "operations torch.ops.aten"),
        ("torch.ops.aten.from_file.default", "operations on tensors"),
    ],
)
def test_operations_of_a_graph_that_are_not_on_tensors_are_refused(
    exported: Path, target: str, sentence: str
) -> None:
    graph = graph_of(exported)
    graph["graph_module"]["graph"]["nodes"][0]["target"] = target
    with pytest.raises(DataError, match=f"{MORE}: .*expected {sentence}"):
        read_program(changed(exported, graph), "export")


class Writes(nn.Module):
    """Writes a file when it is called."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return x


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_that_writes_files_is_refused(tmp_path: Path) -> None:
    trace, file = tmp_path / "executed", tmp_path / "net.ts"
    torch.jit.script(Writes(str(trace))).save(str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(DataError, match=rf"{MORE}: .*/code/.*\.py; .*found save"):
        read_program(file, "torchscript")(torch.zeros(1, 3))
    assert not trace.exists()
