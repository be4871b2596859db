"""Wave sources of the one-dimensional model of the quasi-biennial oscillation.

Waves of given phase speeds leave a source level in the tropical lower stratosphere and are damped
by radiative cooling on their way up, most where the wind comes close to their phase speed; the
equation stands in `gravity_wave_plumb_kernel`.

    plumb_two_wave     two waves, A = +-6e-4 Pa at c = +-32 m/s, wavenumber 1
    plumb_stochastic   waves at c = +-10, 20 .. 100 m/s, wavenumber 2, with
                       A = sgn(c) s 2^-(c/b)^2 / sum(2^-(c/b)^2), where the stress s [Pa] and the
                       half width b [m s-1] are drawn anew every day from a log-normal distribution

Sources: Plumb (1977), doi:10.1175/1520-0469(1977)034<1847:TIOTLA>2.0.CO;2, after Holton and Lindzen
(1972), doi:10.1175/1520-0469(1972)029<1076:AUTFTQ>2.0.CO;2.

The draws depend on the seed of the run, the place of a column and the number of the draw, and on
nothing else (see `streams`).

The flux enters through the bottom of the column: its sum over all waves is zero unless the winds
break the symmetry, so that nothing has to be taken from the air below the source.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field as Check
from pydantic import model_validator

from coupler.interface.component import (
    Array,
    Arrays,
    Conserves,
    Flux,
    Host,
    Now,
    Params,
    Tendency,
    flux_of,
    reads,
)
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.fields import COLUMN, Field
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns.gravity_wave_plumb_kernel import wave_flux
from physics.columns.jit import njit
from physics.columns.streams import column_streams, normal_pair

EQUATOR = 4.0e7
"""Length of the equator [m]."""
_Height = Annotated[float, Unit("m"), Check(ge=0)]
_Rate = Annotated[float, Unit("s-1"), Check(ge=0)]


def _own(name: str, what: str, units: str) -> Field:
    return Field(name=name, standard_name=None, long_name=what, units=units, dims=COLUMN)


_ABSOLUTE = _own("xgwdabs", "Eastward Gravity-wave Momentum Flux Launched, Absolute Sum", "Pa")
_WIDTH = _own("xgwdwidth", "Half Width of the Launched Gravity-wave Spectrum", "m s-1")


class PlumbParameters(Params):
    """What both sources share."""

    source_height: _Height = 17.0e3
    """Waves start at the lowest layer whose middle is not below this height."""
    buoyancy_frequency: Annotated[float, Unit("s-1"), Check(gt=0)] = 0.0216
    cooling_low: _Rate = 1.0 / (21.0 * SECONDS_PER_DAY)
    """Newtonian cooling at and below `cooling_low_height`."""
    cooling_high: _Rate = 1.0 / (7.0 * SECONDS_PER_DAY)
    """Newtonian cooling from `cooling_high_height` on; linear between."""
    cooling_low_height: _Height = 17.0e3
    cooling_high_height: _Height = 30.0e3
    wavenumber: Annotated[float, Check(gt=0)] = 1.0
    """Waves around the equator."""

    @model_validator(mode="after")
    def _heights(self) -> PlumbParameters:
        if not self.cooling_low_height < self.cooling_high_height:
            raise ValueError("cooling_high_height must lie above cooling_low_height")
        return self

    @property
    def n_over_k(self) -> float:
        """N/k [m s-1]."""
        return self.buoyancy_frequency * EQUATOR / (2.0 * math.pi * self.wavenumber)

    @property
    def cooling(self) -> tuple[float, float, float, float]:
        """As `wave_flux` takes it."""
        return (
            self.cooling_low_height,
            self.cooling_high_height,
            self.cooling_low,
            self.cooling_high,
        )


class TwoWaveParameters(PlumbParameters):
    """Two waves of opposite phase speed and momentum flux."""

    stress: Annotated[float, Unit("Pa"), Check(ge=0)] = 6.0e-4
    """Momentum flux of each wave at the source; 5.2e-4 Pa gives a period of 28 months."""
    phase_speed: Annotated[float, Unit("m s-1"), Check(gt=0)] = 32.0


class StochasticParameters(PlumbParameters):
    """Twenty waves whose total stress and spectral width vary from day to day."""

    wavenumber: Annotated[float, Check(gt=0)] = 2.0
    phase_speed_max: Annotated[float, Unit("m s-1"), Check(gt=0)] = 100.0
    phase_speed_step: Annotated[float, Unit("m s-1"), Check(gt=0)] = 10.0
    stress_mean: Annotated[float, Unit("Pa"), Check(gt=0)] = 3.7e-3
    """Mean of the launched stress, the sum of abs(A)."""
    stress_variance: Annotated[float, Unit("Pa2"), Check(ge=0)] = 1.0e-8
    width_mean: Annotated[float, Unit("m s-1"), Check(gt=0)] = 32.0
    """Mean of the half width at half maximum of the spectrum."""
    width_variance: Annotated[float, Unit("m2 s-2"), Check(ge=0)] = 225.0
    correlation: Annotated[float, Check(ge=-1, le=1)] = 0.75
    """Between the logarithms of stress and width."""
    redraw: Annotated[float, Unit("s"), Check(gt=0)] = SECONDS_PER_DAY
    """Time between draws."""

    @model_validator(mode="after")
    def _speeds(self) -> StochasticParameters:
        if self.phase_speed_step > self.phase_speed_max:
            raise ValueError("phase_speed_step must not exceed phase_speed_max")
        return self

    def speeds(self) -> Array:
        """Phase speeds [m s-1], shape [wave], ascending, without 0."""
        n = int(self.phase_speed_max / self.phase_speed_step + 1e-6)
        one = self.phase_speed_step * np.arange(1, n + 1, dtype=np.float64)
        return np.concatenate([-one[::-1], one])

    def log_normal(self) -> Array:
        """Mean and standard deviation of the logarithms of stress and width, shape [2, 2]."""
        found = []
        for mean, variance in (
            (self.stress_mean, self.stress_variance),
            (self.width_mean, self.width_variance),
        ):
            spread = math.log(1.0 + variance / mean**2)
            found.append((math.log(mean) - 0.5 * spread, math.sqrt(spread)))
        return np.array(found)


@njit()
def draw(
    streams: Array, number: int, log_normal: Array, correlation: float, speed: Array, out: Array,
    amplitude: Array,
) -> None:  # fmt: skip
    """Draw `number` of stress and width of every column, and the waves that follow from it.

    Args:
        streams: Identity of each column's stream, shape [column], uint64.
        number: Of the draw, from 0.
        log_normal: See `StochasticParameters.log_normal`.
        correlation: Between the two normal numbers.
        speed: Phase speeds [m s-1], shape [wave].
        out: Stress [Pa] and width [m s-1], shape [2, column].
        amplitude: Momentum flux of each wave [Pa], shape [wave, column].
    """
    rest = math.sqrt(1.0 - correlation * correlation)
    for c in range(streams.size):
        one, other = normal_pair(streams[c], number)
        other = correlation * one + rest * other
        out[0, c] = math.exp(log_normal[0, 0] + log_normal[0, 1] * one)
        out[1, c] = math.exp(log_normal[1, 0] + log_normal[1, 1] * other)
        total = 0.0
        for i in range(speed.size):
            shape = math.exp(-math.log(2.0) * (speed[i] / out[1, c]) ** 2)
            amplitude[i, c] = math.copysign(shape, speed[i])
            total += shape
        for i in range(speed.size):
            amplitude[i, c] *= out[0, c] / total


class _Plumb(Tendency):
    """What both sources share."""

    inputs = reads("ua zg")
    fluxes: ClassVar[tuple[Flux, ...]] = (flux_of("ua", "xgwdparam", top="escape"),)
    conserves = (Conserves(quantity="momentum"),)

    def setup(self, host: Host) -> None:
        self._speeds = self._phase_speeds()
        self._amplitude = np.zeros((self._speeds.size, host.ncol))
        self._work = np.zeros((2, host.nlev))

    @abstractmethod
    def _phase_speeds(self) -> Array:
        """Phase speeds of the waves [m s-1], shape [wave]."""

    def _rise(self, x: Arrays, flux: Arrays) -> None:
        p: PlumbParameters = self.p
        wave_flux(
            x.ua, x.zg, self._speeds, self._amplitude, p.n_over_k, p.source_height, p.cooling,
            self._work, flux.xgwdparam,
        )  # fmt: skip


@scheme("gravity_wave", "plumb_two_wave")
class PlumbTwoWave(_Plumb):
    """Two damped waves of opposite phase speed: the source of the 1-D QBO model."""

    Parameters = TwoWaveParameters
    diagnostics = (_ABSOLUTE,)

    def _phase_speeds(self) -> Array:
        return np.array([self.p.phase_speed, -self.p.phase_speed])

    def setup(self, host: Host) -> None:
        super().setup(host)
        self._amplitude[...] = np.sign(self._speeds)[:, None] * self.p.stress

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        self._rise(x, flux)
        diag.xgwdabs.fill(2.0 * self.p.stress)


@scheme("gravity_wave", "plumb_stochastic")
class PlumbStochastic(_Plumb):
    """A broad spectrum of damped waves whose strength and width vary from day to day."""

    Parameters = StochasticParameters
    diagnostics = (_ABSOLUTE, _WIDTH)

    def _phase_speeds(self) -> Array:
        speeds: Array = self.p.speeds()
        return speeds

    def setup(self, host: Host) -> None:
        super().setup(host)
        self._streams = column_streams(host.seed, host.static["lat"], host.static["lon"])
        self._log_normal = self.p.log_normal()
        self._number = np.array(-1, np.int64)
        self._drawn = np.zeros((2, host.ncol))

    def memory(self) -> dict[str, Array]:
        """The generator: the number of the last draw, and what it gave."""
        return {"number": self._number, "drawn": self._drawn}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave."""
        super().restore(memory)
        if self._number >= 0:
            self._draw(int(self._number))

    def _draw(self, number: int) -> None:
        self._number[...] = number
        draw(
            self._streams, number, self._log_normal, self.p.correlation, self._speeds,
            self._drawn, self._amplitude,
        )  # fmt: skip

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        number = int((now.seconds + 1e-6) // self.p.redraw)
        if number != self._number:
            self._draw(number)
        self._rise(x, flux)
        diag.xgwdabs[...], diag.xgwdwidth[...] = self._drawn
