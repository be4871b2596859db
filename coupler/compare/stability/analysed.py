"""What linear analyses know of one scheme; as arrays, so that it can be kept, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coupler.compare.stability.columns import Columns
from coupler.compare.stability.flow import Modes
from coupler.compare.stability.response import Response
from coupler.compare.stability.waves import Diagram

Arrays = Mapping[str, NDArray[Any]]


@dataclass(kw_only=True, eq=False)
class Analysed:
    """What is known of one scheme."""

    name: str
    response: Response | None = None
    waves: dict[str, Diagram] = field(default_factory=dict)
    """By kind of column."""
    modes: Modes | None = None
    why: str = ""
    """Why there is nothing, or nothing more."""

    def fastest_wave(self) -> tuple[float, float, float, str]:
        """Growth [day-1], wavelength [m], phase speed [m s-1] and where, of fast waves."""
        return max((*d.worst(), name) for name, d in self.waves.items())


def arrays_of(own: Analysed) -> dict[str, NDArray[Any]]:
    """All of it but its name and its columns, which many schemes share."""
    about: dict[str, Any] = {"waves": list(own.waves)}
    found: dict[str, NDArray[Any]] = {}
    if own.response is not None:
        about |= {of: getattr(own.response, of) for of in ("method", "curvature", "why")}
        found |= {f"block {a} {b}": x for (a, b), x in own.response.blocks.items()}
        found |= {f"rate {a}": x for a, x in own.response.rates.items()}
    for i, diagram in enumerate(own.waves.values()):
        found |= {f"wave {i} {f.name}": getattr(diagram, f.name) for f in fields(Diagram)}
    if own.modes is not None:
        found |= {f"mode {f.name}": np.asarray(getattr(own.modes, f.name)) for f in fields(Modes)}
    return {"about": np.array(json.dumps(about)), **found}


def analysed_of(name: str, arrays: Arrays, columns: Columns) -> Analysed:
    """What `arrays_of` made.

    Args:
        name: of the scheme.
        arrays: in the order in which they were made.
        columns: that the response was taken in.
    """
    about = json.loads(str(arrays["about"]))
    kinds, modes = about.pop("waves"), _named(arrays, "mode")
    response = None
    if about:
        blocks = {(a, b): x for key, x in _named(arrays, "block").items() for a, b in [key.split()]}
        response = Response(columns=columns, blocks=blocks, rates=_named(arrays, "rate"), **about)
    return Analysed(
        name=name,
        response=response,
        waves={kind: Diagram(**_named(arrays, f"wave {i}")) for i, kind in enumerate(kinds)},
        modes=Modes(**{**modes, "step": float(modes["step"])}) if modes else None,
    )


def _named(arrays: Arrays, word: str) -> dict[str, Any]:
    """Those whose name begins with a word, without it."""
    return {n.removeprefix(f"{word} "): x for n, x in arrays.items() if n.startswith(f"{word} ")}
