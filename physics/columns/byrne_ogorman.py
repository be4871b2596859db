r"""Grey radiation whose longwave optical depth follows water vapour and carbon dioxide.

.. math:: \frac{d\tau}{d\sigma} = a \mu + b q + c \ln\frac{C}{C_0}, \qquad \sigma = p/p_s

tau [1] longwave optical depth, q [1] specific humidity, C [ppm] carbon dioxide; a = 0.8678,
b = 1997.9, c = 0.17, C_0 = 360 ppm; mu = 1 scales what all other well-mixed gases absorb. The
equations of the fluxes are in `grey_layers`. Negative humidity absorbs nothing. Sunlight is that of
`sunlight`, with tau_sw = 0.22 as in the source, and of `ozone` where there is some.

Carbon dioxide may grow by a constant share a year from the start of the run: 1 % a year for the
usual ramp; where the case prescribes it from a file (``forcing``), that is taken instead of both.
One doubling adds 0.118 to the optical depth of any column.

Sources: Byrne and O'Gorman (2013), J. Climate 26, 4000-4016, doi:10.1175/JCLI-D-12-00262.1, for a
and b; Vallis et al. (2018), Geosci. Model Dev. 11, 843-859, doi:10.5194/gmd-11-843-2018, for the
term of carbon dioxide.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from coupler.interface.component import Array, Arrays, Host, Now, Port, reads
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.errors import BadValue, UnstableError
from coupler.interface.fields import FIELDS
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.grey_layers import GreyLayers, GreyParameters, beams
from physics.columns.jit import njit
from physics.columns.lanes import load, load_flat
from physics.elementary import expm1

CO2 = Port(field=FIELDS["co2"], units="ppm", optional=True)
"""What a case prescribes."""
YEAR = 365.25 * SECONDS_PER_DAY
"""Over which carbon dioxide grows by its yearly share [s]."""


@njit()
def longwave(
    ta: Array,
    hus: Array,
    phalf: Array,
    ps: Array,
    ts: Array,
    dry: Array,
    humid: float,
    work: Array,
    half: Array,
    lane: Array,
    up: Array,
    rnl: Array,
    rlut: Array,
    rlds: Array,
    rlus: Array,
) -> None:
    """Fills the net upward longwave flux `rnl` [W m-2], shape [interface, column], and its ends.

    `dry` [column] and `humid` are the optical depth of the dry air and per specific humidity [1];
    `work` [2, level, lane], `half` [2, interface, lane] and `lane` [4, lane] are scratch.
    """
    nlev, ncol = ta.shape
    lanes = work.shape[2]
    emissivity, temperature = work[0], work[1]
    p, entering = half[0], half[1]
    per_ps, beam, depth = lane[0], lane[1], lane[2]
    for start in range(0, ncol, lanes):
        load(ta, start, temperature)
        load(hus, start, emissivity)
        load(phalf, start, p)
        load_flat(ps, start, per_ps)
        load_flat(dry, start, depth)
        for j in range(lanes):
            per_ps[j] = 1.0 / per_ps[j]
        for k in range(nlev):
            for j in range(lanes):
                thick = (p[k + 1, j] - p[k, j]) * per_ps[j]
                wet = humid * max(emissivity[k, j], 0.0)
                emissivity[k, j] = -expm1(-thick * (depth[j] + wet))
        beams(start, emissivity, temperature, entering, beam, up, ts, rnl, rlut, rlds, rlus)


class ByrneOGormanParameters(GreyParameters):
    """Defaults are those of Byrne and O'Gorman (2013) at 360 ppm."""

    co2: Annotated[float, Unit("ppm"), Field(gt=0, le=1e6)] = 360.0
    """Carbon dioxide at the start of the run [ppm]."""
    co2_growth: Annotated[float, Unit("percent"), Field(ge=-50, le=100)] = 0.0
    """Share by which it grows in a year of 365.25 days, compounded [percent]."""
    mu: Annotated[float, Unit("1"), Field(ge=0)] = 1.0
    """Scale of what well-mixed gases absorb [1]."""
    a: Annotated[float, Unit("1"), Field(ge=0)] = 0.8678
    """Optical depth of well-mixed gases [1]."""
    b: Annotated[float, Unit("1"), Field(ge=0)] = 1997.9
    """Optical depth per specific humidity [1]."""
    c: Annotated[float, Unit("1"), Field(ge=0)] = 0.17
    """Optical depth per logarithm of carbon dioxide [1]."""
    tau_sw: Annotated[float, Unit("1"), Field(ge=0)] = 0.22
    """Optical depth of the air for sunlight [1]."""

    @model_validator(mode="after")
    def _air_does_not_shine(self) -> Self:
        if self.dry_depth(0.0) < 0.0:
            raise BadValue(
                "less carbon dioxide than the formula holds for",
                expected="a mu + c ln(co2/360) of at least 0, co2 of at least "
                f"{360.0 * math.exp(-self.a * self.mu / self.c):.3g} ppm",
                found=f"{self.co2:g} ppm",
                remedy="raise co2 or mu",
            )
        return self

    def dry_depth(self, seconds: float) -> float:
        """Optical depth of the air without water [1], `seconds` after the start of the run."""
        years = seconds / YEAR
        growth = math.log(self.co2 / 360.0) + years * math.log1p(0.01 * self.co2_growth)
        return self.a * self.mu + self.c * growth


@scheme("radiation", "byrne_ogorman")
class ByrneOGorman(GreyLayers):
    """Grey longwave that follows humidity and carbon dioxide; sunlight, seasons, hours, ozone."""

    Parameters = ByrneOGormanParameters
    inputs = (*reads("ta hus phalf ps ts albs lat", optional="lon"), CO2)

    def setup(self, host: Host) -> None:
        super().setup(host)
        self._dry = np.zeros(host.ncol)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        p = self.p
        dry = self._dry
        if "co2" in x:
            np.log(x.co2, out=dry)
            dry -= math.log(360.0)
            dry *= p.c
            dry += p.a * p.mu
        else:
            dry.fill(p.dry_depth(now.seconds))
        if dry.min() < 0.0:
            raise UnstableError.of(
                "carbon dioxide has fallen below what the formula holds for",
                "forcing.co2" if "co2" in x else "co2_growth",
                expected="a mu + c ln(co2/360) of at least 0",
                found=f"{dry.min():g} after {now.seconds / YEAR:.1f} years",
                remedy="let it fall more slowly or for a shorter time",
            )
        longwave(
            x.ta,
            x.hus,
            x.phalf,
            x.ps,
            x.ts,
            dry,
            p.b,
            self._work,
            self._half,
            self._lane,
            self._up,
            flux.rnl,
            diag.rlut,
            diag.rlds,
            diag.rlus,
        )
        self.sunlight(x, flux, diag, now)
