"""Pictures as files, whole or not at all, and what nobody can have meant by a picture's options."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coupler.interface.errors import CouplerError, DataError
from coupler.interface.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def refuse_format(out: Path) -> None:
    """Refuses what is no name of a picture.

    Raises:
        DataError: for another suffix than those of the formats, or for a folder.
    """
    if not re.fullmatch(r"\.(png|pdf|svg)", out.suffix):
        raise DataError.of(
            "unknown format of a picture", str(out), expected="a name ending in .png, .pdf or .svg"
        )
    if out.is_dir():
        raise DataError.of("a folder where a picture should be", str(out), remedy="name a file")


def refuse_numbers(skip_days: float, level: float | None) -> None:
    """Refuses days and pressures that no file has.

    Args:
        skip_days: at the start that are left out.
        level: pressure [Pa].

    Raises:
        DataError: for what is negative or not a number, or a pressure of zero.
    """
    if not 0.0 <= skip_days < math.inf:
        raise DataError.of(
            "no days to leave out",
            f"{skip_days:g}",
            expected="a number from 0",
            remedy="choose others with --skip-days",
        )
    if level is not None and not 0.0 < level < math.inf:
        raise DataError.of(
            "no such pressure",
            f"{level / 100.0:g} hPa",
            expected="a number above 0",
            remedy="choose another with --level",
        )


def no_levels(variable: str, dims: Sequence[Hashable]) -> CouplerError:
    """The error of a level that is chosen of a variable without levels."""
    return DataError.of(
        "no levels to choose from",
        variable,
        found=", ".join(map(str, dims)) or "a single number",
        remedy="leave --level out",
    )


def save(figure: Figure, out: Path, *, dpi: int) -> None:
    """Writes a picture: the file is there completely or as it was.

    Args:
        figure: what it shows.
        out: the file; its suffix says the format. Its folder is made.
        dpi: dots per inch.

    Raises:
        DataError: as `refuse_format`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    refuse_format(out)
    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=out.suffix[1:], dpi=dpi, facecolor="white")
    write_whole(out, drawn.getvalue())
