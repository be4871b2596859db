"""Total precipitation ``pr = prl + prc`` [kg m-2 s-1], from whichever schemes rain."""

from __future__ import annotations

import numpy as np

from coupler.interface.component import Arrays, Diagnostic, Now, gives, reads
from coupler.interface.registry import scheme


@scheme("precipitation", "total")
class TotalPrecipitation(Diagnostic):
    """Sum of large-scale and convective precipitation."""

    inputs = reads("", optional="prl prc")
    diagnostics = gives("pr")

    fills = True

    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        """Fills ``pr``, shape [column]."""
        diag.pr.fill(0.0)
        for _, rain in x.items():
            np.add(diag.pr, rain, out=diag.pr)
