"""Non-orographic gravity-wave drag by a spectrum of waves that break at once.

Alexander and Dunkerton (1999), J. Atmos. Sci. 56, 4167-4182,
doi:10.1175/1520-0469(1999)056<4167:ASPOMF>2.0.CO;2.

Waves of horizontal wavenumber k leave the source level s with phase speeds c and amplitudes

    B(c) = B_w 2^-(ct/c_w)^2 + B_n 2^-(ct/c_n)^2    [m2 s-2],    ct = c - u_s or c

and momentum fluxes F(c) = sgn(c - u_s) B_t B / sum(B), so that B_t [Pa] is the total launched
stress: B says where a wave breaks, B_t (an intermittency) how much it then delivers. In each
layer above, a wave that is still active and has the intrinsic speed ci = c - u

    is reflected  if  |ci| >= N / sqrt(k^2 + alpha^2),    alpha = 1/(2 H)
    breaks        if  ci (c - u_s) <= 0   or   |ci|^3 <= (rho_s/rho) 2 N B / k

with N^2 = (g/T)(dT/dz + g/c_p) and H the scale height of density. A breaking wave leaves all of
its flux in that layer (its drag pulls the flow towards c); waves for which either condition holds
at the source are not launched. Both wind components are treated alike and apart.

The scheme `ad99` returns the flux on interfaces, positive upward: the sum of the active waves
above the source, and below it a straight line in pressure to zero at the ground, which takes the
launched momentum from the column by mass. A reflected wave carries nothing on balance and is left
out of the flux. What reaches the top is shared by mass above 0.85 hPa (the flux policy ``dump``).

The scheme `ad99_mima` returns the drag as MiMA and GFDL models compute it: half-level
accelerations are averaged, nothing is taken from the column below the source, and the
*acceleration* of the flux that reaches the top is shared. It does not conserve momentum and exists
for comparison with those models.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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
    flux_of,
    tendencies_of,
)
from coupler.interface.fields import COLUMN, Field
from coupler.interface.registry import scheme
from coupler.interface.units import Unit
from physics.columns import blocks
from physics.columns import gravity_wave_ad99_kernel as kernel
from physics.columns.momentum_flux import MomentumFlux
from physics.columns.streams import column_streams, log_normal_factors

_Speed = Annotated[float, Unit("m s-1"), Check(gt=0)]
_Stress = Annotated[float, Unit("Pa"), Check(ge=0)]
_Latitude = Annotated[float, Unit("degrees_north"), Check(ge=-90, le=90)]


class AD99Parameters(Params):
    """Defaults are those of the MiMA setup, with the amplitude Gaussian in the source's frame."""

    source_pressure: Annotated[float, Unit("Pa"), Check(gt=0)] = 31500.0
    """Waves start in the highest layer with more than this pressure."""
    source_level: Literal["pressure", "cos_lat"] = "pressure"
    """``cos_lat``: the source sinks towards the ground at the poles,
    k(lat) = int(K + 1 - (K + 1 - k_src) cos(lat) - 1/2) counted from 1 at the top, as in MiMA
    (on the equator one layer above that of ``pressure``)."""
    phase_speed_max: _Speed = 99.6
    """Of the fastest wave, in the frame of `grid`."""
    phase_speed_step: _Speed = 1.2
    """Between neighbouring waves; 167 of them by default."""
    grid: Literal["intrinsic", "ground"] = "intrinsic"
    """Phase speeds are symmetric about the wind at the source or about zero. Only the first
    launches no net flux; the other cuts one side of the spectrum short."""
    frame: Literal["intrinsic", "ground"] = "intrinsic"
    """The Gaussian is one in c - u_s or in c."""
    wide_amplitude: Annotated[float, Unit("m2 s-2"), Check(ge=0)] = 0.4
    """B_w."""
    wide_half_width: _Speed = 35.0
    """c_w, half width at half maximum."""
    wide_half_width_tropics: _Speed = 35.0
    """The same where abs(lat) <= `transition_width`."""
    narrow_amplitude: Annotated[float, Unit("m2 s-2"), Check(ge=0)] = 0.0
    """B_n."""
    narrow_half_width: _Speed = 2.0
    """The same of the narrow Gaussian, at all latitudes."""
    wavelength: Annotated[float, Unit("m"), Check(gt=0)] = 3.0e5
    """Horizontal, of all waves; k = 2 pi / wavelength."""
    stress: _Stress = 0.0043
    """Launched stress, sum of abs(F), of one wind component poleward of the transition."""
    stress_equator: _Stress = 0.0043
    """The same where abs(lat) <= `transition_width`; in between it is linear in latitude."""
    stress_deviation: Annotated[float, Check(ge=0, le=5)] = 0.0
    """Standard deviation of the launched stress over its mean. Above 0, every column draws its
    stress anew at every call from a log-normal distribution; the mean stays what it is."""
    stress_extra_north: Annotated[float, Unit("Pa")] = 0.0
    """Added far north of `transition_north`, half of it there (tanh)."""
    stress_extra_south: Annotated[float, Unit("Pa")] = 0.0
    """Added far south of `transition_south`."""
    transition_north: _Latitude = 15.0
    """Where the tropical stress ends in the north."""
    transition_south: _Latitude = -15.0
    """Where it ends in the south."""
    transition_width: Annotated[float, Unit("degrees_north"), Check(gt=0)] = 10.0
    """Half width of the tropical band, and scale of the extra stress."""
    buoyancy_floor: Annotated[float, Unit("s-2"), Check(gt=0)] = 2.5e-5
    """Smallest N^2."""
    deposition: Literal["layer", "split"] = "layer"
    """``split``: half of the momentum goes to the layer below the one where a wave breaks; smoother
    for steps of phase speed above 2 m/s."""

    @model_validator(mode="after")
    def _possible(self) -> AD99Parameters:
        if self.phase_speed_step > self.phase_speed_max:
            raise ValueError("phase_speed_step must not exceed phase_speed_max")
        if self.wide_amplitude + self.narrow_amplitude == 0.0:
            raise ValueError("wide_amplitude and narrow_amplitude must not both be zero")
        if not self.transition_south <= -self.transition_width < 0.0:
            raise ValueError("transition_south must lie at or south of -transition_width")
        if self.transition_north < self.transition_width:
            raise ValueError("transition_north must lie at or north of transition_width")
        return self

    def speeds(self) -> Array:
        """Grid of phase speeds [m s-1], ascending and symmetric, shape [wave]."""
        n = int(self.phase_speed_max / self.phase_speed_step + 1e-6)
        return self.phase_speed_step * np.arange(-n, n + 1, dtype=np.float64)

    def stress_at(self, lat: Array) -> Array:
        """Launched stress of one wind component [Pa] at latitudes `lat` [degrees_north]."""
        lat = np.asarray(lat, np.float64)
        width = self.transition_width
        poleward = (
            self.stress
            + 0.5 * self.stress_extra_north * (1.0 + np.tanh((lat - self.transition_north) / width))
            + 0.5 * self.stress_extra_south * (1.0 - np.tanh((lat - self.transition_south) / width))
        )
        edge = np.where(lat >= 0.0, self.transition_north, -self.transition_south)
        span = np.maximum(edge - width, 1e-12)
        share = np.clip((np.abs(lat) - width) / span, 0.0, 1.0)
        between = self.stress_equator + share * (self.stress - self.stress_equator)
        return np.where(np.abs(lat) >= edge, poleward, between)


