"""Programs as weights: TorchScript, `torch.export`, AOTInductor packages, ONNX.

What a file may do when it is read differs, and so does what is asked of it:

- ONNX is a graph of known operations; it needs onnxruntime, the extra ``onnx``. Tensors in files
  beside it are refused, since only the one file is hashed.
- TorchScript and the graphs of `torch.export` know tensors and numbers only; but what reads and
  runs them can write files, unpickle objects, load machine code and evaluate text. torch gets a
  copy of what was looked at entry by entry (`emulators.checked_archive`); the rest is refused.
- An AOTInductor package is machine code and can do all that a program of the user can. It is
  refused unless the environment says ``ISTHMUS_MACHINE_CODE=allow``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coupler.interface.errors import DataError
from emulators.checked_archive import checked_export, checked_torchscript

Call = Callable[[Tensor], Tensor]
FORMATS = ("torchscript", "export", "aoti", "onnx")
SUFFIX = {"torchscript": ".ts", "export": ".pt2", "aoti": ".aoti.pt2", "onnx": ".onnx"}
ALLOW = "ISTHMUS_MACHINE_CODE"


def read_program(path: Path, format: str) -> Call:
    """A function of one tensor, from a file.

    Args:
        path: the file.
        format: one of `FORMATS`.

    Raises:
        DataError: for a file that is damaged, of another format, or may not be run.
    """
    try:
        return _READERS[format](path)
    except DataError:
        raise
    except Exception as error:
        raise DataError.of(
            f"not a program of the format {format}",
            str(path),
            found=" ".join(str(error).split())[:200] or type(error).__name__,
            remedy="get the bundle again, or say which format it is in weights.format",
        ) from error


def _read_torchscript(path: Path) -> Call:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit", DeprecationWarning)
        module = torch.jit.load(checked_torchscript(path), map_location="cpu")  # type: ignore[no-untyped-call]
    module.eval()

    def call(x: Tensor) -> Tensor:
        y: Tensor = module(x)
        return y

    return call


def _read_export(path: Path) -> Call:
    module = torch.export.load(checked_export(path)).module()

    def call(x: Tensor) -> Tensor:
        y: Tensor = module(x)
        return y

    return call


def _read_aoti(path: Path) -> Call:
    if os.environ.get(ALLOW) != "allow":
        raise DataError.of(
            "a program of machine code",
            str(path),
            expected=f"the environment to say {ALLOW}=allow",
            found=os.environ.get(ALLOW) or "nothing",
            remedy="allow it if you trust who made it, or use another format",
        )
    package: Any = torch._inductor.aoti_load_package(str(path))

    def call(x: Tensor) -> Tensor:
        y: Tensor = package(x)
        return y

    return call


def _read_onnx(path: Path) -> Call:
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError.of(
            "a program that needs onnxruntime",
            str(path),
            found="no onnxruntime",
            remedy="install isthmus[onnx]",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # From memory: tensors in files beside it would not be found, and are not to be.
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def call(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: x.numpy()})[0])

    return call


_READERS: dict[str, Callable[[Path], Call]] = {
    "torchscript": _read_torchscript,
    "export": _read_export,
    "aoti": _read_aoti,
    "onnx": _read_onnx,
}


def write_program(module: nn.Module, example: Tensor, path: Path, format: str) -> None:
    """Writes a network as a program that takes tensors like `example`.

    Args:
        module: in evaluation mode.
        example: whose shape is the only one that the program takes.
        path: the file to be.
        format: one of `FORMATS`.

    Raises:
        DataError: when this network cannot be written so here.
    """
    module = module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporters, about themselves
            if format == "torchscript":
                torch.jit.trace(module, example).save(str(path))  # type: ignore[no-untyped-call]
                return
            if format == "onnx":
                torch.onnx.export(module, (example,), str(path), external_data=False)
                return
            exported = torch.export.export(module, (example,), strict=False)
            if format == "export":
                torch.export.save(exported, path)
            else:
                torch._inductor.aoti_compile_and_package(exported, package_path=str(path))
    except Exception as error:
        raise DataError.of(
            f"this network cannot be written as {format} here",
            type(module).__name__,
            found=" ".join(str(error).split())[:200] or type(error).__name__,
            remedy="see what the format needs: a C++ compiler for aoti, onnx and onnxscript for "
            "onnx",
        ) from error
