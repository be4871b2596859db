"""Copies of programs that hold nothing but what was looked at.

The archives of `torch.export` and of TorchScript are zip files whose readers do more than read.
torch's reader of exports unpickles objects and, where a file has the layout of older versions,
anything; loads machine code that lies beside the graph; and evaluates the graph's guards and
symbolic sizes as Python. TorchScript can write tensors to any file.

So torch never gets the file. It gets a copy of the known entries, in memory, with the content that
passed here, and any other entry is refused by name. In a graph every word is made of letters,
digits, dots and signs, so that it can call nothing; guards and symbolic sizes are refused, for a
bundle's program takes one shape; operations are torch's own (``aten``), less those that touch
files.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from coupler.interface.errors import DataError

Check = Callable[[bytes], bytes]
"""From an entry's content to what torch gets of it."""


class _UnsafeError(Exception):
    """What was expected of an entry, and what was found."""


def checked_export(path: Path) -> io.BytesIO:
    """A copy of an archive of `torch.export`.

    Raises:
        DataError: naming the entry that is unknown or could execute something.
    """

    def check(name: str) -> Check:
        for pattern, own in _EXPORT:
            if re.fullmatch(pattern, name, re.ASCII):
                return own
        found = "machine code" if "aotinductor" in name else "an entry that is not known"
        raise _UnsafeError("a graph, its tensors and nothing else", found)

    return _copied(path, check)


def checked_torchscript(path: Path) -> io.BytesIO:
    """A copy of an archive of TorchScript.

    Raises:
        DataError: naming the code that touches files or other libraries' classes.
    """
    return _copied(path, lambda name: _script if name.startswith("code/") else _as_it_is)


def _copied(path: Path, check: Callable[[str], Check]) -> io.BytesIO:
    entries: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inside = name.partition("/")[2]
            try:
                entries[inside] = check(inside)(archive.read(name))
            except _UnsafeError as error:
                expected, found = error.args
                raise DataError.of(
                    "a program that can do more than compute",
                    f"{path}: {name}",
                    expected=expected,
                    found=found,
                    remedy="ask who made it to export it again; nothing in it was executed",
                ) from error
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for inside, content in entries.items():
            archive.writestr(f"program/{inside}", content)
    copy.seek(0)
    return copy


def _as_it_is(content: bytes) -> bytes:
    return content


# -- torch.export -----------------------------------------------------------------------------

_OPERATION = r"torch\.ops\.aten\.(?!__)\w+\.(?!_)\w+"
_FILES = ("save", "from_file")
"""Operations of torch that write files or map them."""
_WORD = r"[\w.+-]*"
_TEXT = r"[\w.,> +-]*"
"""Arguments that are text, such as ``bij,bjk->bik``."""


def _tensors(content: bytes) -> bytes:
    if content:  # as it is for a program without constants
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception as error:
            raise _UnsafeError("tensors only", " ".join(str(error).split())[:160]) from error
    return content


def _payload(content: bytes) -> bytes:
    config = json.loads(content)
    pickled = [k for k, v in config["config"].items() if v["use_pickle"]]
    if pickled:
        raise _UnsafeError("tensors only", f"pickled entries {', '.join(pickled)}")
    _words(config)
    return json.dumps(config).encode()


def _graph(content: bytes) -> bytes:
    graph = json.loads(content)
    if graph.get("guards_code"):
        raise _UnsafeError("a graph without guards", f"guards_code {graph['guards_code'][0]!r}")
    _words(graph)
    return json.dumps(graph).encode()


def _words(part: Any, key: str = "") -> None:
    """Every text in `part` is a word; takes out what only tells where a graph comes from."""
    if isinstance(part, dict):
        if "metadata" in part:
            part["metadata"] = {}
        for name, value in part.items():
            _fits(name, _WORD, "a word as a name")
            _words(value, name)
    elif isinstance(part, list):
        for value in part:
            _words(value, key)
    elif isinstance(part, str):
        if key in ("in_spec", "out_spec", "context"):  # JSON as text
            _words(json.loads(part))
        elif key == "expr_str":
            raise _UnsafeError("sizes that are numbers", repr(part))
        elif key == "target":
            _fits(part, _OPERATION, "operations torch.ops.aten")
            if part.split(".")[3] in _FILES:
                raise _UnsafeError("operations on tensors", part)
        else:
            _fits(part, _TEXT if key == "as_string" else _WORD, f"a word in {key}")


def _fits(text: str, pattern: str, expected: str) -> None:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise _UnsafeError(expected, repr(text[:160]))


_EXPORT: tuple[tuple[str, Check], ...] = (
    (r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)", _as_it_is),
    (r"models/model\.json", _graph),
    (r"data/(weights|constants)/(weight|tensor)_\d+", _as_it_is),
    (r"data/(weights|constants)/model_(weights|constants)_config\.json", _payload),
    (r"data/(weights|constants|sample_inputs)/model\.pt", _tensors),
)
"""Entries by pattern of their names below the root folder."""


# -- TorchScript ------------------------------------------------------------------------------

_SCRIPT = rf"\b({'|'.join(_FILES)})\b|\btorch\.classes\b|\bops\.(?!aten\b|prim\b|quantized\b)\w+"


def _script(content: bytes) -> bytes:
    # What only tells where code comes from (.debug_pkl) is looked at alike, and holds no words.
    found = re.search(_SCRIPT, content.decode("ascii", errors="replace"), re.ASCII)
    if found:
        raise _UnsafeError("code that computes with tensors", found[0])
    return content