class _MiMAParameters(AD99Parameters):
    """The same, with the ground grid of MiMA."""

    grid: Literal["intrinsic", "ground"] = "ground"
    deposition: Literal["layer"] = "layer"
    dump_above: Annotated[float, Unit("Pa"), Check(gt=0)] = 85.0
    """Layers above this share the acceleration of the waves that reach the top."""


def _own(axis: str, what: str, name: str) -> Field:
    return Field(
        name=f"{'x' if axis == 'eastward' else 'y'}gwd{name}",
        standard_name=None,
        long_name=f"{axis.capitalize()} Gravity-wave Momentum Flux {what}",
        units="Pa",
        dims=COLUMN,
        positive="up",
    )


_DIAGNOSTICS = tuple(
    _own(axis, what, name)
    for axis in ("eastward", "northward")
    for what, name in (
        ("Launched", "launch"),
        ("Launched, Sum of Absolute Values", "abs"),
        ("Reflected", "refl"),
    )
)


class _AlexanderDunkerton(MomentumFlux):
    """What both schemes share: everything but what happens to a broken wave."""

    diagnostics = _DIAGNOSTICS
    interval = 10800.0
    kind: ClassVar[int]

    def setup(self, host: Host) -> None:
        p: AD99Parameters = self.p
        self.prepare(host, kernel.FIELDS)
        above = blocks.layers_above(host, p.source_pressure, f"{self._name}.source_pressure")
        lat, nlev, ncol = self._lat, host.nlev, self._lat.size
        source = np.full(ncol, -1)
        if p.source_level == "cos_lat":
            height = (nlev - above) * np.cos(np.radians(lat))
            source = np.clip((nlev + 1 - (height + 0.5)).astype(int), 2, nlev - 1) - 1
        speeds = p.speeds()
        nworker = self._work.shape[0]
        self._waves = np.zeros((nworker, 3, 2, speeds.size))
        self._widths = np.array([p.wide_half_width, p.wide_half_width_tropics])
        self._settings = (
            p.source_pressure,
            2.0 * np.pi / p.wavelength,
            p.buoyancy_floor,
            p.grid == "intrinsic",
            p.frame == "intrinsic",
            p.deposition == "split",
            p.wide_amplitude,
            p.narrow_amplitude,
            p.narrow_half_width,
            getattr(p, "dump_above", 0.0),
        )
        self._tables = self._shared_spectrum(speeds)
        self._mean_stress = p.stress_at(lat)
        self._stress = self._mean_stress.copy()
        if p.stress_deviation > 0.0:
            self._streams = column_streams(host.seed, lat, blocks.longitudes(host, self._name))
        self._columns = (
            source,
            self._stress,
            (np.abs(lat) <= p.transition_width).astype(np.int64),
            speeds,
        )
        self._scratch = (self._work, self._waves, np.zeros((nworker, speeds.size), np.int64))
        self._sums = np.zeros((2, 3, ncol))

    def _shared_spectrum(self, speeds: Array) -> tuple[Array, Array, Array]:
        """Speeds and spectra of a family, if no column's wind enters them; else empty arrays."""
        grid, frame, _, wide, narrow, narrow_width = self._settings[3:9]
        if not (grid and frame):
            return np.zeros(0), np.zeros((2, 0)), np.zeros((2, 0))
        n = speeds.size // 2
        tables = np.zeros((3, 2, n))
        for band in range(2):
            speed, amplitude, share = self._waves[0]
            kernel.spectrum(
                0.0, speeds, True, True, wide, self._widths[band], narrow, narrow_width,
                speed, amplitude, share,
            )  # fmt: skip
            tables[:, band] = self._waves[0, :, 0, :n]
        return tables[0, 0], tables[1], tables[2]

    def memory(self) -> dict[str, Array]:
        """The stress that was drawn last; what is drawn next follows from the model's time."""
        return {"stress": self._stress} if self.p.stress_deviation > 0.0 else {}

    def _run(self, x: Arrays, out: tuple[Array, Array], diag: Arrays, now: Now) -> None:
        if self.p.stress_deviation > 0.0:
            number = round(now.seconds)  # calls are seconds apart at the least
            log_normal_factors(self._streams, number, self.p.stress_deviation, self._stress)
            self._stress *= self._mean_stress
        kernel.columns(
            self.kind, self.state(x), x.phalf, *self._columns, self._tables, self._widths,
            self._settings, self._planet, *self._scratch, out, self._sums, self._bad,
        )  # fmt: skip
        self.complain(x)
        for axis, sums in zip("xy", self._sums, strict=True):
            for name, values in zip(("launch", "abs", "refl"), sums, strict=True):
                getattr(diag, f"{axis}gwd{name}")[...] = values


@scheme("gravity_wave", "ad99")
class AlexanderDunkerton1999(_AlexanderDunkerton):
    """Momentum fluxes of Alexander and Dunkerton (1999); columns close to round-off."""

    Parameters = AD99Parameters
    fluxes: ClassVar[tuple[Flux, ...]] = (
        flux_of("ua", "xgwdparam", top="dump", dump_above=85.0),
        flux_of("va", "ygwdparam", top="dump", dump_above=85.0),
    )
    conserves = (Conserves(quantity="momentum"),)
    kind = kernel.TO_FLUX

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        self._run(x, (flux.xgwdparam, flux.ygwdparam), diag, now)


@scheme("gravity_wave", "ad99_mima")
class AlexanderDunkertonMiMA(_AlexanderDunkerton):
    """The drag as MiMA derives it from the same waves. Does not conserve momentum."""

    Parameters = _MiMAParameters
    tendencies = tendencies_of("ua va")
    kind = kernel.TO_MIMA_DRAG

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        self._run(x, (tend.ua, tend.va), diag, now)
