"""Initial states of the primitive equations by name, and the ground that belongs to some of them.

A ground is truncated first, and the state is then built over the surface that the model has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from physics.dynamics.initial import (
    Frame,
    GridState,
    held_suarez_start,
    isothermal_rest,
    jablonowski_williamson,
    jablonowski_williamson_ground,
    standard_rest,
)
from physics.dynamics.initial_polvani import life_cycle
from physics.dynamics.initial_published import (
    broad_mountain,
    mountain_rest,
    mountain_rossby_wave,
    narrow_mountains,
    rossby_haurwitz,
)
from physics.dynamics.initial_ullrich import baroclinic_wave, moist_baroclinic_wave

INITIAL_STATES: dict[str, Callable[[Frame], GridState]] = {
    "isothermal_rest": isothermal_rest,
    "standard_rest": standard_rest,
    "jablonowski_williamson": jablonowski_williamson,
    "jablonowski_williamson_steady": partial(jablonowski_williamson, perturbed=False),
    "baroclinic_wave": baroclinic_wave,
    "moist_baroclinic_wave": moist_baroclinic_wave,
    "life_cycle": life_cycle,
    "held_suarez": held_suarez_start,
    "mountain_rest": mountain_rest,
    "mountain_rossby_wave": mountain_rossby_wave,
    "solid_rotation": mountain_rossby_wave,
    "rossby_haurwitz": rossby_haurwitz,
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The ground of a published test.

    Attributes:
        geopotential: before truncation [m2 s-2], [lat, lon].
        smooth: as it is given it is resolved by any truncation, so that tapering only harms.
    """

    geopotential: Callable[[Frame], npt.NDArray[np.float64]]
    smooth: bool = False


GROUNDS: dict[str, Ground] = {
    "jablonowski_williamson": Ground(geopotential=jablonowski_williamson_ground, smooth=True),
    "jablonowski_williamson_steady": Ground(
        geopotential=jablonowski_williamson_ground, smooth=True
    ),
    "mountain_rest": Ground(geopotential=narrow_mountains),
    "mountain_rossby_wave": Ground(geopotential=broad_mountain, smooth=True),
}
"""States that bring a ground of their own. All others take the one of the case, or a flat one."""
FLAT = ("baroclinic_wave", "moist_baroclinic_wave", "life_cycle", "rossby_haurwitz")
"""States that are balanced over flat ground alone."""
