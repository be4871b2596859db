"""Weights from a checkpoint file, and an account of what was taken and what was not.

A checkpoint is a ``.pt`` file, read with ``weights_only=True`` so that nothing in it is executed,
or ``.safetensors``. Wrappers (``{"model_state": ...}``, ``state_dict``, ``model``) and the prefix
``module.`` of parallel training are taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from coupler.interface.errors import DataError

WRAPPERS = ("model_state", "model_state_dict", "state_dict", "model")
PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of the tensors of a checkpoint."""

    loaded: tuple[str, ...]
    """Names in the network that have the checkpoint's values."""
    left: tuple[str, ...]
    """Names in the network that keep their values: the checkpoint has nothing of that name."""
    other_shape: tuple[str, ...]
    """Names in both that differ in shape, with both shapes."""
    unknown: tuple[str, ...]
    """Names in the checkpoint that the network does not have."""

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} tensors loaded, {len(self.left)} left as they were, "
            f"{len(self.other_shape)} of another shape, {len(self.unknown)} unknown"
        )


def read_checkpoint(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without wrappers and prefixes.

    Raises:
        DataError: for a file that is none, or that would execute code.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError.of("no such checkpoint", str(path))
    try:
        found: Any
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise DataError.of(
            "unreadable checkpoint", str(path), found=" ".join(str(error).split())[:200]
        ) from error
    except Exception as error:  # of the unpickler, which is not imported here on purpose
        raise DataError.of(
            "a checkpoint that is more than tensors",
            str(path),
            expected="tensors only, as torch.load(weights_only=True) accepts them",
            found=" ".join(str(error).split())[:200],
            remedy="ask who made it for a state dict; nothing in it was executed",
        ) from error
    found = unwrapped(found)
    wrong = [str(k) for k, v in found.items() if not isinstance(v, Tensor)]
    if wrong or not found:
        raise DataError.of(
            "a checkpoint without a state dict",
            str(path),
            expected="names of tensors, or one of " + ", ".join(WRAPPERS) + " with them",
            found=", ".join(wrong[:5]) or "nothing",
        )
    return dict(found)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def unwrapped(content: Any) -> dict[str, Any]:
    """A state dict out of its wrappers and without prefixes; empty where there is none."""
    while isinstance(content, Mapping):
        inner = [content[w] for w in WRAPPERS if isinstance(content.get(w), Mapping)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, Mapping):
        return {}
    found = {str(k): v for k, v in content.items()}
    for prefix in PREFIXES:
        if found and all(k.startswith(prefix) for k in found):
            found = {k.removeprefix(prefix): v for k, v in found.items()}
    return found


def take(module: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = False) -> Taken:
    """Loads `tensors` into `module` where name and shape agree.

    Args:
        module: the network.
        tensors: by name.
        strict: whether everything has to fit.

    Raises:
        DataError: when nothing fits, or with `strict` not everything.
    """
    own = module.state_dict()
    both = [n for n in own if n in tensors]
    fits = [n for n in both if own[n].shape == tensors[n].shape]
    taken = Taken(
        loaded=tuple(fits),
        left=tuple(n for n in own if n not in tensors),
        other_shape=tuple(
            f"{n} {tuple(tensors[n].shape)} for {tuple(own[n].shape)}"
            for n in both
            if own[n].shape != tensors[n].shape
        ),
        unknown=tuple(n for n in tensors if n not in own),
    )
    wrong = (*taken.other_shape, *taken.left, *taken.unknown)
    if not fits or (strict and wrong):
        raise DataError.of(
            "a checkpoint of another network",
            type(module).__name__,
            expected="every tensor of the network" if strict else "some tensor of the network",
            found=f"{taken}; the first that do not fit: {', '.join(wrong[:3])}",
        )
    module.load_state_dict({n: tensors[n] for n in fits}, strict=False)
    return taken


def load_pretrained(module: nn.Module, path: Path | str, *, strict: bool = False) -> Taken:
    """Loads a checkpoint file into `module`; see `take`.

    Raises:
        DataError: for a file that cannot be read or does not fit.
    """
    return take(module, read_checkpoint(path), strict=strict)
